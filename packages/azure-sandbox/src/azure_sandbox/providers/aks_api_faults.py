"""Faults ordered for the Kubernetes API of clusters: an ASGI application around the API server's own.

Orders name the service `kubernetes` or an operation such as `create namespaces` (verb and resource).
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from azure_sandbox.core.connections import cut
from azure_sandbox.core.faults import filled
from azure_sandbox.kubernetes.request import parse

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class WithFaults:
    """Hands requests on to an API server unless something else is ordered for them.

    Args:
        sandbox: for the orders and the clock.
        cluster: its name, for the ledger.
        app: the API server.
        to_ledger: takes the entry of a request that the API server doesn't see.
        end_namespace: has a namespace being deleted.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        cluster: str,
        app: App,
        to_ledger: Callable[[Json], None],
        end_namespace: Callable[[str], None],
    ) -> None:
        self._sandbox = sandbox
        self._cluster = cluster
        self._app = app
        self._to_ledger = to_ledger
        self._end_namespace = end_namespace

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = parse(
            scope["method"], scope["path"], dict(parse_qsl(scope["query_string"].decode())), {}, b""
        )
        fault = self._sandbox.faults.take(
            "kubernetes", request.method, request.operation, request.path, self._cluster
        )
        if fault is None:
            await self._app(scope, receive, send)
            return
        if "delay_s" in fault:
            await self._sandbox.clock.sleep(float(fault["delay_s"]))
        if fault.get("terminating"):
            body, receive = await _read(receive)
            self._end_namespace(request.name or _name(body))
        if fault.get("cut") == "after":
            await self._app(scope, receive, _nowhere)
            await cut(receive, send)
        elif "status" in fault or fault.get("cut") == "before":
            status = int(fault["status"]) if "status" in fault else None
            self._tell(request.method, request.path, request.operation, status, fault)
            if status is None:
                await cut(receive, send)
            else:
                await _answer(send, status, fault, request.path, self._sandbox.clock.real)
        else:
            await self._app(scope, receive, send)

    def _tell(self, method: str, path: str, operation: str, status: int | None, fault: Json) -> None:
        self._to_ledger(
            {
                "cluster": self._cluster,
                "principal": None,
                "method": method,
                "path": path,
                "api_version": None,
                "operation": operation,
                "body": None,
                "status": status,
                "error_code": fault.get("code"),
                "duration_ms": 0.0,
            }
        )


async def _answer(send: Send, status: int, fault: Json, path: str, real_s: Callable[[float], float]) -> None:
    document = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": filled(str(fault.get("message", "An ordered fault.")), path),
        "reason": str(fault.get("code", "InternalError")),
        "code": status,
    }
    content = str(fault["raw_body"]).encode() if "raw_body" in fault else json.dumps(document).encode()
    headers = {"content-type": "application/json", **fault.get("headers", {})}
    if "retry_after_s" in fault:
        # Whole real seconds: Kubernetes' clients know nothing finer.
        headers["retry-after"] = str(max(1, math.ceil(real_s(float(fault["retry_after_s"])))))
    lines = [(str(name).lower().encode(), str(value).encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": content})


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """The body of a request, and a `receive` that gives it again."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    again: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return again.pop() if again else await receive()

    return body, replay


def _name(body: bytes) -> str:
    """The name of the object in a body; `default` exists and can't be deleted, so nothing else happens."""
    try:
        return str(json.loads(body)["metadata"]["name"])
    except (ValueError, KeyError, TypeError):
        return "default"


async def _nowhere(_message: Message) -> None:
    """Swallow an answer."""
    await asyncio.sleep(0)
