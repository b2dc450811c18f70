"""Guide: Create infrastructure, "Create a storage account in the primary region" - account, container, roles.

The container is made through ARM, which needs no data role and can be repeated; the guide does it on the data plane.
Shared keys stay allowed by default, as the guide's next article lists blobs with one.
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.reconcile import ensure
from aks_postgres.reports.outputs import (
    CheckedTarget,
    IdentityOutputs,
    ResourceOutputs,
    RoleOutputs,
    StorageAccountOutputs,
)
from aks_postgres.resources import blob_container, storage_account
from aks_postgres.resources.ensuring import ensure_ours
from aks_postgres.resources.role_assignments import (
    STORAGE_BLOB_DATA_CONTRIBUTOR,
    STORAGE_BLOB_DATA_OWNER,
    Grant,
    ensure_grants,
)
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec


@arm_task("ensure_storage_account {target.names.storage_account}")
async def ensure_storage_account(
    azure: Azure, spec: EnvironmentSpec, target: CheckedTarget, group: ResourceOutputs
) -> StorageAccountOutputs:
    """Create the storage account for backups, or bring it to the spec.

    Guide: Create infrastructure, "Create a storage account in the primary region", step 1 (az storage account create).
    REST: https://learn.microsoft.com/rest/api/storagerp/storage-accounts/create

    Args:
        spec: the environment wanted.
        target: where it goes, as the preflight found.
        group: the group for backups.

    Returns:
        ID, name, group and blob endpoint.

    Raises:
        NotOurs: an account of that name exists in the group without our tags.
        ImmutableChange: it has another redundancy or kind.
    """
    resource_id = target.resource_id(storage_account.KIND.type, target.names.storage_account, group.name)
    live, change = await ensure_ours(
        azure, storage_account.KIND, resource_id, spec, lambda live: storage_account.desired(spec, live)
    )
    return StorageAccountOutputs(
        id=resource_id,
        name=live["name"],
        resource_group=group.name,
        blob_endpoint=storage_account.blob_endpoint(azure, live),
        change=change,
    )


@arm_task("ensure_backup_container {spec.storage.container}")
async def ensure_backup_container(
    azure: Azure, spec: EnvironmentSpec, account: StorageAccountOutputs
) -> ResourceOutputs:
    """Create the blob container for backups.

    Guide: Create infrastructure, "Create a storage account ...", step 2 (az storage container create).
    REST: https://learn.microsoft.com/rest/api/storagerp/blob-containers/create

    Args:
        spec: the environment wanted.
        account: the storage account.

    Returns:
        ID and name of the container.

    Raises:
        ImmutableChange: versions in it are to be immutable, and it was made without that.
    """
    name = spec.storage.container
    resource = blob_container.KIND.at(azure, f"{account.id}/blobServices/default/containers/{name}")
    _, change = await ensure(resource, lambda live: blob_container.decision(resource.label, spec, live))
    return ResourceOutputs(id=resource.id, name=name, change=change)


@arm_task("ensure_blob_roles {account.name}")
async def ensure_blob_roles(
    azure: Azure, spec: EnvironmentSpec, identity: IdentityOutputs, account: StorageAccountOutputs
) -> RoleOutputs:
    """Let the identity write backups (Storage Blob Data Contributor), and the given people own them.

    Guide: Create infrastructure, "Assign RBAC to storage accounts" (az role assignment create), and the optional
    Storage Blob Data Owner of "Create a storage account ...".
    REST: https://learn.microsoft.com/rest/api/authorization/role-assignments/create

    Args:
        spec: the environment wanted; `storage.blob_owners` are the people.
        identity: the managed identity.
        account: the storage account, the roles' scope.

    Returns:
        IDs of the role assignments.
    """
    grants = [Grant(STORAGE_BLOB_DATA_CONTRIBUTOR, account.id, identity.principal_id, "ServicePrincipal")]
    grants += [
        Grant(STORAGE_BLOB_DATA_OWNER, account.id, owner.object_id, owner.type)
        for owner in spec.storage.blob_owners
    ]
    return await ensure_grants(azure, grants)
