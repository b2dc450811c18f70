"""Runs of two Prefect servers keep out of each other's way by a tag, which is there while a run writes."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloud.errors import EnvironmentBusy
from environment.outputs import EnvironmentOutputs
from environment.spec import EnvironmentSpec
from flows.plan import make_plan
from flows.provision import provision
from flows.tear_down import tear_down
from tasks import claim
from tasks.claim import WRITER

from ..sandbox.conftest import SandboxProcess
from .conftest import quicken, writes

pytestmark = pytest.mark.usefixtures("prefect_api")

CHANGED = {"log_retention_days": 60}
THEIRS = "abc123 the run brave-otter (1234) on elsewhere"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "LOOK_S", 0.05)


@pytest.fixture
def changed(spec: EnvironmentSpec) -> EnvironmentSpec:
    """The environment with something to write."""
    return spec.model_copy(update={"monitoring": spec.monitoring.model_copy(update=CHANGED)})


def tag(azure: SandboxProcess, group: str, operation: str, value: str) -> None:
    path = f"{group}/providers/Microsoft.Resources/tags/default"
    body = {"operation": operation, "properties": {"tags": {WRITER: value}}}
    answer = azure.arm("PATCH", path, body, api_version="2024-11-01")
    assert answer.status_code == 200, answer.text


def until(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")


def claims(ledger: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Operation and value of each claim that was written."""
    sent = [entry["body"] for entry in ledger if entry["operation"] == "Tags_UpdateAtScope"]
    return [(body["operation"], body["properties"]["tags"][WRITER]) for body in sent]


async def test_a_run_that_writes_claims_first_and_gives_back_at_the_end(
    azure: SandboxProcess, changed: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    since = len(azure.ledger())
    await provision(changed)
    sent = writes(azure.ledger()[since:])
    assert [entry["operation"] for entry in sent] == [
        "Tags_UpdateAtScope",
        "Workspaces_CreateOrUpdate",
        "Tags_UpdateAtScope",
    ]
    assert {entry["path"].split("/")[4] for entry in sent if entry["operation"].startswith("Tags")} == {
        environment.backup_group.name
    }
    (first, put), (second, given_back) = claims(sent)
    assert (first, second) == ("Merge", "Delete")
    assert "the run provision cnpg in canadacentral" in put
    assert put.endswith(given_back)


async def test_a_run_that_finds_nothing_to_write_leaves_no_trace(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    tag(azure, environment.backup_group.id, "Merge", f"{until(100)} {THEIRS}")
    since = len(azure.ledger())
    assert (await provision(spec)).is_unchanged
    assert (await make_plan(spec, recorded=False)).is_empty
    assert writes(azure.ledger()[since:]) == []


@pytest.mark.parametrize(
    "where", ["resource_group", pytest.param("backup_group", marks=pytest.mark.thorough)]
)
async def test_a_live_claim_of_another_server_refuses_and_says_whose(
    azure: SandboxProcess, changed: EnvironmentSpec, environment: EnvironmentOutputs, where: str
) -> None:
    tag(azure, getattr(environment, where).id, "Merge", f"{until(100)} {THEIRS}")
    since = len(azure.ledger())
    for run in (
        provision(changed, if_another_run="refuse"),
        tear_down(changed, "cnpg-canadacentral", if_another_run="refuse"),
    ):
        with pytest.raises(
            EnvironmentBusy,
            match=r"the run brave-otter \(1234\) on elsewhere \(until 20.* is writing to it, by the tag",
        ):
            await run
    assert writes(azure.ledger()[since:]) == []


@pytest.mark.thorough
async def test_a_live_claim_is_waited_for(
    azure: SandboxProcess, changed: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    theirs = f"{until(100)} {THEIRS}"
    tag(azure, environment.backup_group.id, "Merge", theirs)
    running = asyncio.create_task(provision(changed))
    done, _ = await asyncio.wait([running], timeout=3)
    assert not done
    tag(azure, environment.backup_group.id, "Delete", theirs)
    assert not (await running).is_unchanged


@pytest.mark.parametrize(
    "ending", ["2026-11-01T10:00:00+00:00", pytest.param("2126-11-01T10:00:00", marks=pytest.mark.thorough)]
)
@pytest.mark.thorough
async def test_a_claim_that_is_over_or_means_nothing_stops_nobody(
    azure: SandboxProcess, changed: EnvironmentSpec, environment: EnvironmentOutputs, ending: str
) -> None:
    tag(azure, environment.backup_group.id, "Merge", f"{ending} {THEIRS}")
    assert not (await provision(changed, if_another_run="refuse")).is_unchanged


@pytest.mark.thorough
async def test_a_claim_is_renewed_while_the_run_goes_on(
    azure: SandboxProcess, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "RENEW_S", 0.2)
    quicken(azure)
    await provision(spec)
    sent = claims(azure.ledger())
    assert [operation for operation, _ in sent[:3]] == ["Merge"] * 3
    assert sent[-1][0] == "Delete"
