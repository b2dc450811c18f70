"""What AKS refuses before it starts; after each refusal there must be no cluster."""

import pytest


def code_and_text(error):
    return error.status_code, error.error.code, error.error.message


@pytest.fixture
def refuses(azure):
    """A cluster with these properties is refused with status, code and text; nothing is left of it."""

    def check(status, code, text, **properties):
        found = code_and_text(azure.refused(azure.begin_create, **properties))
        assert found[:2] == (status, code), found
        assert text in found[2]
        assert list(azure.clusters.list()) == []
        assert azure.operations() == []

    return check


def test_a_version_with_long_term_support_only_needs_premium(azure):
    """The whole body of kubeblocks#10136 (raw, April 2026), with this cluster's name and version.

    https://github.com/apecloud/kubeblocks/pull/10136
    """
    status, body, _ = azure.raw("PUT", azure.cluster_path(), azure.body(kubernetesVersion="1.32"))
    assert status == 400
    assert body == {
        "code": "K8sVersionNotSupported",
        "details": None,
        "message": "Managed cluster c1 is on version 1.32.11, which is only available for Long-Term Support "
        "(LTS). If you intend to onboard to LTS, please ensure the cluster is in Premium tier and LTS "
        "support plan (see https://aka.ms/aks/enable-lts). Otherwise, use [az aks get-versions] command to "
        "get the supported version list in this region. For more information, please check "
        "https://aka.ms/supported-version-list",
        "subcode": "",
    }


def test_long_term_support_on_premium_takes_the_old_version(azure):
    """https://learn.microsoft.com/azure/aks/long-term-support."""
    cluster = azure.create(tier="Premium", kubernetesVersion="1.32", supportPlan="AKSLongTermSupport")
    assert cluster.current_kubernetes_version == "1.32.11"


def test_long_term_support_on_standard_is_refused(refuses):
    refuses(400, "BadRequest", "Premium", kubernetesVersion="1.32", supportPlan="AKSLongTermSupport")


def test_a_version_that_is_gone_is_refused(refuses):
    """cloudnative-pg#5638.

    https://github.com/cloudnative-pg/cloudnative-pg/pull/5638
    """
    text = "Managed cluster c1 is on version 1.29.9 which is not supported in this region."
    refuses(400, "K8sVersionNotSupported", text, kubernetesVersion="1.29.9")


def test_a_system_pool_needs_four_vcpus(azure, refuses):
    """azure-dev-docs#216 (text), https://learn.microsoft.com/azure/aks/use-system-pools (4 vCPU)."""
    text = (
        "System node pool must use VM sku with more than 2 cores and 4GB memory. Nodepool name: systempool."
    )
    pools = [azure.pool("systempool", mode="System", vmSize="Standard_D2s_v5")]
    refuses(400, "SystemPoolSkuTooLow", text, pools=pools)
    azure.set(system_pool_min_vcpus=2)
    azure.create(pools=pools)


def test_a_user_pool_may_be_small(azure):
    azure.create()
    assert azure.add_pool(vmSize="Standard_D2s_v5").vm_size == "Standard_D2s_v5"


def test_a_size_that_the_subscription_may_not_use_is_refused_with_the_usable_ones(azure, refuses):
    """dotnet/core#8181, learn-terraform-provision-aks-cluster#15 (raw).

    https://github.com/dotnet/core/issues/8181
    """
    azure.region = "eastus"
    pools = [azure.pool("systempool", mode="System", vmSize="Standard_D4s_v3")]
    text = (
        "The VM size of Standard_D4s_v3 is not allowed in your subscription in location 'eastus'. The avail"
    )
    refuses(400, "BadRequest", text, pools=pools)
    refuses(400, "BadRequest", "standard_d4s_v5", pools=pools)


def test_a_size_that_doesnt_exist_is_refused(azure, refuses):
    """azure-cli#30887 (raw).

    https://github.com/Azure/azure-cli/pull/30887
    """
    pools = [azure.pool("systempool", mode="System", vmSize="Standard_D4s_v99")]
    refuses(
        400, "VMSizeNotSupported", "Virtual Machine size: 'Standard_D4s_v99' is not supported", pools=pools
    )


@pytest.mark.parametrize(
    ("region", "size", "zones", "open_zones"),
    [
        ("eastus2", "Standard_D4s_v3", ["1", "2", "3"], "1,3"),
        ("westus", "Standard_D4s_v5", ["1"], ""),
    ],
)
def test_a_zone_that_the_size_doesnt_have_is_refused(azure, refuses, region, size, zones, open_zones):
    """Raw: 'The zone(s) '2' for resource 'system' is not supported. The supported zones for location ...'.

    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/error-codes/availabilityzonenotsupported-error
    """
    azure.region = region
    pools = [azure.pool("systempool", mode="System", vmSize=size, availabilityZones=zones)]
    text = f"The supported zones for location '{region}' are '{open_zones}'"
    refuses(400, "AvailabilityZoneNotSupported", text, pools=pools)


