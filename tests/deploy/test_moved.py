"""Deployments with schedules that an earlier version registered by its files' paths, in a folder that is gone."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled
from prefect.workers.process import ProcessWorker

from aks_postgres.cli.sandbox_client import running_sandbox
from aks_postgres.deploy.work_pools import POOLS, WORK_POOL
from azure_sandbox.client import start

from ..bench.processes import free_port, prefect_server

TORONTO = ZoneInfo("America/Toronto")
# A run alone takes about 15 s on two idle cores.
PATIENCE_S = 300.0
REGIONS = """
- spec: {name: cnpg, region: canadacentral}
  drift: {cron: "45 7 * * *", timezone: America/Toronto}
  rebuild: {cron: "0 3 * * 0", timezone: America/Toronto, confirm: cnpg-canadacentral, strategy: replace}
"""
SPEC = {"name": "cnpg", "region": "canadacentral"}
# What an earlier version's flows asked for; what they did is no matter, as they are gone when a run begins.
EARLIER_FLOWS = {
    "provision": "spec: dict",
    "plan": "spec: dict",
    "tear_down": "spec: dict, confirm: str",
    "rebuild": "spec: dict, confirm: str, strategy: str = 'blue_green'",
    "provision_fleet": "spec: dict, regions: list[str], runs: str",
}
WORD = {"confirm": "cnpg-canadacentral", "strategy": "replace"}
EARLIER_SCHEDULES: dict[str, dict[str, Any]] = {
    "plan": {"slug": "drift", "cron": "15 6 * * *", "timezone": "America/Toronto", "active": True},
    "rebuild": {
        "slug": "rebuild",
        "cron": "0 3 * * 0",
        "timezone": "America/Toronto",
        "active": True,
        "parameters": WORD,
    },
}
# The regions file has another time for one of them by now.
SCHEDULES = {
    "plan": [("drift", "45 7 * * *", "America/Toronto", True, {})],
    "rebuild": [("rebuild", "0 3 * * 0", "America/Toronto", True, WORD)],
}


def earlier_deployment(flow: str) -> dict[str, Any]:
    """What that version's prefect.yaml had of a flow: one pool, a job variable, nothing about pulling."""
    is_fleet = flow == "provision_fleet"
    return {
        "name": "fleet" if is_fleet else "canadacentral",
        "description": "Of an earlier version.",
        "entrypoint": f"flows/{flow}.py:{flow}",
        "enforce_parameter_schema": True,
        "tags": ["aks-postgres", "fleet" if is_fleet else "canadacentral", "cnpg"],
        "parameters": {"spec": {"name": "cnpg"}, "regions": ["canadacentral"], "runs": "deployments"}
        if is_fleet
        else {"spec": SPEC},
        **({"schedules": [EARLIER_SCHEDULES[flow]]} if flow in EARLIER_SCHEDULES else {}),
        "work_pool": {
            "name": WORK_POOL,
            "job_variables": {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}},
        },
    }


class Operated:
    """A server and a sandbox, and a folder with a regions file in which our commands run."""

    def __init__(self, folder: Path, api: str, sandbox: Path) -> None:
        self.folder, self._sandbox = folder, sandbox
        foreign = ("PREFECT_", "AZURE_", "AKS_POSTGRES_")
        self._variables = {
            name: value for name, value in os.environ.items() if not name.startswith(foreign)
        } | {
            "PREFECT_API_URL": api,
            "PREFECT_HOME": str(folder / "client"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }

    def run(self, module: str, *arguments: str, cwd: Path | None = None) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", module, *arguments],
            cwd=cwd or self.folder,
            env=self._variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def deployments(self, command: str) -> tuple[int, list[str]]:
        """What `aks-postgres deployments` says of deployments, a line each."""
        sandbox = ["--sandbox", "--state", str(self._sandbox)]
        code, said = self.run("aks_postgres.cli.main", "deployments", command, *sandbox)
        return code, [line for line in said.splitlines() if " deployment " in line]

    def register_as_earlier(self) -> None:
        """Have Prefect register that version's deployments from a clone of it, which then goes."""
        clone = self.folder / "earlier"
        (clone / "flows").mkdir(parents=True)
        for flow, parameters in EARLIER_FLOWS.items():
            text = f"from prefect import flow\n\n\n@flow\ndef {flow}({parameters}):\n    raise SystemExit\n"
            (clone / "flows" / f"{flow}.py").write_text(text)
        prefect_yaml = {"name": "aks-postgres", "deployments": [*map(earlier_deployment, EARLIER_FLOWS)]}
        (clone / "prefect.yaml").write_text(yaml.safe_dump(prefect_yaml))
        code, said = self.run("prefect", "--no-prompt", "deploy", "--all", cwd=clone)
        assert code == 0, said
        shutil.rmtree(clone)

    @contextmanager
    def worker(self, identity: str) -> Iterator[None]:
        """A worker, as the product starts it."""
        azure = running_sandbox(self._sandbox).at_its_speed().variables()
        quick = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_WEBSERVER_PORT": str(free_port())}
        command = [sys.executable, "-P", "-m", "aks_postgres.cli.main", "deployments", "worker", identity]
        with (
            (self.folder / f"{identity}.log").open("wb") as log,
            subprocess.Popen(
                command, cwd=self.folder, env=self._variables | azure | quick, stdout=log, stderr=log
            ) as process,
        ):
            try:
                yield
            finally:
                process.terminate()
                process.wait(60)


@pytest.fixture
def operated(tmp_path: Path) -> Iterator[Operated]:
    (tmp_path / "regions.yaml").write_text(REGIONS)
    state = tmp_path / "sandbox"
    with ExitStack() as stack:
        server = stack.enter_context(prefect_server(tmp_path, None))
        process = start(state, "--speed", "1000")
        stack.callback(process.wait)
        stack.callback(process.terminate)
        stack.enter_context(temporary_settings({PREFECT_API_URL: server.api}))
        yield Operated(tmp_path, server.api, state)


@pytest_asyncio.fixture
async def client(operated: Operated) -> AsyncIterator[PrefectClient]:
    async with get_client() as client:
        yield client


async def scheduled(client: PrefectClient, deployment_id: UUID) -> list[FlowRun]:
    """The runs that the server has made of a deployment's schedules, once there are any, the next one first."""
    wanted = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id]))
    async with asyncio.timeout(PATIENCE_S):
        while not (runs := await client.read_flow_runs(deployment_filter=wanted)):
            await asyncio.sleep(0.5)
    assert all(run.auto_scheduled for run in runs)
    return sorted(runs, key=lambda run: str(run.expected_start_time))


