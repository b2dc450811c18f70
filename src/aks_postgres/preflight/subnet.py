"""The subnet of one's own that the nodes are to stand in: whether AKS takes it, and who may use it.

https://learn.microsoft.com/azure/aks/azure-cni-overlay (IP address planning, limitations),
https://learn.microsoft.com/azure/aks/aks-service-permissions
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import AzureRefused
from aks_postgres.arm.responses import ArmFault, Json
from aks_postgres.arm.retry import read_once, with_retries
from aks_postgres.errors import Finding
from aks_postgres.preflight.facts import PERMISSIONS_VERSION, pages
from aks_postgres.preflight.findings import FINE, Findings, problem, warning
from aks_postgres.preflight.permissions import ROLE_ASSIGNMENTS_WRITE
from aks_postgres.resources.permitted import granting
from aks_postgres.spec.environment import EnvironmentSpec

# As the SDK's default; its package takes half a second to import.
_NETWORK = "2026-03-01"
# What AKS takes for services and pods where nobody says otherwise; a rebuild couldn't change it on a cluster.
# https://learn.microsoft.com/azure/aks/azure-cni-overlay
SERVICES = ipaddress.IPv4Network("10.0.0.0/16")
PODS = ipaddress.IPv4Network("10.244.0.0/16")
# Azure keeps as many of each subnet: https://learn.microsoft.com/azure/virtual-network/virtual-networks-faq
_KEPT_BY_AZURE = 5

READ = ("Microsoft.Network/virtualNetworks/read", "Microsoft.Network/virtualNetworks/subnets/read")
JOIN = "Microsoft.Network/virtualNetworks/subnets/join/action"
SUBNET_ACTIONS = {
    **dict.fromkeys(READ, "preflight"),
    JOIN: "AKS cluster and node pool in the subnet",
}
_FIELD = "network.subnet_id"


@dataclass(frozen=True)
class SubnetFacts:
    """What Azure says of the subnet; None where it wouldn't."""

    network: Json | None
    permissions: list[Json] | None
    refused: Findings


async def ask_subnet(azure: Azure, subnet_id: str) -> SubnetFacts:
    """Ask about the virtual network, with its subnets, and what the caller may do in the one.

    One of another subscription isn't asked about.
    """
    network: Json | None = None
    permissions: list[Json] | None = None
    network_id = subnet_id.rpartition("/subnets/")[0]

    async def read() -> Json | None:
        try:
            return (await read_once(lambda: azure.get(network_id, _NETWORK))).body
        except ArmFault as fault:
            if fault.status == 404:
                return None
            raise

    if _subscription_of(subnet_id) != azure.subscription_id.casefold():
        return SubnetFacts(None, None, FINE)
    try:
        network = await with_retries(f"virtual network {network_id.rpartition('/')[2]}", read)
        if network is None:
            return SubnetFacts(None, None, FINE)
        permissions = await pages(
            azure,
            "the caller's permissions in the subnet",
            f"{subnet_id}/providers/Microsoft.Authorization/permissions",
            PERMISSIONS_VERSION,
        )
    except AzureRefused as error:
        text = f"{_FIELD}: {str(error).removesuffix(error.way_out).strip()}"
        return SubnetFacts(network, None, Findings(problems=(Finding(text, error.way_out),)))
    return SubnetFacts(network, permissions, FINE)


def _subscription_of(subnet_id: str) -> str:
    return subnet_id.split("/")[2].casefold()


def judge_subnet(
    spec: EnvironmentSpec, subscription_id: str, facts: SubnetFacts, cluster: Json | None
) -> Findings:
    """Return whether AKS takes the subnet for the nodes of this environment.

    Args:
        spec: the environment wanted.
        subscription_id: the environment's.
        facts: what Azure said of the subnet.
        cluster: the live cluster, which may stand in it already.
    """
    wanted = str(spec.network.subnet_id)
    if facts.refused.problems:
        return facts.refused
    if _subscription_of(wanted) != subscription_id.casefold():
        return problem(
            _FIELD,
            f"it is in subscription {wanted.split('/')[2]}, and the environment in {subscription_id}; across "
            "subscriptions it isn't offered.",
            "Give a subnet of the environment's subscription.",
        )
    properties = (facts.network or {}).get("properties") or {}
    subnets = [subnet for subnet in properties.get("subnets") or [] if isinstance(subnet, dict)]
    subnet = next(
        (subnet for subnet in subnets if str(subnet.get("id")).casefold() == wanted.casefold()), None
    )
    if facts.network is None or subnet is None:
        name = wanted.rpartition("/")[2]
        have = ", ".join(str(subnet.get("name")) for subnet in subnets)
        return problem(
            _FIELD,
            f"there is no subnet {name} in {wanted.split('/')[8]}{f', which has {have}' if have else ''}.",
            "Give the ID that az network vnet subnet show -o tsv --query id prints.",
        )
    findings = FINE
    for found in _problems(spec, facts.network, subnet, subnets):
        findings += problem(_FIELD, found.text, found.way_out)
    return findings + _judge_room(spec, subnet, cluster)


