"""Azure Managed Grafana.

https://learn.microsoft.com/rest/api/managed-grafana/grafana
"""

from __future__ import annotations

from aks_postgres.arm.kind import Kind
from aks_postgres.arm.responses import Json
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
    owned=lambda names, _: (names.grafana,),
    step="Managed Grafana",
    removal="Managed Grafana",
)


def desired(spec: EnvironmentSpec) -> Json:
    """What the instance shall be; its links to workspaces are others'."""
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
