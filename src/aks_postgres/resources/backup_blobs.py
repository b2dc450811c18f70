"""The backup container as the database's pods see it: with a token of their service account, exchanged at Entra.

https://learn.microsoft.com/entra/workload-id/workload-identity-federation,
https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from functools import partial

from aks_postgres.arm.errors import LastingState
from aks_postgres.arm.poll import NotInTime, poll
from aks_postgres.arm.responses import ArmFault
from aks_postgres.arm.retry import with_retries
from aks_postgres.errors import TemporaryError
from aks_postgres.kubernetes.client import KubernetesApi
from aks_postgres.reports.journal import journal
from aks_postgres.reports.outputs import CheckedTarget, FederatedCredentialOutputs, StorageAccountOutputs
from aks_postgres.resources.blobs import Blob, BlobContainer
from aks_postgres.resources.workload_identity import pods_token
from aks_postgres.spec.environment import EnvironmentSpec

# A new federated credential takes some seconds to be known everywhere
# (https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations), a role up to ten minutes
# (https://learn.microsoft.com/azure/role-based-access-control/troubleshooting).
_CREDENTIAL_WITHIN_S = 120
_ROLE_WITHIN_S = 600


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
        name = target.names.postgres_cluster
        sign_in = partial(pods_token, api, spec.namespaces.database, name, client_id, target.tenant_id)
        url = f"{account.blob_endpoint.rstrip('/')}/{spec.storage.container}"
        self._container = BlobContainer(api.azure, url, sign_in)
        self._account_name = name
        self._label = f"backups of {name}"

    async def prove_access(self, credential: FederatedCredentialOutputs) -> list[str]:
        """Get a token as a pod does, and write and delete a blob with it.

        Raises:
            LastingState: what is refused, and won't come right by waiting.
            NotEffectiveYet: not granted in time.
        """
        mismatch = (
            f"Compare: the pods' tokens come from {credential.issuer} for {credential.subject}, and the federated "
            f"credential {credential.name} has to say the same (az identity federated-credential show). Then run again."
        )
        await self._granted(self._container.sign_in, "invalid_client", _CREDENTIAL_WITHIN_S, mismatch)
        name = f".probe/{self._account_name}/{uuid.uuid4().hex[:12]}"

        async def written() -> None:
            await self._container.send("PUT", name, {"x-ms-blob-type": "BlockBlob"})

        missing = (
            "The identity needs Storage Blob Data Contributor on the storage account, and the account has to let this "
            "worker's and the cluster's addresses through (az storage account network-rule list). Then run again."
        )
        await self._granted(written, "AuthorizationPermissionMismatch", _ROLE_WITHIN_S, missing)
        try:
            await self._container.send("DELETE", name)
        except ArmFault as fault:
            # A policy that keeps every blob keeps this one as well; it is empty, and in nobody's way.
            journal().note(f"{self._label}: the probe {name} stays: {fault}")
        return [
            f"Microsoft Entra ID takes the token of {credential.subject}",
            f"with it, blobs are written and deleted in {self._container.url}",
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

        async def listed() -> list[Blob]:
            found: list[Blob] = []
            async for blobs, _ in self._container.pages(prefix):
                found += blobs
                if most is not None and len(found) >= most:
                    break
            return found

        return await with_retries(self._label, listed)

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
