"""The backup container as the database's pods see it: with a token of their service account, exchanged at Entra.

https://learn.microsoft.com/entra/workload-id/workload-identity-federation,
https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

import json
import os
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlencode, urlsplit

import aiohttp

from aks_postgres.arm.errors import LastingState, NotEffectiveYet
from aks_postgres.arm.gate import Write
from aks_postgres.arm.poll import NotInTime, poll
from aks_postgres.arm.response_checks import read_bounded
from aks_postgres.arm.responses import ArmFault, clean
from aks_postgres.arm.retry import with_retries
from aks_postgres.arm.way_to_azure import fault_on_the_way
from aks_postgres.database.objects import AUDIENCE
from aks_postgres.errors import TemporaryError
from aks_postgres.foreign_text import keep_secret
from aks_postgres.kubernetes.client import KubernetesApi
from aks_postgres.reports.journal import journal
from aks_postgres.reports.outputs import CheckedTarget, FederatedCredentialOutputs, StorageAccountOutputs
from aks_postgres.spec.clouds import STORAGE_AUDIENCE
from aks_postgres.spec.environment import EnvironmentSpec

_API_VERSION = "2023-11-03"
# Real seconds for one request.
_TIMEOUT_S = 30
# A new federated credential takes some seconds to be known everywhere
# (https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations), a role up to ten minutes
# (https://learn.microsoft.com/azure/role-based-access-control/troubleshooting).
_CREDENTIAL_WITHIN_S = 120
_ROLE_WITHIN_S = 600
_SHORTEST_TOKEN_S = 600
# Blobs of one archive that are looked through for a name.
_MOST_PAGES = 50


@dataclass(frozen=True)
class Blob:
    """A blob of the archive: its name in the container, and bytes."""

    name: str
    size: int


class BackupBlobs:
    """Requests to the backup container in the name of the database's service account; nothing secret leaves it."""

    def __init__(
        self,
        api: KubernetesApi,
        spec: EnvironmentSpec,
        target: CheckedTarget,
        client_id: str,
        account: StorageAccountOutputs,
    ) -> None:
        self._api = api
        self._namespace = spec.namespaces.database
        self._account_name = target.names.postgres_cluster
        self._tenant = target.tenant_id
        self._client_id = client_id
        self._url = f"{account.blob_endpoint.rstrip('/')}/{spec.storage.container}"
        self._label = f"backups of {target.names.postgres_cluster}"
        self._token = ""

    async def prove_access(self, credential: FederatedCredentialOutputs) -> list[str]:
        """Get a token as a pod does, and write and delete a blob with it.

        Raises:
            LastingState: what is refused, and won't come right by waiting.
            NotEffectiveYet: not granted in time.
        """

        async def exchanged() -> None:
            await self._sign_in()

        mismatch = (
            f"Compare: the pods' tokens come from {credential.issuer} for {credential.subject}, and the federated "
            f"credential {credential.name} has to say the same (az identity federated-credential show). Then run again."
        )
        await self._granted(exchanged, "invalid_client", _CREDENTIAL_WITHIN_S, mismatch)
        name = f".probe/{self._account_name}/{uuid.uuid4().hex[:12]}"

        async def written() -> None:
            await self._send("PUT", name, {"x-ms-blob-type": "BlockBlob"})

        missing = (
            "The identity needs Storage Blob Data Contributor on the storage account, and the account has to let this "
            "worker's and the cluster's addresses through (az storage account network-rule list). Then run again."
        )
        await self._granted(written, "AuthorizationPermissionMismatch", _ROLE_WITHIN_S, missing)
        try:
            await self._send("DELETE", name, {})
        except ArmFault as fault:
            # A policy that keeps every blob keeps this one as well; it is empty, and in nobody's way.
            journal().note(f"{self._label}: the probe {name} stays: {fault}")
        return [
            f"{credential.subject} is taken by Microsoft Entra ID",
            f"and writes and deletes blobs in {self._url}",
        ]

    async def refuse_used(self, lineage: str) -> None:
        """See that nobody has archived under this name yet.

        Raises:
            LastingState: somebody has; the operator would refuse to archive there.
        """
        if found := await self.blobs(f"{lineage}/", most=1):
            raise LastingState(
                f"archive {lineage}:",
                f"it holds backups already, such as {found[0].name}, and no Postgres cluster of this generation is "
                "there that made them",
                "A name is archived under once: what is there may be the only backup of an earlier cluster. Set "
                "database.name to another name, or rebuild for the next generation; then run again.",
            )

    async def blobs(self, prefix: str, *, most: int | None = None) -> list[Blob]:
        """The blobs whose names begin so.

        Args:
            prefix: of the name in the container.
            most: stop after as many.
        """
        if not self._token:
            await with_retries(self._label, self._sign_in)
        found: list[Blob] = []
        marker = ""
        for _ in range(_MOST_PAGES):
            query = {"restype": "container", "comp": "list", "prefix": prefix, "marker": marker}
            text = await with_retries(self._label, partial(self._send, "GET", "", {}, **query))
            try:
                page = ElementTree.fromstring(text.removeprefix("\ufeff"))
            except ElementTree.ParseError:
                raise NotEffectiveYet(f"{self._label}: the list of blobs can't be read. Run again.") from None
            for blob in page.iter("Blob"):
                size = blob.findtext("Properties/Content-Length") or "0"
                found.append(Blob(blob.findtext("Name") or "", int(size) if size.isdigit() else 0))
            marker = page.findtext("NextMarker") or ""
            if not marker or (most is not None and len(found) >= most):
                break
        return found

    async def _sign_in(self) -> None:
        """A token of the service account, and one of the identity for it."""
        path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{self._account_name}/token"
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [AUDIENCE], "expirationSeconds": _SHORTEST_TOKEN_S},
        }

        async def requested() -> str:
            found = await self._api.request("POST", path, body)
            token = (found.get("status") or {}).get("token")
            if not isinstance(token, str) or not token:
                raise ArmFault(None, "UnreadableAnswer", "the answer to a TokenRequest holds no token")
            keep_secret(token)
            return token

        assertion = await requested()
        authority = (os.environ.get("AZURE_AUTHORITY_HOST") or self._api.azure.facts.login).rstrip("/")
        form = {
            "client_id": self._client_id,
            "client_assertion": assertion,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "grant_type": "client_credentials",
            "scope": f"{STORAGE_AUDIENCE}/.default",
        }
        status, found = await self._entra(f"{authority}/{self._tenant}/oauth2/v2.0/token", form)
        token = found.get("access_token")
        if status != 200 or not isinstance(token, str):
            raise ArmFault(
                status,
                clean(str(found.get("error") or f"HTTP{status}")),
                clean(str(found.get("error_description") or "no message")),
            )
        keep_secret(token)
        self._token = token

    async def _entra(self, url: str, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        status, text, _ = await _answer(
            self._api.azure.http,
            "POST",
            url,
            {"Content-Type": "application/x-www-form-urlencoded"},
            urlencode(form),
        )
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        return status, found if isinstance(found, dict) else {}

    async def _send(self, method: str, name: str, headers: dict[str, str], **query: str) -> str:
        url = self._url + (f"/{quote(name)}" if name else "") + (f"?{urlencode(query)}" if query else "")
        request_id = str(uuid.uuid4())
        given = {
            **headers,
            "Authorization": f"Bearer {self._token}",
            "x-ms-version": _API_VERSION,
            "x-ms-client-request-id": request_id,
        }
        if method == "GET":
            status, text, code = await _answer(self._api.azure.http, method, url, given)
        else:
            async with self._api.azure.gate.opened(Write(method, urlsplit(url).path), request_id):
                status, text, code = await _answer(self._api.azure.http, method, url, given, "")
        if status >= 400:
            raise ArmFault(status, code or f"HTTP{status}", clean(text) or "no message")
        return text

    async def _granted(
        self, attempt: Callable[[], Awaitable[None]], code: str, within_s: float, way_out: str
    ) -> None:
        """Try until it is granted; `code` is what Azure says as long as it isn't, or never will be."""

        async def once() -> None:
            try:
                await attempt()
            except ArmFault as fault:
                if fault.code == code:
                    raise _Refused(str(fault)) from None
                raise

        refused = ""

        async def look() -> bool | None:
            nonlocal refused
            try:
                await with_retries(self._label, once)
            except _Refused as no:
                refused = str(no)
                return None
            return True

        def waiting(elapsed_s: float) -> None:
            journal().waiting(
                f"{self._label}: not granted yet ({refused})", elapsed_s=elapsed_s, expected_s=30
            )

        try:
            await poll(look, every_s=5, deadline_s=within_s, waiting=waiting)
        except NotInTime as late:
            raise LastingState(f"{self._label}:", f"Azure refuses ({late}): {refused}", way_out) from None


class _Refused(TemporaryError):
    """Azure says no, which may be because it doesn't know yet."""


async def _answer(
    http: aiohttp.ClientSession, method: str, url: str, headers: dict[str, str], body: str | None = None
) -> tuple[int, str, str]:
    """Status, text and the blob service's error code of one request."""
    try:
        async with http.request(
            method,
            url,
            data=body,
            headers={"Accept-Encoding": "identity", **headers},
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
            allow_redirects=False,
        ) as response:
            if 300 <= response.status < 400:
                raise ArmFault(None, "NotAzure", f"status {response.status}, a redirect")
            data = await read_bounded(response)
            return response.status, data.decode(errors="replace"), response.headers.get("x-ms-error-code", "")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise fault_on_the_way(error) or ArmFault(
            None, "NoAnswer", clean(f"{type(error).__name__} {error}")
        ) from None
