"""What each of the three identities may do on Azure, as a custom role: Contributor would let what writes delete, too.

https://learn.microsoft.com/azure/role-based-access-control/custom-roles
"""

from __future__ import annotations

from typing import Any

from aks_postgres.deploy.work_pools import Identity
from aks_postgres.preflight.permissions import (
    ACTIONS,
    PROVIDERS,
    REGISTER,
    TEAR_DOWN_ACTIONS,
)
from aks_postgres.resources.kinds import optional_actions
from aks_postgres.resources.role_assignments import ROLE_NAMES
from aks_postgres.spec.names import PRODUCT

_READ = "/read"
# Of options: `cluster.if_stopped`, `storage.immutability_days`.
_OPTIONAL = ("Microsoft.ContainerService/managedClusters/start/action", *optional_actions())
_MAY = {
    "read": "Plans environments: looks, and asks for nothing inside the cluster.",
    "write": "Provisions environments; deletes nothing.",
    "delete": "Tears environments down and rebuilds them; backups stay.",
}


def role_definition(identity: Identity, subscription_id: str) -> dict[str, Any]:
    """The custom role of an identity, as `az role definition create` takes it.

    Args:
        identity: whose.
        subscription_id: where it can be assigned.
    """
    actions = {"*/read"}
    if identity != "read":
        # `rebuild` provisions in the same run as it deletes.
        actions |= {
            *ACTIONS,
            *_OPTIONAL,
            *(f"{namespace}{REGISTER}" for namespace in PROVIDERS),
        }
    if identity == "delete":
        actions |= set(TEAR_DOWN_ACTIONS)
    return {
        "Name": f"{PRODUCT} {identity}",
        "IsCustom": True,
        "Description": _MAY[identity],
        "Actions": sorted(action for action in actions if action == "*/read" or not action.endswith(_READ)),
        "NotActions": [],
        "AssignableScopes": [f"/subscriptions/{subscription_id}"],
    }


def condition() -> str:
    """The condition for assigning it: of roles, it may give and take only those that our steps give.

    https://learn.microsoft.com/azure/role-based-access-control/delegate-role-assignments-examples
    """
    roles = ", ".join(sorted(ROLE_NAMES))
    attribute = "[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals"
    parts = {"write": "@Request", "delete": "@Resource"}
    return " AND ".join(
        f"((!(ActionMatches{{'Microsoft.Authorization/roleAssignments/{verb}'}})) OR ({source}{attribute} {{{roles}}}))"
        for verb, source in parts.items()
    )
