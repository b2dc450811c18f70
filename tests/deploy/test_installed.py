"""Both wheels in a new virtual environment, used from an empty folder beside a project with `flows/` and `tasks/`."""

import asyncio
import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from ..bench.processes import prefect_server

REPOSITORY = Path(__file__).parents[2]
FOREIGN = ("PREFECT_", "AZURE_", "AKS_POSTGRES_", "PYTHON")
# A run alone takes about 15 s on two idle cores.
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of a virtual environment with both wheels; what they need comes from the one that runs the tests."""
    folder = tmp_path_factory.mktemp("installed")
    # Of a copy: setuptools builds in the folder that it builds from.
    copy = folder / "copy"
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(copy)], check=True)
    sources = (str(copy), str(copy / "packages" / "azure-sandbox"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), *sources], check=True)
    made = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
    wheels = [str(wheel) for wheel in folder.glob("*.whl")]
    subprocess.run(
        [*pip, "--python", str(made / "bin" / "python"), "install", "--no-deps", *wheels], check=True
    )
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(made)}))
    # A path in a .pth file brings a folder's packages, not the editable installs that its own .pth files name.
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made / "bin"


class Project:
    """A project of somebody's own, with an empty folder in which our installed commands run."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        for name in ("flows", "tasks", "cli", "sandbox"):
            (folder / name).mkdir(parents=True)
            (folder / name / "__init__.py").write_text("raise ImportError('of another project')\n")
        self.empty = folder / "empty"
        self.empty.mkdir()
        self.variables = {
            name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)
        } | {
            # The other project is first on Python's path.
            "PYTHONPATH": str(folder),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }

    def run(self, *arguments: str) -> str:
        """Run a command to its end; what it printed."""
        done = subprocess.run(
            [self._programs / arguments[0], *arguments[1:]],
            cwd=self.empty,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def worker(self, identity: str, azure: dict[str, str]) -> Iterator[None]:
        """A worker, as the product starts it."""
        variables = self.variables | azure | {"PREFECT_WORKER_QUERY_SECONDS": "1"}
        command = [self._programs / "aks-postgres", "deployments", "worker", identity]
        with (
            self.log(identity).open("wb") as log,
            subprocess.Popen(command, cwd=self.empty, env=variables, stdout=log, stderr=log) as process,
        ):
            try:
                yield
            finally:
                process.terminate()
                process.wait(60)

    def log(self, identity: str) -> Path:
        """Where a worker says what it does."""
        return self.empty.parent / f"{identity}.log"


@pytest.mark.thorough
@pytest.mark.timeout(900)
async def test_the_installed_wheels_plan_provision_deploy_and_work_from_an_empty_folder_beside_another_project(
    programs: Path, tmp_path: Path
) -> None:
    project = Project(programs, tmp_path / "project")
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
