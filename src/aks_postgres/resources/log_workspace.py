"""Log Analytics workspaces.

https://learn.microsoft.com/rest/api/loganalytics/workspaces
"""

from __future__ import annotations

from aks_postgres.arm.kind import Kind
from aks_postgres.arm.responses import Json
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import resource_tags

KIND = Kind(
    "Microsoft.OperationalInsights/workspaces",
    "Log Analytics workspace",
    "Monitoring",
    lambda azure: azure.log_analytics.workspaces,
    put="begin_create_or_update",
    update="update",
    delete="begin_delete",
    create_s=25,
    delete_s=10,
    is_foundation=True,
    is_regional=True,
    owned=lambda names, _: (names.log_workspace,),
    step="Log Analytics workspace",
    removal="Log Analytics workspace",
    # Linked actions: https://learn.microsoft.com/azure/aks/aks-service-permissions
    linked={
        "Microsoft.OperationalInsights/workspaces/sharedKeys/read": "Container insights",
        "Microsoft.OperationsManagement/solutions/read": "Container insights",
        "Microsoft.OperationsManagement/solutions/write": "Container insights",
    },
)


def desired(spec: EnvironmentSpec) -> Json:
    """What the workspace shall be."""
    return {
        "location": spec.region,
        "tags": resource_tags(spec),
        "properties": {
            "sku": {"name": "PerGB2018"},
            "retentionInDays": spec.monitoring.log_retention_days,
            "publicNetworkAccessForIngestion": "Enabled",
            "publicNetworkAccessForQuery": "Enabled",
        },
    }
