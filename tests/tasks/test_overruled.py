"""A write that Azure changes on its way is told from one that Azure loses: only the second is worth another."""

import pytest

from aks_postgres.arm.errors import LastingState

from .conftest import world_with
from .world import World

LOST = {"operation_error_but_succeeds": {"code": "NotLatestOperation", "applied": False}}


async def test_writes_that_are_lost_are_sent_again_more_than_once(world: World) -> None:
    """The answers show what was sent: https://github.com/Azure/azure-powershell/issues/23812."""
    await world.prepare("node_pool")
    world.azure.fault(LOST, operation="AgentPools_CreateOrUpdate", times=2)
    wider = world_with(world, postgres_pool={"max_count": 7})
    made = await wider.run("node_pool")
    assert made.change.kind == "updated"
    assert len(wider.writes()) == 3


async def test_writes_that_a_policy_changes_are_sent_twice(world: World) -> None:
    await world.prepare("node_pool")
    kind = "Microsoft.ContainerService/managedClusters/agentPools"
    world.azure.settings(policies=[{"type": kind, "modify": {"properties.maxCount": 4}}])
    wider = world_with(world, postgres_pool={"max_count": 7})
    with pytest.raises(LastingState, match=r"properties\.maxCount is 4 and 7 was sent"):
        await wider.run("node_pool")
    assert len(wider.writes()) == 2
