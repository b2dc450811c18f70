"""Previous versions of backups go once their days are over, and rules of others stay."""

from typing import Any

import pytest

from aks_postgres.resources.lifecycle_policy import RULE, decision
from aks_postgres.spec.environment import EnvironmentSpec

from .conftest import world_with
from .world import World

Json = dict[str, Any]

API = "2025-08-01"
WRITE = "ManagementPolicies_CreateOrUpdate"
SPEC = EnvironmentSpec()


def policy(world: World) -> str:
    return f"{world.made['storage_account'].id}/managementPolicies/default"


def rule(
    name: str, days: float = 14, *, enabled: bool = True, prefixes: tuple[str, ...] = ("backups/",)
) -> Json:
    return {
        "name": name,
        "enabled": enabled,
        "type": "Lifecycle",
        "definition": {
            "filters": {"blobTypes": ["blockBlob"], "prefixMatch": list(prefixes)},
            "actions": {"version": {"delete": {"daysAfterCreationGreaterThan": days}}},
        },
    }


TIERS: Json = {
    "name": "cool",
    "enabled": True,
    "type": "Lifecycle",
    "definition": {
        "filters": {"blobTypes": ["blockBlob"]},
        "actions": {"baseBlob": {"tierToCool": {"daysAfterModificationGreaterThan": 30}}},
    },
}


def live(*rules: Any) -> Json:
    return {"id": "x", "name": "DefaultManagementPolicy", "properties": {"policy": {"rules": list(rules)}}}


def rules_of(body: Json) -> list[Json]:
    found: list[Json] = body["properties"]["policy"]["rules"]
    return found


async def test_a_new_account_gets_the_rule_and_a_second_run_writes_nothing(world: World) -> None:
    await world.prepare("storage_account")
    made = await world.run("backup_lifecycle")
    assert made.change.kind == "created"
    assert [write["operation"] for write in world.writes()] == [WRITE]
    assert rules_of(world.read(policy(world), API)) == [rule(RULE)]
    assert (await world.run("backup_lifecycle")).change.kind == "unchanged"
    assert world.writes() == []


async def test_rules_of_others_stay_and_the_spec_says_how_long(world: World) -> None:
    await world.prepare("storage_account")
    world.write(policy(world), API, {"properties": {"policy": {"rules": [TIERS]}}})
    month = world_with(world, storage={"soft_delete_days": 30})
    assert (await month.run("backup_lifecycle")).change.kind == "updated"
    assert rules_of(world.read(policy(world), API)) == [TIERS, rule(RULE, 30)]


async def test_somebody_elses_rule_for_versions_is_enough(world: World) -> None:
    await world.prepare("storage_account")
    theirs = {"properties": {"policy": {"rules": [rule("ours-for-a-year", 365)]}}}
    world.write(policy(world), API, theirs)
    assert (await world.run("backup_lifecycle")).change.kind == "unchanged"


LESS: dict[str, tuple[Json, Json]] = {
    "switched off": (rule(RULE, enabled=False), rule(RULE)),
    "fewer days": (rule(RULE, 3), rule(RULE)),
    "another container": (rule(RULE, prefixes=("old/",)), rule(RULE, prefixes=("backups/", "old/"))),
    "no action": ({"name": RULE, "enabled": True, "type": "Lifecycle", "definition": {}}, rule(RULE)),
    "name in capitals": (rule(RULE.upper(), 3), rule(RULE)),
}


@pytest.mark.parametrize(("before", "after"), LESS.values(), ids=LESS)
def test_less_than_wanted_is_drift(before: Json, after: Json) -> None:
    found = decision("x", SPEC, live(TIERS, before))
    assert found.change.kind == "updated"
    assert rules_of(found.body) == [TIERS, after]


@pytest.mark.parametrize(
    "kept",
    [rule(RULE, 90), rule(RULE, 14.0), rule("theirs", 1), {**rule("theirs", 1), "enabled": None}],
)
def test_more_than_wanted_stays(kept: Json) -> None:
    if kept["enabled"] is None:  # left out, it is on
        del kept["enabled"]
    assert decision("x", SPEC, live(kept)).change.kind == "unchanged"


def test_somebody_elses_rule_that_is_off_is_not_enough() -> None:
    off = rule("theirs", 90, enabled=False)
    assert rules_of(decision("x", SPEC, live(off)).body) == [off, rule(RULE)]


@pytest.mark.parametrize("odd", [None, 7, [], {}, {"rules": None}, {"rules": [None, "x", 1]}])
def test_an_odd_policy_has_no_rule(odd: Any) -> None:
    found = decision("x", SPEC, {"properties": {"policy": odd}})
    assert rules_of(found.body) == [rule(RULE)]
