"""AKS clusters.

https://learn.microsoft.com/rest/api/aks/managed-clusters,
https://learn.microsoft.com/rest/api/aks/managed-clusters/start,
https://learn.microsoft.com/rest/api/aks/managed-clusters/abort-latest-operation
"""

from __future__ import annotations

import ipaddress
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.deletion import settled_but_for_deletion
from aks_postgres.arm.diff import Decision, decide, merged, state_of
from aks_postgres.arm.errors import NotOurs
from aks_postgres.arm.kind import Kind
from aks_postgres.arm.planned import PlannedBody
from aks_postgres.arm.reconcile import ensure, reconcile
from aks_postgres.arm.resource import (
    ArmResource,
    is_being_deleted,
    look_at,
    look_once,
    sent,
    unsettled,
)
from aks_postgres.arm.responses import Answer, ArmFault, Json
from aks_postgres.arm.retry import asked_before_waiting, read
from aks_postgres.errors import ProvisioningError
from aks_postgres.kubernetes.power_state import IN_THE_MAKING, abort_command, is_stopped, lost_node_group
from aks_postgres.reports.outputs import (
    UNCHANGED,
    Change,
    CheckedTarget,
    ClusterOutputs,
    FieldChange,
    Planned,
    StepOutputs,
    Target,
)
from aks_postgres.resources import node_pool
from aks_postgres.resources.node_pool import DEADLINE_S
from aks_postgres.resources.ownership import refuse_foreign
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names, resource_tags

# Azure seconds, https://github.com/Azure/AKS/issues/1439 and recordings of Azure PowerShell: a create takes 4 to 13
# minutes, an update 1 to 3; AKS documents no limit, terraform waits 90 minutes.
CREATE_S = 400
UPDATE_S = 111
# More than 8 minutes: https://github.com/Azure/terraform-azurerm-aks/pull/74
DELETE_S = 500
# Azure seconds; unverified: AKS documents neither a usual time nor a limit. A start brings all nodes up again.
START_S = 240
# 5 s in azure-powershell's recording Invoke-AzAksAbortManagedClusterLatestOperation; AKS documents no limit.
ABORT_S, ABORT_DEADLINE_S = 5, 900
_POWER = "properties.powerState.code"
_RUNNING: Json = {"properties": {"powerState": {"code": "Running"}}}
# The SDK's default.
_API_VERSION = "2026-08-01"

KIND = Kind(
    "Microsoft.ContainerService/managedClusters",
    "AKS cluster",
    "Cluster",
    lambda azure: azure.container_service.managed_clusters,
    put="begin_create_or_update",
    delete="begin_delete",
    create_s=CREATE_S,
    create_deadline_s=DEADLINE_S,
    delete_s=DELETE_S,
    delete_deadline_s=DEADLINE_S,
    if_match=True,  # so that nobody's change in between is overwritten
    waits=False,  # AKS deletes it whatever else it is doing
    abort=abort_command,
    brings=(
        "AKS also makes the group of the nodes, a virtual network, a load balancer and an outbound public IP address",
        "API server address and OIDC issuer: known after creation",
    ),
    is_regional=True,
    owned=lambda names, _: (names.cluster,),
    reads="AKS cluster",
    step="AKS cluster, managed Prometheus, Container insights",
    removal="AKS cluster",
    removal_linked={
        "Microsoft.ContainerService/managedClusters/abort/action": "AKS cluster that AKS never finishes"
    },
    # The first is a linked action: https://learn.microsoft.com/azure/aks/aks-service-permissions
    linked={
        "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action": "AKS cluster with its identity",
        "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action": "namespaces, operator",
    },
)


