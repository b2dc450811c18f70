"""Deployments and process workers, set up with the commands of docs/deployments.md."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from aks_postgres.deploy.rendering import HEARTBEAT_S
from aks_postgres.deploy.work_pools import WORK_POOL

REPOSITORY = Path(__file__).parents[2]


def command(environment: Mapping[str, str], module: str, *arguments: str, cwd: Path = REPOSITORY) -> str:
    """Run one of our commands, or Prefect's, to its end; returns its output."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def deploy(folder: Path, regions: Sequence[Any], environment: Mapping[str, str]) -> None:
    """Register what the regions say: docs/deployments.md, "In short".

    Args:
        folder: for the regions file and what is made of it.
        regions: entries of the regions file.
        environment: variables of a process that reaches the Prefect server.
    """
    folder.mkdir(exist_ok=True)
    (folder / "regions.yaml").write_text(yaml.safe_dump(list(regions)))
    apply = ["deployments", "apply", "--one-pool", "--regions", str(folder / "regions.yaml")]
    command(environment, "aks_postgres.cli.main", *apply, cwd=folder)


def start_worker(
    folder: Path, name: str, environment: Mapping[str, str], queue: str = "default"
) -> subprocess.Popen[bytes]:
    """A process worker of ours.

    Args:
        folder: where it writes its log, and its working directory.
        name: of the worker.
        environment: its variables, with Azure's credentials.
        queue: the work queue that it takes runs from.
    """
    started = ["prefect", "worker", "start", "--pool", WORK_POOL, "--name", name, "--work-queue", queue]
    # As `aks-postgres deployments worker` sets it.
    environment = {**environment, "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S)}
    with (folder / f"worker-{name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", *started], stdout=log, stderr=log, env=environment, cwd=folder
        )
