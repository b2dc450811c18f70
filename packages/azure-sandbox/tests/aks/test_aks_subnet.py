"""A subnet of one's own for the nodes: what AKS takes, what it refuses, and what a network does with nodes in it."""

import pytest
from azure.core.exceptions import HttpResponseError


def make_network(azure, prefix="10.8.0.0/24", name="spoke", **body):
    location = body.pop("location", azure.region)
    subnet = {"name": "nodes", "properties": {"addressPrefix": prefix, **body}}
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}, "subnets": [subnet]}
    networks = azure.network.virtual_networks
    poller = networks.begin_create_or_update(azure.group, name, {"location": location, "properties": space})
    azure.step(60)
    poller.result()
    return azure.network.subnets.get(azure.group, name, "nodes").id


def pools(azure, subnet, **other):
    return [azure.pool("systempool", mode="System", vnetSubnetID=subnet, **other)]


def refusal(azure, subnet, **other):
    error = azure.refused(azure.begin_create, "c1", pools=pools(azure, subnet, **other))
    return error.status_code, error.error.code if error.error else "", error.message


def test_a_cluster_stands_in_a_subnet_and_makes_no_network_of_its_own(azure):
    """https://learn.microsoft.com/azure/aks/azure-cni-overlay"""
    subnet = make_network(azure)
    azure.create(pools=pools(azure, subnet))
    azure.add_pool(vnetSubnetID=subnet)
    live = azure.clusters.get(azure.group, "c1")
    assert {pool.vnet_subnet_id for pool in live.agent_pool_profiles} == {subnet}
    assert list(azure.network.virtual_networks.list(live.node_resource_group)) == []
    # One address a node: pods have theirs from the overlay.
    found = azure.network.subnets.get(azure.group, "spoke", "nodes")
    assert len(found.ip_configurations) == 6


def test_a_subnet_that_isnt_there_is_not_found(azure):
    """https://github.com/sassoftware/viya4-iac-azure/issues/163"""
    status, code, message = refusal(azure, f"{make_network(azure)}2")
    assert (status, code) == (400, "SubnetNotFound")
    assert "Could not find subnet nodes2 in vnet spoke from resource group rg1" in message


def test_a_subnet_holds_the_most_nodes_that_the_autoscaler_may_make(azure):
    """https://github.com/Azure/AKS-Construction/issues/701"""
    subnet = make_network(azure, "10.8.0.0/28")
    scaling = {"enableAutoScaling": True, "minCount": 3}
    assert refusal(azure, subnet, maxCount=12, **scaling)[1] == "InsufficientSubnetSize"
    azure.create(pools=pools(azure, subnet, maxCount=8, **scaling))
    error = azure.refused(azure.begin_pool, vnetSubnetID=subnet, maxCount=4, **scaling)
    assert "Pre-allocated IPs" in error.message
    azure.add_pool(vnetSubnetID=subnet, maxCount=3, **scaling)


def test_a_network_of_another_region_is_refused(azure):
    """https://github.com/rancher/rancher/issues/33517"""
    status, code, message = refusal(azure, make_network(azure, location="westus3"))
    assert (status, code) == (400, "InvalidParameter")
    assert message.startswith("(InvalidParameter) The Agentpool systempool's vnet")


def test_a_delegated_subnet_is_refused(azure):
    """https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/error-codes/subnetisdelegated-error"""
    delegated = {"name": "web", "properties": {"serviceName": "Microsoft.Web/serverFarms"}}
    assert refusal(azure, make_network(azure, delegations=[delegated]))[1] == "SubnetIsDelegated"


def test_no_subnet_of_the_network_overlaps_the_services(azure):
    """https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/error-codes/servicecidroverlapexistingsubnetscidr-error"""
    subnet = make_network(azure, "10.0.4.0/24")
    status, code, message = refusal(azure, subnet)
    assert (status, code) == (400, "ServiceCidrOverlapExistingSubnetsCidr")
    assert "10.0.0.0/16 is conflicted with an existing subnet CIDR 10.0.4.0/24" in message


def test_whoever_may_not_join_the_subnet_makes_no_cluster_in_it(azure):
    """https://learn.microsoft.com/azure/aks/aks-service-permissions"""
    subnet = make_network(azure)
    group = f"/subscriptions/{azure.subscription}/resourceGroups/{azure.group}"
    role = "Azure Kubernetes Service Contributor Role"
    made = azure.control("POST", "/sandbox/principals", {"roles": [{"role": role, "scope": group}]})
    other = type(azure)(azure.facts, made)
    error = other.refused(other.begin_create, "c1", pools=pools(azure, subnet))
    other.close()
    assert (error.status_code, error.error.code) == (403, "LinkedAuthorizationFailed")
    assert "Microsoft.Network/virtualNetworks/subnets/join/action" in error.message


def test_a_pool_never_changes_its_subnet_and_pools_share_a_network(azure):
    """https://github.com/Azure/AKS/issues/695"""
    subnet = make_network(azure)
    azure.create(pools=pools(azure, subnet))
    other = make_network(azure, "10.9.0.0/24", "other")
    assert azure.refused(azure.begin_pool, vnetSubnetID=other).error.code == "InvalidParameter"
    body = azure.clusters.get(azure.group, "c1")
    body.agent_pool_profiles[0].vnet_subnet_id = other
    error = azure.refused(azure.clusters.begin_create_or_update, azure.group, "c1", body)
    assert error.error.code == "PropertyChangeNotAllowed"


@pytest.mark.thorough
def test_a_subnet_with_nodes_in_it_stays_and_goes_once_they_are_gone(azure):
    """https://learn.microsoft.com/azure/virtual-network/virtual-network-manage-subnet"""
    subnet = make_network(azure)
    azure.create(pools=pools(azure, subnet))
    network = azure.network.subnets
    error = azure.refused(network.begin_delete, azure.group, "spoke", "nodes")
    assert error.error.code == "InUseSubnetCannotBeDeleted"
    deletion = azure.clusters.begin_delete(azure.group, "c1")
    azure.step(1000)
    deletion.result()
    gone = network.begin_delete(azure.group, "spoke", "nodes")
    azure.step(60)
    gone.result()
    with pytest.raises(HttpResponseError):
        network.get(azure.group, "spoke", "nodes")


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        ("192.168.0.0/24", "NetcfgInvalidSubnet"),
        ("10.8.0.128/25", "NetcfgSubnetRangesOverlap"),
        ("10.8.0.300/25", "InvalidCIDRNotation"),
    ],
)
def test_a_subnet_lies_in_its_network_and_beside_the_others(azure, prefix, code):
    """https://learn.microsoft.com/azure/virtual-network/virtual-networks-faq"""
    make_network(azure)
    body = {"properties": {"addressPrefix": prefix}}
    subnets = azure.network.subnets
    assert (
        azure.refused(subnets.begin_create_or_update, azure.group, "spoke", "more", body).error.code == code
    )
