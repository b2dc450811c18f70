"""Microsoft.ContainerService/managedClusters: what is read, and the credentials.

REST: https://learn.microsoft.com/rest/api/aks/managed-clusters
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.responses import Response
from azure_sandbox.providers import aks_api_server, aks_entra_access, aks_insights, aks_versions
from azure_sandbox.providers.container_service import (
    CLUSTER,
    acted_on,
    lower_group,
    pools_of,
    refusal,
    throttle,
    throttle_other,
)
from azure_sandbox.providers.container_service import provider as aks

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]


@aks.view("managedClusters")
def managed_cluster_view(cluster: Resource, sandbox: Sandbox) -> Json:
    """A cluster as AKS shows it: `resourcegroups` in lower case, its pools inside, its etag."""
    properties = dict(aks_insights.shown_twice(sandbox, cluster.properties))
    properties["agentPoolProfiles"] = [
        {"name": pool.name, **pool_properties_view(pool)} for pool in pools_of(sandbox, cluster)
    ]
    return {
        **cluster.body,
        "id": lower_group(cluster.id),
        "type": "Microsoft.ContainerService/ManagedClusters",
        "eTag": cluster.etag,
        "properties": properties,
    }


def pool_properties_view(pool: Resource) -> Json:
    """A pool's properties as AKS shows them, with its etag."""
    return {**pool.properties, "eTag": pool.etag}


@aks.get("managedClusters/{cluster}")
def managed_clusters_get(call: Call) -> Response:
    """ManagedClusters_Get: the cluster with its pools.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/get
    """
    throttle(call, "GetManagedClusterHandler.GET", call.id, capacity=60, per_s=1)
    return Response(200, call.found())


@aks.list("managedClusters")
def managed_clusters_list_by_resource_group(call: Call) -> Response:
    """ManagedClusters_ListByResourceGroup: the clusters of a group.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/list-by-resource-group
    """
    throttle(call, "ListManagedClustersByResourceGroupHandler.GET", call.scope, capacity=60, per_s=1)
    return call.listing()


@aks.list("managedClusters", scope="subscription")
def managed_clusters_list(call: Call) -> Response:
    """ManagedClusters_List: the clusters of the subscription.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/list
    """
    throttle(call, "ListManagedClustersHandler.GET", call.subscription, capacity=500, per_s=1)
    return call.listing()


@aks.get("managedClusters/{cluster}/upgradeProfiles/default")
def managed_clusters_get_upgrade_profile(call: Call) -> Response:
    """ManagedClusters_GetUpgradeProfile: where the control plane and the pools may be upgraded to.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/get-upgrade-profile
    """
    throttle_other(call)
    cluster = acted_on(call)
    current = cluster.properties["currentKubernetesVersion"]
    upgrades = [
        {"kubernetesVersion": version, **({"isPreview": True} if aks_versions.is_preview(version) else {})}
        for version in aks_versions.upgrades_from(current)
    ]
    pools = [
        {
            "name": pool.name,
            "kubernetesVersion": pool.properties["currentOrchestratorVersion"],
            "osType": pool.properties["osType"],
        }
        for pool in pools_of(call.sandbox, cluster)
    ]
    body = {
        "id": f"{lower_group(cluster.id)}/upgradeprofiles/default",
        "name": "default",
        "type": f"{CLUSTER}/upgradeprofiles",
        "properties": {
            "controlPlaneProfile": {"kubernetesVersion": current, "osType": "Linux", "upgrades": upgrades},
            "agentPoolProfiles": pools,
        },
    }
    return Response(200, body)


@aks.post("managedClusters/{cluster}/listClusterUserCredential")
async def managed_clusters_list_cluster_user_credentials(call: Call) -> Response:
    """ManagedClusters_ListClusterUserCredentials: a kubeconfig, base64.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/list-cluster-user-credentials
    """
    return await _credentials(call, "clusterUser")


@aks.post("managedClusters/{cluster}/listClusterAdminCredential")
async def managed_clusters_list_cluster_admin_credentials(call: Call) -> Response:
    """ManagedClusters_ListClusterAdminCredentials: the administrator's kubeconfig, base64.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/list-cluster-admin-credentials
    """
    return await _credentials(call, "clusterAdmin")


async def _credentials(call: Call, name: str) -> Response:
    throttle_other(call)
    cluster = acted_on(call)
    by_entra = name == "clusterUser" and aks_entra_access.is_entra(cluster.properties)
    if cluster.properties.get("disableLocalAccounts") and not by_entra:
        # https://github.com/Azure/caf-terraform-landingzones/issues/416; without Entra, the user's too:
        # https://github.com/hashicorp/terraform-provider-azurerm/pull/15489
        raise refusal(
            "BadRequest",
            "Getting static credential is not allowed because this cluster is set to disable local accounts.",
        )
    server = aks_api_server.find(call.sandbox, cluster)
    if server is None:  # Made with the cluster, closed with it.
        raise call.not_found()
    await aks_api_server.settled(server)
    kubeconfig = aks_api_server.kubeconfig(call.sandbox, cluster, server, name)
    value = base64.b64encode(kubeconfig.encode()).decode()
    return Response(200, {"kubeconfigs": [{"name": name, "value": value}]})
