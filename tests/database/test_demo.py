"""`make demo` with a database: psql answers, its backup is blobs, and nothing of it outlives `make stop`."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from azure_sandbox.client import SandboxProcess
from azure_sandbox.postgres.programs import FOLDER, default_folder, found_in

from ..cli.conftest import run_in

pytestmark = [pytest.mark.database, pytest.mark.timeout(900)]


def servers_below(folder: str) -> list[str]:
    """Processes that work in that sandbox's servers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if os.readlink(path).startswith(folder):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def test_the_demo_ends_with_a_database_and_stop_with_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    if found_in(default_folder()) is None:
        pytest.skip("no PostgreSQL is installed: azure-sandbox postgres install")
    run, folder = run_in(tmp_path, hangs_s=600), tmp_path / "demo"
    data = ""
    try:
        started = run("demo", "start", "--folder", folder, **{FOLDER: str(default_folder())})
        assert started.returncode == 0, started.stdout + started.stderr
        (hint,) = [line for line in started.stdout.splitlines() if " psql " in line]
        asked = subprocess.run(
            ["sh", "-c", hint],
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert asked.returncode == 0, asked.stderr
        assert "PostgreSQL 18.6" in asked.stdout
        sandbox = SandboxProcess(folder / "sandbox")
        instances = sandbox.control("GET", "postgres")["instances"]
        assert len(instances) == 3
        data = str(Path(next(iter(instances.values()))["data"]).parents[1])
        assert len(servers_below(data)) > 3
        written = [one["path"] for one in sandbox.ledger(service="blob") if one["method"] == "PUT"]
        assert any("/base/" in path and path.endswith("/backup.info") for path in written)
        assert any("/wals/" in path for path in written)
        assert "database: {}" in (folder / "regions.yaml").read_text()
        pid = json.loads((folder / "sandbox" / "sandbox.json").read_text())["pid"]
    finally:
        stopped = run("demo", "stop", "--folder", folder)
    assert f"Stopped the sandbox (process {pid})." in stopped.stdout
    assert servers_below(data) == []
