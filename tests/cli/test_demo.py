"""`make demo` calls this; the packages are installed already."""

import json
import urllib.request
from pathlib import Path

import pytest

from aks_postgres.cli.processes import is_running

from .conftest import Run


@pytest.mark.timeout(400)
@pytest.mark.thorough
def test_demo_shows_an_environment_then_the_same_unchanged_and_stop_ends_both(
    run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    try:
        first = run("demo", "start", "--folder", folder)
        assert first.returncode == 0, first.stderr
        assert "created" in first.stdout

        url = next(line.split()[-1] for line in first.stdout.splitlines() if line.startswith("Prefect UI"))
        page = next(line.split()[-1] for line in first.stderr.splitlines() if line.startswith("Run and its"))
        assert page.startswith(url)
        asked = urllib.request.Request(page, headers={"accept": "text/html"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert answer.status == 200

        second = run("demo", "start", "--folder", folder)
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
    assert run("demo", "stop", "--folder", folder).stdout == "Nothing of the demo was running.\n"
