"""Node pools of an AKS cluster.

https://learn.microsoft.com/rest/api/aks/agent-pools
"""

from __future__ import annotations

from aks_postgres.arm.kind import Kind
from aks_postgres.resources.managed_cluster import DEADLINE_S

# A pool takes 2 to 9 minutes: https://github.com/Azure/AKS/issues/1439
KIND = Kind(
    "Microsoft.ContainerService/managedClusters/agentPools",
    "node pool",
    "Node pools",
    lambda azure: azure.container_service.agent_pools,
    put="begin_create_or_update",
    create_s=325,
    create_deadline_s=DEADLINE_S,
    if_match=True,
    immutable=(
        "properties.vmSize",
        "properties.availabilityZones",
        "properties.osType",
        "properties.vnetSubnetID",
    ),
    way_out="Rename the pool in the spec to add a new one, then delete the old one.",
    step="postgres node pool",
)
