"""What regions offer and no API says, dated."""

from __future__ import annotations

# Named by the service itself in the error ZoneRedundancyNotSupported, February 2026:
# https://github.com/MicrosoftDocs/azure-docs/pull/128186
ZONE_REDUNDANT_GRAFANA_READ = "February 2026"
ZONE_REDUNDANT_GRAFANA = frozenset(
    {
        "australiaeast",
        "canadacentral",
        "centralindia",
        "eastasia",
        "eastus",
        "eastus2euap",
        "francecentral",
        "koreacentral",
        "northeurope",
        "norwayeast",
        "southcentralus",
        "uksouth",
        "westus3",
    }
)

# What each environment makes in its region, as ARM names the types.
REGIONAL_TYPES = (
    "Microsoft.ContainerService/managedClusters",
    "Microsoft.Dashboard/grafana",
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    "Microsoft.Monitor/accounts",
    "Microsoft.OperationalInsights/workspaces",
    "Microsoft.Storage/storageAccounts",
)
