import re

from azure.core.exceptions import HttpResponseError


def test_a_new_cluster_answers_201_with_one_polling_header_and_no_retry_after(azure):
    """azure-powershell, recording TestAPI20250801WithMSI.json (December 2025).

    https://github.com/Azure/azure-powershell (recording TestAPI20250801WithMSI.json).
    """
    status, body, headers = azure.raw("PUT", azure.cluster_path(), azure.body())
    assert status == 201
    assert body["properties"]["provisioningState"] == "Creating"
    assert [pool["provisioningState"] for pool in body["properties"]["agentPoolProfiles"]] == ["Creating"]
    polled = re.fullmatch(
        rf"{azure.endpoint}/subscriptions/{azure.subscription}/providers/Microsoft.ContainerService"
        r"/locations/canadacentral/operations/([0-9a-f-]{36})\?api-version=2016-03-30&t=.*",
        headers["azure-asyncoperation"],
    )
    assert polled
    assert headers["location"] is None
    assert headers["retry-after"] is None


def test_the_status_document_is_named_by_the_guid_with_swapped_bytes(azure):
    """azure-powershell, Invoke-AzAksAbortManagedClusterLatestOperation.Recording.json.

    https://github.com/Azure/azure-powershell (recording Invoke-AzAksAbortManagedClusterLatestOperation).
    """
    _, _, headers = azure.raw("PUT", azure.cluster_path(), azure.body())
    url = headers["azure-asyncoperation"].removeprefix(azure.endpoint)
    status, document, headers = azure.raw("GET", url)
    assert (status, document["status"]) == (200, "InProgress")
    assert headers["retry-after"] is None
    guid = re.search(r"operations/([0-9a-f-]{36})", url)[1]
    assert document["name"] != guid
    assert document["name"][19:] == guid[19:]
    azure.step(600)
    _, document, _ = azure.raw("GET", url)
    assert document["status"] == "Succeeded"
    assert document["endTime"] > document["startTime"]


def test_a_pools_status_is_in_its_clusters_region(azure):
    azure.create()
    path = azure.cluster_path().replace("?", "/agentPools/postgres?")
    _, _, headers = azure.raw("PUT", path, {"properties": azure.pool()})
    assert "/locations/canadacentral/operations/" in headers["azure-asyncoperation"]


def test_a_known_cluster_answers_200_and_is_updating(azure):
    azure.create()
    _, body, _ = azure.raw("GET", azure.cluster_path())
    status, body, headers = azure.raw("PUT", azure.cluster_path(), body)
    assert (status, body["properties"]["provisioningState"]) == (200, "Updating")
    assert headers["azure-asyncoperation"]
    azure.step(200)
    _, body, _ = azure.raw("GET", azure.cluster_path())
    assert body["properties"]["provisioningState"] == "Succeeded"


def test_creation_takes_azures_time(azure):
    """At most 6 min 40 s were recorded; the table allows ten percent more or less."""
    azure.begin_create()
    azure.step(355)
    assert azure.clusters.get(azure.group, "c1").provisioning_state == "Creating"
    azure.step(90)
    assert azure.clusters.get(azure.group, "c1").provisioning_state == "Succeeded"


def test_ids_have_resourcegroups_in_lower_case(azure):
    azure.create()
    _, body, _ = azure.raw("GET", azure.cluster_path())
    assert (
        f"/resourcegroups/{azure.group}/providers/Microsoft.ContainerService/managedClusters/c1" in body["id"]
    )
    assert body["type"] == "Microsoft.ContainerService/ManagedClusters"
    pool = azure.pools.get(azure.group, "c1", "systempool")
    assert f"/resourcegroups/{azure.group}/providers/" in pool.id


