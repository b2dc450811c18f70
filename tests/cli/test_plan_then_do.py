"""What is asked before anything is done, and that exactly the plan that was looked at is carried out."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from aks_postgres.cli.plan_file import read_plan, write_plan
from aks_postgres.exit_codes import CommandFailed
from aks_postgres.reports.plan_view import PlanItem, PlanView
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess

from .conftest import NAMED, Run
from .test_commands import failed, writes

KEY = "cnpg-canadacentral"
A_PLAN = PlanView(
    environment=KEY,
    name="cnpg",
    region="canadacentral",
    subscription="A subscription",
    subscription_id=None,
    suffix=None,
    generation=1,
    items=(PlanItem(chapter="Cluster", action="create", kind="AKS cluster", name="aks"),),
)


@pytest.mark.parametrize(
    "command",
    [("provision",), pytest.param(("rebuild", "--confirm", KEY), marks=pytest.mark.thorough)],
)
def test_without_a_terminal_and_without_yes_nothing_is_asked_of_azure(
    run: Run, sandbox: SandboxProcess, state: Path, command: tuple[str, ...]
) -> None:
    done = run(*command, *NAMED, "--state", state)
    failed(done, 2, f"{command[0]} asks before it does anything", "Add --yes")
    assert sandbox.ledger() == []


@pytest.mark.parametrize(
    "given",
    [(), *(pytest.param(one, marks=pytest.mark.thorough) for one in (NAMED[:2], NAMED[2:]))],
)
def test_name_and_region_have_to_be_said(
    run: Run, sandbox: SandboxProcess, state: Path, given: tuple[str, ...]
) -> None:
    missing = [field for field in ("name", "region") if f"--{field}" not in given]
    failed(run("plan", *given, "--state", state), 2, f"{' and '.join(missing)}: nothing was given")
    assert sandbox.ledger() == []


def test_a_file_that_is_no_plan_or_was_edited_is_refused(tmp_path: Path) -> None:
    kept, spec = tmp_path / "plan", EnvironmentSpec()
    kept.write_text("{}")
    with pytest.raises(CommandFailed, match="is no plan"):
        read_plan(kept)
    write_plan(kept, spec, A_PLAN)
    assert read_plan(kept) == (spec, A_PLAN)
    whole = json.loads(kept.read_text())
    whole["plan"]["items"] = []
    kept.write_text(json.dumps(whole))
    with pytest.raises(CommandFailed, match="was changed since it was written"):
        read_plan(kept)


@pytest.mark.thorough
def test_a_plan_that_has_moved_is_refused(
    run: Run, sandbox: SandboxProcess, state: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "plan"
    made = run("plan", *NAMED, "--state", state, "--out", kept)
    assert made.returncode == 5, made.stderr
    assert f"provision --plan {kept}" in made.stderr
    both = run("provision", "--state", state, "--plan", kept, "--name", "other")
    failed(both, 2, "--plan has the spec in it")
    sandbox.settings(registered={"Microsoft.Dashboard": False})
    moved = run("provision", "--state", state, "--plan", kept)
    failed(moved, 1, "new: update resource provider Microsoft.Dashboard", "Nothing was written")
    assert writes(sandbox) == []


@pytest.mark.thorough
def test_a_kept_plan_is_carried_out(
    run: Run, sandbox: SandboxProcess, state: Path, tmp_path: Path, prefect_url: str
) -> None:
    kept = tmp_path / "plan"
    assert run("plan", *NAMED, "--state", state, "--out", kept).returncode == 5
    done = run("provision", "--state", state, "--plan", kept, PREFECT_API_URL=prefect_url)
    assert done.returncode == 0, done.stderr
    empty = run("plan", *NAMED, "--state", state)
    assert (empty.returncode, len(empty.stdout.splitlines())) == (0, 1), empty.stdout
    going = run("tear-down", "--plan", *NAMED, "--state", state)
    assert going.returncode == 5, going.stderr
    assert "delete        AKS cluster  aks-primary-cnpg-" in going.stdout
    assert "keep          storage account  hacnpgpsa" in going.stdout
    anew = run("rebuild", "--plan", *NAMED, "--state", state)
    assert anew.returncode == 5, anew.stderr
    assert "delete        AKS cluster  aks-primary-cnpg-" in anew.stdout
    assert "  Public IP: " in anew.stdout.partition("Addresses that change")[2]
    assert "make and verify generation 2 beside generation 1" in anew.stdout
    assert json.loads(run("rebuild", "--plan", *NAMED, "--state", state, "--json").stdout)["target"] == 2
    assert run("plan", *NAMED, "--state", state).returncode == 0


def test_on_a_terminal_the_plan_is_shown_and_no_means_no(
    sandbox: SandboxProcess, state: Path, tmp_path: Path
) -> None:
    """Signs in place of words, nothing wider than the terminal, and nothing written."""
    controller, terminal = pty.openpty()
    own = {"HOME": str(tmp_path), "COLUMNS": "80", "TERM": "xterm-256color"}
    foreign = ("AZURE_", "PREFECT_", "AKS_POSTGRES_", "SSL_CERT_FILE", "NO_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    command = [
        sys.executable,
        "-P",
        "-m",
        "aks_postgres.cli.main",
        "provision",
        *NAMED,
        "--state",
        str(state),
    ]
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=kept | own
    ) as process:
        os.close(terminal)
        os.write(controller, b"no\n")
        shown = b""
        while True:
            try:
                part = os.read(controller, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        assert process.wait(60) == 1
    os.close(controller)
    text = shown.decode()
    assert "\x1b[32m  + AKS cluster  aks-primary-cnpg-" in text
    assert "Do this? Only yes goes on" in text
    assert "not approved; nothing was written" in text
    assert writes(sandbox) == []
