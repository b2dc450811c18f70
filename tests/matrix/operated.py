"""The product in operation around a world's sandbox: commands on terminals, Prefect servers, runs on a worker.

Servers and the worker are started when a case first needs them, and end with the world. What a case starts itself bears
a mark of its own (`tests.leftovers`), so that what is left of it is found, and ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import UUID, uuid4

from aks_postgres.runs.write_lock import CONTAINER, HEARTBEAT
from aks_postgres.spec.names import environment_key

from .. import leftovers
from ..bench.deployed import command
from ..end_to_end.stack import QUICK, Server, Stack, family, processes_of
from ..flows.conftest import without_lock_traffic, writes
from .plain import Flow
from .world import World

Json = dict[str, Any]
Where = Literal["no server", "first server", "second server"]

# Real seconds, against what hangs; a run takes ten to sixty, and some minutes at shipped values.
LONGEST_S = 600.0
# A run has looked at something by then, and has written nothing yet.
_READS_FIRST = 20
_POLL_S = 0.005


class Run(Protocol):
    """A run of a flow, wherever it is carried out."""

    @property
    def pids(self) -> list[int]:
        """Its process first, then what that started."""

    def ended(self, within_s: float) -> str | None:
        """How it ended, "" if well; None if it still goes on."""


class Terminal:
    """A flow started by the command."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self._log = process, log

    @property
    def pids(self) -> list[int]:
        """The command's process first, then what it started."""
        return family(self._process.pid)[::-1] if self._process.poll() is None else []

    def ended(self, within_s: float) -> str | None:
        """How it ended, "" if well; None if it still goes on."""
        try:
            code = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return None
        said = " ".join(self._log.read_text(errors="replace").split())[-400:]
        return f"exit {code}: {said}" if code else ""


class OnWorker:
    """A flow started as the form in the UI does it."""

    def __init__(self, stack: Stack, run_id: UUID) -> None:
        self._stack, self._run_id = stack, run_id

    @property
    def pids(self) -> list[int]:
        """The flow's process first."""
        return sorted(processes_of(self._run_id))

    def ended(self, within_s: float) -> str | None:
        """How it ended, "" if well; None if it still goes on."""
        deadline = time.monotonic() + within_s
        while True:
            state = asyncio.run(self._stack.run(self._run_id)).state
            if state and state.is_final() and not self.pids:
                return "" if state.is_completed() else f"{state.name}: {state.message}"
            if time.monotonic() > deadline:
                return None
            time.sleep(0.2)


