"""A cluster that has lost its identity, or the group with its nodes."""

import pytest
from azure.core.exceptions import HttpResponseError
from kubernetes import client, config


@pytest.fixture
def identity(azure):
    return azure.msi.user_assigned_identities.create_or_update(
        azure.group, "mi-a", {"location": azure.region}
    )


@pytest.fixture
def cluster(azure, identity):
    given = {"type": "UserAssigned", "userAssignedIdentities": {identity.id: {}}}
    return azure.create(identity=given)


def nodes(azure):
    settings = config.new_client_from_config_dict(azure.kubeconfig())
    with settings as api:
        return [node.metadata.name for node in client.CoreV1Api(api).list_node().items]


@pytest.mark.parametrize("again", ["deleted", "made anew"])
def test_a_cluster_without_its_identity_can_add_no_pool(azure, identity, cluster, again):
    """https://github.com/Azure/AKS/issues/3833."""
    azure.msi.user_assigned_identities.delete(azure.group, "mi-a")
    if again == "made anew":
        azure.msi.user_assigned_identities.create_or_update(azure.group, "mi-a", {"location": azure.region})
    shown = azure.clusters.get(azure.group, "c1")
    assert shown.provisioning_state == "Succeeded"
    assert [identity.principal_id for identity in shown.identity.user_assigned_identities.values()] == [
        identity.principal_id
    ]
    poller = azure.begin_pool()
    azure.step(600)
    with pytest.raises(HttpResponseError) as caught:
        poller.result()
    assert caught.value.error.code == "FailedIdentityOperation"
    assert azure.pools.get(azure.group, "c1", "postgres").provisioning_state == "Failed"


def test_a_cluster_that_is_given_its_new_identity_works_again(azure, identity, cluster):
    """https://github.com/Azure/azure-cli/issues/19733."""
    azure.msi.user_assigned_identities.delete(azure.group, "mi-a")
    azure.msi.user_assigned_identities.create_or_update(azure.group, "mi-a", {"location": azure.region})
    body = azure.clusters.get(azure.group, "c1")
    body.identity.user_assigned_identities = {identity.id: {}}
    poller = azure.clusters.begin_create_or_update(azure.group, "c1", body)
    azure.step(600)
    poller.result()
    assert azure.add_pool().provisioning_state == "Succeeded"


def test_a_deleted_node_group_takes_the_nodes_and_no_state_shows_it(azure, cluster):
    """https://github.com/MicrosoftDocs/azure-docs/issues/14880."""
    assert len(nodes(azure)) == 3
    azure.resources.resource_groups.begin_delete(cluster.node_resource_group, polling=False)
    azure.step(1200)
    shown = azure.clusters.get(azure.group, "c1")
    assert (shown.provisioning_state, shown.power_state.code) == ("Succeeded", "Running")
    azure.step(120)
    assert nodes(azure) == []
    adding = azure.begin_pool()
    azure.step(600)
    with pytest.raises(HttpResponseError) as caught:
        adding.result()
    assert caught.value.error.code == "ResourceGroupNotFound"