def _problems(
    spec: EnvironmentSpec, network: Json, subnet: Json, subnets: Sequence[Json]
) -> Iterator[Finding]:
    """Yield what AKS refuses it for."""
    name, region = subnet.get("name"), str(network.get("location")).replace(" ", "").casefold()
    if region != spec.region:
        yield Finding(
            f"its network is in {region}, and the environment in {spec.region}.",
            "Give a subnet of that region, or set region.",
        )
    delegations = (subnet.get("properties") or {}).get("delegations") or []
    if delegations:
        service = (delegations[0].get("properties") or {}).get("serviceName")
        yield Finding(
            f"subnet {name} is delegated to {service}, and nodes can't stand in it.",
            "Give one without delegation.",
        )
    for neighbour in subnets:
        for prefix in _prefixes(neighbour):
            if prefix.overlaps(SERVICES):
                yield Finding(
                    f"subnet {neighbour.get('name')} ({prefix}) of its network overlaps {SERVICES}, where the "
                    "cluster's services are.",
                    "Give a subnet of a network that keeps clear of it.",
                )
    if any(prefix.overlaps(PODS) for prefix in _prefixes(subnet)):
        yield Finding(
            f"subnet {name} overlaps {PODS}, where the cluster's pods are.",
            "Give a subnet that keeps clear of it.",
        )


def _prefixes(subnet: Json) -> list[ipaddress.IPv4Network]:
    properties = subnet.get("properties") or {}
    given = properties.get("addressPrefixes") or [properties.get("addressPrefix")]
    found = []
    for prefix in given:
        try:
            found.append(ipaddress.IPv4Network(str(prefix), strict=False))
        except ValueError:
            continue  # IPv6, which nodes of this cluster have none of
    return found


def _judge_room(spec: EnvironmentSpec, subnet: Json, cluster: Json | None) -> Findings:
    """Each node takes an address; AKS counts the most that the autoscaler may make."""
    pools = (spec.system_pool, spec.postgres_pool)
    wanted = str(spec.network.subnet_id).casefold()
    profiles = ((cluster or {}).get("properties") or {}).get("agentPoolProfiles") or []
    mine = sum(
        int(pool.get("count") or 0) for pool in profiles if str(pool.get("vnetSubnetID")).casefold() == wanted
    )
    used = len((subnet.get("properties") or {}).get("ipConfigurations") or []) - mine
    free = sum(prefix.num_addresses - _KEPT_BY_AZURE for prefix in _prefixes(subnet)) - max(used, 0)
    needed = sum(pool.max_count for pool in pools)
    counted = " and ".join(f"{pool.max_count} ({pool.name})" for pool in pools)
    if needed > free:
        return problem(
            _FIELD,
            f"subnet {subnet.get('name')} has {max(free, 0)} free addresses, and at most {counted} nodes need one "
            "each.",
            "Give a larger subnet, or set max_count of the pools lower.",
        )
    if needed + len(pools) > free:
        return warning(
            _FIELD,
            f"subnet {subnet.get('name')} has {free} free addresses for at most {counted} nodes: an upgrade needs one "
            "more for each pool.",
        )
    return FINE


def judge_subnet_rights(spec: EnvironmentSpec, caller: str, facts: SubnetFacts) -> Findings:
    """Return whether the caller may put nodes into the subnet, and give the cluster's identity its role there.

    Args:
        spec: the environment wanted.
        caller: who, for the text.
        facts: what Azure said of the subnet.
    """
    if facts.permissions is None:
        return FINE
    needed = [JOIN, *([ROLE_ASSIGNMENTS_WRITE] if spec.roles == "create" else [])]
    lacking = [action for action in needed if not granting(action, facts.permissions)]
    if not lacking:
        return FINE
    also = ", or say roles: verify and have that role given by somebody else" if needed[1:] == lacking else ""
    return problem(
        _FIELD,
        f"{caller} lacks {' and '.join(lacking)} in the subnet.",
        f"Give it Network Contributor{' and Role Based Access Control Administrator' if needed[1:] else ''} on the "
        f"subnet, or a custom role with these actions{also}; then run again.",
    )
