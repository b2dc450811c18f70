"""Guide: Create infrastructure, "Create a user-assigned managed identity".

One identity serves the cluster's control plane and the backups, as in the guide; with `storage.identity: separate`
the backups have one of their own.
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.retry import read
from aks_postgres.errors import ImmutableChange
from aks_postgres.reports.outputs import CheckedTarget, FieldChange, IdentityOutputs, ResourceOutputs
from aks_postgres.resources import managed_identity, storage_account
from aks_postgres.resources.ensuring import ensure_ours
from aks_postgres.resources.role_assignments import STORAGE_BLOB_DATA_CONTRIBUTOR, assignments_of
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec


@arm_task("ensure_managed_identity {target.names.identity}")
async def ensure_managed_identity(
    azure: Azure, spec: EnvironmentSpec, target: CheckedTarget, group: ResourceOutputs
) -> IdentityOutputs:
    """Create the user-assigned managed identity, or bring its tags to the spec.

    Guide: Create infrastructure, "Create a user-assigned managed identity" (az identity create).
    REST: https://learn.microsoft.com/rest/api/managedidentity/user-assigned-identities/create-or-update

    Args:
        spec: the environment wanted.
        target: where it goes, as the preflight found.
        group: the environment's resource group.

    Returns:
        ID, name, principal ID (for roles) and client ID (for workload identity).

    Raises:
        NotOurs: an identity of that name exists without our tags.
        ImmutableChange: the environment has an identity for backups, and the spec wants to share the cluster's.
    """
    name = target.names.identity
    if spec.storage.identity == "shared":
        backup_name = target.names.backup_identity
        operations = azure.identities.user_assigned_identities
        if await read(f"managed identity {backup_name}", operations.get, group.name, backup_name):
            raise _identity_change(
                name,
                "separate",
                "shared",
                f"The databases use {backup_name}, and sharing would let the cluster's identity write backups.",
            )
    return await _ensure_identity(azure, spec, target, name)


@arm_task("ensure_backup_identity {target.names.backup_identity}")
async def ensure_backup_identity(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    group: ResourceOutputs,
    identity: IdentityOutputs,
) -> IdentityOutputs:
    """Create the managed identity that may write backups, or bring its tags to the spec.

    Guide: none, it has one identity for cluster and backups; `storage.identity: separate`.
    REST: https://learn.microsoft.com/rest/api/managedidentity/user-assigned-identities/create-or-update

    Args:
        spec: the environment wanted.
        target: where it goes, as the preflight found.
        group: the environment's resource group.
        identity: the cluster's identity, which mustn't have the right already.

    Returns:
        ID, name, principal ID (for roles) and client ID (for workload identity).

    Raises:
        NotOurs: an identity of that name exists without our tags.
        ImmutableChange: the cluster's identity may write this environment's backups.
    """
    account = target.resource_id(
        storage_account.KIND.type, target.names.storage_account, target.names.backup_group
    )
    # The account itself may not be there yet, and has no list of assignments then.
    assignments = await assignments_of(
        azure, f"/subscriptions/{target.subscription_id}", f"principalId eq '{identity.principal_id}'"
    )
    if any(
        (assignment.role_id, assignment.scope.casefold())
        == (STORAGE_BLOB_DATA_CONTRIBUTOR, account.casefold())
        for assignment in assignments
    ):
        raise _identity_change(
            identity.name,
            "shared",
            "separate",
            f"It has Storage Blob Data Contributor on {target.names.storage_account}, and the databases may be "
            "archiving with it.",
        )
    return await _ensure_identity(azure, spec, target, target.names.backup_identity)


async def _ensure_identity(
    azure: Azure, spec: EnvironmentSpec, target: CheckedTarget, name: str
) -> IdentityOutputs:
    resource_id = target.resource_id(managed_identity.KIND.type, name)
    live, change = await ensure_ours(
        azure, managed_identity.KIND, resource_id, spec, managed_identity.desired(spec)
    )
    return IdentityOutputs(
        id=resource_id,
        name=live["name"],
        principal_id=live["properties"]["principalId"],
        client_id=live["properties"]["clientId"],
        change=change,
    )


def _identity_change(name: str, old: str, new: str, why: str) -> ImmutableChange:
    return ImmutableChange(
        f"managed identity {name}",
        [FieldChange(field="storage.identity", old=old, new=new)],
        f"{why} Set it back, or make a new generation with it: `aks-postgres rebuild`. Then run again.",
    )
