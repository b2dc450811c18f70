"""Guide: Create infrastructure, "Create the AKS cluster to host the PostgreSQL cluster".

The cluster, its PostgreSQL node pool, and the proof that its API server answers. Managed Prometheus and Container
insights, which az does inside the same commands, are chapters of their own.
"""

from __future__ import annotations

import ipaddress

from cloud import clock
from cloud.answers import Json
from cloud.calls import persistently
from cloud.desired import Decision, decide
from cloud.errors import NotEffectiveYet, TemporaryError
from cloud.kubernetes_api import kubernetes_api
from cloud.resources import arm_resource, ensure
from cloud.session import cloud
from environment.names import Names, resource_tags
from environment.outputs import (
    UNCHANGED,
    ApiServerOutputs,
    ClusterOutputs,
    IdentityOutputs,
    NodePoolOutputs,
    Place,
    ResourceOutputs,
)
from environment.spec import EnvironmentSpec, NodePoolSpec
from tasks._cluster import CREATE_S, DEADLINE_S, cluster_resource, is_planned
from tasks._ownership import refuse_foreign
from tasks._policy import arm_task

# A pool takes 2 to 9 minutes: https://github.com/Azure/AKS/issues/1439
_POOL_S = 325


def cluster_body(spec: EnvironmentSpec, place: Place, identity_id: str) -> tuple[Json, Json]:
    """What the cluster shall be, and what is only said when it is created.

    Returns:
        The fields we own, and those that belong to AKS, the autoscaler or later steps once the cluster exists.
    """
    pool = spec.system_pool
    wanted: Json = {
        "location": spec.region,
        "tags": resource_tags(spec),
        "sku": {"name": "Base", "tier": spec.cluster.tier},
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity_id: {}}},
        "properties": {
            "nodeResourceGroup": place.names.node_resource_group,
            "enableRBAC": True,
            "networkProfile": {
                "networkPlugin": "azure",
                "networkPluginMode": "overlay",
                "networkDataplane": "cilium",
                "loadBalancerSku": "standard",
                "outboundType": "loadBalancer",
            },
            "oidcIssuerProfile": {"enabled": True},
            "securityProfile": {"workloadIdentity": {"enabled": True}},
            "apiServerAccessProfile": {"authorizedIPRanges": list(place.authorized_ip_ranges)},
            "agentPoolProfiles": [{"name": pool.name, **pool_properties(spec, pool, "System", place)}],
        },
    }
    once: Json = {
        "properties": {
            "kubernetesVersion": place.kubernetes_version,
            "dnsPrefix": dns_prefix(place.names, place.subscription_id),
            "disableLocalAccounts": False,
            "addonProfiles": {},
            "storageProfile": {},
            "bootstrapProfile": {"artifactSource": "Direct"},
            # Metrics are switched on once their data collection rule is associated: the agent crash-loops before.
            "azureMonitorProfile": {
                "metrics": {
                    "enabled": False,
                    "kubeStateMetrics": {"metricLabelsAllowlist": "", "metricAnnotationsAllowList": ""},
                }
            },
            "agentPoolProfiles": [{"name": pool.name, **first_pool_properties(place, pool)}],
        }
    }
    if spec.cluster.kubernetes_version:
        wanted["properties"]["kubernetesVersion"] = place.kubernetes_version
    if spec.cluster.tier == "Premium":
        wanted["properties"]["supportPlan"] = "AKSLongTermSupport"
    if spec.cluster.ssh_public_key:
        keys = [{"keyData": spec.cluster.ssh_public_key}]
        once["properties"]["linuxProfile"] = {"adminUsername": "azureuser", "ssh": {"publicKeys": keys}}
    return wanted, once


def pool_properties(spec: EnvironmentSpec, pool: NodePoolSpec, mode: str, place: Place) -> Json:
    """The fields of a node pool that we own."""
    properties: Json = {
        "mode": mode,
        "vmSize": pool.vm_size,
        "osType": "Linux",
        "type": "VirtualMachineScaleSets",
        "enableAutoScaling": True,
        "minCount": pool.min_count,
        "maxCount": pool.max_count,
        "availabilityZones": list(pool.zones),
    }
    if pool.labels:
        properties["nodeLabels"] = dict(pool.labels)
    if spec.cluster.kubernetes_version:
        properties["orchestratorVersion"] = place.kubernetes_version
    return properties


