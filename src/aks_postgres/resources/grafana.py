"""Azure Managed Grafana.

https://learn.microsoft.com/rest/api/managed-grafana/grafana
"""

from __future__ import annotations

from aks_postgres.arm.diff import Decision, state_of
from aks_postgres.arm.ignored import is_ignored
from aks_postgres.arm.kind import Kind
from aks_postgres.arm.responses import Json
from aks_postgres.reports.outputs import UNCHANGED, Change, FieldChange
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import resource_tags

KIND = Kind(
    "Microsoft.Dashboard/grafana",
    "Managed Grafana",
    "Monitoring",
    lambda azure: azure.dashboard.grafana,
    put="begin_create",
    update="begin_update",
    delete="begin_delete",
    create_s=120,
    create_deadline_s=1800,
    delete_s=330,
    delete_deadline_s=1800,
    immutable=("location", "properties.zoneRedundancy"),
    way_out="Set monitoring.grafana_zone_redundancy back, or delete the instance and run again.",
    is_foundation=True,
    is_regional=True,
    brings=("endpoint and its own identity: known after creation",),
    owned=lambda names, _: (names.grafana,),
    step="Managed Grafana",
    removal="Managed Grafana",
)


def desired(spec: EnvironmentSpec) -> Json:
    """Return what the instance shall be; its links to workspaces are others'."""
    return {
        "location": spec.region,
        "tags": resource_tags(spec),
        "sku": {"name": "Standard"},
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "zoneRedundancy": "Enabled" if spec.monitoring.grafana_zone_redundancy else "Disabled",
            "apiKey": "Disabled",
            "deterministicOutboundIP": "Disabled",
            "publicNetworkAccess": spec.monitoring.grafana_public_network_access.capitalize(),
        },
    }


def linked_workspaces(live: Json) -> list[str]:
    """IDs of the Azure Monitor workspaces that a Grafana instance shows."""
    integrations = live["properties"].get("grafanaIntegrations") or {}
    return [
        link["azureMonitorWorkspaceResourceId"]
        for link in integrations.get("azureMonitorWorkspaceIntegrations") or []
        if link.get("azureMonitorWorkspaceResourceId")
    ]


def link_decision(workspace_id: str, live: Json | None) -> Decision:
    """Return whether the instance has to be linked to an Azure Monitor workspace; other links stay."""
    linked = linked_workspaces(live or {"properties": {}})
    field = "properties.grafanaIntegrations.azureMonitorWorkspaceIntegrations"
    is_linked = workspace_id.casefold() in map(str.casefold, linked) or is_ignored(field)
    state = state_of(live or {})
    fields: list[FieldChange] = []
    if not is_linked:
        fields.append(FieldChange(field=field, old=linked, new=[*linked, workspace_id]))
    if state.casefold() in ("failed", "canceled"):  # as in `decide`; the update did it, or an earlier one
        fields.append(FieldChange(field="provisioningState", old=state, new="Succeeded"))
    if not fields:
        return Decision(UNCHANGED)
    wanted = linked if is_linked else [*linked, workspace_id]
    links = [{"azureMonitorWorkspaceResourceId": link} for link in wanted]
    return Decision(
        Change(kind="updated", fields=tuple(fields)),
        {"properties": {"grafanaIntegrations": {"azureMonitorWorkspaceIntegrations": links}}},
    )
