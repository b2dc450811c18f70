"""A cluster's Kubernetes API, reached with credentials that live in memory only.

`kubernetes.aio` carries the requests; objects stay JSON, as the operator's manifest holds kinds of its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import yaml

from cloud import clock
from cloud.answers import ArmFault, Json, clean
from cloud.calls import persistently, refusal, send
from cloud.errors import WouldWrite
from cloud.session import cloud
from environment.journal import journal

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiClient

T = TypeVar("T")

# One field manager for ever: a second one would conflict with the first on the webhook configurations.
FIELD_MANAGER = "aks-postgres"
_REQUEST_TIMEOUT_S = 30
# Real seconds: packets from outside the authorized ranges are dropped, so this is how long "no" takes.
_CONNECT_TIMEOUT_S = 5
# Real seconds: no wait is given up before.
_SHORTEST_WAIT_S = 3


class KubernetesApi:
    """Requests to one cluster; `persistently` repeats what passes: webhook or tunnel down, server busy."""

    def __init__(self, client: ApiClient, cluster: str) -> None:
        self._client = client
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
        """
        url = f"{self.host}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Content-Type": content_type}
        authorization = await self._client.configuration.get_api_key_with_prefix("BearerToken")
        if authorization:
            headers["Authorization"] = authorization
        timeout = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
        try:
            response = await self._client.call_api(method, url, headers, body, _request_timeout=timeout)
            data = await response.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ArmFault(
                None, "NotReachable", clean(f"{type(error).__name__} {error}"), reached=False
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ArmFault(None, "NoAnswer", clean(f"{type(error).__name__} {error}")) from None
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if response.status < 400 and not isinstance(found, dict):
            # Such as a proxy's page: as good as no answer.
            message = f"status {response.status} with a body that is no JSON object"
            raise ArmFault(None, "UnreadableAnswer", message)
        self.time = _date_of(response.headers.get("Date"))
        found = found if isinstance(found, dict) else {}
        if response.status < 400:
            return found
        raise ArmFault(
            response.status,
            str(found.get("reason") or f"HTTP{response.status}"),
            clean(str(found.get("message") or data[:200])),
        )

    async def get(self, path: str, **query: str) -> Json | None:
        """Read an object or a list, persistently; None when it isn't there."""

        async def attempt() -> Json | None:
            try:
                return await self.request("GET", path, **query)
            except ArmFault as fault:
                if fault.status == 404:
                    return None
                raise

        return await persistently(f"{self.label}, GET {path}", attempt)

    async def write(self, label: str, call: Callable[[], Awaitable[Json]]) -> Json:
        """Run a write persistently, unless this run only reads; a plan takes it for done."""
        if cloud().planning:
            return {}
        if cloud().read_only:
            raise WouldWrite(f"{label}: would be written")
        await cloud().about_to_write()
        return await persistently(label, call)

    async def create(self, path: str, body: Json) -> Json:
        """POST an object; one that exists already is fine and is returned as it is."""
        name = body["metadata"]["name"]

        async def attempt() -> Json:
            while True:
                try:
                    return await self.request("POST", path, body, fieldManager=FIELD_MANAGER)
                except ArmFault as fault:
                    if fault.code != "AlreadyExists":
                        raise
                if live := await self.get(f"{path}/{name}"):
                    return live
                # It was being deleted, and has gone since.

        return await self.write(f"{body['kind']} {name}", attempt)

    async def apply(self, body: Json) -> Json:
        """Apply an object on the server's side, taking over the fields that it sets."""
        path = await self.path_of(body)
        label = f"{body['kind']} {body['metadata']['name']}"
        return await self.write(
            label,
            lambda: self.request(
                "PATCH",
                path,
                body,
                content_type="application/apply-patch+yaml",
                fieldManager=FIELD_MANAGER,
                force="true",
            ),
        )

    async def path_of(self, body: Json) -> str:
        """Where an object lives, by the API server's own list of its types."""
        version = body["apiVersion"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        async with self._discovery:  # objects applied side by side ask once
            if body["kind"] not in self._plurals.get(version, {}):
                found = await self.get(base) or {}
                self._plurals[version] = {
                    item["kind"]: (item["name"], item["namespaced"])
                    for item in found.get("resources", [])
                    if "/" not in item["name"]
                }
        if body["kind"] not in self._plurals[version]:
            unknown = ArmFault(404, "NotFound", f"the API server knows no {body['kind']} in {version}")
            raise refusal(self.label, unknown)
        plural, is_namespaced = self._plurals[version][body["kind"]]
        metadata = body["metadata"]
        namespace = f"/namespaces/{metadata.get('namespace', 'default')}" if is_namespaced else ""
        return f"{base}{namespace}/{plural}/{metadata['name']}"

    async def wait(self, label: str, look: Callable[[], Awaitable[T | None]], *, deadline_s: float) -> T:
        """Look every few seconds until there is something.

        Args:
            label: what is waited for, for the journal.
            look: returns None while it isn't so.
            deadline_s: Azure seconds.

        Raises:
            TimeoutError: with the label; the caller says what that means.
        """
        started_s = clock.now_s()
        # A sandbox that runs a thousand times as fast is no faster at answering.
        deadline_s = max(deadline_s, _SHORTEST_WAIT_S * clock.time_scale())
        while (found := await look()) is None:
            elapsed_s = clock.now_s() - started_s
            if elapsed_s > deadline_s:
                raise TimeoutError(f"{label}: not so after {clock.minutes(elapsed_s)}")
            journal().waiting(label, elapsed_s=elapsed_s, expected_s=deadline_s / 4)
            await clock.sleep(3)
        return found


def _date_of(header: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(header or "").astimezone(UTC)
    except ValueError:
        return None


async def kubeconfig_of(resource_group: str, cluster: str) -> bytes:
    """The cluster user's kubeconfig. Secret: use it where it is asked for, and drop it.

    A run fetches it once: AKS takes one such request a second, of all clusters of a subscription together.

    Guide: az aks get-credentials. REST: managedClusters/listClusterUserCredential.
    """
    known = cloud().kubeconfigs
    key = (resource_group, cluster)
    if key in known:
        return known[key]
    operation = cloud().container_service.managed_clusters.list_cluster_user_credentials

    async def attempt() -> bytes:
        answer = await send(operation, resource_group, cluster)
        return base64.b64decode(answer.body["kubeconfigs"][0]["value"])

    known[key] = await persistently(f"AKS cluster {cluster}, credentials", attempt)
    return known[key]


@asynccontextmanager
async def kubernetes_api(resource_group: str, cluster: str) -> AsyncIterator[KubernetesApi]:
    """Connect to a cluster; nothing secret leaves this block."""
    # Its import takes 0.15 s, which a run has while the cluster is being created.
    from kubernetes.aio.client import ApiClient, Configuration

    config = yaml.safe_load(await kubeconfig_of(resource_group, cluster))
    context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
    server = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
    user = next(u["user"] for u in config["users"] if u["name"] == context["user"])
    configuration = Configuration(
        host=server["server"].rstrip("/"),
        ca_cert_data=base64.b64decode(server["certificate-authority-data"]).decode(),
        api_key={"BearerToken": f"Bearer {user['token']}"} if user.get("token") else None,
    )
    configuration.proxy = proxy_for(configuration.host)
    with _certificate_files(user) as (certificate, key):
        configuration.cert_file, configuration.key_file = certificate, key
        client = ApiClient(configuration)
    try:
        yield KubernetesApi(client, cluster)
    except Exception:
        # Whatever it was, the next attempt begins with credentials as Azure gives them then.
        cloud().kubeconfigs.pop((resource_group, cluster), None)
        raise
    finally:
        await client.close()  # type: ignore[no-untyped-call]


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
