"""Container insights and its two switches: the add-on `omsagent`, and `containerInsights` in the monitor profile.

AKS shows what one says in the other as well, and takes `containerInsights` when a request has both. Recorded:
https://github.com/Azure/azure-cli-extensions, aks-preview's test_aks_create_with_monitoring_legacy_auth.yaml, #27 (a
PUT with the add-on off beside `containerInsights` on, answered with the add-on on). Said:
https://github.com/Azure/azure-cli, acs/custom.py of 2.91.0, "two views of the same feature".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.providers.aks_validation import addon_of

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

WORKSPACE = "logAnalyticsWorkspaceResourceID"


def agreed(sent: Json, live: Json | None) -> Json:
    """A request's properties with the add-on as `containerInsights` has it, where that is sent.

    Args:
        sent: the properties in the request.
        live: the stored properties, None for a new cluster.
    """
    monitor = sent.get("azureMonitorProfile")
    second = monitor.get("containerInsights") if isinstance(monitor, dict) else None
    if not isinstance(second, dict):
        return sent
    addons = {
        name: profile
        for name, profile in (sent.get("addonProfiles") or {}).items()
        if name.lower() != "omsagent"
    }
    before = addon_of(sent, "omsagent") or addon_of(live or {}, "omsagent")
    if before is None and not second.get("enabled"):
        return sent
    config = {
        name: value
        for name, value in ((before or {}).get("config") or {}).items()
        if name.lower() != WORKSPACE.lower()
    }
    workspace_id = second.get("logAnalyticsWorkspaceResourceId") or _workspace(before)
    if workspace_id:
        config[WORKSPACE] = workspace_id
    addon = {**(before or {}), "enabled": bool(second.get("enabled")), "config": config}
    return {**sent, "addonProfiles": {**addons, "omsagent": addon}}


def shown_twice(sandbox: Sandbox, properties: Json) -> Json:
    """A cluster's properties with the add-on shown in `azureMonitorProfile` too.

    Whether a cluster that never had the add-on shows it as off isn't recorded: the setting
    `container_insights_shown_when_off` decides.
    """
    addon = addon_of(properties, "omsagent")
    monitor = {**(properties.get("azureMonitorProfile") or {})}
    monitor.pop("containerInsights", None)
    if addon is not None:
        monitor["containerInsights"] = {"enabled": bool(addon.get("enabled"))}
        if workspace_id := _workspace(addon):
            monitor["containerInsights"]["logAnalyticsWorkspaceResourceId"] = workspace_id
    elif sandbox.settings["container_insights_shown_when_off"]:
        monitor["containerInsights"] = {"enabled": False}
    return {**properties, "azureMonitorProfile": monitor} if monitor else properties


def _workspace(addon: Json | None) -> str | None:
    for name, value in ((addon or {}).get("config") or {}).items():
        if name.lower() == WORKSPACE.lower() and value:
            return str(value)
    return None
