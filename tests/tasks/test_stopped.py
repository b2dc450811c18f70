"""What was stopped after the preflight has looked: each step that meets it says so at once, and waits for nothing."""

import pytest

from aks_postgres.arm.errors import LastingState
from aks_postgres.tasks.verify import verify_environment

from .conftest import world_with
from .test_verify import ROLES, finished, verify
from .world import World

API = "2026-06-01"


def stop_cluster(world: World) -> None:
    answer = world.azure.arm("POST", f"{world.made['cluster'].id}/stop", api_version=API)
    assert answer.status_code == 202, answer.text
    world.azure.step(1000)


def stop_pool(world: World) -> None:
    world.change(world.made["node_pool"].id, API, {"properties.powerState": {"code": "Stopped"}})


@pytest.mark.parametrize("step", ["cluster", "metrics_on", "container_insights", "node_pool"])
async def test_a_writer_of_a_stopped_cluster_refuses_without_waiting(world: World, step: str) -> None:
    await world.prepare("cluster", "logs_association", "metrics_association")
    waits = world.when("waiting")
    stop_cluster(world)
    with pytest.raises(Exception, match="az aks start"):
        await world.run(step)
    assert waits == []


async def test_a_stopped_pool_is_refused_without_a_write(world: World) -> None:
    await world.prepare("node_pool")
    stop_pool(world)
    with pytest.raises(LastingState, match="az aks nodepool start"):
        await world.run("node_pool")
    assert world.writes() == []


@pytest.mark.thorough
async def test_an_api_server_that_is_away_because_the_cluster_was_stopped(world: World) -> None:
    world.made["cluster"] = await world.run("cluster")
    stop_cluster(world)
    with pytest.raises(LastingState, match="is stopped"):
        await world.run("api_server")


async def test_a_cluster_is_started_once_and_its_pools_with_it(world: World) -> None:
    await world.prepare("node_pool")
    stop_cluster(world)
    starting = world_with(world, cluster={"if_stopped": "start"})
    waits = starting.until_over()
    made = await starting.run("cluster")
    assert [field.field for field in made.change.fields] == ["properties.powerState.code"]
    assert [write["operation"] for write in starting.writes()] == ["ManagedClusters_Start"]
    assert waits
    assert (await starting.run("node_pool")).change.kind == "unchanged"


@pytest.mark.parametrize(
    ("stop", "command"), [(stop_cluster, "az aks start"), (stop_pool, "az aks nodepool start")]
)
async def test_verify_says_at_once_what_is_stopped(world: World, stop: object, command: str) -> None:
    await finished(world)
    waits = world.when("waiting")
    stop(world)  # type: ignore[operator]
    with pytest.raises(LastingState, match=command):
        await verify(world)
    assert waits == []


async def test_verify_notices_an_identity_that_is_another_by_now(world: World) -> None:
    await finished(world)
    made = world.made
    other = made["identity"].model_copy(update={"principal_id": "00000000-0000-0000-0000-00000000beef"})
    world.until_over()
    with pytest.raises(Exception, match="earlier managed identity"):
        await verify_environment.fn(
            world.spec,
            made["cluster"],
            made["log_workspace"],
            made["operator"],
            [made[one] for one in ROLES],
            other,
        )
