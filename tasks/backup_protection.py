"""Guide: Create infrastructure keeps Azure's defaults for the backups; here what is deleted can be brought back.

Blob soft delete, container soft delete and versioning are on from the start. A longer retention that somebody set
stays. Previous versions go by a rule of their own (`backup_lifecycle.py`).
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.reconcile import ensure
from aks_postgres.reports.outputs import ResourceOutputs, StorageAccountOutputs
from aks_postgres.resources import blob_service
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec


@arm_task("ensure_backup_protection {account.name}")
async def ensure_backup_protection(
    azure: Azure, spec: EnvironmentSpec, account: StorageAccountOutputs
) -> ResourceOutputs:
    """Let Azure keep deleted and overwritten backups for some days.

    Guide: not in it; it keeps Azure's defaults, which bring nothing back.
    REST: https://learn.microsoft.com/rest/api/storagerp/blob-services/set-service-properties

    Args:
        spec: the environment wanted; `storage.soft_delete_days` says how long.
        account: the storage account.

    Returns:
        ID and name of the account's blob service.
    """
    label = f"blob service of storage account {account.name}"
    resource = blob_service.KIND.at(azure, f"{account.id}/blobServices/default", label=label)

    _, change = await ensure(resource, lambda live: blob_service.decision(label, spec, live))
    return ResourceOutputs(id=resource.id, name="default", change=change)
