"""What AKS does to a cluster without being asked: operations of its own, autoscaling, agents.

Settings: `spontaneous_operations` (after a creation), `spontaneous_operations_after_updates` (default off),
`autoscaler` (default on).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from azure_sandbox.providers import aks_api_server, aks_node_group
from azure_sandbox.providers.aks_validation import addon_of, at
from azure_sandbox.providers.container_service import (
    SPONTANEOUS,
    WRITE,
    follow_cluster,
    pools_of,
    running_operations,
)

if TYPE_CHECKING:
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

# How often AKS looks whether something it waits for is there.
LOOK_AGAIN_S = 15.0
# Nodes join and get ready before AKS calls the operation done.
NODES_AHEAD_S = 60.0
ASSOCIATION = "Microsoft.Insights/dataCollectionRuleAssociations"


def after_write(sandbox: Sandbox, cluster: Resource) -> None:
    """Start everything that follows from a cluster's new form."""
    watch_monitoring(sandbox, cluster)
    watch_autoscaler(sandbox, cluster)


def _still(sandbox: Sandbox, cluster: Resource) -> bool:
    """Whether the cluster is there and not on its way out."""
    return sandbox.store.get(cluster.id) is cluster and cluster.state != "Deleting"


def something_of_its_own(sandbox: Sandbox, cluster: Resource, *, after_create: bool) -> None:
    """Let AKS start an operation of its own some seconds after another one ended.

    https://github.com/Azure/telescope/pull/1213 (PutExtensionAddonHandler, June 2026).
    """
    setting = "spontaneous_operations" if after_create else "spontaneous_operations_after_updates"
    if not sandbox.settings[setting]:
        return
    key = f"{cluster.id}/{sandbox.operations.count(cluster.id)}"

    def start() -> None:
        if not _still(sandbox, cluster):
            return
        if next(running_operations(sandbox, cluster), None) is not None:
            sandbox.clock.call_later(LOOK_AGAIN_S, start)  # AKS's own wait in the same queue.
            return
        follow_cluster(sandbox, cluster, False)
        sandbox.operations.start(
            cluster,
            name=SPONTANEOUS,
            duration_s=sandbox.durations.seconds("aks_spontaneous_operation", key),
            polling=WRITE,
            spontaneous=True,
        )

    sandbox.clock.call_later(sandbox.durations.seconds("aks_spontaneous_wait", key), start)


def nodes_join(sandbox: Sandbox, cluster: Resource, target: Resource) -> None:
    """Let the nodes of a new cluster or pool be there shortly before the end of their creation."""
    operation = sandbox.operations.running(target.id)
    if operation is None or operation.ends_s is None or "operation_fails" in (operation.fault or {}):
        return

    def join() -> None:
        if operation.done or not _still(sandbox, cluster):
            return
        for pool in pools_of(sandbox, cluster):
            if target in (pool, cluster):
                pool.notes["has_nodes"] = True
        aks_api_server.sync_nodes(sandbox, cluster)

    sandbox.clock.call_at(max(operation.ends_s - NODES_AHEAD_S, operation.started_s), join)


# The autoscaler.


def watch_autoscaler(sandbox: Sandbox, cluster: Resource) -> None:
    """Let pools shrink to their minimum once their nodes have been idle long enough.

    The sandbox's nodes count as idle: it doesn't model what pods ask for.
    https://learn.microsoft.com/azure/aks/cluster-autoscaler-overview
    """
    for pool in pools_of(sandbox, cluster):
        properties = pool.properties
        if not properties["enableAutoScaling"] or pool.notes.get("autoscaler"):
            continue
        if properties["count"] != properties["minCount"]:
            pool.notes["autoscaler"] = True
            low = properties["count"] < properties["minCount"]
            wait_s = 30.0 if low else sandbox.durations.seconds("aks_autoscaler_scale_down", pool.id)
            sandbox.clock.call_later(wait_s, _scaler(sandbox, cluster, pool))


def _scaler(sandbox: Sandbox, cluster: Resource, pool: Resource) -> Callable[[], None]:
    def scale() -> None:
        pool.notes["autoscaler"] = False
        if not _still(sandbox, cluster) or sandbox.store.get(pool.id) is not pool:
            return
        if not sandbox.settings["autoscaler"] or not pool.properties["enableAutoScaling"]:
            return
        if next(running_operations(sandbox, cluster), None) is not None:
            watch_autoscaler(sandbox, cluster)
            return
        # The count moves without an operation: the autoscaler works on the scale set.
        pool.properties["count"] = pool.properties["minCount"]
        aks_node_group.sync_scale_sets(sandbox, cluster)
        aks_api_server.sync_nodes(sandbox, cluster)

    return scale


# Monitoring agents.


def watch_monitoring(sandbox: Sandbox, cluster: Resource) -> None:
    """Let the agents' DaemonSets appear once all they need is there, and vanish when they are switched off.

    ama-metrics-node needs metrics and the data collection rule's association (without it the agents restart
    without end: https://github.com/Azure/AKS/issues/5229); ama-logs comes with the add-on.
    """
    wanted = {
        "ama-metrics": bool(at(cluster.properties, "azureMonitorProfile.metrics.enabled")),
        "ama-logs": bool((addon_of(cluster.properties, "omsagent") or {}).get("enabled")),
    }
    for agent, on in wanted.items():
        if not on:
            cluster.notes.pop(agent, None)
            aks_api_server.set_agent(sandbox, cluster, agent, False)
        elif cluster.notes.get(agent) is None:
            cluster.notes[agent] = "awaited"
            _await_agent(sandbox, cluster, agent)


def _await_agent(sandbox: Sandbox, cluster: Resource, agent: str) -> None:
    def look() -> None:
        if not _still(sandbox, cluster) or cluster.notes.get(agent) != "awaited":
            return
        if agent == "ama-metrics" and not metrics_association(sandbox, cluster):
            sandbox.clock.call_later(LOOK_AGAIN_S, look)
            return
        cluster.notes[agent] = "starting"
        delay_s = sandbox.durations.seconds("aks_monitoring_pods", f"{cluster.id}/{agent}")
        sandbox.clock.call_later(delay_s, appear)

    def appear() -> None:
        if _still(sandbox, cluster) and cluster.notes.get(agent) == "starting":
            cluster.notes[agent] = "running"
            aks_api_server.set_agent(sandbox, cluster, agent, True)

    look()


def metrics_association(sandbox: Sandbox, cluster: Resource) -> Resource | None:
    """The association of the cluster with a rule that forwards Prometheus metrics."""
    for association in sandbox.store.under(cluster.id, ASSOCIATION):
        rule = sandbox.store.get(str(association.properties.get("dataCollectionRuleId")))
        if rule is not None and at(rule.properties, "dataSources.prometheusForwarder"):
            return association
    return None
