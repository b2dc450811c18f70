"""A run whose process is told to end: by a person, who cancelled it, or by somebody else."""

import asyncio
import os
import signal
from uuid import UUID

import pytest
from prefect import flow, get_client
from prefect.client.schemas.objects import StateType
from prefect.runtime import flow_run
from prefect.states import Cancelling

from aks_postgres.runs.signals import cancelled_by_a_person, ended_by_signals

BEGAN: list[UUID] = []


@flow
@cancelled_by_a_person
async def until_ended(cancel: bool) -> str:
    """Wait until its process is told to end."""
    if cancel:
        async with get_client() as client:
            await client.set_flow_run_state(flow_run.id, Cancelling(), force=True)
    with ended_by_signals():
        BEGAN.append(UUID(flow_run.id))
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)
    return "not ended"


@pytest.mark.usefixtures("prefect_api")
async def test_a_run_that_a_person_cancelled_ends_as_cancelled() -> None:
    state = await until_ended(True, return_state=True)
    assert (state.type, state.name) == (StateType.CANCELLED, "Cancelled")
    async with get_client() as client:
        states = await client.read_flow_run_states(BEGAN[-1])
    assert [one.type for one in states][-2:] == [StateType.CANCELLING, StateType.CANCELLED]


@pytest.mark.usefixtures("prefect_api")
async def test_a_run_whose_process_is_ended_otherwise_is_no_cancelled_one() -> None:
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(until_ended(False))
    async with get_client() as client:
        state = (await client.read_flow_run(BEGAN[-1])).state
    assert state is not None
    assert state.type == StateType.CRASHED
