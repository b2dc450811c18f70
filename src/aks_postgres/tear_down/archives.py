"""What is in the containers that Postgres clusters archive to, read for `archive_check`.

In the run's own name; where Azure refuses that (a role on blobs is none that a run needs otherwise), in the name of the
database's own pods, whose identity writes there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError

from aks_postgres.arm.client import Azure
from aks_postgres.arm.responses import ArmFault, clean
from aks_postgres.arm.retry import all_ended, with_retries
from aks_postgres.errors import ProvisioningError
from aks_postgres.kubernetes.client import KubernetesApi
from aks_postgres.resources.blobs import STORAGE_SCOPE, Blob, BlobContainer
from aks_postgres.resources.workload_identity import pods_token
from aks_postgres.tear_down.archive_check import Archive, BackupInfo, folders_from
from aks_postgres.tear_down.live_data import Wanted

_CLIENT_ID = "azure.workload.identity/client-id"


async def read_archives(
    api: KubernetesApi, wanted: list[Wanted], ways: Mapping[str, str], tenant_id: str
) -> dict[Wanted, Archive]:
    """Read what each of the containers holds.

    Args:
        api: the cluster that the pods are of.
        wanted: where to look, and for which backups.
        ways: of each account that is known, the URLs that a destination may begin with, and its endpoint.
        tenant_id: the subscription's tenant.
    """
    found = await all_ended([_read(api, one, ways, tenant_id) for one in wanted])
    return dict(zip(wanted, found, strict=True))


async def _read(api: KubernetesApi, wanted: Wanted, ways: Mapping[str, str], tenant_id: str) -> Archive:
    url, folder = _located(wanted.destination, ways)
    refused: list[str] = []
    try:
        for who, sign_in in (
            ("the run itself", partial(_own_token, api.azure)),
            ("the database's pods", partial(_pods_token, api, wanted, tenant_id)),
        ):
            container = BlobContainer(api.azure, url, sign_in)
            try:
                return await with_retries(
                    f"backups in {url}", partial(_read_all, container, f"{folder}{wanted.server}/", wanted)
                )
            except _Refused as no:
                refused.append(f"{who}: {no}")
    except (ProvisioningError, ArmFault) as error:
        return Archive(unread=clean(str(error)))
    return Archive(unread="; ".join(refused))


def _located(destination: str, ways: Mapping[str, str]) -> tuple[str, str]:
    """The URL of a destination's container, and the folder in it."""
    for known, endpoint in ways.items():
        if f"{destination.rstrip('/')}/".casefold().startswith(known.casefold()):
            base, rest = endpoint, destination[len(known) :]
            break
    else:
        parts = urlsplit(destination)
        base, rest = f"https://{parts.netloc}/", parts.path.lstrip("/")
    container, _, folder = rest.strip("/").partition("/")
    return f"{base}{container}", f"{folder}/" if folder else ""


class _Refused(Exception):
    """Nobody may look in this name."""


async def _read_all(container: BlobContainer, server: str, wanted: Wanted) -> Archive:
    try:
        sizes = await _sizes(container, f"{server}base/")
        infos = {}
        for backup_id in wanted.backup_ids:
            name = f"{server}base/{backup_id}/backup.info"
            if sizes.get(name):
                infos[backup_id] = await container.send("GET", name)
        known = [info for text in infos.values() if (info := BackupInfo.of(text)) is not None]
        wal = f"{server}wals/"
        folders: set[str] = set()
        async for blobs, below in container.pages(wal, delimiter="/"):
            sizes |= _by_name(blobs)
            folders |= {one.removeprefix(wal).rstrip("/") for one in below}
        for folder in sorted({one for info in known for one in folders_from(info, folders)}):
            sizes |= await _sizes(container, f"{wal}{folder}/")
    except ArmFault as fault:
        if fault.status in (401, 403):
            raise _Refused(str(fault)) from None
        raise
    return Archive({name.removeprefix(server): size for name, size in sizes.items()}, infos)


async def _sizes(container: BlobContainer, prefix: str) -> dict[str, int]:
    found: dict[str, int] = {}
    async for blobs, _ in container.pages(prefix):
        found |= _by_name(blobs)
    return found


def _by_name(blobs: list[Blob]) -> dict[str, int]:
    return {one.name: one.size for one in blobs}


async def _own_token(azure: Azure) -> str:
    try:
        return str((await azure.credential.get_token(STORAGE_SCOPE)).token)
    except AzureError as error:
        raise _Refused(clean(str(error))) from None


async def _pods_token(api: KubernetesApi, wanted: Wanted, tenant_id: str) -> str:
    """By the service account, which the operator names after the Cluster."""
    namespace, name = wanted.namespace, wanted.cluster
    live = await api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}") or {}
    client_id = ((live.get("metadata") or {}).get("annotations") or {}).get(_CLIENT_ID)
    if not client_id:
        raise _Refused(f"ServiceAccount {namespace}/{name} names no identity")
    try:
        return await pods_token(api, namespace, name, str(client_id), tenant_id)
    except ArmFault as fault:
        raise _Refused(str(fault)) from None
