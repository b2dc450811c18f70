"""`make demo` calls this; the packages are installed already."""

import json
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from aks_postgres.cli.hints import pasted
from aks_postgres.cli.processes import is_running

from .conftest import Run

WITHOUT_POSTGRES = {"AZURE_SANDBOX_POSTGRES": "off"}


def test_a_hint_names_the_command_by_its_path_where_the_shell_would_not_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "a folder" / "aks-postgres"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(program.parent / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert shlex.split(pasted("status", "--state", "my state")) == [
        str(program),
        "status",
        "--state",
        "my state",
    ]
    monkeypatch.setenv("PATH", str(program.parent))
    assert pasted("status") == "aks-postgres status"


@pytest.mark.timeout(600)
@pytest.mark.thorough
def test_demo_shows_an_environment_whose_deployments_run_then_the_same_unchanged_and_stop_ends_all(
    run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    try:
        first = run("demo", "start", "--folder", folder, **WITHOUT_POSTGRES)
        assert first.returncode == 0, first.stderr
        assert "created" in first.stdout
        said = [line for line in first.stdout.splitlines() if "PostgreSQL" in line and "database" in line]
        assert [line.partition(": ")[2].strip() for line in said] == [
            "the demo has no database: AZURE_SANDBOX_POSTGRES is off; unset it, or say --into FOLDER"
        ]

        url = next(line.split()[-1] for line in first.stdout.splitlines() if line.startswith("Prefect UI"))
        page = next(line.split()[-1] for line in first.stdout.splitlines() if "Run and its" in line)
        assert page.startswith(url)
        asked = urllib.request.Request(page, headers={"accept": "text/html"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert answer.status == 200

        # It is on SQLite, which loses events: a run that waits for approval may seem silent.
        asked = urllib.request.Request(
            f"{url}/api/automations/filter", data=b"{}", headers={"content-type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            off = [one["name"] for one in json.load(answer) if not one["enabled"]]
        assert off == ["aks-postgres: a run died"]

        # What it says to paste works in a shell that has nothing else, and asks nobody but the sandbox.
        hints = first.stdout.partition("To go on in a shell:\n")[2].strip().splitlines()
        lines = [*hints, "python -m prefect deployment run --watch plan/canadacentral"]
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        for line in lines[1:]:
            pasted = subprocess.run(
                ["sh", "-c", f"{lines[0]}\n{line}"],
                env={"HOME": str(tmp_path), "PATH": path if line == lines[-1] else "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=False,
            )
            # Exit code 5: the plan of a change.
            assert pasted.returncode == (5 if " plan " in line else 0), (line, pasted.stdout, pasted.stderr)
        assert "NothingToDo" in pasted.stdout

        worker = json.loads((folder / "worker.json").read_text())["pid"]
        second = run("demo", "start", "--folder", folder, **WITHOUT_POSTGRES)
        assert json.loads((folder / "worker.json").read_text())["pid"] == worker
        assert second.returncode == 0, second.stderr
        assert url in second.stdout
        assert ": created" not in second.stderr
        assert "unchanged" in second.stdout
    finally:
        sandbox = json.loads((folder / "sandbox" / "sandbox.json").read_text())["pid"]
        server = json.loads((folder / "server.json").read_text())["pid"]
        stopped = run("demo", "stop", "--folder", folder)
    assert stopped.returncode == 0
    assert not is_running(sandbox)
    assert not is_running(server)
    assert not is_running(worker)
    assert run("demo", "stop", "--folder", folder).stdout == "Nothing of the demo was running.\n"
