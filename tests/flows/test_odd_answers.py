"""Whatever is answered to whichever read: one refusal or the right end, no traceback, and nothing without an end."""

import copy
import json
import random
import re
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from aks_postgres.arm import response_checks as responses
from aks_postgres.errors import ProvisioningError
from aks_postgres.flows.provision import provision
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.kubernetes import client as kubernetes_api
from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.problems import SpecError
from azure_sandbox.client import SandboxProcess

from ..cases import shown
from .conftest import writes
from .test_tear_down import KEY

pytestmark = pytest.mark.usefixtures("prefect_api")

Json = dict[str, Any]
Change = Callable[[Any], bytes]


def _inside(seed: int) -> Change:
    """One value somewhere in the true answer becomes another type."""

    def change(body: Any) -> bytes:
        body = copy.deepcopy(body)
        draw = random.Random(seed)
        places = list(_places(body))
        if places:
            holder, key = draw.choice(places)
            others = [None, 7, "text", [], {}, [None], [[]], True, -1.5, {"x": None}, [7], "2026-13-45"]
            holder[key] = draw.choice([one for one in others if type(one) is not type(holder[key])])
        return json.dumps(body).encode()

    return change


def _places(body: Any) -> Any:
    parts = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in parts:
        yield body, key
        yield from _places(value)


def _as(text: bytes) -> Change:
    return lambda _: text


WHOLE: dict[str, Change] = {
    "null": _as(b"null"),
    "[]": _as(b"[]"),
    "7": _as(b"7"),
    "text": _as(b'"text"'),
    "{}": _as(b"{}"),
    "nothing": _as(b""),
    "half": lambda body: json.dumps(body).encode()[: len(json.dumps(body)) // 2],
    "nested": _as(b"[" * 10_000 + b"]" * 10_000),
    "nested objects": _as(b'{"value":' * 10_000 + b"1" + b"}" * 10_000),
    "an array of nulls": _as(b'{"value": [null], "items": [null]}'),
    "no text": _as(b"\xff\xfe\x00\x81"),
    "an error": _as(b'{"error": {"code": 7, "message": ["x"]}}'),
}
CHANGES = WHOLE | {f"inside {seed}": _inside(seed) for seed in range(8)}

FLOWS: dict[str, Callable[[EnvironmentSpec], Awaitable[Any]]] = {
    "tear_down": lambda spec: tear_down(spec, KEY),
    "provision": lambda spec: provision(spec),
}


class Answers:
    """What is done to the answers to reads of one operation, on their way in."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._path = re.compile("(?!)")
        self._change: Change = _as(b"")
        self.changed = 0
        read = responses.read_bounded

        async def changed(response: aiohttp.ClientResponse) -> bytes:
            data = await read(response)
            is_read = response.method == "GET" or response.url.path.endswith(
                ("/listClusterUserCredential", "/checkNameAvailability", "/checkPolicyRestrictions")
            )
            if response.status != 200 or not is_read or not self._path.fullmatch(response.url.path):
                return data
            self.changed += 1
            try:
                return self._change(json.loads(data))
            except ValueError:
                return data

        patch.setattr(responses, "read_bounded", changed)
        patch.setattr(kubernetes_api, "read_bounded", changed)

    def change(self, path: str, how: Change) -> None:
        self._path, self._change, self.changed = re.compile(path, re.I), how, 0


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    return Answers(monkeypatch)


def reads(ledger: list[Json]) -> dict[str, str]:
    """Every read of a run: the operation, and a pattern of the paths that it was asked at."""
    found: dict[str, set[str]] = {}
    for one in ledger:
        posted = one["operation"] in (
            "ManagedClusters_ListClusterUserCredential",
            "StorageAccounts_CheckNameAvailability",
        )
        # What isn't there has no body that could be odd.
        if (
            one["status"] == 200
            and one["service"] in ("arm", "kubernetes")
            and (one["method"] == "GET" or posted)
        ):
            found.setdefault(f"{one['service']} {one['operation']}", set()).add(re.escape(one["path"]))
    return {operation: "|".join(sorted(paths)) for operation, paths in sorted(found.items())}


async def run_all(
    azure: SandboxProcess,
    spec: EnvironmentSpec,
    answers: Answers,
    flow: str,
    chosen: dict[str, Change],
    every_nth: int = 1,
) -> None:
    state = azure.control("GET", "state")
    since = len(azure.ledger())
    await FLOWS[flow](spec)
    every = reads(azure.ledger()[since:])
    assert len(every) > 15
    wrong = []
    for operation, path in list(every.items())[::every_nth]:
        for name, change in chosen.items():
            azure.control("PUT", "state", copy.deepcopy(state))
            answers.change(path, change)
            since = len(azure.ledger())
            try:
                await FLOWS[flow](spec)
            except (ProvisioningError, SpecError):
                pass
            except BaseException as error:
                wrong.append(f"{operation}, {name}: {type(error).__name__}: {error}")
            if not answers.changed:
                wrong.append(f"{operation}, {name}: wasn't met")
            deleted = {
                one["operation"] for one in writes(azure.ledger()[since:]) if one["method"] == "DELETE"
            }
            if flow == "provision" and deleted:
                wrong.append(f"{operation}, {name}: deleted {deleted}")
    assert wrong == []


@pytest.mark.parametrize("flow", shown(FLOWS, first=1))
async def test_odd_answers_end_in_a_refusal(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, answers: Answers, flow: str
) -> None:
    await run_all(azure, spec, answers, flow, {"[]": WHOLE["[]"]}, every_nth=25)


@pytest.mark.timeout(1800)
@pytest.mark.thorough
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("flow", FLOWS)
async def test_every_odd_answer_to_every_read_ends_in_a_refusal(
    azure: SandboxProcess,
    spec: EnvironmentSpec,
    environment: EnvironmentOutputs,
    answers: Answers,
    flow: str,
    name: str,
) -> None:
    await run_all(azure, spec, answers, flow, {name: CHANGES[name]})