def first_pool_properties(place: Place, pool: NodePoolSpec) -> Json:
    """What is said of a node pool only when it is created: the count is the autoscaler's later on."""
    return {
        "count": pool.first_count,
        "orchestratorVersion": place.kubernetes_version,
        "scaleSetPriority": "Regular",
        "enableNodePublicIP": False,
        "enableEncryptionAtHost": False,
        "enableUltraSSD": False,
        "enableFIPS": False,
    }


def dns_prefix(names: Names, subscription_id: str) -> str:
    """The cluster's DNS prefix by az's pattern: cluster, group, subscription, each cut."""
    return f"{names.cluster[:10]}-{names.resource_group[:16]}-{subscription_id[:6]}"


def as_ranges(live: Json) -> Json:
    """The cluster with its authorized addresses as ranges; AKS reports a single address either way."""
    access = (live.get("properties") or {}).get("apiServerAccessProfile") or {}
    ranges = [
        str(ipaddress.ip_network(given, strict=False)) for given in access.get("authorizedIPRanges") or []
    ]
    profile = {**access, "authorizedIPRanges": ranges}
    return {**live, "properties": {**live["properties"], "apiServerAccessProfile": profile}}


def cluster_decision(spec: EnvironmentSpec, place: Place, identity_id: str, live: Json | None) -> Decision:
    """Compare the cluster with the spec.

    Raises:
        NotOurs: it has no tags of ours.
        ImmutableChange: VM size, zones, network, node group, identity or region differ.
    """
    label = f"AKS cluster {place.names.cluster}"
    refuse_foreign(spec, label, live, place.names.resource_group)
    wanted, once = cluster_body(spec, place, identity_id)
    pool = f"properties.agentPoolProfiles[{spec.system_pool.name}]"
    fixed = ["location", "properties.nodeResourceGroup", "properties.networkProfile"]
    if live and not _has_pool(live, spec.system_pool.name):
        fixed.append(pool)  # a cluster PUT can't bring a new pool
    return decide(
        label,
        wanted,
        as_ranges(live) if live else None,
        only_at_creation=once,
        immutable=(*fixed, f"{pool}.vmSize", f"{pool}.availabilityZones"),
    )


def _has_pool(live: Json, name: str) -> bool:
    return any(pool.get("name") == name for pool in live["properties"].get("agentPoolProfiles") or [])


def cluster_outputs(live: Json, place: Place, change_of: ResourceOutputs) -> ClusterOutputs:
    """The cluster as Azure reports it."""
    properties = live["properties"]
    node_group = properties["nodeResourceGroup"]
    return ClusterOutputs(
        id=change_of.id,
        name=place.names.cluster,
        resource_group=place.names.resource_group,
        node_resource_group=node_group,
        node_resource_group_id=place.group_id(node_group),
        kubernetes_version=properties.get("currentKubernetesVersion") or properties["kubernetesVersion"],
        fqdn=properties.get("fqdn") or "",
        oidc_issuer_url=(properties.get("oidcIssuerProfile") or {}).get("issuerURL") or "",
        portal_url=f"https://portal.azure.com/#@{place.tenant_id}/resource{change_of.id}/overview",
        change=change_of.change,
    )


@arm_task("ensure_cluster {place.names.cluster}")
async def ensure_cluster(
    spec: EnvironmentSpec, place: Place, group: ResourceOutputs, identity: IdentityOutputs
) -> ClusterOutputs:
    """Create the AKS cluster with its system pool, or bring it to the spec.

    Guide: Create infrastructure, "Create the AKS cluster ...", steps 1 and 2 (az aks create, az aks wait).
    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update

    Args:
        spec: the environment wanted.
        place: names, Kubernetes version and authorized ranges as the preflight resolved them.
        group: the environment's resource group.
        identity: the control plane's managed identity.

    Returns:
        IDs, names, version, FQDN and OIDC issuer.

    Raises:
        ImmutableChange: the live cluster has another VM size, zones or network; the message says the way out.
        ClusterBusy: AKS was busy for the whole budget; retried by Prefect.
        OperationNotDone: still in progress at the deadline; a rerun goes on waiting.
    """
    resource_id = place.resource_id("Microsoft.ContainerService/managedClusters", place.names.cluster)
    resource = cluster_resource(resource_id, group.name, place.names.cluster, CREATE_S)
    live, change = await ensure(resource, lambda live: cluster_decision(spec, place, identity.id, live))
    return cluster_outputs(
        live, place, ResourceOutputs(id=resource_id, name=place.names.cluster, change=change)
    )


