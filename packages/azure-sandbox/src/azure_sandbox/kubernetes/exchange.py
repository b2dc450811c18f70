"""Reading requests and sending answers over ASGI, and what the ledger is told of them."""

import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

from azure_sandbox.kubernetes import errors
from azure_sandbox.kubernetes import request as requests
from azure_sandbox.kubernetes.request import ApiRequest

Json = dict[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
OnRequest = Callable[[Json], None]


async def read(scope: Scope, receive: Receive) -> ApiRequest:
    """The request, body included."""
    content = bytearray()
    while True:
        message = await receive()
        content += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            break
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
    query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
    return requests.parse(scope["method"], scope["path"], query, headers, bytes(content))


async def send_json(send: Send, code: int, body: Json, warnings: list[str]) -> None:
    """Answer with an object."""
    content = json.dumps(body, separators=(",", ":")).encode() + b"\n"
    extra = [
        (b"warning", f'299 - "{text.replace(chr(34), chr(92) + chr(34))}"'.encode()) for text in warnings
    ]
    await send_bytes(send, code, content, "application/json", extra)


async def send_bytes(
    send: Send, code: int, content: bytes, content_type: str, extra: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Answer with bytes."""
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"date", formatdate(usegmt=True).encode()),
        (b"cache-control", b"no-cache, private"),
        *(extra or []),
    ]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _for_ledger(request: ApiRequest) -> Any:
    """The body as JSON, without the contents of Secrets."""
    if not request.content:
        return None
    if request.resource in ("secrets", "serviceaccounts") or len(request.content) > 65536:
        return f"({len(request.content)} bytes)"
    try:
        return request.json() if request.content_type.endswith("json") else request.body()
    except errors.ApiError:
        return f"({len(request.content)} bytes, not readable)"


def ledger_entry(cluster: str, request: ApiRequest, code: int, error: str | None, started: float) -> Json:
    """One entry of the ledger; `started` is of `time.monotonic`."""
    return {
        "service": "kubernetes",
        "cluster": cluster,
        "principal": request.user or None,
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "api_version": f"{request.group}/{request.version}".strip("/") or None,
        "operation": request.operation,
        "body": _for_ledger(request),
        "status": code,
        "error_code": error,
        "duration_ms": round((time.monotonic() - started) * 1000, 2),
        # The API server takes a client's ID for its audit log: k8s.io/apiserver, WithAuditInit.
        "client_request_id": request.headers.get("audit-id"),
    }


def upgrade_request(scope: Scope) -> ApiRequest:
    """The request that a WebSocket begins with."""
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
    query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
    return requests.parse("GET", scope["path"], query, headers, b"")


async def refuse_upgrade(scope: Scope, send: Send, refusal: errors.ApiError) -> None:
    """Answer a WebSocket's request with a refusal, as an API server does: over HTTP."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1000})
        return
    content = json.dumps(refusal.status()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "websocket.http.response.start", "status": refusal.code, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": content})
