"""Never two runs that write to one environment: whoever comes later waits or is refused, whoever slept is stopped."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from prefect import flow

from aks_postgres.arm import clock, gate
from aks_postgres.arm.client import current_azure
from aks_postgres.arm.errors import WouldWrite
from aks_postgres.arm.gate import Elapsed, Gate, Write
from aks_postgres.arm.responses import ArmFault
from aks_postgres.arm.retry import send
from aks_postgres.errors import PermanentError
from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import provision
from aks_postgres.flows.rebuild import rebuild
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.limits import limits
from aks_postgres.reports.journal import Journal, use_journal
from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.resources.kinds import is_foundation
from aks_postgres.runs import write_lock
from aks_postgres.runs.errors import EnvironmentBusy
from aks_postgres.runs.one_writer import IfAnotherRun, lock_of, one_writer
from aks_postgres.runs.session import run_session
from aks_postgres.runs.write_lock import CONTAINER, HEARTBEAT, WriteLock
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess

from ..cases import shown
from ..conftest import each_request, spec_for
from .conftest import quicken, without_lock_traffic, writes

pytestmark = pytest.mark.usefixtures("prefect_api")

KEY = "cnpg-canadacentral"
THEIRS = "the run brave-otter (1234) on elsewhere"


def may_come_first(entry: dict[str, Any]) -> bool:
    """Whether what the sandbox received may be made before there is a lock."""
    return is_foundation(entry["path"]) or Write(entry["method"], entry["path"]).is_foundation


AN_UPDATE = Write("PUT", "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/publicIPAddresses/ip")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lock seconds that are too short to work with on Azure, and enough to see an order."""
    monkeypatch.setattr(write_lock, "LOOK_S", 0.5)
    monkeypatch.setattr(write_lock, "WATCH_S", 8)
    monkeypatch.setattr(write_lock, "SETTLE_S", 0.7)


@pytest.fixture
def changed(spec: EnvironmentSpec) -> EnvironmentSpec:
    """The environment with something to write."""
    monitoring = spec.monitoring.model_copy(update={"log_retention_days": 60})
    return spec.model_copy(update={"monitoring": monitoring})


@asynccontextmanager
async def writing(spec: EnvironmentSpec, if_another_run: IfAnotherRun = "wait") -> AsyncIterator[WriteLock]:
    """As a run does it that writes."""
    async with run_session(spec) as run, one_writer(run.azure, spec, if_another_run) as lock:
        await lock.secure()
        yield lock


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
    await asyncio.wait([asyncio.ensure_future(taken.wait()), holding], return_when=asyncio.FIRST_COMPLETED)
    assert not holding.done(), await holding
    try:
        yield
    finally:
        done.set()
        await holding


def now(azure: SandboxProcess) -> datetime:
    """Azure's time."""
    return datetime.fromisoformat(azure.control("GET", "clock")["now"])


def container_of(outputs: EnvironmentOutputs) -> str:
    return f"{outputs.storage_account.id}/blobServices/default/containers/{CONTAINER}"


def lease(azure: SandboxProcess, outputs: EnvironmentOutputs, **body: Any) -> Any:
    """An action on the lease, as another run does it."""
    path = container_of(outputs)
    if azure.arm("GET", path, api_version="2024-01-01").status_code == 404:
        azure.arm("PUT", path, {"properties": {}}, api_version="2024-01-01")
    return azure.arm("POST", f"{path}/lease", body, api_version="2024-01-01")


def lease_state(azure: SandboxProcess, outputs: EnvironmentOutputs) -> str:
    return str(
        azure.arm("GET", container_of(outputs), api_version="2024-01-01").json()["properties"]["leaseState"]
    )


def write_heartbeat(azure: SandboxProcess, outputs: EnvironmentOutputs, text: str) -> None:
    path = f"{outputs.backup_group.id}/providers/Microsoft.Resources/tags/default"
    body = {"operation": "Merge", "properties": {"tags": {HEARTBEAT: text}}}
    answer = azure.arm("PATCH", path, body, api_version="2024-11-01")
    assert answer.status_code == 200, answer.text


def heartbeat(azure: SandboxProcess, outputs: EnvironmentOutputs) -> str | None:
    group = azure.arm("GET", outputs.backup_group.id, api_version="2024-11-01").json()
    return (group.get("tags") or {}).get(HEARTBEAT)


def is_free(azure: SandboxProcess, outputs: EnvironmentOutputs) -> bool:
    return (lease_state(azure, outputs), heartbeat(azure, outputs)) == ("Available", None)


