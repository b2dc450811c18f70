"""Guide: Create infrastructure, "Create the AKS cluster ..." - Container insights (az aks enable-addons monitoring).

Rule and association come before the add-on: `ama-logs` backs off for minutes without them. With AAD authentication,
as here, no role is needed.
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision, decide
from aks_postgres.arm.reconcile import ensure
from aks_postgres.arm.responses import Json
from aks_postgres.reports.outputs import (
    CheckedTarget,
    ClusterOutputs,
    LogWorkspaceOutputs,
    ResourceOutputs,
    RuleOutputs,
    StepOutputs,
)
from aks_postgres.resources import data_collection
from aks_postgres.resources.data_collection import ensure_association, ensure_rule
from aks_postgres.resources.managed_cluster import (
    UPDATE_S,
    cluster_resource,
    comes_with_it,
    existing,
    insights_on,
)
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import LOGS_ASSOCIATION, plain_region


@arm_task("ensure_logs_rule {target.names.cluster}")
async def ensure_logs_rule(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    group: ResourceOutputs,
    workspace: LogWorkspaceOutputs,
) -> RuleOutputs:
    """Create the data collection rule that sends container logs to the Log Analytics workspace.

    Guide: Create infrastructure, "Create the AKS cluster ...", step 6: inside az aks enable-addons.
    REST: https://learn.microsoft.com/rest/api/monitor/data-collection-rules/create

    Args:
        spec: the environment wanted.
        target: names.
        group: the environment's resource group.
        workspace: where the logs go; a new one's tables take a moment, which is waited for.

    Returns:
        ID and name of the rule.
    """
    region = plain_region(workspace.location)
    properties = data_collection.logs_rule(workspace.id)
    return await ensure_rule(
        azure, spec, target, target.names.logs_rule(region), region, properties, workspace.customer_id
    )


@arm_task("ensure_logs_association {cluster.name}")
async def ensure_logs_association(
    azure: Azure, cluster: ResourceOutputs, rule: RuleOutputs
) -> ResourceOutputs:
    """Associate the cluster with the logs rule.

    Guide: Create infrastructure, "Create the AKS cluster ...", step 6: inside az aks enable-addons.
    REST: https://learn.microsoft.com/rest/api/monitor/data-collection-rule-associations/create

    Args:
        cluster: the cluster, scope of the association.
        rule: the data collection rule.

    Returns:
        ID and name of the association.
    """
    return await ensure_association(
        azure, cluster, rule, LOGS_ASSOCIATION, "Container logs of this AKS cluster."
    )


@arm_task("ensure_container_insights {cluster.name}", needs="cluster", planned=comes_with_it)
async def ensure_container_insights(
    azure: Azure, spec: EnvironmentSpec, cluster: ClusterOutputs, workspace: LogWorkspaceOutputs
) -> StepOutputs:
    """Switch the Container insights add-on on in the cluster.

    Guide: Create infrastructure, "Create the AKS cluster ...", step 6 (az aks enable-addons --addon monitoring).
    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update

    Args:
        spec: the environment wanted.
        cluster: the cluster, associated with the logs rule.
        workspace: the Log Analytics workspace.

    Returns:
        The change made.

    Raises:
        ClusterBusy: AKS was busy for the whole budget; retried by Prefect.
    """
    resource = cluster_resource(azure, cluster.id, UPDATE_S)

    def decision(live: Json | None) -> Decision:
        cluster_now = existing(azure, resource.label, live)
        found = decide(resource.label, insights_on(workspace.id, cluster_now), cluster_now)
        if found.needs_write:
            # As az does: a managed-identity cluster reports {clientId: msi} here, which needn't come back.
            found.body["properties"].pop("servicePrincipalProfile", None)
        return found

    _, change = await ensure(resource, decision)
    return StepOutputs(change=change)
