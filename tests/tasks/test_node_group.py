"""Whose things in a node resource group are: every type that may stand there, foreign and not; data in, words out."""

import copy
import inspect
import re
from typing import Any

import pytest

from aks_postgres.errors import Finding
from aks_postgres.tear_down import node_group
from aks_postgres.tear_down.live_data import ClusterData
from aks_postgres.tear_down.node_group import foreign_among_nodes, without_cluster
from azure_sandbox.server.routing import load

Json = dict[str, Any]

SUBSCRIPTION = "/subscriptions/11111111-2222-3333-4444-555555555555"
# ARM shows the group in other letters now and then.
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-cnpg-primary-aksmanaged-abcdefgh"
LOWER = f"{SUBSCRIPTION}/resourcegroups/rg-cnpg-primary-aksmanaged-abcdefgh"
OURS = f"{GROUP}/providers/Microsoft.Network/publicIPAddresses/aks-primary-pip"
NUMBER = "12345678"
UID = "5d7e9c1e-1111-4222-8333-0123456789ab"
OUTBOUND, GIVEN = "02b18ee1-f88c-4c82-9dfe-72e29758f957", "pip-given"
HASH = "0123456789abcdef0123456789abcdef"
# What AKS and the controllers write on theirs, and what a policy copies to everything in the group.
TAGS = {
    "aks-managed-type": "aks-slb-managed-outbound-ip",
    "aks-managed-poolName": "postgres",
    "k8s-azure-cluster-name": "kubernetes",
    "k8s-azure-service": "db/pg-rw",
    "k8s-azure-created-by": "kubernetes-azure-dd",
    "kubernetes.io-created-for-pvc-name": "pg-1",
}


def at(kind: str, name: str) -> str:
    return f"{GROUP}/providers/{kind}/{name}"


CLUSTER: Json = {
    "name": "aks",
    "properties": {
        "agentPoolProfiles": [{"name": "systempool"}, {"name": "postgres"}],
        "networkProfile": {
            "loadBalancerProfile": {
                "managedOutboundIPs": {"count": 1},
                "effectiveOutboundIPs": [{"id": at("Microsoft.Network/publicIPAddresses", OUTBOUND)}],
            }
        },
        "identityProfile": {
            "kubeletidentity": {
                "resourceId": f"{LOWER}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/aks-agentpool"
            }
        },
        "addonProfiles": {
            "omsagent": {
                "identity": {
                    "resourceId": at("Microsoft.ManagedIdentity/userAssignedIdentities", "omsagent-aks")
                }
            },
            "azurepolicy": None,
        },
        "ingressProfile": {
            "webAppRouting": {
                "identity": {
                    "resourceId": at("Microsoft.ManagedIdentity/userAssignedIdentities", "webapprouting-aks")
                }
            }
        },
    },
}
PRIVATE = copy.deepcopy(CLUSTER)
PRIVATE["properties"] |= {
    "apiServerAccessProfile": {"enablePrivateCluster": True},
    "privateFQDN": "aks-dns.0a1b2c3d.privatelink.canadacentral.azmk8s.io",
}


def node(pool: str) -> Json:
    scale_set = f"{LOWER}/providers/Microsoft.Compute/virtualMachineScaleSets/aks-{pool}-{NUMBER}-vmss"
    return {
        "metadata": {"name": pool},
        "spec": {"providerID": f"azure://{scale_set}/virtualMachines/0"},
    }


def volume(driver: str, handle: str) -> Json:
    return {"metadata": {"name": "pv"}, "spec": {"csi": {"driver": driver, "volumeHandle": handle}}}


