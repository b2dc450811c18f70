"""User-assigned managed identities.

https://learn.microsoft.com/rest/api/managedidentity/user-assigned-identities
"""

from __future__ import annotations

from aks_postgres.arm.kind import Kind
from aks_postgres.arm.responses import Json
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import resource_tags

KIND = Kind(
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    "managed identity",
    "Identity",
    lambda azure: azure.identities.user_assigned_identities,
    update="update",
    delete="delete",
    is_foundation=True,
    is_regional=True,
    brings=("client and principal ID: known after creation",),
    owned=lambda names, _: (names.identity, names.backup_identity),
    step="managed identity",
    removal="managed identity",
)


def desired(spec: EnvironmentSpec) -> Json:
    """Return what an identity shall be."""
    return {"location": spec.region, "tags": resource_tags(spec)}
