"""A cluster's Kubernetes API, reached with credentials that live in memory only.

`kubernetes.aio` carries the requests; objects stay JSON, as the operator's manifest holds kinds of its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import os
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from aks_postgres.arm import clock
from aks_postgres.arm.client import Azure
from aks_postgres.arm.credentials import token_for
from aks_postgres.arm.errors import LastingState
from aks_postgres.arm.gate import Gate, GatedRequest, Write
from aks_postgres.arm.poll import NotInTime, poll
from aks_postgres.arm.response_checks import read_bounded
from aks_postgres.arm.responses import ArmFault, Json, Turned, clean, no_number, unreadable
from aks_postgres.arm.retry import refusal, send, with_retries
from aks_postgres.arm.way_to_azure import fault_on_the_way
from aks_postgres.errors import ProvisioningError
from aks_postgres.files.yaml_text import yaml_documents
from aks_postgres.foreign_text import keep_secret
from aks_postgres.kubernetes.lasting import lasting_state
from aks_postgres.limits import limits
from aks_postgres.reports.journal import journal

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiClient

T = TypeVar("T")

# One field manager for ever: a second one would conflict with the first on the webhook configurations.
FIELD_MANAGER = "aks-postgres"
_WEBSOCKET_TIMEOUT = aiohttp.ClientWSTimeout(ws_close=2)
# Real seconds: no wait is given up before.
_SHORTEST_WAIT_S = 3
# Real seconds: nor one for PostgreSQL itself, which no sandbox's clock makes faster.
DATABASE_S = 240
# Azure seconds: AKS takes one read of a cluster a second, and a wait for the API server lasts ten minutes.
_LOOKS_AT_CLUSTER_S = 60
# AKS's server application, the same in every tenant: https://learn.microsoft.com/azure/aks/kubelogin-authentication
_AKS_SERVER_APPLICATION = "6dae42f8-4368-4678-94ff-3960e28e3630"


class KubernetesApi:
    """Requests to one cluster; `with_retries` repeats what passes: webhook or tunnel down, server busy."""

    def __init__(
        self, azure: Azure, client: ApiClient, resource_group: str, cluster: str, *, by_entra: bool = False
    ) -> None:
        self.azure = azure
        self._client = client
        self._key = (resource_group, cluster)
        self._lasting: LastingState | None = None
        self._looked_s = -math.inf
        self._look = asyncio.Lock()
        self._by_entra = by_entra
        self._plurals: dict[str, dict[str, tuple[str, bool]]] = {}
        self._discovery = asyncio.Lock()
        self.label = f"Kubernetes API of {cluster}"
        self.host = str(client.configuration.host)
        # What its clock said in the last answer; None where it didn't say.
        self.time: datetime | None = None

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        **query: str,
    ) -> Json:
        """One request, once.

        Raises:
            ArmFault: with the Status object's reason as code, or `NotReachable` and `NoAnswer` for the
                network's failures.
            LastingState: it can't be reached, as the cluster is stopped or has lost its nodes.
        """
        url = f"{self.host}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Content-Type": content_type}
        timeout = aiohttp.ClientTimeout(
            total=limits.kubernetes_request_s, connect=limits.kubernetes_connect_s
        )
        began_s = time.monotonic()
        try:
            async with _through_the_gate(self.azure.gate, method, path, headers):
                await self._sign_in(headers)
                response = await self._client.call_api(method, url, headers, body, _request_timeout=timeout)
                if response.status == 401 and self._by_entra:
                    # The token's life is over: once more with a new one.
                    response.response.release()
                    await self.azure.credential.renew()
                    await self._sign_in(headers)
                    response = await self._client.call_api(
                        method, url, headers, body, _request_timeout=timeout
                    )
                data = await read_bounded(response.response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            if fault := fault_on_the_way(error):
                raise fault from None
            await self._refuse_lasting()
            raise ArmFault(
                None, "NotReachable", clean(f"{type(error).__name__} {error}"), reached=False
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise fault_on_the_way(error) or ArmFault(
                None, "NoAnswer", clean(f"{type(error).__name__} {error}")
            ) from None
        try:
            found = json.loads(data, parse_constant=no_number)
        except (ValueError, RecursionError):
            found = None
        if self.azure.recording:
            self.azure.recording.kubernetes(
                method, url, began_s, body, response.status, response.headers, found
            )
        if response.status < 400 and not isinstance(found, dict):
            # Such as a proxy's page: as good as no answer.
            message = f"status {response.status} with a body that is no JSON object"
            raise ArmFault(None, "UnreadableAnswer", message)
        self.time = _date_of(response.headers.get("Date"))
        found = found if isinstance(found, dict) else {}
        if response.status < 400:
            return found
        if found.get("kind") != "Status" and _is_somebody_elses(response.status, data):
            message = f"status {response.status} without the API server's words"
            # Without its status: a 404 of somebody else's doesn't say that an object isn't there.
            raise ArmFault(None, "NotKubernetes", message)
        raise ArmFault(
            response.status,
            clean(str(found.get("reason") or f"HTTP{response.status}")),
            clean(str(found.get("message") or data[:200])),
        )

    async def _refuse_lasting(self) -> None:
        """Look, now and then, whether what is waited for can't come; whoever may not look waits.

        Raises:
            LastingState: the cluster was stopped, or has lost its nodes.
        """
        async with self._look:  # requests side by side look once
            if self._lasting is None and clock.now_s() - self._looked_s > _LOOKS_AT_CLUSTER_S:
                with suppress(ArmFault, ProvisioningError):
                    self._lasting = await lasting_state(self.azure, *self._key)
                self._looked_s = clock.now_s()
        if self._lasting is not None:
            raise self._lasting from None

    async def _sign_in(self, headers: dict[str, str]) -> None:
        if self._by_entra:
            token: str | None = f"Bearer {await _entra_token(self.azure)}"
        else:
            token = await self._client.configuration.get_api_key_with_prefix("BearerToken")
        if token:
            headers["Authorization"] = token

    @asynccontextmanager
    async def websocket(
        self, path: str, protocol: str, **query: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a stream to a pod; not for what changes the cluster, which passes the gate."""
        url = f"{self.host}{path}?{urlencode(query)}"
        headers: dict[str, str] = {}
        await self._sign_in(headers)
        rest = self._client.rest_client
        if rest.pool_manager is None:
            await self.request("GET", "/version")  # makes it
        session: Any = rest.pool_manager
        connect = partial(
            session.ws_connect, url, protocols=(protocol,), proxy=rest.proxy, timeout=_WEBSOCKET_TIMEOUT
        )
        try:
            socket = await connect(headers=headers)
        except aiohttp.WSServerHandshakeError as refused:
            if refused.status != 401 or not self._by_entra:
                raise
            # The token's life is over: once more with a new one.
            await self.azure.credential.renew()
            await self._sign_in(headers)
            socket = await connect(headers=headers)
        try:
            yield socket
        finally:
            await socket.close()

    async def get(self, path: str, **query: str) -> Json | None:
        """Read an object, with retries; None when it isn't there."""

        async def attempt() -> Json | None:
            try:
                found = await self.request("GET", path, **query)
            except ArmFault as fault:
                if fault.status == 404:
                    return None
                raise
            if problem := object_problem(found, path):
                raise unreadable(problem)
            return found

        return await with_retries(f"{self.label}, GET {path}", attempt)

    async def list_of(self, path: str, kind: str, **query: str) -> list[Json] | None:
        """Read all pages of a list, with retries; None when the API server doesn't know the kind.

        Args:
            path: of the list.
            kind: of its objects, such as `Pod`.
            query: selectors.
        """

        async def attempt() -> list[Json] | None:
            found: list[Json] = []
            turned, page_of = Turned(), query
            while True:
                try:
                    page = await self.request("GET", path, **page_of)
                except ArmFault as fault:
                    if page_of is not query and fault.status in (404, 410):
                        # https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
                        raise unreadable(f"the list changed while its pages were read ({fault})") from None
                    if fault.status == 404:
                        return None
                    raise
                if problem := list_problem(page, path, kind):
                    raise unreadable(problem)
                found += page["items"]
                token = (page.get("metadata") or {}).get("continue")
                if not token:
                    return found
                turned.to(token)
                page_of = {**query, "continue": token}

        return await with_retries(f"{self.label}, GET {path}", attempt)

    async def write(self, label: str, call: Callable[[], Awaitable[Json]]) -> Json:
        """Run a write with retries, unless this run only reads; a plan takes it for done."""
        if not self.azure.gate.lets(f"{label}: would be written"):
            return {}
        return await with_retries(label, call)

    async def create(self, path: str, body: Json) -> Json:
        """POST an object; one that exists already is fine and is returned as it is."""
        name = body["metadata"]["name"]

        async def attempt() -> Json:
            try:
                return await self.request("POST", path, body, fieldManager=FIELD_MANAGER)
            except ArmFault as fault:
                if fault.code != "AlreadyExists":
                    raise
                if live := await self.get(f"{path}/{name}"):
                    return live
                # It was being deleted, and has gone since.
                raise unreadable(f"it is refused as there already, and isn't there: {fault}") from None

        return await self.write(f"{body['kind']} {name}", attempt)

    async def delete(self, label: str, path: str) -> None:
        """Delete an object; one that isn't there is fine."""

        async def attempt() -> Json:
            try:
                return await self.request("DELETE", path)
            except ArmFault as fault:
                if fault.status == 404:
                    return {}
                raise

        await self.write(label, attempt)

    async def merge(self, label: str, path: str, body: Json, *, field_manager: str = FIELD_MANAGER) -> None:
        """Set these fields of an object that is there, and no others."""

        async def attempt() -> Json:
            return await self.request(
                "PATCH",
                path,
                body,
                content_type="application/merge-patch+json",
                fieldManager=field_manager,
            )

        await self.write(label, attempt)

    async def apply(self, body: Json, live: Json | None) -> Json:
        """Apply an object on the server's side, once, taking over the fields that it sets.

        Args:
            body: the object.
            live: as it was read; if it has changed since, the API server refuses (409 Conflict).
        """
        if live is not None:
            version = (live.get("metadata") or {}).get("resourceVersion")
            body = {**body, "metadata": {**body["metadata"], "resourceVersion": version}}
        return await self.request(
            "PATCH",
            await self.path_of(body),
            body,
            content_type="application/apply-patch+yaml",
            fieldManager=FIELD_MANAGER,
            force="true",
        )

    async def path_of(self, body: Json) -> str:
        """Return where an object lives, by the API server's own list of its types."""
        version = body["apiVersion"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        async with self._discovery:  # objects applied side by side ask once
            if body["kind"] not in self._plurals.get(version, {}):
                self._plurals[version] = await self._types(base)
        if body["kind"] not in self._plurals[version]:
            unknown = ArmFault(404, "KindUnknown", f"the API server knows no {body['kind']} in {version}")
            raise refusal(self.label, unknown)
        plural, is_namespaced = self._plurals[version][body["kind"]]
        metadata = body["metadata"]
        namespace = f"/namespaces/{metadata.get('namespace', 'default')}" if is_namespaced else ""
        return f"{base}{namespace}/{plural}/{metadata['name']}"

    async def _types(self, base: str) -> dict[str, tuple[str, bool]]:
        """The types of a version of an API group: plural and whether it is namespaced, by kind."""

        async def attempt() -> dict[str, tuple[str, bool]]:
            try:
                found = await self.request("GET", base)
            except ArmFault as fault:
                if fault.status == 404:
                    return {}
                raise
            try:
                return {
                    str(item["kind"]): (str(item["name"]), bool(item["namespaced"]))
                    for item in found["resources"]
                    if "/" not in item["name"]
                }
            except (LookupError, TypeError):
                raise unreadable("it isn't a list of types") from None

        return await with_retries(f"{self.label}, GET {base}", attempt)

    async def settle(
        self,
        label: str,
        look: Callable[[], Awaitable[T | None]],
        *,
        deadline_s: float,
        real_s: float = _SHORTEST_WAIT_S,
    ) -> T | None:
        """Wait, as `wait` does, for what a write brings about; a plan has sent none, and waits for nothing.

        Raises:
            TimeoutError: as `wait` does.
        """
        if self.azure.gate.plans:
            return None
        return await self.wait(label, look, deadline_s=deadline_s, real_s=real_s)

    async def wait(
        self,
        label: str,
        look: Callable[[], Awaitable[T | None]],
        *,
        deadline_s: float,
        real_s: float = _SHORTEST_WAIT_S,
    ) -> T:
        """Look every few seconds until there is something.

        Args:
            label: what is waited for, for the journal.
            look: returns None while it isn't so.
            deadline_s: Azure seconds.
            real_s: real seconds that it is waited for at least.

        Raises:
            LastingState: it takes longer than usual, and the cluster was stopped or has lost its nodes.
            TimeoutError: with the label; the caller says what that means.
        """
        began_s = clock.now_s()
        asks_s = max(_LOOKS_AT_CLUSTER_S, deadline_s / 4)

        async def look_at_both() -> T | None:
            nonlocal asks_s
            found = await look()
            elapsed_s = clock.now_s() - began_s
            if found is None and elapsed_s > asks_s:
                # A sandbox that runs a thousand times as fast would be asked with every look.
                asks_s = max(elapsed_s + _LOOKS_AT_CLUSTER_S, 1.25 * elapsed_s)
                await self._refuse_lasting()
            return found

        try:
            return await poll(
                look_at_both,
                every_s=3,
                # A sandbox that runs a thousand times as fast is no faster at answering.
                deadline_s=max(deadline_s, real_s * clock.time_scale()),
                waiting=lambda elapsed_s: journal().waiting(
                    label, elapsed_s=elapsed_s, expected_s=deadline_s / 4
                ),
            )
        except NotInTime as late:
            await self._refuse_lasting()
            raise TimeoutError(f"{label}: {late}") from None


# A POST that changes nothing: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
_TOKEN_REQUEST = re.compile(r"/api/v1/namespaces/[^/]+/serviceaccounts/[^/]+/token")


@asynccontextmanager
async def _through_the_gate(
    gate: Gate, method: str, path: str, headers: dict[str, str]
) -> AsyncIterator[None]:
    """Let a read pass; let a write pass as the gate says, with an ID that the API server's audit log shows."""
    if method == "GET" or (method == "POST" and _TOKEN_REQUEST.fullmatch(path)):
        yield
        return
    headers["Audit-ID"] = str(uuid.uuid4())
    async with gate.opened(Write(method, path), headers["Audit-ID"]):
        yield


def _is_somebody_elses(status: int, data: bytes) -> bool:
    """Return whether an error without a Status object is a proxy's or a gateway's, and says nothing of the cluster.

    Below 500 the API server sends one with every error, but for a path that it has nothing at: Go's own line of text
    (https://pkg.go.dev/net/http#NotFound). Whatever else passes by itself is left to its status.
    """
    return status not in (408, 429) and status < 500 and data.strip() != b"404 page not found"


def _date_of(header: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(header or "").astimezone(UTC)
    except ValueError:
        return None


def object_problem(found: Json, path: str) -> str:
    """Return what is wrong with the answer to a read of one object; empty if nothing is."""
    *above, plural, name = unquote(path).strip("/").split("/")
    metadata, kind = found.get("metadata"), str(found.get("kind") or "not said")
    if (
        not isinstance(metadata, dict)
        or metadata.get("name") != name
        # All but the ending: a Policy is one of the policies.
        or not plural.casefold().startswith(kind.casefold()[:-1])
        or _is_elsewhere(metadata, [*above, plural, name])
    ):
        return f"a JSON object that isn't {name}: its kind is {clean(kind)}"
    return _metadata_problem(found) or _parts_problem(found)


def list_problem(page: Json, path: str, kind: str) -> str:
    """Return what is wrong with a page of a list; empty if nothing is.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#collections

    Args:
        page: the answer.
        path: that was asked for.
        kind: of the objects wanted.
    """
    parts = path.strip("/").split("/")
    version = parts[1] if parts[0] == "api" else "/".join(parts[1:3])
    said = clean(f"{page.get('apiVersion') or 'no version'} {page.get('kind') or 'no kind'}")
    if (page.get("apiVersion"), page.get("kind")) != (version, f"{kind}List"):
        return f"it says that it is {said}, not {version} {kind}List"
    items, metadata = page.get("items"), page.get("metadata")
    if not isinstance(items, list):
        return f"the {kind}List has no array of items"
    if not isinstance(metadata, dict | None):
        return f"the metadata of the {kind}List is no JSON object"
    token, left = (metadata or {}).get("continue"), (metadata or {}).get("remainingItemCount")
    if not isinstance(token, str | None) or not isinstance(left, int | None) or (left and not token):
        return f"the {kind}List says that it goes on, and not where"
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("metadata"), dict):
            return f"the {kind}List holds something that is no object of Kubernetes'"
        if item.get("kind", kind) != kind or item.get("apiVersion", version) != version:
            return f"the {kind}List holds an object of another kind"
        if _is_elsewhere(item["metadata"], parts):
            return f"the {kind}List holds an object of another namespace"
        if problem := _metadata_problem(item) or _parts_problem(item):
            return f"the {kind}List holds {problem}"
    return ""


def _is_elsewhere(metadata: Json, parts: list[str]) -> bool:
    """Return whether an object is in another namespace than the path that was asked for, in its parts."""
    if "namespaces" not in parts[:-2]:
        return False
    return metadata.get("namespace") != parts[parts.index("namespaces") + 1]


def _metadata_problem(item: Json) -> str:
    metadata = item["metadata"]
    if not isinstance(metadata.get("name"), str) or not metadata["name"]:
        return "an object without a name"
    if not isinstance(metadata.get("namespace"), str | None):
        return "an object whose namespace is no text"
    for field in ("labels", "annotations"):
        values = metadata.get(field)
        if not isinstance(values, dict | None) or not all(
            isinstance(v, str) for v in (values or {}).values()
        ):
            return f"an object whose {field} aren't texts"
    return ""


def _parts_problem(item: Json) -> str:
    """Return what is wrong with spec and status; their insides are up to whoever reads them."""
    for part in ("spec", "status"):
        if not isinstance(item.get(part), dict | None):
            return f"an object whose {part} is no JSON object"
    conditions = (item.get("status") or {}).get("conditions")
    if not isinstance(conditions, list | None) or not all(
        isinstance(condition, dict)
        and isinstance(condition.get("type"), str)
        and isinstance(condition.get("status"), str)
        for condition in conditions or []
    ):
        return "an object whose conditions aren't conditions"
    return ""


async def kubeconfig_of(azure: Azure, resource_group: str, cluster: str) -> bytes:
    """The cluster user's kubeconfig. Secret: use it where it is asked for, and drop it.

    A run fetches it once: AKS takes one such request a second, of all clusters of a subscription together.

    Guide: az aks get-credentials. REST: managedClusters/listClusterUserCredential.
    """
    known = azure.kubeconfigs
    key = (resource_group, cluster)
    if key in known:
        return known[key]
    operation = azure.container_service.managed_clusters.list_cluster_user_credentials

    async def attempt() -> bytes:
        # The format is that of a cluster with Entra; for others it means nothing.
        answer = await send(operation, resource_group, cluster, format="exec")
        try:
            found = base64.b64decode(answer.body["kubeconfigs"][0]["value"])
            *_, user = _connection(found)
        except (LookupError, TypeError, ValueError, AttributeError, StopIteration):
            # Nothing of it is told.
            raise unreadable("it holds no kubeconfig") from None
        for name in ("token", "password", "client-key-data"):
            keep_secret(user.get(name))
        keep_secret(base64.b64decode(str(user.get("client-key-data") or "")))
        return found

    known[key] = await with_retries(f"AKS cluster {cluster}, credentials", attempt)
    return known[key]


async def kubeconfig_with_token(azure: Azure, resource_group: str, cluster: str) -> bytes:
    """The same for a program that can't sign in: of a cluster with Entra, a token stands in kubelogin's place."""
    found = await kubeconfig_of(azure, resource_group, cluster)
    *_, user = _connection(found)
    if not _is_by_entra(user):
        return found
    (config,) = yaml_documents(found)
    for entry in config["users"]:
        entry["user"] = {"token": await _entra_token(azure)}
    return json.dumps(config).encode()


async def _entra_token(azure: Azure) -> str:
    """What lets the run's own identity into a cluster with Microsoft Entra ID, as far as its Azure roles reach."""
    return await token_for(azure.credential, _AKS_SERVER_APPLICATION, "AKS's server application")


def _is_by_entra(user: Json) -> bool:
    return isinstance(user.get("exec"), dict)


def _connection(kubeconfig: bytes) -> tuple[str, str, Json]:
    """Server, its certificate authority and the user of a kubeconfig's current context.

    Raises:
        LookupError, TypeError, ValueError, AttributeError, StopIteration: it is none.
    """
    (config,) = yaml_documents(kubeconfig)
    context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
    server = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
    user: Json = next(u["user"] for u in config["users"] if u["name"] == context["user"])
    host = str(server["server"]).rstrip("/")
    if urlsplit(host).scheme != "https" or not isinstance(user.get("token"), str | None):
        raise ValueError("no https server, or no text as token")
    authority = base64.b64decode(server["certificate-authority-data"]).decode()
    base64.b64decode(str(user.get("client-certificate-data") or ""))
    base64.b64decode(str(user.get("client-key-data") or ""))
    return host, authority, user


@asynccontextmanager
async def kubernetes_api(azure: Azure, resource_group: str, cluster: str) -> AsyncIterator[KubernetesApi]:
    """Connect to a cluster; nothing secret leaves this block."""
    # Its import takes 0.15 s, which a run has while the cluster is being created.
    from kubernetes.aio.client import ApiClient, Configuration

    host, authority, user = _connection(await kubeconfig_of(azure, resource_group, cluster))
    configuration = Configuration(
        host=host,
        ca_cert_data=authority,
        api_key={"BearerToken": f"Bearer {user['token']}"} if user.get("token") else None,
    )
    configuration.proxy = proxy_for(configuration.host)
    with _certificate_files(user) as (certificate, key):
        configuration.cert_file, configuration.key_file = certificate, key
        # Looked for with getattr by the client; its session makes every request from this class.
        configuration.client_session_kwargs = {
            "request_class": GatedRequest,
            "trace_configs": [_no_redirects()],
        }
        client = ApiClient(configuration)
    try:
        yield KubernetesApi(azure, client, resource_group, cluster, by_entra=_is_by_entra(user))
    except Exception:
        # Whatever it was, the next attempt begins with credentials as Azure gives them then.
        azure.kubeconfigs.pop((resource_group, cluster), None)
        raise
    finally:
        await client.close()  # type: ignore[no-untyped-call]


def _no_redirects() -> aiohttp.TraceConfig:
    """Lets no answer send a request elsewhere: its body goes along, and with a Secret's a password."""

    async def refuse(_session: object, _context: object, params: aiohttp.TraceRequestRedirectParams) -> None:
        host = urlsplit(params.response.headers.get("Location", "")).hostname or "itself"
        raise ArmFault(None, "NotKubernetes", clean(f"status {params.response.status}, a redirect to {host}"))

    config = aiohttp.TraceConfig()
    config.on_request_redirect.append(refuse)
    return config


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for this URL, if any."""
    host = urlsplit(url).hostname or ""
    return None if proxy_bypass(host) else getproxies().get("https")


class _certificate_files:
    """Client certificate and key as files that exist in memory only (ssl takes paths, nothing else)."""

    def __init__(self, user: Json) -> None:
        self._data = [user.get("client-certificate-data"), user.get("client-key-data")]
        self._files: list[int] = []

    def __enter__(self) -> tuple[str | None, str | None]:
        if not all(self._data):
            return None, None
        for name, data in zip(("certificate", "key"), self._data, strict=True):
            file = os.memfd_create(name, os.MFD_CLOEXEC)
            os.write(file, base64.b64decode(str(data)))
            self._files.append(file)
        certificate, key = (f"/proc/self/fd/{file}" for file in self._files)
        return certificate, key

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            with suppress(OSError):
                os.close(file)
