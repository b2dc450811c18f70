"""The managed cluster as an ARM resource, as every chapter that writes it describes it."""

from __future__ import annotations

from cloud.answers import Json
from cloud.deletion import Deletable, deletable
from cloud.errors import NotOurs
from cloud.resources import ArmResource, arm_resource
from cloud.session import cloud
from environment.outputs import ClusterOutputs, Site

# Azure seconds, https://github.com/Azure/AKS/issues/1439 and recordings of Azure PowerShell: a create takes 4 to 13
# minutes, an update 1 to 3; AKS documents no limit, terraform waits 90 minutes.
CREATE_S = 400
UPDATE_S = 111
DEADLINE_S = 3600
# More than 8 minutes: https://github.com/Azure/terraform-azurerm-aks/pull/74
DELETE_S = 500


def is_planned(cluster: ClusterOutputs) -> bool:
    """Whether the cluster isn't there yet and this run only plans it, so that nothing in it can be asked."""
    return cloud().planning and cluster.change.kind == "created"


def existing(label: str, live: Json | None) -> Json:
    """The live cluster, for a step that only changes it; in a plan, one that will exist.

    Raises:
        NotOurs: it is gone, though an earlier step had it.
    """
    if live is not None:
        return live
    if cloud().planning:
        return {"properties": {}}
    raise NotOurs(f"{label} was deleted by someone while this run was working on it. Run again.")


def cluster_resource(resource_id: str, resource_group: str, name: str, expected_s: float) -> ArmResource:
    """The cluster; written with If-Match, so that nobody's change in between is overwritten."""
    operations = cloud().container_service.managed_clusters
    return arm_resource(
        f"AKS cluster {name}",
        resource_id,
        operations.get,
        operations.begin_create_or_update,
        resource_group,
        name,
        expected_s=expected_s,
        deadline_s=DEADLINE_S,
        if_match=True,
    )


def deletable_cluster(site: Site) -> Deletable:
    """The cluster, for the end of its days; AKS deletes it whatever else it is doing."""
    operations = cloud().container_service.managed_clusters
    return deletable(
        "AKS cluster",
        site.resource_id("Microsoft.ContainerService/managedClusters", site.names.cluster),
        operations.get,
        operations.begin_delete,
        site.names.resource_group,
        site.names.cluster,
        expected_s=DELETE_S,
        deadline_s=DEADLINE_S,
        waits=False,
    )
