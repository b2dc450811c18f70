"""Guide: Create infrastructure, "Create the AKS cluster to host the PostgreSQL cluster".

The cluster, its PostgreSQL node pool, and the proof that its API server answers. Managed Prometheus and Container
insights, which az does inside the same commands, are chapters of their own.
"""

from __future__ import annotations

import ipaddress

from aks_postgres.arm import clock
from aks_postgres.arm.client import Azure
from aks_postgres.arm.cloud_metadata import CloudFacts, portal_page
from aks_postgres.arm.diff import FINAL_STATES, Decision, decide, merged
from aks_postgres.arm.reconcile import begin, ensure, look_at
from aks_postgres.arm.responses import Answer, Json
from aks_postgres.arm.retry import persistently
from aks_postgres.errors import NotEffectiveYet, TemporaryError
from aks_postgres.kubernetes.client import kubernetes_api
from aks_postgres.preflight.kubernetes_versions import is_covered
from aks_postgres.reports.outputs import (
    UNCHANGED,
    ApiServerOutputs,
    ClusterOutputs,
    ClusterRequestOutputs,
    IdentityOutputs,
    LogWorkspaceOutputs,
    NodePoolOutputs,
    Place,
    ResourceOutputs,
)
from aks_postgres.resources import node_pool
from aks_postgres.resources.lasting_states import is_stopped, stopped_cluster, stopped_pool
from aks_postgres.resources.links import rebinding
from aks_postgres.resources.managed_cluster import (
    CREATE_S,
    cluster_resource,
    comes_with_it,
    insights_on,
    metrics_on,
)
from aks_postgres.resources.managed_cluster import KIND as CLUSTER
from aks_postgres.resources.ownership import refuse_foreign
from aks_postgres.resources.power import refuse_stopped, refuse_unstarted, start_if_stopped, together
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec, NodePoolSpec
from aks_postgres.spec.names import Names, resource_tags


def cluster_body(
    spec: EnvironmentSpec, place: Place, identity_id: str, workspace_id: str | None = None
) -> tuple[Json, Json]:
    """What the cluster shall be, and what is only said when it is created.

    Args:
        spec: the environment wanted.
        place: names, Kubernetes version and authorized ranges.
        identity_id: the control plane's managed identity.
        workspace_id: the Log Analytics workspace, where the first write brings all that later steps would add.

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
    if spec.cluster.access == "entra":
        wanted["properties"] |= {
            "aadProfile": {"managed": True, "enableAzureRBAC": True},
            "disableLocalAccounts": True,
        }
    if spec.cluster.tier == "Premium":
        wanted["properties"]["supportPlan"] = "AKSLongTermSupport"
    if spec.cluster.ssh_public_key:
        keys = [{"keyData": spec.cluster.ssh_public_key}]
        once["properties"]["linuxProfile"] = {"adminUsername": "azureuser", "ssh": {"publicKeys": keys}}
    if workspace_id is not None:
        once = merged(merged(once, metrics_on()), insights_on(workspace_id))
        properties, first = postgres_pool_body(spec, place)
        whole_pool = {"name": spec.postgres_pool.name, **first, **properties}
        once["properties"]["agentPoolProfiles"].append(whole_pool)
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
    if spec.network.subnet_id:
        properties["vnetSubnetID"] = spec.network.subnet_id
    if pool.labels:
        properties["nodeLabels"] = dict(pool.labels)
    if spec.cluster.kubernetes_version:
        properties["orchestratorVersion"] = place.kubernetes_version
    return properties


def postgres_pool_body(spec: EnvironmentSpec, place: Place) -> tuple[Json, Json]:
    """The properties of PostgreSQL's node pool that we own, and those that are only said when it is created."""
    pool = spec.postgres_pool
    return pool_properties(spec, pool, "User", place), {
        **first_pool_properties(place, pool),
        "upgradeSettings": {"undrainableNodeBehavior": "Schedule"},
        "scaleDownMode": "Delete",
    }


def to_compare(spec: EnvironmentSpec, properties: Json, live: Json | None) -> Json:
    """The fields of a node pool that we own, without a version that the live pool has: AKS patches in its own time."""
    version = (live or {}).get("currentOrchestratorVersion") or (live or {}).get("orchestratorVersion")
    if spec.cluster.kubernetes_version and version and is_covered(spec.cluster.kubernetes_version, version):
        return {key: value for key, value in properties.items() if key != "orchestratorVersion"}
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