def test_the_service_fills_in_what_the_recordings_have(azure):
    azure.create(oidcIssuerProfile={"enabled": True}, nodeResourceGroup="nodes")
    _, body, _ = azure.raw("GET", azure.cluster_path())
    properties = body["properties"]
    assert body["kind"] == "Base"
    assert properties["servicePrincipalProfile"] == {"clientId": "msi"}
    assert properties["kubernetesVersion"] == "1.35"
    assert properties["currentKubernetesVersion"].startswith("1.35.")
    assert properties["powerState"] == {"code": "Running"}
    assert properties["supportPlan"] == "KubernetesOfficial"
    assert properties["enableRBAC"] is True
    assert properties["maxAgentPools"] == 100
    assert re.fullmatch(r"c1-[a-z0-9]{8}\.hcp\.canadacentral\.azmk8s\.io", properties["fqdn"])
    issuer = properties["oidcIssuerProfile"]["issuerURL"]
    assert issuer.startswith("https://canadacentral.oic.prod-aks.azure.com/")
    assert issuer.endswith("/")
    network = properties["networkProfile"]
    assert network["podCidr"] == "10.244.0.0/16"
    assert network["serviceCidr"] == "10.0.0.0/16"
    assert network["dnsServiceIP"] == "10.0.0.10"
    assert network["networkPolicy"] == "cilium"
    assert (network["loadBalancerSku"], network["outboundType"]) == ("standard", "loadBalancer")
    outbound = network["loadBalancerProfile"]["effectiveOutboundIPs"][0]["id"]
    assert "/resourceGroups/nodes/providers/Microsoft.Network/publicIPAddresses/" in outbound
    kubelet = properties["identityProfile"]["kubeletidentity"]
    assert kubelet["resourceId"].endswith("/userAssignedIdentities/c1-agentpool")
    pool = properties["agentPoolProfiles"][0]
    assert pool["maxPods"] == 250
    assert (pool["osDiskSizeGB"], pool["osType"], pool["osSKU"]) == (128, "Linux", "Ubuntu")
    assert pool["upgradeSettings"] == {"maxSurge": "10%", "maxUnavailable": "0"}
    assert pool["orchestratorVersion"] == "1.35"


def test_an_assigned_identity_is_shown_with_its_client_and_principal(azure):
    identity = azure.msi.user_assigned_identities.create_or_update(
        azure.group, "mi1", {"location": azure.region}
    )
    cluster = azure.create(identity={"type": "UserAssigned", "userAssignedIdentities": {identity.id: {}}})
    shown = cluster.identity.user_assigned_identities[identity.id]
    assert (shown.client_id, shown.principal_id) == (identity.client_id, identity.principal_id)


def test_the_node_resource_group_is_made_by_the_cluster_and_dies_with_it(azure):
    """https://learn.microsoft.com/azure/aks/faq: created and deleted by AKS."""
    poller = azure.begin_create(nodeResourceGroup="nodes")
    assert not azure.resources.resource_groups.check_existence("nodes")
    azure.step(600)
    poller.result()
    group = azure.resources.resource_groups.get("nodes")
    assert group.managed_by.lower().endswith("/managedclusters/c1")
    kinds = {item.type for item in azure.resources.resources.list_by_resource_group("nodes")}
    assert {
        "Microsoft.Compute/virtualMachineScaleSets",
        "Microsoft.Network/publicIPAddresses",
        "Microsoft.Network/virtualNetworks",
        "Microsoft.ManagedIdentity/userAssignedIdentities",
    } <= kinds
    address = {
        "location": azure.region,
        "sku": {"name": "Standard"},
        "properties": {"publicIPAllocationMethod": "Static"},
    }
    azure.network.public_ip_addresses.begin_create_or_update("nodes", "mine", address)
    azure.step(5)
    poller = azure.clusters.begin_delete(azure.group, "c1")
    azure.step(700)
    poller.result()
    assert not azure.resources.resource_groups.check_existence("nodes")
    assert list(azure.network.public_ip_addresses.list_all()) == []


def test_a_locked_down_node_group_refuses_what_people_want_to_put_into_it(azure):
    """https://learn.microsoft.com/azure/aks/node-resource-group-lockdown."""
    azure.create(nodeResourceGroup="nodes", nodeResourceGroupProfile={"restrictionLevel": "ReadOnly"})
    path = azure.cluster_path().partition("/resourceGroups/")[0]
    path += "/resourceGroups/nodes/providers/Microsoft.Network/publicIPAddresses/mine?api-version=2026-03-01"
    body = {"location": azure.region, "properties": {"publicIPAllocationMethod": "Static"}}
    status, answer, _ = azure.raw("PUT", path, body)
    assert (status, answer["error"]["code"]) == (403, "DenyAssignmentAuthorizationFailed")
    azure.begin_pool()


def test_the_default_node_resource_group_is_named_by_aks(azure):
    cluster = azure.create()
    assert cluster.node_resource_group == "MC_rg1_c1_canadacentral"


def test_deleting_the_clusters_group_takes_the_node_group_with_it(azure):
    azure.create(nodeResourceGroup="nodes")
    path = f"/subscriptions/{azure.subscription}/resourceGroups/{azure.group}?api-version=2024-11-01"
    assert azure.raw("DELETE", path)[0] == 202
    azure.step(3600)
    assert [group.name for group in azure.resources.resource_groups.list()] == []