async def ended(client: PrefectClient, run: FlowRun) -> FlowRun:
    """A scheduled run whose time is now, once it has ended."""
    await client.set_flow_run_state(run.id, Scheduled(), force=True)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            run = await client.read_flow_run(run.id)
            if run.state and run.state.is_final():
                return run
            await asyncio.sleep(0.5)


@pytest.mark.thorough
@pytest.mark.timeout(900)
async def test_scheduled_deployments_of_an_earlier_version_are_found_and_moved_and_their_schedules_start_runs(
    operated: Operated, client: PrefectClient
) -> None:
    # That version's only pool; what jobs were in it, it left to Prefect's own template.
    template = ProcessWorker.get_default_base_job_template()
    await client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process", base_job_template=template))
    operated.register_as_earlier()
    names = {
        flow: f"{flow.replace('_', '-')}/{'fleet' if flow == 'provision_fleet' else 'canadacentral'}"
        for flow in EARLIER_FLOWS
    }
    before = {flow: await client.read_deployment_by_name(name) for flow, name in names.items()}
    assert all(found.pull_steps for found in before.values())
    due = {run.id for flow in EARLIER_SCHEDULES for run in await scheduled(client, before[flow].id)}

    code, lines = operated.deployments("check")
    assert code == 1
    for flow, name in names.items():
        entrypoint = f"flows/{flow}.py:{flow} -> aks_postgres.flows.{flow}.{flow}"
        (line,) = [one for one in lines if name in one]
        assert line.startswith(f"differs    deployment {name}: entrypoint {entrypoint}, "), line
        assert "pull steps" in line
        assert (", schedules" in line) == (flow == "plan"), line

    code, lines = operated.deployments("apply")
    assert (code, len(lines)) == (0, len(names)), lines
    assert all(line.startswith("updated ") for line in lines)
    code, lines = operated.deployments("check")
    assert (code, len(lines)) == (0, len(names)), lines
    assert all(line.startswith("unchanged ") for line in lines)

    pools = {"plan": POOLS["read"], "rebuild": POOLS["delete"], "tear_down": POOLS["delete"]}
    for flow, name in names.items():
        now = await client.read_deployment_by_name(name)
        assert (now.id, now.entrypoint) == (before[flow].id, f"aks_postgres.flows.{flow}.{flow}")
        assert (now.pull_steps or [], now.job_variables) == ([], {})
        assert now.work_pool_name == pools.get(flow, WORK_POOL)
        assert [
            (each.slug, each.schedule.cron, each.schedule.timezone, each.active, each.parameters)  # type: ignore[union-attr]
            for each in now.schedules
        ] == SCHEDULES.get(flow, [])

    # What was due of the earlier deployment would be taken by a worker of the pool that it was in.
    moved = {flow: await scheduled(client, before[flow].id) for flow in EARLIER_SCHEDULES}
    for flow, runs in moved.items():
        assert not due & {run.id for run in runs}
        assert {run.work_pool_name for run in runs} == {pools[flow]}
    planned, rebuilt = moved["plan"][0], moved["rebuild"][0]
    local = {flow: runs[0].expected_start_time.astimezone(TORONTO) for flow, runs in moved.items()}  # type: ignore[union-attr]
    assert f"{local['plan']:%H:%M}" == "07:45"
    assert f"{local['rebuild']:%a %H:%M}" == "Sun 03:00"
    assert {name: rebuilt.parameters.get(name) for name in WORD} == WORD

    with operated.worker("read"), operated.worker("delete"):
        # There is nothing yet; a rebuild makes it.
        planned = await ended(client, planned)
        assert (planned.state_name, planned.name) == ("Drift", "plan cnpg in canadacentral")
        assert (await ended(client, rebuilt)).state_name == "Completed"
        assert (await ended(client, moved["plan"][1])).state_name == "NothingToDo"
