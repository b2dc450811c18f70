"""The one gate that every write of a run passes: on ARM, on Kubernetes, and through Helm.

A lock that only keeps others from starting isn't enough. A process that slept wakes up with an old plan, a free lock
and open connections. So each write is admitted here, last thing before it is sent and at every attempt: only while the
environment's lock is known to be ours for longer than the write itself may take (`runs.write_lock`). A plan, and
whatever else only reads, has a gate that lets nothing through.

A request that was handed to the network before a process was stopped may still arrive afterwards; at most one a
running step.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import aiohttp
from azure.core.exceptions import ServiceResponseTimeoutError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy

from aks_postgres.arm import clock
from aks_postgres.arm.errors import WouldWrite

Mode = Literal["write", "read", "plan"]
Purpose = Literal["write", "foundation", "lock"]

# Lock seconds (`clock.lock_scale`): how long a write may take from the gate to its answer.
WRITE_LIMIT_S = 15
_READS = ("GET", "HEAD", "OPTIONS")
# POSTs that change nothing.
_READING_ACTIONS = ("listclusterusercredential", "checknameavailability", "checkpolicyrestrictions")
_MOST_RECORDS = 10_000
_CORRELATION_HEADER = "x-ms-correlation-request-id"
_REQUEST_ID_HEADER = "x-ms-client-request-id"

_REGISTRATION = re.compile(r"/subscriptions/[^/]+/providers/[^/]+/register", re.I)

_still_may: ContextVar[Callable[[], bool] | None] = ContextVar("still_may", default=None)
_purpose: ContextVar[Purpose] = ContextVar("purpose", default="write")


@dataclass(frozen=True)
class Write:
    """A request that changes something.

    Args:
        method: HTTP method, or the name of a call to Helm.
        path: the URL's path, or the release.
        purpose: the creation of what may be made before there is a lock, the lock's own traffic, or any other write.
    """

    method: str
    path: str
    purpose: Purpose = "write"

    @property
    def is_foundation(self) -> bool:
        """Whether it may go before there is a lock."""
        if _REGISTRATION.fullmatch(self.path):
            return True
        return self.purpose == "foundation"


@dataclass(frozen=True)
class Passed:
    """A write that was let through.

    Args:
        request_id: the request's own ID (`x-ms-client-request-id`, Kubernetes' `Audit-ID`).
        write: what it was.
        why: what let it through.
    """

    request_id: str
    write: Write
    why: str


class Fence(Protocol):
    """Whoever knows whether this run may write now."""

    async def admit(self, write: Write) -> str:
        """Wait until it is certain that the write may go; says why it may.

        Raises:
            EnvironmentBusy: another run writes to the environment.
        """

    def left_s(self, write: Write) -> float:
        """Real seconds for which it stays certain."""

    def listen(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever it is certain anew."""

    def unlisten(self, callback: Callable[[], None]) -> None:
        """Stop calling it."""

    async def let_go(self, account: str) -> None:
        """Release the lease on an account that is to be deleted."""


class PlanEnds(Exception):
    """A plan can't see further into a step; the step's decorator says what it would do from here."""


