"""Which generation lives, and whose the groups are: data in, data out."""

from collections.abc import Sequence
from typing import Any

import pytest

from aks_postgres.preflight.generations import find_generation, live_groups, strays
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import GENERATION, LAST_GENERATION, STATE, Names, resource_tags

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
SPEC = EnvironmentSpec()


def named(generation: int, spec: EnvironmentSpec = SPEC) -> Names:
    return Names.of(spec, SUBSCRIPTION, generation)


def group(
    name: str, location: str = "canadacentral", state: str = "Succeeded", **tags: str
) -> dict[str, Any]:
    return {"name": name, "location": location, "tags": tags, "properties": {"provisioningState": state}}


def ours(generation: int, state: str, spec: EnvironmentSpec = SPEC, **more: Any) -> dict[str, Any]:
    tags = {**resource_tags(spec), GENERATION: str(generation), STATE: state}
    return {**group(named(generation, spec).resource_group, **tags), **more}


def backups(last_generation: int) -> dict[str, Any]:
    return group(named(1).backup_group, **resource_tags(SPEC), **{LAST_GENERATION: str(last_generation)})


def found(groups: list[dict[str, Any]], deleted: Sequence[str] = (), spec: EnvironmentSpec = SPEC) -> Any:
    generation, verdict = find_generation(spec, SUBSCRIPTION, groups, deleted)
    assert generation.names == named(generation.number, spec)
    return generation.number, generation.exists, verdict.problems


@pytest.mark.parametrize(
    ("groups", "deleted", "number", "exists"),
    [
        ([], [], 1, False),
        ([group("rg-of-someone-else")], [], 1, False),
        ([ours(1, "building")], [], 1, True),
        ([ours(3, "current"), backups(2)], [], 3, True),
        ([backups(4)], [], 5, False),
        ([ours(2, "retiring"), backups(1)], [], 3, False),
        ([ours(2, "retired"), backups(1)], [], 3, False),
        ([ours(1, "current"), ours(2, "building")], [], 1, True),
        ([ours(1, "retiring"), ours(2, "building")], [], 2, True),
        ([], [named(7).log_workspace, named(6).log_workspace, "ala-cnpg-othersxx"], 8, False),
        ([ours(1, "current")], [named(9).log_workspace], 1, True),
    ],
)
def test_generation_is_the_live_one_or_one_more_than_the_highest_seen(
    groups: list[dict[str, Any]], deleted: list[str], number: int, exists: bool
) -> None:
    found_number, found_exists, problems = found(groups, deleted)
    assert (found_number, found_exists) == (number, exists)
    assert all("retiring, so its tear-down has begun" in problem for problem in problems)
    assert len(problems) == sum((one.get("tags") or {}).get(STATE) == "retiring" for one in groups)


def test_group_whose_state_tag_is_lost_still_lives() -> None:
    alive = ours(2, "current")
    del alive["tags"][STATE]
    assert found([alive, backups(1)]) == (2, True, ())


def test_generation_tag_that_is_no_number_is_ignored() -> None:
    alive = ours(1, "current")
    alive["tags"][GENERATION] = "nine"
    assert found([alive]) == (1, True, ())


def test_tag_names_are_read_in_any_case() -> None:
    alive = ours(1, "retiring")
    alive["tags"] = {key.upper(): value for key, value in alive["tags"].items()}
    number, exists, problems = found([alive])
    assert (number, exists, len(problems)) == (2, False, 1)


def test_another_environments_groups_count_nothing() -> None:
    other = EnvironmentSpec(name="other")
    assert found([ours(5, "current", other)]) == (1, False, ())


def test_group_of_our_name_without_our_tags_is_refused_until_its_name_is_typed() -> None:
    name = named(1).resource_group
    number, _, problems = found([group(name)])
    assert number == 1
    assert len(problems) == 1
    assert problems[0].startswith("adopt: ")
    assert f"adopt: {name}" in problems[0]
    assert found([group(name)], spec=EnvironmentSpec(adopt=[name])) == (1, True, ())


def test_group_whose_tags_were_removed_is_not_built_beside() -> None:
    number, exists, problems = found([group(named(2).resource_group), backups(2)])
    assert (number, exists, len(problems)) == (2, True, 1)
    assert "adopt" in problems[0]


def test_foreign_group_under_the_next_name_does_not_stop_the_live_generation() -> None:
    assert found([ours(1, "building"), group(named(2).resource_group)]) == (1, True, ())


def test_backup_group_without_our_tags_is_refused() -> None:
    _, _, problems = found([group(named(1).backup_group)])
    assert len(problems) == 1
    assert f"adopt: {named(1).backup_group}" in problems[0]


def test_two_groups_without_our_tags_are_adopted_by_one_line() -> None:
    names = [named(1).resource_group, named(1).backup_group]
    _, _, problems = found([group(name) for name in names])
    assert len(problems) == 2
    assert all(f"adopt: [{', '.join(names)}]" in problem for problem in problems)
    for adopted in names:
        _, _, problems = found([group(name) for name in names], spec=EnvironmentSpec(adopt=[adopted]))
        assert len(problems) == 1
    assert found([group(name) for name in names], spec=EnvironmentSpec(adopt=names)) == (1, True, ())


