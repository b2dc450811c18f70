"""What a wait for something in a cluster never sees the end of: the cluster is stopped, or its nodes' group is gone."""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import state_of
from aks_postgres.arm.errors import LastingState
from aks_postgres.arm.responses import ArmFault, Json
from aks_postgres.arm.retry import send
from aks_postgres.kubernetes.power_state import IN_THE_MAKING, is_stopped, lost_node_group, stopped_cluster


async def lasting_state(azure: Azure, group: str, name: str) -> LastingState | None:
    """Look once at a cluster and its nodes' group; None where waiting for what is in it makes sense.

    Raises:
        ArmFault: it can't be told.
    """
    live = await _once(azure, group, name)
    if live is None:
        return None
    if is_stopped(live) and state_of(live).casefold() != "starting":
        return stopped_cluster(group, name)
    node_group = live["properties"].get("nodeResourceGroup")
    if not node_group:
        return None
    try:
        await send(azure.resources.resource_groups.get, node_group)
    except ArmFault as fault:
        if fault.status != 404:
            raise
        # The cluster may have been deleted with it since.
        live = await _once(azure, group, name)
        if live is not None and state_of(live).casefold() not in IN_THE_MAKING:
            return lost_node_group(name, node_group)
    return None


async def _once(azure: Azure, group: str, name: str) -> Json | None:
    try:
        return (await send(azure.container_service.managed_clusters.get, group, name)).body
    except ArmFault as fault:
        if fault.status == 404:
            return None
        raise