def test_the_vcpu_quota_of_the_family_is_kept(azure, refuses):
    """Raw text: 'Insufficient vcpu quota requested 24, remaining 6 for family standardEASv4Family ...'.

    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/quota-exceeded-during-creation-upgrade
    """
    azure.set(quota={"standardDSv5Family": 11})
    text = "Insufficient vcpu quota requested 12, remaining 11 for family standardDSv5Family for region canad"
    refuses(400, "ErrCode_InsufficientVCPUQuota", text)


def test_the_quota_counts_what_other_clusters_use(azure):
    azure.set(quota={"standardDSv5Family": 23})
    azure.create()
    error = azure.refused(azure.begin_pool)
    assert code_and_text(error)[:2] == (400, "ErrCode_InsufficientVCPUQuota")
    assert "requested 12, remaining 11" in error.error.message
    azure.add_pool(count=2)


def test_an_upgrade_needs_quota_for_its_surge(azure):
    """quota-exceeded-during-creation-upgrade: surge nodes consume quota too.

    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/quota-exceeded-during-creation-upgrade
    """
    azure.create(kubernetesVersion="1.34.4")
    azure.set(quota={"standardDSv5Family": 12})
    cluster = azure.clusters.get(azure.group, "c1")
    cluster.kubernetes_version = "1.35"
    cluster.agent_pool_profiles[0].orchestrator_version = "1.35"
    error = azure.refused(azure.clusters.begin_create_or_update, azure.group, "c1", cluster)
    assert code_and_text(error)[:2] == (400, "ErrCode_InsufficientVCPUQuota")
    assert "requested 4, remaining 0" in error.error.message


def test_a_node_resource_group_that_exists_is_refused(azure, refuses):
    """terraform-provider-azurerm#7562 (raw).

    https://github.com/hashicorp/terraform-provider-azurerm/issues/7562
    """
    azure.resources.resource_groups.create_or_update("nodes", {"location": azure.region})
    text = f"Node resource group 'nodes' under subscription '{azure.subscription}' already exists, pl"
    refuses(400, "NodeResourceGroupAlreadyExists", text, nodeResourceGroup="nodes")


def test_a_node_resource_group_of_a_cluster_being_made_is_taken(azure):
    azure.begin_create(nodeResourceGroup="nodes")
    error = azure.refused(azure.begin_create, "c2", nodeResourceGroup="Nodes")
    assert code_and_text(error)[:2] == (400, "NodeResourceGroupAlreadyExists")


def test_the_node_resource_group_must_be_another_than_the_clusters(refuses):
    """azure-cli#27215 (raw).

    https://github.com/Azure/azure-cli/issues/27215
    """
    text = "is the same as ResourceGroup 'rg1', which is not allowed"
    refuses(400, "NodeResourceGroupSameAsResourceGroup", text, nodeResourceGroup="RG1")


def test_the_identity_must_exist(azure, refuses):
    missing = (
        f"/subscriptions/{azure.subscription}/resourceGroups/rg1/providers/Microsoft.ManagedIdentity"
        "/userAssignedIdentities/none"
    )
    identity = {"type": "UserAssigned", "userAssignedIdentities": {missing: {}}}
    refuses(400, "FailedIdentityOperation", "was not found", identity=identity)


def test_assigning_an_identity_needs_the_right_to(azure, reader_of_identities):
    """aad-pod-identity#585 (raw).

    https://github.com/Azure/aad-pod-identity/issues/585
    """
    identity, other = reader_of_identities
    body = other.body(identity={"type": "UserAssigned", "userAssignedIdentities": {identity.id: {}}})
    error = other.refused(other.clusters.begin_create_or_update, other.group, "c1", body)
    assert code_and_text(error)[:2] == (403, "LinkedAuthorizationFailed")
    assert "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action" in error.error.message


@pytest.fixture
def reader_of_identities(azure):
    """Somebody who may write clusters and only read identities."""
    identity = azure.msi.user_assigned_identities.create_or_update(
        azure.group, "mi1", {"location": azure.region}
    )
    scope = f"/subscriptions/{azure.subscription}"
    roles = [
        {"role": "Reader", "scope": scope},
        {"role": "Azure Kubernetes Service Contributor Role", "scope": scope},
    ]
    who = azure.control("POST", "/sandbox/principals", {"roles": roles})
    other = type(azure)(azure.facts, who)
    yield identity, other
    other.close()


