import pytest


def test_a_new_pool_answers_201_and_is_creating_while_the_cluster_stays_succeeded(azure):
    azure.create()
    path = azure.cluster_path().replace("?", "/agentPools/postgres?")
    status, body, headers = azure.raw("PUT", path, {"properties": azure.pool()})
    assert (status, body["properties"]["provisioningState"]) == (201, "Creating")
    assert headers["azure-asyncoperation"]
    assert (headers["location"], headers["retry-after"]) == (None, None)
    cluster = azure.clusters.get(azure.group, "c1")
    assert cluster.provisioning_state == "Succeeded"
    states = {pool.name: pool.provisioning_state for pool in cluster.agent_pool_profiles}
    assert states == {"systempool": "Succeeded", "postgres": "Creating"}


def test_adding_a_pool_takes_azures_time(azure):
    """viya4-iac-azure#180: 5 min 25 s."""
    azure.create()
    azure.begin_pool()
    created, added = azure.operations()
    assert 290 <= added["ends_s"] - added["started_s"] <= 360
    assert created["operation"] == "ManagedClusters_CreateOrUpdate"


def test_a_pool_without_a_version_follows_the_control_plane(azure):
    azure.create(kubernetesVersion="1.34.4")
    pool = azure.add_pool()
    assert pool.properties.orchestrator_version == "1.34.4"
    assert pool.properties.current_orchestrator_version == "1.34.4"


def test_settings_of_the_upgrade_are_completed(azure):
    azure.create()
    pool = azure.add_pool(upgradeSettings={"undrainableNodeBehavior": "Schedule"})
    settings = pool.properties.upgrade_settings
    assert (settings.undrainable_node_behavior, settings.max_surge) == ("Schedule", "10%")


def test_scaling_is_a_state_of_its_own(azure):
    azure.create()
    azure.add_pool()
    poller = azure.begin_pool(count=5)
    assert azure.pools.get(azure.group, "c1", "postgres").provisioning_state == "Scaling"
    azure.step(300)
    assert poller.result().count == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vmSize", "Standard_D8s_v5"),
        ("availabilityZones", ["1"]),
        ("maxPods", 100),
        ("osDiskSizeGB", 256),
        ("osType", "Windows"),
    ],
)
def test_what_cant_be_changed_in_a_pool_is_refused(azure, name, value):
    """terraform-provider-azurerm#10951 (the form), bicep-registry-modules#7130 (vmSize).

    https://github.com/Azure/bicep-registry-modules/issues/7130
    """
    azure.create()
    azure.add_pool()
    error = azure.refused(azure.begin_pool, **{name: value})
    assert (error.status_code, error.error.code) == (400, "PropertyChangeNotAllowed")
    assert error.error.target == f"agentPoolProfile.{name}"


def test_an_old_api_version_says_which_one_could_resize(azure):
    """bicep-registry-modules#7130 (raw, June 2026)."""
    azure.create()
    azure.add_pool()
    path = azure.cluster_path(version="2025-10-01").replace("?", "/agentPools/postgres?")
    status, error, _ = azure.raw("PUT", path, {"properties": azure.pool(vmSize="Standard_D8s_v5")})
    assert status == 400
    assert error["message"] == (
        'Changing property "agentPoolProfile.vmSize" is not allowed in an api-version before '
        '"2026-01-02-preview".'
    )


def test_the_case_of_a_size_doesnt_matter(azure):
    azure.create()
    azure.add_pool(vmSize="standard_d4s_v5")
    azure.begin_pool(vmSize="Standard_D4s_v5")


def test_a_cluster_write_changes_its_pools_too(azure):
    azure.create()
    azure.add_pool()
    cluster = azure.clusters.get(azure.group, "c1")
    cluster.agent_pool_profiles[1].count = 4
    poller = azure.clusters.begin_create_or_update(azure.group, "c1", cluster)
    states = {pool.provisioning_state for pool in azure.pools.list(azure.group, "c1")}
    assert states == {"Updating"}
    azure.step(300)
    assert [pool.count for pool in poller.result().agent_pool_profiles] == [3, 4]


def test_a_pool_cant_be_newer_than_the_control_plane(azure):
    """NodePoolMcVersionIncompatible, raw in several reports.

    https://github.com/nebari-dev/nebari/issues/524
    """
    azure.create(kubernetesVersion="1.34.4")
    error = azure.refused(azure.begin_pool, orchestratorVersion="1.35.2")
    assert error.error.code == "NodePoolMcVersionIncompatible"
    assert (
        "Minor version of node pool version 35 is bigger than control plane version 34" in error.error.message
    )
    error = azure.refused(azure.begin_pool, orchestratorVersion="1.34.6")
    assert (
        "Patch version of node pool version 6 is bigger than control plane version 4" in error.error.message
    )