def desired(
    spec: EnvironmentSpec, target: CheckedTarget, identity_id: str, workspace_id: str | None = None
) -> tuple[Json, Json]:
    """Return what the cluster shall be, and what is only said when it is created.

    Args:
        spec: the environment wanted.
        target: names, Kubernetes version and authorized ranges.
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
            "nodeResourceGroup": target.names.node_resource_group,
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
            "apiServerAccessProfile": {"authorizedIPRanges": list(target.authorized_ip_ranges)},
            "agentPoolProfiles": [{"name": pool.name, **node_pool.desired(spec, pool, "System", target)}],
        },
    }
    once: Json = {
        "properties": {
            "kubernetesVersion": target.kubernetes_version,
            "dnsPrefix": dns_prefix(target.names, target.subscription_id),
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
            "agentPoolProfiles": [{"name": pool.name, **node_pool.at_creation(target, pool)}],
        }
    }
    if spec.cluster.kubernetes_version:
        wanted["properties"]["kubernetesVersion"] = target.kubernetes_version
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
        properties, first = node_pool.of_postgres(spec, target)
        whole_pool = {"name": spec.postgres_pool.name, **first, **properties}
        once["properties"]["agentPoolProfiles"].append(whole_pool)
    return wanted, once


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


def decision(
    spec: EnvironmentSpec,
    target: CheckedTarget,
    identity_id: str,
    live: Json | None,
    workspace_id: str | None = None,
) -> Decision:
    """Compare the cluster with the spec.

    Args:
        spec: the environment wanted.
        target: names, Kubernetes version and authorized ranges.
        identity_id: the control plane's managed identity.
        live: the cluster as Azure answered it; None when absent.
        workspace_id: as in `desired`.

    Raises:
        NotOurs: it has no tags of ours.
        ImmutableChange: VM size, zones, network, node group, identity or region differ.
    """
    label = f"AKS cluster {target.names.cluster}"
    refuse_foreign(spec, label, live, target.names.resource_group)
    wanted, once = desired(spec, target, identity_id, workspace_id)
    pool = f"properties.agentPoolProfiles[{spec.system_pool.name}]"
    fixed = ["location", "properties.nodeResourceGroup", "properties.networkProfile"]
    if live:
        pools = live["properties"].get("agentPoolProfiles") or []
        found = next((profile for profile in pools if profile.get("name") == spec.system_pool.name), None)
        if found is None:
            fixed.append(pool)  # a cluster PUT can't bring a new pool
        profiles = wanted["properties"]["agentPoolProfiles"]
        wanted["properties"]["agentPoolProfiles"] = [
            node_pool.to_compare(spec, wanted_pool, found) for wanted_pool in profiles
        ]
    return decide(
        label,
        wanted,
        as_ranges(live) if live else None,
        only_at_creation=once,
        immutable=(*fixed, *(f"{pool}.{name}" for name in ("vmSize", "availabilityZones", "vnetSubnetID"))),
    )


def comes_with_it(spec: EnvironmentSpec, cluster: ClusterOutputs, *_: Any) -> StepOutputs | None:
    """What a step of the cluster's reports of a planned one whose one write brings all that later steps look for."""
    single = isinstance(cluster, Planned) and spec.cluster_requests == "single"
    return StepOutputs(change=UNCHANGED) if single else None


def metrics_on() -> Json:
    """The fields of a cluster with managed Prometheus."""
    return {"properties": {"azureMonitorProfile": {"metrics": {"enabled": True}}}}


def insights_on(workspace_id: str, live: Json | None = None) -> Json:
    """The fields of a cluster with the Container insights add-on that writes to this workspace.

    AKS shows the add-on a second time, as `azureMonitorProfile.containerInsights`, and takes that view when both are
    in a request (azure-cli 2.91.0, acs/custom.py: "two views of the same feature"; recorded in aks-preview's
    test_aks_create_with_monitoring_legacy_auth.yaml). So both say the same as soon as the cluster shows both.

    Args:
        workspace_id: the Log Analytics workspace.
        live: the cluster as it is; None for a new one.
    """
    config = {"logAnalyticsWorkspaceResourceID": workspace_id, "useAADAuth": "true"}
    fields: Json = {"addonProfiles": {"omsagent": {"enabled": True, "config": config}}}
    monitor = ((live or {}).get("properties") or {}).get("azureMonitorProfile") or {}
    if monitor.get("containerInsights") is not None:
        second = {"enabled": True, "logAnalyticsWorkspaceResourceId": workspace_id}
        fields["azureMonitorProfile"] = {"containerInsights": second}
    return {"properties": fields}


def existing(azure: Azure, label: str, live: Json | None) -> Json:
    """The live cluster, for a step that only changes it; in a plan, as the cluster's own step will leave it.

    Raises:
        NotOurs: it is gone, though an earlier step had it.
    """
    if azure.gate.plans:
        properties = (live or {}).get("properties") or {}
        return {**(live or {}), "properties": {**properties, "provisioningState": "Succeeded"}}
    if live is not None:
        return live
    raise NotOurs(f"{label} was deleted by someone while this run was working on it.", way_out="Run again.")


