"""A sandbox of one process's own, the places that flows start from, and runs that are hindered."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Azure seconds per real second; read when `tasks` is imported.
SPEED = 1000
os.environ["AKS_POSTGRES_TIME_SCALE"] = str(SPEED)

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from aks_postgres.arm import clock
from aks_postgres.arm.errors import OperationNotDone
from aks_postgres.errors import TemporaryError
from aks_postgres.limits import limits
from aks_postgres.runs.write_lock import LIVES_S
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess, start

from ..conftest import each_request, point_at, spec_for
from ..flows.conftest import quicken, without_lock_traffic, writes
from .databases import ours, postgres_folder, settled_databases, with_database
from .end_state import end_state
from .plain import DATABASE, FLOWS, Flow, run_flow, without_prefect

Json = dict[str, Any]

# Real seconds; a run takes one or two, and no wait of ours is longer than an Azure hour.
LONGEST_RUN_S = 60.0
# Real seconds instead of a minute: the sandbox answers within milliseconds.
READ_TIMEOUT_S = 0.7
# With a database, whose servers take real seconds: Azure seconds per real second, and how long a run may take.
DATABASE_SPEED = 100
LONGEST_DATABASE_RUN_S = 600.0
_CLEAN_ATTEMPTS = 3


@dataclass
class Clean:
    """A flow's run with nothing in its way.

    Args:
        ledger: its requests.
        operations: REST operation ids of the writes that Azure goes on working on.
        end: what it leaves.
    """

    ledger: list[Json]
    operations: set[str]
    end: Json


@dataclass
class World:
    """A sandbox, the spec of the environment, and the state that every flow but `provision` starts from."""

    azure: SandboxProcess
    spec: EnvironmentSpec
    finished: Json
    cleans: dict[Flow, Clean] = field(default_factory=dict)
    endangered: dict[str, Json] = field(default_factory=dict)
    """States of the sandbox with something in the environment that stops a tear-down (`lies`)."""
    refused: dict[tuple[Flow, str], Clean] = field(default_factory=dict)
    """Runs over those, with nothing else in their way."""
    operated: Any = None
    """The product in operation around it, once a case has asked for it (`operated`)."""
    stack: ExitStack = field(default_factory=ExitStack)
    """What ends with it."""
    speed: int = SPEED
    """Azure seconds per real second."""
    instances: int = 3
    """Of a database."""

    def spec_of(self, flow: Flow) -> EnvironmentSpec:
        """What a flow is given: with a database where it makes one."""
        return with_database(self.azure, self.instances) if flow == DATABASE else self.spec

    def longest_s(self, flow: Flow) -> float:
        """Real seconds after which a run hangs."""
        return LONGEST_DATABASE_RUN_S if flow == DATABASE else LONGEST_RUN_S

    def go_to_start(self, flow: Flow) -> None:
        """Go back to where a flow starts: an empty subscription, or a finished environment."""
        if flow == "provision":
            empty(self.azure, self.speed)
        else:
            self.azure.control("PUT", "state", self.finished)
            self.azure.control("POST", "clock", {"speed": self.speed})

    def clean(self, flow: Flow) -> Clean:
        """The run of that flow with nothing in its way."""
        if flow not in self.cleans:
            self._run_cleanly(flow)
            ledger = ours(self.azure.ledger())
            operations = {one["operation"] for one in self.azure.control("GET", "operations")["operations"]}
            self.cleans[flow] = Clean(ledger, operations, self.end(flow))
        return self.cleans[flow]

    def _run_cleanly(self, flow: Flow) -> None:
        for attempt in range(_CLEAN_ATTEMPTS):
            self.go_to_start(flow)
            try:
                return self.run(flow)
            except (TemporaryError, OperationNotDone):
                # At this speed a machine that pauses for three seconds lets fifty minutes of Azure's pass.
                if attempt == _CLEAN_ATTEMPTS - 1:
                    raise

    def run(self, flow: Flow) -> None:
        """Run a flow from where the sandbox is.

        Raises:
            ProvisioningError: as the flow does.
            TimeoutError: it hangs.
        """
        with without_prefect():
            asyncio.run(asyncio.wait_for(run_flow(flow, self.spec_of(flow)), self.longest_s(flow)))

    def end(self, flow: Flow | None = None) -> Json:
        """What there is now, once nothing goes on any more; of a database, what its operator and its archive say."""
        databases = settled_databases(self.azure) if flow == DATABASE else {}
        return end_state(self.azure, self.spec) | databases

    def writes(self, since: int = 0) -> list[Json]:
        """The writes of the ledger, but for the lock's."""
        return without_lock_traffic(writes(ours(self.azure.ledger()[since:])))

    def let_heartbeats_end(self) -> None:
        """Bring Azure's clock to where the heartbeat of a run that is dead by now is over."""
        self.azure.step(clock.lock_azure_s(LIVES_S))


def empty(azure: SandboxProcess, speed: int = SPEED) -> None:
    """An empty subscription whose operations last moments."""
    azure.control("POST", "reset", {"seed": 1, "speed": speed})
    azure.settings(registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True})
    quicken(azure)


@contextmanager
def world(speed: int = SPEED, instances: int = 3) -> Iterator[World]:
    """Start a sandbox and make a finished environment in it."""
    logging.disable(logging.WARNING)
    with (
        tempfile.TemporaryDirectory(prefix="aks-postgres-matrix-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        # The others' databases say what a test says of them, and no operator says otherwise.
        postgres = str(postgres_folder() or "off") if speed == DATABASE_SPEED else "off"
        options = ["--speed", str(speed), "--seed", "1", "--postgres", postgres]
        process = start(Path(folder) / "sandbox-default", *options)
        try:
            azure = SandboxProcess(Path(folder) / "sandbox-default")
            made = world_on(azure, patch, speed)
            made.instances = instances
            with made.stack:
                yield made
        finally:
            process.terminate()
            process.wait(timeout=60)


def world_on(azure: SandboxProcess, patch: pytest.MonkeyPatch, speed: int = SPEED) -> World:
    """The same on a sandbox that runs."""
    point_at(azure, patch)
    patch.setenv("AKS_POSTGRES_TIME_SCALE", str(speed))
    patch.setattr(limits, "arm_read_s", READ_TIMEOUT_S)
    patch.setattr(limits, "kubernetes_request_s", READ_TIMEOUT_S)
    made = World(azure, spec_for(azure), {}, speed=speed)
    made.clean("provision")
    made.finished = azure.control("GET", "state")
    return made


@contextmanager
def refusing_connections(method: str, path: str, nth: int) -> Iterator[list[str]]:
    """Let the n-th request of that method and path find nobody listening; yields those that did."""
    hit: list[str] = []
    seen = 0

    async def refuse(its_method: str, its_path: str) -> None:
        nonlocal seen
        if its_method == method and re.fullmatch(path, its_path, re.I):
            seen += 1
            if seen == nth:
                hit.append(its_path)
                key = ConnectionKey("127.0.0.1", 443, True, True, None, None, None)
                raise aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "Connection refused"))

    with each_request(before=refuse):
        yield hit


def shown(value: Any) -> str:
    """JSON on one line."""
    return json.dumps(value, sort_keys=True)


__all__ = [
    "FLOWS",
    "SPEED",
    "Clean",
    "Flow",
    "World",
    "refusing_connections",
    "world",
    "world_on",
]
