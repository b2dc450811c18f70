"""The longest chain of Azure operations in a run: what no client can beat, by the sandbox's own account.

A node is a write that Azure accepted, from its arrival to the end of its operation on the sandbox's clock; or what
Azure does afterwards by itself (an operator's deployment, agents on nodes), by the times in Kubernetes' objects. The
edges are those of the flow, its barrier included: identity, storage and both workspaces before the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Json = dict[str, Any]

CLUSTER_PUT = "ManagedClusters_CreateOrUpdate"
POOL_PUT = "AgentPools_CreateOrUpdate"

# Writes that are answered once they are done: names in the sandbox's table of durations.
SYNCHRONOUS = {
    "ResourceGroups_CreateOrUpdate": "resource_group_write",
    "ResourceGroups_Update": "resource_group_write",
    "UserAssignedIdentities_CreateOrUpdate": "managed_identity_write",
    "RoleAssignments_Create": "role_assignment_write",
    "AzureMonitorWorkspaces_CreateOrUpdate": "monitor_workspace_create",
    "DataCollectionEndpoints_Create": "data_collection_write",
    "DataCollectionRules_Create": "data_collection_write",
    "DataCollectionRuleAssociations_Create": "data_collection_write",
}

STORAGE, WORKSPACES = ("account", "container", "blob_role"), ("logs", "metrics")
AHEAD: dict[str, tuple[str, ...]] = {
    "group": (),
    "identity": ("group",),
    "account": ("group",),
    "container": ("account",),
    "blob_role": ("identity", "account"),
    "logs": ("group",),
    "metrics": ("group",),
    "grafana": ("group",),
    "endpoint": ("metrics",),
    "metrics_rule": ("endpoint",),
    "metrics_reader": ("grafana", "metrics"),
    "grafana_link": ("metrics_reader",),
}
EDGES: dict[str, dict[str, tuple[str, ...]]] = {
    "step_by_step": AHEAD
    | {
        "cluster": ("identity", *STORAGE, *WORKSPACES),
        "metrics_association": ("cluster", "metrics_rule"),
        "metrics_on": ("metrics_association",),
        "logs_association": ("cluster",),
        "insights": ("metrics_on", "logs_association"),
        "pool": ("insights",),
        "public_ip": ("cluster",),
        "operator": ("pool",),
        "agents": ("pool",),
        "settled": ("pool",),
        "marked": ("agents", "settled", "operator", "grafana_link", "public_ip"),
    },
    "single": AHEAD
    | {
        "cluster": ("identity", *STORAGE, *WORKSPACES, "metrics_rule"),
        "public_ip": ("cluster",),
        "operator": ("cluster",),
        "agents": ("cluster",),
        "settled": ("cluster",),
        "marked": ("agents", "settled", "operator", "grafana_link", "public_ip"),
    },
}


@dataclass(frozen=True)
class Node:
    """One operation of a run: when Azure got it, and how long it lasted, both on Azure's clock."""

    name: str
    began_s: float
    lasted_s: float


