"""Guide: "Create public static IP for PostgreSQL cluster ingress". Its role is in `test_roles`."""

import pytest

from aks_postgres.arm.errors import AzureRefused, OperationNotDone

from .resources import public_ip_id
from .world import LONG_S, World

API = "2025-09-01"
PUT = "PublicIPAddresses_CreateOrUpdate"


async def test_the_address_is_reported(world: World) -> None:
    made = await world.run("public_ip")
    assert made.ip_address == world.read(made.id, API)["properties"]["ipAddress"]


async def test_it_is_never_written_again_whatever_is_on_it(world: World) -> None:
    """The cloud controller keeps its DNS label and tags there, and a PUT without them would wipe them."""
    made = await world.run("public_ip")
    theirs = world.change(
        made.id,
        API,
        {
            "properties.dnsSettings": {"domainNameLabel": "a0123456789"},
            "properties.idleTimeoutInMinutes": 30,
            "tags": {"k8s-azure-dns-label-service": "cnpg-database/pg", "owner": "somebody"},
        },
    )
    again = await world.run("public_ip")
    assert (world.writes(), again.change.kind) == ([], "unchanged")
    assert world.read(made.id, API) == theirs


async def test_an_operation_without_an_end_is_left_running_and_the_next_run_waits_on(world: World) -> None:
    await world.prepare("cluster")
    world.azure.settings(durations={"public_ip_write": LONG_S})
    with pytest.raises(OperationNotDone, match=r"public IP .* is still Updating .* Azure goes on with it"):
        await world.run("public_ip")
    assert len(world.writes()) == 1
    world.until_over()
    made = await world.run("public_ip")
    assert (world.writes(), made.change.kind) == ([], "unchanged")
    assert made.ip_address


async def test_no_address_left_is_a_matter_of_quota(world: World) -> None:
    await world.prepare("cluster")
    world.azure.settings(quota={"StaticPublicIPAddresses": 1})
    with pytest.raises(AzureRefused, match=r"PublicIPCountLimitReached.*Ask for more quota"):
        await world.run("public_ip")
    assert len(world.writes()) == 1


async def test_it_lies_in_the_node_group_and_nowhere_else(world: World) -> None:
    made = await world.run("public_ip")
    assert made.id == public_ip_id(world)
    assert f"/{world.made['cluster'].node_resource_group}/" in made.id
