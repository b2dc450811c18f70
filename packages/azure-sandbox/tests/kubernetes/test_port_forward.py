"""A port-forward ends when the server's side does, however that is."""

import asyncio
import socket
import struct
from typing import Any

import pytest

from azure_sandbox.kubernetes.controllers.postgres.streams import pump


@pytest.mark.parametrize("is_killed", [False, True], ids=["ends", "is killed"])
async def test_the_clients_connection_ends_when_the_server(is_killed: bool) -> None:
    """A server that is killed resets its connections, those too that it has never looked at."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    with socket.create_server(("127.0.0.1", 0)) as server:
        reader, writer = await asyncio.open_connection(*server.getsockname())
        accepted, _ = server.accept()
        accepted.sendall(b"a")
        pumping = asyncio.create_task(pump(reader, send, 0))
        while not sent:
            await asyncio.sleep(0)
        if is_killed:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        await asyncio.wait_for(pumping, 10)
        writer.close()
    assert [message["type"] for message in sent] == ["websocket.send", "websocket.close"]
