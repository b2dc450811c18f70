"""Requests of all runs of a process stay within ARM's token buckets.

https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
"""

import asyncio

import pytest

from aks_postgres.arm import clock
from aks_postgres.arm.client import current_azure
from aks_postgres.arm.rate_limit import Bucket
from aks_postgres.arm.retry import read_path
from aks_postgres.runs.session import run_session
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for

# Slow enough that a request which is late by a tenth of a second doesn't come in the next one's crowd.
SPEED = 2


async def test_a_full_bucket_makes_nobody_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    # A token takes 1000 real seconds, longer than a test may.
    monkeypatch.setenv("AKS_POSTGRES_TIME_SCALE", "1")
    tokens = Bucket(5, 0.001)
    for _ in range(5):
        await tokens.take()


async def test_who_comes_first_goes_first_and_as_fast_as_tokens_come_back() -> None:
    tokens, began_s = Bucket(1, 0.01), clock.now_s()
    order: list[int] = []

    async def ask(number: int) -> None:
        await tokens.take()
        order.append(number)

    await asyncio.gather(*(ask(number) for number in range(4)))
    assert order == [0, 1, 2, 3]
    assert clock.now_s() - began_s >= 300
    assert tokens.queue_s <= 0.0


async def test_what_azure_says_that_it_has_left_is_believed() -> None:
    tokens = Bucket(100, 0.01)
    tokens.told(0)
    began_s = clock.now_s()
    await tokens.take()
    assert clock.now_s() - began_s >= 99


async def test_a_refusal_holds_everybody() -> None:
    tokens = Bucket(100, 0.1)
    tokens.refused(200)
    began_s = clock.now_s()
    await asyncio.gather(tokens.take(), tokens.take())
    assert clock.now_s() - began_s >= 200


async def test_a_clock_that_gets_slower_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AKS_POSTGRES_TIME_SCALE", "100000")
    tokens = Bucket(1, 100)
    await tokens.take()
    monkeypatch.setenv("AKS_POSTGRES_TIME_SCALE", "100")
    await asyncio.wait_for(tokens.take(), 60)


@pytest.mark.thorough
async def test_two_runs_that_ask_a_lot_at_once_are_never_throttled(
    azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure.control("POST", "clock", {"speed": SPEED})
    monkeypatch.setenv("AKS_POSTGRES_TIME_SCALE", str(SPEED))
    # A caller of its own, whom no other test has made use up its tokens.
    made = azure.control("POST", "principals", {"roles": [{"role": "Reader", "scope": azure.subscription}]})
    monkeypatch.setenv("AZURE_CLIENT_ID", made["client_id"])
    monkeypatch.setenv("AZURE_CLIENT_SECRET", made["client_secret"])

    async def run() -> None:
        async with run_session(spec_for(azure), read_only=True):
            path = f"{azure.subscription}/resourceGroups"

            async def ask() -> None:
                await read_path("groups", lambda: current_azure().get(path, "2024-11-01"))

            await ask()  # signed in, and connected
            await asyncio.gather(*(ask() for _ in range(200)))

    await asyncio.gather(run(), run())
    asked = [entry["status"] for entry in azure.ledger(operation="ResourceGroups_List")]
    assert asked == [200] * 402