def test_adopting_a_group_that_is_none_of_ours_is_refused() -> None:
    _, _, problems = found([group("rg-famous")], spec=EnvironmentSpec(adopt=["rg-famous"]))
    assert len(problems) == 1
    assert problems[0].startswith("adopt: rg-famous was given")
    assert named(1).resource_group in problems[0]


def test_group_in_another_region_is_refused() -> None:
    spec = EnvironmentSpec(suffix="abcd1234")
    alive = ours(1, "current", spec, location="westus3")
    _, _, problems = found([alive], spec=spec)
    assert len(problems) == 1
    assert problems[0].startswith("region: canadacentral was given")
    assert "westus3" in problems[0]


@pytest.mark.parametrize("name", ["resource_group", "backup_group"])
def test_group_that_somebody_deletes_is_named(name: str) -> None:
    doomed = group(getattr(named(1), name), state="Deleting", **resource_tags(SPEC))
    _, _, problems = found([doomed])
    assert len(problems) == 1
    assert "is being deleted" in problems[0]
    assert doomed["name"] in problems[0]


def test_group_that_tear_down_deletes_makes_way_for_the_next_generation() -> None:
    number, exists, problems = found([ours(1, "retiring", properties={"provisioningState": "Deleting"})])
    assert (number, exists, len(problems)) == (2, False, 1)


def test_environment_under_another_suffix_is_not_built_twice() -> None:
    old = EnvironmentSpec(suffix="abcd1234")
    _, _, problems = found([ours(1, "current", old)])
    assert len(problems) == 1
    assert problems[0].startswith("suffix: ")
    assert named(1, old).resource_group in problems[0]


def test_node_group_with_the_clusters_tags_is_no_environment() -> None:
    node_group = group(named(1).node_resource_group, **resource_tags(SPEC))
    assert found([ours(1, "current"), node_group]) == (1, True, ())


def test_backups_in_the_environments_group_are_judged_once() -> None:
    spec = EnvironmentSpec.model_validate({"storage": {"backups": "in_environment_group"}})
    _, _, problems = found([group(named(1, spec).resource_group)], spec=spec)
    assert len(problems) == 1


@pytest.mark.parametrize("others", [[], [ours(2, "current")], [ours(2, "building")]])
def test_a_tear_down_that_has_begun_is_refused_with_both_ways_to_finish_it(
    others: list[dict[str, Any]],
) -> None:
    _, verdict = find_generation(SPEC, SUBSCRIPTION, [ours(1, "retiring"), *others], [])
    (problem,) = verdict.problems
    for text in (named(1).resource_group, "retiring", "tear_down", "rebuild", "confirm cnpg-canadacentral"):
        assert text in problem


def test_a_rebuild_is_told_that_it_finishes_the_tear_down_that_has_begun() -> None:
    groups = [ours(1, "retiring"), ours(2, "current")]
    _, verdict = find_generation(SPEC, SUBSCRIPTION, groups, [], 2)
    assert verdict.problems == ()
    (warning,) = verdict.warnings
    assert f"the tear-down of {named(1).resource_group} has begun" in warning


def test_a_generation_that_is_retired_is_nothing_to_say() -> None:
    _, verdict = find_generation(SPEC, SUBSCRIPTION, [ours(1, "retired"), ours(2, "current")], [])
    assert (verdict.warnings, verdict.problems) == ((), ())


@pytest.mark.parametrize("state", ["Retiring", "retiring ", "RETIRED", "Current", "nonsense", "0"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_state_that_is_none_is_refused_whichever_generation_has_it(state: str, number: int) -> None:
    groups = [ours(1, "current"), ours(2, "building")]
    groups[number - 1] = ours(number, state)
    (problem,) = found(groups)[2]
    assert named(number).resource_group in problem
    assert f"tagged {STATE}: {state!r}" in problem
    assert "none of building, current, retiring, retired" in problem


def test_two_current_generations_are_refused_by_name_but_for_a_rebuild() -> None:
    groups = [ours(1, "current"), ours(2, "current")]
    _, verdict = find_generation(SPEC, SUBSCRIPTION, groups, [])
    (problem,) = verdict.problems
    assert named(1).resource_group in problem
    assert named(2).resource_group in problem
    _, verdict = find_generation(SPEC, SUBSCRIPTION, groups, [], 2)
    assert verdict.problems == ()


def test_every_generation_that_is_there_is_found_whoever_s_it_is() -> None:
    theirs = group(named(2).resource_group)
    found = live_groups(SPEC, SUBSCRIPTION, [ours(3, "current"), theirs, ours(1, "retiring")], [])
    assert [(one.generation, one.is_ours, one.is_retiring) for one in found] == [
        (1, True, True),
        (2, False, False),
        (3, True, False),
    ]


def test_a_group_of_ours_that_another_suffix_named_is_a_stray() -> None:
    old = EnvironmentSpec(suffix="abcd1234")
    node_group = group(named(1).node_resource_group, **resource_tags(SPEC))
    groups = [ours(1, "current"), ours(1, "building", old), node_group, backups(1), ours(9, "retired", old)]
    assert strays(SPEC, groups, [named(1)]) == [named(1, old).resource_group]
