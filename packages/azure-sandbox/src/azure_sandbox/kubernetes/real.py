"""A real kube-apiserver per cluster, with the surface of the emulator (`--kubernetes real`).

Clients reach it through this process, so that the port, its certificate, its silence and the ledger are those of the
emulated cluster; `actor.Actor` does what a cluster's controllers would do. Left out: pods, endpoints and
webhook servers, so the operator's webhooks refuse its custom resources; the version is that of the binaries.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from azure_sandbox.kubernetes import errors
from azure_sandbox.kubernetes.actor import Actor
from azure_sandbox.kubernetes.api import ADMIN
from azure_sandbox.kubernetes.control_plane import ControlPlane, ControlPlaneError
from azure_sandbox.kubernetes.exchange import (
    OnRequest,
    Receive,
    Scope,
    Send,
    ledger_entry,
    read,
    refuse_upgrade,
    send_json,
)
from azure_sandbox.kubernetes.request import ApiRequest
from azure_sandbox.kubernetes.times import Clock

Json = dict[str, Any]

logger = logging.getLogger(__name__)

# Of a connection, not of the answer.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "content-length"}


class RealKubernetesApi:
    """A real API server; the arguments and attributes are those of `KubernetesApi`, which alone can be kept.

    It starts with the object, which needs a running loop; requests wait until it is ready, 4 to 7 real seconds.

    Args:
        name: of the cluster.
        version: remembered; the binaries are what they are.
        clock: the sandbox's; delays are its seconds.
        seed: of every delay.
        token: the admin's bearer token; a random one by default.
        ca_pem: certificate authority of the cluster's port, for `kube-root-ca.crt`.
        on_request: is told every request once it is answered, as an entry of the ledger.
        folder: where the processes' files are, while they run.
    """

    def __init__(
        self,
        name: str,
        version: str,
        clock: Clock,
        seed: int | str = 1,
        *,
        token: str | None = None,
        ca_pem: str = "",
        on_request: OnRequest | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.token = token or secrets.token_hex(32)
        self._on_request = on_request
        self._plane = ControlPlane(self.token, ADMIN, folder)
        self._actor = Actor(clock, f"{seed}/{name}", ca_pem)
        self._session: aiohttp.ClientSession | None = None
        self._starting = asyncio.get_running_loop().create_task(self._start())
        self._starting.add_done_callback(_looked_at)
        self._acting: asyncio.Task[None] | None = None
        self._first: asyncio.Task[None] | None = None

    def set_version(self, version: str) -> None:
        """Remember the version; the binaries stay what they are."""
        self.version = version

    def set_pools(self, pools: list[Json]) -> None:
        """Have the nodes of these pools, and no others."""
        self._actor.set_pools(pools)

    def set_addons(self, *, metrics: bool, logs: bool) -> None:
        """Run the agents of managed Prometheus and Container insights, or take them away."""
        self._actor.set_addons(metrics=metrics, logs=logs)

    def end_namespace(self, name: str) -> None:
        """Have a namespace of that name being deleted before the next request is passed on."""

        async def end() -> None:
            await self._starting
            await self._actor.end_namespace(name)

        self._first = asyncio.get_running_loop().create_task(end())

    def stop(self) -> None:
        """End the processes."""
        self._starting.cancel()
        if self._acting is not None:
            self._acting.cancel()
        if self._session is not None:
            self._closing = asyncio.get_running_loop().create_task(self._session.close())
        self._plane.stop()

    async def _start(self) -> None:
        try:
            await self._plane.start()
        except ControlPlaneError:
            logger.exception("cluster %s has no API server", self.name)
            raise
        connector = aiohttp.TCPConnector(ssl=self._plane.tls(), limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None, connect=30)
        )
        self._actor.connect(self._session, self._plane.url, self.token)
        self._acting = asyncio.create_task(self._actor.run())

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application: pass a request on to the API server."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await receive()
                await refuse_upgrade(scope, send, errors.not_emulated("a WebSocket"))
            return
        started = time.monotonic()
        request = await read(scope, receive)
        answered = _Answered(send)
        try:
            passing = asyncio.create_task(self._pass_on(request, scope, answered.send))
            await _while_connected(passing, receive)
        except (ControlPlaneError, aiohttp.ClientError) as failure:
            answered.reason = "ServiceUnavailable"
            unavailable = errors.ApiError(
                503, answered.reason, f"the real API server doesn't answer: {failure}"
            )
            with contextlib.suppress(Exception):  # The answer may have begun.
                await send_json(answered.send, 503, unavailable.status(), [])
        finally:
            if self._on_request is not None:
                entry = ledger_entry(self.name, request, answered.code, answered.error(), started)
                self._on_request(entry)

    async def _pass_on(self, request: ApiRequest, scope: Scope, send: Send) -> None:
        await asyncio.wait([self._starting])
        if self._starting.cancelled():
            raise ControlPlaneError("the cluster is gone")
        self._starting.result()
        if self._first is not None:
            await asyncio.shield(self._first)
        assert self._session is not None
        url = f"{self._plane.url}{scope['raw_path'].decode()}"
        if scope["query_string"]:
            url += f"?{scope['query_string'].decode()}"
        headers = {key: value for key, value in request.headers.items() if key not in _HOP_BY_HOP}
        if request.headers.get("authorization") == f"Bearer {self.token}":
            request.user = ADMIN
        async with self._session.request(
            request.method,
            URL(url, encoded=True),
            headers=headers,
            data=request.content or None,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as answer:
            kept = [
                (key.lower().encode(), value.encode("latin-1"))
                for key, value in answer.headers.items()
                if key.lower() not in _HOP_BY_HOP - {"content-length"}
            ]
            await send({"type": "http.response.start", "status": answer.status, "headers": kept})
            # A watch's headers come long before its first event.
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            async for chunk in answer.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


class _Answered:
    """What was answered to one request, for the ledger: the status, and the reason in a refusal."""

    def __init__(self, send: Send) -> None:
        self.code = 503
        self.reason: str | None = None
        self._send = send
        self._refusal = b""

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.code = message["status"]
        elif self.code >= 400:
            self._refusal += message.get("body", b"")
        await self._send(message)

    def error(self) -> str | None:
        """The reason of a refusal, where one is given."""
        if self.reason is None and self._refusal:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self.reason = str(json.loads(self._refusal)["reason"])
        return self.reason


async def _while_connected(passing: asyncio.Task[None], receive: Receive) -> None:
    """Wait for a task, or end it when the client has gone: a watch may last for an hour."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    leaving = asyncio.create_task(gone())
    try:
        await asyncio.wait([passing, leaving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        if not passing.done():
            passing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await passing


def _looked_at(task: asyncio.Task[None]) -> None:
    """Take note of a task's failure, which is logged and told to every client; asyncio would log it once more."""
    if not task.cancelled():
        task.exception()
