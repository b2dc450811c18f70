"""Microsoft.Network/virtualNetworks and their subnets: what somebody has made for clusters to stand in.

REST: https://learn.microsoft.com/rest/api/virtualnetwork/virtual-networks and
https://learn.microsoft.com/rest/api/virtualnetwork/subnets. A network shows its subnets, and a subnet says which
interfaces are in it (`ipConfigurations`).

Left out: IPv6, peerings, service endpoints, and what security groups and route tables do.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.regions import find_region
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.providers.network import API_VERSIONS, DELETE, WRITE, provider

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]
Network = ipaddress.IPv4Network

NETWORK = "Microsoft.Network/virtualNetworks"
SUBNET = "Microsoft.Network/virtualNetworks/subnets"
POOL = "Microsoft.ContainerService/managedClusters/agentPools"
# Azure keeps the first four addresses of a subnet, and its last one.
# https://learn.microsoft.com/azure/virtual-network/virtual-networks-faq
KEPT_BY_AZURE = 5

_SUBNET = {
    "addressPrefix": str,
    "addressPrefixes": [str],
    "delegations": [{"properties": {"serviceName": str}}],
}
_SHAPE = {
    "properties": {
        "addressSpace": {"addressPrefixes": [str]},
        "subnets": [{"name": str, "properties": _SUBNET}],
    }
}

provider.type("virtualNetworks", api_versions=API_VERSIONS, delete_duration="virtual_network_delete")
provider.type("virtualNetworks/subnets", api_versions=API_VERSIONS)
provider.standard(
    "virtualNetworks/{network}",
    get="VirtualNetworks_Get",
    list_in_group="VirtualNetworks_List",
    list_in_subscription="VirtualNetworks_ListAll",
)
provider.standard(
    "virtualNetworks/{network}/subnets/{subnet}", get="Subnets_Get", list_in_group="Subnets_List"
)


@provider.put("virtualNetworks/{network}")
def virtual_networks_create_or_update(call: Call) -> Response:
    """VirtualNetworks_CreateOrUpdate: 201 for a new network, 200 for a known one; subnets that aren't sent go.

    REST: https://learn.microsoft.com/rest/api/virtualnetwork/virtual-networks/create-or-update
    """
    call.check_shape(_SHAPE)
    region = find_region(call.body["location"])
    if region is None:
        text = (
            f"The provided location '{call.body['location']}' is not available for resource type '{NETWORK}'."
        )
        raise ArmError(400, "LocationNotAvailableForResourceType", text)
    _check_name(call.names["network"])
    prefixes = (call.properties.get("addressSpace") or {}).get("addressPrefixes") or []
    if not prefixes:
        text = f"Resource {call.id} must have at least one address prefix."
        raise ArmError(400, "NoAddressPrefixOrPoolProvided", text)
    space = [_range(str(prefix)) for prefix in prefixes]
    sent: dict[str, Json] = {}
    for one in call.properties.get("subnets") or []:
        name = str(one.get("name") or "")
        _check_name(name)
        others = {other: _of(known) for other, known in sent.items()}
        sent[name] = _subnet(call, name, one.get("properties") or {}, call.names["network"], space, others)
    sandbox = call.sandbox
    gone = [subnet for subnet in _subnets(sandbox, call.id) if subnet.name not in sent]
    for subnet in gone:
        _check_unused(sandbox, subnet)
    properties = {
        "addressSpace": {"addressPrefixes": [str(prefix) for prefix in prefixes]},
        "resourceGuid": str(sandbox.uuid("resourceGuid", call.id)),
        "enableDdosProtection": False,
    }
    body: Json = {"location": region.name, "properties": properties}
    if call.body.get("tags") is not None:
        body["tags"] = call.body["tags"]
    network = call.put(body)
    for subnet in gone:
        sandbox.remove(subnet)
    for name, stored in sent.items():
        sandbox.store.put(f"{network.id}/subnets/{name}", SUBNET, {"properties": stored})
    return call.begin(network, duration="virtual_network_write", polling=WRITE, state="Updating")


@provider.put("virtualNetworks/{network}/subnets/{subnet}")
def subnets_create_or_update(call: Call) -> Response:
    """Subnets_CreateOrUpdate: 201 for a new subnet, 200 for a known one.

    REST: https://learn.microsoft.com/rest/api/virtualnetwork/subnets/create-or-update
    """
    call.check_shape({"properties": _SUBNET})
    network = call.parent()
    _check_name(call.names["subnet"])
    space = [_range(prefix) for prefix in network.properties["addressSpace"]["addressPrefixes"]]
    others = {
        one.name: _of(one.properties)
        for one in _subnets(call.sandbox, network.id)
        if one.name.lower() != call.names["subnet"].lower()
    }
    stored = _subnet(call, call.names["subnet"], call.properties, network.name, space, others)
    subnet = call.put({"properties": stored})
    return call.begin(subnet, duration="virtual_network_write", polling=WRITE, state="Updating")


@provider.delete("virtualNetworks/{network}/subnets/{subnet}")
def subnets_delete(call: Call) -> Response:
    """Subnets_Delete: 202, or 204 when there is none.

    REST: https://learn.microsoft.com/rest/api/virtualnetwork/subnets/delete
    """
    if call.live is not None:
        _check_unused(call.sandbox, call.live)
    return call.begin_delete(duration="virtual_network_delete", polling=DELETE)


@provider.delete("virtualNetworks/{network}")
def virtual_networks_delete(call: Call) -> Response:
    """VirtualNetworks_Delete: 202, or 204 when there is none.

    REST: https://learn.microsoft.com/rest/api/virtualnetwork/virtual-networks/delete
    """
    if call.live is not None:
        for subnet in _subnets(call.sandbox, call.live.id):
            _check_unused(call.sandbox, subnet)
    return call.begin_delete(duration="virtual_network_delete", polling=DELETE)


@provider.view("virtualNetworks")
def virtual_network_view(network: Resource, sandbox: Sandbox) -> Json:
    """A network shows its subnets."""
    subnets = [subnet_view(subnet, sandbox) for subnet in _subnets(sandbox, network.id)]
    return {**network.body, "properties": {**network.properties, "subnets": subnets}}


@provider.view("virtualNetworks/subnets")
def subnet_view(subnet: Resource, sandbox: Sandbox) -> Json:
    """A subnet says which interfaces are in it."""
    properties = {"provisioningState": "Succeeded", **subnet.properties}
    if used := interfaces_in(sandbox, subnet):
        properties["ipConfigurations"] = [{"id": interface} for interface in used]
    return {**subnet.body, "properties": properties}


def interfaces_in(sandbox: Sandbox, subnet: Resource) -> list[str]:
    """The IDs of the nodes' IP configurations in a subnet: one a node, as pods of an overlay take none.

    https://learn.microsoft.com/azure/aks/azure-cni-overlay (IP address planning)
    """
    found = []
    for pool in sandbox.store.of_type(POOL):
        if str(pool.properties.get("vnetSubnetID") or "").lower() != subnet.id.lower():
            continue
        cluster = sandbox.store.get(pool.id.rpartition("/agentPools/")[0])
        group = cluster.properties["nodeResourceGroup"] if cluster is not None else ""
        for number in range(int(pool.properties["count"])):
            found.append(
                f"{sandbox.subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/"
                f"aks-{pool.name}-vmss/virtualMachines/{number}/networkInterfaces/aks-{pool.name}/ipConfigurations/ipconfig1"
            )
    return found


def free_addresses(sandbox: Sandbox, subnet: Resource) -> int:
    """How many more interfaces a subnet has room for."""
    return _of(subnet.properties).num_addresses - KEPT_BY_AZURE - len(interfaces_in(sandbox, subnet))


def prefix_of(subnet: Resource) -> Network:
    """The addresses of a subnet."""
    return _of(subnet.properties)


def siblings(sandbox: Sandbox, subnet: Resource) -> list[Resource]:
    """All subnets of the network that a subnet is in."""
    return _subnets(sandbox, subnet.id.rpartition("/subnets/")[0])


def _subnets(sandbox: Sandbox, network_id: str) -> list[Resource]:
    return sandbox.store.under(network_id, SUBNET)


def _of(properties: Json) -> Network:
    return ipaddress.IPv4Network(properties["addressPrefix"])


def _check_name(name: str) -> None:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftnetwork."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?", name):
        raise ArmError(400, "InvalidResourceName", f"Resource name {name} is invalid.")


def _range(prefix: str) -> Network:
    try:
        return ipaddress.IPv4Network(prefix)
    except ValueError:
        text = f"The address prefix {prefix} is not formatted correctly."
        raise ArmError(400, "InvalidCIDRNotation", text) from None


def _subnet(
    call: Call, name: str, sent: Json, network: str, space: list[Network], others: dict[str, Network]
) -> Json:
    """A subnet as it is stored, in its network's space and beside the others.

    Codes: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors and
    https://github.com/hashicorp/terraform-provider-azurerm/issues (NetcfgInvalidSubnet, NetcfgSubnetRangesOverlap).
    """
    given = sent.get("addressPrefix") or next(iter(sent.get("addressPrefixes") or []), None)
    if not given:
        text = f"Subnet {name} must have an address prefix."
        raise ArmError(400, "NoAddressPrefixOrPoolProvided", text)
    prefix = _range(given)
    if not any(prefix.subnet_of(one) for one in space):
        text = f"Subnet '{name}' is not valid in virtual network '{network}'."
        raise ArmError(400, "NetcfgInvalidSubnet", text)
    if any(prefix.overlaps(other) for other in others.values()):
        text = (
            f"Subnet '{name}' is not valid because its IP address range overlaps with that of an existing subnet in "
            f"virtual network '{network}'."
        )
        raise ArmError(400, "NetcfgSubnetRangesOverlap", text)
    delegations = [
        {"name": one.get("name") or "delegation", "properties": one.get("properties") or {}}
        for one in sent.get("delegations") or []
    ]
    return {
        "addressPrefix": str(prefix),
        "delegations": delegations,
        "privateEndpointNetworkPolicies": "Disabled",
        "privateLinkServiceNetworkPolicies": "Enabled",
    }


def _check_unused(sandbox: Sandbox, subnet: Resource) -> None:
    """A subnet with nodes in it stays.

    Text: https://github.com/hashicorp/terraform-provider-azurerm (InUseSubnetCannotBeDeleted, raw).
    """
    if used := interfaces_in(sandbox, subnet):
        text = (
            f"Subnet {subnet.name} is in use by {used[0]} and cannot be deleted. In order to delete the subnet, delete "
            "all the resources within the subnet. See aka.ms/deletesubnet."
        )
        raise ArmError(400, "InUseSubnetCannotBeDeleted", text)
