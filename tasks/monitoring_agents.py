"""Guide: none. Agents that AKS started before their data collection rule was associated with the cluster.

Only with `cluster_requests: single`, where cluster and agents come from one write and the associations from others
beside it. Without its rule an agent restarts again and again, with minutes between the attempts
(https://github.com/Azure/AKS/issues/5229).
"""

from __future__ import annotations

from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.responses import Json
from aks_postgres.arm.retry import all_ended
from aks_postgres.kubernetes.client import kubernetes_api
from aks_postgres.reports.outputs import (
    UNCHANGED,
    ApiServerOutputs,
    Change,
    ClusterOutputs,
    FieldChange,
    StepOutputs,
)
from aks_postgres.runs.step import arm_task

_PODS = "/api/v1/namespaces/kube-system/pods"
# ama-metrics, ama-metrics-node, ama-metrics-ksm, ama-logs, ama-logs-rs and their like; they share no label.
_AGENTS = ("ama-metrics", "ama-logs")


def is_stuck(pod: Json) -> bool:
    """Return whether it is an agent's pod that has started more than once and still isn't ready."""
    containers = (pod.get("status") or {}).get("containerStatuses") or []
    return str(pod["metadata"]["name"]).startswith(_AGENTS) and any(
        container.get("restartCount") and not container.get("ready") for container in containers
    )


def _no_agents(*_: Any) -> StepOutputs:
    return StepOutputs(change=UNCHANGED)


@arm_task("restart_stuck_agents {cluster.name}", needs="cluster", planned=_no_agents)
async def restart_stuck_agents(
    azure: Azure, cluster: ClusterOutputs, api_server: ApiServerOutputs
) -> StepOutputs:
    """Delete the agents' pods that restart again and again; their controllers make new ones at once.

    Guide: none; the guide's order, associations before agents, needs no restart.
    REST: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/

    Args:
        cluster: the cluster, associated with both rules.
        api_server: proof that its API server answers.

    Returns:
        The pods deleted.
    """
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        pods = await api.list_of(_PODS, "Pod") or []
        stuck = [pod["metadata"]["name"] for pod in pods if is_stuck(pod)]
        await all_ended(api.delete(f"pod {name}", f"{_PODS}/{name}") for name in stuck)
    fields = tuple(FieldChange(field=f"pod {name}", old="restarts", new="made anew") for name in stuck)
    return StepOutputs(change=Change(kind="updated", fields=fields) if fields else UNCHANGED)
