"""The port of a cluster: TLS, silence towards callers outside the ranges, the same port again."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from azure_sandbox.core.certificates import Authority
from azure_sandbox.core.clock import Clock
from azure_sandbox.kubernetes import ClusterServer, KubernetesApi


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[ClusterServer]:
    api = KubernetesApi("c", "1.35.2", Clock(1), 1, token="t")
    made = ClusterServer(api.app, authority.server_context())
    await made.start()
    yield made
    api.stop()
    await made.stop()


async def ask(server: ClusterServer, authority: Authority, timeout_s: float = 5) -> bytes:
    """The status line of an answer."""
    tls = ssl.create_default_context(cafile=str(authority.ca_file))
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection("localhost", server.port, ssl=tls)
        try:
            writer.write(b"GET /version HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\n\r\n")
            return await reader.readline()
        finally:
            writer.close()


async def test_answers_over_tls(server: ClusterServer, authority: Authority) -> None:
    assert server.url == f"https://localhost:{server.port}"
    assert b" 200 " in await ask(server, authority)


async def test_blocked_server_takes_the_connection_and_says_nothing(
    server: ClusterServer, authority: Authority
) -> None:
    await server.set_blocked(True)
    reader, writer = await asyncio.open_connection("localhost", server.port)
    writer.write(b"\x16\x03\x01")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.2)
    writer.close()
    with pytest.raises(TimeoutError):
        await ask(server, authority, 0.2)


async def test_open_again_it_answers_on_the_same_port(server: ClusterServer, authority: Authority) -> None:
    port = server.port
    await server.set_blocked(True)
    await server.set_blocked(False)
    assert server.port == port
    assert b" 200 " in await ask(server, authority)


async def test_blocking_cuts_open_connections(server: ClusterServer, authority: Authority) -> None:
    tls = ssl.create_default_context(cafile=str(authority.ca_file))
    reader, writer = await asyncio.open_connection("localhost", server.port, ssl=tls)
    writer.write(b"GET /api/v1/nodes?watch=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\n\r\n")
    assert b" 200 " in await reader.readline()
    await server.set_blocked(True)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError, ssl.SSLError)):
        await asyncio.wait_for(reader.readuntil(b"never"), 5)
    writer.close()


async def test_stopped_server_gives_its_port_back(authority: Authority) -> None:
    server = ClusterServer(KubernetesApi("c", "1.35.2", Clock(1), 1).app, authority.server_context())
    await server.start()
    await server.stop()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", server.port)
