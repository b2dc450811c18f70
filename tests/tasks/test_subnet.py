"""A subnet of one's own: both pools stand in it, the identity has its role there, and nobody changes the subnet."""

import re
import uuid

import pytest
from pydantic import ValidationError

from aks_postgres.arm.client import current_azure
from aks_postgres.errors import ImmutableChange
from aks_postgres.preflight.findings import FINE
from aks_postgres.preflight.subnet import SubnetFacts, judge_subnet
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.problems import SpecError, spec_from
from aks_postgres.tasks.clean_up_roles import delete_identity_roles

from ..conftest import spec_for
from ..subnets import GROUP, make_subnet
from .world import World

ROLES = {
    "Network Contributor": "4d97b98b-1d4f-4787-a291-c67834d212e7",
    "Contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "Reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
}
SUBNET = f"/subscriptions/{uuid.UUID(int=1)}/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/s"


@pytest.fixture
def inside(world: World) -> World:
    """The environment with a subnet."""
    world.spec = spec_for(world.azure, network={"subnet_id": make_subnet(world.azure)})
    return world


def written_to_networks(world: World) -> list[str]:
    return [
        entry["path"]
        for entry in world.azure.ledger()
        if re.search(r"virtualNetworks/[^/]+(/subnets/[^/]+)?$", entry["path"]) and entry["method"] != "GET"
    ]


async def test_both_pools_stand_in_it_and_a_second_look_writes_nothing(inside: World) -> None:
    before = written_to_networks(inside)
    await inside.prepare("subnet_role", "cluster", "node_pool")
    live = inside.read(inside.made["cluster"].id, "2026-08-01")["properties"]
    wanted = inside.spec.network.subnet_id
    assert {pool["vnetSubnetID"] for pool in live["agentPoolProfiles"]} == {wanted}
    for step in ("subnet_role", "cluster", "node_pool"):
        assert (await inside.run(step)).change.kind == "unchanged", step
        assert inside.writes() == []
    assert written_to_networks(inside) == before
    # IDs are compared without case.
    inside.spec = spec_for(inside.azure, network={"subnet_id": str(wanted).replace(GROUP, GROUP.upper())})
    assert (await inside.run("node_pool")).change.kind == "unchanged"


async def test_a_cluster_that_is_there_keeps_its_network(inside: World) -> None:
    await inside.prepare("cluster", "node_pool")
    other = str(inside.spec.network.subnet_id).replace("/nodes", "/others")
    inside.spec = spec_for(inside.azure, network={"subnet_id": other})
    for step in ("cluster", "node_pool"):
        with pytest.raises(ImmutableChange, match="vnetSubnetID"):
            await inside.run(step)
    inside.spec = spec_for(inside.azure)  # without one, it stays where it is
    for step in ("cluster", "node_pool"):
        assert (await inside.run(step)).change.kind == "unchanged"


async def test_the_tear_down_takes_the_role_and_leaves_the_subnet(inside: World) -> None:
    await inside.prepare("subnet_role")
    (role,) = inside.made["subnet_role"].ids
    assert role.startswith(f"{inside.spec.network.subnet_id}/providers/Microsoft.Authorization/")
    before = written_to_networks(inside)
    removed = (await delete_identity_roles.fn(inside.place)).items
    assert [(one.id, one.outcome) for one in removed] == [(role, "deleted")]
    assert written_to_networks(inside) == before


async def give(inside: World, role: str, scope: str) -> str:
    """Give the identity a role as a person does, under a GUID of their own; the assignment's ID."""
    await inside.prepare("identity")
    of = f"{inside.azure.subscription}/providers/Microsoft.Authorization/roleDefinitions"
    properties = {
        "roleDefinitionId": f"{of}/{ROLES[role]}",
        "principalId": inside.made["identity"].principal_id,
        "principalType": "ServicePrincipal",
    }
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    assert inside.azure.arm("PUT", path, {"properties": properties}, api_version="2022-04-01").ok
    return path


async def test_a_role_that_somebody_else_gave_counts_and_stays(inside: World) -> None:
    theirs = await give(inside, "Network Contributor", str(inside.spec.network.subnet_id))
    assert [one.casefold() for one in (await inside.run("subnet_role")).ids] == [theirs.casefold()]
    (left,) = (await delete_identity_roles.fn(inside.place)).items
    assert (left.id.casefold(), left.outcome) == (theirs.casefold(), "kept")


@pytest.mark.parametrize(
    ("used", "verdict"),
    [
        (0, "fine"),
        (1, "an upgrade needs one more"),
        (2, "an upgrade needs one more"),
        (3, "has 8 free addresses"),
    ],
)
def test_each_node_that_the_pools_may_grow_to_needs_an_address(used: int, verdict: str) -> None:
    """Of 16 Azure keeps 5; the pools may come to 9 nodes."""
    spec = EnvironmentSpec.model_validate({"network": {"subnet_id": SUBNET}})
    properties = {"addressPrefix": "10.8.0.0/28", "ipConfigurations": [{"id": "/x"}] * used}
    network = {
        "location": "canadacentral",
        "properties": {"subnets": [{"id": SUBNET, "name": "s", "properties": properties}]},
    }
    found = judge_subnet(spec, str(uuid.UUID(int=1)), SubnetFacts(network, None, FINE), None)
    if verdict == "fine":
        assert found == FINE
    else:
        assert verdict in " ".join([*found.problems, *found.warnings])
    assert bool(found.problems) is (used > 2)
    # Its own nodes are none of the others.
    pools = [{"vnetSubnetID": SUBNET.upper(), "count": used}]
    mine = {"properties": {"agentPoolProfiles": pools}}
    assert judge_subnet(spec, str(uuid.UUID(int=1)), SubnetFacts(network, None, FINE), mine) == FINE


@pytest.mark.parametrize(
    ("role", "is_enough"),
    [("Network Contributor", True), ("Contributor", True), ("Reader", False)],
)
async def test_a_role_of_others_counts_if_it_holds_what_a_cluster_uses(
    inside: World, role: str, is_enough: bool
) -> None:
    await give(inside, role, f"{inside.azure.subscription}/resourceGroups/{GROUP}")
    current_azure().assigns_roles = False
    found = await inside.run("subnet_role")
    assert bool(found.ids) is is_enough
    assert [f"--scope {inside.spec.network.subnet_id}" in one for one in found.missing] == [True] * (
        not is_enough
    )
    assert inside.writes() == []


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"subnet_id": "nodes"}, "should match pattern"),
        ({"subnet_id": SUBNET.removesuffix("/subnets/s")}, "should match pattern"),
        ({"subnet_id": SUBNET.replace("/g/", f"/{'g' * 64}/")}, "have at most 63"),
    ],
)
def test_what_cant_be_is_refused_with_its_reason(field: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        EnvironmentSpec.model_validate({"network": field})


@pytest.mark.parametrize("name", ["private_api_server", "private_cluster", "enablePrivateCluster"])
@pytest.mark.parametrize("group", ["network", "cluster"])
def test_a_private_api_server_is_refused_with_its_reason(group: str, name: str) -> None:
    with pytest.raises(
        SpecError, match=f"{group}.{name}: true was given; a private API server isn't offered: a run"
    ):
        spec_from({group: {name: True}})