DATA = ClusterData(
    volumes=[
        volume("disk.csi.azure.com", f"{LOWER}/providers/Microsoft.Compute/disks/PVC-1"),
        {
            "metadata": {"name": "old"},
            "spec": {"azureDisk": {"diskURI": at("Microsoft.Compute/disks", "old")}},
        },
        volume("file.csi.azure.com", f"{GROUP.rpartition('/')[2]}#f0123456789abcdef#pvc-2##uuid#db"),
    ],
    snapshot_contents=[
        {
            "metadata": {"name": "s"},
            "spec": {"driver": "disk.csi.azure.com", "source": {"volumeHandle": "x"}},
            "status": {"snapshotHandle": at("Microsoft.Compute/snapshots", "snapshot-1")},
        },
        {
            "metadata": {"name": "t"},
            "spec": {
                "driver": "disk.csi.azure.com",
                "source": {"snapshotHandle": at("Microsoft.Compute/snapshots", "taken")},
            },
        },
    ],
    services=[{"metadata": {"namespace": "db", "name": "pg-rw", "uid": UID}}],
    nodes=[node("systempool"), node("postgres")],
)
BALANCER = f"a{UID.replace('-', '')}"[:32]
INSTANCE = at("Microsoft.Compute/virtualMachineScaleSets", f"aks-postgres-{NUMBER}-vmss/virtualMachines/0")

