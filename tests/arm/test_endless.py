"""Answers without an end: bodies that drip or never stop, pages after pages. Everything ends, with one fault."""

import asyncio
import gzip
import itertools
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp import web

from aks_postgres.arm import response_checks as responses
from aks_postgres.arm import responses as answers
from aks_postgres.arm.client import Azure, open_azure
from aks_postgres.arm.error_codes import rule_for
from aks_postgres.arm.errors import AzureRefused
from aks_postgres.arm.gate import Gate
from aks_postgres.arm.response_checks import is_list, list_problem, problem_of
from aks_postgres.arm.responses import ArmFault, wire_items
from aks_postgres.arm.retry import once, send
from aks_postgres.kubernetes.client import KubernetesApi
from aks_postgres.limits import limits
from aks_postgres.preflight.facts import pages
from azure_sandbox.client import SandboxProcess

from ..conftest import without_lock
from .test_session import READS, WRITES, write

JSON = {"content-type": "application/json"}


@pytest_asyncio.fixture
async def opened(azure: SandboxProcess) -> AsyncIterator[Azure]:
    async with open_azure(azure.subscription_id) as found:
        without_lock()
        yield found


@pytest.mark.parametrize("client", READS)
async def test_no_read_takes_more_than_the_limit(
    client: str, azure: SandboxProcess, opened: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "LARGEST_BYTES", 1000)
    azure.fault(
        {"status": 200, "raw_body": json.dumps({"id": "x" * 2000}), "headers": JSON}, path="/subscriptions/"
    )
    with pytest.raises(ArmFault) as caught:
        await send(*READS[client](opened))
    assert caught.value.code == "TooLarge"
    assert rule_for(caught.value).reaction == "stop"


@pytest.mark.parametrize("client", WRITES)
@pytest.mark.parametrize("status", [200, 500])
async def test_no_answer_to_a_write_takes_more_than_the_limit(
    client: str, status: int, azure: SandboxProcess, opened: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "LARGEST_BYTES", 1000)
    azure.fault(
        {"status": status, "raw_body": json.dumps({"id": "x" * 2000}), "headers": JSON},
        method="PUT",
        path="/subscriptions/",
    )
    with pytest.raises(ArmFault) as caught:
        await write(opened, client)
    assert caught.value.code == "TooLarge"


