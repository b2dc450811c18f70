"""Guide: "Create the AKS cluster to host the PostgreSQL cluster" - what cluster and pool have of their own.

What every writer of the cluster shares with the others is in `test_cluster_writes`.
"""

import pytest

from aks_postgres.arm.errors import AzureRefused, NotEffectiveYet
from aks_postgres.errors import ImmutableChange
from aks_postgres.limits import limits
from aks_postgres.resources.managed_cluster import as_ranges

from .conftest import place_for, world_with
from .resources import cluster as cluster_body
from .world import LONG_S, Json, World, at, put_at

API = "2026-06-01"
CLUSTER_PUT = "ManagedClusters_CreateOrUpdate"
RANGES = "properties.apiServerAccessProfile.authorizedIPRanges"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA somebody@example.com"


def live(world: World) -> Json:
    return world.read(world.made["cluster"].id, API)


async def sent(world: World) -> Json:
    """What a new cluster's body is."""
    world.made["cluster"] = await world.run("cluster")
    (write,) = world.writes()
    body: Json = write["body"]
    return body


async def test_ids_version_and_issuer_are_reported(world: World) -> None:
    made = await world.run("cluster")
    world.made["cluster"] = made
    found = live(world)["properties"]
    assert made.oidc_issuer_url == found["oidcIssuerProfile"]["issuerURL"]
    assert made.oidc_issuer_url.endswith("/")  # as it is, for the federated credential
    assert (made.fqdn, made.kubernetes_version) == (found["fqdn"], "1.35.2")
    assert made.node_resource_group == world.place.names.node_resource_group
    assert world.read(made.node_resource_group_id, "2024-11-01")["managedBy"]
    assert made.portal_url == (
        f"{world.azure.endpoint}/#@{world.azure.tenant_id}/resource{made.id}/overview"  # as its cloud says
    )


async def test_the_pool_is_reported_as_it_is(world: World) -> None:
    made = await world.run("node_pool")
    assert (made.name, made.count, made.kubernetes_version) == ("postgres", 3, "1.35.2")
    assert made.zones == ("1", "2", "3")
    world.change(made.id, API, {"properties.count": 5})
    assert (await world.run("node_pool")).count == 5


# The spec's choices.


async def test_premium_means_long_term_support(world: World) -> None:
    body = await sent(world_with(world, cluster={"tier": "Premium"}))
    assert body["sku"]["tier"] == "Premium"
    assert body["properties"]["supportPlan"] == "AKSLongTermSupport"


async def test_an_ssh_key_is_for_azureuser(world: World) -> None:
    body = await sent(world_with(world, cluster={"ssh_public_key": KEY}))
    assert body["properties"]["linuxProfile"] == {
        "adminUsername": "azureuser",
        "ssh": {"publicKeys": [{"keyData": KEY}]},
    }


async def test_open_to_the_internet_has_no_ranges(world: World) -> None:
    world.place = world.place.model_copy(update={"authorized_ip_ranges": (), "worker_address": None})
    body = await sent(world)
    assert at(body, RANGES) == []
    assert (await world.run("cluster")).change.kind == "unchanged"


async def test_a_new_range_is_added_and_a_foreign_one_taken_away(world: World) -> None:
    world.made["cluster"] = await world.run("cluster")
    world.change(world.made["cluster"].id, API, {RANGES: ["20.51.7.9/32", "52.9.9.9/32"]})
    ranges = ("52.1.0.0/16", "20.51.7.9/32")
    world.place = place_for(world.azure, world.spec, authorized_ip_ranges=ranges)
    made = await world.run("cluster")
    assert [one.field for one in made.change.fields] == [RANGES]
    assert at(live(world), RANGES) == list(ranges)


async def test_another_identity_s_place_is_taken(world: World) -> None:
    """AKS takes one identity, and the backups' rights are ours'."""
    made = await world.run("cluster")
    ours = world.made["identity"].id
    theirs = ours.replace("mi-aks", "mi-theirs")
    world.write(theirs, "2024-11-30", {"location": "canadacentral"})
    world.change(made.id, API, {"identity.userAssignedIdentities": {theirs: {}}})
    again = await world.run("cluster")
    assert [str(change.field) for change in again.change.fields] == ["identity.userAssignedIdentities"]
    assert list(world.read(made.id, API)["identity"]["userAssignedIdentities"]) == [ours]


async def test_a_range_in_another_spelling_is_the_same_range(world: World) -> None:
    """az sends an address as typed, and AKS makes a range of it: azure-cli's own test recordings."""
    await world.prepare("resource_group", "identity")
    body = cluster_body(world)
    put_at(body, RANGES, ["20.51.7.9"])
    resource_id = world.place.resource_id(
        "Microsoft.ContainerService/managedClusters", world.place.names.cluster
    )
    world.write(resource_id, API, body)
    made = await world.run("cluster")
    assert (world.writes(), made.change.kind) == ([], "unchanged")