# Type, name, and more of what ARM lists.
MADE: list[tuple[str, str, Json]] = [
    ("Microsoft.Compute/virtualMachineScaleSets", f"aks-systempool-{NUMBER}-vmss", {}),
    ("Microsoft.Compute/virtualMachineScaleSets", f"aks-postgres-{NUMBER}-vmss", {}),
    ("Microsoft.Compute/disks", f"aks-postgres-{NUMBER}aks-postgresOS__1_{HASH}", {"managedBy": INSTANCE}),
    ("Microsoft.Compute/disks", "pvc-1", {}),
    ("Microsoft.Compute/disks", "old", {}),
    ("Microsoft.Compute/snapshots", "snapshot-1", {}),
    ("Microsoft.Compute/snapshots", "taken", {}),
    ("Microsoft.ManagedIdentity/userAssignedIdentities", "aks-agentpool", {}),
    ("Microsoft.ManagedIdentity/userAssignedIdentities", "omsagent-aks", {}),
    ("Microsoft.ManagedIdentity/userAssignedIdentities", "webapprouting-aks", {}),
    ("Microsoft.Network/loadBalancers", "kubernetes", {}),
    ("Microsoft.Network/loadBalancers", "kubernetes-internal", {}),
    ("Microsoft.Network/networkSecurityGroups", f"aks-agentpool-{NUMBER}-nsg", {}),
    ("Microsoft.Network/virtualNetworks", f"aks-vnet-{NUMBER}", {}),
    ("Microsoft.Network/routeTables", f"aks-agentpool-{NUMBER}-routetable", {}),
    ("Microsoft.Network/publicIPAddresses", "aks-primary-pip", {}),
    ("Microsoft.Network/publicIPAddresses", OUTBOUND, {}),
    ("Microsoft.Network/publicIPAddresses", f"kubernetes-{BALANCER}", {}),
    ("Microsoft.Network/publicIPAddresses", f"kubernetes-{BALANCER}-IPv6", {}),
    ("Microsoft.Network/privateLinkServices", f"pls-{BALANCER}", {}),
    ("Microsoft.Network/networkInterfaces", f"pls-{BALANCER}.nic.{UID}", {}),
    ("Microsoft.Storage/storageAccounts", "f0123456789abcdef", {}),
]
ZONE = "0a1b2c3d.privatelink.canadacentral.azmk8s.io"
OF_PRIVATE: list[tuple[str, str, Json]] = [
    ("Microsoft.Network/privateEndpoints", "kube-apiserver", {}),
    ("Microsoft.Network/networkInterfaces", f"kube-apiserver.nic.{UID}", {}),
    ("Microsoft.Network/privateDnsZones", ZONE, {}),
    ("Microsoft.Network/privateDnsZones/virtualNetworkLinks", f"{ZONE}/aks-dns", {}),
]
# As ARM shows them: each with the network interfaces that Azure made for it.
LINKED = [
    {
        "id": at(f"Microsoft.Network/{kind}", name),
        "properties": {
            "networkInterfaces": [{"id": at("Microsoft.Network/networkInterfaces", f"{name}.nic.{UID}")}]
        },
    }
    for kind, name in (
        ("privateLinkServices", f"pls-{BALANCER}"),
        ("privateEndpoints", "kube-apiserver"),
        ("privateEndpoints", "pe-theirs"),
    )
]
# Each is like one of AKS's but for what makes it AKS's.
THEIRS: list[tuple[str, str, Json]] = [
    ("Microsoft.Compute/virtualMachineScaleSets", "vmss-theirs", {}),
    ("Microsoft.Compute/virtualMachineScaleSets", "aks-postgres-87654321-vmss", {}),
    ("Microsoft.Compute/virtualMachineScaleSets", f"aks-theirs-{NUMBER}-vmss", {}),
    ("Microsoft.Compute/virtualMachines", "jump-host", {}),
    ("Microsoft.Compute/disks", "archive", {}),
    ("Microsoft.Compute/disks", "pvc-9", {}),
    # Attached to a node by hand; and one with a system disk's name that no node holds.
    ("Microsoft.Compute/disks", "archive-attached", {"managedBy": INSTANCE}),
    ("Microsoft.Compute/disks", f"aks-postgres-{NUMBER}aks-postgresOS__1_{HASH}", {}),
    (
        "Microsoft.Compute/disks",
        f"aks-theirs-{NUMBER}OS__1_{HASH}",
        {"managedBy": INSTANCE.replace("aks-postgres", "aks-theirs")},
    ),
    ("Microsoft.Compute/snapshots", "before-upgrade", {}),
    ("Microsoft.Compute/images", "golden", {}),
    ("Microsoft.ManagedIdentity/userAssignedIdentities", "mi-theirs", {}),
    ("Microsoft.ManagedIdentity/userAssignedIdentities", "aks-agentpool-2", {}),
    ("Microsoft.Network/applicationGateways", "agw", {}),
    ("Microsoft.Network/loadBalancers", "lb-theirs", {}),
    ("Microsoft.Network/natGateways", "nat", {}),
    ("Microsoft.Network/networkInterfaces", "nic-theirs", {}),
    # Named like those of AKS's own, which aren't these.
    ("Microsoft.Network/networkInterfaces", "kube-apiserver.nic.theirs", {}),
    ("Microsoft.Network/networkInterfaces", f"pls-{BALANCER}.nic.theirs", {}),
    ("Microsoft.Network/networkInterfaces", f"pe-theirs.nic.{UID}", {}),
    ("Microsoft.Network/networkSecurityGroups", "nsg-theirs", {}),
    ("Microsoft.Network/networkSecurityGroups", "aks-agentpool-87654321-nsg", {}),
    ("Microsoft.Network/privateDnsZones", "corp.example", {}),
    ("Microsoft.Network/privateDnsZones/virtualNetworkLinks", "corp.example/hub", {}),
    ("Microsoft.Network/privateEndpoints", "pe-theirs", {}),
    ("Microsoft.Network/privateEndpoints", "kube-apiserver", {}),  # the cluster isn't private
    ("Microsoft.Network/privateLinkServices", "pls-theirs", {}),
    ("Microsoft.Network/publicIPAddresses", "pip-theirs", {}),
    ("Microsoft.Network/publicIPAddresses", f"kubernetes-a{'0' * 31}", {}),
    ("Microsoft.Network/publicIPAddresses", f"kubernetes-{BALANCER}-theirs", {}),
    ("Microsoft.Network/privateLinkServices", f"pls-{BALANCER}-theirs", {}),
    ("Microsoft.Network/publicIPPrefixes", "prefix", {}),
    ("Microsoft.Network/routeTables", "rt-theirs", {}),
    ("Microsoft.Network/virtualNetworks", "vnet-hub", {}),
    ("Microsoft.Network/virtualNetworks", "aks-vnet-87654321", {}),
    ("Microsoft.Storage/storageAccounts", "theirs0001", {}),
    ("Microsoft.KeyVault/vaults", "kv-theirs", {}),
    ("Microsoft.Web/sites", "site", {}),
]


