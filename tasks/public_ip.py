"""Guide: Create infrastructure, "Create public static IP for PostgreSQL cluster ingress" - address and role.

The address is made once and never written again: the cluster's cloud controller keeps its DNS label and tags on it,
and a PUT without them would wipe them.
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision, state_of
from aks_postgres.arm.reconcile import ensure
from aks_postgres.arm.responses import Json
from aks_postgres.reports.outputs import (
    CREATED,
    UNCHANGED,
    CheckedTarget,
    ClusterOutputs,
    IdentityOutputs,
    PublicIpOutputs,
    RoleOutputs,
)
from aks_postgres.resources import public_ip
from aks_postgres.resources.managed_cluster import in_node_group
from aks_postgres.resources.role_assignments import NETWORK_CONTRIBUTOR, Grant, ensure_grants
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec


@arm_task("ensure_public_ip {target.names.public_ip}")
async def ensure_public_ip(
    azure: Azure, spec: EnvironmentSpec, target: CheckedTarget, cluster: ClusterOutputs
) -> PublicIpOutputs:
    """Create the static, zone-redundant public IP in the node resource group.

    Guide: Create infrastructure, "Create public static IP ...", step 1 (az network public-ip create).
    REST: https://learn.microsoft.com/rest/api/virtualnetwork/public-ip-addresses/create-or-update

    Args:
        spec: the environment wanted.
        target: names.
        cluster: the cluster, whose node resource group the address goes to.

    Returns:
        ID, name and address.

    Raises:
        LastingState: the cluster has lost the group of its nodes.
    """
    name = target.names.public_ip
    resource = public_ip.KIND.at(
        azure, target.resource_id(public_ip.KIND.type, name, cluster.node_resource_group)
    )

    def decision(live: Json | None) -> Decision:
        if live is not None and state_of(live).casefold() == "succeeded":
            return Decision(UNCHANGED)
        return Decision(CREATED, public_ip.desired(spec))

    with in_node_group(azure, cluster):
        live, change = await ensure(resource, decision)
    return PublicIpOutputs(
        id=resource.id, name=name, ip_address=live["properties"]["ipAddress"], change=change
    )


@arm_task("ensure_network_role {cluster.node_resource_group}")
async def ensure_network_role(
    azure: Azure, cluster: ClusterOutputs, identity: IdentityOutputs
) -> RoleOutputs:
    """Give the identity Network Contributor on the node resource group.

    Guide: Create infrastructure, "Create public static IP ...", step 3 (az role assignment create).
    REST: https://learn.microsoft.com/rest/api/authorization/role-assignments/create

    Args:
        cluster: the cluster, whose node resource group is the role's scope.
        identity: the managed identity.

    Returns:
        IDs of the role assignments.

    Raises:
        LastingState: the cluster has lost the group of its nodes.
    """
    grant = Grant(
        NETWORK_CONTRIBUTOR, cluster.node_resource_group_id, identity.principal_id, "ServicePrincipal"
    )
    with in_node_group(azure, cluster):
        return await ensure_grants(azure, [grant])