def test_a_kept_body_can_be_sent_back_unchanged_and_changes_nothing(azure):
    """As az does: GET, change, PUT the whole."""
    azure.create(oidcIssuerProfile={"enabled": True})
    before = azure.clusters.get(azure.group, "c1").as_dict()
    _, body, _ = azure.raw("GET", azure.cluster_path())
    azure.raw("PUT", azure.cluster_path(), body)
    azure.step(300)
    after = azure.clusters.get(azure.group, "c1").as_dict()
    for found in (before, after):
        del found["eTag"]
        for pool in found["properties"]["agentPoolProfiles"]:
            del pool["eTag"]
    assert before == after


def test_what_can_be_switched_off_is_off_when_a_write_leaves_it_out(azure):
    """A PUT replaces: a client that forgets a profile switches it off."""
    azure.create(
        azureMonitorProfile={"metrics": {"enabled": True}},
        apiServerAccessProfile={"authorizedIPRanges": ["20.51.7.9"]},
    )
    assert azure.clusters.get(azure.group, "c1").azure_monitor_profile.metrics.enabled
    azure.raw("PUT", azure.cluster_path(), azure.body())
    azure.step(300)
    cluster = azure.clusters.get(azure.group, "c1")
    assert cluster.azure_monitor_profile is None
    assert cluster.api_server_access_profile is None
    assert cluster.network_profile.pod_cidr == "10.244.0.0/16"


def test_tags_are_replaced_by_a_patch_that_is_an_operation(azure):
    """https://learn.microsoft.com/rest/api/aks/managed-clusters/update-tags."""
    azure.create(tags={"a": "1"})
    poller = azure.clusters.begin_update_tags(azure.group, "c1", {"tags": {"b": "2"}})
    assert azure.clusters.get(azure.group, "c1").provisioning_state == "Updating"
    azure.step(60)
    assert poller.result().tags == {"b": "2"}


def test_lists_show_clusters_with_their_pools(azure):
    azure.create()
    azure.add_pool()
    for found in (azure.clusters.list(), azure.clusters.list_by_resource_group(azure.group)):
        cluster = next(iter(found))
        assert [pool.name for pool in cluster.agent_pool_profiles] == ["systempool", "postgres"]
    assert [pool.name for pool in azure.pools.list(azure.group, "c1")] == ["systempool", "postgres"]


def test_a_cluster_that_is_missing_is_arms_404(azure):
    """azure-powershell, recording TestAPI20250801WithMSI.json: wrapped, x-ms-failure-cause gateway."""
    status, body, headers = azure.raw("GET", azure.cluster_path("none"))
    assert (status, body["error"]["code"]) == (404, "ResourceNotFound")
    assert headers["x-ms-failure-cause"] == "gateway"


def test_upgrades_are_offered_one_minor_at_a_time(azure):
    """https://learn.microsoft.com/azure/aks/upgrade-aks-cluster."""
    azure.create(kubernetesVersion="1.34.4")
    profile = azure.clusters.get_upgrade_profile(azure.group, "c1")
    minors = {item.kubernetes_version.rsplit(".", 1)[0] for item in profile.control_plane_profile.upgrades}
    assert minors == {"1.34", "1.35"}


def test_an_upgrade_of_the_control_plane_leaves_the_pools_behind(azure):
    azure.create(kubernetesVersion="1.34.4")
    cluster = azure.clusters.get(azure.group, "c1")
    cluster.kubernetes_version = "1.35"
    poller = azure.clusters.begin_create_or_update(azure.group, "c1", cluster)
    assert azure.clusters.get(azure.group, "c1").provisioning_state == "Upgrading"
    azure.step(900)
    cluster = poller.result()
    assert cluster.current_kubernetes_version.startswith("1.35.")
    assert cluster.agent_pool_profiles[0].current_orchestrator_version == "1.34.4"


def test_errors_have_no_wrapper_so_the_sdk_still_finds_the_code(azure):
    """kubeblocks#10136: code, details, message, subcode at the top.

    https://github.com/apecloud/kubeblocks/pull/10136
    """
    status, body, _ = azure.raw("PUT", azure.cluster_path(), azure.body(kubernetesVersion="1.20.1"))
    assert status == 400
    assert set(body) == {"code", "details", "message", "subcode"}
    error = azure.refused(azure.begin_create, kubernetesVersion="1.20.1")
    assert isinstance(error, HttpResponseError)
    assert error.error.code == "K8sVersionNotSupported"
