"""Which generation of the environment is alive, and whether everything of that name is ours.

Owned means our tags *and* a name that we compute: tags can be edited by anyone, and names can coincide. A
name that was deleted isn't free on Azure, so what is gone is counted too: a Log Analytics workspace of the
same name would come back with its old data
(https://learn.microsoft.com/azure/azure-monitor/logs/delete-workspace).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aks_postgres.arm.responses import Json
from aks_postgres.preflight.findings import FINE, Findings, problem, warning
from aks_postgres.resources.ownership import to_adopt
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import (
    ENVIRONMENT,
    GENERATION,
    LAST_GENERATION,
    MOST_GENERATIONS,
    STATE,
    Names,
    environment_key,
    is_ours,
)

# What the state of a generation's resource group is tagged as.
_STATES = ("building", "current", "retiring", "retired")


@dataclass(frozen=True)
class Generation:
    """The generation to work on."""

    number: int
    names: Names
    exists: bool
    """Whether its resource group is there."""
    others: tuple[Names, ...] = ()
    """The names of other generations that are alive beside it."""


def _tags(group: Json | None) -> dict[str, str]:
    return {key.casefold(): value for key, value in ((group or {}).get("tags") or {}).items()}


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and int(text) <= MOST_GENERATIONS else 0


def _is_deleting(group: Json) -> bool:
    return str((group.get("properties") or {}).get("provisioningState", "")).casefold() in (
        "deleting",
        "deprovisioning",
    )


def deleted_generations(
    spec: EnvironmentSpec, subscription_id: str, deleted_workspaces: Iterable[str]
) -> dict[int, str]:
    """Generations with a deleted workspace, and its name: they aren't in the names, so those are computed."""
    prefix = f"ala-{spec.name}-"
    unmatched = {name.casefold() for name in deleted_workspaces if name.casefold().startswith(prefix)}
    found = {}
    for number in range(1, MOST_GENERATIONS + 1):
        if not unmatched:
            break
        name = Names.of(spec, subscription_id, number).log_workspace
        if name in unmatched:
            unmatched.discard(name)
            found[number] = name
    return found


def find_generation(
    spec: EnvironmentSpec,
    subscription_id: str,
    groups: Sequence[Json],
    deleted_workspaces: Iterable[str],
    wanted: int | None = None,
) -> tuple[Generation, Findings]:
    """The live generation, or the one after the highest ever seen.

    Args:
        spec: the environment wanted.
        subscription_id: where it is.
        groups: every resource group of the subscription, as ARM lists them.
        deleted_workspaces: names of its soft-deleted Log Analytics workspaces.
        wanted: a generation to work on whatever else is alive: a rebuild makes a second one.
    """
    by_name = {str(group["name"]).casefold(): group for group in groups}
    ours = [group for group in groups if is_ours(group.get("tags"), spec)]
    seen = _highest_seen(spec, subscription_id, groups, deleted_workspaces)
    every = {number: Names.of(spec, subscription_id, number) for number in range(1, seen + 2)}

    alive, retiring = [], []
    for number, names in every.items():
        group = by_name.get(names.resource_group.casefold())
        if group is None or is_retired(group, spec):
            continue
        if is_retiring(group, spec):
            retiring.append(str(group["name"]))
        else:
            may_use = is_ours(group.get("tags"), spec) or names.resource_group in spec.adopt
            alive.append(((_tags(group).get(STATE) == "current", may_use, number), group))
    number = wanted or (max(alive, key=lambda one: one[0])[0][2] if alive else seen + 1)
    names = every[number]
    findings = FINE
    used = [group for (_, _, alive_number), group in alive if alive_number == number]
    backups = by_name.get(names.backup_group.casefold())
    if backups is not None and names.backup_group != names.resource_group:
        used.append(backups)
    untagged = [str(group["name"]) for group in used if not is_ours(group.get("tags"), spec)]
    for group in used:
        findings += _judge_group(spec, group, untagged)
    findings += _judge_states(ours)
    for name in retiring:
        beside = [str(group["name"]) for _, group in alive]
        findings += _judge_retiring(spec, name, beside, is_rebuild=wanted is not None)
    current = [str(group["name"]) for (is_current, _, _), group in alive if is_current]
    if len(current) > 1 and wanted is None:
        findings += problem(
            "name",
            f"{' and '.join(current)} are both tagged {STATE}: current, and an environment has one current generation.",
            f"Run rebuild with confirm {environment_key(spec)}: it keeps the newer one and tears the other down; or "
            "correct the tag of the one that isn't.",
        )
    findings += _judge_strays(spec, ours, every.values())
    findings += _judge_adopt(spec, names, every.values())
    there = {alive_number: every[alive_number] for (_, _, alive_number), _ in alive}
    others = tuple(found for alive_number, found in there.items() if alive_number != number)
    return Generation(number, names, number in there, others), findings