class Gate:
    """The gate of one run."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.run_id = str(uuid.uuid4())
        """Sent with every request as its correlation ID: the activity log shows a run's operations by it."""
        self.fence: Fence | None = None
        self.passed: deque[Passed] = deque(maxlen=_MOST_RECORDS)

    @property
    def writes(self) -> bool:
        """Whether the run writes at all."""
        return self.mode == "write"

    @property
    def plans(self) -> bool:
        """Whether the run only says what it would do."""
        return self.mode == "plan"

    def lets(self, would: str) -> bool:
        """Ask before a write is prepared: yes in a run that writes, no in a plan, which only says what it would do.

        Args:
            would: the write, such as `AKS cluster aks-1: would be deleted`.

        Raises:
            WouldWrite: this run only reads.
        """
        if not self.plans:
            self.require(would)
        return self.writes

    def begin(self, would: str) -> None:
        """See that this run writes, before what only a run that writes can wait for and look at.

        Args:
            would: the write, such as `Backup first: there is none yet`.

        Raises:
            PlanEnds: it plans.
            WouldWrite: it only reads.
        """
        if not self.lets(would):
            raise PlanEnds(would)

    def require(self, would: str) -> None:
        """See that this run writes.

        Args:
            would: the write, such as `AKS cluster aks-1: would be deleted`.

        Raises:
            WouldWrite: it doesn't.
        """
        if not self.writes:
            raise WouldWrite(would)

    async def admit(self, write: Write, request_id: str) -> None:
        """Let a write through, or not.

        Raises:
            WouldWrite: this run only reads.
            EnvironmentBusy: another run writes to the environment.
        """
        if not self.writes:
            raise WouldWrite(f"{write.method} {write.path}: this run only reads, so nothing was sent")
        if write.purpose == "lock":
            why = "the lock itself"
        elif self.fence is None:
            raise WouldWrite(
                f"{write.method} {write.path}: no lock on the environment is held, so nothing was sent. This is a "
                "defect of the product; report it with this message."
            )
        else:
            why = await self.fence.admit(write)
        self.passed.append(Passed(request_id, write, why))

    def limit_s(self, write: Write) -> float:
        """Real seconds until a write that goes now has to have its answer."""
        longest_s = clock.lock_real_s(WRITE_LIMIT_S)
        if write.purpose == "lock" or self.fence is None:
            return longest_s
        return min(longest_s, self.fence.left_s(write))

    @asynccontextmanager
    async def opened(self, write: Write, request_id: str) -> AsyncIterator[None]:
        """Let a write through, and give up on it when its time is over.

        Raises:
            TimeoutError: no answer came in time; it may have been acted on.
        """
        await self.admit(write, request_id)
        admitted, limit_s = Elapsed(), self.limit_s(write)
        token = _still_may.set(lambda: admitted.real_s() < limit_s)
        try:
            async with asyncio.timeout(limit_s):
                yield
        finally:
            _still_may.reset(token)


class GatedRequest(aiohttp.ClientRequest):
    """A request that is dropped where its time was over before it could be sent, as while a connection was made."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        """Write the request to the connection.

        Raises:
            ConnectionTimeoutError: it wasn't sent.
        """
        still_may = _still_may.get()
        if still_may is not None and not still_may():
            raise aiohttp.ConnectionTimeoutError("the time for this write was over before it was sent")
        return await super().send(conn)


class GatePolicy(AsyncHTTPPolicy[Any, Any]):
    """The gate in the pipeline: its last policy, so that every attempt passes it."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send a read; send a write if the gate lets it through."""
        sent = request.http_request
        sent.headers[_CORRELATION_HEADER] = self._gate.run_id
        path = urlsplit(sent.url).path
        if is_read(sent.method, path):
            return await self.next.send(request)
        write = Write(sent.method, path, _purpose.get())
        request_id = sent.headers.setdefault(_REQUEST_ID_HEADER, str(uuid.uuid4()))
        try:
            async with self._gate.opened(write, request_id):
                return await self.next.send(request)
        except TimeoutError as error:
            limit_s = clock.lock_real_s(WRITE_LIMIT_S)
            raise ServiceResponseTimeoutError(
                f"no answer to a write within {limit_s:.1f} s", error=error
            ) from None


def is_read(method: str, path: str) -> bool:
    """Return whether a request to ARM changes nothing."""
    if method in _READS:
        return True
    return method == "POST" and path.rsplit("/", 1)[-1].casefold() in _READING_ACTIONS


@contextmanager
def purpose(wanted: Purpose) -> Iterator[None]:
    """The writes inside are for this purpose."""
    token = _purpose.set(wanted)
    try:
        yield
    finally:
        _purpose.reset(token)


class Elapsed:
    """Time since a moment that also passes while the process, or the machine, sleeps."""

    def __init__(self) -> None:
        self._boot_s, self._wall_s = time.clock_gettime(time.CLOCK_BOOTTIME), time.time()

    def real_s(self) -> float:
        """The larger of what the two clocks say: a machine that slept, and a virtual one that was stopped."""
        return max(time.clock_gettime(time.CLOCK_BOOTTIME) - self._boot_s, time.time() - self._wall_s)
