"""Guide: Create infrastructure, "Create the AKS cluster ..." - what `--enable-azure-monitor-metrics` does inside az.

Endpoint, rule, association, then metrics on (in that order: the agent crash-loops without its association), and
the recording rule groups. Grafana's role and link are in `tasks.grafana`.
"""

from __future__ import annotations

from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision, decide
from aks_postgres.arm.reconcile import ensure
from aks_postgres.arm.responses import Json
from aks_postgres.arm.retry import all_ended
from aks_postgres.preflight.facts import pages
from aks_postgres.reports.outputs import (
    UNCHANGED,
    Change,
    CheckedTarget,
    ClusterOutputs,
    EndpointOutputs,
    FieldChange,
    MonitorWorkspaceOutputs,
    ResourceOutputs,
    RuleGroupsOutputs,
    RuleOutputs,
    StepOutputs,
)
from aks_postgres.resources import data_collection, rule_group
from aks_postgres.resources.data_collection import ENDPOINT, ensure_association, ensure_rule
from aks_postgres.resources.managed_cluster import (
    UPDATE_S,
    cluster_resource,
    comes_with_it,
    existing,
    metrics_on,
)
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import METRICS_ASSOCIATION, plain_region


@arm_task("ensure_metrics_endpoint {target.names.cluster}")
async def ensure_metrics_endpoint(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    group: ResourceOutputs,
    workspace: MonitorWorkspaceOutputs,
) -> EndpointOutputs:
    """Create the data collection endpoint of managed Prometheus.

    Guide: Create infrastructure, "Create the AKS cluster ...", step 1: inside az aks create.
    REST: https://learn.microsoft.com/rest/api/monitor/data-collection-endpoints/create

    Args:
        spec: the environment wanted.
        target: names.
        group: the environment's resource group.
        workspace: the Azure Monitor workspace, in whose region the endpoint is.

    Returns:
        ID and name of the endpoint.
    """
    region = plain_region(workspace.location)
    name = target.names.metrics_endpoint(region)
    resource = ENDPOINT.at(azure, target.resource_id(ENDPOINT.type, name))
    wanted, once = data_collection.endpoint(spec, region)
    _, change = await ensure(
        resource,
        lambda live: ENDPOINT.decide(resource.label, wanted, live, only_at_creation=once),
    )
    return EndpointOutputs(id=resource.id, name=name, change=change)


@arm_task("ensure_metrics_rule {target.names.cluster}")
async def ensure_metrics_rule(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    group: ResourceOutputs,
    workspace: MonitorWorkspaceOutputs,
    endpoint: EndpointOutputs,
) -> RuleOutputs:
    """Create the data collection rule that sends the cluster's metrics to the Azure Monitor workspace.

    Guide: Create infrastructure, "Create the AKS cluster ...", step 1: inside az aks create.
    REST: https://learn.microsoft.com/rest/api/monitor/data-collection-rules/create

    Args:
        spec: the environment wanted.
        target: names.
        group: the environment's resource group.
        workspace: where the metrics go.
        endpoint: the data collection endpoint they go through.

    Returns:
        ID and name of the rule.
    """
    region = plain_region(workspace.location)
    name = target.names.metrics_rule(region)
    properties = data_collection.metrics_rule(workspace.id, endpoint.id)
    return await ensure_rule(azure, spec, target, name, region, properties, workspace.account_id)


@arm_task("ensure_metrics_association {cluster.name}")
async def ensure_metrics_association(
    azure: Azure, cluster: ResourceOutputs, rule: RuleOutputs
) -> ResourceOutputs:
    """Associate the cluster with the metrics rule.

    Guide: Create infrastructure, "Create the AKS cluster ...", step 1: inside az aks create.
    REST: https://learn.microsoft.com/rest/api/monitor/data-collection-rule-associations/create

    Args:
        cluster: the cluster, scope of the association.
        rule: the data collection rule.

    Returns:
        ID and name of the association.
    """
    return await ensure_association(
        azure, cluster, rule, METRICS_ASSOCIATION, "Prometheus metrics of this AKS cluster."
    )


