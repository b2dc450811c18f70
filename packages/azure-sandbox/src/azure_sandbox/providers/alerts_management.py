"""Microsoft.AlertsManagement: Prometheus rule groups, and the templates recommended for a workspace.

Left out: alerts, smart groups, processing rules; rules are stored, not evaluated.

https://learn.microsoft.com/azure/azure-monitor/metrics/prometheus-rule-groups
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from azure_sandbox.core.provider import Provider
from azure_sandbox.core.responses import ArmError, Response

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call

Json = dict[str, Any]

provider = Provider("Microsoft.AlertsManagement")

GROUP = "prometheusRuleGroups/{group}"
SHAPE = {
    "properties": {
        "scopes": [str],
        "rules": [{"record": str, "alert": str, "expression": str}],
        "enabled": bool,
        "interval": str,
    }
}
DATA = Path(__file__).parent.parent / "data"

provider.type(
    "prometheusRuleGroups",
    api_versions=("2021-07-22-preview", "2023-03-01", "2025-01-01-preview"),
    group_delete_rank=1,
)
provider.type(
    "alertRuleRecommendations", api_versions=("2023-01-01-preview", "2023-08-01-preview"), tracked=False
)
provider.standard(
    GROUP,
    get="PrometheusRuleGroups_Get",
    list_in_group="PrometheusRuleGroups_ListByResourceGroup",
    list_in_subscription="PrometheusRuleGroups_ListBySubscription",
)


@provider.put(GROUP)
def prometheus_rule_groups_create_or_update(call: Call) -> Response:
    """PrometheusRuleGroups_CreateOrUpdate: 200, new or known, at once, as azure-cli recorded it.

    REST: https://learn.microsoft.com/rest/api/monitor/prometheus-rule-groups/create-or-update
    """
    call.check_shape(SHAPE)
    scopes, rules = call.require("properties", "scopes"), call.require("properties", "rules")
    if len(call.names["group"]) > 260:
        raise ArmError(
            400, "BadRequest", "The name of a rule group has at most 260 characters.", target="name"
        )
    workspaces = [scope for scope in scopes if "/microsoft.monitor/accounts/" in str(scope).lower()]
    if not workspaces or call.sandbox.store.get(workspaces[0]) is None:
        text = f"The scopes {scopes} don't name an Azure Monitor workspace that exists."
        raise ArmError(400, "BadRequest", text, target="properties.scopes")
    for position, rule in enumerate(rules):
        if not rule.get("expression") or bool(rule.get("record")) == bool(rule.get("alert")):
            text = "A rule needs an expression, and either record or alert."
            raise ArmError(400, "BadRequest", text, target=f"properties.rules[{position}]")
    return Response(200, call.put(enabled=True, interval="PT1M"))


@provider.patch(GROUP)
def prometheus_rule_groups_update(call: Call) -> Response:
    """PrometheusRuleGroups_Update: tags, and whether it is enabled."""
    return Response(200, call.merge())


@provider.delete(GROUP)
def prometheus_rule_groups_delete(call: Call) -> Response:
    """PrometheusRuleGroups_Delete: 200, 204 when there is none."""
    return call.delete_now()


@provider.list("alertRuleRecommendations", scope="any")
def alert_rule_recommendations_list_by_resource(call: Call) -> Response:
    """AlertRuleRecommendations_ListByResource: templates for an Azure Monitor workspace.

    Recording rules and, as in Azure, alert rules between them, which clients must leave out. For other
    resources nothing is known: 501.
    """
    target = call.sandbox.store.get(call.scope)
    if target is None:
        raise call.not_found()
    if target.type.lower() != "microsoft.monitor/accounts":
        text = f"Recommendations for {target.type} aren't emulated: azure_sandbox/providers/alerts_management.py."
        raise ArmError(501, "NotImplemented", text)
    value = [_recommendation(entry, target.id) for entry in _templates()]
    return Response(200, {"value": value})


def _recommendation(entry: Json, scope: str) -> Json:
    return {
        "id": f"{scope}/providers/Microsoft.AlertsManagement/alertRuleRecommendations/{entry['name']}",
        "name": entry["name"],
        "type": "Microsoft.AlertsManagement/alertRuleRecommendations",
        "properties": {
            "alertRuleType": "Microsoft.AlertsManagement/prometheusRuleGroups",
            "displayInformation": {"displayName": entry["name"]},
            "rulesArmTemplate": {
                "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
                "contentVersion": "1.0.0.0",
                "parameters": {},
                "resources": [
                    {
                        "name": entry["name"],
                        "type": "Microsoft.AlertsManagement/prometheusRuleGroups",
                        "apiVersion": "2023-03-01",
                        "location": "[parameters('location')]",
                        "properties": {"interval": "PT1M", "rules": entry["rules"]},
                    }
                ],
            },
        },
    }


@functools.cache
def _templates() -> list[Json]:
    table: Json = yaml.safe_load((DATA / "alert_rule_recommendations.yaml").read_text())
    templates: list[Json] = table["templates"]
    return templates
