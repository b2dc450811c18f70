"""The product as it is operated: a Prefect server, deployments, workers and sandboxes, each a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import Artifact, FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling

from aks_postgres.cli.sandbox_client import running_sandbox
from aks_postgres.runs.write_lock import CONTAINER, HEARTBEAT
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names
from azure_sandbox.client import SandboxProcess
from azure_sandbox.client import start as start_sandbox

from ..bench.deployed import command, deploy, start_worker
from ..bench.processes import Database, free_port, prefect_server

Json = dict[str, Any]

# Of the work pool; each has a worker and a sandbox of its own: one where everything lasts moments, one where there is
# time to do something to a run.
QUICK, SLOW = "default", "slow"
SPEEDS = {QUICK: 1000, SLOW: 60}
CREATE_CLUSTER = "ManagedClusters_CreateOrUpdate"
# The worker whose machine dies.
DOOMED = "doomed"
# Real seconds; a run alone takes about 15 on two idle cores.
PATIENCE_S = 150.0


class Server:
    """A Prefect server that can be killed and started again: same address, same folder, same database."""

    def __init__(self, folder: Path, database: Database | None) -> None:
        self._folder, self._database, self._port = folder, database, free_port()
        self._stack = ExitStack()
        self.ui = f"http://127.0.0.1:{self._port}"
        self.api = f"{self.ui}/api"

    def start(self) -> None:
        running = prefect_server(self._folder, self._database, self._port)
        self.pid = self._stack.enter_context(running).pid

    def kill(self) -> None:
        for pid in family(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        self._stack.close()


class Stack:
    """All of it, as a person operates it."""

    def __init__(self, folder: Path, database: Database | None) -> None:
        self.folder = folder
        self.server = Server(folder, database)
        self.sandboxes: dict[str, SandboxProcess] = {}
        self.regions: list[Json] = []
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the server and the sandboxes."""
        self.server.start()
        for queue, speed in SPEEDS.items():
            state = self.folder / f"sandbox-{queue}"
            self._processes.append(start_sandbox(state, "--speed", str(speed)))
            self.sandboxes[queue] = SandboxProcess(state)

    def deploy(self) -> None:
        """Register what the regions say, as a person does it: docs/deployments.md, "In short"."""
        deploy(self.folder / "deployed", self.regions, self.environment())

    def spec(self, queue: str = QUICK, **fields: Any) -> Json:
        """A spec for that queue's sandbox, with its operator's manifest."""
        found = self.sandboxes[queue].description
        manifest = {f"manifest_{one}": found[f"operator_manifest_{one}"] for one in ("url", "sha256")}
        return {"name": "cnpg", "region": "canadacentral", "operator": manifest, **fields}

    def environment(self, queue: str | None = None) -> dict[str, str]:
        """Environment variables of a process that reaches our server, and a worker's with its sandbox's."""
        foreign = ("PREFECT_", "AZURE_", "AKS_POSTGRES_")
        ours = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
            "PREFECT_API_URL": self.server.api,
            "PREFECT_HOME": str(self.folder / "client"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            # A worker looks for runs every 10 s; nobody waits for that here.
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }
        if not queue:
            return ours
        return ours | running_sandbox(self.sandboxes[queue].folder).at_its_speed().variables()

    def command(self, module: str, *arguments: str) -> str:
        """Run one of our commands, or Prefect's, to its end."""
        return command(self.environment(), module, *arguments)

    def start_worker(self, queue: str, sandbox: str | None = None) -> subprocess.Popen[bytes]:
        """A process worker with its sandbox's credentials in its environment."""
        worker = start_worker(self.folder, queue, self.environment(sandbox or queue), queue)
        self._processes.append(worker)
        return worker

    def stop(self) -> None:
        """End everything; nobody waits for a run."""
        for process in reversed(self._processes):
            for pid in family(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
        self.server.stop()

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Prefect's clients in this process reach our server."""
        with temporary_settings({PREFECT_API_URL: self.server.api}):
            yield

    @asynccontextmanager
    async def client(self) -> AsyncIterator[PrefectClient]:
        with self.settings():
            async with get_client() as client:
                yield client

    async def submit(
        self, deployment: str, spec: Json | None = None, queue: str = QUICK, **parameters: Any
    ) -> UUID:
        """Start a run of a deployment, as the form does it."""
        if spec and not deployment.startswith(("rebuild", "tear-down")):  # whose deployment fixes it
            spec = EnvironmentSpec.model_validate(spec).model_dump(mode="json")
        given = parameters | ({"spec": spec} if spec else {})
        async with self.client() as client:
            found = await client.read_deployment_by_name(deployment)
            run = await client.create_flow_run_from_deployment(
                found.id, parameters=found.parameters | given, work_queue_name=queue
            )
        return run.id

    async def run(self, run_id: UUID) -> FlowRun:
        async with self.client() as client:
            return await client.read_flow_run(run_id)

    async def reaches(self, run_id: UUID, *names: str, within_s: float = PATIENCE_S) -> FlowRun:
        """The run, once it is in one of these states; another end is a failure of the test."""
        deadline = time.monotonic() + within_s
        while True:
            with suppress(OSError):
                run = await self.run(run_id)
                assert run.state is not None
                if run.state.name in names:
                    return run
                assert not run.state.is_final(), f"{run.name}: {run.state.name}: {run.state.message}"
                assert time.monotonic() < deadline, f"{run.name} is {run.state.name} after {within_s} s"
            await asyncio.sleep(0.3)

    async def ends(self, run_id: UUID, within_s: float = PATIENCE_S) -> FlowRun:
        """The run, once it has ended, however that was."""
        ends = (
            "Completed",
            "NothingToDo",
            "NothingLeft",
            "Drift",
            "Failed",
            "Crashed",
            "Cancelled",
            "NotConfirmed",
        )
        return await self.reaches(run_id, *ends, within_s=within_s)

    async def artifacts(self, run_id: UUID) -> dict[str, Artifact]:
        """What a run left, by key."""
        async with self.client() as client:
            wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
            return {str(one.key): one for one in await client.read_artifacts(artifact_filter=wanted)}

    async def cancel(self, run_id: UUID) -> float:
        """Cancel a run as the UI does it; the seconds until nothing of it is left on this machine."""
        async with self.client() as client:
            began_s = time.monotonic()
            await client.set_flow_run_state(run_id, Cancelling())
        while processes_of(run_id):
            assert time.monotonic() - began_s < 60, f"{processes_of(run_id)} still run 60 s after the cancel"
            await asyncio.sleep(0.05)
        return time.monotonic() - began_s

    def puts(self, queue: str, operation: str, name: str) -> list[Json]:
        """What the sandbox has on its ledger of an operation on an environment of that name."""
        return [
            entry
            for entry in self.sandboxes[queue].ledger(operation=operation)
            if f"-{name}-" in entry["path"].lower()
        ]

    async def is_making_a_cluster(self, run_id: UUID, queue: str, name: str) -> None:
        """Wait until Azure makes this run's cluster, and the run waits for it."""
        async with asyncio.timeout(PATIENCE_S), self.client() as client:
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
            while True:
                steps = await client.read_task_runs(flow_run_filter=wanted)
                waits = any(
                    step.name.startswith("ensure_cluster") and step.state and step.state.is_running()
                    for step in steps
                )
                if waits and self.puts(queue, CREATE_CLUSTER, name):
                    return
                await asyncio.sleep(0.3)

    def lock(self, spec: Json, queue: str) -> tuple[str, str]:
        """The state of the lease on an environment, and the heartbeat of the run that holds it."""
        sandbox = self.sandboxes[queue]
        wanted = EnvironmentSpec.model_validate({**spec, "subscription_id": sandbox.subscription_id})
        names = Names.of(wanted, sandbox.subscription_id, 1)
        group = f"{sandbox.subscription}/resourceGroups/{names.backup_group}"
        account = f"{group}/providers/Microsoft.Storage/storageAccounts/{names.storage_account}"
        container = f"{account}/blobServices/default/containers/{CONTAINER}"
        found = sandbox.arm("GET", container, api_version="2024-01-01").json()
        tags = sandbox.arm("GET", group, api_version="2024-11-01").json().get("tags") or {}
        return found["properties"]["leaseState"], str(tags.get(HEARTBEAT, ""))


def family(pid: int) -> list[int]:
    """A process and all that it started, the children first."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                found += family(int(child))
    return [*found, pid]


def processes_of(run_id: UUID) -> list[int]:
    """The processes on this machine that carry out a run: Prefect names it in their environment."""
    mark = f"PREFECT__FLOW_RUN_ID={run_id}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found
