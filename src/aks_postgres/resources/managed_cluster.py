"""The managed cluster as an ARM resource, as every chapter that writes it describes it."""

from __future__ import annotations

from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.deletion import Deletable
from aks_postgres.arm.errors import NotOurs
from aks_postgres.arm.kind import Kind
from aks_postgres.arm.reconcile import ArmResource
from aks_postgres.arm.responses import Answer, Json
from aks_postgres.reports.outputs import UNCHANGED, ClusterOutputs, Planned, StepOutputs, Target
from aks_postgres.spec.environment import EnvironmentSpec

# Azure seconds, https://github.com/Azure/AKS/issues/1439 and recordings of Azure PowerShell: a create takes 4 to 13
# minutes, an update 1 to 3; AKS documents no limit, terraform waits 90 minutes.
CREATE_S = 400
UPDATE_S = 111
DEADLINE_S = 3600
# More than 8 minutes: https://github.com/Azure/terraform-azurerm-aks/pull/74
DELETE_S = 500
# The SDK's default.
_API_VERSION = "2026-08-01"


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
    is_regional=True,
    owned=lambda names, _: (names.cluster,),
    reads="AKS cluster",
    step="AKS cluster, managed Prometheus, Container insights",
    removal="AKS cluster",
    # The first is a linked action: https://learn.microsoft.com/azure/aks/aks-service-permissions
    linked={
        "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action": "AKS cluster with its identity",
        "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action": "namespaces, operator",
    },
)


def cluster_resource(azure: Azure, resource_id: str, expected_s: float) -> ArmResource:
    """The cluster, to be written."""

    async def get(_group: str, _name: str, **_: Any) -> Answer:
        # Read hundreds of times a run: the SDK's own operation makes a model of it first, at twice the cost.
        return await azure.get(resource_id, _API_VERSION)

    return KIND.at(azure, resource_id, get=get, expected_s=expected_s)


def deletable_cluster(azure: Azure, target: Target) -> Deletable:
    """The cluster, for the end of its days."""
    return KIND.gone(azure, target.resource_id(KIND.type, target.names.cluster))
