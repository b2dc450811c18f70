"""Processes that outlive the command that started them: the sandbox and the demo's Prefect server."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_POLL_S = 0.05


def start_detached(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that neither Ctrl-C nor the terminal's end reaches it.

    Args:
        command: program and arguments.
        log: file that gets what it prints; written anew, readable by its owner only.
        environment: its environment variables; by default ours.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=environment,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


def is_running(pid: int, *marks: str) -> bool:
    """Return whether the process `pid` lives and its command line holds every mark.

    A number alone proves nothing: after a crash or a restart of the machine it may be someone else's.
    """
    line = _command_line(pid)
    return bool(line) and all(mark in line for mark in marks)


def _command_line(pid: int) -> str:
    try:
        # Empty for a process that has ended and waits for its parent.
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        if Path("/proc/self").exists():
            return ""
    shown = subprocess.run(
        ["ps", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return "" if shown.stdout.startswith("Z") else shown.stdout


def stop(pid: int, *marks: str, patience_s: float = 10, with_children: bool = False) -> bool:
    """End a process: ask first, and kill it when it doesn't listen.

    Args:
        pid: its number.
        marks: what its command line must hold; another process is left alone.
        patience_s: seconds between asking and killing.
        with_children: end what it has started and left behind, too; it was started by `start_detached`.

    Returns:
        Whether there was one to end.
    """
    from aks_postgres.arm.poll import NotInTime, poll_here

    if not is_running(pid, *marks):
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            break
        with suppress(NotInTime):
            poll_here(
                lambda: None if is_running(pid, *marks) else True, every_s=_POLL_S, deadline_s=patience_s
            )
            break
    if with_children:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    return True


def last_lines(log: Path, count: int = 8) -> str:
    """The end of a log, for a message about a process that didn't start."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-count:])