def cluster_resource(azure: Azure, resource_id: str, expected_s: float) -> ArmResource:
    """The cluster, to be written."""

    async def get(_group: str, _name: str, **_: Any) -> Answer:
        # Read hundreds of times a run: the SDK's own operation makes a model of it first, at twice the cost.
        return await azure.get(resource_id, _API_VERSION)

    async def refuse_lasting(live: Json) -> None:
        if node_group := (live.get("properties") or {}).get("nodeResourceGroup"):
            await _refuse_lost(azure, resource_id, node_group)

    return KIND.at(azure, resource_id, get=get, expected_s=expected_s, refuse_lasting=refuse_lasting)


def gone_cluster(azure: Azure, target: Target) -> ArmResource:
    """The cluster, to be deleted."""
    return KIND.gone(azure, target.resource_id(KIND.type, target.names.cluster))


async def end_operation(azure: Azure, spec: EnvironmentSpec, target: Target) -> None:
    """Have AKS end what it is doing to a cluster of ours; one that isn't there, has settled or is going stays as it is.

    Raises:
        NotOurs: it has no tags of ours.
        OperationNotDone: AKS hasn't ended it at the deadline.
    """
    names = target.names
    cluster = replace(gone_cluster(azure, target), expected_s=ABORT_S, deadline_s=ABORT_DEADLINE_S)

    async def act(live: Json | None) -> Answer | None:
        if live is None or unsettled(live) is None or is_being_deleted(live):
            return None
        refuse_foreign(spec, cluster.label, live, names.resource_group)
        azure.gate.require(f"{cluster.label}: what AKS is doing to it would be ended")
        begin = azure.container_service.managed_clusters.begin_abort_latest_operation
        # 409 where the operation ends by itself first; the next look tells.
        return await sent(begin, names.resource_group, names.cluster)

    await reconcile(
        cluster, lambda: look_once(cluster), act, lambda _answer: settled_but_for_deletion(cluster)
    )


async def start_if_stopped(
    azure: Azure, whole: ArmResource, group: str, name: str
) -> tuple[ArmResource, Change]:
    """Start the cluster if it is stopped, or once it is.

    Args:
        whole: the cluster as its writers describe it.
        group: its resource group.
        name: its name.

    Returns:
        The cluster, in a plan as it would be started; and the change.
    """
    if await look_at(whole) is None:
        return whole, UNCHANGED

    async def put(_body: Json, _live: Json | None) -> Answer:
        azure.gate.require(f"{whole.label}: would be started")
        return await sent(azure.container_service.managed_clusters.begin_start, group, name)

    resource = replace(whole, put=put, expected_s=START_S)

    def decision(live: Json | None) -> Decision:
        if not is_stopped(existing(azure, whole.label, live)):
            return Decision(UNCHANGED)
        field = FieldChange(field=_POWER, old="Stopped", new="Running")
        return Decision(Change(kind="updated", fields=(field,)), _RUNNING)

    live, change = await ensure(resource, decision)
    if not isinstance(live, PlannedBody):
        return whole, change

    async def get() -> Answer:
        return Answer(200, live)

    return replace(whole, get=get), change


def refuse_unstarted(azure: Azure, cluster: ClusterOutputs) -> None:
    """See that the cluster runs: a plan doesn't start it.

    Raises:
        ProvisioningError: nothing in it can be asked.
    """
    if azure.gate.plans and any(field.field == _POWER for field in cluster.change.fields):
        raise ProvisioningError(f"AKS cluster {cluster.name} is stopped: what is in it shows once it runs.")


async def refuse_lost_node_group(azure: Azure, cluster: ClusterOutputs) -> None:
    """Look whether somebody deleted the group of a cluster's nodes.

    Raises:
        LastingState: it isn't there, and no operation is making or deleting it with the cluster.
    """
    await _refuse_lost(azure, cluster.id, cluster.node_resource_group)


async def _refuse_lost(azure: Azure, resource_id: str, node_group: str) -> None:
    if await read("node resource group", azure.resources.resource_groups.get, node_group) is not None:
        return
    cluster = cluster_resource(azure, resource_id, UPDATE_S)
    live = await look_at(cluster)
    if live is not None and state_of(live).casefold() not in IN_THE_MAKING:
        raise lost_node_group(cluster.name, node_group)


def in_node_group(azure: Azure, cluster: ClusterOutputs) -> AbstractContextManager[None]:
    """What happens inside needs the group of the cluster's nodes: where Azure doesn't find that, it is looked for.

    A wait for it would end with the advice to wait on.
    """

    async def ask(fault: ArmFault) -> None:
        is_missing = fault.status == 404 or fault.of_aks_operation
        if is_missing and cluster.node_resource_group.casefold() in str(fault).casefold():
            await refuse_lost_node_group(azure, cluster)

    return asked_before_waiting(ask)
