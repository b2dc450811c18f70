"""Clusters and node pools that are stopped, and clusters without their nodes' group, told from what ARM shows.

A stopped cluster refuses everything but start and delete (https://learn.microsoft.com/azure/aks/start-stop-cluster), a
stopped pool has no nodes (https://learn.microsoft.com/azure/aks/start-stop-nodepools), and a cluster whose node
resource group is gone can't be mended (https://github.com/MicrosoftDocs/azure-docs/issues/14880). Waiting for any of
them to end is of no use.
"""

from __future__ import annotations

from aks_postgres.arm.errors import LastingState
from aks_postgres.arm.kind import names_in
from aks_postgres.arm.responses import Json
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names

# States of a cluster whose node resource group may not be there yet, or not any more.
IN_THE_MAKING = ("creating", "deleting")


def is_stopped(live: Json | None) -> bool:
    """Return whether a cluster, or a node pool as a resource of its own, has been stopped."""
    return _power_of((live or {}).get("properties")) == "stopped"


def _power_of(properties: Json | None) -> str:
    return str(((properties or {}).get("powerState") or {}).get("code", "")).casefold()


def stopped_pools(spec: EnvironmentSpec, cluster: Json | None) -> list[str]:
    """Names of this environment's pools that are stopped, by the cluster; with a stopped cluster all of them are."""
    profiles = ((cluster or {}).get("properties") or {}).get("agentPoolProfiles") or []
    ours = (spec.system_pool.name, spec.postgres_pool.name)
    return [
        str(profile["name"])
        for profile in profiles
        if profile.get("name") in ours and _power_of(profile) == "stopped"
    ]


def start_cluster_command(group: str, cluster: str) -> str:
    """The command that starts a stopped cluster."""
    return f"az aks start --resource-group {group} --name {cluster}"


def start_pool_command(group: str, cluster: str, pool: str) -> str:
    """The command that starts a stopped node pool."""
    return f"az aks nodepool start --resource-group {group} --cluster-name {cluster} --nodepool-name {pool}"


def abort_command(resource_id: str, doing: str) -> str:
    """The command that ends what AKS is doing to a cluster, or to a node pool, by ID and `settled`'s word for it.

    https://learn.microsoft.com/azure/aks/manage-abort-operations
    """
    group, cluster, *pool = names_in(resource_id)
    if doing.startswith("node pool "):
        pool = [doing.split()[2]]
    if pool:
        return (
            f"az aks nodepool operation-abort --resource-group {group} --cluster-name {cluster} "
            f"--nodepool-name {pool[0]}"
        )
    return f"az aks operation-abort --resource-group {group} --name {cluster}"


def _way_out(command: str) -> str:
    return f"Start it ({command}), or set cluster.if_stopped: start; then run again."


def stopped_cluster(group: str, name: str) -> LastingState:
    """The refusal for a stopped cluster."""
    return LastingState(f"AKS cluster {name}", "is stopped", _way_out(start_cluster_command(group, name)))


def stopped_pool(group: str, cluster: str, name: str) -> LastingState:
    """The refusal for a stopped node pool."""
    return LastingState(f"node pool {name}", "is stopped", _way_out(start_pool_command(group, cluster, name)))


def stopped_here(spec: EnvironmentSpec, names: Names, cluster: Json | None) -> list[LastingState]:
    """Return what of a live cluster is stopped: the cluster, or else single pools of it."""
    if is_stopped(cluster):
        return [stopped_cluster(names.resource_group, names.cluster)]
    return [stopped_pool(names.resource_group, names.cluster, pool) for pool in stopped_pools(spec, cluster)]


def lost_node_group(cluster: str, node_group: str) -> LastingState:
    """The refusal for a cluster whose nodes, disks and addresses were deleted under it."""
    return LastingState(
        f"AKS cluster {cluster}",
        f"has lost its node resource group {node_group}, with every node and disk in it; AKS can't bring that back",
        "Make the environment anew from its backups: `aks-postgres rebuild`, or `aks-postgres tear-down` and then "
        "`aks-postgres provision`.",
    )
