"""Guide: Create infrastructure, "Create a resource group" - plus the group that backups live in.

Not done here: deleting groups (`clean_up.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision, decide
from aks_postgres.arm.reconcile import ensure
from aks_postgres.arm.resource import ArmResource, is_being_deleted, look_at
from aks_postgres.arm.responses import Json
from aks_postgres.preflight.generations import is_retired, last_generation
from aks_postgres.reports.outputs import UNCHANGED, CheckedTarget, ResourceOutputs, Target
from aks_postgres.resources import resource_group
from aks_postgres.resources.ownership import refuse_foreign
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import (
    GENERATION,
    LAST_GENERATION,
    STATE,
    VERSION,
    WORKER_ADDRESS,
    is_ours,
    resource_tags,
)
from aks_postgres.version import product_version

GenerationState = Literal["current", "retiring", "retired"]
CURRENT: GenerationState = "current"
RETIRING: GenerationState = "retiring"
RETIRED: GenerationState = "retired"


def _group(azure: Azure, name: str) -> ArmResource:
    return resource_group.KIND.at(azure, f"/subscriptions/{azure.subscription_id}/resourceGroups/{name}")


async def _ensure_group(
    azure: Azure,
    spec: EnvironmentSpec,
    target: Target,
    name: str,
    wanted_tags: dict[str, str],
    first_tags: dict[str, str],
) -> ResourceOutputs:
    def decision(live: Json | None) -> Decision:
        refuse_foreign(spec, f"resource group {name}", live, name)
        adopted = live is not None and not is_ours(live.get("tags"), spec)
        return resource_group.KIND.decide(
            f"resource group {name}",
            resource_group.desired(spec.region, {**first_tags, **wanted_tags} if adopted else wanted_tags),
            live,
            only_at_creation={"tags": first_tags},
        )

    live, change = await ensure(_group(azure, name), decision)
    return ResourceOutputs(id=target.group_id(name), name=live["name"], change=change)


@arm_task("ensure_resource_group {target.names.resource_group}")
async def ensure_resource_group(
    azure: Azure, spec: EnvironmentSpec, target: CheckedTarget
) -> ResourceOutputs:
    """Create the environment's resource group, or bring its tags to the spec.

    Its tags are the environment's state: which generation it is and whether it is still being built. The worker's
    address that was let through to the API server is kept there too, so that it can be told from the spec's ranges.

    Guide: Create infrastructure, "Create a resource group" (az group create).
    REST: https://learn.microsoft.com/rest/api/resources/resource-groups/create-or-update

    Args:
        spec: the environment wanted.
        target: where it goes, as the preflight found.

    Returns:
        ID and name of the group.

    Raises:
        NotOurs: a group of that name exists without our tags.
        ImmutableChange: it exists in another region.
    """
    tags = resource_tags(spec)
    if target.worker_address:
        tags[WORKER_ADDRESS] = target.worker_address
    first = {STATE: "building", GENERATION: str(target.generation), VERSION: product_version()}
    return await _ensure_group(azure, spec, target, target.names.resource_group, tags, first)


@arm_task("ensure_backup_group {target.names.backup_group}")
async def ensure_backup_group(
    azure: Azure, spec: EnvironmentSpec, target: CheckedTarget, group: ResourceOutputs
) -> ResourceOutputs:
    """Create the resource group that keeps the backups apart from everything that is torn down and rebuilt.

    Guide: none; the guide keeps the storage account in the environment's group. With `storage.backups:
    in_environment_group` so do we, and this step finds its work done.
    REST: https://learn.microsoft.com/rest/api/resources/resource-groups/create-or-update

    Args:
        spec: the environment wanted.
        target: where it goes, as the preflight found.
        group: the environment's own group.

    Returns:
        ID and name of the group that the storage account goes to.
    """
    if target.names.backup_group == group.name:
        return group.model_copy(
            update={"change": group.change.model_copy(update={"kind": "unchanged", "fields": ()})}
        )
    first = {LAST_GENERATION: str(target.generation), VERSION: product_version()}
    return await _ensure_group(azure, spec, target, target.names.backup_group, resource_tags(spec), first)


@arm_task("mark_generation {target.generation} {state}")
async def mark_generation(
    azure: Azure, spec: EnvironmentSpec, target: Target, state: GenerationState
) -> ResourceOutputs:
    """Write on the environment's group how far this generation is; `current` once everything is verified.

    A group that isn't there is left alone by `retiring`, at the start of a tear-down, and by `retired`, at its end.

    Guide: none. REST: https://learn.microsoft.com/rest/api/resources/resource-groups/create-or-update

    Args:
        spec: the environment wanted.
        target: where it is.
        state: current, retiring or, of a group that stays for the backups in it, retired.

    Returns:
        ID and name of the group.

    Raises:
        NotEffectiveYet: `current`, and for two minutes the group isn't there: it is never made by this step.
    """
    if state == CURRENT:
        return await _mark_current(azure, spec, target)

    def state_for(live: Json) -> dict[str, str]:
        return {} if is_retired(live, spec) else {STATE: state}

    return await _tag_group(azure, spec, target, target.names.resource_group, state_for)


async def _mark_current(azure: Azure, spec: EnvironmentSpec, target: Target) -> ResourceOutputs:
    name = target.names.resource_group
    label = f"resource group {name}"

    def decision(live: Json | None) -> Decision:
        refuse_foreign(spec, label, live, name)
        # The other tags are those of `ensure_resource_group`, and its to compare.
        return decide(label, resource_group.desired(spec.region, {STATE: "current"}), live)

    _, change = await ensure(_group(azure, name), decision, creates=False)
    return ResourceOutputs(id=target.group_id(name), name=name, change=change)


@arm_task("remember_generation {target.generation}")
async def remember_generation(azure: Azure, spec: EnvironmentSpec, target: Target) -> ResourceOutputs:
    """Write on the backup group which generation is the last so far, so that the next run takes the next one.

    Guide: none. REST: https://learn.microsoft.com/rest/api/resources/resource-groups/create-or-update

    Args:
        spec: the environment.
        target: the newest generation that is torn down.

    Returns:
        ID and name of the group.
    """

    def tags(live: Json) -> dict[str, str]:
        return {LAST_GENERATION: str(max(target.generation, last_generation(live)))}

    return await _tag_group(azure, spec, target, target.names.backup_group, tags)


async def _tag_group(
    azure: Azure, spec: EnvironmentSpec, target: Target, name: str, tags_for: Callable[[Json], dict[str, str]]
) -> ResourceOutputs:
    """Write tags on a group that is there; one that isn't, or is going, stays as it is."""
    resource, label = _group(azure, name), f"resource group {name}"
    unchanged = ResourceOutputs(id=target.group_id(name), name=name, change=UNCHANGED)

    def decision(live: Json | None) -> Decision:
        if live is None:
            raise _GroupGone
        refuse_foreign(spec, label, live, name)
        return decide(label, resource_group.desired(live["location"], tags_for(live)), live)

    live = await look_at(resource)
    if live is None or is_being_deleted(live):
        return unchanged
    try:
        _, change = await ensure(resource, decision)
    except _GroupGone:
        return unchanged
    return unchanged.model_copy(update={"change": change})


class _GroupGone(Exception):
    """Somebody deleted the group in the meantime."""
