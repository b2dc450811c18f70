"""Microsoft.Insights beside data collection: action groups and diagnostic settings, which others put there.

Alerts of an organization bring action groups into a resource group, and its policies a diagnostic setting to each
resource. A diagnostic setting is no tracked resource: lists of resources don't show it. Left out: notifications of
action groups, and what a setting sends.

https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups,
https://learn.microsoft.com/azure/azure-monitor/platform/diagnostic-settings
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.providers.insights import provider as insights

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call

Json = dict[str, Any]

ACTION_GROUP = "actionGroups/{group}"
SETTING = "diagnosticSettings/{setting}"
GROUP_SHAPE = {"properties": {"groupShortName": str, "enabled": bool}}
SETTING_SHAPE = {
    "properties": {"workspaceId": str, "storageAccountId": str, "logs": [dict], "metrics": [dict]}
}
# A setting needs one of these: where to.
DESTINATIONS = (
    "workspaceId",
    "storageAccountId",
    "eventHubAuthorizationRuleId",
    "marketplacePartnerId",
)

insights.type("actionGroups", api_versions=("2021-09-01", "2022-06-01", "2023-01-01", "2024-10-01-preview"))
insights.type("diagnosticSettings", api_versions=("2017-05-01-preview", "2021-05-01-preview"), tracked=False)
insights.standard(
    ACTION_GROUP,
    get="ActionGroups_Get",
    list_in_group="ActionGroups_ListByResourceGroup",
    list_in_subscription="ActionGroups_ListBySubscriptionId",
)


@insights.put(ACTION_GROUP)
def action_groups_create_or_update(call: Call) -> Response:
    """ActionGroups_CreateOrUpdate: 201 new, 200 known, at once.

    REST: https://learn.microsoft.com/rest/api/monitor/action-groups/create-or-update
    """
    call.check_shape(GROUP_SHAPE)
    short = call.require("properties", "groupShortName")
    if len(short) > 12:
        raise ArmError(400, "BadRequest", "The groupShortName has at most 12 characters.")
    new = call.live is None
    return Response(201 if new else 200, call.put(enabled=True))


@insights.delete(ACTION_GROUP)
def action_groups_delete(call: Call) -> Response:
    """ActionGroups_Delete: 200, 204 when there is none."""
    return call.delete_now()


@insights.put(SETTING, scope="any")
def diagnostic_settings_create_or_update(call: Call) -> Response:
    """DiagnosticSettings_CreateOrUpdate: 200 at once; needs a destination.

    REST: https://learn.microsoft.com/rest/api/monitor/diagnostic-settings/create-or-update
    """
    call.check_shape(SETTING_SHAPE)
    if call.sandbox.store.get(call.scope) is None:
        raise call.not_found()
    if not any(call.properties.get(name) for name in DESTINATIONS):
        text = "A diagnostic setting needs a destination: " + ", ".join(DESTINATIONS) + "."
        raise ArmError(400, "BadRequest", text)
    return Response(200, call.put())


@insights.get(SETTING, scope="any")
def diagnostic_settings_get(call: Call) -> Response:
    """DiagnosticSettings_Get: one of a resource's settings."""
    return Response(200, call.found())


@insights.list("diagnosticSettings", scope="any")
def diagnostic_settings_list(call: Call) -> Response:
    """DiagnosticSettings_List: those of a resource."""
    kind = "Microsoft.Insights/diagnosticSettings"
    found = call.sandbox.store.under(f"{call.scope}/providers/{kind}", kind)
    return Response(200, {"value": [item.body for item in found]})


@insights.delete(SETTING, scope="any")
def diagnostic_settings_delete(call: Call) -> Response:
    """DiagnosticSettings_Delete: 200, 204 when there is none."""
    return call.delete_now()
