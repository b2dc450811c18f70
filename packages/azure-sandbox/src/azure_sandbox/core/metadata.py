"""`GET /metadata/endpoints`: what a client needs to know to use the sandbox as a cloud of its own.

https://learn.microsoft.com/cli/azure/manage-clouds-azure-cli (az reads nothing else of a registered cloud).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox


def metadata_endpoints(sandbox: Sandbox, base_url: str) -> dict[str, Any]:
    """The cloud's endpoints, in the shape of api-version 2022-09-01."""
    public = base_url == "https://management.azure.com"
    login = "https://login.microsoftonline.com" if public else base_url
    graph = "https://graph.microsoft.com" if public else base_url
    return {
        "name": "AzureCloud" if public else "AzureSandbox",
        "portal": base_url,
        "authentication": {
            "loginEndpoint": login,
            "audiences": [base_url] if not public else ["https://management.core.windows.net/", base_url],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "resourceManager": base_url + "/",
        "graphAudience": graph,
        "graph": graph,
        "microsoftGraphResourceId": graph + "/",
        "media": base_url,
        "batch": base_url,
        "gallery": base_url,
        "sqlManagement": base_url,
        "vmImageAliasDoc": base_url,
        "activeDirectoryDataLake": base_url,
        "suffixes": {
            "storage": "core.windows.net",
            "keyVaultDns": "vault.azure.net",
            "acrLoginServer": "azurecr.io",
            "sqlServerHostname": "database.windows.net",
            "mysqlServerEndpoint": "mysql.database.azure.com",
            "postgresqlServerEndpoint": "postgres.database.azure.com",
        },
    }