def test_ranges_reported_as_typed_are_compared_as_ranges() -> None:
    profile = {"authorizedIPRanges": ["20.51.7.9", "52.1.0.0/16"], "enablePrivateCluster": False}
    found = as_ranges({"name": "c", "properties": {"fqdn": "f", "apiServerAccessProfile": profile}})
    ranges = ["20.51.7.9/32", "52.1.0.0/16"]
    assert found["properties"]["apiServerAccessProfile"] == {**profile, "authorizedIPRanges": ranges}
    assert (found["name"], found["properties"]["fqdn"]) == ("c", "f")


async def test_an_unset_version_keeps_the_live_one(world: World) -> None:
    """AKS upgrades patches by itself: only a version in the spec is ours to enforce."""
    await world.prepare("cluster", "node_pool")
    world.place = place_for(world.azure, world.spec, kubernetes_version="1.36.2")
    cluster, pool = await world.run("cluster"), await world.run("node_pool")
    assert (cluster.change.kind, pool.change.kind) == ("unchanged", "unchanged")
    assert cluster.kubernetes_version == "1.35.2"


async def test_a_version_in_the_spec_upgrades_control_plane_and_pools(world: World) -> None:
    await world.prepare("cluster", "node_pool")
    newer = world_with(world, cluster={"kubernetes_version": "1.36.2"})
    newer.place = place_for(newer.azure, newer.spec, kubernetes_version="1.36.2")
    newer.azure.settings(durations={"aks_cluster_upgrade": 5, "aks_pool_upgrade": 5})
    cluster = await newer.run("cluster")
    assert {one.field for one in cluster.change.fields} == {
        "properties.kubernetesVersion",
        "properties.agentPoolProfiles[systempool].orchestratorVersion",
    }
    pool = await newer.run("node_pool")
    assert [one.field for one in pool.change.fields] == ["properties.orchestratorVersion"]
    assert (cluster.kubernetes_version, pool.kubernetes_version) == ("1.36.2", "1.36.2")


async def test_a_version_that_the_region_doesnt_have_says_what_to_set(world: World) -> None:
    """https://github.com/apecloud/kubeblocks/pull/10136"""
    world.place = place_for(world.azure, world.spec, kubernetes_version="1.29.9")
    with pytest.raises(AzureRefused, match=r"Leave cluster\.kubernetes_version unset") as refused:
        await world.run("cluster")
    assert refused.value.code == "K8sVersionNotSupported"
    assert len(world.writes()) == 1


@pytest.mark.parametrize(
    ("fields", "path", "old", "new"),
    [
        (
            {"system_pool": {"vm_size": "Standard_D8s_v5"}},
            "properties.agentPoolProfiles[systempool].vmSize",
            "Standard_D4s_v5",
            "Standard_D8s_v5",
        ),
        (
            {"system_pool": {"zones": ["1", "2"]}},
            "properties.agentPoolProfiles[systempool].availabilityZones",
            ["1", "2", "3"],
            ["1", "2"],
        ),
    ],
    ids=["vm_size", "zones"],
)
async def test_a_spec_that_wants_another_system_pool_is_refused(
    world: World, fields: Json, path: str, old: object, new: object
) -> None:
    await world.prepare("cluster")
    changed = world_with(world, **fields)
    with pytest.raises(ImmutableChange) as refused:
        await changed.run("cluster")
    assert [(one.field, one.old, one.new) for one in refused.value.fields] == [(path, old, new)]
    assert changed.writes() == []


async def test_a_renamed_system_pool_is_refused_as_a_cluster_write_cant_add_one(world: World) -> None:
    """https://github.com/microsoft/tyger/issues/121"""
    await world.prepare("cluster")
    renamed = world_with(world, system_pool={"name": "system2"})
    with pytest.raises(ImmutableChange, match=r"agentPoolProfiles\[system2\]"):
        await renamed.run("cluster")
    assert renamed.writes() == []


async def test_everything_that_cant_be_changed_is_named_at_once(world: World) -> None:
    await world.prepare("node_pool")
    changed = world_with(world, postgres_pool={"vm_size": "Standard_D8s_v5", "zones": ["1"], "max_count": 9})
    with pytest.raises(ImmutableChange) as refused:
        await changed.run("node_pool")
    assert [one.field for one in refused.value.fields] == [
        "properties.vmSize",
        "properties.availabilityZones",
    ]
    assert "Rename the pool in the spec to add a new one, then delete the old one." in str(refused.value)


async def test_a_renamed_postgres_pool_is_added_beside_the_old_one(world: World) -> None:
    await world.prepare("node_pool")
    renamed = world_with(world, postgres_pool={"name": "postgres2", "vm_size": "Standard_D8s_v5"})
    made = await renamed.run("node_pool")
    assert made.change.kind == "created"
    assert [pool["name"] for pool in live(world)["properties"]["agentPoolProfiles"]] == [
        "systempool",
        "postgres",
        "postgres2",
    ]


