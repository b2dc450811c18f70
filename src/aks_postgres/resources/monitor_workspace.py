"""Azure Monitor workspaces.

https://learn.microsoft.com/rest/api/monitor/azure-monitor-workspaces
"""

from __future__ import annotations

from aks_postgres.arm.kind import Kind
from aks_postgres.arm.responses import Json
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import resource_tags

KIND = Kind(
    "Microsoft.Monitor/accounts",
    "Azure Monitor workspace",
    "Monitoring",
    lambda azure: azure.monitor.azure_monitor_workspaces,
    put="create",
    update="update",
    delete="begin_delete",
    create_s=10,
    delete_s=93,
    delete_deadline_s=1800,
    is_foundation=True,
    is_regional=True,
    brings=("Azure also makes a managed resource group with a rule and an endpoint",),
    owned=lambda names, _: (names.monitor_workspace,),
    step="Azure Monitor workspace",
    removal="Azure Monitor workspace",
)


def desired(spec: EnvironmentSpec) -> Json:
    """Return what the workspace shall be."""
    return {"location": spec.region, "tags": resource_tags(spec)}
