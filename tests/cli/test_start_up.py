"""What the first word waits for; how long that is: `tests/bench/test_bars.py`."""

import subprocess
import sys

import pytest

from ..cases import shown
from .conftest import Run


@pytest.mark.parametrize("command", shown([[], ["provision"], ["sandbox"], ["demo"]]))
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys; from aks_postgres.cli.main import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('prefect', 'azure', 'yaml', 'aiohttp', 'kubernetes') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *command, "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_version_is_the_package_s(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version").stdout == f"aks-postgres {version('aks-postgres')}\n"


def test_an_unknown_option_is_bad_input(run: Run) -> None:
    done = run("provision", "--nmae", "x")
    assert (done.returncode, "--nmae" in done.stderr) == (2, True)
