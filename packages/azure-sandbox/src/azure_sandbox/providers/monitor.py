"""Microsoft.Monitor: Azure Monitor workspaces and the managed group that each of them makes.

Left out: queries, private endpoints, soft delete (not documented).

Shapes (PUT synchronous, about 10 s; DELETE 202 with two URLs, 15 s):
https://github.com/Azure/azure-powershell (Monitor recording AzMonitorWorkspace)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.operations import Polling
from azure_sandbox.core.provider import Provider
from azure_sandbox.core.regions import find_region, region_name, regions
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.core.words import as_written
from azure_sandbox.providers.insights import make_endpoint, make_rule
from azure_sandbox.providers.resources import make_group

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

provider = Provider("Microsoft.Monitor")

VERSIONS = ("2021-06-03-preview", "2023-04-03", "2023-10-01-preview", "2024-10-03", "2025-10-03")
ACCOUNT = "accounts/{account}"

provider.type(
    "accounts", api_versions=VERSIONS, delete_duration="monitor_workspace_delete", group_delete_rank=1
)
provider.standard(
    ACCOUNT,
    get="AzureMonitorWorkspaces_Get",
    list_in_group="AzureMonitorWorkspaces_ListByResourceGroup",
    list_in_subscription="AzureMonitorWorkspaces_ListBySubscription",
)

# https://learn.microsoft.com/rest/api/monitor/azure-monitor-workspaces/create-or-update
WORDS = {"properties.publicNetworkAccess": ("Enabled", "Disabled")}
DELETE = Polling(
    async_path="/subscriptions/{subscription}/providers/Microsoft.Monitor/locations/{location}"
    "/locationOperationStatuses/{id}",
    location_path="/subscriptions/{subscription}/providers/Microsoft.Monitor/locations/{location}"
    "/locationOperationResults/{id}",
    location_done="no content",
    retry_after_s=15,
    retry_after_at_end=True,
)


@provider.put(ACCOUNT)
async def azure_monitor_workspaces_create_or_update(call: Call) -> Response:
    """AzureMonitorWorkspaces_CreateOrUpdate: 200 once it is done, some 10 s later; no polling.

    Makes the group `MA_{name}_{region}_managed` with an endpoint and a rule of the workspace's name; a deny
    assignment protects it.

    REST: https://learn.microsoft.com/rest/api/monitor/azure-monitor-workspaces/create-or-update
    """
    sandbox, name, live = call.sandbox, call.names["account"], call.live
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,42}[A-Za-z0-9])?", name):
        text = f"The workspace name '{name}' is invalid: letters, digits and '-', with no '-' at either end."
        raise ArmError(400, "InvalidResourceName", text, target="name")
    if find_region(call.body["location"]) is None:
        text = (
            f"The provided location '{call.body['location']}' is not available for resource type "
            "'Microsoft.Monitor/accounts'. List of available regions for the resource type is "
            f"'{','.join(regions())}'."
        )
        raise ArmError(400, "LocationNotAvailableForResourceType", text)
    if live is not None:
        if not live.settled:
            raise ArmError(409, "Conflict", f"The workspace '{name}' is {live.state}.")
        account = call.put({**call.body, "properties": {**live.properties, **_writable(call)}})
        return Response(200, account)
    account = call.put({**call.body, "properties": {**_writable(call), "provisioningState": "Creating"}})
    await sandbox.clock.sleep(call.seconds("monitor_workspace_create"))
    if sandbox.store.get(account.id) is not account:
        raise ArmError(409, "Conflict", f"The workspace '{name}' was deleted while it was being created.")
    _complete(account, sandbox)
    return Response(200, account)


def _writable(call: Call) -> Json:
    """What a client may set; everything else in `properties` is the service's."""
    access = as_written({"properties": call.properties}, WORDS)["properties"].get("publicNetworkAccess")
    return {"publicNetworkAccess": access} if access else {}


def _complete(account: Resource, sandbox: Sandbox) -> None:
    location = region_name(account.location)
    group_id = f"{sandbox.subscription}/resourceGroups/MA_{account.name}_{location}_managed"
    group = make_group(sandbox, group_id, location, managedBy=account.id)
    group.notes["deny_assignment"] = f"System deny assignment created by {account.id}"
    endpoint = make_endpoint(
        sandbox, f"{group_id}/providers/Microsoft.Insights/dataCollectionEndpoints/{account.name}", location
    )
    rule = make_rule(
        sandbox,
        f"{group_id}/providers/Microsoft.Insights/dataCollectionRules/{account.name}",
        location,
        {
            "dataCollectionEndpointId": endpoint.id,
            "dataSources": {
                "prometheusForwarder": [
                    {
                        "name": "PrometheusDataSource",
                        "streams": ["Microsoft-PrometheusMetrics"],
                        "labelIncludeFilter": {},
                    }
                ]
            },
            "destinations": {
                "monitoringAccounts": [{"accountResourceId": account.id, "name": "MonitoringAccount1"}]
            },
            "dataFlows": [
                {"streams": ["Microsoft-PrometheusMetrics"], "destinations": ["MonitoringAccount1"]}
            ],
        },
    )
    account.notes["managed_group"] = group.id
    host = f"{account.name}-{sandbox.rng('query endpoint', account.id).getrandbits(16):04x}"
    account.properties.update(
        {
            "accountId": str(sandbox.uuid("monitor account", account.id)),
            "metrics": {
                "prometheusQueryEndpoint": f"https://{host}.{location}.prometheus.monitor.azure.com",
                "internalId": f"mac_{sandbox.uuid('monitor internal', account.id)}",
            },
            "publicNetworkAccess": account.properties.get("publicNetworkAccess", "Enabled"),
            "defaultIngestionSettings": {
                "dataCollectionRuleResourceId": rule.id,
                "dataCollectionEndpointResourceId": endpoint.id,
            },
            "provisioningState": "Succeeded",
        }
    )
    sandbox.store.touch(account)


@provider.patch(ACCOUNT)
def azure_monitor_workspaces_update(call: Call) -> Response:
    """AzureMonitorWorkspaces_Update: tags."""
    live = call.found()
    live.body["tags"] = call.body.get("tags", live.body.get("tags"))
    call.sandbox.store.touch(live)
    return Response(200, live)


@provider.delete(ACCOUNT)
def azure_monitor_workspaces_delete(call: Call) -> Response:
    """AzureMonitorWorkspaces_Delete: 202; at the end its managed group is gone too; 204 when there is none.

    REST: https://learn.microsoft.com/rest/api/monitor/azure-monitor-workspaces/delete
    """
    if call.live is not None and not call.live.settled and call.live.state != "Deleting":
        raise ArmError(409, "Conflict", f"The workspace '{call.live.name}' is {call.live.state}.")
    return call.begin_delete(duration="monitor_workspace_delete", polling=DELETE)


@provider.removed("accounts")
def _account_removed(account: Resource, sandbox: Sandbox) -> None:
    group = sandbox.store.get(account.notes.get("managed_group", "/none"))
    if group is not None:
        sandbox.remove(group)