def listed(one: tuple[str, str, Json], tags: Json | None = None) -> Json:
    kind, name, more = one
    outer, _, inner = name.partition("/")
    *namespace, last = kind.split("/")
    if inner:
        parent = "/".join(namespace)
        return {"id": f"{at(parent, outer)}/{last}/{inner}", "name": name, "type": kind, "tags": tags, **more}
    return {"id": at(kind, name), "name": name, "type": kind, "tags": tags, **more}


def judged(
    *contents: Json, cluster: Json = CLUSTER, data: ClusterData | None = DATA, unknown: Finding | None = None
) -> list[str]:
    return foreign_among_nodes(GROUP, contents, cluster, data, ours=[OURS], linked=LINKED, unknown=unknown)


def named(one: tuple[str, str, Json]) -> str:
    return f"{one[0].rpartition('/')[2]} {one[1]}"


EVERYTHING = [listed(one) for one in MADE]


def test_everything_that_aks_and_kubernetes_make_passes_without_a_tag() -> None:
    assert judged(*EVERYTHING) == []
    assert judged(*EVERYTHING, *map(listed, OF_PRIVATE), cluster=PRIVATE) == []


def test_letters_of_ids_dont_matter() -> None:
    shown = [one | {"id": one["id"].upper(), "type": one["type"].lower()} for one in EVERYTHING]
    assert judged(*shown) == []


@pytest.mark.parametrize("one", THEIRS, ids=named)
@pytest.mark.parametrize("tags", [None, TAGS], ids=["untagged", "with AKS's tags"])
def test_of_every_type_somebody_elses_is_named(one: tuple[str, str, Json], tags: Json | None) -> None:
    (problem,) = judged(*EVERYTHING, listed(one, tags))
    assert problem.startswith(f"{one[0]} {one[1]} in {GROUP.rpartition('/')[2]} was made by neither AKS nor")
    assert problem.endswith("Move it elsewhere or delete it, then run again.")


def test_every_type_that_may_pass_is_among_the_foreign_ones() -> None:
    """A type that gets a rule of its own gets somebody else's of that type here."""
    source = inspect.getsource(node_group)
    ruled = set(re.findall(r"microsoft\.(?:compute|managedidentity|network|storage)/[a-z]+", source))
    assert len(ruled) > 8
    assert ruled <= {one[0].casefold() for one in THEIRS}


@pytest.mark.parametrize(
    "kind",
    sorted({f"{one.namespace}/{kind}" for one in load() for kind, of in one.types.items() if of.tracked}),
)
def test_of_any_type_that_a_group_can_hold_somebody_elses_is_named(kind: str) -> None:
    """Whatever the sandbox knows and lists in a group; a type that nobody knows here is foreign, too."""
    names = ["theirs", *["x"] * kind.count("/")][: kind.count("/")]
    one = (kind, "/".join(names), {})
    assert len(judged(*EVERYTHING, listed(one))) == 1
    assert len(judged(*EVERYTHING, listed(one, TAGS))) == 1


@pytest.mark.parametrize("one", OF_PRIVATE, ids=named)
def test_what_a_private_cluster_has_is_foreign_beside_another(one: tuple[str, str, Json]) -> None:
    assert len(judged(listed(one))) == 1
    once = copy.deepcopy(PRIVATE)
    once["properties"]["apiServerAccessProfile"]["enablePrivateCluster"] = False
    assert len(judged(listed(one), cluster=once)) == 1


LINKS = "Microsoft.Network/privateDnsZones/virtualNetworkLinks"


@pytest.mark.parametrize("name", ["hub", "aks-dns-hub", "aks", "aks-dns2", "aks-dns.0a1b2c3d"])
@pytest.mark.parametrize("tags", [None, TAGS], ids=["untagged", "with AKS's tags"])
def test_another_network_s_link_in_aks_s_own_zone_is_foreign(name: str, tags: Json | None) -> None:
    """A network team's hub, linked so that its machines resolve the API server's name."""
    of_aks = [*EVERYTHING, *map(listed, OF_PRIVATE)]
    (problem,) = judged(*of_aks, listed((LINKS, f"{ZONE}/{name}", {}), tags), cluster=PRIVATE)
    assert problem.startswith(f"{LINKS} {ZONE}/{name} in ")
    assert "was made by neither AKS nor Kubernetes" in problem


