"""One writer per environment, whichever flow, deployment, machine or terminal it comes from.

The lock is a Prefect global concurrency limit of 1 with a lease that its holder renews: a holder that died is
taken over when its lease has run out (60 s, and 15 s until the server notices). Who holds it is kept in a
Prefect variable, so that a refusal can say so. Runs of different environments never wait for each other.
https://docs.prefect.io/v3/concepts/global-concurrency-limits

A run of another Prefect server is kept out by the claim (`tasks/claim.py`).

Prefect's own `concurrency` ends a run whose lease can't be renewed for seconds; this one takes the lock again
when the server is back, and ends the run only if another has taken it meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.base import ServerType
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate, VariableCreate, VariableUpdate
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from cloud.errors import EnvironmentBusy, ForgetfulServer
from environment.journal import journal
from environment.names import environment_key, short_hash
from environment.spec import EnvironmentSpec
from flows._session import subscription_of
from tasks.claim import claimed

IfAnotherRun = Literal["wait", "refuse"]

# Real seconds: the lock is Prefect's, not Azure's, and its leases can't be shorter than a minute.
LEASE_S = 60
RENEW_S = 20.0
LOOK_S = 3.0
# Longer than any run takes whose operations end.
LONGEST_WAIT_S = 4 * 3600.0

_held: ContextVar[frozenset[str]] = ContextVar("held", default=frozenset())


@asynccontextmanager
async def one_writer(spec: EnvironmentSpec, if_another_run: IfAnotherRun = "wait") -> AsyncIterator[None]:
    """Be the only run that writes to this environment; a flow inside another one shares its lock.

    Needs the run's connection to Azure.

    Args:
        spec: the environment.
        if_another_run: what to do while another run holds the lock: wait for its end, or refuse.

    Raises:
        EnvironmentBusy: another run holds the lock, or took it while the Prefect server had lost ours; says who.
        ForgetfulServer: the Prefect server would lose the lock when it restarts.
    """
    name = lock_name(spec)
    if name in _held.get():
        yield
        return
    async with get_client() as client:
        lock = _Lock(client, environment_key(spec), name)
        await _refuse_forgetful(client)
        try:
            await lock.acquire(if_another_run)
            token = _held.set(_held.get() | {name})
            us = _ourselves()
            writer = f"the run {us['run']} on {us['host']}"
            server = _server_id(str(client.api_url))
            try:
                async with lock.kept(), claimed(spec, server, writer, waits=if_another_run == "wait"):
                    yield
            finally:
                _held.reset(token)
        finally:
            await lock.release()


def lock_name(spec: EnvironmentSpec) -> str:
    """The name of the concurrency limit: the same for every flow and every generation."""
    return f"aks-postgres-{environment_key(spec)}-{subscription_of(spec)}"


class _Lock:
    """The lock of one environment, as one run holds it or waits for it."""

    def __init__(self, client: PrefectClient, environment: str, name: str) -> None:
        self._client = client
        self._environment = environment
        self._name = name
        self._variable = name.replace("-", "_")
        self._lease_id: UUID | None = None

    async def acquire(self, if_another_run: IfAnotherRun) -> None:
        """Take the lock, or wait for it."""
        await self._make_limit()
        began = asyncio.get_running_loop().time()
        said = ""
        while not await self._take():
            holder = await self._holder()
            waited_s = asyncio.get_running_loop().time() - began
            if if_another_run == "refuse":
                raise EnvironmentBusy(
                    f"{self._environment}: {holder} is writing to it. Nothing was written. Run again when it has "
                    "ended, or say if_another_run: wait."
                )
            if waited_s > LONGEST_WAIT_S:
                raise EnvironmentBusy(
                    f"{self._environment}: {holder} is writing to it, and was waited for {waited_s / 60:.0f} minutes. "
                    "Nothing was written. Look at that run; when it has ended, run again."
                )
            if holder != said:
                said = holder
                _say(f"{self._environment}: waiting for {holder}, which is writing to it")
            await asyncio.sleep(LOOK_S)

    async def release(self) -> None:
        """Give the lock back; a server that is away now lets the lease run out."""
        if self._lease_id is not None:
            with suppress(httpx.HTTPError):
                await self._client.release_concurrency_slots_with_lease(lease_id=self._lease_id)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew the lease while inside; end what is inside if another run has taken the lock."""
        inside = asyncio.current_task()
        assert inside is not None
        lost: list[EnvironmentBusy] = []

        async def keep() -> None:
            while not lost:
                await asyncio.sleep(RENEW_S)
                if not await self._is_kept():
                    lost.append(
                        EnvironmentBusy(
                            f"{self._environment}: the Prefect server lost this run's lock, and {await self._holder()} "
                            "has taken it. This run stopped; what Azure has begun goes on. Run again."
                        )
                    )
                    inside.cancel()

        keeping = asyncio.create_task(keep(), name=f"keep {self._name}")
        try:
            yield
        except asyncio.CancelledError:
            if lost:
                inside.uncancel()
                raise lost[0] from None
            raise
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])

    async def _is_kept(self) -> bool:
        """Whether the lease is renewed, or the lock taken again; no answer is no reason to stop.

        While the server is away it lets nobody else in either.
        """
        assert self._lease_id is not None
        try:
            await self._client.renew_concurrency_lease(lease_id=self._lease_id, lease_duration=LEASE_S)
        except httpx.HTTPStatusError as error:
            return error.response.status_code != httpx.codes.GONE or await self._take()
        except httpx.HTTPError:
            return True
        return True

    async def _take(self) -> bool:
        """Take the lock if it is free, and leave our name."""
        try:
            answer = await self._client.increment_concurrency_slots_with_lease(
                names=[self._name], slots=1, mode="concurrency", lease_duration=LEASE_S
            )
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.LOCKED:
                return False
            raise
        self._lease_id = UUID(answer.json()["lease_id"])
        if await self._client.read_variable_by_name(self._variable):
            await self._client.update_variable(VariableUpdate(name=self._variable, value=_ourselves()))
        else:
            await self._client.create_variable(VariableCreate(name=self._variable, value=_ourselves()))
        return True

    async def _make_limit(self) -> None:
        await self._client.upsert_global_concurrency_limit_by_name(self._name, limit=1)
        found = await self._client.read_global_concurrency_limit_by_name(self._name)
        if not found.active:  # which would let everybody in
            await self._client.update_global_concurrency_limit(
                self._name, GlobalConcurrencyLimitUpdate(active=True)
            )

    async def _holder(self) -> str:
        variable = await self._client.read_variable_by_name(self._variable)
        found = variable.value if variable else None
        if not isinstance(found, dict):
            return "another run"
        return f"the run {found.get('run')} on {found.get('host')}, since {found.get('since')}"


