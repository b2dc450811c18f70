"""Guide: "Set up monitoring" - Managed Grafana and its link to the metrics. Its roles are in `test_roles`."""

import inspect
import re

import pytest
from azure.mgmt.dashboard.models import ManagedGrafanaProperties, ProvisioningState

from aks_postgres.arm.errors import AzureRefused

from .conftest import world_with
from .world import LONG_S, Json, World, at

API = "2025-08-01"
PATCH = "Grafana_Update"
LINKS = "properties.grafanaIntegrations.azureMonitorWorkspaceIntegrations"


def linked(world: World) -> list[str]:
    live = world.read(world.made["grafana"].id, API)
    return [link["azureMonitorWorkspaceResourceId"] for link in at(live, LINKS)]


def link(*ids: str) -> list[Json]:
    return [{"azureMonitorWorkspaceResourceId": one} for one in ids]


async def test_the_workspace_is_linked_by_one_patch(world: World) -> None:
    made = await world.run("grafana_link")
    workspace = world.made["monitor_workspace"].id
    (write,) = world.writes()
    assert (write["method"], write["operation"]) == ("PATCH", PATCH)
    assert write["body"] == {
        "properties": {"grafanaIntegrations": {"azureMonitorWorkspaceIntegrations": link(workspace)}}
    }
    assert [(one.field, one.old, one.new) for one in made.change.fields] == [(LINKS, [], [workspace])]
    assert linked(world) == [workspace]


async def test_a_patch_that_takes_time_is_waited_for(world: World) -> None:
    """Two of nine recorded ones are 202 and polled; the rest are done at once, as in every other test here."""
    world.azure.settings(grafana_patch_takes_time=True)
    made = await world.run("grafana_link")
    assert (made.change.kind, [one["status"] for one in world.writes()]) == ("updated", [202])
    assert linked(world) == [world.made["monitor_workspace"].id]


async def test_other_peoples_links_stay(world: World) -> None:
    """The list is taken as a whole: https://learn.microsoft.com/rest/api/managed-grafana/grafana/update"""
    await world.prepare("grafana", "monitor_workspace")
    theirs = f"{world.azure.subscription}/resourceGroups/rg-other/providers/Microsoft.Monitor/accounts/other"
    grafana = world.made["grafana"].id
    world.change(grafana, API, {LINKS: link(theirs), "properties.apiKey": "Enabled", "tags.their": "tag"})
    before = world.read(grafana, API)
    await world.run("grafana_link")
    assert linked(world) == [theirs, world.made["monitor_workspace"].id]
    after = world.read(grafana, API)
    assert (after["tags"], after["properties"]["apiKey"]) == (before["tags"], "Enabled")


async def test_a_link_in_another_spelling_is_the_same_link(world: World) -> None:
    """ARM's IDs don't differ by case, and az writes this one in lower case."""
    await world.prepare("grafana", "monitor_workspace")
    workspace = world.made["monitor_workspace"].id.lower()
    world.change(world.made["grafana"].id, API, {LINKS: link(workspace)})
    made = await world.run("grafana_link")
    assert (world.writes(), made.change.kind) == ([], "unchanged")


async def test_a_removed_link_comes_back(world: World) -> None:
    await world.run("grafana_link")
    world.change(world.made["grafana"].id, API, {LINKS: []})
    again = await world.run("grafana_link")
    assert (len(world.writes()), again.change.kind) == (1, "updated")


async def test_a_linked_instance_keeps_its_link_when_something_else_drifts(world: World) -> None:
    await world.run("grafana_link")
    world.change(world.made["grafana"].id, API, {"properties.apiKey": "Enabled"})
    await world.run("grafana")
    assert linked(world) == [world.made["monitor_workspace"].id]


async def test_an_instance_that_is_being_updated_is_waited_for(world: World) -> None:
    await world.prepare("grafana", "monitor_workspace")
    grafana = world.made["grafana"].id
    world.azure.settings(durations={"grafana_update": LONG_S})
    world.begin_write(grafana, API, world.read(grafana, API))
    world.azure.settings(durations={"grafana_update": 5})
    waits = world.until_over()
    await world.run("grafana_link")
    assert "is Accepted" in waits[0]
    assert len(world.writes()) == 1
    assert len(linked(world)) == 1


async def test_a_lost_answer_is_looked_up(world: World) -> None:
    await world.prepare("grafana", "monitor_workspace")
    world.azure.fault({"cut": "after"}, operation=PATCH)
    made = await world.run("grafana_link")
    assert len(world.writes()) == 1
    assert made.change.kind == "updated"


async def test_an_update_that_was_canceled_is_sent_again_though_the_link_is_there(world: World) -> None:
    world.azure.settings(grafana_patch_takes_time=True)
    await world.prepare("grafana", "monitor_workspace")
    world.azure.fault({"operation_canceled": True}, operation=PATCH)
    made = await world.run("grafana_link")
    assert (len(world.writes()), made.change.kind) == (2, "updated")
    live = world.read(world.made["grafana"].id, API)
    assert at(live, "properties.provisioningState") == "Succeeded"
    assert linked(world) == [world.made["monitor_workspace"].id]


async def test_a_refusal_is_told_and_not_retried(world: World) -> None:
    await world.prepare("grafana", "monitor_workspace")
    world.azure.fault({"status": 403, "code": "AuthorizationFailed"}, operation=PATCH, times=9)
    with pytest.raises(AzureRefused, match="AuthorizationFailed"):
        await world.run("grafana_link")
    assert len(world.writes()) == 1


async def test_a_region_without_zone_redundancy_says_what_to_set(world: World) -> None:
    """https://github.com/MicrosoftDocs/azure-docs/pull/128186"""
    other = world_with(world, region="westus2")
    with pytest.raises(AzureRefused, match=r"monitoring\.grafana_zone_redundancy to false") as refused:
        await other.run("grafana")
    assert refused.value.code == "ZoneRedundancyNotSupported"
    without = world_with(world, region="westus2", monitoring={"grafana_zone_redundancy": False})
    made = await without.run("grafana")
    assert made.change.kind == "created"


async def test_the_endpoint_and_its_own_identity_are_reported(world: World) -> None:
    made = await world.run("grafana")
    live = world.read(made.id, API)
    assert made.endpoint == live["properties"]["endpoint"]
    assert made.principal_id == live["identity"]["principalId"]


async def test_an_instance_that_somebody_closed_to_the_internet_is_opened_again(world: World) -> None:
    made = await world.run("grafana")
    world.change(made.id, API, {"properties.publicNetworkAccess": "Disabled"})
    again = await world.run("grafana")
    assert [str(field) for field in again.change.fields] == [
        "properties.publicNetworkAccess: Disabled -> Enabled"
    ]
    assert world.read(made.id, API)["properties"]["publicNetworkAccess"] == "Enabled"


def test_azure_knows_no_instance_that_is_off() -> None:
    """Once it does, by a state or a status beside it, that has to be looked at as a stopped cluster's is."""
    assert {state.value for state in ProvisioningState} == {
        "Accepted",
        "Creating",
        "Updating",
        "Deleting",
        "Succeeded",
        "Failed",
        "Canceled",
        "Deleted",
        "NotSpecified",
    }
    told = inspect.getdoc(ManagedGrafanaProperties) or ""
    names = set(re.findall(r"^:ivar (\w+):", told, re.MULTILINE))
    assert {name for name in names if re.search("state|status|power|enabled", name)} == {"provisioning_state"}