def _judge_states(ours: Sequence[Json]) -> Findings:
    """A state that nobody knows isn't taken for a live environment's, nor for the end of one."""
    findings = FINE
    for group in ours:
        state = _tags(group).get(STATE, "")
        if state and state not in _STATES:
            findings += problem(
                "name",
                f"resource group {group['name']} is tagged {STATE}: {state[:40]!r}, which is none of "
                f"{', '.join(_STATES)}, so whether its environment lives isn't known.",
                "Set the tag to current if it does, to retiring if its tear-down has begun; then run again.",
            )
    return findings


def _judge_retiring(spec: EnvironmentSpec, name: str, others: Sequence[str], *, is_rebuild: bool) -> Findings:
    """A tear-down that has begun; only who typed the environment's name goes on with one."""
    if is_rebuild:
        return warning("name", f"the tear-down of {name} has begun; this rebuild finishes it first.")
    ways = f"rebuild with confirm {environment_key(spec)}, which also makes the environment anew"
    if others:
        ways += f" (tear_down would take {' and '.join(others)} along)"
    else:
        ways = f"tear_down with confirm {environment_key(spec)}, or {ways}"
    return problem(
        "name",
        f"resource group {name} is tagged {STATE}: retiring, so its tear-down has begun and isn't finished. "
        f"This flow deletes nothing.",
        f"Finish it with {ways}. If somebody set the tag by hand, set it back to current, then run again.",
    )


def next_generation(
    spec: EnvironmentSpec, subscription_id: str, groups: Sequence[Json], deleted_workspaces: Iterable[str]
) -> int:
    """The number after the highest ever seen."""
    return _highest_seen(spec, subscription_id, groups, deleted_workspaces) + 1


def state_of_generation(group: Json) -> str:
    """Return how far the generation of this resource group is, by its tag."""
    return _tags(group).get(STATE, "")


@dataclass(frozen=True)
class LiveGroup:
    """A resource group with a name that one generation of the environment has."""

    generation: int
    names: Names
    group: Json
    is_ours: bool
    is_retiring: bool


def live_groups(
    spec: EnvironmentSpec, subscription_id: str, groups: Sequence[Json], deleted_workspaces: Iterable[str]
) -> list[LiveGroup]:
    """The resource groups of all generations that are there, the oldest first.

    Args:
        spec: the environment.
        subscription_id: where it is.
        groups: every resource group of the subscription, as ARM lists them.
        deleted_workspaces: names of its soft-deleted Log Analytics workspaces.
    """
    by_name = {str(group["name"]).casefold(): group for group in groups}
    seen = _highest_seen(spec, subscription_id, groups, deleted_workspaces)
    found = []
    for number in range(1, seen + 2):
        names = Names.of(spec, subscription_id, number)
        if group := by_name.get(names.resource_group.casefold()):
            ours = is_ours(group.get("tags"), spec)
            found.append(LiveGroup(number, names, group, ours, is_retiring(group, spec)))
    return found


