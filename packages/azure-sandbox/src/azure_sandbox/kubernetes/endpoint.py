"""The HTTP face of one cluster: an ASGI application that authenticates, routes and answers as an API server.

AKS serves nobody unauthenticated: without a token that the cluster knows, everything is 401.
"""

import logging
import time
from collections.abc import MutableMapping
from dataclasses import replace
from email.utils import format_datetime
from typing import Any, Protocol

from azure_sandbox.kubernetes import discovery, errors, exposition, openapi, tables
from azure_sandbox.kubernetes.exchange import (
    OnRequest,
    Receive,
    Scope,
    Send,
    ledger_entry,
    read,
    refuse_upgrade,
    send_bytes,
    send_json,
    upgrade_request,
)
from azure_sandbox.kubernetes.request import ApiRequest
from azure_sandbox.kubernetes.times import Clock
from azure_sandbox.kubernetes.verbs import Verbs
from azure_sandbox.kubernetes.watches import Watch

Json = dict[str, Any]


class Streams(Protocol):
    """What is behind the Pods of a cluster."""

    async def log(self, request: ApiRequest) -> bytes | None:
        """The log of a Pod; None where there is none."""

    async def proxied(self, request: ApiRequest) -> bytes | None:
        """What a Pod or a node answers to a GET; None where nobody is there."""

    async def serve(self, request: ApiRequest, scope: Any, receive: Any, send: Any) -> None:
        """Serve exec or port-forward."""


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

    Attributes:
        streams: the ways into Pods that have any.
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
        self.streams: Streams | None = None
        self._clock = clock
        self._verbs = verbs
        self._registry = verbs.objects.registry
        self._users = users
        self._openapi = openapi.OpenApi(self._registry, verbs.objects.schema)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._stream(scope, receive, send)
            return
        send = self._dated(send)
        started = time.monotonic()
        self._clock.run_due()
        request = await read(scope, receive)
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
            await send_json(send, code, refusal.status(), request.warnings)
        except Exception:
            logger.exception("%s %s failed in the sandbox", request.method, request.path)
            code, error = 500, "InternalError"
            await send_json(
                send, 500, errors.internal_error("the sandbox failed; its log says why").status(), []
            )
        finally:
            self._tell(request, code, error, started)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Exec and port-forward; attach, and whatever isn't an instance of a Cluster, is refused."""
        if scope["type"] != "websocket":
            return
        started = time.monotonic()
        self._clock.run_due()
        request = upgrade_request(scope)
        code, error = 101, None
        try:
            await receive()  # The client's wish to connect.
            request.user = self._authenticated(request)
            if self.streams is None or request.subresource not in ("exec", "portforward"):
                raise errors.not_emulated(f"{request.subresource or 'a WebSocket'} of {request.resource}")
            self._verbs.live(self._verbs.find_type(request), request)
            await self.streams.serve(request, scope, receive, send)
        except errors.ApiError as refusal:
            code, error = refusal.code, refusal.reason or None
            await refuse_upgrade(scope, send, refusal)
        finally:
            self._tell(request, code, error, started)

    def _dated(self, send: Send) -> Send:
        """Let answers have the time of the clock that their objects' timestamps come from."""

        async def dated(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(self._clock.now(), usegmt=True).encode()
                headers = [pair for pair in message["headers"] if pair[0] != b"date"]
                message = {**message, "headers": [*headers, (b"date", date)]}
            await send(message)

        return dated

    def _authenticated(self, request: ApiRequest) -> str:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        user = self._users.get(token.strip()) if kind.lower() == "bearer" else None
        if user is None:
            raise errors.unauthorized()
        return user

    async def _answer(self, request: ApiRequest, send: Send) -> int:
        if request.subresource == "log" and request.resource == "pods" and self.streams is not None:
            log = await self.streams.log(request)
            if log is not None:
                await send_bytes(send, 200, log, "text/plain")
                return 200
        if (
            request.subresource.split("/")[0] == "proxy"
            and request.verb == "get"
            and self.streams is not None
        ):
            return await self._proxy(request, send, self.streams)
        if request.resource and request.group in self._registry.group_versions():
            code, body = self._verbs.answer(request)
            if request.verb in ("get", "list") and tables.wanted(request.headers.get("accept", "")):
                type_ = self._verbs.find_type(request)
                body = tables.table(type_, body, request.query.get("includeObject", "Metadata"), self._clock)
            await send_json(send, code, body, request.warnings)
            return code
        if request.method != "GET" and not request.resource:
            raise errors.method_not_allowed()
        if request.path in ("/healthz", "/readyz", "/livez"):
            await send_bytes(send, 200, b"ok", "text/plain; charset=utf-8")
            return 200
        found = self._document(request)
        if found is None:
            await send_bytes(send, 404, b"404 page not found\n", "text/plain; charset=utf-8")
            return 404
        await send_json(send, 200, found, [])
        return 200

    async def _proxy(self, request: ApiRequest, send: Send, streams: Streams) -> int:
        """Hand a GET on to a Pod or a node, as the API server does."""
        type_ = self._verbs.find_type(request)
        name = request.name.removeprefix("http:").partition(":")[0]
        self._verbs.live(type_, replace(request, name=name))
        content = await streams.proxied(request)
        if content is None:
            text = f"error trying to reach service: nothing answers at {request.path}"
            raise errors.ApiError(503, "ServiceUnavailable", text, {})
        await send_bytes(send, 200, content, exposition.CONTENT_TYPE)
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
        headers = [(b"content-type", b"application/json")]
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
        if self.on_request is not None:
            self.on_request(ledger_entry(self.cluster, request, code, error, started))
