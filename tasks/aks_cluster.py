"""Guide: Create infrastructure, "Create the AKS cluster to host the PostgreSQL cluster".

The cluster, its PostgreSQL node pool, and the proof that its API server answers. Managed Prometheus and Container
insights, which az does inside the same commands, are chapters of their own.
"""

from __future__ import annotations

from aks_postgres.arm import clock
from aks_postgres.arm.client import Azure
from aks_postgres.arm.cloud_metadata import CloudFacts, portal_page
from aks_postgres.arm.diff import FINAL_STATES, Decision
from aks_postgres.arm.errors import NotEffectiveYet
from aks_postgres.arm.reconcile import begin, ensure
from aks_postgres.arm.resource import look_at
from aks_postgres.arm.responses import Answer, Json
from aks_postgres.arm.retry import with_retries
from aks_postgres.errors import TemporaryError
from aks_postgres.kubernetes.client import kubernetes_api
from aks_postgres.kubernetes.power_state import is_stopped, stopped_cluster
from aks_postgres.reports.outputs import (
    UNCHANGED,
    ApiServerOutputs,
    CheckedTarget,
    ClusterOutputs,
    ClusterRequestOutputs,
    IdentityOutputs,
    LogWorkspaceOutputs,
    NodePoolOutputs,
    ResourceOutputs,
)
from aks_postgres.resources import managed_cluster, node_pool
from aks_postgres.resources.links import rebinding
from aks_postgres.resources.managed_cluster import (
    CREATE_S,
    cluster_resource,
    comes_with_it,
    in_node_group,
    refuse_lost_node_group,
    refuse_unstarted,
    start_if_stopped,
)
from aks_postgres.resources.managed_cluster import KIND as CLUSTER
from aks_postgres.resources.ownership import refuse_foreign
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec


def cluster_outputs(
    live: Json, target: CheckedTarget, change_of: ResourceOutputs, facts: CloudFacts
) -> ClusterOutputs:
    """The cluster as Azure reports it."""
    properties = live["properties"]
    node_group = properties["nodeResourceGroup"]
    return ClusterOutputs(
        id=change_of.id,
        name=target.names.cluster,
        resource_group=target.names.resource_group,
        node_resource_group=node_group,
        node_resource_group_id=target.group_id(node_group),
        kubernetes_version=properties.get("currentKubernetesVersion") or properties["kubernetesVersion"],
        fqdn=properties.get("fqdn") or "",
        oidc_issuer_url=(properties.get("oidcIssuerProfile") or {}).get("issuerURL") or "",
        portal_url=portal_page(facts, target.tenant_id, change_of.id),
        change=change_of.change,
    )


