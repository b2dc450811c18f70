"""A port of a pod on this machine, through the cluster's API server: one WebSocket a connection.

https://kubernetes.io/docs/reference/using-api/websockets/, https://pkg.go.dev/k8s.io/kubelet/pkg/cri/streaming/portforward:
each message begins with its channel's number, two a port (data, errors), and each channel with the port's number.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp

from aks_postgres.arm.errors import AzureUnavailable
from aks_postgres.arm.responses import clean
from aks_postgres.kubernetes.client import KubernetesApi

_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERRORS = 0, 1
_PIECE_BYTES = 64 * 1024
# What a channel begins with: the port, two bytes.
_PREFACE_BYTES = 2
_WAYS_OUT = {
    401: "The API server doesn't know who asks, nor with a new token. Sign in again; then run again.",
    403: "Who asks may not create pods/portforward in that namespace. Have a role given to it; then run again.",
    404: "The pod is gone, as after a failover. Run again: the new primary is looked up.",
}


@asynccontextmanager
async def forwarded(api: KubernetesApi, namespace: str, pod: str, port: int) -> AsyncIterator[int]:
    """Listen on loopback, and hand each connection to the pod's port; yields the port to connect to.

    Args:
        api: the cluster's API.
        namespace: the pod's.
        pod: its name.
        port: of the pod.

    Raises:
        AzureUnavailable: the API server doesn't forward it; asked once before anybody connects.
    """
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
    under_way: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        try:
            with suppress(aiohttp.ClientError, OSError):  # the client sees its connection close
                async with api.websocket(path, _PROTOCOL, ports=str(port)) as socket:
                    await _relay(reader, writer, socket)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    try:
        async with api.websocket(path, _PROTOCOL, ports=str(port)):
            pass
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        status = error.status if isinstance(error, aiohttp.WSServerHandshakeError) else None
        said = f"status {status}" if status else clean(f"{type(error).__name__} {error}")
        raise AzureUnavailable(
            f"{api.label}: port {port} of pod {namespace}/{pod} can't be reached: {said}. "
            + _WAYS_OUT.get(status or 0, "See that the pod runs; then run again.")
        ) from None
    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            for task in list(under_way):
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, socket: aiohttp.ClientWebSocketResponse
) -> None:
    """Carry bytes both ways until either side ends."""

    async def up() -> None:
        while piece := await reader.read(_PIECE_BYTES):
            await socket.send_bytes(bytes([_DATA]) + piece)

    async def down() -> None:
        to_skip = {_DATA: _PREFACE_BYTES, _ERRORS: _PREFACE_BYTES}
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel, piece = message.data[0], message.data[1:]
            skipped = min(to_skip.get(channel, 0), len(piece))
            to_skip[channel] = to_skip.get(channel, 0) - skipped
            piece = piece[skipped:]
            if channel == _ERRORS and piece:
                return  # the pod's end is gone
            if channel == _DATA and piece:
                writer.write(piece)
                await writer.drain()

    ways = [asyncio.create_task(up()), asyncio.create_task(down())]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
