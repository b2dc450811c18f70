"""Stopped clusters and pools: https://learn.microsoft.com/azure/aks/start-stop-cluster."""

import pytest
from azure.core.exceptions import HttpResponseError

USER = "postgres"


def power(azure):
    cluster = azure.clusters.get(azure.group, "c1")
    pools = {pool.name: (pool.power_state.code, pool.count) for pool in cluster.agent_pool_profiles}
    return cluster.provisioning_state, cluster.power_state.code, pools


@pytest.fixture
def stopped(azure):
    azure.create()
    poller = azure.clusters.begin_stop(azure.group, "c1")
    assert power(azure)[:2] == ("Stopping", "Running")
    azure.step(600)
    poller.result()
    return azure


def test_stop_and_start(stopped):
    state, code, pools = power(stopped)
    assert (state, code, pools["systempool"]) == ("Succeeded", "Stopped", ("Stopped", 0))
    poller = stopped.clusters.begin_start(stopped.group, "c1")
    assert power(stopped)[0] == "Starting"
    stopped.step(600)
    poller.result()
    state, code, pools = power(stopped)
    assert (state, code, pools["systempool"][0]) == ("Succeeded", "Running", "Running")
    assert pools["systempool"][1] > 0


WRITES = {
    "cluster": lambda azure: azure.update(),
    "tags": lambda azure: azure.clusters.begin_update_tags(azure.group, "c1", {"tags": {"a": "b"}}),
    "pool": lambda azure: azure.pools.begin_create_or_update(
        azure.group, "c1", USER, {"properties": {"count": 1, "vmSize": "Standard_D4s_v5"}}
    ),
    "pool deletion": lambda azure: azure.pools.begin_delete(azure.group, "c1", "systempool"),
    "stop": lambda azure: azure.clusters.begin_stop(azure.group, "c1"),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_stopped_cluster_takes_nothing_but_start_and_delete(stopped, write):
    with pytest.raises(HttpResponseError) as caught:
        WRITES[write](stopped)
    assert caught.value.status_code == 400
    assert "Power State(Stopped)" in caught.value.message


def test_a_stopped_cluster_can_be_deleted(stopped):
    poller = stopped.clusters.begin_delete(stopped.group, "c1")
    stopped.step(2000)
    poller.result()


def test_a_running_cluster_cannot_be_started(azure):
    azure.create()
    with pytest.raises(HttpResponseError, match="starting cannot be performed"):
        azure.clusters.begin_start(azure.group, "c1")


def test_a_pool_of_its_own_is_stopped_and_started_by_its_power_state(azure):
    """Recording test_aks_nodepool_stop_and_start.yaml of azure-cli: Succeeded, Stopped, count 0."""
    azure.create()
    body = {"properties": azure.pool(USER, count=2)}
    azure.pools.begin_create_or_update(azure.group, "c1", USER, body)
    azure.step(1000)
    for code, count in (("Stopped", 0), ("Running", 2)):
        live = azure.pools.get(azure.group, "c1", USER).as_dict()
        live["properties"]["powerState"] = {"code": code}
        azure.pools.begin_create_or_update(azure.group, "c1", USER, live)
        azure.step(1000)
        assert power(azure)[2][USER] == (code, count)
        assert power(azure)[2]["systempool"][0] == "Running"


def test_a_system_pool_cannot_be_stopped(azure):
    azure.create()
    live = azure.pools.get(azure.group, "c1", "systempool").as_dict()
    live["properties"]["powerState"] = {"code": "Stopped"}
    with pytest.raises(HttpResponseError, match="system node pool"):
        azure.pools.begin_create_or_update(azure.group, "c1", "systempool", live)


@pytest.mark.parametrize("state", ["Disabled", "Warned"])
def test_a_disabled_subscription_takes_deletions_but_no_writes(azure, state):
    azure.create()
    azure.set(subscription_state=state)
    with pytest.raises(HttpResponseError) as caught:
        azure.update()
    assert (caught.value.status_code, caught.value.error.code) == (409, "ReadOnlyDisabledSubscription")
    azure.clusters.begin_delete(azure.group, "c1")


@pytest.mark.thorough
def test_a_pool_cannot_be_written_once_the_node_resource_group_is_gone(azure):
    """https://github.com/MicrosoftDocs/azure-docs/issues/14880: nobody can bring the group back."""
    azure.create()
    group = azure.clusters.get(azure.group, "c1").node_resource_group
    deletion = azure.resources.resource_groups.begin_delete(group)
    azure.step(3000)
    deletion.result()
    poller = azure.pools.begin_create_or_update(azure.group, "c1", USER, {"properties": azure.pool(USER)})
    azure.step(1000)
    with pytest.raises(HttpResponseError) as caught:
        poller.result()
    assert caught.value.error.code == "ResourceGroupNotFound"
