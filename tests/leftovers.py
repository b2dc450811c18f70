"""Nothing that a test run started outlives it, however it ends: SIGKILL, a time-out and a crash included.

Everything started has a mark in its environment, which children inherit, in sessions of their own as well.
A process beside the run holds one end of a pipe; once the other end is closed, which the kernel does for the
dead too, it ends whatever still bears the mark. It reads /proc; elsewhere nothing is watched.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

MARK = "TEST_RUNS"
# Between asking and killing; a sandbox ends its own API servers meanwhile.
PATIENCE_S = 10.0

_pipes: list[int] = []


def watch() -> None:
    """Have everything ended that this process starts from now on, when it ends; once is enough."""
    if _pipes or not Path("/proc/self/environ").exists():
        return
    run = uuid4().hex
    # One signal for a terminal's whole group would end the watcher as well: hence a session of its own.
    end, held = os.pipe()
    watcher = subprocess.Popen(
        [sys.executable, "-I", __file__, run, str(PATIENCE_S)],
        stdin=end,
        start_new_session=True,
        cwd="/",
    )
    os.environ[MARK] = f"{os.environ.get(MARK, '')} {run}".strip()
    os.close(end)
    # Kept open until the end; no child gets it.
    _pipes.append(held)
    # Neither waited for nor missed.
    watcher.returncode = 0


def bearers(run: str) -> dict[int, str]:
    """Process IDs and command lines of what bears a run's mark."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            variables = (process / "environ").read_bytes().split(b"\0")
            if any(one.startswith(f"{MARK}=".encode()) and run.encode() in one for one in variables):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(process.name)] = command.strip()
    return found


def end_all(run: str, patience_s: float) -> None:
    """End what bears a run's mark: ask first, then kill."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid, command in bearers(run).items():
            print(f"left running, and ended with {number.name}: {pid} {command[:150]}", file=sys.stderr)
            with suppress(OSError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience_s
        while bearers(run) and time.monotonic() < deadline:
            time.sleep(0.1)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end_all(sys.argv[1], float(sys.argv[2]))
