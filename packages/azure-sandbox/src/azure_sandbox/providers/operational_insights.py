"""Microsoft.OperationalInsights: Log Analytics workspaces and what is left of deleted ones.

Left out: tables, saved searches, linked services, queries, failover, clusters.

Shape (201 Creating, at 2023-09-01 with a Location, otherwise without poll headers: clients read the resource):
https://github.com/Azure/azure-cli (monitor recording test_monitor_log_analytics_workspace_recover.yaml)
"""

from __future__ import annotations

import base64
import re
import secrets
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.operations import Operation, Polling
from azure_sandbox.core.provider import Provider
from azure_sandbox.core.regions import find_region, region_name, regions
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.core.words import as_written

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

provider = Provider("Microsoft.OperationalInsights")

VERSIONS = (
    "2015-03-20",
    "2015-11-01-preview",
    "2020-08-01",
    "2020-10-01",
    "2021-06-01",
    "2021-12-01-preview",
    "2022-10-01",
    "2023-09-01",
    "2025-02-01",
    "2025-07-01",
)
TYPE = "Microsoft.OperationalInsights/workspaces"
WORKSPACE = "workspaces/{workspace}"

provider.type(
    "workspaces", api_versions=VERSIONS, delete_duration="log_workspace_delete", group_delete_rank=1
)
provider.type("deletedWorkspaces", api_versions=VERSIONS, tracked=False)
for _name in ("intelligencePacks", "managementGroups", "usages"):
    provider.type(f"workspaces/{_name}", api_versions=VERSIONS, tracked=False)
provider.standard(
    WORKSPACE,
    get="Workspaces_Get",
    list_in_group="Workspaces_ListByResourceGroup",
    list_in_subscription="Workspaces_List",
)

_SWITCH = ("Enabled", "Disabled")
# https://learn.microsoft.com/rest/api/loganalytics/workspaces/create-or-update
WORDS = {
    "properties.publicNetworkAccessForIngestion": _SWITCH,
    "properties.publicNetworkAccessForQuery": _SWITCH,
    "properties.sku.name": (
        "Free",
        "Standard",
        "Premium",
        "PerNode",
        "PerGB2018",
        "Standalone",
        "CapacityReservation",
        "LACluster",
    ),
}

# No header at all: the provisioning state of the resource is what clients poll.
BODY = Polling()
# At one version a new workspace's answer has a Location; the URL's form is that of the documented status documents:
# https://learn.microsoft.com/azure/azure-monitor/logs/logs-dedicated-clusters
LOCATION = Polling(
    location_path="/subscriptions/{subscription}/providers/Microsoft.OperationalInsights/locations/{location}"
    "/operationStatuses/{id}"
)
LOCATION_VERSION = "2023-09-01"


@provider.put(WORKSPACE)
def workspaces_create_or_update(call: Call) -> Response:
    """Workspaces_CreateOrUpdate: 201 Creating for a new one, 200 for a known one; a Location at 2023-09-01 only.

    A name that is soft-deleted comes back with its data when subscription, group and region are the same,
    else 409.

    REST: https://learn.microsoft.com/rest/api/loganalytics/workspaces/create-or-update
    """
    call.check_shape({"properties": {"sku": {"name": str}, "retentionInDays": int}})
    call.body = as_written(call.body, WORDS)
    name, live = call.names["workspace"], call.live
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]", name):
        text = (
            f"'{name}' is not a valid workspace name: 4 to 63 letters, digits and '-', with a letter or "
            "digit at both ends."
        )
        raise ArmError(400, "InvalidParameter", text, target="name")
    if find_region(call.body["location"]) is None:
        text = (
            f"The provided location '{call.body['location']}' is not available for resource type '{TYPE}'. "
            f"List of available regions for the resource type is '{','.join(regions())}'."
        )
        raise ArmError(400, "LocationNotAvailableForResourceType", text)
    if live is not None and not live.settled:
        text = f"The workspace '{name}' is {live.state}: another operation is in progress."
        raise ArmError(409, "Conflict", text)
    deleted = None if live is not None else _soft_deleted(call, name)
    workspace = call.put({**call.body, "properties": _properties(call, deleted)})
    if live is not None and live.state == "Succeeded":
        return Response(200, workspace)
    workspace.notes["keys"] = [base64.b64encode(secrets.token_bytes(64)).decode() for _ in range(2)]

    def effect(_operation: Operation) -> None:
        # The tables of a fresh workspace lag behind it; a rule that names them is refused until then.
        delay_s = 0.0 if deleted else call.seconds("log_workspace_tables_ready", workspace.id)
        workspace.notes["tables_ready_s"] = call.sandbox.clock.now_s() + delay_s

    polling = LOCATION if call.api_version == LOCATION_VERSION else BODY
    return call.begin(workspace, duration="log_workspace_create", polling=polling, effect=effect)


