"""Guide: Create infrastructure has no versions of backups; here they are kept, and don't pile up for ever.

A rule of the account's lifecycle policy deletes previous versions of backups that are older than
`storage.soft_delete_days`; soft delete then keeps each for as many days again. A version's age counts from when it was
written, so what is deleted or overwritten today stays for those days at least.
The policy is one for the whole account: rules of others stay, and where one of them deletes versions, ours isn't added.
https://learn.microsoft.com/azure/storage/blobs/lifecycle-management-policy-structure
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.reconcile import ensure
from aks_postgres.reports.outputs import ResourceOutputs, StorageAccountOutputs
from aks_postgres.resources import lifecycle_policy
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec


@arm_task("ensure_backup_lifecycle {account.name}")
async def ensure_backup_lifecycle(
    azure: Azure, spec: EnvironmentSpec, account: StorageAccountOutputs
) -> ResourceOutputs:
    """Let Azure delete previous versions of backups once their days are over.

    Guide: not in it; it keeps no versions.
    REST: https://learn.microsoft.com/rest/api/storagerp/management-policies/create-or-update

    Args:
        spec: the environment wanted; `storage.soft_delete_days` says after how many days.
        account: the storage account.

    Returns:
        ID and name of the account's lifecycle policy.
    """
    label = f"lifecycle policy of storage account {account.name}"
    resource = lifecycle_policy.KIND.at(azure, f"{account.id}/managementPolicies/default", label=label)
    _, change = await ensure(resource, lambda live: lifecycle_policy.decision(label, spec, live))
    return ResourceOutputs(id=resource.id, name="default", change=change)
