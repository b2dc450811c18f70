"""`--record` with every command: it keeps what was said with Azure, or is refused in words."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from aks_postgres.cli.main import app
from aks_postgres.cli.sandbox_client import PSQL_VARIABLE
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.reports.recordings import read_recording
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for
from .conftest import NAMED, Run

# What talks to Azure, in an order in which each finds what it needs, and with what else it takes; the rest has nothing
# to record. A worker's recordings are those of the flows in its runs.
HERE = (*NAMED, "--sandbox")
KEY = "cnpg-canadacentral"
TALKING: dict[tuple[str, ...], tuple[str, ...]] = {
    ("doctor",): HERE,
    ("plan",): HERE,
    ("provision",): ("--yes", *HERE),
    ("list",): ("--sandbox",),
    ("status",): HERE,
    ("outputs",): HERE,
    ("kubeconfig",): (*HERE, "--file", "kubeconfig"),
    ("psql",): ("--sandbox", "cnpg", "canadacentral"),
    ("fleet",): ("--yes", *HERE),
    ("rebuild",): ("--plan", *HERE),
    ("tear-down",): ("--confirm", KEY, *HERE),
    ("deployments", "worker"): (),
}


def every(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, below in getattr(command, "commands", {}).items():
        if hasattr(below, "commands"):
            yield from every(below, (*path, name))
        else:
            yield (*path, name)


COMMANDS = sorted(every(typer.main.get_command(app)))


def test_what_talks_to_azure_are_commands() -> None:
    assert set(TALKING) <= set(COMMANDS)


@pytest.mark.parametrize("command", [one for one in COMMANDS if one not in TALKING], ids=" ".join)
def test_what_doesnt_talk_to_azure_refuses_to_record(command: tuple[str, ...], tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["--record", str(tmp_path / "r"), *command])
    assert isinstance(found.exception, CommandFailed), found.output
    assert found.exception.code == ExitCode.BAD_INPUT
    assert "doesn't talk to Azure" in str(found.exception)
    assert not (tmp_path / "r").exists()


@pytest.mark.thorough
def test_what_talks_to_azure_keeps_that_and_nothing_about_whose_it_is(
    run: Run, sandbox: SandboxProcess, state: Path, prefect_url: str, tmp_path: Path
) -> None:
    spec_for(sandbox)
    about = sandbox.description
    for command, arguments in TALKING.items():
        if command == ("deployments", "worker"):
            continue
        folder = tmp_path / "recordings" / command[-1]
        given = [str(tmp_path / one) if one == "kubeconfig" else one for one in arguments]
        variables = {"PREFECT_API_URL": prefect_url, PSQL_VARIABLE: sys.executable}
        done = run("--record", folder, *command, "--state", state, *given, **variables)
        # A plan with something in it ends with 5; that no database is there yet, psql has to ask.
        assert done.returncode in (0, ExitCode.CHANGES) or command == ("psql",), done.stderr
        assert [entry for entry in read_recording(folder) if "status" in entry], command
        text = "".join(file.read_text() for file in folder.rglob("*") if file.is_file())
        for one in ("client_secret", "client_id", "subscription_id", "tenant_id"):
            assert about[one] not in text, (command, one)
