"""A command that is told to end gives its lock back and leaves no process, however it is told."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aks_postgres.cli.environment import INTERRUPTED
from aks_postgres.runs.write_lock import CONTAINER, HEARTBEAT
from azure_sandbox.client import SandboxProcess

from ..flows.conftest import quicken
from .conftest import NAMED

# For a process that hangs; nothing here promises a time.
_HANGS_S = 120


def wait_until(is_so: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + _HANGS_S
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def processes_with(mark: str) -> list[str]:
    """The command lines of processes that have a text in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (process / "environ").read_bytes():
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if line.strip():
                    found.append(line)
    return found


def leases_and_heartbeats(sandbox: SandboxProcess) -> list[str]:
    """What is held, of every environment."""
    resources = sandbox.control("GET", "resources")["resources"]
    leased = [str(one["id"]) for one in resources if str(one["id"]).endswith(f"/containers/{CONTAINER}")]
    states = [
        sandbox.arm("GET", one, api_version="2024-01-01").json()["properties"]["leaseState"] for one in leased
    ]
    return [state for state in states if state != "Available"] + [
        one["tags"][HEARTBEAT] for one in resources if HEARTBEAT in (one.get("tags") or {})
    ]


@pytest.fixture
def command(tmp_path: Path, sandbox: SandboxProcess, state: Path) -> tuple[list[str], dict[str, str]]:
    """`provision` with a temporary Prefect server, and its environment, which no other process has."""
    quicken(sandbox)
    sandbox.settings(durations={"aks_cluster_create": 10_000_000})
    foreign = ("AZURE_", "PREFECT_", "AKS_POSTGRES_", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    own = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    return [
        sys.executable,
        "-P",
        "-m",
        "aks_postgres.cli.main",
        "provision",
        "--yes",
        *NAMED,
        "--state",
        str(state),
    ], kept | own


def is_making_the_cluster(sandbox: SandboxProcess) -> bool:
    return bool(sandbox.ledger(operation="ManagedClusters_CreateOrUpdate", method="PUT"))


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(signal.SIGTERM, marks=pytest.mark.thorough),
        pytest.param(signal.SIGHUP, marks=pytest.mark.thorough),
        pytest.param(signal.SIGINT, marks=pytest.mark.thorough),
    ],
)
def test_a_signal_ends_a_command_in_order(
    sandbox: SandboxProcess, command: tuple[list[str], dict[str, str]], tmp_path: Path, told: signal.Signals
) -> None:
    arguments, environment = command
    running = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: is_making_the_cluster(sandbox) or running.poll() is not None, "no cluster is made")
        assert running.poll() is None
        assert leases_and_heartbeats(sandbox)
        running.send_signal(told)
        _, said = running.communicate(timeout=_HANGS_S)
    finally:
        running.kill()
    assert running.returncode == 130, said
    assert "aks-postgres: interrupted. What Azure has begun goes on" in said
    assert "Traceback" not in said
    assert leases_and_heartbeats(sandbox) == []
    wait_until(lambda: not processes_with(str(tmp_path)), "a process is left")


@pytest.mark.thorough
def test_a_terminal_that_is_closed_ends_its_command_in_order(
    sandbox: SandboxProcess, command: tuple[list[str], dict[str, str]], tmp_path: Path
) -> None:
    arguments, environment = command
    master, terminal = pty.openpty()
    running = subprocess.Popen(
        arguments,
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(terminal)
    os.set_blocking(master, False)
    said = b""
    try:

        def has_begun() -> bool:
            nonlocal said
            with suppress(BlockingIOError, OSError):
                said += os.read(master, 65536)
            return is_making_the_cluster(sandbox) or running.poll() is not None

        wait_until(has_begun, "no cluster is made")
        assert running.poll() is None, said
        os.close(master)
        running.wait(_HANGS_S)
    finally:
        running.kill()
    assert running.returncode == 130
    assert leases_and_heartbeats(sandbox) == []
    wait_until(lambda: not processes_with(str(tmp_path)), "a process is left")


@pytest.mark.thorough
def test_a_command_that_is_killed_leaves_no_server(
    sandbox: SandboxProcess, command: tuple[list[str], dict[str, str]], tmp_path: Path
) -> None:
    arguments, environment = command
    running = subprocess.Popen(arguments, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_making_the_cluster(sandbox) or running.poll() is not None, "no cluster is made")
    finally:
        running.kill()
    running.wait()
    wait_until(lambda: not processes_with(str(tmp_path)), "a process is left")


# A command of the program's own that ends itself where it is told to.
PROBE = """
import os, sys, time
from aks_postgres.cli import main

@main.app.command()
def probe():
    how, number = os.environ["PROBE"].split()
    if how == "asyncio":
        import asyncio
        async def inside():
            os.kill(os.getpid(), int(number))
            await asyncio.sleep(60)
        asyncio.run(inside())
    if how == "thread":
        import threading
        threading.Timer(0.1, os.kill, (os.getpid(), int(number))).start()
    else:
        os.kill(os.getpid(), int(number))
    time.sleep(60)

main.main()
"""


@pytest.mark.parametrize(
    ("told", "where"),
    [
        pytest.param(
            told, where, marks=() if (told, where) == (signal.SIGTERM, "plain") else pytest.mark.thorough
        )
        for told in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
        for where in ("plain", "asyncio", "thread")
    ],
)
def test_whatever_a_command_does_a_signal_ends_it_with_one_line(told: signal.Signals, where: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, "probe"],
        env={**os.environ, "PROBE": f"{where} {int(told)}"},
        capture_output=True,
        text=True,
        timeout=_HANGS_S,
        check=False,
    )
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr == f"aks-postgres: {INTERRUPTED}\n"
    assert ended.stdout == ""


@pytest.mark.parametrize(
    "where", ["plain", *(pytest.param(w, marks=pytest.mark.thorough) for w in ("asyncio", "thread"))]
)
@pytest.mark.parametrize("told", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.thorough)])
def test_what_a_script_has_in_the_background_ends_when_it_is_told_to(
    told: signal.Signals, where: str
) -> None:
    # There a shell lets Ctrl-C be ignored, which is for whatever runs in front.
    ended = subprocess.run(
        ["sh", "-c", 'trap "" INT; exec "$0" "$@"', sys.executable, "-c", PROBE, "probe"],
        env={**os.environ, "PROBE": f"{where} {int(told)}"},
        capture_output=True,
        text=True,
        timeout=_HANGS_S,
        check=False,
    )
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr == f"aks-postgres: {INTERRUPTED}\n"
    assert ended.stdout == ""