async def test_an_identity_that_aks_cant_see_yet_is_waited_for(world: World) -> None:
    """The wording that az repeats its PUT for: azure-cli, command module acs."""
    await world.prepare("identity")
    message = "The credentials in ServicePrincipalProfile were invalid: not found in Active Directory tenant."
    world.azure.fault(
        {"status": 400, "code": "ServicePrincipalValidationClientError", "message": message, "bare": True},
        operation=CLUSTER_PUT,
        times=2,
    )
    conflicts = world.when("conflict")
    made = await world.run("cluster")
    assert [write["status"] for write in world.writes()] == [400, 400, 201]
    assert "Microsoft Entra ID hasn't replicated the new identity yet" in conflicts[0]
    assert made.change.kind == "created"


@pytest.mark.parametrize(
    "scenario",
    [
        "identity-operation-throttled",
        "virtual-network-not-read",
        "poll-url-502",
        "error-while-in-progress",
    ],
)
async def test_codes_that_pass_by_their_status_are_waited_out(world: World, scenario: str) -> None:
    """Recorded of AKS and ARM's gateway; the status decides, whatever the code's name suggests."""
    world.azure.control("POST", "scenarios", {"name": scenario})
    made = await world.run("cluster")
    world.made["cluster"] = made
    assert (made.change.kind, live(world)["properties"]["provisioningState"]) == ("created", "Succeeded")
    assert sum(write["status"] == 201 for write in world.writes()) == 1


async def test_no_capacity_is_tried_again_later(world: World) -> None:
    """https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/error-codes/zonalallocation-allocationfailed-error"""
    await world.prepare("identity")
    world.azure.fault({"operation_fails": {"code": "ZonalAllocationFailed"}}, operation=CLUSTER_PUT)
    conflicts = world.when("conflict")
    made = await world.run("cluster")
    assert [write["status"] for write in world.writes()] == [201, 200]
    assert "no capacity for this VM size right now" in conflicts[0]
    assert made.change.kind == "created"


# The API server.


async def test_the_api_server_answers_from_an_authorized_address(world: World) -> None:
    made = await world.run("api_server")
    assert made.kubernetes_version == "v1.35.2"
    assert made.change.kind == "unchanged"
    assert world.writes() == []
    assert len(world.requests(operation="ManagedClusters_ListClusterUserCredentials")) == 1


async def test_from_outside_the_ranges_the_address_that_azure_sees_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azure drops the packets, so there is no answer to read a reason from; the wait is real seconds."""
    monkeypatch.setattr(limits, "kubernetes_connect_s", 0.2)
    await world.prepare("cluster")
    world.azure.settings(egress_address="20.51.7.10")
    world.azure.step(LONG_S)
    with pytest.raises(NotEffectiveYet) as unreachable:
        await world.run("api_server")
    for part in (
        "The API server can't be reached from here yet",
        "https://localhost:",
        "Ranges that may reach it: 20.51.7.9/32",
        "this worker's address: 20.51.7.9",
        "set network.worker_address or network.authorized_ip_ranges",
    ):
        assert part in str(unreachable.value)


async def test_ranges_that_arent_in_effect_yet_are_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to two minutes: https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges"""
    monkeypatch.setattr(limits, "kubernetes_connect_s", 0.2)
    await world.prepare("cluster")
    world.azure.settings(egress_address="20.51.7.10", durations={"aks_authorized_ranges": LONG_S})
    world.place = place_for(world.azure, world.spec, authorized_ip_ranges=("20.51.7.10/32",))
    await world.run("cluster")
    conflicts = world.when("conflict", lambda: world.azure.step(2 * LONG_S))
    made = await world.run("api_server")
    assert "can't be reached from here yet" in conflicts[0]
    assert made.kubernetes_version == "v1.35.2"


async def test_no_local_accounts_means_no_credentials(world: World) -> None:
    """https://github.com/Azure/caf-terraform-landingzones/issues/416"""
    await world.prepare("cluster")
    world.change(world.made["cluster"].id, API, {"properties.disableLocalAccounts": True})
    with pytest.raises(AzureRefused, match="Getting static credential is not allowed") as refused:
        await world.run("api_server")
    assert "Set cluster.access: entra" in refused.value.way_out
    assert "docs/how-to/locked-down-tenants.md" in refused.value.way_out
    assert len(world.requests(operation="ManagedClusters_ListClusterUserCredentials")) == 1

    # What it says to do is what it takes; the role is a person's to give.
    entra = world_with(world, cluster={"access": "entra"})
    entra.until_over()
    change = (await entra.run("cluster")).change
    assert {str(one.field).split(".")[1] for one in change.fields} == {"aadProfile"}
    assert (await entra.run("api_server")).kubernetes_version == "v1.35.2"


async def test_a_token_that_kubernetes_doesnt_take_stops(world: World) -> None:
    await world.prepare("cluster")
    world.azure.fault(
        {"status": 401, "code": "Unauthorized", "message": "Unauthorized"},
        service="kubernetes",
        path="/version",
        times=9,
    )
    with pytest.raises(AzureRefused, match="local accounts were disabled"):
        await world.run("api_server")
    assert len(world.requests(service="kubernetes")) == 1
