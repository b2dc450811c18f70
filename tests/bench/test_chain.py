"""The longest chain, by hand."""

import pytest

from .chain import CLUSTER_PUT, EDGES, POOL_PUT, Json, busy_s, longest, nodes

DURATIONS = {
    "resource_group_write": 1.0,
    "managed_identity_write": 2.0,
    "role_assignment_write": 2.0,
    "monitor_workspace_create": 10.0,
    "data_collection_write": 2.0,
}
AKS = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks"
GROUP = "/subscriptions/s/resourceGroups/rg"


def put(operation: str, path: str, at_s: float, status: int = 201, service: str = "arm") -> Json:
    return {
        "operation": operation,
        "path": path,
        "at_s": at_s,
        "status": status,
        "service": service,
        "method": "PUT" if service == "arm" else "PATCH",
    }


def ran(operation: str, path: str, started_s: float, ends_s: float, *, spontaneous: bool = False) -> Json:
    return {
        "operation": operation,
        "resource": path,
        "started_s": started_s,
        "ends_s": ends_s,
        "spontaneous": spontaneous,
    }


LEDGER = [
    put("ResourceGroups_CreateOrUpdate", GROUP, 0),
    put("Workspaces_CreateOrUpdate", f"{GROUP}/logs", 3),
    put("Grafana_Create", f"{GROUP}/grafana", 3),
    put("UserAssignedIdentities_CreateOrUpdate", f"{GROUP}/mi", 3),
    put(CLUSTER_PUT, AKS, 30),
    put(CLUSTER_PUT, AKS, 440, 409),
    put(CLUSTER_PUT, AKS, 480, 200),
    put(CLUSTER_PUT, AKS, 600, 200),
    put(POOL_PUT, f"{AKS}/agentPools/postgres", 718),
    put("", "/apis/apply", 1050, 201, "kubernetes"),
    put("ResourceGroups_Update", GROUP, 1250, 200),
]
OPERATIONS = [
    ran("Workspaces_CreateOrUpdate", f"{GROUP}/logs".upper(), 3, 28),
    ran("Grafana_Create", f"{GROUP}/grafana", 3, 128),
    ran(CLUSTER_PUT, AKS, 37, 437),
    ran("AKS's own", AKS, 438, 470, spontaneous=True),
    ran(CLUSTER_PUT, AKS, 482, 593),
    ran(CLUSTER_PUT, AKS, 602, 713),
    ran(POOL_PUT, f"{AKS}/agentPools/postgres", 720, 1045),
]
READY = {"agents": 1240.0, "operator": 1080.0}


def test_the_limit_is_the_sum_of_the_serial_operations_without_the_clients_gaps() -> None:
    limit_s, chain = longest(nodes(LEDGER, OPERATIONS, DURATIONS, READY), "step_by_step")
    assert [node.name for node in chain] == [
        "group",
        "logs",
        "cluster",
        "metrics_on",
        "insights",
        "pool",
        "agents",
        "marked",
    ]
    # 1 + 25 + 407 + (32 kept out by AKS's own + 113) + 113 + 327 + 195 + 1
    assert limit_s == pytest.approx(1214)


def test_what_runs_beside_the_cluster_counts_only_where_it_is_longer() -> None:
    slow = [*OPERATIONS[:1], ran("Grafana_Create", f"{GROUP}/grafana", 3, 5003), *OPERATIONS[2:]]
    limit_s, chain = longest(nodes(LEDGER, slow, DURATIONS, READY), "step_by_step")
    assert [node.name for node in chain] == ["group", "grafana", "marked"]
    assert limit_s == pytest.approx(5002)


def test_a_cluster_that_aks_still_changes_by_itself_at_the_end_is_waited_for() -> None:
    own = [*OPERATIONS, ran("AKS's own", AKS, 1050, 1245, spontaneous=True)]
    limit_s, chain = longest(nodes(LEDGER, own, DURATIONS, READY), "step_by_step")
    assert [node.name for node in chain][-3:] == ["pool", "settled", "marked"]
    assert limit_s == pytest.approx(1214 + 5)


def test_in_one_write_pool_and_add_on_are_no_links() -> None:
    ledger = [*LEDGER[:5], LEDGER[-2], LEDGER[-1]]
    ready = {"agents": 640.0, "operator": 960.0}
    limit_s, chain = longest(nodes(ledger, OPERATIONS[:3], DURATIONS, ready), "single")
    assert [node.name for node in chain] == ["group", "logs", "cluster", "agents", "marked"]
    assert limit_s == pytest.approx(1 + 25 + 407 + 203 + 1)


def test_azure_is_at_work_once_however_much_runs_side_by_side() -> None:
    found = nodes(LEDGER[:4], OPERATIONS[:2], DURATIONS, {})
    assert busy_s(LEDGER[:4], found, DURATIONS) == pytest.approx(1 + 125)


@pytest.mark.parametrize("mode", EDGES)
def test_every_edge_comes_from_a_node_of_the_same_graph(mode: str) -> None:
    assert {before for edges in EDGES[mode].values() for before in edges} <= set(EDGES[mode])
