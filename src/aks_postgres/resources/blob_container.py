"""Blob containers.

https://learn.microsoft.com/rest/api/storagerp/blob-containers
"""

from __future__ import annotations

from aks_postgres.arm.kind import Kind, names_in


def _names(resource_id: str) -> tuple[str, ...]:
    group, account, _, container, *_ = names_in(resource_id)
    return (group, account, container)


KIND = Kind(
    "Microsoft.Storage/storageAccounts/blobServices/containers",
    "blob container",
    "Storage",
    lambda azure: azure.storage.blob_containers,
    put="create",
    key=_names,
    is_foundation=True,
    step="backup container",
)
IMMUTABILITY_POLICY = Kind(
    f"{KIND.type}/immutabilityPolicies",
    "immutability policy",
    "Storage",
    lambda azure: azure.storage.blob_containers,
    option="immutability of backups",
    get="get_immutability_policy",
    put="create_or_update_immutability_policy",
    key=_names,
)