@pytest.mark.parametrize("shown", ["", ".", None])
def test_without_a_name_of_the_api_server_no_link_is_aks_s(shown: str | None) -> None:
    odd = copy.deepcopy(PRIVATE)
    odd["properties"]["privateFQDN"] = shown
    assert len(judged(listed(OF_PRIVATE[3]), cluster=odd)) == 1


def test_an_address_that_aks_was_given_is_its_owners_though_aks_uses_it() -> None:
    given = at("Microsoft.Network/publicIPAddresses", GIVEN)
    cluster = copy.deepcopy(CLUSTER)
    cluster["properties"]["networkProfile"]["loadBalancerProfile"] = {
        "outboundIPs": {"publicIPs": [{"id": given.upper()}]},
        "effectiveOutboundIPs": [{"id": given}],
    }
    (problem,) = judged(listed(("Microsoft.Network/publicIPAddresses", GIVEN, {})), cluster=cluster)
    assert GIVEN in problem


@pytest.mark.parametrize(
    "name", ["mi-theirs", "aks-kubelet", "agentpool", "aks2-agentpool", "aks-agentpool-2"]
)
@pytest.mark.parametrize("tags", [None, TAGS], ids=["untagged", "with AKS's tags"])
def test_a_kubelet_identity_that_aks_was_given_is_its_owners(name: str, tags: Json | None) -> None:
    kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
    cluster = copy.deepcopy(CLUSTER)
    cluster["properties"]["identityProfile"]["kubeletidentity"]["resourceId"] = at(kind, name)
    (problem,) = judged(listed((kind, name, {}), tags), cluster=cluster)
    assert problem.startswith(f"{kind} {name} in ")
    # AKS makes none of its own then, so what has the name of it is somebody's.
    assert len(judged(listed((kind, "aks-agentpool", {})), cluster=cluster)) == 1


@pytest.mark.parametrize("one", [MADE[-2], OF_PRIVATE[1]], ids=named)
def test_a_network_interface_is_its_endpoint_s_by_id_only(one: tuple[str, str, Json]) -> None:
    """A name begins as one likes: without what the endpoint itself lists, it is somebody's."""
    for linked in ([], [{**each, "properties": {}} for each in LINKED]):
        found = foreign_among_nodes(GROUP, [listed(one)], PRIVATE, DATA, linked=linked)
        assert [problem.split(" in ")[0] for problem in found] == [f"{one[0]} {one[1]}"]


def test_an_api_server_in_a_network_has_no_endpoint() -> None:
    cluster = copy.deepcopy(PRIVATE)
    cluster["properties"]["apiServerAccessProfile"]["enableVnetIntegration"] = True
    endpoint, interface, zone, link = map(listed, OF_PRIVATE)
    assert judged(zone, link, cluster=cluster) == []
    assert len(judged(endpoint, interface, cluster=cluster)) == 2


@pytest.mark.parametrize(
    ("kind", "annotation", "value", "name"),
    [
        (
            "publicIPAddresses",
            "pip-prefix-id",
            at("Microsoft.Network/publicIPPrefixes", "Prefix-4"),
            "-prefix-4",
        ),
        (
            "publicIPAddresses",
            "pip-prefix-id-ipv6",
            at("Microsoft.Network/publicIPPrefixes", "six"),
            "-six-IPv6",
        ),
        ("privateLinkServices", "load-balancer-internal-subnet", "apps", "-apps"),
        ("privateLinkServices", "load-balancer-internal-subnet", "apps", "-apps-IPv6"),
    ],
)
def test_what_a_service_s_annotations_add_to_a_name_is_known(
    kind: str, annotation: str, value: str, name: str
) -> None:
    start = "kubernetes-" if kind == "publicIPAddresses" else "pls-"
    one = listed((f"Microsoft.Network/{kind}", f"{start}{BALANCER}{name}", {}))
    metadata = {"uid": UID, "annotations": {f"service.beta.kubernetes.io/azure-{annotation}": value}}
    assert judged(one, data=ClusterData(services=[{"metadata": metadata}])) == []
    assert len(judged(one)) == 1