@pytest.mark.parametrize("client", READS)
async def test_an_answer_that_drips_is_given_up(
    client: str, azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drip(_: Any) -> bytes:
        await asyncio.sleep(30)
        return b"{}"

    monkeypatch.setattr(limits, "arm_read_s", 0.2)
    async with open_azure(azure.subscription_id) as found:
        # Once it has signed in.
        monkeypatch.setattr(responses, "read_bounded", drip)
        with pytest.raises(ArmFault, match=r"wasn't complete within 0\.4 s") as caught:
            await asyncio.wait_for(send(*READS[client](found)), 10)
    assert (caught.value.status, caught.value.code, caught.value.reached) == (None, "NoAnswerInTime", True)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_unpacks_to_more_than_the_limit_isnt_unpacked(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "LARGEST_BYTES", 10_000)
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    small, large = b"x" * 9_000, b"x" * 1_000_000
    for data, fits in ((small, True), (large, False)):
        packed = (
            gzip.compress(data) if encoding == "gzip" else raw.copy().compress(data) + _flushed(raw, data)
        )
        if fits:
            responses.see_size(packed, encoding)
        else:
            with pytest.raises(ArmFault, match="TooLarge"):
                responses.see_size(packed, encoding)
    with pytest.raises(ArmFault, match="UnreadableAnswer"):
        responses.see_size(b"\xffno archive", encoding)


def _flushed(packer: Any, data: bytes) -> bytes:
    again = packer.copy()
    return bytes(again.compress(data) + again.flush())[len(packer.copy().compress(data)) :]


def endless(azure: SandboxProcess, path: str, link: str) -> None:
    page = json.dumps({"value": [], "nextLink": link})
    azure.fault({"status": 200, "raw_body": page, "headers": JSON}, path=path, service="arm", times=10_000)


async def test_a_page_that_names_itself_ends_the_list(azure: SandboxProcess, opened: Azure) -> None:
    endless(
        azure, "/resourcegroups$|/locks$", f"{azure.endpoint}{azure.subscription}/resourcegroups?$skiptoken=1"
    )
    with pytest.raises(ArmFault, match="EndlessList: a page names a next page that was read before"):
        await once(lambda: wire_items(opened.resources.resource_groups.list()))
    endless(
        azure, "/locks$", f"{azure.endpoint}{azure.subscription}/providers/Microsoft.Authorization/locks?a=1"
    )
    with pytest.raises(AzureRefused, match="locks: HTTP 200 EndlessList"):
        await pages(
            opened, "locks", f"{azure.subscription}/providers/Microsoft.Authorization/locks", "2020-05-01"
        )


async def test_pages_without_an_end_end_the_list(
    azure: SandboxProcess, opened: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MOST_PAGES", 5)
    numbers = itertools.count()
    read = responses.read_bounded
    asked: list[str] = []

    async def ever_new(response: Any) -> bytes:
        await read(response)
        asked.append(response.url.path)
        return json.dumps(
            {
                "value": [],
                "nextLink": f"{azure.endpoint}{response.url.path}?api-version=2020-05-01&$skiptoken={next(numbers)}",
            }
        ).encode()

    monkeypatch.setattr(responses, "read_bounded", ever_new)
    with pytest.raises(ArmFault, match="EndlessList: it has more than 5 pages"):
        await once(lambda: wire_items(opened.resources.resource_groups.list()))
    assert len(asked) == 5
    with pytest.raises(AzureRefused, match="it has more than 5 pages"):
        await pages(
            opened, "locks", f"{azure.subscription}/providers/Microsoft.Authorization/locks", "2020-05-01"
        )


# Kubernetes.

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Callable[[Serve], Awaitable[KubernetesApi]]]:
    from kubernetes.aio.client import ApiClient, Configuration

    opened: list[Any] = []

    async def start(serve: Serve) -> KubernetesApi:
        app = web.Application()
        app.router.add_get("/{path:.*}", serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        client = ApiClient(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))
        opened.extend([client.close, runner.cleanup])
        return KubernetesApi(
            cast("Azure", SimpleNamespace(gate=Gate("read"), recording=None)), client, "rg", "aks"
        )

    yield start
    for close in opened:
        await close()


async def test_kubernetes_bodies_end(
    served: Callable[[Serve], Awaitable[KubernetesApi]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * (10_000 if "endless" in request.path else 1))
                await asyncio.sleep(0.05)
        except ConnectionError:
            return response

    monkeypatch.setattr(responses, "LARGEST_BYTES", 100_000)
    monkeypatch.setattr(limits, "kubernetes_request_s", 1)
    api = await served(serve)
    with pytest.raises(ArmFault, match="TooLarge"):
        await asyncio.wait_for(api.request("GET", "/endless"), 30)
    with pytest.raises(ArmFault, match="NoAnswer"):
        await asyncio.wait_for(api.request("GET", "/drips"), 30)


@pytest.mark.parametrize("token", ["same", "new"])
async def test_kubernetes_pages_end(
    served: Callable[[Serve], Awaitable[KubernetesApi]], token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count()

    async def serve(request: web.Request) -> web.StreamResponse:
        more = "x" if token == "same" else str(next(numbers))
        return web.json_response(
            {"kind": "PodList", "apiVersion": "v1", "items": [], "metadata": {"continue": more}}
        )

    monkeypatch.setattr(answers, "MOST_PAGES", 5)
    api = await served(serve)
    with pytest.raises(AzureRefused, match="GET /api/v1/pods: HTTP 200 EndlessList"):
        await api.list_of("/api/v1/pods", "Pod")
    if token == "new":
        assert next(numbers) == 5


async def test_a_list_that_changes_between_its_pages_is_read_anew(
    served: Callable[[Serve], Awaitable[KubernetesApi]],
) -> None:
    """410 Expired: https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks."""
    asked: list[str | None] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        asked.append(request.query.get("continue"))
        pod = {"metadata": {"name": f"p{len(asked)}", "namespace": "x"}}
        page = {"kind": "PodList", "apiVersion": "v1", "items": [pod], "metadata": {}}
        if asked[-1] is None:
            return web.json_response(page | {"metadata": {"continue": "more", "remainingItemCount": 1}})
        if len(asked) == 2:
            return web.json_response({"kind": "Status", "reason": "Expired", "code": 410}, status=410)
        return web.json_response(page)

    api = await served(serve)
    found = await api.list_of("/api/v1/pods", "Pod")
    assert found is not None
    assert [pod["metadata"]["name"] for pod in found] == ["p3", "p4"]
    assert asked == [None, "more", None, "more"]


# Shapes.


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/subscriptions/s/resourcegroups", True),
        ("/subscriptions/s/resourcegroups/g", False),
        ("/subscriptions/s/resourceGroups/g/resources", True),
        ("/subscriptions/s", False),
        ("/subscriptions", True),
        ("/subscriptions/s/locations", True),
        ("/subscriptions/s/providers", True),
        ("/subscriptions/s/providers/Microsoft.Compute", False),
        ("/subscriptions/s/providers/Microsoft.Compute/skus", True),
        ("/subscriptions/s/providers/Microsoft.Compute/locations/r/usages", True),
        ("/subscriptions/s/providers/Microsoft.Authorization/locks", True),
        ("/subscriptions/s/resourceGroups/g/providers/Microsoft.Authorization/locks", True),
        ("/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c", False),
        ("/subscriptions/s/resourceGroups/g/providers/M.C/managedClusters/c/agentPools", True),
        (
            "/subscriptions/s/resourceGroups/g/providers/M.C/managedClusters/c/providers/M.I/associations/a",
            False,
        ),
        (
            "/subscriptions/s/resourceGroups/g/providers/M.C/managedClusters/c/providers/M.I/associations",
            True,
        ),
        ("/subscriptions/s/providers/M.C/locations/r/operations/1", False),
        ("/subscriptions/s/operationresults/1", False),
    ],
)
def test_a_path_that_ends_in_a_type_is_a_list_s(path: str, expected: bool) -> None:
    assert is_list(path.strip("/").casefold().split("/")) is expected


GROUP = "/subscriptions/s/resourceGroups/g"


@pytest.mark.parametrize(
    "body",
    [
        {"id": "/subscriptions/s/resourceGroups/other"},
        {},
        {"id": None, "name": "g"},
        {"id": GROUP, "properties": []},
        {"id": GROUP, "tags": ["x"]},
        {"id": GROUP, "tags": {"state": 7}},
        {"id": GROUP, "name": 7},
        {"id": GROUP, "location": {}},
        {"id": GROUP, "managedBy": 1},
        {"id": GROUP, "identity": "SystemAssigned"},
        {"id": GROUP, "properties": {"provisioningState": 7}},
        {"value": []},
        [],
        None,
        7,
        "text",
    ],
)
def test_what_isnt_the_resource_asked_for_is_no_answer(body: Any) -> None:
    url = f"https://management.azure.com{GROUP}?api-version=2024-11-01"
    # An empty object is left to whoever reads a resource: an operation's result may be empty.
    assert bool(problem_of("GET", url, body)) is (body != {})


def test_a_resource_is_an_answer_whatever_its_id_s_case() -> None:
    live = {"id": GROUP.upper(), "name": "g", "tags": {"a": "b", "c": None}, "properties": None}
    assert problem_of("GET", f"https://management.azure.com{GROUP}", live) == ""
    assert (
        problem_of("GET", "https://x/subscriptions/s/providers/M/locations/r/operations/1", {"status": "x"})
        == ""
    )
    assert problem_of("PUT", f"https://management.azure.com{GROUP}", {}) == ""


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        ("resourcegroups", {"name": "g"}),
        ("resourcegroups", {"id": GROUP}),
        ("resources", {"id": f"{GROUP}/providers/a/b/c", "name": "c"}),
        ("resources", {"id": GROUP, "name": "g", "type": "x"}),
        ("locks", {"id": GROUP, "name": "keep"}),
        ("deletedworkspaces", {"id": "/x/workspaces/w"}),
        ("roleassignments", {"id": "/x/roleAssignments/r", "properties": {"scope": "/"}}),
        ("anything", None),
        ("anything", {"tags": {"a": []}}),
    ],
)
def test_an_entry_without_what_its_kind_has_makes_the_list_no_answer(kind: str, entry: Any) -> None:
    assert list_problem({"value": [entry]}, kind)
