"""The guide run twice by the real az, and once by us, each on a sandbox of its own."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names
from azure_sandbox.client import SandboxProcess, start

from ..conftest import SPEED, point_at, spec_for
from .azure_cli import WAYS, NoAzureCli, installed
from .run import Choices, GuideRun, prepare

# The guide's layout where our defaults have another, and what it can't have any more for both.
PARITY: dict[str, Any] = {
    "cluster": {"kubernetes_version": "1.35"},
    "storage": {"backups": "in_environment_group"},
    "monitoring": {"monitoring_reader_scope": "subscription"},
}
VM_SIZE = "Standard_D4s_v5"


@dataclass
class Guide:
    """The guide as az ran it, and what the sandbox had after it."""

    run: GuideRun
    resources: list[dict[str, Any]]
    ledger: list[dict[str, Any]]
    variables: dict[str, str]
    left: list[dict[str, Any]]


@pytest.fixture(scope="session")
def az() -> Path:
    if missing := [tool for tool in ("bash", "curl", "jq", "openssl") if shutil.which(tool) is None]:
        pytest.skip(f"the guide's commands need {', '.join(missing)}")
    try:
        return installed()
    except NoAzureCli as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def guides(az: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Guide]]:
    """Both ways at once: az is one busy core most of the time."""
    folder = tmp_path_factory.mktemp("az")
    with ThreadPoolExecutor(len(WAYS)) as pool:
        yield dict(
            zip(WAYS, pool.map(lambda way: _run(way, az, folder / way.replace(" ", "-")), WAYS), strict=True)
        )


def _run(way: str, az: Path, folder: Path) -> Guide:
    folder.mkdir()
    process = start(folder / "sandbox", "--speed", str(SPEED))
    try:
        sandbox = SandboxProcess(folder / "sandbox")
        prepare(sandbox)
        suffix = Names.of(parity_spec(sandbox), sandbox.subscription_id, 1).suffix
        choices = Choices(suffix, "canadacentral", PARITY["cluster"]["kubernetes_version"], VM_SIZE)
        run = GuideRun(way, sandbox.description, az, folder / "home", choices)
        run.log_in()
        run.create_infrastructure()
        resources = sandbox.control("GET", "resources")["resources"]
        ledger = sandbox.ledger()
        run.continue_with_later_articles()
        if way == "public cloud":  # Once is enough.
            run.look_and_take_apart()
        run.clean_up()
        left = sandbox.control("GET", "resources")["resources"]
        return Guide(run, resources, ledger, run.shell.variables(), left)
    finally:
        process.terminate()
        process.wait(timeout=60)


def parity_spec(sandbox: SandboxProcess) -> EnvironmentSpec:
    return spec_for(sandbox, **PARITY)


@dataclass
class Ours:
    """What `provision` left and reported."""

    resources: list[dict[str, Any]]
    spec: EnvironmentSpec
    outputs: EnvironmentOutputs


@pytest_asyncio.fixture(scope="session")
async def ours(guides: dict[str, Guide], sandbox_process: SandboxProcess, prefect_api: None) -> Ours:
    """After az: three at once would only wait for each other."""
    from aks_postgres.flows.provision import provision

    sandbox_process.control("POST", "reset", {"seed": 1, "speed": SPEED})
    prepare(sandbox_process)
    with pytest.MonkeyPatch.context() as patch:
        point_at(sandbox_process, patch)
        spec = parity_spec(sandbox_process)
        outputs = await provision(spec)
    return Ours(sandbox_process.control("GET", "resources")["resources"], spec, outputs)