@arm_task("ensure_node_pool {spec.postgres_pool.name}")
async def ensure_node_pool(spec: EnvironmentSpec, place: Place, cluster: ClusterOutputs) -> NodePoolOutputs:
    """Add the node pool that runs PostgreSQL, or bring it to the spec.

    Guide: Create infrastructure, "Create the AKS cluster ...", step 3 (az aks nodepool add).
    REST: https://learn.microsoft.com/rest/api/aks/agent-pools/create-or-update

    Args:
        spec: the environment wanted; counts are nodes over all zones.
        place: the Kubernetes version as the preflight resolved it.
        cluster: the cluster as `ensure_cluster` returned it.

    Returns:
        ID, node count, Kubernetes version and zones as Azure reports them.

    Raises:
        ImmutableChange: the live pool has another VM size or zones.
        ClusterBusy: AKS was busy for the whole budget; retried by Prefect.
        OperationNotDone: still in progress at the deadline; a rerun goes on waiting.
    """
    pool = spec.postgres_pool
    label = f"node pool {pool.name}"
    operations = cloud().container_service.agent_pools
    resource = arm_resource(
        label,
        f"{cluster.id}/agentPools/{pool.name}",
        operations.get,
        operations.begin_create_or_update,
        cluster.resource_group,
        cluster.name,
        pool.name,
        expected_s=_POOL_S,
        deadline_s=DEADLINE_S,
        if_match=True,
        guards=(cluster_resource(cluster.id, cluster.resource_group, cluster.name, CREATE_S),),
    )
    wanted = {"properties": pool_properties(spec, pool, "User", place)}
    once = {
        "properties": {
            **first_pool_properties(place, pool),
            "upgradeSettings": {"undrainableNodeBehavior": "Schedule"},
            "scaleDownMode": "Delete",
        }
    }

    def decision(live: Json | None) -> Decision:
        return decide(
            label,
            wanted,
            live,
            only_at_creation=once,
            immutable=("properties.vmSize", "properties.availabilityZones", "properties.osType"),
            way_out="Rename the pool in the spec to add a new one, then delete the old one.",
        )

    live, change = await ensure(resource, decision)
    properties = live["properties"]
    return NodePoolOutputs(
        id=resource.id,
        name=pool.name,
        count=properties["count"],
        kubernetes_version=properties.get("currentOrchestratorVersion") or properties["orchestratorVersion"],
        zones=tuple(properties.get("availabilityZones") or ()),
        change=change,
    )


@arm_task("reach_api_server {cluster.name}")
async def reach_api_server(place: Place, cluster: ClusterOutputs) -> ApiServerOutputs:
    """Get the cluster's credentials, in memory, and prove that its API server answers this worker.

    Guide: Create infrastructure, "Create the AKS cluster ...", step 4 (az aks get-credentials). Nothing is merged
    into a kubeconfig; every step that needs the credentials fetches them for itself.
    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/list-cluster-user-credentials

    Args:
        place: the ranges that may reach it, and this worker's address.
        cluster: the cluster.

    Returns:
        The API server's version, and Azure seconds until it answered.

    Raises:
        NotEffectiveYet: no answer in time; the message names the address that Azure sees and what to do.
    """
    if is_planned(cluster):
        return ApiServerOutputs(kubernetes_version=place.kubernetes_version, waited_s=0, change=UNCHANGED)
    started_s = clock.now_s()
    async with kubernetes_api(cluster.resource_group, cluster.name) as api:
        try:
            version = await persistently(api.label, lambda: api.request("GET", "/version"))
        except TemporaryError as error:
            seen = place.worker_address or "not looked up (network.add_worker_address is off)"
            raise NotEffectiveYet(
                f"{error} Address: {api.host}. Ranges that may reach it: "
                f"{', '.join(place.authorized_ip_ranges) or 'all'}; this worker's address: {seen}. If the worker "
                "leaves through another address, set network.worker_address or network.authorized_ip_ranges."
            ) from error
    return ApiServerOutputs(
        kubernetes_version=str(version.get("gitVersion", "")),
        waited_s=round(clock.now_s() - started_s, 1),
        change=UNCHANGED,
    )