def is_retiring(group: Json, spec: EnvironmentSpec) -> bool:
    """Return whether this is a group of this environment's whose tear-down has begun."""
    return is_ours(group.get("tags"), spec) and _tags(group).get(STATE) == "retiring"


def is_retired(group: Json, spec: EnvironmentSpec) -> bool:
    """Return whether this group of this environment's is torn down and stays for the backups in it."""
    return is_ours(group.get("tags"), spec) and _tags(group).get(STATE) == "retired"


def strays(spec: EnvironmentSpec, groups: Sequence[Json], known: Iterable[Names]) -> list[str]:
    """Names of this environment's groups whose names don't follow from the spec: another suffix made them."""
    computed = {names.resource_group.casefold() for names in known}
    return [
        str(group["name"])
        for group in groups
        if is_ours(group.get("tags"), spec)
        # The cluster's node group carries our tags too, but no state.
        and _tags(group).get(STATE) not in (None, "retired")
        and str(group["name"]).casefold() not in computed
    ]


def last_generation(group: Json | None) -> int:
    """The highest generation that a backup group remembers."""
    return _number(_tags(group).get(LAST_GENERATION))


def _highest_seen(
    spec: EnvironmentSpec, subscription_id: str, groups: Sequence[Json], deleted_workspaces: Iterable[str]
) -> int:
    ours = [group for group in groups if is_ours(group.get("tags"), spec)]
    seen = max(
        (_number(tags.get(tag)) for tags in map(_tags, ours) for tag in (GENERATION, LAST_GENERATION)),
        default=0,
    )
    return max(seen, *deleted_generations(spec, subscription_id, deleted_workspaces), 0)


def _judge_group(spec: EnvironmentSpec, group: Json, untagged: Sequence[str]) -> Findings:
    """Whether a group of a name that we compute can be used; `untagged` are all that would have to be adopted."""
    name, region = str(group["name"]), str(group.get("location", "")).replace(" ", "").lower()
    findings = FINE
    if not is_ours(group.get("tags"), spec) and name.lower() not in spec.adopt:
        findings += problem(
            "adopt",
            f"the resource group {name} exists without this environment's tags (managed-by: aks-postgres, "
            f"{ENVIRONMENT}: {environment_key(spec)}), so it isn't ours to change.",
            f"If it is yours, type its name, {to_adopt(spec, *untagged)}; otherwise choose another name or suffix.",
        )
    if region != spec.region:
        findings += problem(
            "region",
            f"{spec.region} was given and the resource group {name} exists in {region}; a group can't move.",
            f"Choose region: {region}, or another name or suffix.",
        )
    if _is_deleting(group):
        findings += problem(
            "name",
            f"the resource group {name} is being deleted by someone.",
            "Wait until it is gone (up to an hour), then run again.",
        )
    return findings


def _judge_strays(spec: EnvironmentSpec, ours: Sequence[Json], every: Iterable[Names]) -> Findings:
    """Refuse to build a second copy beside a live one that another suffix named."""
    computed = {names.resource_group.casefold() for names in every}
    findings = FINE
    for group in ours:
        tags, name = _tags(group), str(group["name"])
        if tags.get(STATE) in ("building", "current") and name.casefold() not in computed:
            findings += problem(
                "suffix",
                f"this environment already lives in the resource group {name}, whose name doesn't follow "
                f"from suffix {spec.suffix or '(unset)'}.",
                "Set the suffix it was made with, or tear that one down first.",
            )
    return findings


def _judge_adopt(spec: EnvironmentSpec, names: Names, every: Iterable[Names]) -> Findings:
    """Refuse to adopt what this environment would never use."""
    computed = {name for each in every for name in (each.resource_group, each.backup_group)}
    unknown = [group for group in spec.adopt if group not in computed]
    if not unknown:
        return FINE
    wanted = " or ".join(dict.fromkeys([names.resource_group, names.backup_group]))
    return problem(
        "adopt",
        f"{', '.join(unknown)} was given; this environment's groups are called {wanted}.",
        "Type one of these, or leave adopt out.",
    )
