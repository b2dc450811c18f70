"""The guide's "verify" and "validate": what is looked at, and how all of what isn't so is told at once."""

import re
from pathlib import Path

import pytest

from aks_postgres.reports.outputs import VerificationOutputs
from aks_postgres.spec.environment import PostgresPoolSpec
from aks_postgres.tasks.verify import (
    VerificationFailed,
    agent_problem,
    cluster_problems,
    pool_problems,
    verify_environment,
)

from .kube import Kube
from .world import Json, World

API = "2026-06-01"
ROLES = ("blob_roles", "grafana_roles", "node_group_reader", "metrics_reader", "network_role")


async def finished(world: World) -> None:
    """Build the whole environment."""
    await world.prepare("metrics_on", "node_pool", "container_insights", "operator", *ROLES)
    world.azure.step(2000)  # The agents have come up.


async def verify(world: World) -> VerificationOutputs:
    made = world.made
    world.mark()
    return await verify_environment.fn(
        world.spec,
        made["cluster"],
        made["log_workspace"],
        made["operator"],
        [made[one] for one in ROLES],
        made["identity"],
    )


async def test_a_finished_environment_is_verified_by_reading_only(world: World) -> None:
    await finished(world)
    verified = await verify(world)
    assert world.writes() == []
    assert verified.facts == (
        "ama-metrics-node and ama-logs are ready on every node",
        f"Container insights writes to {world.place.names.log_workspace}",
        "operator deployment cnpg-system/cnpg-controller-manager is available",
        "node pools systempool and postgres are healthy in zones 1, 2, 3",
        "6 role assignments are there",
    )
    assert verified.change.kind == "unchanged"


async def test_agents_that_come_up_late_are_waited_for(world: World) -> None:
    world.azure.settings(durations={"aks_monitoring_pods": 20_000})
    await world.prepare("metrics_on", "node_pool", "container_insights", "operator", *ROLES)
    waits = world.when("waiting", lambda: world.azure.step(40_000))
    await verify(world)
    assert waits[0] == "agents, nodes and operator aren't all ready yet"


async def test_everything_that_isnt_so_is_named_at_once(world: World, tmp_path: Path) -> None:
    await finished(world)
    cluster, other = world.made["cluster"].id, world.made["log_workspace"].id.replace("ala-", "other-")
    world.write(other, "2025-02-01", {"location": "canadacentral"})
    world.change(
        cluster,
        API,
        {
            "properties.azureMonitorProfile.metrics.enabled": False,
            "properties.azureMonitorProfile.containerInsights.logAnalyticsWorkspaceResourceId": other,
        },
    )
    pool = f"{cluster}/agentPools/postgres"
    assert world.azure.arm("DELETE", pool, api_version=API).status_code == 202
    kube = Kube(world, tmp_path)
    kube.merge(
        "/apis/apps/v1/namespaces/cnpg-system/deployments/cnpg-controller-manager", {"spec": {"replicas": 0}}
    )
    world.azure.step(5000)

    with pytest.raises(VerificationFailed) as failed:
        await verify(world)

    lines = [line.removeprefix("  - ") for line in str(failed.value).splitlines() if line.startswith("  - ")]
    assert lines == [
        "managed Prometheus is off (azureMonitorProfile.metrics.enabled)",
        f"Container insights writes to {other}, not to {world.made['log_workspace'].id}",
        "node pool postgres is missing",
        "node pool postgres: 0 ready nodes, at least 3 wanted",
        "node pool postgres: no ready node in zone 1, 2, 3",
        "deployment cnpg-system/cnpg-controller-manager isn't available",
        "daemon set ama-metrics-node doesn't exist",
    ]
    assert "after 15 minutes not everything is as it should be" in str(failed.value)


async def test_while_only_agents_are_late_nothing_else_is_asked_for(world: World) -> None:
    # However busy this machine is, they are there once the step has waited for them.
    world.azure.settings(durations={"aks_monitoring_pods": 5000})
    await world.prepare("metrics_on", "node_pool", "container_insights", "operator", *ROLES)
    world.until_over()
    await verify(world)
    paths = [entry["path"] for entry in world.requests(service="kubernetes")]
    assert sum("/daemonsets/" in path for path in paths) > 2
    assert sum(path.endswith("/nodes") for path in paths) == 2


@pytest.mark.thorough
async def test_nodes_that_the_autoscaler_takes_away_meanwhile_are_not_waited_for(world: World) -> None:
    world.azure.settings(
        autoscaler=True, durations={"aks_monitoring_pods": 2500, "aks_autoscaler_scale_down": 1500}
    )
    await world.prepare("metrics_on", "node_pool", "container_insights", "operator", *ROLES)
    await verify(world)
    nodes = world.requests(service="kubernetes", operation="list nodes")
    assert nodes, "the cluster was looked at"