def test_an_address_that_a_service_was_given_is_its_owners_whatever_its_tags() -> None:
    annotations = {"service.beta.kubernetes.io/azure-pip-name": "pip-theirs"}
    service = {"metadata": {"namespace": "db", "name": "pg-rw", "uid": UID, "annotations": annotations}}
    address = listed(("Microsoft.Network/publicIPAddresses", "pip-theirs", {}), TAGS)
    assert len(judged(address, data=ClusterData(services=[service]))) == 1


@pytest.mark.parametrize("kind", ["snapshot", "share", "disk elsewhere"])
def test_an_object_explains_only_what_it_names(kind: str) -> None:
    """Another driver's handle, another group's account: the name alone isn't it."""
    data, one = {
        "snapshot": (
            ClusterData(
                snapshot_contents=[
                    {
                        "spec": {"driver": "other"},
                        "status": {"snapshotHandle": at("Microsoft.Compute/snapshots", "taken")},
                    }
                ]
            ),
            MADE[6],
        ),
        "share": (
            ClusterData(volumes=[volume("file.csi.azure.com", "rg-other#f0123456789abcdef#s")]),
            MADE[21],
        ),
        "disk elsewhere": (
            ClusterData(
                volumes=[
                    volume(
                        "disk.csi.azure.com",
                        f"{SUBSCRIPTION}/resourceGroups/x/providers/Microsoft.Compute/disks/pvc-1",
                    )
                ]
            ),
            MADE[3],
        ),
    }[kind]
    assert len(judged(listed(one), data=data)) == 1


# A cluster that can't be asked.

OF_AKS = [one for one in EVERYTHING if one["name"] in {name for _, name, _ in MADE[:3] + MADE[7:17]}]
OF_OBJECTS = [one for one in MADE if one[1] not in {each["name"] for each in OF_AKS}]


def test_what_the_cluster_itself_explains_passes_though_its_objects_cant_be_asked() -> None:
    assert judged(*OF_AKS, data=None) == []
    assert judged(*OF_AKS, data=ClusterData()) == []  # its nodes have never come


@pytest.mark.parametrize("one", OF_OBJECTS, ids=named)
def test_what_only_objects_explain_isnt_known_without_them(one: tuple[str, str, Json]) -> None:
    (problem,) = judged(
        *OF_AKS, listed(one, TAGS), data=None, unknown=Finding("AKS cluster aks-x is stopped.", "Start it.")
    )
    assert problem.startswith(f"{one[0]} {one[1]} in ")
    assert "can't be known: AKS cluster aks-x is stopped. Start it. Or look at it, and move it" in problem


@pytest.mark.parametrize("data", [None, ClusterData()], ids=["not asked", "without nodes"])
def test_of_two_numbers_nobody_knows_which_is_aks_s(data: ClusterData | None) -> None:
    other = listed(("Microsoft.Network/virtualNetworks", "aks-vnet-87654321", {}))
    problems = judged(*OF_AKS, other, data=data)
    assert {problem.split(" in ")[0].rpartition(" ")[2] for problem in problems} >= {
        "aks-vnet-87654321",
        f"aks-vnet-{NUMBER}",
        f"aks-postgres-{NUMBER}-vmss",
    }


def test_without_its_cluster_nothing_in_a_node_group_is_known() -> None:
    assert without_cluster("rg-nodes", [], "aks-x") == []
    (problem,) = without_cluster("rg-nodes", EVERYTHING[:2], "aks-x")
    assert f"aks-systempool-{NUMBER}-vmss" in problem
    assert "az group delete --name rg-nodes" in problem
