"""Container insights' two views: the add-on `omsagent`, and `containerInsights` in the monitor profile."""

from typing import Any

import pytest

Json = dict[str, Any]
WORKSPACE = "logAnalyticsWorkspaceResourceID"


@pytest.fixture
def workspaces(azure):
    """The IDs of two Log Analytics workspaces."""
    base = f"/subscriptions/{azure.subscription}/resourceGroups/{azure.group}/providers"
    ids = [f"{base}/Microsoft.OperationalInsights/workspaces/ala-{name}" for name in ("one", "two")]
    for one in ids:
        body = {"location": azure.region, "properties": {"sku": {"name": "PerGB2018"}}}
        assert azure.raw("PUT", f"{one}?api-version=2025-02-01", body)[0] == 201
    azure.step(60)
    return ids


def views(properties: Json) -> tuple[Json, Json]:
    """What the add-on says, and what the monitor profile says: whether it is on, and where to."""
    addon, second = (
        properties["addonProfiles"]["omsagent"],
        properties["azureMonitorProfile"]["containerInsights"],
    )
    return (
        {"enabled": addon["enabled"], "to": addon["config"][WORKSPACE]},
        {"enabled": second["enabled"], "to": second["logAnalyticsWorkspaceResourceId"]},
    )


def live(azure) -> Json:
    return azure.raw("GET", azure.cluster_path())[1]


def test_the_profile_is_mirrored_from_the_add_on(azure, workspaces):
    """Every one of 79 GETs that azure-cli-extensions recorded at 2025-09-02-preview with the add-on has both."""
    azure.create()
    assert "containerInsights" not in (live(azure)["properties"].get("azureMonitorProfile") or {})
    body = live(azure)
    for enabled, workspace in ((True, workspaces[0]), (True, workspaces[1]), (False, workspaces[1])):
        body["properties"]["addonProfiles"] = {
            "omsagent": {"enabled": enabled, "config": {WORKSPACE: workspace}}
        }
        body["properties"].pop("azureMonitorProfile", None)
        assert azure.raw("PUT", azure.cluster_path(), body)[0] == 200
        azure.step(300)
        assert views(live(azure)["properties"]) == ({"enabled": enabled, "to": workspace},) * 2


def test_the_profile_wins_over_the_add_on_where_a_request_has_both(azure, workspaces):
    """aks-preview, test_aks_create_with_monitoring_legacy_auth.yaml #27: no error, and the add-on is still on."""
    azure.create(addonProfiles={"omsagent": {"enabled": True, "config": {WORKSPACE: workspaces[0]}}})
    body = live(azure)
    addon = body["properties"]["addonProfiles"]["omsagent"]
    addon |= {"enabled": False, "config": {WORKSPACE: workspaces[1]}}
    assert azure.raw("PUT", azure.cluster_path(), body)[0] == 200
    azure.step(300)
    assert views(live(azure)["properties"]) == ({"enabled": True, "to": workspaces[0]},) * 2

    body = live(azure)
    body["properties"]["azureMonitorProfile"]["containerInsights"]["enabled"] = False
    assert azure.raw("PUT", azure.cluster_path(), body)[0] == 200
    azure.step(300)
    assert [view["enabled"] for view in views(live(azure)["properties"])] == [False, False]
