"""Never two runs that write to one environment: the second waits or is refused, and a lost lock ends a run."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import PrefectHTTPStatusError

from cloud.errors import EnvironmentBusy, ForgetfulServer
from environment.outputs import EnvironmentOutputs
from environment.spec import EnvironmentSpec
from flows import _one_writer
from flows._one_writer import IfAnotherRun, _server_id, lock_name, one_writer
from flows._session import run_session
from flows.provision import provision
from flows.tear_down import tear_down

from ..conftest import spec_for
from ..sandbox.conftest import SandboxProcess
from .conftest import quicken, writes

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_one_writer, "LOOK_S", 0.1)


@asynccontextmanager
async def writing(spec: EnvironmentSpec, if_another_run: IfAnotherRun = "wait") -> AsyncIterator[None]:
    """As a run does it that writes."""
    async with run_session(spec), one_writer(spec, if_another_run):
        yield


@flow(name="holder", flow_run_name="hold the lock")
async def hold(spec: EnvironmentSpec, taken: asyncio.Event, done: asyncio.Event) -> None:
    async with writing(spec):
        taken.set()
        await done.wait()


@asynccontextmanager
async def held(spec: EnvironmentSpec) -> AsyncIterator[None]:
    """While inside, a run called `hold the lock` is the one writer."""
    taken, done = asyncio.Event(), asyncio.Event()
    holding = asyncio.create_task(hold(spec, taken, done))
    await taken.wait()
    try:
        yield
    finally:
        done.set()
        await holding


async def slots(client: PrefectClient, spec: EnvironmentSpec) -> int:
    return int((await client.read_global_concurrency_limit_by_name(lock_name(spec))).active_slots)


async def take(client: PrefectClient, spec: EnvironmentSpec) -> UUID:
    """Take the lock as a run that never renews it."""
    answer = await client.increment_concurrency_slots_with_lease([lock_name(spec)], 1, "concurrency", 60)
    return UUID(answer.json()["lease_id"])


async def free(client: PrefectClient, spec: EnvironmentSpec) -> None:
    """Take away the lock of whoever holds it, as a server does that has lost it."""
    for path, lease in leases(await folder_of(client)).items():
        limit = await client.read_global_concurrency_limit_by_name(lock_name(spec))
        if str(limit.id) in lease["resource_ids"]:
            await client.release_concurrency_slots_with_lease(UUID(path.stem))


async def folder_of(client: PrefectClient) -> Path:
    settings = (await client.request("GET", "/admin/settings")).json()
    return Path(settings["home"]) / "concurrency_leases"


def leases(folder: Path) -> dict[Path, Any]:
    found = [path for path in folder.glob("*.json") if path.name != "expirations.json"]
    return {path: json.loads(path.read_text()) for path in found}


async def test_of_two_runs_started_together_one_writes_and_the_other_waits_and_finds_it_done(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    quicken(azure)
    first, second = await asyncio.gather(provision(spec), provision(spec))
    assert sorted([first.is_unchanged, second.is_unchanged]) == [False, True]
    puts = [entry for entry in writes(azure.ledger()) if entry["method"] == "PUT" and entry["status"] == 201]
    created = [entry["path"].lower() for entry in puts]
    assert len(created) == len(set(created)), "each resource is created once"
    async with get_client() as client:
        assert await slots(client, spec) == 0


async def test_a_second_run_is_refused_where_that_is_wanted_and_told_who_writes(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    since = len(azure.ledger())
    async with held(spec):
        for run in (
            provision(spec, if_another_run="refuse"),
            tear_down(spec, "cnpg-canadacentral", if_another_run="refuse"),
        ):
            with pytest.raises(
                EnvironmentBusy,
                match=r"^cnpg-canadacentral: the run hold the lock \(.*\) on .*, since 20.* UTC is ",
            ):
                await run
    assert writes(azure.ledger()[since:]) == []
    assert (await provision(spec, if_another_run="refuse")).is_unchanged


@pytest.mark.thorough
async def test_runs_of_other_environments_do_not_wait(spec: EnvironmentSpec, azure: SandboxProcess) -> None:
    async with held(spec):
        for other in (spec_for(azure, region="westus3"), spec_for(azure, name="other")):
            async with writing(other, "refuse"):
                pass


async def test_a_flow_inside_another_shares_its_lock(spec: EnvironmentSpec) -> None:
    async with writing(spec), writing(spec, "refuse"), get_client() as client:
        assert await slots(client, spec) == 1
    async with get_client() as client:
        assert await slots(client, spec) == 0


async def test_a_lock_that_the_server_lost_is_taken_again(
    spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_one_writer, "RENEW_S", 0.2)
    async with get_client() as client, writing(spec):
        lost = set(leases(await folder_of(client)))
        await free(client, spec)
        async with asyncio.timeout(120):
            while await slots(client, spec) == 0 or not set(leases(await folder_of(client))) - lost:
                await asyncio.sleep(0.1)


async def test_a_run_whose_lost_lock_another_has_taken_stops(
    spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_one_writer, "RENEW_S", 1.0)
    async with get_client() as client:
        taken = []

        async def lose() -> None:
            async with writing(spec):
                while not taken:
                    await free(client, spec)
                    with suppress(PrefectHTTPStatusError):  # the run was quicker and has it again
                        taken.append(await take(client, spec))
                await asyncio.sleep(20)

        with pytest.raises(EnvironmentBusy, match=r"lost this run's lock, and the run .* has taken it"):
            async with asyncio.timeout(60):
                await lose()
        await client.release_concurrency_slots_with_lease(taken[0])


async def test_a_lock_that_a_person_switched_off_is_switched_on_again(spec: EnvironmentSpec) -> None:
    async with writing(spec):
        pass
    async with get_client() as client:
        await client.request(
            "PATCH", f"/v2/concurrency_limits/{lock_name(spec)}", json={"active": False, "limit": 5}
        )
    async with writing(spec), get_client() as client:
        found = await client.read_global_concurrency_limit_by_name(lock_name(spec))
        assert (found.active, found.limit, found.active_slots) == (True, 1, 1)


async def test_a_server_that_would_forget_the_lock_is_refused(
    azure: SandboxProcess, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PrefectClient.request

    async def forgetful(self: PrefectClient, method: Any, path: Any, *args: Any, **options: Any) -> Any:
        answer = await real(self, method, path, *args, **options)
        if path == "/admin/settings":
            text = answer.text.replace("lease_storage.filesystem", "lease_storage.memory")
            answer._content = text.encode()
        return answer

    monkeypatch.setattr(PrefectClient, "request", forgetful)
    with pytest.raises(ForgetfulServer, match="PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"):
        await provision(spec)
    assert writes(azure.ledger()) == []


def test_servers_on_the_loopback_of_two_machines_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    local, shared = "http://127.0.0.1:4200/api", "https://prefect.example.com/api"
    here = [_server_id(url) for url in (local, shared)]
    monkeypatch.setattr("socket.gethostname", lambda: "another machine")
    there = [_server_id(url) for url in (local, shared)]
    assert here[0] != there[0]
    assert here[1] == there[1]
