"""What is deleted or overwritten among the backups can be brought back."""

from typing import Any

import pytest

from aks_postgres.resources.blob_service import desired
from aks_postgres.spec.environment import EnvironmentSpec

from .conftest import world_with
from .world import World

Json = dict[str, Any]

API = "2025-08-01"
WRITE = "BlobServices_SetServiceProperties"
POLICIES = ("deleteRetentionPolicy", "containerDeleteRetentionPolicy")


def service(world: World) -> str:
    return f"{world.made['storage_account'].id}/blobServices/default"


def other(**properties: Any) -> Json:
    days = {"enabled": True, "days": 14}
    return {"properties": dict.fromkeys(POLICIES, days) | {"isVersioningEnabled": True} | properties}


async def test_a_new_account_keeps_what_is_deleted_for_two_weeks(world: World) -> None:
    world.made["storage_account"] = await world.run("storage_account")
    world.writes()
    made = await world.run("backup_protection")
    assert made.change.kind == "updated"
    assert [write["operation"] for write in world.writes()] == [WRITE]
    live = world.read(service(world), API)["properties"]
    assert live["isVersioningEnabled"] is True
    for name in POLICIES:
        assert (live[name]["enabled"], live[name]["days"]) == (True, 14)
    again = await world.run("backup_protection")
    assert again.change.kind == "unchanged"
    assert len(world.writes()) == 0


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"isVersioningEnabled": False}, "properties.isVersioningEnabled"),
        ({"deleteRetentionPolicy": {"enabled": False}}, "properties.deleteRetentionPolicy.enabled"),
        ({"deleteRetentionPolicy": {"enabled": True, "days": 7}}, "properties.deleteRetentionPolicy.days"),
        (
            {"containerDeleteRetentionPolicy": {"enabled": False}},
            "properties.containerDeleteRetentionPolicy.enabled",
        ),
        (
            {"containerDeleteRetentionPolicy": {"enabled": True, "days": 7}},
            "properties.containerDeleteRetentionPolicy.days",
        ),
    ],
)
async def test_less_protection_is_drift_and_the_rest_stays(
    world: World, properties: Json, field: str
) -> None:
    await world.prepare("backup_protection")
    rules = {"corsRules": [{"allowedOrigins": ["*"]}]}
    world.write(service(world), API, other(cors=rules, changeFeed={"enabled": True}, **properties))
    made = await world.run("backup_protection")
    assert field in [one.field for one in made.change.fields]
    live = world.read(service(world), API)["properties"]
    assert (live["cors"], live["changeFeed"]) == (rules, {"enabled": True})
    assert live["isVersioningEnabled"] is True
    assert all(live[name]["enabled"] and live[name]["days"] == 14 for name in POLICIES)


async def test_a_longer_retention_stays(world: World) -> None:
    await world.prepare("backup_protection")
    longer = {name: {"enabled": True, "days": 90} for name in POLICIES}
    world.write(service(world), API, other(**longer))
    assert (await world.run("backup_protection")).change.kind == "unchanged"


async def test_the_spec_says_how_long(world: World) -> None:
    await world.prepare("backup_protection")
    month = world_with(world, storage={"soft_delete_days": 30})
    await month.run("backup_protection")
    live = world.read(service(world), API)["properties"]
    assert [live[name]["days"] for name in POLICIES] == [30, 30]


@pytest.mark.parametrize("days", [0, -1, 366, "soon", None])
def test_days_that_azure_doesnt_take_are_refused_by_the_spec(days: object) -> None:
    with pytest.raises(ValueError, match="soft_delete_days"):
        EnvironmentSpec.model_validate({"storage": {"soft_delete_days": days}})


@pytest.mark.parametrize("odd", [None, 7, [], {"enabled": True}, {"enabled": True, "days": "90"}])
def test_an_odd_retention_counts_as_none(odd: object) -> None:
    body = desired(EnvironmentSpec(), {"properties": {"deleteRetentionPolicy": odd}})
    assert body["properties"]["deleteRetentionPolicy"] == {"enabled": True, "days": 14}
