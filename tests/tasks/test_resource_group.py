"""Guide: "Create a resource group" - and the state that lives in its tags."""

import pytest

from aks_postgres.arm.errors import NotEffectiveYet, NotOurs
from aks_postgres.tasks.resource_group import mark_generation

from .conftest import world_with
from .world import LONG_S, World, lasting, put_at

API = "2024-11-01"
PATCH = "ResourceGroups_Update"


async def mark(world: World, state: str) -> object:
    world.mark()
    return await mark_generation.fn(world.spec, world.place, state)


async def test_marking_a_generation_changes_its_state_and_nothing_else(world: World) -> None:
    made = await world.run("resource_group")
    before = world.change(made.id, API, {"tags.cost-center": "42"})
    marked = await mark(world, "current")
    (write,) = world.writes()
    assert (write["operation"], list(write["body"])) == (PATCH, ["tags"])
    assert [str(one) for one in marked.change.fields] == ["tags.aks-postgres-state: building -> current"]
    put_at(before, "tags.aks-postgres-state", "current")
    assert lasting(world.read(made.id, API)) == lasting(before)
    again = await mark(world, "current")
    assert (world.writes(), again.change.kind) == ([], "unchanged")


async def test_a_group_that_azure_doesnt_show_for_a_moment_keeps_its_tags_when_it_is_marked(
    world: World,
) -> None:
    made = await world.run("resource_group")
    before = world.read(made.id, API)
    not_found = {"status": 404, "code": "ResourceGroupNotFound", "message": "It could not be found."}
    world.azure.fault(not_found, operation="ResourceGroups_Get", times=2)
    await mark(world, "current")
    put_at(before, "tags.aks-postgres-state", "current")
    assert lasting(world.read(made.id, API)) == lasting(before)


async def test_a_group_that_is_gone_isnt_made_to_be_marked(world: World) -> None:
    with pytest.raises(NotEffectiveYet, match="isn't there, and this step never makes it") as failed:
        await mark(world, "current")
    assert f"resource group {world.place.names.resource_group}" in str(failed.value)
    assert "Run again" in str(failed.value)
    assert world.writes() == []


async def test_a_group_adopted_by_name_gets_our_tags_and_keeps_its_own(world: World) -> None:
    name = world.place.names.resource_group
    group = world.place.group_id(name)
    world.write(group, API, {"location": "canadacentral", "tags": {"cost-center": "42"}})
    with pytest.raises(NotOurs):
        await world.run("resource_group")
    adopting = world_with(world, adopt=name)
    made = await adopting.run("resource_group")
    found = world.read(group, API)["tags"]
    assert made.change.kind == "updated"
    assert (found["cost-center"], found["managed-by"]) == ("42", "aks-postgres")
    assert (found["aks-postgres-generation"], found["aks-postgres-state"]) == ("1", "building")


async def test_another_environments_group_isnt_ours(world: World) -> None:
    name = world.place.names.resource_group
    theirs = {"managed-by": "aks-postgres", "aks-postgres-environment": "other-canadacentral"}
    world.write(world.place.group_id(name), API, {"location": "canadacentral", "tags": theirs})
    with pytest.raises(NotOurs, match="without this environment's tags"):
        await world.run("resource_group")
    assert world.writes() == []


async def test_tags_that_differ_by_case_only_are_ours(world: World) -> None:
    """Tag names don't differ by case: https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources"""
    made = await world.run("resource_group")
    found = world.read(made.id, API)["tags"]
    shouted = {name.upper(): value for name, value in found.items()}
    world.write(made.id, API, {"location": "canadacentral", "tags": shouted})
    again = await world.run("resource_group")
    assert (world.writes(), again.change.kind) == ([], "unchanged")


async def test_a_group_being_deleted_is_waited_for_and_made_anew(world: World) -> None:
    """409 ResourceGroupBeingDeleted: https://github.com/Azure/azure-cli/issues/21121"""
    made = await world.run("resource_group")
    world.azure.settings(durations={"resource_group_delete": LONG_S})
    assert world.azure.arm("DELETE", made.id, api_version=API).status_code == 202
    waits = world.until_over()
    again = await world.run("resource_group")
    assert "is Deleting" in waits[0]
    assert again.change.kind == "created"
    assert [write["status"] for write in world.writes()] == [201]


async def test_a_group_whose_deletion_begins_before_our_write_is_made_anew_too(world: World) -> None:
    made = await world.run("resource_group")
    world.change(made.id, API, {"tags.owner": "somebody"})

    def somebody_deletes() -> None:
        world.azure.settings(durations={"resource_group_delete": LONG_S})
        assert world.azure.arm("DELETE", made.id, api_version=API).status_code == 202
        world.until_over()
        world.azure.step(LONG_S / 2)

    again = await world.run_while("resource_group", somebody_deletes, operation=PATCH)
    writes = [(write["method"], write["status"]) for write in world.writes()]
    assert [one for one in writes if one[0] != "DELETE"] == [("PATCH", 409), ("PUT", 201)]
    assert again.change.kind in ("created", "updated")


async def test_the_backup_group_outlives_generations(world: World) -> None:
    first = await world.run("backup_group")
    later = type(world.place.names).of(world.spec, world.azure.subscription_id, 2)
    world.place = world.place.model_copy(update={"names": later, "generation": 2})
    world.made.clear()
    second = await world.run("backup_group")
    assert second.id == first.id
    assert second.change.kind == "unchanged"
