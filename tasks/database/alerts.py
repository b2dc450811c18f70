"""Guide: none; it has dashboards, and nobody who is told."""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.reconcile import ensure
from aks_postgres.database.alerts import GROUP, alert_rules
from aks_postgres.reports.outputs import (
    CheckedTarget,
    ClusterOutputs,
    MonitorWorkspaceOutputs,
    ResourceOutputs,
)
from aks_postgres.resources import rule_group
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec


@arm_task("ensure_database_alerts {target.names.postgres_cluster}")
async def ensure_database_alerts(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    cluster: ClusterOutputs,
    workspace: MonitorWorkspaceOutputs,
) -> ResourceOutputs:
    """Create the alert rules of the database on managed Prometheus, or bring them to the spec.

    Guide: none.
    REST: https://learn.microsoft.com/rest/api/monitor/prometheus-rule-groups/create-or-update

    Args:
        spec: the environment wanted.
        target: names.
        cluster: the cluster whose metrics are watched.
        workspace: the Azure Monitor workspace that has them.

    Returns:
        ID and name of the rule group.
    """
    name = target.names.rule_group(GROUP)
    resource = rule_group.KIND.at(azure, target.resource_id(rule_group.KIND.type, name))
    wanted = rule_group.desired(spec, cluster, workspace, alert_rules(spec, target))
    _, change = await ensure(resource, lambda live: rule_group.KIND.decide(resource.label, wanted, live))
    return ResourceOutputs(id=resource.id, name=name, change=change)
