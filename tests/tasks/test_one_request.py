"""`cluster_requests: single`: the whole cluster in one write, and steps that find their work done.

ARM and Bicep templates that make pools, metrics and add-on with the cluster:
https://learn.microsoft.com/azure/azure-monitor/containers/kubernetes-monitoring-enable
"""

from pathlib import Path

import pytest

from aks_postgres.arm.errors import AzureRefused, NotOurs

from . import resources
from .conftest import world_with
from .kube import Kube
from .world import LONG_S, Json, World, at

CLUSTER_PUT = "ManagedClusters_CreateOrUpdate"
API = "2026-06-01"
VERIFYING = ("metrics_on", "node_pool", "container_insights")


@pytest.fixture
def world(world: World) -> World:
    return world_with(world, cluster_requests="single")


async def made_in_one(world: World) -> None:
    """Have the cluster by one request, and wait for its end as the flow does."""
    await world.prepare("requested")
    world.made["cluster"] = await world.steps["cluster"].task.fn(
        world.spec,
        world.place,
        world.made["resource_group"],
        world.made["identity"],
        world.made["requested"],
    )


async def test_the_first_write_brings_both_pools_metrics_and_the_add_on(world: World) -> None:
    await world.run("requested")
    (write,) = world.writes()
    expected = resources.cluster(world)
    pool = resources.node_pool(world)["properties"]
    expected["properties"]["agentPoolProfiles"].append({"name": "postgres", **pool})
    expected["properties"]["azureMonitorProfile"]["metrics"]["enabled"] = True
    config = {"logAnalyticsWorkspaceResourceID": world.made["log_workspace"].id, "useAADAuth": "true"}
    expected["properties"]["addonProfiles"] = {"omsagent": {"enabled": True, "config": config}}
    assert write["body"] == expected


async def test_it_does_not_wait_for_the_end_so_that_associations_come_before_the_agents(world: World) -> None:
    world.azure.settings(durations={"aks_cluster_create": LONG_S})
    requested = await world.run("requested")
    assert requested.change.kind == "created"
    world.made["requested"] = requested
    for step in ("metrics", "logs"):
        await world.prepare(f"{step}_rule")
        rule = world.made[f"{step}_rule"]
        association = await world.steps[f"{step}_association"].task.fn(requested, rule)
        assert association.id.casefold().startswith(f"{requested.id}/providers/".casefold())
    assert world.read(requested.id, API)["properties"]["provisioningState"] == "Creating"


async def test_the_cluster_is_this_runs_and_no_foreign_operation_was_waited_for(world: World) -> None:
    notes = world.when("note")
    await made_in_one(world)
    assert world.made["cluster"].change.kind == "created"
    assert notes == []


@pytest.mark.parametrize("step", VERIFYING)
async def test_a_later_step_finds_its_work_done(world: World, step: str) -> None:
    await made_in_one(world)
    assert (await world.run(step)).change.kind == "unchanged"
    assert world.writes() == []


@pytest.mark.parametrize("step", VERIFYING)
async def test_a_later_step_still_puts_right_what_is_not_so(world: World, step: str) -> None:
    """Made step by step until now: the one request is only for a cluster that doesn't exist."""
    await world.run("cluster")
    world.made.pop("requested", None)
    assert (await world.run("requested")).change.kind == "unchanged"
    assert world.writes() == []
    assert (await world.run(step)).change.kind in ("created", "updated")
    assert len(world.writes()) == 1


async def test_a_cluster_of_somebody_elses_is_refused(world: World) -> None:
    await world.prepare("identity", "log_workspace")
    names = world.place.names
    cluster_id = world.place.resource_id("Microsoft.ContainerService/managedClusters", names.cluster)
    world.write(cluster_id, API, resources.cluster(world) | {"tags": {"owner": "user"}})
    with pytest.raises(NotOurs):
        await world.run("requested")
    assert world.writes() == []


async def test_a_creation_that_fails_for_good_stops_with_azures_reason_and_is_not_sent_again(
    world: World,
) -> None:
    await world.prepare("identity", "log_workspace")
    failed = {"code": "QuotaExceeded", "message": "Insufficient vcpu quota."}
    world.azure.fault({"operation_fails": failed}, operation=CLUSTER_PUT)
    world.mark()
    with pytest.raises(AzureRefused, match=r"QuotaExceeded.*Ask for more quota"):
        await made_in_one(world)
    assert len(world.requests(operation=CLUSTER_PUT)) == 1


async def test_a_creation_that_fails_for_now_is_sent_again_whole(world: World) -> None:
    await world.prepare("identity", "log_workspace")
    world.azure.fault({"operation_fails": {"code": "ZonalAllocationFailed"}}, operation=CLUSTER_PUT)
    world.mark()
    await made_in_one(world)
    first, second = (entry["body"] for entry in world.requests(operation=CLUSTER_PUT))
    assert second["properties"]["addonProfiles"] == first["properties"]["addonProfiles"]
    assert [pool["name"] for pool in pools(second)] == [pool["name"] for pool in pools(first)]
    assert (await world.run("container_insights")).change.kind == "unchanged"


async def test_an_answer_that_got_lost_is_no_second_request(world: World) -> None:
    await world.prepare("identity", "log_workspace")
    world.azure.fault({"cut": "after"}, operation=CLUSTER_PUT)
    world.mark()
    await made_in_one(world)
    assert len(world.requests(operation=CLUSTER_PUT)) == 1
    assert world.made["cluster"].change.kind == "created"


def pools(body: Json) -> list[Json]:
    found: list[Json] = at(body, "properties.agentPoolProfiles")
    return found


# Agents that were earlier than their rule.


async def test_an_agent_that_restarts_again_and_again_is_made_anew(world: World, tmp_path: Path) -> None:
    await made_in_one(world)
    await world.prepare("api_server")
    kube = Kube(world, tmp_path)
    status = {
        "containerStatuses": [{"name": "a", "image": "a", "imageID": "", "ready": False, "restartCount": 4}]
    }
    for name in ("ama-logs-x", "ama-logs-y", "coredns-x"):
        pods = "/api/v1/namespaces/kube-system/pods"
        spec = {"containers": [{"name": "a", "image": "a"}], "nodeSelector": {"no": "node"}}
        kube.create(pods, {"metadata": {"name": name}, "spec": spec})
        if name != "ama-logs-y":
            patched = kube.send(
                "PATCH",
                f"{pods}/{name}/status",
                {"status": status},
                **{"Content-Type": "application/merge-patch+json"},
            )
            assert patched.status_code == 200, patched.text
    made = await world.run("agents")
    assert [str(field) for field in made.change.fields] == ["pod ama-logs-x: restarts -> made anew"]
    world.azure.step(60)
    assert kube.get(f"{pods}/ama-logs-x") is None
    assert kube.get(f"{pods}/ama-logs-y") is not None
    assert kube.get(f"{pods}/coredns-x") is not None


async def test_agents_in_order_are_left_alone(world: World) -> None:
    await made_in_one(world)
    assert (await world.run("agents")).change.kind == "unchanged"
    assert world.writes() == []