def test_a_cluster_needs_a_system_pool(azure, refuses):
    """AKS#1568.

    https://github.com/Azure/AKS/issues/1568
    """
    text = "Must define at least one system pool."
    refuses(400, "MustDefineAtLeastOneSystemPool", text, pools=[azure.pool("postgres")])


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"count": 0}, "agentPoolProfile.count"),
        ({"count": 1001}, "agentPoolProfile.count"),
        ({"enableAutoScaling": True, "minCount": 2}, "properties.maxCount"),
        ({"enableAutoScaling": True, "minCount": 4, "maxCount": 3}, "agentPoolProfile.minCount"),
        ({"enableAutoScaling": True, "minCount": 0, "maxCount": 3}, "agentPoolProfile.minCount"),
        ({"enableAutoScaling": True, "minCount": 4, "maxCount": 6}, "agentPoolProfile.count"),
        ({"enableAutoScaling": True, "minCount": 1, "maxCount": 3, "count": None}, "properties.count"),
        ({"minCount": 1, "maxCount": 3}, "agentPoolProfile.minCount"),
        ({"nodeLabels": {"kubernetes.azure.com/mode": "x"}}, "agentPoolProfile.nodeLabels"),
        ({"nodeLabels": {"workload": "not a value"}}, "agentPoolProfile.nodeLabels"),
        ({"nodeLabels": {"-": "x"}}, "agentPoolProfile.nodeLabels"),
        ({"name": "systempoolistoolong"}, "agentPoolProfile.name"),
        ({"name": "System"}, "agentPoolProfile.name"),
        ({"vmSize": None}, "properties.vmSize"),
    ],
)
def test_counts_labels_and_names_are_checked(azure, refuses, change, parameter):
    """azure-cli#22442, cluster-api-provider-azure#5947, pulumi-kubernetes#2704 (texts)."""
    pools = [
        azure.pool(
            "systempool", mode="System", **{key: value for key, value in change.items() if key != "name"}
        )
    ]
    pools[0]["name"] = change.get("name", "systempool")
    refuses(400, "InvalidParameter", parameter, pools=pools)


def test_the_range_of_the_count_is_in_the_text(azure, refuses):
    """cluster-api-provider-azure#5947 (raw).

    https://github.com/kubernetes-sigs/cluster-api-provider-azure/issues/5947
    """
    text = "agentPoolProfile.count was 0. It must be greater or equal to minCount:1 and less than or equal to"
    refuses(400, "InvalidParameter", text, pools=[azure.pool("systempool", mode="System", count=0)])


def test_authorized_ranges_must_be_ipv4(refuses):
    profile = {"authorizedIPRanges": ["300.1.1.1"]}
    refuses(400, "InvalidParameter", "authorizedIPRanges", apiServerAccessProfile=profile)


def test_at_most_200_authorized_ranges(refuses):
    """https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges."""
    profile = {"authorizedIPRanges": [f"20.1.{number}.1" for number in range(201)]}
    refuses(400, "InvalidParameter", "200", apiServerAccessProfile=profile)


def test_the_add_ons_workspace_must_exist(azure, refuses):
    """arm-template-whatif#321 (raw).

    https://github.com/Azure/arm-template-whatif/issues/321
    """
    workspace = (
        f"/subscriptions/{azure.subscription}/resourceGroups/rg1/providers/Microsoft.OperationalInsights"
        "/workspaces/none"
    )
    config = {"logAnalyticsWorkspaceResourceID": workspace, "useAADAuth": "true"}
    refuses(
        400,
        "GetLogAnalyticsWorkspaceError",
        f"Unable to get log analytics workspace info. Resource ID: {workspace}.",
        addonProfiles={"omsagent": {"enabled": True, "config": config}},
    )


