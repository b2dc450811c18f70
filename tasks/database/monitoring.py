"""Guide: Deploy, "Create a PodMonitor ... for managed Prometheus"."""

from __future__ import annotations

from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import NotEffectiveYet
from aks_postgres.arm.responses import Json
from aks_postgres.database.objects import pod_monitors
from aks_postgres.kubernetes.client import kubernetes_api
from aks_postgres.kubernetes.objects import bring, new_objects, outputs_of, served
from aks_postgres.reports.outputs import (
    CheckedTarget,
    ClusterOutputs,
    NamespacesOutputs,
    ObjectsOutputs,
    StepOutputs,
)
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec

_DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/podmonitors.azmonitoring.coreos.com"
# Agents appear minutes after their profile is on (https://github.com/Azure/AKS/issues/4973).
_DEFINED_WITHIN_S = 900


def _planned_monitor(spec: EnvironmentSpec, target: CheckedTarget, *_: Any) -> ObjectsOutputs:
    return new_objects(*pod_monitors(spec, target))


@arm_task(
    "ensure_database_monitor {target.names.postgres_cluster}", needs="cluster", planned=_planned_monitor
)
async def ensure_database_monitor(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    cluster: ClusterOutputs,
    namespaces: NamespacesOutputs,
    metrics_on: StepOutputs,
) -> ObjectsOutputs:
    """Have managed Prometheus read the metrics of the instances, and of cert-manager where the plugin needs it.

    Guide: Deploy, "Create a PodMonitor ..." (kubectl apply). The other one of the guide is for a Prometheus of its own
    in the cluster, which isn't installed here.
    REST: https://learn.microsoft.com/azure/azure-monitor/containers/prometheus-metrics-scrape-crd

    Args:
        spec: the environment wanted.
        target: names.
        cluster: the cluster.
        namespaces: both namespaces.
        metrics_on: managed Prometheus, whose kind it is.

    Returns:
        Their names.

    Raises:
        NotEffectiveYet: managed Prometheus hasn't brought the kind in time.
    """
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:

        async def look() -> Json | None:
            return served(await api.get(_DEFINITION))

        try:
            await api.settle(
                "managed Prometheus hasn't brought PodMonitor yet",
                look,
                deadline_s=_DEFINED_WITHIN_S,
            )
        except TimeoutError as error:
            raise NotEffectiveYet(
                f"{error}. kubectl -n kube-system get pods -l rsName=ama-metrics says more. Run again."
            ) from None
        wanted = pod_monitors(spec, target)
        return outputs_of(wanted, await bring(api, wanted))
