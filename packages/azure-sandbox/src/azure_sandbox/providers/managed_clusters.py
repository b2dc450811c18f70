"""Microsoft.ContainerService/managedClusters: create, update, tags, delete, credentials, abort, upgrades.

REST: https://learn.microsoft.com/rest/api/aks/managed-clusters
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.core.regions import find_region
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.providers import (
    aks_api_server,
    aks_background,
    aks_defaults,
    aks_enums,
    aks_insights,
    aks_node_group,
    aks_power,
    aks_shapes,
    aks_subnet_validation,
    aks_versions,
)
from azure_sandbox.providers import aks_pool_validation as pool_rules
from azure_sandbox.providers import aks_validation as rules
from azure_sandbox.providers.container_service import (
    API_VERSIONS,
    CLUSTER,
    POOL,
    WITHOUT_RESULT,
    WRITE,
    check_deletion,
    check_not_busy,
    follow_cluster,
    pools_of,
    refusal,
    running_operations,
    throttle,
    throttle_other,
)
from azure_sandbox.providers.container_service import provider as aks

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.operations import Operation
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

aks.type("managedClusters", api_versions=API_VERSIONS, delete_duration="aks_cluster_delete")


@aks.put("managedClusters/{cluster}")
def managed_clusters_create_or_update(call: Call) -> Response:
    """ManagedClusters_CreateOrUpdate: 201 for a new cluster, 200 for a known one; the client polls.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update
    """
    throttle(call, "PutManagedClusterHandler.PUT", call.id, capacity=20, per_s=1 / 60)
    if call.live is not None:
        check_deletion(call, call.live, None, "Updating")
    call.check_if_match(bare=True)
    aks_shapes.check_cluster(call.body)
    call.body = aks_enums.cluster_as_written(call.body)
    return _create(call) if call.live is None else _update(call, call.live)


def _create(call: Call) -> Response:
    sandbox, sent = call.sandbox, aks_insights.agreed(call.properties, None)
    name = call.names["cluster"]
    rules.check_cluster_name(name)
    region = find_region(call.body["location"])
    if region is None:
        raise ArmError(
            400,
            "LocationNotAvailableForResourceType",
            f"The provided location '{call.body['location']}' is not available for resource type "
            f"'{CLUSTER}'.",
        )
    rules.check_dns_prefix(sent.get("dnsPrefix"))
    rules.check_identity(call)
    rules.check_cluster_count(sandbox, region.name)
    rules.check_node_group(sandbox, sent.get("nodeResourceGroup"), group=call.group)
    rules.check_support_plan(sent, _tier(call.body))
    wanted = sent.get("kubernetesVersion") or aks_versions.default_minor()
    aks_versions.check_offered(name, wanted, sent.get("supportPlan") or aks_versions.COMMUNITY)
    rules.check_network(sent, sent.get("agentPoolProfiles") or [])
    rules.check_workload_identity(sent)
    rules.check_authorized_ranges(sent)
    rules.check_workspace(sandbox, sent)
    properties = aks_defaults.cluster_properties(
        sandbox, sent=sent, live=None, name=name, group=call.group, location=region.name, version=wanted
    )
    pools = _new_pools(call, sent.get("agentPoolProfiles") or [], properties, region.name)
    cluster = call.put(_body(call, region.name, properties, None))
    for pool_name, pool in pools.items():
        put_pool(sandbox, cluster, pool_name, pool)
    follow_cluster(sandbox, cluster, True)
    aks_api_server.make(sandbox, cluster)
    answer = call.begin(
        cluster,
        duration="aks_cluster_create",
        polling=WRITE,
        effect=lambda _operation: _created(sandbox, cluster),
        settled=lambda operation: _settled(sandbox, cluster, operation),
        latency_s=call.seconds("aks_cluster_create_answer"),
    )
    visible_s = call.seconds("aks_node_group_visible")
    sandbox.clock.call_later(visible_s, lambda: _node_group_appears(sandbox, cluster))
    aks_background.nodes_join(sandbox, cluster, cluster)
    return answer


def _new_pools(call: Call, sent: list[Json], cluster: Json, location: str) -> dict[str, Json]:
    pools: dict[str, Json] = {}
    for profile in sent:
        name = str(profile.get("name") or "")
        stored = aks_defaults.pool_properties(profile, live=None, cluster=cluster)
        pool_rules.check_pool(call, name=name, sent=profile, stored=stored, live=None, location=location)
        aks_versions.check_pool_version(
            None, stored["currentOrchestratorVersion"], cluster["currentKubernetesVersion"]
        )
        if name in pools:
            raise rules.invalid("agentPoolProfile.name", f"Name {name} is used twice.")
        pools[name] = stored
    if not any(pool["mode"] == "System" for pool in pools.values()):
        # https://github.com/Azure/AKS/issues/1568
        raise refusal("MustDefineAtLeastOneSystemPool", "Must define at least one system pool.")
    aks_subnet_validation.check_subnets(call, pools, cluster, location, {})
    nodes = [(pool["vmSize"], pool["count"]) for pool in pools.values()]
    pool_rules.check_quota(call.sandbox, location, nodes)
    return pools


def _update(call: Call, cluster: Resource) -> Response:
    check_not_busy(call, cluster)
    aks_power.check_running(cluster, "updating")
    sandbox, live = call.sandbox, cluster.properties
    sent = aks_insights.agreed(call.properties, live)
    rules.check_identity(call)
    rules.check_cluster_change(live, sent)
    rules.check_support_plan(sent, _tier(call.body))
    version = _wanted_version(call, cluster, sent)
    network = {**live["networkProfile"], **(sent.get("networkProfile") or {})}
    rules.check_network({"networkProfile": network}, [pool.properties for pool in pools_of(sandbox, cluster)])
    rules.check_workload_identity({"oidcIssuerProfile": live.get("oidcIssuerProfile"), **sent})
    rules.check_authorized_ranges(sent)
    rules.check_workspace(sandbox, sent)
    properties = aks_defaults.cluster_properties(
        sandbox,
        sent=sent,
        live=live,
        name=cluster.name,
        group=call.group,
        location=cluster.location,
        version=version,
    )
    target = _target_version(properties)
    upgrades = target != live["currentKubernetesVersion"]
    after = {**properties, "currentKubernetesVersion": target}
    changed = _changed_pools(call, cluster, sent.get("agentPoolProfiles"), after)
    upgrades = upgrades or any(pool_upgrades for _, pool_upgrades in changed.values())
    duration = "aks_cluster_upgrade" if upgrades else "aks_cluster_update"
    if not aks_api_server.is_open(sandbox, cluster):  # Its creation failed: this makes it after all.
        duration = "aks_cluster_create"
    before = dict(live)
    call.put(_body(call, cluster.location, properties, cluster))
    for name, (pool, _) in changed.items():
        put_pool(sandbox, cluster, name, pool)
    follow_cluster(sandbox, cluster, True)
    return call.begin(
        cluster,
        duration=duration,
        polling=WRITE,
        state="Upgrading" if upgrades else "Updating",
        effect=lambda _operation: _updated(sandbox, cluster, before),
        settled=lambda operation: _settled(sandbox, cluster, operation),
        latency_s=call.seconds("aks_write_answer"),
    )


def _tier(body: Json) -> str:
    return str((body.get("sku") or {}).get("tier") or "Free")


def _wanted_version(call: Call, cluster: Resource, sent: Json) -> str:
    """The version after an update; the alias of the live minor version stays at the live patch version."""
    live: Json = cluster.properties
    current = str(live["currentKubernetesVersion"])
    wanted = str(sent.get("kubernetesVersion") or live["kubernetesVersion"])
    if wanted in (live["kubernetesVersion"], aks_versions.minor_of(current), current):
        return wanted
    aks_versions.check_upgrade(current, aks_versions.newest_patch(wanted))
    plan = sent.get("supportPlan") or live["supportPlan"]
    aks_versions.check_offered(cluster.name, wanted, plan)
    return wanted


def _target_version(properties: Json) -> str:
    """The full version that the control plane is to have."""
    current, wanted = str(properties["currentKubernetesVersion"]), str(properties["kubernetesVersion"])
    same = wanted in (current, aks_versions.minor_of(current))
    return current if same else aks_versions.newest_patch(wanted)


def _changed_pools(
    call: Call, cluster: Resource, sent: list[Json] | None, properties: Json
) -> dict[str, tuple[Json, bool]]:
    """The pools as the request wants them, and whether their version changes; those it leaves out stay."""
    known = {pool.name: pool for pool in pools_of(call.sandbox, cluster)}
    changed: dict[str, tuple[Json, bool]] = {}
    more: list[tuple[str, int]] = []
    for profile in sent or []:
        pool = known.get(str(profile.get("name")))
        if pool is None:
            # https://github.com/pulumi/pulumi-azure-nextgen/issues/168
            raise refusal(
                "BadRequest",
                "A new agent pool was introduced. Adding agent pools to an existing cluster is not "
                "allowed through managed cluster operations. For agent pool specific change, please use "
                "per agent pool operations: https://aka.ms/agent-pool-rest-api",
                target="agentPoolProfiles",
            )
        stored, upgrades, added = changed_pool(call, cluster, pool, profile, properties)
        changed[pool.name] = (stored, upgrades)
        more += added
    systems = {name for name, pool in known.items() if pool.properties["mode"] == "System"}
    systems |= {name for name, (pool, _) in changed.items() if pool["mode"] == "System"}
    systems -= {name for name, (pool, _) in changed.items() if pool["mode"] != "System"}
    if not systems:
        raise refusal("MustDefineAtLeastOneSystemPool", "Must define at least one system pool.")
    live = {name: pool.properties for name, pool in known.items()}
    stored = {name: pool for name, (pool, _) in changed.items()}
    aks_subnet_validation.check_subnets(call, stored, properties, cluster.location, live)
    pool_rules.check_quota(call.sandbox, cluster.location, more)
    return changed


def changed_pool(
    call: Call, cluster: Resource, pool: Resource, sent: Json, properties: Json
) -> tuple[Json, bool, list[tuple[str, int]]]:
    """A known pool as a request wants it, checked.

    Args:
        call: the request.
        cluster: the cluster.
        pool: the pool as it is.
        sent: its properties in the request.
        properties: the cluster's properties as the request wants them.

    Returns:
        The properties to store, whether the pool's version changes, and the nodes added (size, number).
    """
    live = pool.properties
    stored = aks_defaults.pool_properties(sent, live=live, cluster=properties)
    pool_rules.check_pool(
        call, name=pool.name, sent=sent, stored=stored, live=live, location=cluster.location
    )
    current, wanted = live["currentOrchestratorVersion"], stored["currentOrchestratorVersion"]
    upgrades = current != wanted
    if upgrades:
        aks_versions.check_pool_version(current, wanted, properties["currentKubernetesVersion"])
    added = stored["count"] - live["count"] + (pool_rules.surge_nodes(stored) if upgrades else 0)
    return stored, upgrades, [(stored["vmSize"], added)]


def put_pool(sandbox: Sandbox, cluster: Resource, name: str, properties: Json) -> Resource:
    """Store a node pool, a resource of its own; a known one gets its new version in `finish_pools`."""
    pool_id = f"{cluster.id}/agentPools/{name}"
    known = sandbox.store.get(pool_id)
    kept: Json = {}
    if known is not None:
        current = known.properties["currentOrchestratorVersion"]
        kept = {"provisioningState": known.state, "currentOrchestratorVersion": current}
    pool = sandbox.store.put(
        pool_id, POOL, {"location": cluster.location, "properties": {**properties, **kept}}
    )
    pool.notes["target_version"] = properties["currentOrchestratorVersion"]
    return pool


def finish_pools(sandbox: Sandbox, cluster: Resource) -> None:
    """Let the pools that were upgraded have their new version."""
    for pool in pools_of(sandbox, cluster):
        pool.properties["currentOrchestratorVersion"] = pool.notes["target_version"]


def _body(call: Call, location: str, properties: Json, live: Resource | None) -> Json:
    body: Json = {
        "location": location,
        "kind": "Base",
        "sku": {"name": "Base", "tier": _tier(call.body)},
        "properties": properties,
    }
    if call.body.get("tags") is not None:
        body["tags"] = call.body["tags"]
    identity = call.body.get("identity")
    if identity is None and live is not None:
        identity = live.body.get("identity")
    if identity is not None:
        body["identity"] = _identity(call, identity, live)
    return body


def _identity(call: Call, sent: Json, live: Resource | None) -> Json:
    """The identity with what the service knows of it: client and principal ids."""
    sandbox, identity = call.sandbox, {"type": sent.get("type") or "SystemAssigned"}
    assigned: Json = {}
    for identity_id in sent.get("userAssignedIdentities") or {}:
        resource = sandbox.store.get(identity_id)
        if resource is not None:
            assigned[identity_id] = {
                "clientId": resource.properties["clientId"],
                "principalId": resource.properties["principalId"],
            }
    if assigned:
        identity["userAssignedIdentities"] = assigned
    if identity["type"].lower().startswith("systemassigned"):
        known = (live.body.get("identity") or {}) if live is not None else {}
        principal_id = known.get("principalId")
        if principal_id is None:
            principal_id = sandbox.entra.add_managed_identity(call.id, call.names["cluster"]).object_id
        identity |= {"principalId": principal_id, "tenantId": sandbox.tenant_id}
    return identity


# What follows from a write.


def _node_group_appears(sandbox: Sandbox, cluster: Resource) -> None:
    if sandbox.store.get(cluster.id) is cluster and cluster.state == "Creating":
        aks_node_group.make_node_group(sandbox, cluster)


def _created(sandbox: Sandbox, cluster: Resource) -> None:
    aks_node_group.fill_node_group(sandbox, cluster)
    for pool in pools_of(sandbox, cluster):
        pool.notes["has_nodes"] = True
    aks_api_server.open_for_clients(sandbox, cluster)
    aks_background.after_write(sandbox, cluster)


def _updated(sandbox: Sandbox, cluster: Resource, before: Json) -> None:
    cluster.properties["currentKubernetesVersion"] = _target_version(cluster.properties)
    finish_pools(sandbox, cluster)
    if not aks_api_server.is_open(sandbox, cluster):  # The write healed a creation that had failed.
        _created(sandbox, cluster)
        return
    aks_node_group.fill_node_group(sandbox, cluster)
    aks_node_group.let_identity_in(sandbox, cluster)
    aks_api_server.sync_nodes(sandbox, cluster)
    aks_api_server.vouch(sandbox, cluster)
    if before.get("apiServerAccessProfile") != cluster.properties.get("apiServerAccessProfile"):
        aks_api_server.authorize_later(sandbox, cluster)
    aks_background.after_write(sandbox, cluster)


def _settled(sandbox: Sandbox, cluster: Resource, operation: Operation) -> None:
    """After the end: a lost write is lost for the pools too, and AKS goes on with something of its own."""
    if cluster.previous is not None and cluster.body is cluster.previous:
        for pool in pools_of(sandbox, cluster):
            if pool.previous is not None:
                pool.body = pool.previous
    if operation.status == "Succeeded":
        aks_background.something_of_its_own(sandbox, cluster, after_create=operation.state == "Creating")


# Tags and deletion.


@aks.patch("managedClusters/{cluster}")
def managed_clusters_update_tags(call: Call) -> Response:
    """ManagedClusters_UpdateTags: 200 and an operation; the tags sent replace the tags there are.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/update-tags
    """
    cluster = call.found()
    throttle_other(call)
    check_deletion(call, cluster, None, "Updating")
    call.check_if_match(bare=True)
    check_not_busy(call, cluster)
    aks_power.check_running(cluster, "updating")
    tags = call.body.get("tags") or {}
    call.put({**cluster.body, "tags": tags})
    return call.begin(cluster, duration="aks_tags_update", polling=WRITE, status=200)


@aks.delete("managedClusters/{cluster}")
def managed_clusters_delete(call: Call) -> Response:
    """ManagedClusters_Delete: 202, whatever else is going on; 204 when there is none.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/delete
    """
    throttle_other(call)
    cluster = call.live
    if cluster is None:
        return Response(204)
    call.check_if_match(bare=True)
    already = call.sandbox.operations.running(cluster.id)
    if already is not None and already.deletes:
        return Response(202, headers=WITHOUT_RESULT.headers(already, call.base_url))
    for operation in list(running_operations(call.sandbox, cluster)):
        # https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/error-code-operationpreempted
        text = "This operation has been preempted by Deleting operation."
        error = {"code": "AKSOperationPreemptedByDelete", "message": text}
        call.sandbox.operations.end(operation, "Failed", error, touch=False)
    follow_cluster(call.sandbox, cluster, True)
    return call.begin_delete(duration="aks_cluster_delete", polling=WITHOUT_RESULT)


@aks.removed("managedClusters")
def managed_cluster_removed(cluster: Resource, sandbox: Sandbox) -> None:
    """A cluster takes its API server and its node resource group with it."""
    aks_api_server.close(sandbox, cluster)
    aks_node_group.remove_node_group(sandbox, cluster)
    principal_id = (cluster.body.get("identity") or {}).get("principalId")
    if principal_id:
        sandbox.entra.remove(principal_id)
