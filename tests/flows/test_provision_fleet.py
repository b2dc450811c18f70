"""Many regions at once: each its own run, and a failure stays in its region."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from aiohttp import ClientSession, web
from prefect import flow, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed

from aks_postgres.flows.provision import provision
from aks_postgres.flows.provision_fleet import end_of, provision_fleet
from aks_postgres.reports.fleet import Fleet
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.problems import SpecError
from azure_sandbox.client import SandboxProcess

pytestmark = pytest.mark.usefixtures("prefect_api")


async def test_one_region_failing_does_not_stop_the_others_and_the_table_says_why(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    regions = ["westus", "northeurope"]  # westus has no availability zones
    state = await provision_fleet(spec, regions, return_state=True)
    fleet: Fleet = await state.aresult(raise_on_failure=False)
    assert state.is_failed()
    assert {r.region: r.state for r in fleet.regions} == {
        "westus": "Failed",
        "northeurope": "Completed",
    }
    (failed,) = fleet.failed
    assert "preflight found" in failed.failure
    assert "zones" in failed.failure
    assert state.message == "cnpg: 1 of 2 regions done; failed: westus"
    groups = {r["location"] for r in azure.control("GET", "resources")["resources"] if "location" in r}
    assert "northeurope" in groups
    assert "westus" not in groups
    async with get_client() as client:
        names = [run.name for run in await client.read_flow_runs(limit=200)]
    assert any(name.startswith("provision cnpg in northeurope") for name in names)


async def test_a_deployment_that_is_not_there_is_that_regions_failure(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    state = await provision_fleet(spec, ["canadacentral"], runs="deployments", return_state=True)
    fleet: Fleet = await state.aresult(raise_on_failure=False)
    (failed,) = fleet.failed
    assert "provision/canadacentral" in failed.failure


async def test_a_server_that_fails_for_a_moment_loses_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a fleet's start a Prefect server answers 500: its database's connections are all in use."""
    monkeypatch.setattr("aks_postgres.flows.provision_fleet.LOOK_S", 0.05)

    @flow
    def done() -> None:
        pass

    state: State[None] = done(return_state=True)
    async with failing_server(answers_from=3) as (url, asked):
        with temporary_settings({PREFECT_API_URL: url}):
            assert (await end_of(state.state_details.flow_run_id)).is_completed()
        assert len(asked) == 3


async def test_a_server_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aks_postgres.flows.provision_fleet.LOOK_S", 0.05)
    monkeypatch.setattr("aks_postgres.flows.provision_fleet.AWAY_S", 0.2)
    async with failing_server(answers_from=1000) as (url, asked):
        with temporary_settings({PREFECT_API_URL: url}), pytest.raises(httpx.HTTPStatusError, match="500"):
            await end_of(uuid4())
        assert asked


async def test_a_run_whose_creation_got_no_answer_is_created_once(
    azure: SandboxProcess, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aks_postgres.flows.provision_fleet.LOOK_S", 0.05)
    created: list[UUID] = []

    async def losing_two_answers(*arguments: Any, **options: Any) -> FlowRun:
        run = await run_deployment(*arguments, **options)
        created.append(run.id)
        if len(created) < 3:
            raise httpx.ReadTimeout("no answer")
        return run

    monkeypatch.setattr("aks_postgres.flows.provision_fleet.run_deployment", losing_two_answers)
    ends = ends_of_runs(monkeypatch, Completed())
    deployment_id = await deployment("canadacentral")
    state = await provision_fleet(spec, ["canadacentral"], runs="deployments", return_state=True)
    assert state.is_completed()
    assert len(created) == 3
    assert await runs_of(deployment_id) == ends == set(created)


async def test_a_fleet_that_is_tried_again_starts_its_regions_again(
    azure: SandboxProcess, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = ends_of_runs(monkeypatch, Failed(), Completed())
    deployment_id = await deployment("northeurope")
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", "one-fleet")
    completed = []
    for count in ("1", "2"):
        monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", count)
        state = await provision_fleet(spec, ["northeurope"], runs="deployments", return_state=True)
        completed.append(state.is_completed())
    assert completed == [False, True]
    assert len(ends) == 2
    assert await runs_of(deployment_id) == ends


async def deployment(region: str) -> UUID:
    """A deployment of `provision` that no worker looks at."""
    async with get_client() as client:
        return await client.create_deployment(await client.create_flow(provision), region)


async def runs_of(deployment_id: UUID) -> set[UUID]:
    of_it = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id]))
    async with get_client() as client:
        return {run.id for run in await client.read_flow_runs(deployment_filter=of_it)}


def ends_of_runs(monkeypatch: pytest.MonkeyPatch, *states: State[None]) -> set[UUID]:
    """Let runs end in these states, one after the other; the runs that were waited for."""
    waited_for: set[UUID] = set()
    coming = iter(states)

    async def end_of(run_id: UUID) -> State[None]:
        waited_for.add(run_id)
        return next(coming)

    monkeypatch.setattr("aks_postgres.flows.provision_fleet.end_of", end_of)
    return waited_for


@asynccontextmanager
async def failing_server(answers_from: int) -> AsyncIterator[tuple[str, list[str]]]:
    """A way to the Prefect server on which flow runs can't be read at first; yields its URL and what was asked."""
    behind = str(PREFECT_API_URL.value())
    asked: list[str] = []

    async def forward(request: web.Request) -> web.Response:
        if request.path.startswith("/flow_runs/"):
            asked.append(request.path)
            if len(asked) < answers_from:
                return web.json_response({"exception_message": "Internal Server Error"}, status=500)
        async with (
            ClientSession() as client,
            client.request(request.method, behind + request.path, data=await request.read()) as answer,
        ):
            return web.Response(
                body=await answer.read(), status=answer.status, content_type=answer.content_type
            )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def test_a_region_given_twice_is_refused(azure: SandboxProcess, spec: EnvironmentSpec) -> None:
    with pytest.raises(SpecError, match="regions: westus3 more than once was given; give each region once"):
        await provision_fleet(spec, ["westus3", "westus3"])
