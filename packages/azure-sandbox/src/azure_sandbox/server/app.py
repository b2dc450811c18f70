"""The HTTPS server, one process and one loop, for ARM, Entra, Graph, blobs and the control API.

Raw ASGI: a request costs a dictionary look-up or two before its handler runs.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import urllib.parse
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import format_datetime
from typing import Any

from azure_sandbox.core.blobs import BlobService
from azure_sandbox.core.connections import cut
from azure_sandbox.core.entra import EntraError, error_document
from azure_sandbox.core.faults import filled
from azure_sandbox.core.grafana import GrafanaService
from azure_sandbox.core.issuer import PATH as ISSUER_PATH
from azure_sandbox.core.issuer import SUFFIX as ISSUER_SUFFIX
from azure_sandbox.core.json_text import read_json
from azure_sandbox.core.metadata import metadata_endpoints
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.server.control import Control
from azure_sandbox.server.gateway import Gateway, Request, shown
from azure_sandbox.server.instance import Sandbox

logger = logging.getLogger(__name__)

Json = dict[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ARM_HOST = "management.azure.com"
LOGIN_HOSTS = ("login.microsoftonline.com", "login.microsoft.com")
GRAPH_HOST = "graph.microsoft.com"
BLOB_SUFFIX = ".blob.core.windows.net"
MAX_BODY = 64 * 1024 * 1024  # What a block blob of these tests may have; ARM takes 4 MB.


class Cut(Exception):
    """The connection is to be dropped without an answer."""


class Web:
    """One HTTP request."""

    def __init__(self, scope: Scope, raw: bytes) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.raw_path: str = scope["raw_path"].decode("latin-1")
        self.query_string: str = scope["query_string"].decode("latin-1")
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.raw = raw
        self.host = self.headers.get("host", "").lower()
        self.is_storage = False

    def query(self) -> dict[str, str]:
        """The query parameters."""
        return dict(urllib.parse.parse_qsl(self.query_string, keep_blank_values=True))


class App:
    """The ASGI application."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.gateway = Gateway(sandbox)
        self.blobs = BlobService(sandbox)
        self.grafana = GrafanaService(sandbox)
        self.control = Control(sandbox)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; never lets an exception out."""
        if scope["type"] != "http":
            return
        raw = await _read(receive)
        web = Web(scope, raw)
        self.sandbox.clock.run_due()
        try:
            response = await self._dispatch(web)
        except Cut:
            await cut(receive, send)
            return
        except asyncio.CancelledError:
            raise
        except Exception:  # The promise: never a crash. What went wrong is in the log.
            logger.exception("%s %s failed", web.method, web.path)
            body = {
                "error": {"code": "SandboxError", "message": "The sandbox failed; see its log. Not Azure's."}
            }
            response = Response(501, body, headers={"x-ms-failure-cause": "sandbox"})
        await self._send(web, response, send)

    async def _dispatch(self, web: Web) -> Response:
        path, host = web.path, web.host.partition(":")[0]
        if host.endswith(BLOB_SUFFIX):
            return await self._blob(web, host.removesuffix(BLOB_SUFFIX), path)
        if host.endswith(ISSUER_SUFFIX):
            return await self._issuer(web, host, path)
        if host in LOGIN_HOSTS:
            return await self._entra(web)
        if host == GRAPH_HOST:
            return await self._graph(web)
        if host != ARM_HOST:
            if path.startswith("/sandbox/"):
                return await self.control.handle(web.method, path, web.query(), web.headers, web.raw)
            if path.startswith("/blob/"):
                account, _, rest = path[6:].partition("/")
                return await self._blob(web, account, "/" + rest)
            if path.startswith("/grafana/"):
                label, _, rest = path.removeprefix("/grafana/").partition("/")
                return await self._grafana(web, label, "/" + rest)
            if path.startswith(ISSUER_PATH):
                region, _, rest = path.removeprefix(ISSUER_PATH).partition("/")
                return await self._issuer(web, region + ISSUER_SUFFIX, "/" + rest)
            if path.startswith("/v1.0/"):
                return await self._graph(web)
            if "/oauth2/" in path or path.endswith("/openid-configuration") or path.startswith("/common/"):
                return await self._entra(web)
        if path == "/metadata/endpoints":
            return Response(200, metadata_endpoints(self.sandbox, self.base_url(web)))
        return await self._arm(web)

    def base_url(self, web: Web) -> str:
        """Scheme and host for the URLs in an answer: those that the client used, if they are ours."""
        host = web.host
        if host in (ARM_HOST, GRAPH_HOST, *LOGIN_HOSTS) or host.endswith(BLOB_SUFFIX):
            return f"https://{host}"
        if host.partition(":")[0] in ("localhost", "127.0.0.1"):
            return f"https://{host}"
        return self.sandbox.endpoint

    # The services.

    async def _arm(self, web: Web) -> Response:
        sandbox = self.sandbox
        request = Request(web.method, web.path, web.query_string, web.headers, web.raw, self.base_url(web))
        found = self.gateway.find(request)
        name = self.gateway.operation_name(request, found)
        entry = sandbox.ledger.arrived(
            "arm",
            web.method,
            web.path,
            api_version=request.api_version,
            operation=name,
            body=_json_or_none(web.raw),
            client_request_id=web.headers.get("x-ms-client-request-id"),
            correlation_id=web.headers.get("x-ms-correlation-request-id"),
        )

        async def handle(fault: Json | None) -> Response:
            answer = await self.gateway.handle(request, found, fault)
            answer.body = shown(answer, sandbox)
            return answer

        def caller() -> str | None:
            if request.principal is None:
                try:
                    self.gateway.authenticate(request)
                except ArmError:
                    return None
            return request.principal.object_id if request.principal else None

        response = await self._guarded(web, "arm", name, entry, handle, caller)
        response.headers |= request.rate_headers
        return response

    async def _entra(self, web: Web) -> Response:
        base_url = self.base_url(web)
        segments = web.path.strip("/").split("/")
        tenant = segments[0]
        name = "Token" if segments[-1] == "token" else "Discovery"
        form = dict(urllib.parse.parse_qsl(web.raw.decode("utf-8", "replace")))
        entry = self.sandbox.ledger.arrived("entra", web.method, web.path, operation=name, body=form or None)

        async def handle(_fault: Json | None) -> Response:
            if segments[-1] == "token" and web.method == "POST":
                try:
                    body = self.sandbox.entra.token(form, web.headers.get("authorization"), tenant)
                except EntraError as error:
                    entry["error_code"] = f"AADSTS{error.number}"
                    return Response(error.status, error_document(error))
                return Response(200, body)
            if segments[-1] == "openid-configuration":
                return Response(200, self.sandbox.entra.configuration(tenant, base_url))
            if segments[-2:] == ["discovery", "instance"]:
                return Response(
                    200,
                    {
                        "tenant_discovery_endpoint": f"{base_url}/{self.sandbox.tenant_id}/v2.0/.well-known/"
                        "openid-configuration",
                        "api-version": "1.1",
                        "metadata": [],
                    },
                )
            raise ArmError(
                501, "NotImplemented", f"Entra's {web.method} {web.path}: azure_sandbox/core/entra.py."
            )

        return await self._guarded(web, "entra", name, entry, handle, lambda: form.get("client_id"))

    async def _issuer(self, web: Web, host: str, path: str) -> Response:
        """The public documents of a cluster's OIDC issuer."""
        entry = self.sandbox.ledger.arrived("entra", web.method, web.path, operation="Discovery")

        async def handle(_fault: Json | None) -> Response:
            url = f"https://{host}{path}"
            issuer = next((issuer for issuer in self.sandbox.entra.issuers if url.startswith(issuer)), None)
            found = {} if issuer is None else self.sandbox.signer.documents(issuer)
            body = found.get(url.removeprefix(issuer or ""))
            if body is None or web.method not in ("GET", "HEAD"):
                raise ArmError(404, "ResourceNotFound", "The specified resource does not exist.")
            return Response(200, body)

        return await self._guarded(web, "entra", "Discovery", entry, handle, lambda: None)

    async def _graph(self, web: Web) -> Response:
        entry = self.sandbox.ledger.arrived("graph", web.method, web.path, operation="Graph")
        own = {self.sandbox.endpoint.lower(), self.base_url(web).lower(), f"https://{GRAPH_HOST}"}
        who: list[str] = []

        async def handle(_fault: Json | None) -> Response:
            caller = self.sandbox.entra.caller(web.headers.get("authorization"), own.__contains__)
            who.append(caller.object_id)
            return self.sandbox.entra.graph(web.method, web.path, web.query(), web.raw)

        return await self._guarded(web, "graph", "Graph", entry, handle, lambda: who[0] if who else None)

    async def _blob(self, web: Web, account: str, path: str) -> Response:
        web.is_storage = True
        name = self.blobs.operation(web.method, path, web.query())
        entry = self.sandbox.ledger.arrived(
            "blob", web.method, web.path, operation=name, api_version=web.headers.get("x-ms-version")
        )
        who: list[str] = []

        async def handle(_fault: Json | None) -> Response:
            return self.blobs.handle(
                account, web.method, path, web.query(), web.headers, web.raw, who, web.raw_path
            )

        return await self._guarded(web, "blob", name, entry, handle, lambda: who[0] if who else None)

    async def _grafana(self, web: Web, host: str, path: str) -> Response:
        name = self.grafana.operation(web.method, path)
        entry = self.sandbox.ledger.arrived("grafana", web.method, web.path, operation=name)
        who: list[str] = []

        async def handle(_fault: Json | None) -> Response:
            return self.grafana.handle(host, web.method, path, web.headers, web.raw, who)

        return await self._guarded(web, "grafana", name, entry, handle, lambda: who[0] if who else None)

    async def _guarded(
        self,
        web: Web,
        service: str,
        name: str | None,
        entry: Json,
        handle: Callable[[Json | None], Awaitable[Response]],
        caller: Callable[[], str | None],
    ) -> Response:
        """Handle a request with the faults ordered for it, and complete its ledger entry."""
        sandbox = self.sandbox
        fault = sandbox.faults.take(service, web.method, name, web.path)
        status: int | None = None
        code: str | None = None
        try:
            if fault is not None:
                if "delay_s" in fault:
                    await sandbox.clock.sleep(float(fault["delay_s"]))
                if fault.get("expire_tokens"):
                    sandbox.entra.expire_tokens()
                if fault.get("cut") == "before":
                    raise Cut
                if "status" in fault:
                    response = _ordered(fault, web.path)
                    status, code = response.status, str(fault.get("code", ""))
                    return response
            try:
                response = await handle(fault)
            except ArmError as error:
                code = error.code
                response = Response(
                    error.status,
                    error.body(),
                    headers=error.headers,
                    retry_after_s=error.retry_after_s,
                    latency_s=error.latency_s,
                )
            code = code or entry["error_code"] or response.headers.get("x-ms-error-code")
            await sandbox.clock.sleep(response.latency_s)
            if fault is not None and fault.get("cut") == "after":
                raise Cut
            status = response.status
            return response
        finally:
            entry["principal"] = caller()
            sandbox.ledger.answered(entry, status, code)

    async def _send(self, web: Web, response: Response, send: Send) -> None:
        headers = {
            "date": format_datetime(self.sandbox.clock.now(), usegmt=True),
        }
        if not web.is_storage:  # A blob's cache-control is its own.
            headers["cache-control"] = "no-cache"
        # A page is never Azure's: something in between answers in its place, and knows nothing of its headers.
        if response.headers.get("content-type") != "text/html":
            headers["x-ms-request-id"] = str(uuid.uuid4())
            if not web.is_storage:
                trace = web.headers.get("x-ms-correlation-request-id", str(uuid.uuid4()))
                headers["x-ms-correlation-request-id"] = trace
        returns_id = web.headers.get("x-ms-return-client-request-id", "").lower() == "true"
        if returns_id or (web.is_storage and "x-ms-client-request-id" in web.headers):
            headers["x-ms-client-request-id"] = web.headers.get("x-ms-client-request-id", "")
        for name, value in response.headers.items():
            headers[name.lower()] = value
        if response.retry_after_s is not None:
            headers |= retry_after(self.sandbox.clock.real(response.retry_after_s))
        if response.body is None:
            raw = b""
        elif isinstance(response.body, bytes):
            raw = response.body
        else:
            raw = json.dumps(response.body, separators=(",", ":")).encode()
            headers.setdefault("content-type", "application/json; charset=utf-8")
        headers.setdefault("content-length", str(len(raw)))
        if web.method == "HEAD":
            raw = b""
        encoded = [
            (name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": encoded})
        await send({"type": "http.response.body", "body": raw})


def retry_after(real_s: float) -> dict[str, str]:
    """The header for a wait in real seconds: whole ones, or below one Azure's header in milliseconds.

    A fraction in Retry-After breaks clients that read an integer, and 0 means 30 s to the SDKs.
    """
    if real_s >= 1:
        return {"retry-after": str(math.ceil(real_s))}
    return {"x-ms-retry-after-ms": str(max(1, round(real_s * 1000)))}


def _ordered(fault: Json, path: str) -> Response:
    """The answer that a fault puts in the place of handling."""
    status = int(fault["status"])
    headers = {str(name): str(value) for name, value in fault.get("headers", {}).items()}
    if "raw_body" in fault:
        return Response(
            status, str(fault["raw_body"]).encode(), headers={"content-type": "text/html", **headers}
        )
    error = ArmError(
        status,
        str(fault.get("code", "InternalServerError")),
        filled(str(fault.get("message", "An ordered fault.")), path),
        target=fault.get("target"),
        details=fault.get("details"),
        bare=bool(fault.get("bare")),
    )
    return Response(status, error.body(), headers=headers, retry_after_s=fault.get("retry_after_s"))


def _json_or_none(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return read_json(raw)
    except ValueError:
        return None


async def _read(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        chunk: bytes = message.get("body", b"")
        size, more = size + len(chunk), message.get("more_body", False)
        if size <= MAX_BODY:
            chunks.append(chunk)
        else:  # Read to its end, so that the answer gets through, but not kept.
            chunks = chunks[:1] if size - len(chunk) > MAX_BODY else [b" " * (MAX_BODY + 1)]
    return b"".join(chunks)
