"""Guide: "Set up monitoring" - what the two workspaces have of their own."""

import pytest

from aks_postgres.arm.errors import AzureRefused

from .resources import log_workspace
from .world import World

API = "2025-02-01"


async def test_nothing_is_written_in_the_group_that_azure_manages(world: World) -> None:
    await world.run("monitor_workspace")
    await world.run("metrics_rule")
    assert not [entry for entry in world.azure.ledger() if "/MA_" in entry["path"]]


async def test_a_name_held_by_a_deleted_workspace_elsewhere_is_refused(world: World) -> None:
    """https://github.com/Azure/azure-quickstart-templates/issues/5284"""
    await world.prepare("resource_group", "backup_group")
    names = world.place.names
    elsewhere = world.place.resource_id(
        "Microsoft.OperationalInsights/workspaces", names.log_workspace, names.backup_group
    )
    world.write(elsewhere, API, log_workspace(world))
    assert world.azure.arm("DELETE", elsewhere, api_version=API).status_code == 200
    with pytest.raises(AzureRefused, match="held by a soft-deleted resource elsewhere"):
        await world.run("log_workspace")
    assert [write["status"] for write in world.writes()] == [409]


async def test_endpoints_and_regions_are_reported(world: World) -> None:
    metrics, logs = await world.run("monitor_workspace"), await world.run("log_workspace")
    live = world.read(metrics.id, "2023-04-03")
    assert metrics.query_endpoint == live["properties"]["metrics"]["prometheusQueryEndpoint"]
    assert (metrics.location, logs.location) == ("canadacentral", "canadacentral")
