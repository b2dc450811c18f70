"""Both wheels in a new virtual environment, used from an empty folder beside a project with `flows/` and `tasks/`."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from ..bench.processes import prefect_server
from ..built import copy_repository
from .installed import Project, install_wheels

# A run alone takes about 15 s on two idle cores.
PATIENCE_S = 300.0


@pytest.mark.thorough
@pytest.mark.timeout(900)
async def test_the_installed_wheels_plan_provision_deploy_and_work_from_an_empty_folder_beside_another_project(
    tmp_path: Path,
) -> None:
    project = Project(install_wheels(tmp_path, copy_repository(tmp_path)), tmp_path / "project")
    state = str(tmp_path / "sandbox")
    where = ["--name", "cnpg", "--region", "canadacentral", "--sandbox", "--state", state]
    project.run("aks-postgres", "sandbox", "start", "--state", state, "--speed", "1000")
    try:
        project.run("aks-postgres", "provision", "--yes", *where)
        assert "nothing to do" in project.run("aks-postgres", "plan", *where)
        azure = json.loads(project.run("aks-postgres", "sandbox", "env", "--shell", "json", "--state", state))
        with prefect_server(tmp_path, None) as server:
            project.variables["PREFECT_API_URL"] = server.api
            project.run("aks-postgres", "deployments", "init")
            project.run("aks-postgres", "deployments", "setup")
            project.run("aks-postgres", "deployments", "apply", "--sandbox", "--state", state)
            with (
                temporary_settings({PREFECT_API_URL: server.api}),
                project.worker("read", azure),
                project.worker("write", azure),
            ):
                # There is an environment in the first region, and none in the second.
                for deployment, name in (
                    ("plan/canadacentral", "NothingToDo"),
                    ("provision/northeurope", "Completed"),
                    ("plan/northeurope", "NothingToDo"),
                ):
                    assert (deployment, await ended(deployment)) == (deployment, name)
    finally:
        project.run("aks-postgres", "sandbox", "stop", "--state", state)
    assert [file.name for file in project.empty.iterdir()] == ["regions.yaml"]


async def ended(deployment: str) -> str:
    """Start a run through the API, and wait for its end; the name of its last state."""
    async with get_client() as client:
        found = await client.read_deployment_by_name(deployment)
        run = await client.create_flow_run_from_deployment(found.id)
        deadline = time.monotonic() + PATIENCE_S
        while not (run.state and run.state.is_final()):
            assert time.monotonic() < deadline, f"{deployment} is {run.state} after {PATIENCE_S} s"
            await asyncio.sleep(0.5)
            run = await client.read_flow_run(run.id)
    return str(run.state.name)
