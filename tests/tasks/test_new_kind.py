"""A new type of resource takes one `Kind`: whatever is done with resources is done with it."""

import re
from pathlib import Path

import pytest

from aks_postgres.arm.client import current_azure
from aks_postgres.arm.errors import NotOurs
from aks_postgres.arm.kind import by_id
from aks_postgres.arm.planned import PlannedBody
from aks_postgres.arm.responses import Json
from aks_postgres.preflight.region import judge_region
from aks_postgres.reports.receipt import Removals
from aks_postgres.resources.ensuring import ensure_ours
from aks_postgres.resources.kinds import (
    KINDS,
    actions,
    owned_ids,
    plan_words,
    providers,
    regional_types,
    removals,
)
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import resource_tags
from aks_postgres.tear_down.removal import remove

from .world import World

API = "2023-01-01"
KIND = by_id(
    "Microsoft.Insights/actionGroups",
    "action group",
    "Monitoring",
    API,
    is_regional=True,
    owned=lambda names, _: (f"ag-{names.cluster}",),
    step="alerts",
    removal="action groups",
)
ALL = (*KINDS, KIND)


def desired(spec: EnvironmentSpec) -> Json:
    return {"location": "global", "tags": resource_tags(spec), "properties": {"groupShortName": "cnpg"}}


def id_of(world: World) -> str:
    return world.place.resource_id(KIND.type, f"ag-{world.place.names.cluster}")


async def ensure(world: World) -> str:
    azure = current_azure()
    world.mark()
    _, change = await ensure_ours(azure, KIND, id_of(world), world.spec, desired(world.spec))
    return change.kind


async def test_it_is_ensured_and_deleted_with_a_receipt(world: World) -> None:
    await world.prepare("resource_group")
    assert await ensure(world) == "created"
    assert [entry["operation"] for entry in world.writes()] == ["ActionGroups_CreateOrUpdate"]
    assert await ensure(world) == "unchanged"
    assert world.writes() == []
    world.change(id_of(world), API, {"properties.groupShortName": "other"})
    assert await ensure(world) == "updated"

    removed = await remove(world.spec, KIND.gone(current_azure(), id_of(world)))
    assert str(removed) == f"action group ag-{world.place.names.cluster} deleted"
    assert isinstance(removed, Removals)
    again = await remove(world.spec, KIND.gone(current_azure(), id_of(world)))
    assert again.items[0].outcome == "not found"


async def test_somebody_elses_is_neither_changed_nor_deleted(world: World) -> None:
    await world.prepare("resource_group")
    world.write(
        id_of(world), API, {"location": "global", "tags": {}, "properties": {"groupShortName": "theirs"}}
    )
    with pytest.raises(NotOurs, match="action group"):
        await ensure(world)
    with pytest.raises(NotOurs, match="action group"):
        await remove(world.spec, KIND.gone(current_azure(), id_of(world)))
    assert world.writes() == []


async def test_it_is_planned(world: World) -> None:
    await world.prepare("resource_group")
    world.mark()
    async with run_session(world.spec, planning=True) as run:
        live, change = await ensure_ours(run.azure, KIND, id_of(world), world.spec, desired(world.spec))
        (planned,) = run.azure.looked_at.values()
    assert (type(live), change.kind) == (PlannedBody, "created")
    assert (planned.label, planned.action) == (f"action group ag-{world.place.names.cluster}", "create")
    assert world.writes() == []


def test_it_is_listed_in_permissions_and_providers_and_known_as_ours(world: World) -> None:
    assert {f"{KIND.type}/read": "alerts", f"{KIND.type}/write": "alerts"}.items() <= actions(ALL).items()
    assert removals(ALL)[f"{KIND.type}/delete"] == "action groups"
    assert "Microsoft.Insights" in providers(ALL)
    assert owned_ids(world.spec, world.place, ALL)[id_of(world).casefold()] is KIND
    assert plan_words(ALL)[KIND.type.casefold()] == ("Monitoring", "action group")


def test_the_preflight_sees_that_the_region_has_it(spec: EnvironmentSpec) -> None:
    locations = [{"name": spec.region}]
    types = [{"resourceType": "actionGroups", "locations": ["West US 3"]}]
    found = judge_region(
        spec,
        locations,
        [{"namespace": "Microsoft.Insights", "resourceTypes": types}],
        regional_types(ALL),
    )
    assert KIND.type in found.problems[0]


def test_adding_one_takes_at_most_six_files() -> None:
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    recipe = text.partition("## Add an Azure resource")[2].partition("\n## ")[0]
    files = set(re.findall(r"`([\w/.<>]+\.(?:py|md))`", recipe))
    assert 3 <= len(files) <= 6, files
