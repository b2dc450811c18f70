"""Guide: Create infrastructure, "Set up monitoring" - the Azure Monitor workspace and the Log Analytics workspace.

The managed group `MA_...` that Azure makes for the monitor workspace is Azure's: never touched here.
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision, decide
from aks_postgres.arm.reconcile import arm_resource, ensure
from aks_postgres.arm.responses import Json
from aks_postgres.preflight.lasting_states import refuse_ingestion_off
from aks_postgres.preflight.ownership import refuse_foreign
from aks_postgres.reports.outputs import LogWorkspaceOutputs, MonitorWorkspaceOutputs, Place, ResourceOutputs
from aks_postgres.resources.links import internal_id
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import resource_tags


@arm_task("ensure_monitor_workspace {place.names.monitor_workspace}")
async def ensure_monitor_workspace(
    azure: Azure, spec: EnvironmentSpec, place: Place, group: ResourceOutputs
) -> MonitorWorkspaceOutputs:
    """Create the Azure Monitor workspace that managed Prometheus writes to, or bring its tags to the spec.

    Guide: Create infrastructure, "Set up monitoring ...", step 2 (az monitor account create).
    REST: https://learn.microsoft.com/rest/api/monitor/azure-monitor-workspaces/create

    Args:
        spec: the environment wanted.
        place: where it goes, as the preflight found.
        group: the environment's resource group.

    Returns:
        ID, name, location and Prometheus query endpoint.

    Raises:
        NotOurs: a workspace of that name exists without our tags.
    """
    name = place.names.monitor_workspace
    label = f"Azure Monitor workspace {name}"
    operations = azure.monitor.azure_monitor_workspaces
    resource = arm_resource(
        azure,
        label,
        place.resource_id("Microsoft.Monitor/accounts", name),
        operations.get,
        operations.create,
        group.name,
        name,
        expected_s=10,
    )

    def decision(live: Json | None) -> Decision:
        refuse_foreign(spec, label, live, group.name)
        return decide(
            label, {"location": spec.region, "tags": resource_tags(spec)}, live, immutable=("location",)
        )

    live, change = await ensure(resource, decision)
    return MonitorWorkspaceOutputs(
        id=resource.id,
        name=live["name"],
        location=live["location"],
        query_endpoint=live["properties"]["metrics"]["prometheusQueryEndpoint"],
        account_id=internal_id(live, "accountId"),
        change=change,
    )


@arm_task("ensure_log_workspace {place.names.log_workspace}")
async def ensure_log_workspace(
    azure: Azure, spec: EnvironmentSpec, place: Place, group: ResourceOutputs
) -> LogWorkspaceOutputs:
    """Create the Log Analytics workspace that Container insights writes to, or bring it to the spec.

    Guide: Create infrastructure, "Set up monitoring ...", step 3 (az monitor log-analytics workspace create).
    REST: https://learn.microsoft.com/rest/api/loganalytics/workspaces/create-or-update

    Args:
        spec: the environment wanted.
        place: where it goes, as the preflight found.
        group: the environment's resource group.

    Returns:
        ID, name and location.

    Raises:
        NotOurs: a workspace of that name exists without our tags.
        AzureRefused: the name is held by a soft-deleted workspace elsewhere.
        LastingState: it takes no data, and won't by waiting.
    """
    name = place.names.log_workspace
    label = f"Log Analytics workspace {name}"
    operations = azure.log_analytics.workspaces
    resource = arm_resource(
        azure,
        label,
        place.resource_id("Microsoft.OperationalInsights/workspaces", name),
        operations.get,
        operations.begin_create_or_update,
        group.name,
        name,
        update=operations.update,
        expected_s=25,
    )
    wanted = {
        "location": spec.region,
        "tags": resource_tags(spec),
        "properties": {
            "sku": {"name": "PerGB2018"},
            "retentionInDays": spec.monitoring.log_retention_days,
            "publicNetworkAccessForIngestion": "Enabled",
            "publicNetworkAccessForQuery": "Enabled",
        },
    }

    def decision(live: Json | None) -> Decision:
        refuse_foreign(spec, label, live, group.name)
        return decide(label, wanted, live, immutable=("location",))

    live, change = await ensure(resource, decision)
    refuse_ingestion_off(label, live)
    return LogWorkspaceOutputs(
        id=resource.id,
        name=live["name"],
        location=live["location"],
        customer_id=internal_id(live, "customerId"),
        change=change,
    )
