"""Files that a command is given, and disks that take nothing: one line each, on a terminal."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aks_postgres.cli import demo
from aks_postgres.cli.kubeconfig_file import write_kubeconfig
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.runs.failures import failure_of
from aks_postgres.yaml_files import read_yaml

from ..files.test_given_files import NO_FILES, fifo
from ..files.test_yaml_text import BOMB
from .conftest import Run

ONE = "kind: Config\nclusters: [{name: one}]\n"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", NO_FILES)
def test_a_spec_is_a_regular_file(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aks_postgres.yaml_files.LARGEST_BYTES", 100)
    make, words = NO_FILES[what]
    with pytest.raises(CommandFailed) as refused:
        read_yaml(make(tmp_path), field="--spec")
    assert str(refused.value).startswith("--spec: ")
    assert words in str(refused.value)
    assert refused.value.code == ExitCode.BAD_INPUT


# A command that is given a file, and the field that its refusal names.
COMMANDS: dict[str, tuple[list[str], str]] = {
    "plan": (["plan", "--spec"], "--spec"),
    "provision": (["provision", "--spec"], "--spec"),
    "tear-down": (["tear-down", "--confirm", "x", "--spec"], "--spec"),
    "rebuild": (["rebuild", "--confirm", "x", "--spec"], "--spec"),
    "outputs": (["outputs", "--spec"], "--spec"),
    "kubeconfig": (["kubeconfig", "--spec"], "--spec"),
    "faults": (["sandbox", "faults", "order"], "faults order"),
    "scenario": (["sandbox", "start", "--scenario"], "--scenario"),
}
BAD = {
    "FIFO": "is a FIFO; a regular file is allowed",
    "alias bomb": "unfolds to more than",
    "deep": "levels deep",
    "number": "4300 digits",
}


def bad_file(folder: Path, what: str) -> Path:
    texts = {"alias bomb": BOMB, "deep": "[" * 900, "number": f"a: {'9' * 5000}"}
    if what == "FIFO":
        return fifo(folder)
    (folder / "bad.yaml").write_text(texts[what])
    return folder / "bad.yaml"


@pytest.mark.parametrize(
    ("command", "what"),
    [
        pytest.param(
            command, what, marks=() if (command, what) in {("plan", "FIFO")} else pytest.mark.thorough
        )
        for command in COMMANDS
        for what in BAD
    ],
)
def test_a_command_refuses_a_bad_file_in_one_line(run: Run, tmp_path: Path, command: str, what: str) -> None:
    arguments, field = COMMANDS[command]
    ended = run(*arguments, bad_file(tmp_path, what))
    assert ended.returncode == ExitCode.BAD_INPUT, ended.stderr
    assert ended.stderr.startswith(f"aks-postgres: {field}: ")
    assert ended.stderr.count("\n") == 1
    assert BAD[what] in ended.stderr


@pytest.mark.parametrize("what", BAD)
def test_the_regions_file_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    from aks_postgres.deploy.regions import read_regions

    with pytest.raises(CommandFailed, match="--regions: ") as refused:
        read_regions(bad_file(tmp_path, what))
    assert BAD[what] in str(refused.value)
    assert refused.value.code == ExitCode.BAD_INPUT


# Disks.

FULL = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES]


def failing(number: int) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", FULL)
@pytest.mark.parametrize("function", ["tempfile.mkstemp", "os.fdopen", "os.replace"])
def test_a_kubeconfig_that_cant_be_written_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, function: str
) -> None:
    target = tmp_path / "kubeconfig"
    target.write_text(ONE)
    with monkeypatch.context() as patch:
        patch.setattr(function, failing(number))
        patch.setattr("aks_postgres.cli.kubeconfig_file.read_given", lambda *_: ONE.encode())
        with pytest.raises(CommandFailed) as failed:
            write_kubeconfig(target, "secret: x")
    assert str(failed.value).startswith(f"kubeconfig: {target} can't be written: {os.strerror(number)}; ")
    assert "\n" not in str(failed.value)
    assert target.read_text() == ONE
    assert [entry.name for entry in tmp_path.iterdir()] == ["kubeconfig"]


def test_a_fifo_in_a_kubeconfigs_place_isnt_waited_for(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="isn't a kubeconfig of one cluster"):
        write_kubeconfig(fifo(tmp_path), ONE)


@pytest.mark.parametrize("number", FULL)
def test_a_demo_that_cant_be_recorded_leaves_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    stopped: list[int] = []
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        monkeypatch.setattr("aks_postgres.cli.processes.start_detached", lambda *_: sleeper)
        monkeypatch.setattr(demo.Part, "stop", lambda server: stopped.append(server.pid))
        monkeypatch.setattr(Path, "write_text", failing(number))
        with pytest.raises(OSError, match="Errno") as failed:
            demo.launch_server(tmp_path)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert stopped == [sleeper.pid]
    told = failure_of(failed.value)
    assert told is not None
    assert str(told).startswith(f"{tmp_path / 'server.json'} can't be written: {os.strerror(number)}; ")


@pytest.mark.parametrize("number", FULL)
def test_a_prefect_yaml_that_cant_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    from aks_postgres.cli.deployments import render

    regions, output = tmp_path / "regions.yaml", tmp_path / "prefect.yaml"
    regions.write_text("- spec: {name: cnpg, region: westus3}\n")
    monkeypatch.setattr(Path, "write_text", failing(number))
    with pytest.raises(OSError, match="Errno") as failed:
        render(regions=regions, output=output)
    assert str(failure_of(failed.value)).startswith(f"{output} can't be written: {os.strerror(number)}; ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        *(pytest.param(one, marks=pytest.mark.thorough) for one in (["fields"], ["fields", "--json"])),
    ],
)
def test_output_that_nobody_can_take_is_one_line(arguments: list[str], tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "aks_postgres.cli.main", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=100,
            check=False,
            env=os.environ | {"HOME": str(tmp_path)},
        )
    assert ended.returncode == ExitCode.FAILED
    assert ended.stderr == (
        "aks-postgres: the output can't be written: No space left on device; free some space there, then run again\n"
    )


def test_a_bug_keeps_its_traceback() -> None:
    assert failure_of(OSError(errno.EBADF, "bad")) is None
    assert failure_of(json.JSONDecodeError("x", "y", 0)) is None