@arm_task("request_cluster {target.names.cluster}", looks=True)
async def request_cluster(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
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
        target: names, Kubernetes version and authorized ranges as the preflight resolved them.
        group: the environment's resource group.
        identity: the control plane's managed identity.
        workspace: the Log Analytics workspace that Container insights writes to.

    Returns:
        ID and name of the cluster, and where Azure tells how its creation goes.

    Raises:
        NotOurs: there is a cluster of that name without tags of ours.
    """
    resource_id = target.resource_id(CLUSTER.type, target.names.cluster)
    resource = cluster_resource(azure, resource_id, CREATE_S)

    def decision(live: Json | None) -> Decision:
        if live is not None:
            refuse_foreign(spec, resource.label, live, group.name)
            return Decision(UNCHANGED)
        return managed_cluster.decision(spec, target, identity.id, None, workspace.id)

    change, answer = await begin(resource, decision)
    return ClusterRequestOutputs(
        id=resource_id,
        name=target.names.cluster,
        is_sent=answer is not None,
        operation_url=answer.operation_url if answer else None,
        change=change,
    )


@arm_task("ensure_cluster {target.names.cluster}")
async def ensure_cluster(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    group: ResourceOutputs,
    identity: IdentityOutputs,
    requested: ClusterRequestOutputs | None = None,
) -> ClusterOutputs:
    """Create the AKS cluster with its system pool, or bring it to the spec.

    Guide: Create infrastructure, "Create the AKS cluster ...", steps 1 and 2 (az aks create, az aks wait).
    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update

    Args:
        spec: the environment wanted.
        target: names, Kubernetes version and authorized ranges as the preflight resolved them.
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
    resource_id = target.resource_id(CLUSTER.type, target.names.cluster)
    resource = cluster_resource(azure, resource_id, CREATE_S)
    begun = None
    if requested is not None and requested.is_sent:
        url = requested.operation_url
        begun = Answer(202, {}, {"azure-asyncoperation": url} if url else {})
    started = UNCHANGED
    if spec.cluster.if_stopped == "start" and begun is None:
        resource, started = await start_if_stopped(azure, resource, group.name, target.names.cluster)
    resource, rebound = rebinding(resource, identity)

    def decision(live: Json | None) -> Decision:
        if is_stopped(live):
            raise stopped_cluster(group.name, target.names.cluster)
        return rebound(managed_cluster.decision(spec, target, identity.id, live), live)

    live, change = await ensure(resource, decision, begun)
    change = started.then(change)
    return cluster_outputs(
        live, target, ResourceOutputs(id=resource_id, name=target.names.cluster, change=change), azure.facts
    )


@arm_task("ensure_node_pool {spec.postgres_pool.name}")
async def ensure_node_pool(
    azure: Azure, spec: EnvironmentSpec, target: CheckedTarget, cluster: ClusterOutputs
) -> NodePoolOutputs:
    """Add the node pool that runs PostgreSQL, or bring it to the spec.

    Guide: Create infrastructure, "Create the AKS cluster ...", step 3 (az aks nodepool add).
    REST: https://learn.microsoft.com/rest/api/aks/agent-pools/create-or-update

    Args:
        spec: the environment wanted; counts are nodes over all zones.
        target: the Kubernetes version as the preflight resolved it.
        cluster: the cluster as `ensure_cluster` returned it.

    Returns:
        ID, node count, Kubernetes version and zones as Azure reports them.

    Raises:
        ImmutableChange: the live pool has another VM size or zones.
        LastingState: it is stopped, and `cluster.if_stopped` is refuse; or the cluster has lost its nodes' group.
        ClusterBusy: AKS was busy for the whole budget; retried by Prefect.
        OperationNotDone: still in progress at the deadline; a rerun goes on waiting.
    """
    pool = spec.postgres_pool
    whole = cluster_resource(azure, cluster.id, CREATE_S)

    async def is_busy() -> bool:
        # Of a cluster AKS takes a read a second; of all node pools of a subscription together no more.
        # https://learn.microsoft.com/azure/aks/quotas-skus-regions
        pools = ((await look_at(whole) or {}).get("properties") or {}).get("agentPoolProfiles") or []
        states = [
            str(profile.get("provisioningState")) for profile in pools if profile.get("name") == pool.name
        ]
        return any(state.casefold() not in FINAL_STATES for state in states)

    async def refuse_lasting(_live: Json) -> None:
        await refuse_lost_node_group(azure, cluster)

    resource = node_pool.KIND.at(
        azure,
        f"{cluster.id}/agentPools/{pool.name}",
        guards=(whole,),
        is_busy=is_busy,
        refuse_lasting=refuse_lasting,
    )

    def decision(live: Json | None) -> Decision:
        return node_pool.decision(resource.label, spec, target, cluster, live)

    with in_node_group(azure, cluster):
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


def _planned_api_server(target: CheckedTarget, _cluster: ClusterOutputs) -> ApiServerOutputs:
    return ApiServerOutputs(kubernetes_version=target.kubernetes_version, waited_s=0, change=UNCHANGED)


@arm_task("reach_api_server {cluster.name}", looks=True, needs="cluster", planned=_planned_api_server)
async def reach_api_server(azure: Azure, target: CheckedTarget, cluster: ClusterOutputs) -> ApiServerOutputs:
    """Get the cluster's credentials, in memory, and prove that its API server answers this worker.

    Guide: Create infrastructure, "Create the AKS cluster ...", step 4 (az aks get-credentials). Nothing is merged
    into a kubeconfig; every step that needs the credentials fetches them for itself.
    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/list-cluster-user-credentials

    Args:
        target: the ranges that may reach it, and this worker's address.
        cluster: the cluster.

    Returns:
        The API server's version, and Azure seconds until it answered.

    Raises:
        NotEffectiveYet: no answer in time; the message names the address that Azure sees and what to do.
        LastingState: the cluster was stopped meanwhile; told at once.
    """
    refuse_unstarted(azure, cluster)
    started_s = clock.now_s()
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        try:
            version = await with_retries(api.label, lambda: api.request("GET", "/version"))
        except TemporaryError as error:
            seen = target.worker_address or "not looked up (network.add_worker_address is off)"
            raise NotEffectiveYet(
                f"{error} Address: {api.host}. Ranges that may reach it: "
                f"{', '.join(target.authorized_ip_ranges) or 'all'}; this worker's address: {seen}. If the worker "
                "leaves through another address, set network.worker_address or network.authorized_ip_ranges."
            ) from error
    return ApiServerOutputs(
        kubernetes_version=str(version.get("gitVersion", "")),
        waited_s=round(clock.now_s() - started_s, 1),
        change=UNCHANGED,
    )