def _properties(call: Call, deleted: Json | None) -> Json:
    now = call.sandbox.clock.iso()
    live = call.live.properties if call.live is not None else {}
    known = live or (deleted or {}).get("properties", {})
    sent = {key: value for key, value in call.properties.items() if value is not None}
    sku = {"name": "PerGB2018", "lastSkuUpdate": now, **(known.get("sku") or {}), **(sent.get("sku") or {})}
    return {
        "retentionInDays": 30,
        "features": {"enableLogAccessUsingOnlyResourcePermissions": True, "legacy": 0, "searchVersion": 1},
        "workspaceCapping": {
            "dailyQuotaGb": -1.0,
            "quotaNextResetTime": now,
            "dataIngestionStatus": "RespectQuota",
        },
        "publicNetworkAccessForIngestion": "Enabled",
        "publicNetworkAccessForQuery": "Enabled",
        **known,
        **sent,
        "sku": sku,
        "source": "Azure",
        "customerId": known.get("customerId") or str(call.sandbox.uuid("customer", call.id)),
        "createdDate": known.get("createdDate", now),
        "modifiedDate": now,
        "provisioningState": live.get("provisioningState", "Succeeded"),
    }


def _soft_deleted(call: Call, name: str) -> Json | None:
    """The deleted workspace that a PUT brings back; 409 when the name is held by one of another place.

    https://learn.microsoft.com/azure/azure-monitor/logs/delete-workspace
    """
    held = deleted_workspaces(call.sandbox)
    for entry in held:
        if entry["id"].lower() == call.id.lower() and entry["location"] == region_name(call.body["location"]):
            call.sandbox.state("deleted workspaces").pop(entry["id"].lower())
            return entry
    elsewhere = any(fnmatchcase(name, pattern) for pattern in call.sandbox.settings["held_workspace_names"])
    if elsewhere or any(entry["name"].lower() == name.lower() for entry in held):
        text = f"The workspace name '{name}' is not unique"
        raise ArmError(409, "Conflict", text, target="name")
    return None


def deleted_workspaces(sandbox: Sandbox) -> list[Json]:
    """The workspaces that are soft-deleted now."""
    now_s = sandbox.clock.now_s()
    entries: dict[str, Json] = sandbox.state("deleted workspaces")
    return [entry for entry in entries.values() if entry["until_s"] > now_s]


@provider.patch(WORKSPACE)
def workspaces_update(call: Call) -> Response:
    """Workspaces_Update: tags and properties, at once."""
    return Response(200, call.merge())


@provider.delete(WORKSPACE)
def workspaces_delete(call: Call) -> Response:
    """Workspaces_Delete: 200; soft-deleted for 14 days, or gone with `force=true`; 204 when none.

    REST: https://learn.microsoft.com/rest/api/loganalytics/workspaces/delete
    """
    if call.live is None:
        return Response(204)
    call.live.notes["purge"] = call.query.get("force", "").lower() == "true"
    call.sandbox.remove(call.live)
    return Response(200, latency_s=call.seconds("log_workspace_delete"))


@provider.removed("workspaces")
def _workspace_removed(workspace: Resource, sandbox: Sandbox) -> None:
    if workspace.notes.get("purge") or "tables_ready_s" not in workspace.notes:
        return  # Purged, or never finished.
    kept_s = sandbox.durations.seconds("log_workspace_soft_delete", workspace.id)
    sandbox.state("deleted workspaces")[workspace.id.lower()] = {
        "id": workspace.id,
        "name": workspace.name,
        "location": region_name(workspace.location),
        "until_s": sandbox.clock.now_s() + kept_s,
        "properties": workspace.properties,
        "body": workspace.body,
    }


