"""The command as a person runs it: a process with an environment of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azure_sandbox.client import SandboxProcess

Run = Callable[..., subprocess.CompletedProcess[str]]

# Which environment a command is about has to be said.
NAMED = ("--name", "cnpg", "--region", "canadacentral")

# Time-outs are for a command that hangs; each promise about time is tested by itself.
_HANGS_S = 150


def run_in(home: Path, hangs_s: float = _HANGS_S) -> Run:
    """Runs `aks-postgres` with these arguments; home, state and Azure's variables are the test's own."""

    def run_command(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        foreign = ("AZURE_", "PREFECT_", "AKS_POSTGRES_", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "XDG_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        own = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, "-P", "-m", "aks_postgres.cli.main", *map(str, arguments)],
            env={**kept, **own, **variables},
            capture_output=True,
            text=True,
            timeout=hangs_s,
            check=False,
        )

    return run_command


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `aks-postgres` as a person does who has nothing set."""
    return run_in(tmp_path)


@pytest.fixture(scope="session")
def prefect_url(prefect_api: None) -> str:
    """The URL of the session's Prefect API."""
    from prefect.settings import get_current_settings

    return str(get_current_settings().api.url)


@pytest.fixture
def state(sandbox: SandboxProcess) -> Path:
    """The state folder of the session's sandbox, which is empty."""
    return Path(sandbox.description["ca_file"]).parent


@pytest.fixture
def own_sandbox(run: Run, tmp_path: Path) -> Iterator[Path]:
    """The state folder of a sandbox that the command started; stopped at the end, whatever happened."""
    folder = tmp_path / "own"
    started = run("sandbox", "start", "--state", folder, "--speed", 1000)
    assert started.returncode == 0, started.stderr
    try:
        yield folder
    finally:
        run("sandbox", "stop", "--state", folder)
