"""Runs that meet trouble: they finish all the same, or say what is wrong, and running again continues."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from prefect.states import State

from aks_postgres.arm.errors import AzureRefused, CredentialsRefused
from aks_postgres.flows.provision import provision
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for, task_runs_recorded
from .conftest import run_provision, task_runs_of, writes

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture(autouse=True)
def _sent_logs() -> Iterator[None]:
    with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True}):
        yield


@pytest.fixture
def recorded(prefect_api: None) -> Iterator[None]:
    """Task runs that can be read."""
    with task_runs_recorded():
        yield


BUSY = {
    "status": 409,
    "code": "OperationNotAllowed",
    "message": "Operation is not allowed: Another operation (Updating) is in progress, please wait for it to "
    "finish before starting a new operation. See https://aka.ms/aks-pending-operation for more details",
    "bare": True,
}


async def last_flow_run() -> FlowRun:
    async with get_client() as client:
        runs = await client.read_flow_runs(limit=200)
    return max(runs, key=lambda run: run.created)  # type: ignore[arg-type,return-value]


async def history_of(task_run: TaskRun) -> list[str]:
    async with get_client() as client:
        states: list[State[Any]] = await client.read_task_run_states(task_run.id)
    return [str(state.name) for state in sorted(states, key=lambda state: state.timestamp)]


async def logs_hold(flow_run: FlowRun, *texts: str) -> bool:
    """Whether each text is part of a line of the run's log; logs are sent in batches, so it may take a moment."""
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run.id]))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        lines: list[str] = []
        async with get_client() as client:
            while page := await client.read_logs(log_filter=wanted, limit=200, offset=len(lines)):
                lines += [log.message for log in page]
        if all(any(text in line for line in lines) for text in texts):
            return True
        await asyncio.sleep(0.2)
    return False


@pytest.mark.thorough
async def test_busy_cluster_is_waited_out_and_the_summary_says_so(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    """AKS runs operations of its own after a create: https://github.com/Azure/telescope/pull/1213."""
    azure.settings(durations={"aks_spontaneous_wait": 1, "aks_spontaneous_operation": 3000})
    azure.fault(BUSY, operation="AgentPools_CreateOrUpdate", nth=1)
    run = await run_provision(azure, spec)
    assert any(operation["spontaneous"] for operation in run.operations)
    told = " ".join(event.text for event in run.journal.events)
    assert "also for an operation that this step didn't start (Updating)" in told
    assert "AKS is busy with another operation" in told
    assert run.outputs.postgres_pool.change.kind == "created"
    assert await logs_hold(await last_flow_run(), "Another operation (Updating) is in progress")


@pytest.mark.usefixtures("recorded")
@pytest.mark.thorough
async def test_step_that_gives_up_on_a_busy_cluster_is_retried_by_prefect(
    azure: SandboxProcess, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AKS_POSTGRES_BUSY_BUDGET_S", "15")
    azure.settings(spontaneous_operations=False)
    azure.fault(BUSY, operation="AgentPools_CreateOrUpdate", times=3)
    run = await run_provision(azure, spec)
    assert run.outputs.postgres_pool.change.kind == "created"
    flow_run = await last_flow_run()
    node_pool = (await task_runs_of(flow_run.id, "ensure_node_pool"))["ensure_node_pool"]
    history = await history_of(node_pool)
    assert "AwaitingRetry" in history
    assert history.index("AwaitingRetry") < history.index("Completed")
    conflicts = [
        event for event in run.journal.events if event.kind == "conflict" and "node pool" in event.text
    ]
    assert conflicts
    assert await logs_hold(flow_run, *(event.text for event in conflicts))


async def test_preflight_reports_every_problem_before_the_first_write(azure: SandboxProcess) -> None:
    azure.settings(quota={"standardDSv5Family": 10})
    spec = spec_for(azure, cluster={"kubernetes_version": "1.29"}, system_pool={"vm_size": "Standard_D2s_v5"})
    with pytest.raises(PreflightFailed) as refused:
        await provision(spec)
    text = str(refused.value)
    for field in ("cluster.kubernetes_version", "system_pool.vm_size", "postgres_pool"):
        assert field in text
    assert writes(azure.ledger()) == []


async def test_wrong_secret_is_refused_after_one_try_naming_the_source(
    azure: SandboxProcess, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    with pytest.raises(CredentialsRefused, match=r"service principal .*AZURE_CLIENT_SECRET.*AADSTS7000215"):
        await provision(spec)
    assert len(azure.ledger(service="entra", method="POST")) == 1
    assert writes(azure.ledger()) == []


@pytest.mark.usefixtures("recorded")
async def test_failed_step_lets_its_siblings_finish_and_a_rerun_continues(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    refusal = {
        "status": 403,
        "code": "RequestDisallowedByPolicy",
        "message": "Resource was disallowed by policy.",
    }
    azure.fault(refusal, operation="Grafana_Create", nth=1)
    with pytest.raises(
        AzureRefused, match=r"Managed Grafana grafana-cnpg-\w+: HTTP 403 RequestDisallowedByPolicy"
    ):
        await provision(spec)
    runs = await task_runs_of(
        (await last_flow_run()).id, "ensure_grafana", "ensure_container_insights", "verify_environment"
    )
    assert runs["ensure_grafana"].state_name == "Failed"
    assert runs["ensure_container_insights"].state_name == "Completed"
    not_ready = {run.state_name for name, run in runs.items() if name.startswith("verify_environment")}
    assert not_ready == {"NotReady"}
    assert len([e for e in writes(azure.ledger()) if e["operation"] == "Grafana_Create"]) == 1

    again = await run_provision(azure, spec)
    assert again.outputs.grafana.change.kind == "created"
    assert again.writes_of("ManagedClusters_CreateOrUpdate") == []


CREATE = "ManagedClusters_CreateOrUpdate"
LONG_S = 40_000


@pytest.mark.thorough
async def test_cancelled_run_stops_at_once_and_the_next_finds_the_operation_that_azure_goes_on_with(
    azure: SandboxProcess, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than any machine takes for what comes next: it ends when this test says so.
    azure.settings(durations={"aks_cluster_create": LONG_S})
    azure.control("POST", "clock", {"speed": 100})
    monkeypatch.setenv("AKS_POSTGRES_TIME_SCALE", "100")

    def asked(operation: str) -> list[dict[str, Any]]:
        return [entry for entry in azure.ledger(operation=operation) if entry["status"]]

    running = asyncio.create_task(provision(spec))
    while not asked("ManagedClusters_CreateOrUpdate"):
        await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    # At once: Azure still makes it, and nobody asks any more.
    (making,) = [o for o in azure.control("GET", "operations")["operations"] if o["operation"] == CREATE]
    assert making["status"] not in ("Succeeded", "Failed")
    since = len(azure.ledger())
    await asyncio.sleep(0.5)
    assert [entry["path"] for entry in azure.ledger()[since:]] == []

    async def look_on() -> None:
        """Let Azure finish once the next run has asked for the cluster a few times."""
        before = len(asked("ManagedClusters_Get"))
        while len(asked("ManagedClusters_Get")) < before + 3:
            await asyncio.sleep(0.1)
        azure.step(LONG_S)

    looking = asyncio.create_task(look_on())
    again = await run_provision(azure, spec)
    await looking
    creates = [
        e for e in azure.ledger() if e["operation"] == "ManagedClusters_CreateOrUpdate" and e["status"] == 201
    ]
    assert len(creates) == 1
    assert any("waited" in event.text and "AKS cluster" in event.text for event in again.journal.events)
    assert again.outputs.cluster.change.kind == "unchanged"
