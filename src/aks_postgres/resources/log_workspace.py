"""Log Analytics workspaces.

https://learn.microsoft.com/rest/api/loganalytics/workspaces
"""

from __future__ import annotations

from aks_postgres.arm.errors import LastingState
from aks_postgres.arm.kind import Kind
from aks_postgres.arm.responses import Json
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import resource_tags

# What `workspaceCapping.dataIngestionStatus` says of a workspace that takes nothing until a person acts, by the models
# of azure-mgmt-loganalytics. OverQuota isn't among them: it ends at the next reset of the daily cap.
_INGESTION_OFF = {
    "forceoff": "A service setting stopped its ingestion: ask Azure's support to switch it on",
    "subscriptionsuspended": "Have the subscription's owner enable it again",
}

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
    """Return what the workspace shall be."""
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


def refuse_ingestion_off(label: str, live: Json) -> None:
    """Refuse a Log Analytics workspace that takes no data, and won't by waiting.

    Raises:
        LastingState: its ingestion is off.
    """
    capping = live["properties"].get("workspaceCapping")
    status = str((capping if isinstance(capping, dict) else {}).get("dataIngestionStatus") or "")
    if way_out := _INGESTION_OFF.get(status.casefold()):
        raise LastingState(
            label, f"takes no data (dataIngestionStatus {status})", f"{way_out}, then run again."
        )