async def may_write_again(spec: EnvironmentSpec) -> None:
    """See that the next run has the lock, and goes on."""
    async with writing(spec, "refuse") as lock:
        assert await lock.admit(AN_UPDATE) == f"lease {lock.guid}"


def sleep_and_wake(lock: WriteLock) -> None:
    """Let a run have slept for longer than its heartbeat lasts: nothing of it ran meanwhile."""
    assert lock._good is not None
    lock._good._boot_s -= 1000
    lock._good._wall_s -= 1000


# Two runs.


async def test_of_two_runs_started_together_one_writes_and_the_other_waits(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    quicken(azure)
    first, second = await asyncio.gather(provision(spec), provision(spec))
    assert not (first.is_unchanged and second.is_unchanged)
    # Both may found it, with the same names; all else is one run's, whichever has the lock first.
    writers = {
        entry["correlation_id"]
        for entry in without_lock_traffic(writes(azure.ledger()))
        if entry["service"] == "arm" and not may_come_first(entry)
    }
    assert len(writers) == 1
    assert is_free(azure, first)


async def test_a_second_run_is_refused_where_that_is_wanted_and_told_who_writes(
    azure: SandboxProcess, changed: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    async with held(changed):
        since = len(azure.ledger())
        for run in (
            provision(changed, if_another_run="refuse"),
            tear_down(changed, KEY, if_another_run="refuse"),
            rebuild(changed, KEY, if_another_run="refuse"),
        ):
            with pytest.raises(
                EnvironmentBusy,
                match=r"^cnpg-canadacentral: the run hold the lock \(.*\) on .* is writing to it. Nothing was written",
            ):
                await run
        sent = writes(azure.ledger()[since:])
        assert {entry["operation"] for entry in sent} <= {"Tags_UpdateAtScope"}, (
            "but for the holder's heartbeat"
        )
    assert not (await provision(changed, if_another_run="refuse")).is_unchanged


async def test_a_run_that_others_keep_waiting_for_hours_says_whom_to_look_at(
    changed: EnvironmentSpec, environment: EnvironmentOutputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "other_run_s", 0.0)
    async with held(changed):
        with pytest.raises(
            EnvironmentBusy,
            match=r"the run hold the lock .* was waited for 0 minutes\. Nothing was written\. Look at that run",
        ):
            await provision(changed)
    await may_write_again(changed)


async def test_runs_of_other_environments_do_not_wait(spec: EnvironmentSpec, azure: SandboxProcess) -> None:
    async with held(spec):
        for other in (spec_for(azure, region="westus3"), spec_for(azure, name="other")):
            async with writing(other, "refuse"):
                pass


async def test_a_flow_inside_another_shares_its_lock(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    since = len(azure.ledger())
    async with writing(spec) as outer, writing(spec, "refuse") as inner:
        assert inner is outer
        assert lease_state(azure, environment) == "Leased"
    sent = [entry["body"]["action"] for entry in azure.ledger(operation="BlobContainers_Lease")[-2:]]
    assert sent == ["Acquire", "Release"]
    assert len(azure.ledger()) > since
    assert is_free(azure, environment)


async def test_a_run_that_finds_nothing_to_write_leaves_no_trace(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    since = len(azure.ledger())
    assert (await provision(spec)).is_unchanged
    assert (await make_plan(spec, recorded=False)).is_empty
    assert writes(azure.ledger()[since:]) == []


async def test_the_lease_comes_before_the_heartbeat_and_both_before_any_write(
    azure: SandboxProcess, changed: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    since = len(azure.ledger())
    await provision(changed)
    sent = [entry["operation"] for entry in writes(azure.ledger()[since:])]
    assert sent[:2] == ["BlobContainers_Lease", "Tags_UpdateAtScope"]
    assert sent[-2:] == ["Tags_UpdateAtScope", "BlobContainers_Lease"]
    assert "Workspaces_Update" in sent[2:-2]
    assert is_free(azure, environment)


# Sleepers.


@pytest.mark.parametrize(
    "meanwhile",
    [
        "takes over and ends",
        pytest.param("takes over and goes on", marks=pytest.mark.thorough),
        pytest.param("nobody came", marks=pytest.mark.thorough),
    ],
)
async def test_whoever_slept_writes_only_if_nobody_came_meanwhile(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, meanwhile: str
) -> None:
    async with run_session(spec):
        sleeper = lock_of(current_azure(), spec, "the sleeper")
        await sleeper.secure()
        assert sleeper._heart is not None
        sleeper._heart.cancel()
        azure.step(20_000)
        other = lock_of(current_azure(), spec, THEIRS)
        if meanwhile != "nobody came":
            await other.secure()
        if meanwhile == "takes over and ends":
            await other._give_back()
        sleep_and_wake(sleeper)
        if meanwhile == "nobody came":
            assert await sleeper.admit(AN_UPDATE) == f"lease {sleeper.guid}"
            await sleeper._give_back()
        else:
            for _ in range(2):
                with pytest.raises(EnvironmentBusy, match="this run slept"):
                    await sleeper.admit(AN_UPDATE)
            since = len(azure.ledger())
            await sleeper._give_back()
            sent = [entry["operation"] for entry in writes(azure.ledger()[since:])]
            assert "Tags_UpdateAtScope" not in sent, "the heartbeat is another run's by now"
            await other._give_back()
            await may_write_again(spec)
    assert is_free(azure, environment)


@pytest.mark.parametrize(
    ("there_was", "noticed"),
    shown(
        [
            ("nothing yet", "by the write itself"),
            ("an environment", "by its watch"),
            ("nothing yet", "by its watch"),
            ("an environment", "by the write itself"),
        ]
    ),
)
async def test_whoever_slept_before_it_had_the_lock_writes_nothing(
    azure: SandboxProcess, spec: EnvironmentSpec, request: pytest.FixtureRequest, there_was: str, noticed: str
) -> None:
    if there_was == "an environment":
        request.getfixturevalue("environment")
    a_foundation = Write("PUT", "/subscriptions/s/resourceGroups/rg", "foundation")
    since = len(azure.ledger())
    async with run_session(spec) as run, one_writer(run.azure, spec) as lock:
        if there_was == "nothing yet":
            assert await lock.admit(a_foundation) == "a foundation, as there is nothing to lock yet"
        lock._awake._boot_s -= 1000
        if noticed == "by its watch":
            await asyncio.sleep(clock.lock_real_s(4 * write_lock.LOOK_S))
        for write in (a_foundation, AN_UPDATE):
            with pytest.raises(
                EnvironmentBusy,
                match=r"this run slept before it had the lock.* Run again to go on from there\.",
            ):
                await lock.admit(write)
    assert writes(azure.ledger()[since:]) == []
    if there_was == "an environment":
        await may_write_again(spec)


@pytest.mark.parametrize("had_it", [False, True])
async def test_what_a_run_finds_after_it_slept_is_no_reason_to_do_anything(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, had_it: bool
) -> None:
    async def find_half() -> None:
        async with run_session(spec) as run, one_writer(run.azure, spec) as lock:
            if had_it:
                await lock.secure()
                assert lock._heart is not None
                lock._heart.cancel()
                until = (now(azure) + timedelta(seconds=clock.lock_azure_s(60))).isoformat()
                write_heartbeat(azure, environment, f"{uuid4()} {until} {THEIRS}")
                sleep_and_wake(lock)
            else:
                lock._awake._boot_s -= 1000
            raise PermanentError(
                "AKS cluster: its node group is gone. Make the environment anew.", way_out="Look."
            )

    with pytest.raises(EnvironmentBusy, match="brave-otter" if had_it else "slept before it had the lock"):
        await find_half()


async def test_a_plan_that_another_run_has_overtaken_is_not_carried_out(
    azure: SandboxProcess, changed: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    async with run_session(changed) as run, one_writer(run.azure, changed) as lock:
        azure.arm("DELETE", environment.resource_group.id, api_version="2024-11-01")
        azure.step(10_000)
        since = len(azure.ledger())
        with pytest.raises(
            EnvironmentBusy, match=f"another run has removed {environment.resource_group.name}.* Run again\\."
        ):
            await lock.admit(AN_UPDATE)
    sent = {entry["operation"] for entry in writes(azure.ledger()[since:])}
    assert sent <= {"BlobContainers_Lease", "Tags_UpdateAtScope"}
    await may_write_again(changed)
    assert is_free(azure, environment)


async def test_a_run_that_loses_its_lock_is_ended(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    async def lose() -> None:
        async with writing(spec) as lock:
            until = (now(azure) + timedelta(seconds=clock.lock_azure_s(60))).isoformat()
            write_heartbeat(azure, environment, f"{uuid4()} {until} {THEIRS}")
            sleep_and_wake(lock)
            await asyncio.sleep(600)

    with pytest.raises(EnvironmentBusy, match="brave-otter"):
        await lose()


async def test_no_write_lasts_longer_than_the_lock_is_certain(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    async with writing(spec) as lock:
        gate = current_azure().gate
        longest_s = clock.lock_real_s(15)
        assert gate.limit_s(AN_UPDATE) == pytest.approx(longest_s)
        assert lock._good is not None
        lock._good._boot_s -= clock.lock_real_s(35)
        assert 0 < gate.limit_s(AN_UPDATE) <= clock.lock_real_s(5)
        lock._good._boot_s -= clock.lock_real_s(10)
        asked = mock.patch.object(
            lock, "_beat", side_effect=EnvironmentBusy("asked the lock first", way_out="Wait.")
        )
        with asked, pytest.raises(EnvironmentBusy, match="asked the lock first"):
            await lock.admit(AN_UPDATE)


# What dead runs leave.


DEAD: dict[str, tuple[str | None, bool]] = {
    "overdue, under the lease's GUID": ("{guid} {overdue} " + THEIRS, True),
    "overdue, under another GUID": ("{other} {overdue} " + THEIRS, True),
    "none": (None, True),
    "ends in 2099": ("{guid} 2099-01-01T00:00:00+00:00 " + THEIRS, True),
    "ends in 2099, without a lease": ("{guid} 2099-01-01T00:00:00+00:00 " + THEIRS, False),
    "ends at the end of time": ("{guid} 9999-12-31T23:59:59-23:59 " + THEIRS, True),
    "of an earlier version, ends in 2099": ("2099-01-01T00:00:00+00:00 abc123 " + THEIRS, False),
    "can't be read": ("whatever", True),
    "of an earlier version, overdue": ("{overdue} abc123 " + THEIRS, False),
    "written by hand": ("somebody was here", False),
    "overdue, without a lease": ("{guid} {overdue} " + THEIRS, False),
}


@pytest.mark.parametrize(
    "left",
    [
        one
        if one in ("overdue, under another GUID", "none")
        else pytest.param(one, marks=pytest.mark.thorough)
        for one in DEAD
    ],
)
async def test_what_a_dead_run_left_is_taken_over(
    azure: SandboxProcess, changed: EnvironmentSpec, environment: EnvironmentOutputs, left: str
) -> None:
    text, is_leased = DEAD[left]
    guid = str(uuid4())
    if is_leased:
        assert (
            lease(azure, environment, action="Acquire", leaseDuration=-1, proposedLeaseId=guid).status_code
            == 200
        )
    if text is not None:
        overdue = (now(azure) - timedelta(seconds=5)).isoformat(timespec="seconds")
        write_heartbeat(azure, environment, text.format(guid=guid, other=uuid4(), overdue=overdue))
    assert not (await provision(changed)).is_unchanged
    if is_leased:
        assert is_free(azure, environment)
    assert heartbeat(azure, environment) is None


@pytest.mark.thorough
async def test_whoever_lives_with_an_end_in_2099_is_waited_for(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    """Such an end isn't believed: it is watched, and that it is written anew is what shows that somebody lives."""
    guid = str(uuid4())
    lease(azure, environment, action="Acquire", leaseDuration=-1, proposedLeaseId=guid)

    async def live() -> None:
        for beat in range(100):
            write_heartbeat(azure, environment, f"{guid} 2099-01-01T00:00:{beat % 60:02}+00:00 {THEIRS}")
            await asyncio.sleep(clock.lock_real_s(write_lock.WATCH_S / 3))

    async with run_session(spec):
        living = asyncio.create_task(live())
        waiting = asyncio.create_task(lock_of(current_azure(), spec, "the second").secure())
        done, _ = await asyncio.wait({waiting}, timeout=clock.lock_real_s(3 * write_lock.WATCH_S))
        assert not done
        living.cancel()
        await waiting


@pytest.mark.parametrize("is_leased", shown([True, False], first=1))
async def test_whoever_lives_is_waited_for(
    azure: SandboxProcess, changed: EnvironmentSpec, environment: EnvironmentOutputs, is_leased: bool
) -> None:
    guid = str(uuid4())
    if is_leased:
        lease(azure, environment, action="Acquire", leaseDuration=-1, proposedLeaseId=guid)
    lives = clock.lock_azure_s(write_lock.LIVES_S)
    write_heartbeat(
        azure, environment, f"{guid} {(now(azure) + timedelta(seconds=lives)).isoformat()} {THEIRS}"
    )
    since = len(azure.ledger())
    with pytest.raises(EnvironmentBusy, match="the run brave-otter"):
        await provision(changed, if_another_run="refuse")
    assert writes(azure.ledger()[since:]) == []


@pytest.mark.thorough
async def test_of_many_that_take_over_at_once_one_does(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    guid = str(uuid4())
    lease(azure, environment, action="Acquire", leaseDuration=-1, proposedLeaseId=guid)
    write_heartbeat(azure, environment, f"{guid} {(now(azure) - timedelta(seconds=5)).isoformat()} {THEIRS}")
    inside, most = 0, 0

    async def write(n: int) -> None:
        nonlocal inside, most
        lock = lock_of(current_azure(), spec, f"run {n}")
        await lock.secure()
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.2)
        assert await lock.admit(AN_UPDATE)
        inside -= 1
        await lock._give_back()

    async with run_session(spec):
        await asyncio.gather(*(write(n) for n in range(6)))
    assert most == 1
    assert is_free(azure, environment)


@pytest.mark.thorough
@pytest.mark.parametrize("operation", ["BlobContainers_Lease", "Tags_UpdateAtScope", "BlobContainers_Create"])
@pytest.mark.parametrize("cut", ["before", "after"])
async def test_an_answer_about_the_lock_that_gets_lost_is_asked_for_again(
    azure: SandboxProcess, changed: EnvironmentSpec, environment: EnvironmentOutputs, operation: str, cut: str
) -> None:
    if operation == "BlobContainers_Create":
        azure.arm("DELETE", container_of(environment), api_version="2024-01-01")
    azure.fault({"cut": cut}, operation=operation, nth=1)
    assert not (await provision(changed)).is_unchanged
    assert is_free(azure, environment)


# The gate.


@contextmanager
def gates() -> Iterator[list[Gate]]:
    """The gates of the sessions that are opened inside."""
    found: list[Gate] = []
    made = Gate.__init__

    def noted(self: Gate, mode: gate.Mode) -> None:
        made(self, mode)
        found.append(self)

    with mock.patch.object(Gate, "__init__", noted):
        yield found


def without_record(ledger: list[dict[str, Any]], every: list[Gate]) -> list[str]:
    """Writes that no gate let through."""
    passed = {one.request_id for each in every for one in each.passed}
    return [
        f"{entry['method']} {entry['path']}"
        for entry in writes(ledger)
        if entry["client_request_id"] not in passed
    ]


FLOWS: dict[str, Callable[[EnvironmentSpec], Awaitable[Any]]] = {
    "provision": provision,
    "tear_down": lambda spec: tear_down(spec, KEY),
    "rebuild": lambda spec: rebuild(spec, KEY),
}


@pytest.mark.parametrize(
    "name",
    # A rebuild holds the other two.
    ["rebuild", *(pytest.param(one, marks=pytest.mark.thorough) for one in ("provision", "tear_down"))],
)
async def test_every_write_has_passed_the_gate(
    azure: SandboxProcess, spec: EnvironmentSpec, request: pytest.FixtureRequest, name: str
) -> None:
    if name == "provision":
        azure.settings(registered={"Microsoft.Monitor": False})
        quicken(azure)
    else:
        request.getfixturevalue("environment")
    since = len(azure.ledger())
    with gates() as every:
        await FLOWS[name](spec)
    ledger = azure.ledger()[since:]
    assert len(writes(ledger)) > 20
    assert without_record(ledger, every) == []
    # Each operation of a run is found in the activity log by one ID.
    assert {e["correlation_id"] for e in writes(ledger) if e["service"] == "arm"} <= {
        one.run_id for one in every
    }


async def test_before_there_is_a_lock_only_foundations_are_made(
    azure: SandboxProcess, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Azure's seconds, of which a busy machine lets hundreds pass before the account is asked for.
    monkeypatch.setattr(write_lock, "FOUNDED_WITHIN_S", 100_000)
    quicken(azure)
    await provision(spec)
    sent = writes(azure.ledger())
    first = next(n for n, entry in enumerate(sent) if entry["operation"] == "BlobContainers_Lease")
    for entry in sent[:first]:
        assert may_come_first(entry), entry["path"]
        assert entry["status"] in (200, 201, 202), entry
    kinds = {entry["operation"] for entry in sent[first:]}
    assert {"ManagedClusters_CreateOrUpdate", "RoleAssignments_Create"} <= kinds


async def test_a_group_without_an_account_is_locked_by_its_heartbeat_alone(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    azure.arm("DELETE", environment.storage_account.id, api_version="2024-01-01")
    async with run_session(spec):
        first, second = (
            lock_of(current_azure(), spec, "the first"),
            lock_of(current_azure(), spec, "the second", "refuse"),
        )
        await first.secure()
        with pytest.raises(EnvironmentBusy, match="the first"):
            await second.secure()
        assert await first.admit(AN_UPDATE)
        await first._give_back()


# An account that comes after the lock was taken.


@asynccontextmanager
async def without_account(
    azure: SandboxProcess, spec: EnvironmentSpec, outputs: EnvironmentOutputs, *, is_created: bool = True
) -> AsyncIterator[WriteLock]:
    """The lock of a run that found no account; as it is left where a run ends while it is being made."""
    path = outputs.storage_account.id
    body = azure.arm("GET", path, api_version="2024-01-01").json()
    azure.arm("DELETE", path, api_version="2024-01-01")
    async with run_session(spec) as run, one_writer(run.azure, spec) as lock:
        await lock.secure()
        assert [held.has_lease for held in lock._held] == [False]
        if is_created:
            create_account(azure, path, body)
        yield lock


def create_account(azure: SandboxProcess, path: str, body: dict[str, Any]) -> None:
    wanted = {key: body[key] for key in ("location", "sku", "kind", "tags")}
    assert azure.arm("PUT", path, wanted, api_version="2024-01-01").status_code == 202


async def test_the_lease_on_an_account_that_comes_later_is_taken_before_the_next_write(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    async with without_account(azure, spec, environment) as lock:
        azure.step(60)
        assert await lock.admit(AN_UPDATE) == f"lease {lock.guid}"
        assert lease_state(azure, environment) == "Leased"
        assert str(heartbeat(azure, environment)).startswith(lock.guid)
    assert is_free(azure, environment)


async def test_an_account_that_is_being_made_is_waited_for_while_the_heart_beats(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    azure.settings(durations={"storage_account_create": 100_000})
    async with without_account(azure, spec, environment) as lock:
        writing = asyncio.create_task(lock.admit(AN_UPDATE))
        for _ in range(3):
            before = heartbeat(azure, environment)
            azure.step(30)
            await lock._beat(even_if_good=True)
            assert heartbeat(azure, environment) != before
        assert not writing.done()
        azure.step(100_000)
        assert await writing == f"lease {lock.guid}"
        assert lease_state(azure, environment) == "Leased"
    assert is_free(azure, environment)


@contextmanager
def in_its_look(turn: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """Let something happen once, just before a run looks for the lock's container."""
    turns = [turn]

    async def before(_method: str, path: str) -> None:
        if turns and path.endswith(f"/containers/{write_lock.CONTAINER}"):
            await turns.pop()()

    with each_request(before):
        yield


GROUPS, ACCOUNTS = "2024-11-01", "2024-01-01"


@dataclass
class Backups:
    """The backup group and its account, taken away from an environment, and put back as its founder does it."""

    azure: SandboxProcess
    outputs: EnvironmentOutputs
    group: dict[str, Any] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)

    def take_away(self) -> None:
        group, account = self.outputs.backup_group.id, self.outputs.storage_account.id
        self.group = self.azure.arm("GET", group, api_version=GROUPS).json()
        self.account = self.azure.arm("GET", account, api_version=ACCOUNTS).json()
        assert self.azure.arm("DELETE", group, api_version=GROUPS).status_code == 202
        self.azure.step(20_000)

    def put_back(self) -> None:
        wanted = {key: self.group[key] for key in ("location", "tags")}
        assert self.azure.arm("PUT", self.outputs.backup_group.id, wanted, api_version=GROUPS).ok
        create_account(self.azure, self.outputs.storage_account.id, self.account)
        self.azure.step(60)


@pytest.fixture
def backups(azure: SandboxProcess, environment: EnvironmentOutputs) -> Backups:
    found = Backups(azure, environment)
    found.take_away()
    return found


async def test_whoever_founds_an_environment_waits_for_a_run_that_has_taken_a_group_of_it_alone(
    spec: EnvironmentSpec, backups: Backups
) -> None:
    async with run_session(spec):
        founder = lock_of(current_azure(), spec, "the founder", "refuse")
        founder._is_founding = True
        other = lock_of(current_azure(), spec, "the other")
        await other.secure()
        backups.put_back()
        with pytest.raises(EnvironmentBusy, match="the other is writing to it"):
            await founder.secure()
        assert await other.admit(AN_UPDATE) == f"lease {other.guid}"
        await other._give_back()


async def test_a_run_that_takes_a_group_alone_waits_for_the_founder_that_has_the_lease_of_the_account(
    spec: EnvironmentSpec, backups: Backups
) -> None:
    async with run_session(spec):
        founder = lock_of(current_azure(), spec, "the founder")
        other = lock_of(current_azure(), spec, "the other", "refuse")
        taking = asyncio.create_task(other.secure())
        group = backups.outputs.resource_group.id
        while HEARTBEAT not in backups.azure.arm("GET", group, api_version=GROUPS).json()["tags"]:
            await asyncio.sleep(0.02)
        # It has looked before the other one wrote, and is sent on by what it saw.
        with mock.patch.object(founder, "_holder", return_value=None):
            backups.put_back()
            await founder.secure()
        with pytest.raises(EnvironmentBusy, match="the founder is writing to it"):
            await taking
        assert await founder.admit(AN_UPDATE) == f"lease {founder.guid}"
        await founder._give_back()


async def test_of_two_that_begin_at_once_the_first_is_told_by_its_next_heartbeat(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    async def write() -> None:
        async with without_account(azure, spec, environment, is_created=False) as lock:
            until = (now(azure) + timedelta(seconds=clock.lock_azure_s(60))).isoformat()
            write_heartbeat(azure, environment, f"{uuid4()} {until} {THEIRS}")
            await lock._beat(even_if_good=True)
            await lock.admit(AN_UPDATE)

    with pytest.raises(EnvironmentBusy, match=r"brave-otter.* began at the same time"):
        await write()


@pytest.mark.parametrize("moment", shown(["before its look", "after its look"]))
async def test_an_account_that_another_run_leased_first_ends_this_one(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, moment: str
) -> None:
    async def others_turn() -> None:
        lease(azure, environment, action="Acquire", leaseDuration=-1, proposedLeaseId=str(uuid4()))

    async def write() -> None:
        async with without_account(azure, spec, environment) as lock:
            azure.step(60)
            if moment == "before its look":
                await others_turn()
                await lock.admit(AN_UPDATE)
            with in_its_look(others_turn):
                await lock.admit(AN_UPDATE)

    with pytest.raises(EnvironmentBusy, match="another run began at the same time"):
        await write()
    assert (lease_state(azure, environment), heartbeat(azure, environment)) == ("Leased", None)


@pytest.mark.parametrize("answer", shown(["before", "after"], first=0))
async def test_a_lease_whose_answer_is_lost_is_asked_for_again_on_an_account_that_came_later(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, answer: str
) -> None:
    async with without_account(azure, spec, environment) as lock:
        azure.step(60)
        azure.fault({"cut": answer}, operation="BlobContainers_Lease", nth=1)
        assert await lock.admit(AN_UPDATE) == f"lease {lock.guid}"
        assert lease_state(azure, environment) == "Leased"
    assert is_free(azure, environment)


@pytest.mark.parametrize(
    ("asleep", "account"),
    shown(
        [
            ("before its look", "there"),
            ("before its look", "not there"),
            ("in its look", "there"),
            ("before its look", "gone with its group"),
        ],
        first=1,
    ),
)
async def test_with_a_heartbeat_alone_no_sleeper_writes_later(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, asleep: str, account: str
) -> None:
    async def sleep_while_another_comes_and_goes(lock: WriteLock) -> None:
        assert lock._heart is not None
        lock._heart.cancel()
        azure.step(20_000)
        other = lock_of(current_azure(), spec, THEIRS)
        await other.secure()
        await other._give_back()
        if account == "gone with its group":
            azure.arm("DELETE", environment.backup_group.id, api_version="2024-11-01")
            azure.step(20_000)
        sleep_and_wake(lock)

    async def write() -> None:
        async with without_account(azure, spec, environment, is_created=account == "there") as lock:
            azure.step(60)
            if asleep == "before its look":
                await sleep_while_another_comes_and_goes(lock)
                await lock.admit(AN_UPDATE)
            with in_its_look(lambda: sleep_while_another_comes_and_goes(lock)):
                await lock.admit(AN_UPDATE)

    with pytest.raises(EnvironmentBusy, match=r"this run slept"):
        await write()
    if account != "gone with its group":
        assert heartbeat(azure, environment) is None
    if account == "there":
        assert lease_state(azure, environment) == "Available"


async def test_no_write_goes_before_it_is_certain_that_nobody_else_took_the_lock_and_that_one_is_waited_for(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    azure.arm("DELETE", environment.storage_account.id, api_version="2024-01-01")
    sleep, settling, go_on = asyncio.sleep, asyncio.Event(), asyncio.Event()

    async def slept(seconds: float) -> None:
        if seconds == clock.lock_real_s(write_lock.SETTLE_S):
            settling.set()
            await go_on.wait()
        else:
            await sleep(seconds)

    with use_journal(Journal()) as said:
        async with run_session(spec) as run, one_writer(run.azure, spec) as lock:
            with mock.patch.object(asyncio, "sleep", slept):
                writing = [asyncio.create_task(lock.admit(AN_UPDATE)) for _ in range(2)]
                await settling.wait()
                writing.append(asyncio.create_task(lock.admit(AN_UPDATE)))
                await sleep(1)
                assert not any(one.done() for one in writing)
                until = (now(azure) + timedelta(seconds=clock.lock_azure_s(60))).isoformat()
                write_heartbeat(azure, environment, f"{uuid4()} {until} {THEIRS}")
                go_on.set()
                while not any("brave-otter" in entry.text for entry in said.events):
                    await sleep(0.01)
                assert not any(one.done() for one in writing)
                azure.step(20_000)
                # All have looked before the other run wrote.
                for one in writing:
                    with pytest.raises(ArmFault, match="another run wrote to the environment meanwhile"):
                        await one
            assert await lock.admit(AN_UPDATE) == f"lease {lock.guid}"


@pytest.mark.parametrize("mode", ["planning", "read_only"])
async def test_a_run_that_only_reads_can_write_nothing(
    azure: SandboxProcess, spec: EnvironmentSpec, mode: str
) -> None:
    async with run_session(spec, **{mode: True}):
        with pytest.raises(WouldWrite, match="only reads"):
            await send(
                current_azure().resources.resource_groups.create_or_update,
                "rg",
                b'{"location": "canadacentral"}',
            )
    assert writes(azure.ledger()) == []


async def test_a_run_without_a_lock_can_write_nothing(azure: SandboxProcess, spec: EnvironmentSpec) -> None:
    async with run_session(spec):
        with pytest.raises(WouldWrite, match="no lock"):
            await send(
                current_azure().resources.resource_groups.create_or_update,
                "rg",
                b'{"location": "canadacentral"}',
            )
    assert writes(azure.ledger()) == []


def test_time_passes_while_a_process_or_its_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    since = Elapsed()
    for moved in ("clock_gettime", "time"):
        with monkeypatch.context() as patch:
            real = getattr(gate.time, moved)
            patch.setattr(gate.time, moved, lambda *given, real=real: real(*given) + 500)
            assert since.real_s() >= 500
    assert since.real_s() < 400


# Twice the same rebuild.


@pytest.mark.thorough
@pytest.mark.parametrize("again", [False, True])
async def test_a_rebuild_that_waited_for_the_same_rebuild_changes_nothing(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, again: bool
) -> None:
    async with held(spec):
        first = asyncio.create_task(rebuild(spec, KEY, return_state=True))
        second = asyncio.create_task(rebuild(spec, KEY, return_state=True, again=again))
        await asyncio.sleep(3)
        assert not first.done()
        assert not second.done()
    states: list[Any] = list(await asyncio.gather(first, second))
    assert all(state.is_completed() for state in states)
    names = sorted(str(state.name) for state in states)
    generations = sorted([(await state.aresult()).new.generation for state in states])
    if again:
        assert generations in ([2, 2], [2, 3])
    else:
        assert names == ["AlreadyRebuilt", "Completed"]
        assert generations == [2, 2]
        (message,) = (state.message for state in states if state.name == "AlreadyRebuilt")
        assert "generation 2 was made by another run" in message
        assert "again: true" in message


@pytest.mark.thorough
async def test_a_rebuild_to_another_spec_isnt_called_done_by_anothers(
    azure: SandboxProcess, spec: EnvironmentSpec, changed: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    async with held(spec):
        first = asyncio.create_task(rebuild(spec, KEY, return_state=True))
        await asyncio.sleep(3)
        second = asyncio.create_task(rebuild(changed, KEY, return_state=True))
        await asyncio.sleep(3)
    states = await asyncio.gather(first, second)
    # Whichever came first, the other one isn't told that its spec is there.
    assert sorted(state.name for state in states) == ["Completed", "Failed"]
    (failed,) = (state for state in states if state.is_failed())
    assert "made by another run" in str(failed.message)
    assert "Run provision to change it in place" in str(failed.message)
    theirs = changed if states[1] is failed else spec
    assert not (await provision(theirs)).is_unchanged
    assert (await make_plan(theirs, recorded=False)).is_empty
