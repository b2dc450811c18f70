"""The same environment in many regions at once: each region a run of its own, none stopped by another's failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import httpx
from prefect import flow, get_client
from prefect.artifacts import acreate_table_artifact
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic import Field

from aks_postgres.arm.poll import REAL, poll
from aks_postgres.errors import ProvisioningError
from aks_postgres.flows.provision import provision
from aks_postgres.reports.fleet import Fleet, RegionResult
from aks_postgres.reports.journal import Journal, use_journal
from aks_postgres.runs.fleet_database import refuse_sqlite
from aks_postgres.runs.one_writer import IfAnotherRun
from aks_postgres.runs.run_name import fleet_name, run_name
from aks_postgres.runs.signals import cancelled_by_a_person
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.problems import refuse_twice

# Real seconds: the server is Prefect's, not Azure's.
LOOK_S = 5.0
# A server that restarts, or that a fleet's start keeps busy, is back by then.
AWAY_S = 300.0

T = TypeVar("T")
Region = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{2,29}$")]


@flow(flow_run_name=run_name(fleet_name))
@cancelled_by_a_person
async def provision_fleet(
    spec: EnvironmentSpec,
    regions: Annotated[list[Region], Field(min_length=1, max_length=100)],
    at_once: Annotated[int, Field(ge=1, le=100)] = 10,
    runs: Literal["here", "deployments"] = "here",
    if_another_run: IfAnotherRun = "wait",
) -> State[Fleet]:
    """Provision the environment in every region; a region that fails doesn't stop the others.

    Guide: Create infrastructure, once a region.

    Args:
        spec: the environment wanted; its region is replaced by each of `regions`.
        regions: Azure regions, such as canadacentral and westus3; each once.
        at_once: how many regions are worked on at the same time.
        runs: here, as subflows of this process; or as runs of the deployments `provision/{region}`, which workers of
            their work pool carry out, where one machine isn't enough.
        if_another_run: wait for another run that is writing to a region's environment, or refuse, naming it.

    Returns:
        A row a region: how it ended, after how many minutes, and what failed. Failed if any region did.

    Raises:
        SpecError: a region is given twice, or more than ten at once meet a Prefect server on SQLite.
    """
    refuse_twice(regions)
    await refuse_sqlite(min(at_once, len(regions)))
    places = asyncio.Semaphore(at_once)
    results = await asyncio.gather(
        *(
            _region(spec.model_copy(update={"region": region}), places, runs, if_another_run)
            for region in regions
        )
    )
    fleet = Fleet(environment=spec.name, regions=tuple(results))
    await acreate_table_artifact(
        fleet.rows(), key=f"fleet-{spec.name}", description=f"{spec.name} in {len(regions)} regions"
    )
    if fleet.failed:
        return Failed(message=fleet.headline, data=fleet)
    return Completed(message=fleet.headline, data=fleet)


async def _region(
    spec: EnvironmentSpec, places: asyncio.Semaphore, runs: str, if_another_run: IfAnotherRun
) -> RegionResult:
    async with places:
        began_s = time.monotonic()
        try:
            state = await (
                _here(spec, if_another_run) if runs == "here" else _through_deployment(spec, if_another_run)
            )
        except ObjectNotFound:
            missing = f"there is no deployment provision/{spec.region}; register it with prefect deploy --all"
            return RegionResult(region=spec.region, state="Failed", minutes=0, failure=missing)
        failure = "" if state.is_completed() else await _reason(state)
        return RegionResult(
            region=spec.region,
            state=state.name or state.type.value,
            minutes=round((time.monotonic() - began_s) / 60, 2),
            failure=failure,
        )


async def _here(spec: EnvironmentSpec, if_another_run: IfAnotherRun) -> State[Any]:
    # A journal of its own: the summary of one region isn't about the others.
    with use_journal(Journal(), in_charge=True):
        return await provision(spec, if_another_run, return_state=True)


async def _through_deployment(spec: EnvironmentSpec, if_another_run: IfAnotherRun) -> State[Any]:
    # By its key a run whose creation is asked for twice is created once; the fleet's next try gets new ones.
    key = f"{flow_run.id}-{flow_run.run_count}-{spec.region}"

    async def asked_for() -> FlowRun:
        run: FlowRun = await run_deployment(  # type: ignore[misc]
            f"provision/{spec.region}",
            parameters={"spec": spec.model_dump(mode="json"), "if_another_run": if_another_run},
            flow_run_name=f"provision {spec.name} in {spec.region}",
            idempotency_key=key,
            timeout=0,
        )
        return run

    run = await _answered(asked_for)
    return await end_of(run.id)


async def end_of(run_id: UUID) -> State[Any]:
    """The state that a run ends in; a Prefect server that fails to answer is asked again for minutes.

    Args:
        run_id: of a flow run.

    Raises:
        httpx.HTTPError: the server didn't answer all that time.
    """
    async with get_client() as client:

        async def final_state() -> State[Any] | None:
            state = (await client.read_flow_run(run_id)).state
            return state if state is not None and state.is_final() else None

        return await _answered(final_state)


async def _answered(look: Callable[[], Awaitable[T | None]]) -> T:
    """Ask the Prefect server until there is something; one that fails to answer is asked again for minutes.

    Raises:
        httpx.HTTPError: the server didn't answer all that time.
    """
    answered_s = time.monotonic()

    async def answer() -> T | None:
        nonlocal answered_s
        try:
            found = await look()
        except httpx.HTTPError as error:
            if not _is_away(error) or time.monotonic() - answered_s > AWAY_S:
                raise
            return None
        answered_s = time.monotonic()
        return found

    return await poll(answer, every_s=LOOK_S, timer=REAL)


def _is_away(error: httpx.HTTPError) -> bool:
    """Return whether the server didn't answer, or answered that it can't."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500
    return True


async def _reason(state: State[Any]) -> str:
    """The error of a failed run: the exception where it ran here, the state's message where it ran elsewhere."""
    try:
        await state.aresult(raise_on_failure=True)
    except ProvisioningError as error:
        return str(error)
    except Exception:
        pass  # Prefect's, which says less than the state's message
    return state.message or "no reason given"
