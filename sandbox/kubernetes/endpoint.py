"""The HTTP face of one cluster: an ASGI application that authenticates, routes and answers as an API server.

AKS serves nobody unauthenticated: without a token that the cluster knows, everything is 401.
"""

import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

from sandbox.kubernetes import discovery, errors, openapi, tables
from sandbox.kubernetes import request as requests
from sandbox.kubernetes.request import ApiRequest
from sandbox.kubernetes.times import Clock
from sandbox.kubernetes.verbs import Verbs
from sandbox.kubernetes.watches import Watch

Json = dict[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
OnRequest = Callable[[Json], None]

logger = logging.getLogger(__name__)

LARGEST_BODY = 3 * 1024 * 1024
"""Bytes of a request that a real server takes."""


class Endpoint:
    """The ASGI application.

    Args:
        cluster: its name, for the ledger.
        version: Kubernetes version, such as 1.34.2.
        verbs: the answers on resources.
        users: bearer token to user name.
        on_request: is told every request once it is answered.
    """

    def __init__(
        self,
        cluster: str,
        version: str,
        clock: Clock,
        verbs: Verbs,
        users: dict[str, str],
        on_request: OnRequest | None,
    ) -> None:
        self.cluster = cluster
        self.version = version
        self.on_request = on_request
        self._clock = clock
        self._verbs = verbs
        self._registry = verbs.objects.registry
        self._users = users
        self._openapi = openapi.OpenApi(self._registry, verbs.objects.schema)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await _refuse_upgrade(scope, receive, send)
            return
        started = time.monotonic()
        self._clock.run_due()
        request = await _read(scope, receive)
        code, error = 200, None
        try:
            request.user = self._authenticated(request)
            if len(request.content) > LARGEST_BODY:
                text = "Request entity too large: limit is 3145728"
                raise errors.ApiError(413, "RequestEntityTooLarge", text, {})
            if request.verb == "watch" and request.group in self._registry.group_versions():
                await self._watch(request, send)
            else:
                code = await self._answer(request, send)
        except errors.ApiError as refusal:
            code, error = refusal.code, refusal.reason or None
            await _send_json(send, code, refusal.status(), request.warnings)
        except Exception:
            logger.exception("%s %s failed in the sandbox", request.method, request.path)
            code, error = 500, "InternalError"
            await _send_json(
                send, 500, errors.internal_error("the sandbox failed; its log says why").status(), []
            )
        finally:
            self._tell(request, code, error, started)

    def _authenticated(self, request: ApiRequest) -> str:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        user = self._users.get(token.strip()) if kind.lower() == "bearer" else None
        if user is None:
            raise errors.unauthorized()
        return user

    async def _answer(self, request: ApiRequest, send: Send) -> int:
        if request.resource and request.group in self._registry.group_versions():
            code, body = self._verbs.answer(request)
            if request.verb in ("get", "list") and tables.wanted(request.headers.get("accept", "")):
                type_ = self._verbs.find_type(request)
                body = tables.table(type_, body, request.query.get("includeObject", "Metadata"), self._clock)
            await _send_json(send, code, body, request.warnings)
            return code
        if request.method != "GET" and not request.resource:
            raise errors.method_not_allowed()
        if request.path in ("/healthz", "/readyz", "/livez"):
            await _send(send, 200, b"ok", "text/plain; charset=utf-8")
            return 200
        found = self._document(request)
        if found is None:
            await _send(send, 404, b"404 page not found\n", "text/plain; charset=utf-8")
            return 404
        await _send_json(send, 200, found, [])
        return 200

    def _document(self, request: ApiRequest) -> Json | None:
        """What is served besides resources."""
        path = request.path.rstrip("/") or "/"
        if path == "/":
            versions = [f"/apis/{item.group}/{item.version}" for item in self._registry.all() if item.group]
            return {"paths": ["/api", "/api/v1", "/apis", *sorted(set(versions)), "/openapi/v3", "/version"]}
        if path == "/version":
            return discovery.version(self.version)
        if path == "/api":
            return discovery.core_versions()
        if path == "/apis":
            return discovery.groups(self._registry)
        if request.version and not request.resource:
            if request.group not in self._registry.group_versions():
                return None
            found = discovery.resources(self._registry, request.group, request.version)
            if found is None:
                raise errors.no_such_resource()
            return found
        if path.startswith("/apis/"):
            return discovery.group(self._registry, path.removeprefix("/apis/"))
        return self._openapi.document(path, request.headers.get("accept", ""))

    async def _watch(self, request: ApiRequest, send: Send) -> None:
        type_ = self._verbs.find_type(request)
        watch = Watch(self._verbs.store, type_, request, self._verbs.selected(type_, request))
        headers = [(b"content-type", b"application/json"), (b"date", formatdate(usegmt=True).encode())]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            # Empty, so that the headers leave before the first event.
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            async for line in watch.lines():
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            watch.close()

    def _tell(self, request: ApiRequest, code: int, error: str | None, started: float) -> None:
        if self.on_request is None:
            return
        self.on_request(
            {
                "service": "kubernetes",
                "cluster": self.cluster,
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
            }
        )


async def _read(scope: Scope, receive: Receive) -> ApiRequest:
    content = bytearray()
    while True:
        message = await receive()
        content += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            break
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
    query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
    return requests.parse(scope["method"], scope["path"], query, headers, bytes(content))


async def _send_json(send: Send, code: int, body: Json, warnings: list[str]) -> None:
    content = json.dumps(body, separators=(",", ":")).encode() + b"\n"
    extra = [
        (b"warning", f'299 - "{text.replace(chr(34), chr(92) + chr(34))}"'.encode()) for text in warnings
    ]
    await _send(send, code, content, "application/json", extra)


async def _send(
    send: Send, code: int, content: bytes, content_type: str, extra: list[tuple[bytes, bytes]] | None = None
) -> None:
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


async def _refuse_upgrade(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    # exec, attach and port-forward: nothing runs in the sandbox's containers.
    await send({"type": "websocket.close", "code": 1000})
