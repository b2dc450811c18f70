"""Guide: Create infrastructure, "Set up monitoring" - the Azure Monitor workspace and the Log Analytics workspace.

The managed group `MA_...` that Azure makes for the monitor workspace is Azure's: never touched here.
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.reports.outputs import (
    CheckedTarget,
    LogWorkspaceOutputs,
    MonitorWorkspaceOutputs,
    ResourceOutputs,
)
from aks_postgres.resources import log_workspace, monitor_workspace
from aks_postgres.resources.ensuring import ensure_ours
from aks_postgres.resources.links import internal_id
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec


@arm_task("ensure_monitor_workspace {target.names.monitor_workspace}")
async def ensure_monitor_workspace(
    azure: Azure, spec: EnvironmentSpec, target: CheckedTarget, group: ResourceOutputs
) -> MonitorWorkspaceOutputs:
    """Create the Azure Monitor workspace that managed Prometheus writes to, or bring its tags to the spec.

    Guide: Create infrastructure, "Set up monitoring ...", step 2 (az monitor account create).
    REST: https://learn.microsoft.com/rest/api/monitor/azure-monitor-workspaces/create

    Args:
        spec: the environment wanted.
        target: where it goes, as the preflight found.
        group: the environment's resource group.

    Returns:
        ID, name, location and Prometheus query endpoint.

    Raises:
        NotOurs: a workspace of that name exists without our tags.
    """
    resource_id = target.resource_id(monitor_workspace.KIND.type, target.names.monitor_workspace)
    live, change = await ensure_ours(
        azure, monitor_workspace.KIND, resource_id, spec, monitor_workspace.desired(spec)
    )
    return MonitorWorkspaceOutputs(
        id=resource_id,
        name=live["name"],
        location=live["location"],
        query_endpoint=live["properties"]["metrics"]["prometheusQueryEndpoint"],
        account_id=internal_id(live, "accountId"),
        change=change,
    )


@arm_task("ensure_log_workspace {target.names.log_workspace}")
async def ensure_log_workspace(
    azure: Azure, spec: EnvironmentSpec, target: CheckedTarget, group: ResourceOutputs
) -> LogWorkspaceOutputs:
    """Create the Log Analytics workspace that Container insights writes to, or bring it to the spec.

    Guide: Create infrastructure, "Set up monitoring ...", step 3 (az monitor log-analytics workspace create).
    REST: https://learn.microsoft.com/rest/api/loganalytics/workspaces/create-or-update

    Args:
        spec: the environment wanted.
        target: where it goes, as the preflight found.
        group: the environment's resource group.

    Returns:
        ID, name and location.

    Raises:
        NotOurs: a workspace of that name exists without our tags.
        AzureRefused: the name is held by a soft-deleted workspace elsewhere.
        LastingState: it takes no data, and won't by waiting.
    """
    name = target.names.log_workspace
    resource_id = target.resource_id(log_workspace.KIND.type, name)
    live, change = await ensure_ours(
        azure, log_workspace.KIND, resource_id, spec, log_workspace.desired(spec)
    )
    log_workspace.refuse_ingestion_off(log_workspace.KIND.label(name), live)
    return LogWorkspaceOutputs(
        id=resource_id,
        name=live["name"],
        location=live["location"],
        customer_id=internal_id(live, "customerId"),
        change=change,
    )
