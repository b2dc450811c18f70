"""Microsoft.ContainerService/managedClusters/agentPools: node pools, each a resource of its own.

REST: https://learn.microsoft.com/rest/api/aks/agent-pools
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.core.responses import Response
from azure_sandbox.providers import (
    aks_api_server,
    aks_background,
    aks_defaults,
    aks_enums,
    aks_node_group,
    aks_power,
    aks_shapes,
    aks_subnet_validation,
    aks_versions,
)
from azure_sandbox.providers import aks_pool_validation as pool_rules
from azure_sandbox.providers.compute import provider as compute
from azure_sandbox.providers.container_service import (
    API_VERSIONS,
    POOL,
    WITHOUT_RESULT,
    WRITE,
    acted_on,
    check_deletion,
    check_not_busy,
    lower_group,
    pools_of,
    refusal,
    throttle,
    throttle_other,
)
from azure_sandbox.providers.container_service import provider as aks
from azure_sandbox.providers.managed_cluster_reads import pool_properties_view
from azure_sandbox.providers.managed_clusters import (
    changed_pool,
    finish_pools,
    put_pool,
)

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

aks.type("managedClusters/agentPools", api_versions=API_VERSIONS)


@aks.put("managedClusters/{cluster}/agentPools/{pool}")
def agent_pools_create_or_update(call: Call) -> Response:
    """AgentPools_CreateOrUpdate: 201 for a new pool, 200 for a known one; either way the client polls.

    REST: https://learn.microsoft.com/rest/api/aks/agent-pools/create-or-update
    """
    throttle(call, "PutAgentPoolHandler.PUT", call.id, capacity=20, per_s=1 / 60)
    cluster, sandbox = call.parent(), call.sandbox
    pools_of(sandbox, cluster)
    check_deletion(call, cluster, call.live, "Creating" if call.live is None else "Updating")
    call.check_if_match(bare=True)
    check_not_busy(call, cluster)
    aks_power.check_running(cluster, "updating")
    aks_shapes.check_pool(call.properties)
    call.body = {**call.body, "properties": aks_enums.pool_as_written(call.properties)}
    aks_power.check_pool_power(call)
    if call.live is None:
        pool, duration, state = _new_pool(call, cluster), "aks_pool_add", "Creating"
    else:
        pool, duration, state = _changed_pool(call, cluster, call.live)
    answer = call.begin(
        pool,
        duration=duration,
        polling=WRITE,
        state=state,
        effect=lambda operation: _written(sandbox, cluster, operation.resource),
        latency_s=call.seconds("aks_write_answer"),
    )
    if state == "Creating":
        aks_background.nodes_join(sandbox, cluster, pool)
    return answer


def _new_pool(call: Call, cluster: Resource) -> Resource:
    name, sent = call.names["pool"], call.properties
    stored = aks_defaults.pool_properties(sent, live=None, cluster=cluster.properties)
    pool_rules.check_pool(call, name=name, sent=sent, stored=stored, live=None, location=cluster.location)
    control_plane = cluster.properties["currentKubernetesVersion"]
    aks_versions.check_pool_version(None, stored["currentOrchestratorVersion"], control_plane)
    _check_subnet(call, cluster, name, stored)
    pool_rules.check_quota(call.sandbox, cluster.location, [(stored["vmSize"], stored["count"])])
    return put_pool(call.sandbox, cluster, name, stored)


def _check_subnet(call: Call, cluster: Resource, name: str, stored: Json) -> None:
    live = {pool.name: pool.properties for pool in pools_of(call.sandbox, cluster)}
    aks_subnet_validation.check_subnets(call, {name: stored}, cluster.properties, cluster.location, live)


def _changed_pool(call: Call, cluster: Resource, pool: Resource) -> tuple[Resource, str, str]:
    live = dict(pool.properties)
    stored, upgrades, added = changed_pool(call, cluster, pool, call.properties, cluster.properties)
    if stored["mode"] != "System":
        _check_last_system_pool(call.sandbox, cluster, pool)
    _check_subnet(call, cluster, pool.name, stored)
    pool_rules.check_quota(call.sandbox, cluster.location, added)
    pool.notes["follows_cluster"] = False
    put_pool(call.sandbox, cluster, pool.name, stored)
    if upgrades:
        return pool, "aks_pool_upgrade", "Upgrading"
    return pool, "aks_pool_update", "Scaling" if stored["count"] != live["count"] else "Updating"


def _check_last_system_pool(sandbox: Sandbox, cluster: Resource, pool: Resource) -> None:
    """A cluster keeps a system pool: https://learn.microsoft.com/azure/aks/use-system-pools."""
    systems = [other for other in pools_of(sandbox, cluster) if other.properties["mode"] == "System"]
    if systems == [pool]:
        text = "There has to be at least one system node pool in the cluster."
        raise refusal("OperationNotAllowed", text)


def _written(sandbox: Sandbox, cluster: Resource, pool: Resource) -> None:
    aks_node_group.check_group(sandbox, cluster)
    aks_node_group.check_identity(sandbox, cluster)
    pool.notes["has_nodes"] = True
    aks_power.switch_pool(pool)
    finish_pools(sandbox, cluster)
    aks_node_group.sync_scale_sets(sandbox, cluster)
    aks_api_server.sync_nodes(sandbox, cluster)
    aks_background.watch_autoscaler(sandbox, cluster)


