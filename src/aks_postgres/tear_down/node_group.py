"""What stands in a node resource group: matched by ID with the cluster and its objects, everything else is foreign.

A type or a tag proves nothing: anyone may put an address or a disk there, and a policy may copy AKS's tags to it. What
AKS makes follows from the cluster as ARM shows it; what Kubernetes' controllers make follows from the cluster's own
objects. Where those can't be asked, what only they could explain isn't known, and refuses too.

What AKS makes: https://learn.microsoft.com/azure/aks/concepts-clusters-workloads#node-resource-group, its names as
https://github.com/Azure/azure-cli's recordings show them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aks_postgres.arm.responses import Json
from aks_postgres.errors import Finding
from aks_postgres.resources import public_ip, storage_account
from aks_postgres.tear_down.live_data import ClusterData
from aks_postgres.tear_down.ownership import WAY_OUT, described

_ADDRESSES = public_ip.KIND.type.casefold()
_DISKS = "microsoft.compute/disks"
_NICS = "microsoft.network/networkinterfaces"
_ENDPOINTS = "microsoft.network/privateendpoints"
_LINK_SERVICES = "microsoft.network/privatelinkservices"
# Azure makes network interfaces for these, which they name by ID; with the operations that read them.
WITH_INTERFACES = {_ENDPOINTS: "private_endpoints", _LINK_SERVICES: "private_link_services"}
_SCALE_SETS = "microsoft.compute/virtualmachinescalesets"
# What Kubernetes' controllers make, and only its objects can explain.
_OF_OBJECTS = frozenset(
    {
        _ADDRESSES,
        _DISKS,
        _NICS,
        _SCALE_SETS,
        "microsoft.compute/snapshots",
        _LINK_SERVICES,
        storage_account.KIND.type.casefold(),
    }
)
# One number for a cluster's scale sets and its network.
_NETWORK = (
    ("microsoft.network/networksecuritygroups", "aks-agentpool-{}-nsg"),
    ("microsoft.network/virtualnetworks", "aks-vnet-{}"),
    ("microsoft.network/routetables", "aks-agentpool-{}-routetable"),
)
_BALANCERS = ("kubernetes", "kubernetes-internal")
_INSTANCE = re.compile(r"(?P<scale_set>.*/virtualmachinescalesets/[^/]+)/virtualmachines/[^/]+")
# https://github.com/kubernetes-sigs/azuredisk-csi-driver and azurefile-csi-driver, docs/driver-parameters.md.
_DISK_DRIVER = "disk.csi.azure.com"
_SHARE_DRIVERS = ("file.csi.azure.com", "blob.csi.azure.com")


def foreign_among_nodes(
    group_id: str,
    contents: Sequence[Json],
    cluster: Json,
    data: ClusterData | None,
    *,
    ours: Iterable[str] = (),
    linked: Iterable[Json] = (),
    unknown: Finding | None = None,
) -> list[Finding]:
    """Name what in a node resource group neither the cluster nor its objects explain, such as somebody's address.

    Args:
        group_id: ID of the group.
        contents: what ARM lists in it.
        cluster: the cluster as ARM shows it.
        data: the cluster's objects; None where they can't be asked for.
        ours: IDs of what this product put there.
        linked: those of `contents` of the types `WITH_INTERFACES`, whole.
        unknown: why the objects can't be asked for, and what would change that.
    """
    match = _Match(group_id.casefold(), contents, cluster, data, linked)
    known = {resource_id.casefold() for resource_id in ours}
    why, first = (unknown.text, unknown.way_out) if unknown else ("nobody asked.", "Ask.")
    problems = []
    for resource in contents:
        if str(resource["id"]).casefold() in known or match.explains(resource):
            continue
        if data is None and str(resource["type"]).casefold() in _OF_OBJECTS:
            problems.append(
                Finding(
                    f"{described(resource)} goes with the cluster's node resource group, and whether it is Kubernetes' "
                    f"own can't be known: {why}",
                    f"{first} Or look at it, and move it elsewhere or delete it. Then run again.",
                )
            )
        else:
            problems.append(
                Finding(
                    f"{described(resource)} was made by neither AKS nor Kubernetes, by all that the cluster and its "
                    "objects say, and goes with the cluster's node resource group.",
                    WAY_OUT,
                )
            )
    return problems


def without_cluster(group: str, contents: Sequence[Json], cluster: str) -> list[Finding]:
    """What is said of a node resource group whose cluster is gone: nothing tells any more what is whose in it."""
    if not contents:
        return []
    listed = ", ".join(f"{resource['type']} {resource['name']}" for resource in contents[:20])
    more = f" and {len(contents) - 20} more" if len(contents) > 20 else ""
    return [
        Finding(
            f"resource group {group}: AKS cluster {cluster} is gone and its node resource group isn't, so nothing "
            f"tells whose this is: {listed}{more}.",
            f"Look at it, move what is to be kept, delete the group (az group delete --name {group}), then run again.",
        )
    ]


class _Match:
    """What a cluster and its objects explain."""

    def __init__(
        self,
        group_id: str,
        contents: Sequence[Json],
        cluster: Json,
        data: ClusterData | None,
        linked: Iterable[Json],
    ) -> None:
        self._base = f"{group_id}/providers/"
        self._properties: Json = cluster.get("properties") or {}
        profiles = self._properties.get("agentPoolProfiles")
        self._pools = [str(pool["name"]).casefold() for pool in _objects(profiles) if pool.get("name")]
        data = data or ClusterData()
        machines = set(_machines(data.nodes))
        self._numbers = self._numbers_in(machines) or self._only_number(contents)
        self._known = {
            *machines,
            *(f"{self._base}microsoft.network/loadbalancers/{name}" for name in _BALANCERS),
            *(
                f"{self._base}{kind}/{name.format(number)}"
                for kind, name in _NETWORK
                for number in self._numbers
            ),
            *(
                self._scale_set(f"aks-{pool}-{number}-vmss")
                for pool in self._pools
                for number in self._numbers
            ),
            *_outbound_addresses(self._properties),
            *self._identities(str(cluster.get("name") or "").casefold()),
            *_disks(data.volumes),
            *_snapshots(data.snapshot_contents),
            *(
                f"{self._base}microsoft.storage/storageaccounts/{name}"
                for name in self._accounts(data.volumes)
            ),
            *self._private_cluster(),
            *(
                f"{self._base}{kind}/{name}"
                for service in data.services
                for kind, name in _made_for_service(service)
            ),
        }
        self._known |= {
            interface
            for one in linked
            if str(one.get("id")).casefold() in self._known
            for interface in _ids(_at(one, "properties", "networkInterfaces"))
        }

    def explains(self, resource: Json) -> bool:
        """Return whether AKS or Kubernetes made a resource of the group."""
        resource_id = str(resource["id"]).casefold()
        return resource_id in self._known or self._is_system_disk(resource)

    def _is_system_disk(self, resource: Json) -> bool:
        """A node's own disk: named by Azure, and held by an instance of a known scale set.

        A disk of somebody's that hangs on a node is held by it, too, and has another name.
        """
        held = _INSTANCE.fullmatch(str(resource.get("managedBy") or "").casefold())
        if str(resource["type"]).casefold() != _DISKS or held is None or held["scale_set"] not in self._known:
            return False
        scale_set, name = held["scale_set"].rpartition("/")[2], str(resource["name"]).casefold()
        return re.fullmatch(r"aks.*os__1_[0-9a-f]{32}", name) is not None and name[:12] == scale_set[:12]

    def _scale_set(self, name: str) -> str:
        return f"{self._base}{_SCALE_SETS}/{name}"

    def _numbers_in(self, machines: Iterable[str]) -> set[str]:
        found = (self._number_of(machine.rpartition("/")[2]) for machine in machines)
        return {number for number in found if number}

    def _number_of(self, scale_set: str) -> str | None:
        found = re.fullmatch(r"aks-(.+)-(\d+)-vmss", scale_set)
        return found[2] if found and found[1] in self._pools else None

    def _only_number(self, contents: Iterable[Json]) -> set[str]:
        """The number that everything with AKS's names shares; of two, nobody knows which is AKS's."""
        forms = [(kind, re.compile(name.format(r"(\d+)"))) for kind, name in _NETWORK]
        found = set()
        for resource in contents:
            kind, name = str(resource["type"]).casefold(), str(resource["name"]).casefold()
            if kind == _SCALE_SETS and (number := self._number_of(name)):
                found.add(number)
            found |= {
                match[1]
                for resource_type, form in forms
                if resource_type == kind and (match := form.fullmatch(name))
            }
        return found if len(found) == 1 else set()

    def _accounts(self, volumes: Iterable[Json]) -> Iterator[str]:
        """The storage accounts of file shares and blob containers: `group#account#share#...`."""
        group = self._base.split("/")[4]
        for volume in volumes:
            csi = _at(volume, "spec", "csi")
            parts = str(_at(csi, "volumeHandle")).casefold().split("#")
            if _at(csi, "driver") in _SHARE_DRIVERS and len(parts) > 2 and parts[0] == group:
                yield parts[1]

    def _identities(self, cluster: str) -> Iterator[str]:
        """The identities that AKS made: the kubelets', the add-ons' and that of application routing.

        The kubelets' may be a given one, which is its owner's wherever it is; AKS names its own after the cluster.
        https://learn.microsoft.com/azure/aks/use-managed-identity
        """
        own = f"{self._base}microsoft.managedidentity/userassignedidentities/{cluster}-agentpool"
        kubelets = _at(self._properties.get("identityProfile"), "kubeletidentity")
        if str(_at(kubelets, "resourceId")).casefold() == own:
            yield own
        found = [_at(addon, "identity") for addon in _values(self._properties.get("addonProfiles"))]
        found.append(_at(self._properties, "ingressProfile", "webAppRouting", "identity"))
        for identity in found:
            if resource_id := _at(identity, "resourceId"):
                yield str(resource_id).casefold()

    @property
    def _private_zone(self) -> str | None:
        """ID of the DNS zone that AKS makes for a private cluster: what follows the first dot of its name in it."""
        access = self._properties.get("apiServerAccessProfile")
        _, _, zone = str(self._properties.get("privateFQDN") or "").casefold().partition(".")
        if not _at(access, "enablePrivateCluster") or not zone:
            return None
        return f"{self._base}microsoft.network/privatednszones/{zone}"

    def _private_cluster(self) -> list[str]:
        """An endpoint, a zone, and its link to the nodes' network, named like the API server's record in it.

        Any other link of the zone, such as one to a hub's network, is its maker's. An API server that is in a network
        itself needs no endpoint.
        https://learn.microsoft.com/azure/aks/private-clusters and api-server-vnet-integration
        """
        zone = self._private_zone
        if zone is None:
            return []
        record, _, _ = str(self._properties["privateFQDN"]).casefold().partition(".")
        integrated = _at(self._properties, "apiServerAccessProfile", "enableVnetIntegration")
        endpoints = [] if integrated else [f"{self._base}{_ENDPOINTS}/kube-apiserver"]
        return [zone, f"{zone}/virtualnetworklinks/{record}", *endpoints]


def _outbound_addresses(properties: Json) -> Iterator[str]:
    """The addresses that AKS made for itself: those in force, without those that it was given."""
    network = properties.get("networkProfile")
    balancer, gateway = _at(network, "loadBalancerProfile"), _at(network, "natGatewayProfile")
    given = {*_ids(_at(balancer, "outboundIPs", "publicIPs"))}
    for profile in (balancer, gateway):
        yield from (
            address_id for address_id in _ids(_at(profile, "effectiveOutboundIPs")) if address_id not in given
        )


def _machines(nodes: Iterable[Json]) -> Iterator[str]:
    """IDs of the scale sets and machines that the nodes are: `azure:///subscriptions/...`."""
    for node in nodes:
        machine = str(_at(node, "spec", "providerID") or "").casefold().removeprefix("azure://")
        if machine.startswith("/subscriptions/"):
            instance = _INSTANCE.fullmatch(machine)
            yield instance["scale_set"] if instance else machine


def _made_for_service(service: Json) -> Iterator[tuple[str, str]]:
    """Yield types and names of what the cloud controller makes for a Service: its address and its private link service.

    They are named after its load balancer, which is `a` and its UID, 32 characters of it. An address or a private link
    service that a Service was given by name has another one: whoever made it keeps it.
    https://github.com/kubernetes-sigs/cloud-provider-azure (getPublicIPName, getPrivateLinkServiceName,
    getFrontendIPConfigName) and https://github.com/kubernetes/cloud-provider (DefaultLoadBalancerName)
    """
    uid = str(_at(service, "metadata", "uid") or "").replace("-", "").casefold()
    if not uid:
        return
    annotations, balancer = _at(service, "metadata", "annotations"), f"a{uid}"[:32]
    prefix, prefix_ipv6, subnet = (
        str(_at(annotations, f"service.beta.kubernetes.io/azure-{name}") or "").casefold().rpartition("/")[2]
        for name in ("pip-prefix-id", "pip-prefix-id-ipv6", "load-balancer-internal-subnet")
    )
    for family, of_prefix in (("", prefix), ("-ipv6", prefix_ipv6)):
        yield _ADDRESSES, "-".join(filter(None, ("kubernetes", balancer, of_prefix))) + family
        yield _LINK_SERVICES, "-".join(filter(None, ("pls", balancer, subnet))) + family


def _disks(volumes: Iterable[Json]) -> Iterator[str]:
    for volume in volumes:
        spec = _at(volume, "spec")
        if _at(spec, "csi", "driver") == _DISK_DRIVER:
            yield str(_at(spec, "csi", "volumeHandle")).casefold()
        if disk := _at(spec, "azureDisk", "diskURI"):
            yield str(disk).casefold()


def _snapshots(contents: Iterable[Json]) -> Iterator[str]:
    for content in contents:
        if _at(content, "spec", "driver") == _DISK_DRIVER:
            taken = _at(content, "status", "snapshotHandle") or _at(
                content, "spec", "source", "snapshotHandle"
            )
            yield str(taken).casefold()


def _ids(references: Any) -> Iterator[str]:
    for reference in _objects(references):
        if reference.get("id"):
            yield str(reference["id"]).casefold()


def _objects(found: Any) -> list[Json]:
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _values(found: Any) -> list[Any]:
    return list(found.values()) if isinstance(found, Mapping) else []


def _at(item: Any, *path: str) -> Any:
    """Return what is at a path; None where a part of it is missing or no object."""
    for part in path:
        item = item.get(part) if isinstance(item, dict) else None
    return item