def cluster_decision(
    spec: EnvironmentSpec, place: Place, identity_id: str, live: Json | None, workspace_id: str | None = None
) -> Decision:
    """Compare the cluster with the spec.

    Args:
        spec: the environment wanted.
        place: names, Kubernetes version and authorized ranges.
        identity_id: the control plane's managed identity.
        live: the cluster as Azure answered it; None when absent.
        workspace_id: as in `cluster_body`.

    Raises:
        NotOurs: it has no tags of ours.
        ImmutableChange: VM size, zones, network, node group, identity or region differ.
    """
    label = f"AKS cluster {place.names.cluster}"
    refuse_foreign(spec, label, live, place.names.resource_group)
    wanted, once = cluster_body(spec, place, identity_id, workspace_id)
    pool = f"properties.agentPoolProfiles[{spec.system_pool.name}]"
    fixed = ["location", "properties.nodeResourceGroup", "properties.networkProfile"]
    if live:
        pools = live["properties"].get("agentPoolProfiles") or []
        found = next((one for one in pools if one.get("name") == spec.system_pool.name), None)
        if found is None:
            fixed.append(pool)  # a cluster PUT can't bring a new pool
        profiles = wanted["properties"]["agentPoolProfiles"]
        wanted["properties"]["agentPoolProfiles"] = [to_compare(spec, one, found) for one in profiles]
    return decide(
        label,
        wanted,
        as_ranges(live) if live else None,
        only_at_creation=once,
        immutable=(*fixed, *(f"{pool}.{name}" for name in ("vmSize", "availabilityZones", "vnetSubnetID"))),
    )


def cluster_outputs(
    live: Json, place: Place, change_of: ResourceOutputs, facts: CloudFacts
) -> ClusterOutputs:
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
        portal_url=portal_page(facts, place.tenant_id, change_of.id),
        change=change_of.change,
    )


@arm_task("request_cluster {place.names.cluster}", looks=True)
async def request_cluster(
    azure: Azure,
    spec: EnvironmentSpec,
    place: Place,
    group: ResourceOutputs,
    identity: IdentityOutputs,
    workspace: LogWorkspaceOutputs,
) -> ClusterRequestOutputs:
    """Send the one write that makes the whole cluster, if there is none: both pools, metrics and add-on.

    It doesn't wait for the end, so that the associations are there before the agents start; `ensure_cluster` does.

    Guide: none; `cluster_requests: single`, as the ARM templates of Container insights and managed Prometheus do it.
    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update

    Args:
        spec: the environment wanted.
        place: names, Kubernetes version and authorized ranges as the preflight resolved them.
        group: the environment's resource group.
        identity: the control plane's managed identity.
        workspace: the Log Analytics workspace that Container insights writes to.

    Returns:
        ID and name of the cluster, and where Azure tells how its creation goes.

    Raises:
        NotOurs: there is a cluster of that name without tags of ours.
    """
    resource_id = place.resource_id(CLUSTER.type, place.names.cluster)
    resource = cluster_resource(azure, resource_id, CREATE_S)

    def decision(live: Json | None) -> Decision:
        if live is not None:
            refuse_foreign(spec, resource.label, live, group.name)
            return Decision(UNCHANGED)
        return cluster_decision(spec, place, identity.id, None, workspace.id)

    change, answer = await begin(resource, decision)
    return ClusterRequestOutputs(
        id=resource_id,
        name=place.names.cluster,
        is_sent=answer is not None,
        operation_url=answer.operation_url if answer else None,
        change=change,
    )