def nodes(
    ledger: Sequence[Json],
    operations: Sequence[Json],
    durations: Mapping[str, float],
    ready_s: Mapping[str, float],
) -> dict[str, Node]:
    """The operations of one run, by the names of `EDGES`.

    Args:
        ledger: the sandbox's entries of the run.
        operations: its long-running operations.
        durations: its table of durations, in seconds.
        ready_s: when `operator` and `agents` were ready on its clock.
    """
    accepted = [
        entry
        for entry in ledger
        if entry["method"] in ("PUT", "PATCH")
        and entry["service"] == "arm"
        and entry["status"] in (200, 201, 202)
    ]
    found: dict[str, Node] = {}

    def take(name: str, operation: str, where: str = "", nth: int = 0) -> None:
        entries = [
            e for e in accepted if e["operation"] == operation and where.casefold() in e["path"].casefold()
        ]
        if len(entries) > nth:
            found[name] = Node(name, entries[nth]["at_s"], _lasted_s(entries[nth], operations, durations))

    take("group", "ResourceGroups_CreateOrUpdate")
    take("identity", "UserAssignedIdentities_CreateOrUpdate")
    take("account", "StorageAccounts_Create")
    take("container", "BlobContainers_Create")
    take("blob_role", "RoleAssignments_Create", "/storageAccounts/")
    take("logs", "Workspaces_CreateOrUpdate")
    take("metrics", "AzureMonitorWorkspaces_CreateOrUpdate")
    take("grafana", "Grafana_Create")
    take("endpoint", "DataCollectionEndpoints_Create")
    take("metrics_rule", "DataCollectionRules_Create", "/MSProm-")
    take("metrics_reader", "RoleAssignments_Create", "/Microsoft.Monitor/accounts/")
    take("grafana_link", "Grafana_Update")
    take("metrics_association", "DataCollectionRuleAssociations_Create", "ContainerInsightsMetricsExtension")
    take("logs_association", "DataCollectionRuleAssociations_Create", "ContainerInsightsExtension")
    take("public_ip", "PublicIPAddresses_CreateOrUpdate")
    for name, nth in (("cluster", 0), ("metrics_on", 1), ("insights", 2)):
        take(name, CLUSTER_PUT, nth=nth)
    take("pool", POOL_PUT)
    queue = [name for name in ("cluster", "metrics_on", "insights", "pool") if name in found]
    ended = {name: found[name] for name in queue}
    for earlier, name in pairwise(queue):
        found[name] = _after_aks_own(ended[name], ended[earlier], operations)
    marks = [e for e in accepted if e["operation"] == "ResourceGroups_Update"]
    if marks:
        take("marked", "ResourceGroups_Update", nth=len(marks) - 1)
    end_s = {name: node.began_s + node.lasted_s for name, node in found.items()}
    last_write = end_s.get("pool", end_s.get("cluster", 0.0))
    if "agents" in ready_s:
        found["agents"] = Node("agents", last_write, max(0.0, ready_s["agents"] - last_write))
    if "marked" in found:
        # A cluster that AKS is still changing by itself isn't called finished.
        own = [
            operation["ends_s"]
            for operation in operations
            if operation["spontaneous"]
            and operation["ends_s"] is not None
            and operation["started_s"] < found["marked"].began_s
        ]
        found["settled"] = Node("settled", last_write, max([0.0, *(end - last_write for end in own)]))
    applies = [e["at_s"] for e in ledger if e["service"] == "kubernetes" and e["method"] == "PATCH"]
    if applies and "operator" in ready_s:
        found["operator"] = Node("operator", min(applies), max(0.0, ready_s["operator"] - min(applies)))
    return found


def _lasted_s(entry: Json, operations: Sequence[Json], durations: Mapping[str, float]) -> float:
    begun = [
        operation
        for operation in operations
        if operation["operation"] == entry["operation"]
        and operation["resource"].casefold() == entry["path"].casefold()
        and not operation["spontaneous"]
        and operation["ends_s"] is not None
        and operation["ends_s"] > entry["at_s"]
    ]
    if begun:
        operation = min(begun, key=lambda one: float(one["ends_s"]))
        return float(operation["ends_s"] - entry["at_s"])
    name = SYNCHRONOUS.get(entry["operation"])
    return durations[name] if name else 0.0


def _after_aks_own(node: Node, before: Node, operations: Sequence[Json]) -> Node:
    """With the time for which AKS's own operations kept the write out after the one before it had ended."""
    since_s = before.began_s + before.lasted_s
    kept_s = sum(
        max(0.0, min(operation["ends_s"], node.began_s) - max(operation["started_s"], since_s))
        for operation in operations
        if operation["spontaneous"] and operation["ends_s"] is not None
    )
    return Node(node.name, node.began_s - kept_s, node.lasted_s + kept_s)


def longest(found: Mapping[str, Node], mode: str) -> tuple[float, list[Node]]:
    """The longest chain in seconds, and its operations in order; what the run didn't make counts nothing.

    Args:
        found: the operations.
        mode: a value of `cluster_requests`, a key of `EDGES`.
    """
    edges = EDGES[mode]
    best: dict[str, tuple[float, list[Node]]] = {}

    def until(name: str) -> tuple[float, list[Node]]:
        if name not in best:
            before = max((until(other) for other in edges[name]), key=lambda one: one[0], default=(0.0, []))
            node = found.get(name)
            best[name] = (before[0] + node.lasted_s, [*before[1], node]) if node else before
        return best[name]

    return max((until(name) for name in edges), key=lambda one: one[0])


def busy_s(ledger: Sequence[Json], found: Mapping[str, Node], durations: Mapping[str, float]) -> float:
    """Azure seconds of a run in which Azure was at work on something: what isn't the client's time.

    Args:
        ledger: the sandbox's entries of the run.
        found: its operations.
        durations: the sandbox's table of durations.
    """
    spans = [(node.began_s, node.began_s + node.lasted_s) for node in found.values()]
    spans += [
        (entry["at_s"], entry["at_s"] + durations[SYNCHRONOUS[entry["operation"]]])
        for entry in ledger
        if entry["operation"] in SYNCHRONOUS
        and entry["method"] in ("PUT", "PATCH")
        and entry["status"] in (200, 201)
    ]
    total, until_s = 0.0, float("-inf")
    for began_s, ended_s in sorted(spans):
        total += max(0.0, ended_s - max(began_s, until_s))
        until_s = max(until_s, ended_s)
    return total