async def test_roles_that_somebody_took_away_are_named(world: World) -> None:
    await finished(world)
    lost = world.made["blob_roles"].ids[0]
    assert world.azure.arm("DELETE", lost, api_version="2022-04-01").status_code == 200
    with pytest.raises(VerificationFailed, match="role assignments are gone") as failed:
        await verify(world)
    assert lost in str(failed.value)
    assert "Run again to make them anew" in str(failed.value)
    world.made["blob_roles"] = await world.run("blob_roles")
    assert "6 role assignments are there" in (await verify(world)).facts


async def test_a_role_that_azure_doesnt_show_for_a_moment_isnt_gone(world: World) -> None:
    await finished(world)
    shy = world.made["blob_roles"].ids[0]
    not_found = {"status": 404, "code": "RoleAssignmentNotFound", "message": "It was not found."}
    world.azure.fault(not_found, service="arm", method="GET", path=f"^{re.escape(shy)}$", times=2)
    assert "6 role assignments are there" in (await verify(world)).facts
    assert sum(entry["path"] == shy for entry in world.requests(method="GET")) == 3


# Judging, without a cluster.


def node(pool: str, zone: str, *, is_ready: bool = True) -> Json:
    labels = {"kubernetes.azure.com/agentpool": pool, "topology.kubernetes.io/zone": f"canadacentral-{zone}"}
    ready = {"type": "Ready", "status": "True" if is_ready else "Unknown"}
    return {"metadata": {"labels": labels}, "status": {"conditions": [ready]}}


def test_a_pool_needs_its_fewest_nodes_ready_and_one_in_each_zone() -> None:
    pool = PostgresPoolSpec()
    nodes = [node("postgres", zone) for zone in "123"]
    assert pool_problems(pool, nodes) == []
    assert pool_problems(pool, [*nodes[:2], node("systempool", "3")]) == [
        "node pool postgres: 2 ready nodes, at least 3 wanted",
        "node pool postgres: no ready node in zone 3",
    ]
    assert pool_problems(pool, [*nodes, node("postgres", "1", is_ready=False)]) == []
    assert pool_problems(pool, [*nodes[:2], node("postgres", "2")]) == [
        "node pool postgres: no ready node in zone 3"
    ]


def test_a_pool_with_fewer_nodes_than_zones_needs_no_node_in_each() -> None:
    pool = PostgresPoolSpec(min_count=1)
    assert pool_problems(pool, [node("postgres", "2")]) == []


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ({"numberReady": 6, "desiredNumberScheduled": 6}, None),
        ({"numberReady": 7, "desiredNumberScheduled": 7}, None),
        ({"numberReady": 5, "desiredNumberScheduled": 6}, "daemon set ama-logs: ready on 5 of 6 nodes"),
        ({"numberReady": 3, "desiredNumberScheduled": 3}, "daemon set ama-logs: ready on 3 of 6 nodes"),
        ({}, "daemon set ama-logs: ready on 0 of 6 nodes"),
    ],
)
def test_an_agent_must_be_ready_on_every_node(status: Json, problem: str | None) -> None:
    assert agent_problem("ama-logs", {"status": status}, 6) == problem


def test_a_missing_agent_is_named() -> None:
    assert agent_problem("ama-logs", None, 6) == "daemon set ama-logs doesn't exist"


async def test_a_missing_cluster_is_the_only_thing_to_say(world: World) -> None:
    assert cluster_problems(world.spec, None, "/id") == ["the AKS cluster doesn't exist"]


async def test_a_cluster_in_trouble_is_judged_field_by_field(world: World) -> None:
    config = {"LOGANALYTICSWORKSPACERESOURCEID": "/ID", "useAADAuth": "true"}
    properties: Json = {
        "provisioningState": "Failed",
        "azureMonitorProfile": {"metrics": {"enabled": True}},
        "addonProfiles": {"omsagent": {"enabled": True, "config": config}},
        "agentPoolProfiles": [
            {"name": "systempool", "provisioningState": "Succeeded"},
            {"name": "postgres", "provisioningState": "Failed"},
        ],
    }
    assert cluster_problems(world.spec, {"properties": properties}, "/id") == [
        "the cluster's provisioningState is Failed",
        "node pool postgres is Failed",
    ]
    off = {**properties, "provisioningState": "Succeeded", "addonProfiles": {}}
    assert cluster_problems(world.spec, {"properties": off}, "/id") == [
        "Container insights is off (addonProfiles.omsagent.enabled)",
        "node pool postgres is Failed",
    ]
