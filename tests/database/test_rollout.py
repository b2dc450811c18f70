"""A change that restarts instances: the run ends once all of them run as the spec says, and not before."""

from pathlib import Path
from typing import Any

import pytest

from azure_sandbox.client import SandboxProcess

from ..flows.conftest import run_provision
from ..flows.stage import kube_for
from .conftest import WANTED, Deployed, with_database

pytestmark = [pytest.mark.database, pytest.mark.timeout(900)]


async def test_a_run_ends_when_every_instance_runs_as_the_spec_says(
    with_postgres: SandboxProcess, deployed: Deployed, tmp_path: Path
) -> None:
    kube = kube_for(with_postgres, deployed.first.outputs, tmp_path)

    def requests() -> list[Any]:
        labels = f"cnpg.io/podRole=instance,cnpg.io/cluster={deployed.outputs.cluster}"
        pods = (kube.get(f"/api/v1/namespaces/cnpg-database/pods?labelSelector={labels}") or {})["items"]
        return [pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] for pod in pods]

    assert requests() == ["2"] * 3
    for cpu in (1, 2):
        await run_provision(with_postgres, with_database(with_postgres, **WANTED, cpu=cpu))
        assert requests() == [str(cpu)] * 3
