"""Prometheus rule groups.

https://learn.microsoft.com/rest/api/monitor/prometheus-rule-groups
"""

from __future__ import annotations

from collections.abc import Sequence

from aks_postgres.arm.kind import by_id
from aks_postgres.arm.responses import Json
from aks_postgres.reports.outputs import ClusterOutputs, MonitorWorkspaceOutputs
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import plain_region, resource_tags

RECOMMENDATIONS = "/providers/microsoft.alertsManagement/alertRuleRecommendations"
KIND = by_id(
    "Microsoft.AlertsManagement/prometheusRuleGroups",
    "rule group",
    "Monitoring",
    "2023-03-01",
    plan_word="Prometheus rule group",
    step="Prometheus rule groups",
    removal="Prometheus rule groups",
    linked={"Microsoft.AlertsManagement/alertRuleRecommendations/read": "Prometheus rule groups"},
)


def desired(
    spec: EnvironmentSpec,
    cluster: ClusterOutputs,
    workspace: MonitorWorkspaceOutputs,
    rules: Sequence[Json],
    *,
    enabled: bool = True,
) -> Json:
    """Return what a group of rules on the cluster's metrics shall be, beside the workspace that has them."""
    return {
        "location": plain_region(workspace.location),
        "tags": resource_tags(spec),
        "properties": {
            "scopes": [workspace.id, cluster.id],
            "enabled": enabled,
            "clusterName": cluster.name,
            "interval": "PT1M",
            "rules": list(rules),
        },
    }
