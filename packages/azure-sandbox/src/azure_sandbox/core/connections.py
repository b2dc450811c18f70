"""Connections of the ASGI server, as a fault treats them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def cut(receive: Receive, send: Send) -> None:
    """Drop the connection: the client sees a reset, not an answer."""
    cycle = getattr(send, "__self__", None)  # uvicorn's request/response cycle holds the transport.
    transport = getattr(cycle, "transport", None)
    if transport is not None:
        transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
