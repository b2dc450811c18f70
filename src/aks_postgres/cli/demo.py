"""`aks-postgres demo`: a sandbox, a Prefect server and a run, all on this machine and in one folder."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Annotated

import typer

from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.files.given_files import writing
from aks_postgres.files.own_folder import make_own_folder

app = typer.Typer(help="A sandbox, a Prefect server and a run, all on this machine.", no_args_is_help=True)

Folder = Annotated[Path, typer.Option(metavar="DIR", help="Where everything of the demo is kept.")]

# A server start takes 8 to 10 s, and several times that on a busy machine.
_SERVER_START_S = 120.0
_POLL_S = 0.1
_SPEED = 60.0


@app.command()
def start(folder: Folder = Path(".demo")) -> None:
    """Start what isn't running yet, provision an environment, and say where to look."""
    from aks_postgres.cli.sandbox_client import find_sandbox
    from aks_postgres.cli.sandbox_process import start_sandbox

    folder = folder.absolute()
    make_own_folder(folder)
    server = _running_server(folder) or _launch_server(folder)
    state = folder / "sandbox"
    sandbox = find_sandbox(state) or start_sandbox(state, speed=_SPEED)
    print(f"Sandbox:        {sandbox.endpoint} ({sandbox.speed:g} times as fast as Azure)", flush=True)
    print(f"Prefect server: {server.url} (starting takes about 10 s)", flush=True)
    server.wait_until_ready()
    command = [
        "provision",
        "--yes",
        "--name",
        "cnpg",
        "--region",
        "canadacentral",
        "--sandbox",
        "--state",
        str(state),
    ]
    print(f"Running:        aks-postgres {shlex.join(command)}\n", flush=True)
    environment = _prefect_environment(folder) | {"PREFECT_API_URL": f"{server.url}/api"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "aks_postgres.cli.main", *command], env=environment, check=False
    )
    print(f"\nPrefect UI: {server.url}")
    print("Run it again to see a finished environment left unchanged; `make stop` ends both servers.")
    print("To go on in this shell:")
    print(f"  export PREFECT_API_URL={server.url}/api")
    print(f'  eval "$(aks-postgres sandbox env --state {shlex.quote(str(state))})"')
    raise typer.Exit(done.returncode)


@app.command()
def stop(folder: Folder = Path(".demo")) -> None:
    """Stop what `start` started, also after a crash; what is recorded in the folder stays."""
    from aks_postgres.cli.sandbox_process import stop_sandbox

    folder = folder.absolute()
    sandbox = stop_sandbox(folder / "sandbox")
    if sandbox:
        print(f"Stopped the sandbox (process {sandbox.pid}).")
    server = _running_server(folder)
    if server:
        server.stop()
        print(f"Stopped the Prefect server (process {server.pid}).")
    (folder / "server.json").unlink(missing_ok=True)
    if not sandbox and not server:
        print("Nothing of the demo was running.")


class _Server:
    """A Prefect server of ours."""

    def __init__(self, pid: int, port: int, log: Path) -> None:
        self.pid, self.port, self.log = pid, port, log
        self.url = f"http://127.0.0.1:{port}"
        self._marks = ("prefect", "server", "start", f"--port {port}")

    @property
    def is_running(self) -> bool:
        """Whether the process lives and is the server."""
        from aks_postgres.cli.processes import is_running

        return is_running(self.pid, *self._marks)

    def stop(self) -> None:
        """End the process."""
        from aks_postgres.cli.processes import stop as stop_process

        stop_process(self.pid, *self._marks)

    def wait_until_ready(self) -> None:
        """Wait until it answers."""
        from aks_postgres.cli.processes import last_lines

        deadline = time.monotonic() + _SERVER_START_S
        while not self._answers():
            if not self.is_running:
                raise CommandFailed(
                    f"the Prefect server didn't start:\n{last_lines(self.log)}\nMore in {self.log}",
                    ExitCode.NOT_RUNNING,
                )
            if time.monotonic() > deadline:
                raise CommandFailed(
                    f"the Prefect server wasn't ready within {_SERVER_START_S:.0f} s; see {self.log}",
                    ExitCode.NOT_RUNNING,
                )
            time.sleep(_POLL_S)

    def _answers(self) -> bool:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"{self.url}/api/health", timeout=2) as answer:
                return bool(json.load(answer) is True)
        except (OSError, ValueError):
            return False


def _running_server(folder: Path) -> _Server | None:
    try:
        described = json.loads((folder / "server.json").read_text())
        server = _Server(int(described["pid"]), int(described["port"]), folder / "prefect.log")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return server if server.is_running else None


def _launch_server(folder: Path) -> _Server:
    """Start a Prefect server in the background; it isn't ready yet."""
    from aks_postgres.cli.processes import start_detached

    port = _free_port()
    environment = _prefect_environment(folder) | {
        # The UI is told by these where the API is; the flag below is for `stop`, to know its own.
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }
    command = [sys.executable, "-P", "-m", "prefect", "server", "start", "--port", str(port)]
    log = folder / "prefect.log"
    server = _Server(start_detached(command, log, environment).pid, port, log)
    record = folder / "server.json"
    try:
        with writing(record):
            record.write_text(json.dumps({"pid": server.pid, "port": port}))
    except OSError:
        server.stop()  # `stop` wouldn't know of it
        raise
    return server


def _prefect_environment(folder: Path) -> dict[str, str]:
    """Our environment without the person's Prefect settings: the demo leaves their server and home alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    direct = ",".join(filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1", "localhost"]))
    ours = {"PREFECT_HOME": str(folder / "prefect"), "DO_NOT_TRACK": "1"}
    return {**kept, **ours, "NO_PROXY": direct, "no_proxy": direct}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
