"""A loopback CONNECT proxy, for clients that know only the public cloud's host names.

With `HTTPS_PROXY` set to it, an unmodified client that opens https://management.azure.com reaches the
sandbox, whose certificate has that name too. Hosts of Azure's that are emulated go to the sandbox, loopback
addresses go where they say, everything else is refused: nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging

from azure_sandbox.core.issuer import SUFFIX as ISSUER_SUFFIX
from azure_sandbox.postgres.host import both_ways
from azure_sandbox.server.app import ARM_HOST, BLOB_SUFFIX, GRAPH_HOST, LOGIN_HOSTS

logger = logging.getLogger(__name__)

LONGEST_HEAD = 16 * 1024


class Proxy:
    """The proxy of one sandbox.

    Args:
        port: the sandbox's own port on loopback.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._tunnels: set[asyncio.Task[None]] = set()
        self.url = ""

    async def start(self) -> None:
        """Listen on a free loopback port; `url` then says where."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LONGEST_HEAD)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Stop listening and drop the tunnels."""
        if self._server is not None:
            self._server.close()
        for tunnel in self._tunnels:
            tunnel.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)

    def target(self, host: str, port: int) -> tuple[str, int] | None:
        """Where a CONNECT goes; None when it is refused."""
        name = host.lower().rstrip(".")
        if name in (ARM_HOST, GRAPH_HOST, *LOGIN_HOSTS) or name.endswith((BLOB_SUFFIX, ISSUER_SUFFIX)):
            return "127.0.0.1", self._port
        if name == "localhost":
            return "127.0.0.1", port
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(name).is_loopback:
                return name, port
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tunnels.add(task)
        try:
            await self._tunnel(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            logger.debug("a tunnel ended: %s", error)
        finally:
            self._tunnels.discard(task)
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, _, rest = head.partition(" ")
        host, _, port = rest.split(" ")[0].rpartition(":")
        target = self.target(host.strip("[]"), int(port)) if method == "CONNECT" and port.isdigit() else None
        if target is None:
            text = f"The sandbox's proxy doesn't know {rest.split(' ')[0]}: it leads to the sandbox only.\n"
            writer.write(f"HTTP/1.1 403 Forbidden\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode())
            await writer.drain()
            return
        inner_reader, inner_writer = await asyncio.open_connection(*target)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.drain()
            await both_ways(reader, writer, inner_reader, inner_writer)
        finally:
            inner_writer.close()