class Operated:
    """What is started once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._folder = world.azure.folder.parent
        self._stack = Stack(self._folder, None)
        self._stack.sandboxes[QUICK] = world.azure
        self._servers: dict[str, Server] = {}
        self._has_worker = False
        self._spec = self._folder / "spec.json"
        # The command takes no default for which environment it is.
        given = world.spec.model_dump(mode="json", exclude_unset=True)
        self._spec.write_text(json.dumps({"name": world.spec.name, "region": world.spec.region} | given))
        self._home = self._folder / "home"
        self._home.mkdir()
        command(self._of(self._home), "prefect", "server", "database", "upgrade", "-y")

    def go_to_start(self, flow: Flow, speed: float) -> None:
        """Go back to where a flow starts, at that speed."""
        self.world.go_to_start(flow)
        self.world.azure.control("POST", "clock", {"speed": speed})

    def ledger(self, since: int = 0) -> list[Json]:
        """The ledger from there on."""
        found: list[Json] = self.world.azure.control("GET", f"ledger?since={since}")["entries"]
        return found

    def writes(self, since: int = 0) -> list[Json]:
        """The writes to the environment from there on; the lock's aren't."""
        return without_lock_traffic(writes(self.ledger(since)))

    def on_terminal(self, flow: Flow, mark: str, where: Where = "no server") -> Terminal:
        """Start a flow by the command; without a server it starts a temporary one."""
        home = Path(tempfile.mkdtemp(dir=self._folder))
        shutil.copytree(self._home, home, dirs_exist_ok=True)
        variables = self._of(home) | {leftovers.MARK: f"{os.environ[leftovers.MARK]} {mark}"}
        if where != "no server":
            variables["PREFECT_API_URL"] = self._server(where).api
        name, _, strategy = flow.partition(" ")
        words = [name.replace("_", "-"), "--spec", str(self._spec), "--state", str(self.world.azure.folder)]
        words += [] if name == "provision" else ["--confirm", environment_key(self.world.spec)]
        words += ["--strategy", strategy] if strategy else []
        words += [] if name == "tear_down" else ["--yes"]
        log = home / "output"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "aks_postgres.cli.main", *words],
                env=variables,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return Terminal(process, log)

    def on_worker(self, flow: Flow) -> OnWorker:
        """Start a flow on the worker."""
        stack = self._stack
        if not self._has_worker:
            stack.server = self._server("first server")
            stack.regions = [{"spec": stack.spec()}]
            stack.deploy()
            stack.start_worker(QUICK)
            self.world.stack.callback(stack.stop)
            self._has_worker = True
        name, _, strategy = flow.partition(" ")
        given: Json = {} if name == "provision" else {"confirm": environment_key(self.world.spec)}
        given |= {"strategy": strategy} if strategy else {}
        deployment = f"{name.replace('_', '-')}/{self.world.spec.region}"
        return OnWorker(stack, asyncio.run(stack.submit(deployment, stack.spec(), **given)))

    def reaches(self, run: Run, write: int) -> bool:
        """Wait until the run has begun so many writes, for 0 until it has read for a while; False if it ends before."""
        deadline = time.monotonic() + LONGEST_S
        seen = found = 0
        while time.monotonic() < deadline:
            entries = self.ledger(seen)
            seen += len(entries)
            found += len(without_lock_traffic(writes(entries)))
            if found >= write and seen >= _READS_FIRST:
                return True
            if not run.pids and (found or run.ended(0) is not None):
                return False
            time.sleep(_POLL_S)
        return False

    def lock_left(self) -> list[str]:
        """What is left of the lock: it has to be free, and no writer named."""
        found = []
        for one in self.world.azure.control("GET", "resources")["resources"]:
            if HEARTBEAT in (one.get("tags") or {}):
                found.append(f"the tag {HEARTBEAT} is left on {one['name']}")
            if one["name"] == CONTAINER and one["properties"].get("leaseState") == "Leased":
                found.append("the lease is still held")
        return found

    def _server(self, name: str) -> Server:
        if name not in self._servers:
            folder = self._folder / name.replace(" ", "-")
            folder.mkdir()
            self._servers[name] = Server(folder, None)
            self._servers[name].start()
            self.world.stack.callback(self._servers[name].stop)
        return self._servers[name]

    def _of(self, home: Path) -> dict[str, str]:
        """The variables of a person whose home that is."""
        foreign = ("PREFECT_", "AZURE_", "AKS_POSTGRES_", "XDG_", "SSL_")
        return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
            "HOME": str(home),
            "TMPDIR": str(home),
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }


def operated(world: World) -> Operated:
    """That of a world."""
    if world.operated is None:
        world.operated = Operated(world)
    found: Operated = world.operated
    return found


@contextmanager
def marked() -> Iterator[str]:
    """A mark; what bears it is ended when this is left."""
    mark = uuid4().hex
    try:
        yield mark
    finally:
        tell(list(leftovers.bearers(mark)), signal.SIGKILL)


def left_of(mark: str, grace_s: float) -> list[str]:
    """The command lines of what still bears a mark after some seconds."""
    deadline = time.monotonic() + grace_s
    while (found := leftovers.bearers(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [f"left running: {line[:120]}" for line in found.values()]


def tell(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to each that still is there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