@compute.removed("virtualMachineScaleSets")
def scale_set_removed(scale_set: Resource, sandbox: Sandbox) -> None:
    """The nodes of a scale set that is gone go too."""
    aks_node_group.scale_set_removed(scale_set, sandbox)
    for cluster in sandbox.store.of_type("Microsoft.ContainerService/managedClusters"):
        aks_api_server.sync_nodes(sandbox, cluster)


@aks.view("managedClusters/agentPools")
def agent_pool_view(pool: Resource, sandbox: Sandbox) -> Json:
    """A pool as AKS shows it: its etag is among its properties."""
    cluster = sandbox.store.get(pool.id.rpartition("/agentPools/")[0])
    if cluster is not None:
        pools_of(sandbox, cluster)
    return {
        "id": lower_group(pool.id),
        "name": pool.name,
        "type": POOL,
        "properties": pool_properties_view(pool),
    }


@aks.get("managedClusters/{cluster}/agentPools/{pool}")
def agent_pools_get(call: Call) -> Response:
    """AgentPools_Get: the pool.

    REST: https://learn.microsoft.com/rest/api/aks/agent-pools/get
    """
    throttle_other(call)
    return Response(200, call.found())


@aks.list("managedClusters/{cluster}/agentPools")
def agent_pools_list(call: Call) -> Response:
    """AgentPools_List: the pools of a cluster.

    REST: https://learn.microsoft.com/rest/api/aks/agent-pools/list
    """
    throttle_other(call)
    return call.listing()


@aks.delete("managedClusters/{cluster}/agentPools/{pool}")
def agent_pools_delete(call: Call) -> Response:
    """AgentPools_Delete: 202, or 204 when there is none.

    REST: https://learn.microsoft.com/rest/api/aks/agent-pools/delete
    """
    throttle_other(call)
    cluster, pool = call.parent(), call.live
    if pool is None:
        return Response(204)
    check_deletion(call, cluster, None, "Deleting")
    call.check_if_match(bare=True)
    already = call.sandbox.operations.running(pool.id)
    if already is not None and already.deletes:
        return Response(202, headers=WITHOUT_RESULT.headers(already, call.base_url))
    check_not_busy(call, cluster)
    aks_power.check_running(cluster, "deleting")
    _check_last_system_pool(call.sandbox, cluster, pool)
    pool.notes["follows_cluster"] = False
    return call.begin_delete(duration="aks_pool_delete", polling=WITHOUT_RESULT)


@aks.removed("managedClusters/agentPools")
def agent_pool_removed(pool: Resource, sandbox: Sandbox) -> None:
    """A pool takes its scale set and its nodes with it."""
    cluster = sandbox.store.get(pool.id.rpartition("/agentPools/")[0])
    if cluster is not None and aks_api_server.is_open(sandbox, cluster):
        aks_node_group.sync_scale_sets(sandbox, cluster)
        aks_api_server.sync_nodes(sandbox, cluster)


@aks.get("managedClusters/{cluster}/agentPools/{pool}/upgradeProfiles/default")
def agent_pools_get_upgrade_profile(call: Call) -> Response:
    """AgentPools_GetUpgradeProfile: where the pool may be upgraded to.

    REST: https://learn.microsoft.com/rest/api/aks/agent-pools/get-upgrade-profile
    """
    throttle_other(call)
    pool = acted_on(call)
    cluster = call.sandbox.store.get(pool.id.rpartition("/agentPools/")[0])
    limit = cluster.properties["currentKubernetesVersion"] if cluster else ""
    current = pool.properties["currentOrchestratorVersion"]
    upgrades = [
        {"kubernetesVersion": version}
        for version in aks_versions.upgrades_from(current)
        if aks_versions.number(version) <= aks_versions.number(limit)
    ]
    body = {
        "id": f"{lower_group(pool.id)}/upgradeProfiles/default",
        "name": "default",
        "type": f"{POOL}/upgradeProfiles",
        "properties": {
            "kubernetesVersion": current,
            "osType": pool.properties["osType"],
            "latestNodeImageVersion": aks_defaults.NODE_IMAGE,
            "upgrades": upgrades,
        },
    }
    return Response(200, body)


@aks.get("managedClusters/{cluster}/availableAgentPoolVersions", type_name="managedClusters/agentPools")
def agent_pools_get_available_agent_pool_versions(call: Call) -> Response:
    """AgentPools_GetAvailableAgentPoolVersions: the versions that a new pool of the cluster may have.

    REST: https://learn.microsoft.com/rest/api/aks/agent-pools/get-available-agent-pool-versions
    """
    throttle_other(call)
    cluster = acted_on(call)
    limit = aks_versions.number(cluster.properties["currentKubernetesVersion"])
    versions = [
        {"kubernetesVersion": patch, **({"default": True} if aks_versions.number(patch) == limit else {})}
        for minor in aks_versions.minors().values()
        if cluster.properties["supportPlan"] in minor.support_plans
        for patch in minor.patches
        if aks_versions.number(patch) <= limit
    ]
    body = {
        "id": f"{lower_group(cluster.id)}/availableAgentPoolVersions",
        "name": "default",
        "type": f"{POOL}/availableAgentPoolVersions",
        "properties": {"agentPoolVersions": versions},
    }
    return Response(200, body)