def test_a_cluster_whose_workspace_is_gone_takes_no_write(azure):
    """aks-upgrade-scale-fail-log-analytics-workspace-missing.

    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/aks-upgrade-scale-fail-log-analytics-workspace-missing
    """
    base = f"/subscriptions/{azure.subscription}/resourceGroups/{azure.group}/providers"
    workspace = f"{base}/Microsoft.OperationalInsights/workspaces/ala-cnpg"
    body = {"location": azure.region, "properties": {"sku": {"name": "PerGB2018"}}}
    azure.raw("PUT", f"{workspace}?api-version=2025-02-01", body)
    azure.step(60)
    config = {"logAnalyticsWorkspaceResourceID": workspace, "useAADAuth": "true"}
    azure.create(addonProfiles={"omsagent": {"enabled": True, "config": config}})
    assert azure.raw("DELETE", f"{workspace}?api-version=2025-02-01")[0] in (200, 202)
    azure.step(60)
    assert azure.refused(azure.update).error.code == "GetLogAnalyticsWorkspaceError"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("dnsPrefix", "other"),
        ("nodeResourceGroup", "other"),
        ("networkProfile.networkPlugin", "kubenet"),
        ("networkProfile.podCidr", "10.245.0.0/16"),
        ("networkProfile.serviceCidr", "10.1.0.0/16"),
    ],
)
def test_what_cant_be_changed_in_a_cluster_is_refused(azure, path, value):
    """autoscaler#1051, azure-cli#24764 (raw).

    https://github.com/kubernetes/autoscaler/issues/1051
    """
    azure.create()
    _, body, _ = azure.raw("GET", azure.cluster_path())
    where = body["properties"]
    *way, last = path.split(".")
    for step in way:
        where = where[step]
    where[last] = value
    status, error, _ = azure.raw("PUT", azure.cluster_path(), body)
    assert (status, error["code"]) == (400, "PropertyChangeNotAllowed")
    assert error["message"] == f"Changing property '{path}' is not allowed."
    assert error["target"] == path


def test_the_region_of_a_cluster_cant_change(azure):
    azure.create()
    azure.region = "eastus"
    assert azure.refused(azure.begin_create).error.code == "InvalidResourceLocation"


def test_an_oidc_issuer_stays(azure):
    """https://learn.microsoft.com/azure/aks/use-oidc-issuer"""
    azure.create(oidcIssuerProfile={"enabled": True})
    cluster = azure.clusters.get(azure.group, "c1")
    cluster.oidc_issuer_profile.enabled = False
    error = azure.refused(azure.clusters.begin_create_or_update, azure.group, "c1", cluster)
    assert error.error.code == "OIDCIssuerFeatureCannotBeDisabled"


@pytest.mark.parametrize(("wanted", "verb"), [("1.34.1", "Downgrading"), ("1.36.0", "Upgrading")])
def test_a_version_below_or_too_far_above_is_refused(azure, wanted, verb):
    """rancher#33561 (raw).

    https://github.com/rancher/rancher/issues/33561
    """
    azure.create(kubernetesVersion="1.34.4")
    cluster = azure.clusters.get(azure.group, "c1")
    cluster.kubernetes_version = wanted
    error = azure.refused(azure.clusters.begin_create_or_update, azure.group, "c1", cluster)
    assert code_and_text(error)[:2] == (400, "OperationNotAllowed")
    assert error.error.message.startswith(f"{verb} Kubernetes version 1.34.4 to {wanted} is not allowed.")


def test_a_cluster_write_cant_bring_a_new_pool(azure):
    """tyger#121, pulumi-azure-nextgen#168 (raw).

    https://github.com/microsoft/tyger/issues/121
    """
    azure.create()
    _, body, _ = azure.raw("GET", azure.cluster_path())
    body["properties"]["agentPoolProfiles"].append(azure.pool("postgres"))
    status, error, _ = azure.raw("PUT", azure.cluster_path(), body)
    assert (status, error["code"], error["target"]) == (400, "BadRequest", "agentPoolProfiles")
    assert error["message"].startswith("A new agent pool was introduced.")


def test_a_cluster_write_that_leaves_a_pool_out_leaves_it_alone(azure):
    azure.create()
    azure.add_pool()
    _, body, _ = azure.raw("GET", azure.cluster_path())
    del body["properties"]["agentPoolProfiles"][1]
    assert azure.raw("PUT", azure.cluster_path(), body)[0] == 200
    azure.step(300)
    assert [pool.name for pool in azure.pools.list(azure.group, "c1")] == ["systempool", "postgres"]


def test_a_region_holds_so_many_clusters(azure):
    """https://learn.microsoft.com/azure/aks/quotas-skus-regions (text)."""
    azure.set(quota={"ManagedClusters": 1})
    azure.create()
    error = azure.refused(azure.begin_create, "c2")
    assert code_and_text(error)[:2] == (400, "ManagedClusterCountExceedsQuotaLimit")
    assert "Maximum allowed: 1, Current usage: 1, Additional requested: 1." in error.error.message


def test_an_unknown_region_is_arms_error(azure):
    azure.region = "atlantis"
    assert azure.refused(azure.begin_create).error.code == "LocationNotAvailableForResourceType"


def test_a_bad_cluster_name_is_refused(azure):
    """https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update"""
    assert azure.refused(azure.begin_create, "-c1").error.code == "InvalidParameter"