def test_a_pool_isnt_downgraded(azure):
    """nebari#524 (raw)."""
    azure.create(kubernetesVersion="1.34.4")
    azure.add_pool()
    error = azure.refused(azure.begin_pool, orchestratorVersion="1.34.1")
    assert error.error.code == "AgentPoolUpgradeVersionNotAllowed"


def test_a_pool_of_no_cluster_has_no_parent(azure):
    error = azure.refused(azure.begin_pool)
    assert (error.status_code, error.error.code) == (404, "ParentResourceNotFound")
    azure.create()
    error = azure.refused(azure.pools.get, azure.group, "c1", "none")
    assert (error.status_code, error.error.code) == (404, "ResourceNotFound")


def test_a_pool_can_be_deleted_and_made_again(azure):
    azure.create()
    azure.add_pool()
    poller = azure.pools.begin_delete(azure.group, "c1", "postgres")
    assert azure.pools.get(azure.group, "c1", "postgres").provisioning_state == "Deleting"
    azure.step(900)
    poller.result()
    assert [pool.name for pool in azure.pools.list(azure.group, "c1")] == ["systempool"]
    azure.add_pool(vmSize="Standard_D8s_v5")


def test_deleting_a_missing_pool_is_204(azure):
    azure.create()
    path = azure.cluster_path().replace("?", "/agentPools/none?")
    assert azure.raw("DELETE", path)[0] == 204


def test_the_last_system_pool_stays(azure):
    """https://learn.microsoft.com/azure/aks/use-system-pools."""
    azure.create()
    azure.add_pool()
    error = azure.refused(azure.pools.begin_delete, azure.group, "c1", "systempool")
    assert error.error.code == "OperationNotAllowed"
    error = azure.refused(azure.begin_pool, "systempool", mode="User")
    assert error.error.code == "OperationNotAllowed"


def test_a_pool_being_deleted_takes_no_write(azure):
    """operationnotallowed, solution 4 (raw)."""
    azure.create()
    azure.add_pool()
    azure.pools.begin_delete(azure.group, "c1", "postgres")
    azure.step(61)
    error = azure.refused(azure.begin_pool, count=4)
    assert (error.status_code, error.error.code) == (409, "OperationNotAllowed")
    text = error.error.message
    assert "operation on 'postgres' since deletion was issued on 'postgres'." in text
    assert "elapsed time is: '00:01:01' (RFC3339 format)" in text


def test_the_autoscaler_shrinks_an_idle_pool_much_later_without_an_operation(azure):
    """https://learn.microsoft.com/azure/aks/cluster-autoscaler-overview: ten minutes and more."""
    azure.set(autoscaler=True)
    scaled = azure.pool("systempool", mode="System", enableAutoScaling=True, minCount=2, maxCount=3)
    azure.create(pools=[scaled])
    azure.step(600)
    assert azure.pools.get(azure.group, "c1", "systempool").count == 3
    azure.step(900)
    pool = azure.pools.get(azure.group, "c1", "systempool")
    assert (pool.count, pool.provisioning_state) == (2, "Succeeded")
    assert len(azure.operations()) == 1
    (scale_set,) = [
        item
        for item in azure.control("GET", "/sandbox/resources")["resources"]
        if item["type"] == "Microsoft.Compute/virtualMachineScaleSets"
    ]
    assert scale_set["sku"]["capacity"] == 2


def test_a_minimum_above_the_count_is_accepted_and_reached(azure):
    """azure-cli-extensions#1606: minCount may exceed the live count in an update.

    https://github.com/Azure/azure-cli-extensions/pull/1606
    """
    azure.set(autoscaler=True)
    azure.create()
    bounds = {"enableAutoScaling": True, "minCount": 3, "maxCount": 6}
    azure.add_pool(**bounds)
    azure.begin_pool(**bounds | {"minCount": 4})
    azure.step(300)
    assert azure.pools.get(azure.group, "c1", "postgres").count == 4


def test_versions_for_a_new_pool_end_at_the_control_planes(azure):
    azure.create(kubernetesVersion="1.35.2")
    found = azure.pools.get_available_agent_pool_versions(azure.group, "c1")
    versions = [item.kubernetes_version for item in found.agent_pool_versions]
    assert versions == ["1.34.1", "1.34.4", "1.34.6", "1.35.1", "1.35.2"]


def test_a_pool_behind_the_control_plane_may_be_upgraded_to_it(azure):
    azure.create(kubernetesVersion="1.35.2")
    azure.add_pool(orchestratorVersion="1.34.6")
    profile = azure.pools.get_upgrade_profile(azure.group, "c1", "postgres")
    assert [item.kubernetes_version for item in profile.properties.upgrades] == ["1.35.1", "1.35.2"]
    poller = azure.begin_pool(orchestratorVersion="1.35.2")
    assert azure.pools.get(azure.group, "c1", "postgres").provisioning_state == "Upgrading"
    azure.step(900)
    assert poller.result().current_orchestrator_version == "1.35.2"