def _server_id(api_url: str) -> str:
    """Tells Prefect servers apart: 127.0.0.1 is another one on every machine."""
    is_local = (urlsplit(api_url).hostname or "") in ("localhost", "127.0.0.1", "::1")
    return short_hash(api_url, socket.gethostname() if is_local else "", length=6)


def _ourselves() -> dict[str, Any]:
    return {
        "run": f"{flow_run.name} ({flow_run.id})",
        "host": socket.gethostname(),
        "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }


async def _refuse_forgetful(client: PrefectClient) -> None:
    """Refuse a server that keeps leases in memory; warn where its settings can't be read."""
    if client.server_type == ServerType.EPHEMERAL:
        return  # it lives as long as this process
    try:
        answer = await client.request("GET", "/admin/settings")
        storage = str(answer.json()["server"]["concurrency"]["lease_storage"])
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError):
        if client.server_type != ServerType.CLOUD:
            _say(
                "the Prefect server's settings can't be read: whether it keeps its locks over a restart isn't known"
            )
        return
    if storage.endswith(".memory"):
        raise ForgetfulServer(
            "the Prefect server keeps leases in memory and would forget who is writing to an environment when it "
            "restarts. Nothing was written. Set PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE where the server runs, to "
            "prefect.server.concurrency.lease_storage.filesystem or prefect_redis.lease_storage, and restart it."
        )


def _say(text: str) -> None:
    journal().note(text)
    with suppress(MissingContextError):
        get_run_logger().log(logging.INFO, text)
