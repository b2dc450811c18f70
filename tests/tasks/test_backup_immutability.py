"""Versions of backups that nobody can change or delete: an option, of a new container."""

from typing import Any

import pytest

from aks_postgres.errors import ImmutableChange
from aks_postgres.resources.blob_container import immutability_decision
from aks_postgres.spec.environment import EnvironmentSpec

from .conftest import world_with
from .sdk_models import MODELS, as_modelled
from .world import World

Json = dict[str, Any]

API = "2025-08-01"
DAYS = "immutabilityPeriodSinceCreationInDays"


def immutable(world: World, days: int = 30) -> World:
    return world_with(world, storage={"immutability_days": days})


async def made_for(world: World) -> str:
    """The container, with the policy as far as the spec wants one; its ID."""
    await world.prepare("storage_account")
    await world.run("backup_protection")
    world.made["container"] = await world.run("container")
    return str(world.made["container"].id)


async def test_by_default_there_is_none(world: World) -> None:
    container = world.read(await made_for(world), API)["properties"]
    assert not (container.get("immutableStorageWithVersioning") or {}).get("enabled")
    assert not container.get("hasImmutabilityPolicy")


async def test_what_protects_backups_is_said_in_fields_that_azure_has(world: World) -> None:
    world = immutable(world)
    await world.prepare("storage_account")
    for step in ("backup_protection", "backup_lifecycle", "container", "backup_immutability"):
        world.made[step] = await world.run(step)
        (sent,) = world.writes()
        assert sent["operation"] in MODELS
        assert as_modelled(sent["operation"], sent["body"]) == sent["body"]


async def test_a_new_container_gets_an_unlocked_policy_and_a_second_run_writes_nothing(world: World) -> None:
    world = immutable(world)
    container = await made_for(world)
    assert (await world.run("backup_immutability")).change.kind == "created"
    live = world.read(container, API)["properties"]
    assert live["immutableStorageWithVersioning"] == {"enabled": True}
    assert live["immutabilityPolicy"]["properties"] == {DAYS: 30, "state": "Unlocked"}
    assert (await world.run("container")).change.kind == "unchanged"
    assert (await world.run("backup_immutability")).change.kind == "unchanged"
    assert world.writes() == []


async def test_a_container_that_is_there_is_refused_with_the_ways_out(world: World) -> None:
    await made_for(world)
    other = immutable(world)
    other.mark()
    with pytest.raises(ImmutableChange, match=r"another storage\.container .* migrate-vlw") as refused:
        await other.run("container")
    assert "immutableStorageWithVersioning.enabled is False and the spec wants True" in str(refused.value)
    assert other.writes() == []
    elsewhere = world_with(world, storage={"immutability_days": 30, "container": "worm"})
    assert (await elsewhere.run("container")).change.kind == "created"
    assert (await world.run("container")).change.kind == "unchanged"


async def test_taking_the_option_out_leaves_the_policy(world: World) -> None:
    container = await made_for(immutable(world))
    await immutable(world).run("backup_immutability")
    assert (await world.run("container")).change.kind == "unchanged"
    assert world.read(container, API)["properties"]["hasImmutabilityPolicy"] is True


async def test_more_days_are_written_and_fewer_are_not(world: World) -> None:
    container = await made_for(immutable(world))
    await immutable(world).run("backup_immutability")
    assert (await immutable(world, 60).run("backup_immutability")).change.kind == "updated"
    assert (await immutable(world, 7).run("backup_immutability")).change.kind == "unchanged"
    assert world.read(container, API)["properties"]["immutabilityPolicy"]["properties"][DAYS] == 60


async def test_a_locked_policy_of_fewer_days_is_a_persons_to_extend(world: World) -> None:
    container = await made_for(immutable(world))
    await immutable(world).run("backup_immutability")
    lock = f"{container}/immutabilityPolicies/default/lock"
    assert world.azure.arm("POST", lock, api_version=API).ok
    assert (await immutable(world).run("backup_immutability")).change.kind == "unchanged"
    with pytest.raises(ImmutableChange, match="immutability-policy extend"):
        await immutable(world, 60).run("backup_immutability")
    policy = f"{container}/immutabilityPolicies/default"
    longer = {"properties": {DAYS: 60}}
    assert world.azure.arm("POST", f"{policy}/extend", longer, api_version=API).ok
    assert (await immutable(world, 60).run("backup_immutability")).change.kind == "unchanged"


@pytest.mark.parametrize("days", [0, -1, 146_001, "soon"])
def test_days_that_azure_doesnt_take_are_refused_by_the_spec(days: object) -> None:
    with pytest.raises(ValueError, match="immutability_days"):
        EnvironmentSpec.model_validate({"storage": {"immutability_days": days}})


@pytest.mark.parametrize(
    "odd", [None, {}, {"properties": None}, {"properties": {DAYS: "90"}}, {"properties": {DAYS: None}}]
)
def test_an_odd_policy_is_none(odd: Json | None) -> None:
    assert immutability_decision("x", 30, odd).body == {"properties": {DAYS: 30}}
