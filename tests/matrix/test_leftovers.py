"""What a run leaves in its process: nothing, however it ended."""

import asyncio
import gc
import os
import threading
from pathlib import Path

import pytest

from aks_postgres.arm.errors import AzureRefused
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess

from ..cases import shown
from .plain import run_flow, without_prefect
from .world import empty


def open_files() -> list[str]:
    """What this process holds open, sockets included."""
    gc.collect()
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(f"{link.name} {os.readlink(link)}")
        except OSError:  # that of this listing itself
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("way", shown(["fails", "succeeds", "is cancelled"], first=1))
async def test_no_thread_connection_or_task_is_left_after_a_run_that(
    azure: SandboxProcess, spec: EnvironmentSpec, way: str
) -> None:
    empty(azure)

    async def run() -> None:
        with without_prefect():
            await run_flow("provision", spec)

    await (
        run()
    )  # what is made once a process, such as imports and the certificates that are trusted, is there now
    empty(azure)
    before = open_files(), set(threading.enumerate()), asyncio.all_tasks()
    if way == "fails":
        azure.fault(
            {"status": 403, "code": "RequestDisallowedByPolicy"}, operation="AgentPools_CreateOrUpdate"
        )
        with pytest.raises(AzureRefused):
            await run()
    elif way == "is cancelled":
        running = asyncio.create_task(run())
        while not azure.ledger(operation="AgentPools_CreateOrUpdate", method="PUT"):
            await asyncio.sleep(0.02)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    else:
        await run()
    await asyncio.sleep(0.1)  # a transport that was closed goes in the loop's next rounds
    assert asyncio.all_tasks() - before[2] == set()
    assert {one for one in threading.enumerate() if not one.daemon} - before[1] == set()
    assert len(open_files()) <= len(before[0]), set(open_files()) - set(before[0])
