"""Prometheus rule groups.

https://learn.microsoft.com/rest/api/monitor/prometheus-rule-groups
"""

from __future__ import annotations

from aks_postgres.arm.kind import by_id

RECOMMENDATIONS = "/providers/microsoft.alertsManagement/alertRuleRecommendations"
KIND = by_id(
    "Microsoft.AlertsManagement/prometheusRuleGroups",
    "rule group",
    "Monitoring",
    "2023-03-01",
    plan_word="Prometheus rule group",
    step="Prometheus rule groups",
    removal="Prometheus rule groups",
    linked={"Microsoft.AlertsManagement/alertRuleRecommendations/read": "Prometheus rule groups"},
)
