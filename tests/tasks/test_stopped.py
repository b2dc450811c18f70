"""What was stopped or deleted after the preflight: each step that meets it says so at once, and waits for nothing."""

import json

import pytest

from aks_postgres.arm.client import current_azure
from aks_postgres.arm.errors import LastingState
from aks_postgres.kubernetes.client import kubernetes_api
from aks_postgres.limits import limits
from aks_postgres.tasks.verify import verify_environment

from ..cases import shown
from .conftest import world_with
from .test_verify import ROLES, finished, verify
from .world import World

API = "2026-06-01"


@pytest.fixture(autouse=True)
def no_long_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API server that is away takes no connection, and nobody waits for it in real seconds."""
    monkeypatch.setattr(limits, "kubernetes_connect_s", 0.2)


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
    waits = world.when("waiting")
    with pytest.raises(LastingState, match=r"earlier managed identity .* Run again"):
        await verify_environment.fn(
            world.spec,
            made["cluster"],
            made["log_workspace"],
            made["operator"],
            [made[one] for one in ROLES],
            other,
        )
    assert waits == []


def delete_node_group(world: World) -> None:
    group = world.made["cluster"].node_resource_group_id
    assert world.azure.arm("DELETE", group, api_version="2024-11-01").status_code == 202
    world.azure.step(1000)


STOPPED = ("is stopped", "az aks start")
LOST = ("has lost its node resource group", "aks-postgres rebuild")


async def refused(world: World, step: str, words: tuple[str, ...]) -> None:
    """Run a step, which says these words, and has waited for nothing but the end of its own operation."""
    waits, conflicts = world.when("waiting"), world.when("conflict")
    with pytest.raises(LastingState) as told:
        await (verify(world) if step == "verify" else world.run(step))
    for word in words:
        assert word in str(told.value)
    assert conflicts == []
    assert set(waits) <= {"node pool postgres is Creating"}
    assert len(world.writes()) <= 1


@pytest.mark.parametrize("step", shown(["namespaces", "api_server", "operator", "agents"], first=1))
async def test_a_step_in_a_cluster_that_was_stopped_says_so_at_once(world: World, step: str) -> None:
    await world.prepare("node_pool", *world.steps[step].takes, *world.steps[step].after)
    stop_cluster(world)
    await refused(world, step, STOPPED)
    assert len(world.requests(operation="ManagedClusters_Get")) == 1


async def test_a_cluster_that_is_stopped_while_its_api_server_is_waited_for(world: World) -> None:
    """At the first look it still runs; it is looked at again before the wait's ten minutes are over."""
    await world.prepare("api_server")
    ranges = {"properties.apiServerAccessProfile.authorizedIPRanges": ["198.51.100.1/32"]}
    world.change(world.made["cluster"].id, API, ranges)
    conflicts = world.when("conflict", lambda: stop_cluster(world))
    with pytest.raises(LastingState, match="is stopped"):
        await world.run("namespaces")
    assert conflicts


async def test_where_the_api_server_answers_the_cluster_isnt_looked_at(world: World) -> None:
    await world.run("namespaces")
    assert world.requests(operation="ManagedClusters_Get") == []


@pytest.mark.parametrize("step", ["public_ip", "network_role", "node_group_reader", "node_pool", "verify"])
async def test_a_step_that_needs_the_nodes_group_says_at_once_that_it_is_gone(
    world: World, step: str
) -> None:
    if step == "verify":
        await finished(world)
    else:
        await world.prepare(*world.steps[step].takes)
    delete_node_group(world)
    await refused(world, step, LOST)


async def test_a_group_that_isnt_shown_for_a_moment_is_waited_for(world: World) -> None:
    await world.prepare("cluster")
    gone = {
        "status": 404,
        "code": "ResourceGroupNotFound",
        "message": "Resource group '{group}' could not be found.",
    }
    gone["message"] = str(gone["message"]).format(group=world.made["cluster"].node_resource_group)
    world.azure.fault(gone, operation="PublicIPAddresses_CreateOrUpdate", times=2)
    conflicts = world.when("conflict")
    assert (await world.run("public_ip")).ip_address
    assert len(conflicts) == 2


def seen_as_stopped(world: World) -> None:
    """What ARM shows of a stopped cluster, while something, such as a proxy, still answers for its API server."""
    body = world.read(world.made["cluster"].id, API)
    body["properties"]["powerState"] = {"code": "Stopped"}
    answer = {"status": 200, "raw_body": json.dumps(body), "headers": {"content-type": "application/json"}}
    world.azure.fault(answer, operation="ManagedClusters_Get", times=1000)


LASTING = {"stopped": (seen_as_stopped, STOPPED), "node group gone": (delete_node_group, LOST)}


@pytest.mark.parametrize("state", LASTING)
async def test_a_wait_in_a_cluster_that_can_do_no_more_ends_with_the_reason(world: World, state: str) -> None:
    happens, words = LASTING[state]
    await world.prepare("node_pool", *world.steps["operator"].takes)
    world.azure.settings(pods=[{"pod": "^cnpg-system/", "reason": "ImagePullBackOff"}])
    waits = world.when("waiting", lambda: happens(world))
    with pytest.raises(LastingState) as told:
        await world.run("operator")
    assert waits
    for word in words:
        assert word in str(told.value)


async def test_a_wait_that_takes_no_longer_than_usual_asks_nothing_of_arm(world: World) -> None:
    await world.prepare("cluster")
    cluster, looks = world.made["cluster"], iter([None, None, "there"])

    async def look() -> str | None:
        return next(looks)

    world.mark()
    async with kubernetes_api(current_azure(), cluster.resource_group, cluster.name) as api:
        assert await api.wait("it isn't there yet", look, deadline_s=1_000_000) == "there"
    assert world.requests(operation="ManagedClusters_Get") == []


@pytest.mark.parametrize(
    ("step", "operation"),
    [
        ("metrics_on", "ManagedClusters_CreateOrUpdate"),
        ("node_pool", "AgentPools_CreateOrUpdate"),
    ],
)
async def test_a_write_of_a_cluster_that_has_lost_its_nodes_isnt_waited_out(
    world: World, step: str, operation: str
) -> None:
    await world.prepare(*world.steps[step].takes, *world.steps[step].after)
    world.azure.fault({"never_ends": True}, operation=operation)
    waits = world.when("waiting", lambda: delete_node_group(world))
    with pytest.raises(LastingState) as told:
        await world.run(step)
    assert waits
    for word in LOST:
        assert word in str(told.value)