@provider.list("deletedWorkspaces", scope="subscription")
def deleted_workspaces_list(call: Call) -> Response:
    """DeletedWorkspaces_List: the soft-deleted workspaces of the subscription.

    REST: https://learn.microsoft.com/rest/api/loganalytics/deleted-workspaces/list
    """
    return Response(200, {"value": [entry["body"] for entry in deleted_workspaces(call.sandbox)]})


@provider.list("deletedWorkspaces")
def deleted_workspaces_list_by_resource_group(call: Call) -> Response:
    """DeletedWorkspaces_ListByResourceGroup: the soft-deleted workspaces of a group."""
    prefix = call.scope.lower() + "/"
    entries = deleted_workspaces(call.sandbox)
    return Response(
        200, {"value": [entry["body"] for entry in entries if entry["id"].lower().startswith(prefix)]}
    )


@provider.post(f"{WORKSPACE}/sharedKeys")
def shared_keys_get_shared_keys(call: Call) -> Response:
    """SharedKeys_GetSharedKeys: the workspace's two keys."""
    workspace = call.parent()
    first, second = workspace.notes["keys"]
    return Response(200, {"primarySharedKey": first, "secondarySharedKey": second})


# What a client asks of a workspace beside its body (Ansible's azure.azcollection does all three).

# Those that a workspace of today lists: https://learn.microsoft.com/rest/api/loganalytics/intelligence-packs/list
PACKS = {"ContainerInsights": "Container Insights", "LogManagement": "Log Management", "Security": "Security"}
PACKS_ON = {"LogManagement"}


@provider.list(f"{WORKSPACE}/intelligencePacks")
def intelligence_packs_list(call: Call) -> Response:
    """IntelligencePacks_List: the packs there are, and which are on; a bare list.

    REST: https://learn.microsoft.com/rest/api/loganalytics/intelligence-packs/list
    """
    on = _packs_on(call.parent())
    return Response(
        200,
        [{"name": name, "displayName": shown, "enabled": name in on} for name, shown in PACKS.items()],
    )


@provider.post(f"{WORKSPACE}/intelligencePacks/{{pack}}/Enable")
def intelligence_packs_enable(call: Call) -> Response:
    """IntelligencePacks_Enable: 200."""
    return _switch_pack(call, True)


@provider.post(f"{WORKSPACE}/intelligencePacks/{{pack}}/Disable")
def intelligence_packs_disable(call: Call) -> Response:
    """IntelligencePacks_Disable: 200."""
    return _switch_pack(call, False)


def _switch_pack(call: Call, on: bool) -> Response:
    workspace = call.parent()
    known = {name.lower(): name for name in PACKS}
    name = known.get(call.names["pack"].lower())
    if name is None:  # Code and status are unverified.
        text = f"The intelligence pack '{call.names['pack']}' isn't one of {', '.join(PACKS)}."
        raise ArmError(400, "InvalidParameter", text, target="intelligencePackName")
    packs = _packs_on(workspace) - {name}
    workspace.notes["packs"] = sorted(packs | {name} if on else packs)
    return Response(200)


def _packs_on(workspace: Resource) -> set[str]:
    return set(workspace.notes.get("packs", PACKS_ON))


@provider.list(f"{WORKSPACE}/managementGroups")
def management_groups_list(call: Call) -> Response:
    """ManagementGroups_List: of System Center, none of which is connected here.

    REST: https://learn.microsoft.com/rest/api/loganalytics/management-groups/list
    """
    call.parent()
    return Response(200, {"value": []})


@provider.list(f"{WORKSPACE}/usages")
def usages_list(call: Call) -> Response:
    """Usages_List: how much was taken in; nothing is, here.

    REST: https://learn.microsoft.com/rest/api/loganalytics/usages/list
    """
    workspace = call.parent()
    usage: Json = {
        "name": {"value": "DataAnalyzed", "localizedValue": "Data Analyzed"},
        "unit": "Bytes",
        "currentValue": 0,
        "limit": -1,
        "nextResetTime": workspace.properties["workspaceCapping"]["quotaNextResetTime"],
        "quotaPeriod": "P1D",
    }
    return Response(200, {"value": [usage]})
