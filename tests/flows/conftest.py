"""One provisioned environment for the tests that only look at what a run did."""

import asyncio
import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import TaskRun

from aks_postgres.flows.provision import provision
from aks_postgres.reports.journal import Event, Journal, use_journal
from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.runs.write_lock import CONTAINER
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess

from ..conftest import point_at, spec_for, task_runs_recorded
from ..tasks.conftest import MOMENTS
from .stage import Stage

# Slow enough that Azure's durations, and not the client's milliseconds, decide what runs beside what.
SPEED = 100

READ_ONLY_POSTS = {
    "StorageAccounts_CheckNameAvailability",
    "PolicyRestrictions_CheckAtSubscriptionScope",
    "PolicyRestrictions_CheckAtResourceGroupScope",
    "ManagedClusters_ListClusterUserCredentials",
}


@dataclass
class Run:
    """A finished run and what the sandbox and the journal saw of it."""

    spec: EnvironmentSpec
    outputs: EnvironmentOutputs
    ledger: list[dict[str, Any]]
    operations: list[dict[str, Any]]
    journal: Journal
    flow_run_id: UUID

    @property
    def writes(self) -> list[dict[str, Any]]:
        return writes(self.ledger)

    def writes_of(self, operation: str) -> list[dict[str, Any]]:
        return [entry for entry in self.writes if entry["operation"] == operation]


def writes(ledger: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Everything that isn't a read, on ARM, blobs and Kubernetes; a server-side apply counts."""
    return [
        entry
        for entry in ledger
        if entry["service"] in ("arm", "blob", "grafana", "kubernetes")
        and entry["method"] not in ("GET", "HEAD", "OPTIONS")
        and entry["operation"] not in READ_ONLY_POSTS
    ]


def without_lock_traffic(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is left without the run's lock: its container, its lease, its heartbeat."""
    return [
        entry
        for entry in entries
        if entry["operation"] not in ("Tags_UpdateAtScope", "BlobContainers_Lease")
        and not entry["path"].endswith(f"/containers/{CONTAINER}")
    ]


_ENDS = ("Completed", "Failed", "NotReady")


async def task_runs_of(flow_run_id: UUID, *wanted: str) -> dict[str, TaskRun]:
    """The task runs by step, once those wanted have ended: the server takes them from events, a moment later."""
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    async with asyncio.timeout(120), get_client() as client:
        while True:
            runs = await client.read_task_runs(flow_run_filter=mine, limit=200)
            found = {run.name.split()[0]: run for run in runs}
            if all(name in found and found[name].state_name in _ENDS for name in wanted):
                return found
            await asyncio.sleep(0.2)


async def run_provision(azure: SandboxProcess, spec: EnvironmentSpec) -> Run:
    """Provision, and return what this run alone did."""
    before = len(azure.ledger())
    known = {operation["id"] for operation in azure.control("GET", "operations")["operations"]}
    with use_journal(Journal()) as journal:
        state = await provision(spec, return_state=True)
        outputs = await state.aresult()
    flow_run_id = state.state_details.flow_run_id
    operations = [o for o in azure.control("GET", "operations")["operations"] if o["id"] not in known]
    return Run(spec, outputs, azure.ledger()[before:], operations, journal, flow_run_id)


@pytest_asyncio.fixture(scope="module")
async def runs(sandbox_process: SandboxProcess, prefect_api: None) -> AsyncIterator[tuple[Run, Run]]:
    """A first and a second run on one sandbox, its busy lock and AKS's own operations on."""
    sandbox_process.control("POST", "reset", {"seed": 1, "speed": SPEED})
    with pytest.MonkeyPatch.context() as patch:
        point_at(sandbox_process, patch)
        patch.setenv("AKS_POSTGRES_TIME_SCALE", str(SPEED))
        spec = spec_for(sandbox_process)
        # So long that a busy machine's pauses are short beside them.
        slow = {"storage_account_create": 120, "log_workspace_create": 120, "grafana_create": 400}
        sandbox_process.settings(durations=slow)
        # https://github.com/Azure/azure-cli (addonconfiguration.py): the CLI repeats on this, 5 times 15 s.
        not_ready = {"status": 400, "code": "InvalidOutputTable", "message": "Table is not available."}
        sandbox_process.fault(not_ready, path="dataCollectionRules/MSCI-", method="PUT", nth=1)
        with task_runs_recorded():
            first = await run_provision(sandbox_process, spec)
        yield first, await run_provision(sandbox_process, spec)


@pytest_asyncio.fixture(scope="session")
async def built(
    sandbox_process: SandboxProcess, prefect_api: None
) -> tuple[EnvironmentOutputs, dict[str, Any]]:
    """A default environment's outputs, and the sandbox's state with it: made once, gone back to often."""
    sandbox_process.control("POST", "reset", {"seed": 1, "speed": 1000})
    sandbox_process.settings(registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True})
    quicken(sandbox_process)
    with pytest.MonkeyPatch.context() as patch:
        point_at(sandbox_process, patch)
        outputs = await provision(spec_for(sandbox_process))
    return outputs, sandbox_process.control("GET", "state")


@pytest.fixture
def environment(
    azure: SandboxProcess, built: tuple[EnvironmentOutputs, dict[str, Any]]
) -> EnvironmentOutputs:
    """A finished default environment, the only thing in the sandbox; its operations last moments."""
    outputs, state = built
    azure.control("PUT", "state", state)
    return outputs


@pytest.fixture
def stage(
    sandbox_process: SandboxProcess,
    built: tuple[EnvironmentOutputs, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Stage:
    """A finished default environment, for a change to be made in; that one takes the sandbox back to it."""
    outputs, state = built
    # What an earlier test ordered, such as another speed of the clock, isn't part of a state.
    sandbox_process.reset()
    point_at(sandbox_process, monkeypatch)
    return Stage(sandbox_process, outputs, copy.deepcopy(state), tmp_path)


def quicken(azure: SandboxProcess) -> None:
    """Let operations last moments, and nothing happen that nobody asked for."""
    moments = MOMENTS | {"aks_cluster_delete": 60, "grafana_delete": 60, "monitor_workspace_delete": 20}
    azure.settings(durations=moments, spontaneous_operations=False, autoscaler=False)


def waits_of(journal: Journal) -> list[Event]:
    """What is waited for from now on; of each step a journal itself keeps the last only."""
    waits: list[Event] = []
    journal.subscribe(lambda event: waits.append(event) if event.kind == "waiting" else None)
    return waits
