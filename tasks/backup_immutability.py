"""Guide: Create infrastructure knows no immutability; here it is an option for the container of the backups.

Versions are immutable, not blobs: an overwrite or a deletion leaves a previous version that nobody can change or delete
for some days. So PostgreSQL's tools go on working, which send a WAL file again after a lost answer, and delete what is
too old.
The policy is unlocked. Not done here: locking it, which can't be undone; extending one that is locked.
https://learn.microsoft.com/azure/storage/blobs/immutable-version-level-worm-policies
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.reconcile import ensure
from aks_postgres.reports.outputs import (
    ResourceOutputs,
    StorageAccountOutputs,
)
from aks_postgres.resources import blob_container
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec


@arm_task("ensure_backup_immutability {container.name}")
async def ensure_backup_immutability(
    azure: Azure, spec: EnvironmentSpec, account: StorageAccountOutputs, container: ResourceOutputs
) -> ResourceOutputs:
    """Keep versions of backups from being changed or deleted for some days.

    Guide: not in it.
    REST: https://learn.microsoft.com/rest/api/storagerp/blob-containers/create-or-update-immutability-policy

    Args:
        spec: the environment wanted; `storage.immutability_days` says how long.
        account: the storage account.
        container: the backups' container, made for immutable versions.

    Returns:
        ID and name of the policy.

    Raises:
        ImmutableChange: the policy is locked, and for fewer days than the spec wants.
    """
    days = spec.storage.immutability_days or 0
    label = f"immutability policy of blob container {container.name}"
    resource = blob_container.IMMUTABILITY_POLICY.at(
        azure, f"{container.id}/immutabilityPolicies/default", label=label
    )
    _, change = await ensure(resource, lambda live: blob_container.immutability_decision(label, days, live))
    return ResourceOutputs(id=resource.id, name="default", change=change)