@arm_task("ensure_cluster {place.names.cluster}")
async def ensure_cluster(
    azure: Azure,
    spec: EnvironmentSpec,
    place: Place,
    group: ResourceOutputs,
    identity: IdentityOutputs,
    requested: ClusterRequestOutputs | None = None,
) -> ClusterOutputs:
    """Create the AKS cluster with its system pool, or bring it to the spec.

    Guide: Create infrastructure, "Create the AKS cluster ...", steps 1 and 2 (az aks create, az aks wait).
    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update

    Args:
        spec: the environment wanted.
        place: names, Kubernetes version and authorized ranges as the preflight resolved them.
        group: the environment's resource group.
        identity: the control plane's managed identity.
        requested: the write under way that makes it (`request_cluster`), if there is one.

    Returns:
        IDs, names, version, FQDN and OIDC issuer.

    Raises:
        ImmutableChange: the live cluster has another VM size, zones or network; the message says the way out.
        LastingState: it is stopped and `cluster.if_stopped` is refuse, or AKS keeps to an identity that is gone.
        ClusterBusy: AKS was busy for the whole budget; retried by Prefect.
        OperationNotDone: still in progress at the deadline; a rerun goes on waiting.
    """
    resource_id = place.resource_id(CLUSTER.type, place.names.cluster)
    resource = cluster_resource(azure, resource_id, CREATE_S)
    begun = None
    if requested is not None and requested.is_sent:
        url = requested.operation_url
        begun = Answer(202, {}, {"azure-asyncoperation": url} if url else {})
    started = UNCHANGED
    if spec.cluster.if_stopped == "start" and begun is None:
        resource, started = await start_if_stopped(azure, resource, group.name, place.names.cluster)
    resource, rebound = rebinding(resource, identity)

    def decision(live: Json | None) -> Decision:
        if is_stopped(live):
            raise stopped_cluster(group.name, place.names.cluster)
        return rebound(cluster_decision(spec, place, identity.id, live), live)

    live, change = await ensure(resource, decision, begun)
    change = together(started, change)
    return cluster_outputs(
        live, place, ResourceOutputs(id=resource_id, name=place.names.cluster, change=change), azure.facts
    )


@arm_task("ensure_node_pool {spec.postgres_pool.name}")
async def ensure_node_pool(
    azure: Azure, spec: EnvironmentSpec, place: Place, cluster: ClusterOutputs
) -> NodePoolOutputs:
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
        LastingState: it is stopped, and `cluster.if_stopped` is refuse.
        ClusterBusy: AKS was busy for the whole budget; retried by Prefect.
        OperationNotDone: still in progress at the deadline; a rerun goes on waiting.
    """
    pool = spec.postgres_pool
    properties, first = postgres_pool_body(spec, place)
    whole = cluster_resource(azure, cluster.id, CREATE_S)

    async def is_busy() -> bool:
        # Of a cluster AKS takes a read a second; of all node pools of a subscription together no more.
        # https://learn.microsoft.com/azure/aks/quotas-skus-regions
        pools = ((await look_at(whole) or {}).get("properties") or {}).get("agentPoolProfiles") or []
        states = [str(one.get("provisioningState")) for one in pools if one.get("name") == pool.name]
        return any(state.casefold() not in FINAL_STATES for state in states)

    resource = node_pool.KIND.at(
        azure, f"{cluster.id}/agentPools/{pool.name}", guards=(whole,), is_busy=is_busy
    )

    def decision(live: Json | None) -> Decision:
        compared = to_compare(spec, properties, live and live["properties"])
        if is_stopped(live):
            if spec.cluster.if_stopped == "refuse":
                raise stopped_pool(cluster.resource_group, cluster.name, pool.name)
            compared = {**compared, "powerState": {"code": "Running"}}
        return node_pool.KIND.decide(
            resource.label, {"properties": compared}, live, only_at_creation={"properties": first}
        )

    live, change = await ensure(resource, decision)
    found = live["properties"]
    return NodePoolOutputs(
        id=resource.id,
        name=pool.name,
        count=found["count"],
        kubernetes_version=found.get("currentOrchestratorVersion") or found["orchestratorVersion"],
        zones=tuple(found.get("availabilityZones") or ()),
        change=UNCHANGED if comes_with_it(spec, cluster) else change,
    )


def _planned_api_server(place: Place, _cluster: ClusterOutputs) -> ApiServerOutputs:
    return ApiServerOutputs(kubernetes_version=place.kubernetes_version, waited_s=0, change=UNCHANGED)


@arm_task("reach_api_server {cluster.name}", looks=True, needs="cluster", planned=_planned_api_server)
async def reach_api_server(azure: Azure, place: Place, cluster: ClusterOutputs) -> ApiServerOutputs:
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
        LastingState: the cluster was stopped meanwhile.
    """
    refuse_unstarted(azure, cluster)
    started_s = clock.now_s()
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        try:
            version = await persistently(api.label, lambda: api.request("GET", "/version"))
        except TemporaryError as error:
            whole = cluster_resource(azure, cluster.id, CREATE_S)
            await refuse_stopped(whole, cluster.resource_group, cluster.name)
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
