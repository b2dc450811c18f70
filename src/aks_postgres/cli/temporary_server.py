"""A Prefect server for one command, where none is configured: it ends when the command does, however that ends.

Prefect's own temporary server is left behind by a command that is killed or whose terminal is closed, and gets the
terminal's Ctrl-C itself, so that a run that is interrupted can't tell how it ended. This one is in a session of its
own, and the kernel ends it with the process that started it (prctl(2), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from aks_postgres.arm.poll import NotInTime, poll_here
from aks_postgres.cli.processes import last_lines, start_detached
from aks_postgres.exit_codes import CommandFailed, ExitCode

# On a busy machine a server takes more than 20 s.
_READY_WITHIN_S = 90.0
_POLL_S = 0.05
_GOODBYE_S = 5.0
_PR_SET_PDEATHSIG = 1


def start_temporary_server() -> str:
    """Start a Prefect server that ends with this process; returns its API's URL.

    It ends after Prefect has sent it the last logs and events, which happens when Python ends.

    Raises:
        CommandFailed: it doesn't start; says what it printed.
    """
    port = _free_port()
    command = [sys.executable, "-P", "-m", "aks_postgres.cli.temporary_server", str(os.getpid()), str(port)]
    folder = tempfile.TemporaryDirectory(prefix="aks-postgres-")
    log = Path(folder.name) / "prefect.log"
    server = start_detached(command, log, os.environ | {"PREFECT_SERVER_UI_ENABLED": "false"})
    atexit.register(_stop, server, folder)
    url = f"http://127.0.0.1:{port}/api"
    _wait_until_ready(server, url, log)
    return url


def _stop(server: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    server.terminate()
    try:
        server.wait(_GOODBYE_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    folder.cleanup()


def _wait_until_ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def is_ready() -> bool | None:
        if server.poll() is not None:
            return False
        try:
            with direct.open(f"{url}/health", timeout=5):
                return True
        except (OSError, ValueError):
            return None

    with suppress(NotInTime):
        if poll_here(is_ready, every_s=_POLL_S, deadline_s=_READY_WITHIN_S):
            return
    raise CommandFailed(
        f"the temporary Prefect server didn't start within {_READY_WITHIN_S:.0f} s. What it said last:\n"
        f"{last_lines(log)}\nSet PREFECT_API_URL to a server that runs, or run again.",
        ExitCode.NOT_RUNNING,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _become_the_server(parent: int, port: str) -> None:
    """Tie this process to its parent, and turn into Prefect's server."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the command that needed this server has ended")
    prefect = [sys.executable, "-P", "-m", "prefect", "server", "start", "--no-services", "--no-ui"]
    os.execv(sys.executable, [*prefect, "--host", "127.0.0.1", "--port", port])


if __name__ == "__main__":
    _become_the_server(int(sys.argv[1]), sys.argv[2])
