"""Starting and stopping the sandbox's process."""

from __future__ import annotations

import fcntl
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aks_postgres.arm.poll import NotInTime, poll_here
from aks_postgres.cli.processes import last_lines, start_detached, stop
from aks_postgres.cli.sandbox_client import MARKS, RunningSandbox, find_sandbox, require_package
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.files.own_folder import make_own_folder

# A start takes about a second; two busy cores may take many times that.
_START_S = 60.0
_POLL_S = 0.05


def start_sandbox(
    folder: Path,
    *,
    speed: float = 60.0,
    port: int = 0,
    seed: int = 1,
    kubernetes: str = "emulated",
    persist: bool = False,
    scenarios: Sequence[str] = (),
) -> RunningSandbox:
    """Start a sandbox in the background and wait until it is ready.

    Args:
        folder: its state folder; one sandbox at a time.
        speed: how many times faster than Azure its clock runs.
        port: loopback port; 0 takes a free one.
        seed: of ids, durations and delays.
        kubernetes: emulated or real.
        persist: keep resources over a restart.
        scenarios: names or absolute paths of what is to go wrong.

    Raises:
        CommandFailed: one runs there already, or this one doesn't start; with its own words.
    """
    require_package()
    folder = folder.absolute()
    options = ["--port", str(port), "--speed", f"{speed:g}", "--seed", str(seed), "--kubernetes", kubernetes]
    with _one_at_a_time(folder):
        found = find_sandbox(folder)
        if found:
            raise CommandFailed(
                f"a sandbox already runs at {found.endpoint} (process {found.pid}); use it, stop it with "
                f"`aks-postgres sandbox stop --state {shlex.quote(str(folder))}`, or give this one another folder "
                "with --state",
                ExitCode.BAD_INPUT,
            )
        (folder / "sandbox.json").unlink(missing_ok=True)
        log = folder / "sandbox.log"
        # -P: a folder called `azure_sandbox` where the person happens to be isn't ours.
        command = [sys.executable, "-P", "-m", "azure_sandbox", "--state", str(folder), *options]
        command += [f"--scenario={scenario}" for scenario in scenarios]
        process = start_detached([*command, *(["--persist"] if persist else [])], log)

        def started() -> RunningSandbox | None:
            found = find_sandbox(folder)
            if found is None and process.poll() is not None:
                words = last_lines(log) or f"exit code {process.returncode}"
                raise CommandFailed(f"the sandbox didn't start: {words}", ExitCode.NOT_RUNNING)
            return found

        try:
            return poll_here(started, every_s=_POLL_S, deadline_s=_START_S)
        except NotInTime:
            process.terminate()
            raise CommandFailed(
                f"the sandbox wasn't ready within {_START_S:.0f} s: {last_lines(log)}", ExitCode.NOT_RUNNING
            ) from None


def shipped_scenarios() -> list[dict[str, Any]]:
    """The scenarios that ship with the sandbox, asked of its code: none has to run for that."""
    require_package()
    command = [sys.executable, "-P", "-m", "azure_sandbox.core.scenarios"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_START_S)
    if listed.returncode:
        raise CommandFailed(f"the scenarios can't be listed: {listed.stderr[-300:]}", ExitCode.FAILED)
    scenarios: list[dict[str, Any]] = json.loads(listed.stdout)
    return scenarios


def stop_sandbox(folder: Path) -> RunningSandbox | None:
    """Stop the sandbox of a state folder; returns the one that ran, if one did."""
    found = find_sandbox(folder)
    if found is not None:
        stop(found.pid, *MARKS)
    (folder / "sandbox.json").unlink(missing_ok=True)
    return found


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Two starts at once don't share a folder."""
    try:
        make_own_folder(folder)
        lock = (folder / "start.lock").open("w")
    except OSError as error:
        raise CommandFailed(
            f"the state folder {folder} can't be used: {error.strerror}", ExitCode.BAD_INPUT
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandFailed(
                f"another start is under way with the state folder {folder}", ExitCode.BAD_INPUT
            ) from None
        yield
