"""The port of one cluster: TLS on loopback, and a switch that makes it silent."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState


class ClusterServer:
    """Serves an ASGI application on a loopback port of its own.

    While `blocked`, connections are accepted and nothing is ever answered, not even TLS: Azure drops the
    packets of callers outside the authorized IP ranges
    (https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges); here the TCP connection still
    comes about.

    Args:
        app: the ASGI application.
        tls: the server's TLS context; None serves plain HTTP.
        port: 0 takes a free one, which stays the same until the server is made anew.
    """

    def __init__(self, app: Any, tls: ssl.SSLContext | None, port: int = 0) -> None:
        self._tls = tls
        # asyncio turns Nagle's algorithm, 40 ms an answer, off only where the protocol is said.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self._config = Config(
            app,
            interface="asgi3",
            http="h11",
            ws="websockets-sansio",
            ws_ping_interval=None,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
        )
        self._state = ServerState()
        self._blocked = False
        self._server: asyncio.Server | None = None
        self._silent: set[asyncio.BaseTransport] = set()

    @property
    def url(self) -> str:
        """What kubeconfigs name."""
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    @property
    def blocked(self) -> bool:
        """Whether connections are left without an answer."""
        return self._blocked

    async def start(self) -> None:
        """Listen."""
        self._config.load()
        await self._listen()

    async def set_blocked(self, blocked: bool) -> None:
        """Answer no more, or again; connections of the other kind are cut."""
        if blocked == self._blocked:
            return
        self._blocked = blocked
        if self._server is not None:
            self._server.close()
            self._cut()
            await self._listen()

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._cut()
        self._socket.close()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=1)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        # A duplicate, since closing the server closes its socket: the port stays ours in between.
        listening = self._socket.dup()
        if self._blocked:
            self._server = await loop.create_server(lambda: _Silence(self._silent), sock=listening)
        else:
            self._server = await loop.create_server(self._protocol, sock=listening, ssl=self._tls)

    def _protocol(self) -> asyncio.Protocol:
        return H11Protocol(self._config, self._state, {})

    def _cut(self) -> None:
        for connection in list(self._state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        for transport in list(self._silent):
            transport.abort()  # type: ignore[attr-defined]  # every TCP transport has it


class _Silence(asyncio.Protocol):
    """A connection that is never answered."""

    def __init__(self, open_: set[asyncio.BaseTransport]) -> None:
        self._open = open_
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._open.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            self._open.discard(self._transport)
