"""Data collection rules and their associations with a cluster, as managed Prometheus and Container insights make them.

https://learn.microsoft.com/rest/api/monitor/data-collection-rules,
https://learn.microsoft.com/rest/api/monitor/data-collection-rule-associations
"""

from __future__ import annotations

from dataclasses import replace

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision, decide
from aks_postgres.arm.kind import Kind, scope_and_name
from aks_postgres.arm.reconcile import ensure
from aks_postgres.arm.resource import look_at, settled, unsettled
from aks_postgres.arm.responses import Answer, ArmFault, Json
from aks_postgres.reports.journal import journal
from aks_postgres.reports.outputs import CheckedTarget, ResourceOutputs, RuleOutputs
from aks_postgres.resources.links import with_destinations
from aks_postgres.resources.managed_cluster import CREATE_S, cluster_resource
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import resource_tags

ENDPOINT = Kind(
    "Microsoft.Insights/dataCollectionEndpoints",
    "data collection endpoint",
    "Monitoring",
    lambda azure: azure.monitor.data_collection_endpoints,
    put="create",
    retag="update",
    delete="delete",
    is_foundation=True,
    owned=lambda names, region: (names.metrics_endpoint(region),),
    step="managed Prometheus",
    removal="data collection endpoint",
)
RULE = Kind(
    "Microsoft.Insights/dataCollectionRules",
    "data collection rule",
    "Monitoring",
    lambda azure: azure.monitor.data_collection_rules,
    put="create",
    retag="update",
    delete="delete",
    is_foundation=True,
    owned=lambda names, region: (names.metrics_rule(region), names.logs_rule(region)),
    step="managed Prometheus, Container insights",
    removal="data collection rules",
)
ASSOCIATION = Kind(
    "Microsoft.Insights/dataCollectionRuleAssociations",
    "data collection rule association",
    "Monitoring",
    lambda azure: azure.monitor.data_collection_rule_associations,
    plan_word="data collection association",
    put="create",
    delete="delete",
    key=scope_and_name,
    step="managed Prometheus, Container insights",
    removal="data collection rule associations",
)

_METRICS = "Microsoft-PrometheusMetrics"
_LOGS = "Microsoft-ContainerInsights-Group-Default"
# How a resource provider refuses what hangs on something that isn't ready; 403, 429 and 5xx mean other things.
_REFUSED = (400, 404, 409)


def endpoint(spec: EnvironmentSpec, region: str) -> tuple[Json, Json]:
    """Return what a data collection endpoint shall be, and what is only said when it is made."""
    return {"location": region, "kind": "Linux", "tags": resource_tags(spec)}, {"properties": {}}


def metrics_rule(workspace_id: str, endpoint_id: str) -> Json:
    """The properties of the rule that sends the cluster's metrics to an Azure Monitor workspace."""
    return {
        "description": "DCR description",
        "dataCollectionEndpointId": endpoint_id,
        "dataSources": {
            "prometheusForwarder": [
                {"name": "PrometheusDataSource", "streams": [_METRICS], "labelIncludeFilter": {}}
            ]
        },
        "dataFlows": [{"streams": [_METRICS], "destinations": ["MonitoringAccount1"]}],
        "destinations": {
            "monitoringAccounts": [{"accountResourceId": workspace_id, "name": "MonitoringAccount1"}]
        },
    }


def logs_rule(workspace_id: str) -> Json:
    """The properties of the rule that sends container logs to a Log Analytics workspace."""
    return {
        "dataSources": {
            "extensions": [
                {
                    "name": "ContainerInsightsExtension",
                    "extensionName": "ContainerInsights",
                    "streams": [_LOGS],
                    "extensionSettings": {"dataCollectionSettings": {"enableContainerLogV2": True}},
                }
            ]
        },
        "dataFlows": [{"streams": [_LOGS], "destinations": ["la-workspace"]}],
        "destinations": {"logAnalytics": [{"workspaceResourceId": workspace_id, "name": "la-workspace"}]},
    }


def association(rule_id: str, description: str) -> tuple[Json, Json]:
    """Return what an association shall be, and what is only said when it is made."""
    return {"properties": {"dataCollectionRuleId": rule_id}}, {"properties": {"description": description}}


async def ensure_rule(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    name: str,
    region: str,
    properties: Json,
    workspace: str = "",
) -> RuleOutputs:
    """Create a data collection rule, or bring it to these properties.

    Args:
        spec: the environment wanted.
        target: names.
        name: the rule's.
        region: where it goes.
        properties: what it shall be.
        workspace: the internal ID of the workspace that it writes to now.
    """
    resource = RULE.at(azure, target.resource_id(RULE.type, name))
    wanted = {"location": region, "kind": "Linux", "tags": resource_tags(spec), "properties": properties}

    def decision(live: Json | None) -> Decision:
        return with_destinations(RULE.decide(resource.label, wanted, live), live, workspace)

    _, change = await ensure(resource, decision)
    return RuleOutputs(id=resource.id, name=name, change=change)


def association_id(cluster_id: str, name: str) -> str:
    """The ID of a cluster's association."""
    return f"{cluster_id}/providers/{ASSOCIATION.type}/{name}"


async def ensure_association(
    azure: Azure, cluster: ResourceOutputs, rule: RuleOutputs, name: str, description: str
) -> ResourceOutputs:
    """Associate the cluster with a rule, under the name that its agent looks for.

    With `cluster_requests: single` the cluster may still be creating: az associates afterwards, and nobody has recorded
    what Azure says before. If it refuses, the association is made once the cluster is there.
    """
    resource = ASSOCIATION.at(azure, association_id(cluster.id, name))
    label = resource.label

    async def put(body: Json, live: Json | None) -> Answer:
        try:
            return await resource.put(body, live)
        except ArmFault as refused:
            whole = cluster_resource(azure, cluster.id, CREATE_S)
            if refused.status not in _REFUSED or unsettled(await look_at(whole)) is None:
                raise
            journal().note(
                f"{label}: refused while the cluster is being made ({refused}); made once it is there"
            )
            await settled(whole)
            return await resource.put(body, live)

    wanted, once = association(rule.id, description)
    patient = replace(resource, put=put)
    _, change = await ensure(patient, lambda live: decide(label, wanted, live, only_at_creation=once))
    return ResourceOutputs(id=resource.id, name=name, change=change)