@arm_task("ensure_metrics_on {cluster.name}", needs="cluster", planned=comes_with_it)
async def ensure_metrics_on(azure: Azure, spec: EnvironmentSpec, cluster: ClusterOutputs) -> StepOutputs:
    """Switch managed Prometheus on in the cluster.

    Guide: Create infrastructure, "Create the AKS cluster ...", step 1: the second cluster write inside az aks create.
    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update

    Args:
        spec: the environment wanted.
        cluster: the cluster, associated with the metrics rule.

    Returns:
        The change made.

    Raises:
        ClusterBusy: AKS was busy for the whole budget; retried by Prefect.
    """
    resource = cluster_resource(azure, cluster.id, UPDATE_S)

    def decision(live: Json | None) -> Decision:
        return decide(resource.label, metrics_on(), existing(azure, resource.label, live))

    _, change = await ensure(resource, decision)
    return StepOutputs(change=change)


def recording_rules(recommendations: list[Json]) -> dict[str, list[Json]]:
    """The recording rules among Azure's recommendations, by template name; alert rules aren't the guide's."""
    found: dict[str, list[Json]] = {}
    for recommendation in recommendations:
        properties = recommendation.get("properties") or {}
        if str(properties.get("alertRuleType", "")).casefold() != rule_group.KIND.type.casefold():
            continue
        resources = (properties.get("rulesArmTemplate") or {}).get("resources") or []
        rules = (resources[0].get("properties") or {}).get("rules") or [] if resources else []
        if rules and all(rule.get("record") and rule.get("expression") for rule in rules):
            found[recommendation["name"]] = rules
    return found


def _planned_rule_groups(*_: Any) -> RuleGroupsOutputs:
    """Of a workspace that isn't there, Azure recommends nothing yet."""
    what = FieldChange(field="recording rule groups", old=None, new="what Azure recommends by then")
    return RuleGroupsOutputs(names=(), change=Change(kind="created", fields=(what,)))


@arm_task("ensure_rule_groups {cluster.name}", needs="workspace", planned=_planned_rule_groups)
async def ensure_rule_groups(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    cluster: ClusterOutputs,
    workspace: MonitorWorkspaceOutputs,
) -> RuleGroupsOutputs:
    """Create the Prometheus recording rule groups that Azure recommends for the workspace.

    Guide: Create infrastructure, "Create the AKS cluster ...", step 1: inside az aks create. Those for Windows are
    made switched off, as az does.
    REST: https://learn.microsoft.com/rest/api/monitor/prometheus-rule-groups/create-or-update

    Args:
        spec: the environment wanted.
        target: names.
        cluster: the cluster whose metrics the rules record.
        workspace: the Azure Monitor workspace that has them.

    Returns:
        Names of the rule groups.
    """
    templates = recording_rules(
        await pages(
            azure,
            "recommended rule groups",
            f"{workspace.id}{rule_group.RECOMMENDATIONS}",
            "2023-01-01-preview",
        )
    )
    made = await all_ended(
        _ensure_rule_group(azure, spec, target, cluster, workspace, name, rules)
        for name, rules in templates.items()
    )
    changed = tuple(
        field
        for name, change in made
        for field in (
            [FieldChange(field=name, old=None, new="created")]
            if change.kind == "created"
            else [
                difference.model_copy(update={"field": f"{name}: {difference.field}"})
                for difference in change.fields
            ]
        )
    )
    kinds = {change.kind for _, change in made}
    change = (
        Change(kind="created" if "created" in kinds else "updated", fields=changed) if changed else UNCHANGED
    )
    return RuleGroupsOutputs(names=tuple(name for name, _ in made), change=change)


async def _ensure_rule_group(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    cluster: ClusterOutputs,
    workspace: MonitorWorkspaceOutputs,
    template: str,
    rules: list[Json],
) -> tuple[str, Change]:
    name = target.names.rule_group(template)
    resource = rule_group.KIND.at(azure, target.resource_id(rule_group.KIND.type, name))
    wanted = rule_group.desired(spec, cluster, workspace, rules, enabled="win" not in template.lower())
    _, change = await ensure(resource, lambda live: rule_group.KIND.decide(resource.label, wanted, live))
    return name, change
