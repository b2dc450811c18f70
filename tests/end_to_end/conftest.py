"""The product in operation, started once for all tests here."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio

from aks_postgres.deploy.work_pools import WORK_POOL

from ..bench.processes import Database, NoPostgreSQL, machine, postgresql
from ..flows.conftest import quicken
from .stack import DOOMED, PATIENCE_S, SLOW, SPEEDS, Stack, family, processes_of

REGIONS = ("canadacentral", "northeurope")
# Of the tests that look at the UI: a rebuild's and a tear-down's deployment fix the environment.
UI_SPEC = {"name": "ui", "region": "uksouth"}
# Of a form only; nothing runs there.
LARGE_SPEC = {
    "name": "large",
    "region": "westus3",
    "tags": {f"a-tag-of-some-length-{number}": "and with a value of some length" for number in range(8)},
    "database": {
        "components": {
            f"{one}_manifest_url": f"https://localhost/{one}.yaml" for one in ("plugin", "cert_manager")
        }
        | {f"{one}_manifest_sha256": "0" * 64 for one in ("plugin", "cert_manager")}
    },
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.end_to_end)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database | None]:
    """PostgreSQL, as a server has it that matters; None where it isn't installed: the server then has SQLite."""
    try:
        with postgresql(tmp_path_factory.mktemp("postgresql")) as database:
            yield database
    except NoPostgreSQL:
        yield None


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory, database: Database | None) -> AsyncIterator[Stack]:
    """Server, deployments, and two sandboxes with a worker each, in the order of docs/deployments.md."""
    stack = Stack(tmp_path_factory.mktemp("stack"), database)
    try:
        stack.start()
        for sandbox in stack.sandboxes.values():
            quicken(sandbox)
            sandbox.settings(quota={"*": 1000, "cores": 1000})
        stack.regions = [{"spec": stack.spec(region=region)} for region in REGIONS]
        stack.regions += [{"spec": stack.spec(**spec)} for spec in (UI_SPEC, LARGE_SPEC)]
        stack.deploy()
        for queue in (SLOW, DOOMED):
            stack.command("prefect", "--no-prompt", "work-queue", "create", queue, "--pool", WORK_POOL)
        for queue in SPEEDS:
            stack.start_worker(queue)
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pages' pictures are, for a person to look at."""
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="session")
def measured() -> Iterator[dict[str, list[float]]]:
    """Seconds by what they are; shown at the end."""
    seconds: dict[str, list[float]] = defaultdict(list)
    yield seconds
    facts = machine()
    print(f"\nMeasured on {facts['cores']} cores ({facts['processor']}), Prefect {facts['prefect']}:")
    for what, took_s in seconds.items():
        print(f"  {what}: {', '.join(f'{one:.1f}' for one in took_s)} s; at most {max(took_s):.1f} s")


@dataclass
class Death:
    """A run that died while Azure made its cluster, and the next one."""

    name: str
    run_id: UUID
    died_at: float
    next_id: UUID
    taken_over_s: float


class Deaths:
    """Two runs that die at the same time; what comes of it takes two minutes, and other tests go on meanwhile."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        # Ten seconds: long enough to die meanwhile.
        stack.sandboxes[SLOW].settings(durations={"aks_cluster_create": 600})
        self._worker = stack.start_worker(DOOMED, SLOW)
        self._dying = {
            "its process": asyncio.create_task(self._die("dead1", SLOW)),
            "its machine": asyncio.create_task(self._die("dead2", DOOMED)),
        }
        self._deaths: dict[str, asyncio.Task[Death]] = {}

    async def began(self) -> None:
        """Wait until both have died, once; what keeps one of them from it is raised at once."""
        async with asyncio.timeout(2 * PATIENCE_S):
            died = await asyncio.gather(*self._dying.values())
        for which, (name, run_id, died_at) in zip(self._dying, died, strict=True):
            self._deaths[which] = asyncio.create_task(self._take_over(name, run_id, died_at))

    async def stop(self) -> None:
        """End what is still going on."""
        tasks = [*self._dying.values(), *self._deaths.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def of(self, which: str) -> Death:
        return await self._deaths[which]

    async def _die(self, name: str, queue: str) -> tuple[str, UUID, float]:
        """Start a run and kill it; returns its name, ID and when that was."""
        stack = self._stack
        spec = stack.spec(SLOW, name=name)
        run_id = await stack.submit("provision/canadacentral", spec, queue)
        await stack.is_making_a_cluster(run_id, SLOW, name)
        victims = processes_of(run_id)
        assert victims
        if queue == DOOMED:
            victims = sorted({*victims, *family(self._worker.pid)})
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        return name, run_id, time.time()

    async def _take_over(self, name: str, run_id: UUID, died_at: float) -> Death:
        """Start the next run on a dead one's environment, and wait until it has the lock."""
        stack = self._stack
        spec = stack.spec(SLOW, name=name)
        next_id = await stack.submit("provision/canadacentral", spec, SLOW)
        async with asyncio.timeout(300):
            while str(next_id) not in stack.lock(spec, SLOW)[1]:
                await asyncio.sleep(0.5)
        return Death(name, run_id, died_at, next_id, time.time() - died_at)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def deaths(stack: Stack) -> AsyncIterator[Deaths]:
    found = Deaths(stack)
    try:
        await found.began()
        yield found
    finally:
        await found.stop()
