"""What AKS refuses of a subnet that somebody brings for the nodes, and what takes a right to use it.

How a cluster stands in one: https://learn.microsoft.com/azure/aks/azure-cni-overlay. AKS joins the nodes with its own
service principal, so a cluster whose identity has no role on the subnet is made all the same; the identity needs
`subnets/read` and `subnets/join/action` for load balancers, to be given "after it's created":
https://learn.microsoft.com/azure/aks/aks-service-permissions#additional-aks-cluster-identity-permissions.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

from azure_sandbox.providers.aks_validation import invalid
from azure_sandbox.providers.container_service import refusal
from azure_sandbox.providers.virtual_networks import free_addresses, prefix_of, siblings

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource

Json = dict[str, Any]

JOIN = "Microsoft.Network/virtualNetworks/subnets/join/action"
_ID = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/Microsoft\.Network/"
    r"virtualNetworks/(?P<network>[^/]+)/subnets/(?P<subnet>[^/]+)",
    re.I,
)


def check_subnets(
    call: Call, pools: dict[str, Json], cluster: Json, location: str, live: dict[str, Json]
) -> None:
    """All rules about the subnets of these pools.

    Args:
        call: the request.
        pools: the pools as they are to be stored, by name.
        cluster: the cluster's properties as they are to be stored.
        location: the cluster's region.
        live: the pools as they are, by name.
    """
    needed: dict[str, int] = {}
    networks = set()
    for name, pool in {**live, **pools}.items():
        subnet_id = pool.get("vnetSubnetID")
        networks.add(str(subnet_id or "").rpartition("/subnets/")[0].lower())
        if not subnet_id:
            continue
        if name in pools:
            check_subnet(call, name, str(subnet_id), cluster, location)
        more = _most(pool) - int((live.get(name) or {}).get("count") or 0)
        key = str(subnet_id).lower()
        needed[key] = needed.get(key, 0) + more
    if len(networks) > 1:
        # https://learn.microsoft.com/azure/aks/node-pool-unique-subnet (limitations; the text is ours)
        raise invalid("agentPoolProfile.vnetSubnetID", "All subnets must belong to the same virtual network.")
    for subnet_id, nodes in needed.items():
        subnet = call.sandbox.store.get(subnet_id)
        if subnet is not None:
            _check_room(call, subnet, nodes)


def check_subnet(call: Call, pool: str, subnet_id: str, cluster: Json, location: str) -> Resource:
    """The subnet that a pool is to be in: it is there, the caller may join it, and AKS can use it.

    Not there: https://github.com/sassoftware/viya4-iac-azure/issues/163 (raw). No right: the linked access check of
    https://learn.microsoft.com/azure/aks/aks-service-permissions. Region:
    https://github.com/rancher/rancher/issues/33517 (the code and the text's beginning are raw, the rest is ours).
    Delegated: https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/error-codes/subnetisdelegated-error.
    Services: https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/error-codes/servicecidroverlapexistingsubnetscidr-error.
    Names: https://learn.microsoft.com/azure/aks/azure-cni-overlay (63 characters; the text is ours).
    """
    target = "agentPoolProfile.vnetSubnetID"
    found = _ID.fullmatch(subnet_id)
    if found is None:
        # https://github.com/Azure/AKS/issues/695 (raw)
        raise invalid(target)
    call.sandbox.rbac.check_linked(call.principal, JOIN, subnet_id, of=call.route.permission, at=call.id)
    if any(len(found[name]) > 63 for name in ("group", "network", "subnet")):
        text = "The names of the subnet, the virtual network and its resource group must be at most 63 characters."
        raise invalid(target, text)
    subnet = call.sandbox.store.get(subnet_id)
    network = call.sandbox.store.get(subnet_id.rpartition("/subnets/")[0])
    if subnet is None or network is None:
        raise refusal(
            "SubnetNotFound",
            f"Could not find subnet {found['subnet']} in vnet {found['network']} from resource group {found['group']} "
            f"of subscription {found['subscription']}.",
            target=target,
        )
    if network.location != location:
        text = f"The Agentpool {pool}'s vnet {network.name} is in location {network.location}, not in {location}."
        raise refusal("InvalidParameter", text, target=target)
    if subnet.properties.get("delegations"):
        raise refusal(
            "SubnetIsDelegated",
            f"AgentPoolProfile subnet with id {subnet.id} cannot be used as it's a delegated subnet. Please check "
            "https://aka.ms/adv-network-prerequest for more details.",
            target=target,
        )
    _check_overlap(call, subnet, cluster)
    return subnet


def _check_overlap(call: Call, subnet: Resource, cluster: Json) -> None:
    profile = cluster["networkProfile"]
    services = ipaddress.IPv4Network(profile["serviceCidr"], strict=False)
    for one in siblings(call.sandbox, subnet):
        if services.overlaps(prefix_of(one)):
            raise refusal(
                "ServiceCidrOverlapExistingSubnetsCidr",
                f"The specified service CIDR {services} is conflicted with an existing subnet CIDR {prefix_of(one)}",
                target="networkProfile.serviceCIDR",
            )
    pods = profile.get("podCidr")
    if pods and ipaddress.IPv4Network(pods, strict=False).overlaps(prefix_of(subnet)):
        # https://learn.microsoft.com/azure/aks/azure-cni-overlay (IP address planning; code and text are ours)
        text = f"The pod CIDR {pods} is conflicted with the subnet CIDR {prefix_of(subnet)}."
        raise invalid("networkProfile.podCidr", text)


def _most(pool: Json) -> int:
    """The nodes that a pool may come to have: those of the autoscaler's maximum."""
    return int(pool["maxCount"] if pool.get("enableAutoScaling") else pool["count"])


def _check_room(call: Call, subnet: Resource, nodes: int) -> None:
    """A subnet has room for each node of an overlay, counted at the autoscaler's maximum.

    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/connectivity/insufficientsubnetsize-error-advanced-networking;
    the text is raw in https://github.com/Azure/AKS-Construction/issues/701.
    """
    free = free_addresses(call.sandbox, subnet)
    if nodes > free:
        raise refusal(
            "InsufficientSubnetSize",
            f"Pre-allocated IPs {nodes} exceeds IPs available {max(free, 0)} in Subnet Cidr {prefix_of(subnet)}, "
            f"Subnet Name {subnet.name}. If Autoscaler is enabled, the max-count from each nodepool is counted towards "
            "this total (which means that pre-allocated IPs count represents a theoretical max value, not the actual "
            "number of IPs requested). http://aka.ms/aks/insufficientsubnetsize",
            target="networkProfile",
        )
