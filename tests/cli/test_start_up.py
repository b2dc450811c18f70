"""What the first word waits for; how long that is: `tests/bench/test_bars.py`."""

import json
import os
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


NAMED = ["--name", "cnpg", "--region", "canadacentral"]
NOWHERE = ["--sandbox", "--state", "/nowhere"]
# Arguments, exit code, and a word of the message: what Azure needn't be asked for.
REFUSALS: list[tuple[list[str], int, str]] = [
    (["provision", "--yes", "--name", "cnpg"], 2, "region"),
    (["provision", "--yes", "--name", "CNPG", "--region", "canadacentral"], 2, "name"),
    (["provision", *NAMED], 2, "--yes"),
    (["provision", "--yes", *NAMED, "--set", "postgres_pool.max_count=0"], 2, "postgres_pool.max_count"),
    (["provision", "--yes", *NAMED, "--set", "nothing=1"], 2, "nothing"),
    (["provision", "--yes", *NAMED, "--set", "postgres_pool.zones=[4]"], 2, "postgres_pool.zones"),
    (["provision", "--yes", *NAMED, "--set", "tags"], 2, "FIELD=VALUE"),
    (["provision", "--yes", *NAMED, *NOWHERE], 4, "sandbox start"),
    (["provision", "--spec", "/nowhere.yaml"], 2, "/nowhere.yaml"),
    (["provision", "--plan", "/nowhere.json"], 2, "/nowhere.json"),
    (
        ["provision", "--yes", *NAMED, "--progress", "loud"],
        2,
        "'--progress': 'loud' is not one of 'auto', 'plain'",
    ),
    (["plan", "--name", "cnpg", "--region", "?"], 2, "region"),
    (["plan", *NAMED, "--subscription-id", "mine"], 2, "subscription_id"),
    (["plan", *NAMED, "--suffix", "x"], 2, "suffix"),
    (["plan", *NAMED, *NOWHERE], 4, "/nowhere"),
    (["tear-down", *NAMED], 2, "--confirm cnpg-canadacentral"),
    (["tear-down", *NAMED, "--confirm", "cnpg"], 2, "confirm"),
    (["tear-down", *NAMED, "--confirm", "cnpg-canadacentral", "--discard-data", "yes"], 2, "discard_data"),
    (["rebuild", *NAMED, "--confirm", "cnpg-westus3", "--yes"], 2, "confirm"),
    (["rebuild", *NAMED, "--confirm", "cnpg-canadacentral"], 2, "--yes"),
    (["status", "cnpg"], 2, "region: nothing was given"),
    (
        ["status", "cnpg", "canadacentral", "--region", "westus3"],
        2,
        "region: canadacentral and westus3 were given",
    ),
    (["rebuild", *NAMED], 2, "rebuild needs --confirm cnpg-canadacentral"),
    (["rebuild", *NAMED, "--confirm", "cnpg-canadacentral", "--strategy", "green"], 2, "--strategy"),
    (["outputs", *NAMED, *NOWHERE], 4, "/nowhere"),
    # The spec's own mistakes come first: they are there wherever it is used.
    (["outputs", "--name", "cnpg", "--region", "?", *NOWHERE], 2, "region"),
    (["plan", "--name", "cnpg", *NOWHERE], 2, "region: nothing was given"),
    (["outputs", *NAMED, "--format", "xml"], 2, "--format"),
    (["status", "cnpg", "canadacentral", *NOWHERE], 4, "/nowhere"),
    (["list", *NOWHERE], 4, "/nowhere"),
    (["fleet", "--name", "cnpg"], 2, "--regions-file"),
    (["fleet", "--name", "cnpg", "--region", "?"], 2, "region"),
    (
        ["fleet", "--name", "cnpg", *["--region", "westus3"] * 2],
        2,
        "regions: westus3 more than once was given; give",
    ),
    (["fleet", "--name", "cnpg", "--region", "westus3", "--at-once", "0"], 2, "--at-once"),
    (["doctor", "--name", "?"], 2, "name"),
    (["deployments", "apply", "--regions", "/nowhere.yaml"], 2, "/nowhere.yaml"),
    (["deployments", "check", "--regions", "/nowhere.yaml"], 2, "/nowhere.yaml"),
    (["deployments", "role", "read"], 2, "--subscription"),
    (["deployments", "worker", "root"], 2, "root"),
    (["sandbox", "status", "--state", "/nowhere"], 4, "/nowhere"),
    (["init", "/etc/passwd"], 2, "/etc/passwd"),
]
_REFUSED = """
import json, sys
from aks_postgres.cli.main import main
told = sys.stdout
try: main()
except SystemExit as end: code = end.code
else: code = 0
heavy = [m for m in ('prefect', 'azure', 'aiohttp', 'kubernetes', 'httpx') if m in sys.modules]
print(json.dumps([int(code), heavy]), file=told)
"""


def refused(arguments: list[str]) -> tuple[int, list[str], str]:
    """Exit code, what was loaded, and the message."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "AZURE_", "AKS_"))
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", _REFUSED, *arguments],
        env=kept,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    code, heavy = json.loads(done.stdout.splitlines()[-1])
    return code, heavy, done.stderr


def _look(arguments: list[str], code: int, word: str) -> None:
    ended, heavy, message = refused(arguments)
    assert (ended, heavy) == (code, []), message
    assert word in message
    assert "Traceback" not in message


@pytest.mark.parametrize(("arguments", "code", "word"), REFUSALS[::9])
def test_what_azure_need_not_be_asked_is_refused_without_loading_what_takes_a_second(
    arguments: list[str], code: int, word: str
) -> None:
    _look(arguments, code, word)


@pytest.mark.thorough
@pytest.mark.parametrize(("arguments", "code", "word"), REFUSALS)
def test_every_such_refusal_is_one_message_with_its_exit_code(
    arguments: list[str], code: int, word: str
) -> None:
    _look(arguments, code, word)


def test_version_is_the_package_s(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version").stdout == f"aks-postgres {version('aks-postgres')}\n"


def test_an_unknown_option_is_bad_input(run: Run) -> None:
    done = run("provision", "--nmae", "x")
    assert (done.returncode, "--nmae" in done.stderr) == (2, True)
