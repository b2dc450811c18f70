"""A subnet of one's own for the nodes: the role that the cluster's identity has there.

Guide: none, AKS makes the network there. The subnet itself is never made, changed or deleted.
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.reports.outputs import IdentityOutputs, RoleOutputs
from aks_postgres.resources.role_assignments import NETWORK_CONTRIBUTOR, Grant, ensure_grants
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec

# What a cluster's identity uses of it: https://learn.microsoft.com/azure/aks/aks-service-permissions
SUBNET_ACTIONS = (
    "Microsoft.Network/virtualNetworks/subnets/read",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
)


@arm_task("ensure_subnet_role {identity.name}")
async def ensure_subnet_role(azure: Azure, spec: EnvironmentSpec, identity: IdentityOutputs) -> RoleOutputs:
    """Give the cluster's identity Network Contributor on the subnet, as az does; ahead of the cluster.

    With `roles: verify` any role that reaches it there and holds the two actions that a cluster uses will do.

    Guide: none; `network.subnet_id`.
    REST: https://learn.microsoft.com/rest/api/authorization/role-assignments/create

    Args:
        spec: the subnet.
        identity: the control plane's managed identity.

    Returns:
        ID of the role assignment.
    """
    scope = str(spec.network.subnet_id)
    grant = Grant(
        NETWORK_CONTRIBUTOR, scope, identity.principal_id, "ServicePrincipal", enough=SUBNET_ACTIONS
    )
    return await ensure_grants(azure, [grant])
