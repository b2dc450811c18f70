"""The steps that take one generation of an environment away, in the reverse order of `provision`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.errors import ProvisioningError
from aks_postgres.flows._errors import RebuildFailed
from aks_postgres.reports.journal import journal
from aks_postgres.reports.outputs import Target
from aks_postgres.reports.receipt import Inventory, Receipt, Removal, Removals, str_of
from aks_postgres.runs.steps import Step, Steps
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import environment_key
from aks_postgres.tasks.clean_up import (
    delete_associations,
    delete_cluster,
    delete_data_collection,
    delete_grafana,
    delete_log_workspace,
    delete_managed_identities,
    delete_monitor_workspace,
    delete_rule_groups,
)
from aks_postgres.tasks.clean_up_groups import delete_resource_group, see_to_backups
from aks_postgres.tasks.clean_up_roles import delete_grafana_roles, delete_identity_roles
from aks_postgres.tasks.inventory import look_at_generations, take_inventory
from aks_postgres.tasks.resource_group import RETIRED, RETIRING, mark_generation, remember_generation

BACKUP_AGE_MIN = 60


def start_tear_down(steps: Steps, spec: EnvironmentSpec, inventory: Inventory) -> list[Step[Removals]]:
    """Start every step of a tear-down; each waits for those that come before it.

    Args:
        steps: the run's steps.
        spec: the environment.
        inventory: what there is of it.

    Returns:
        The steps that delete something, in the order of the flow.
    """
    removing: list[Step[Removals]] = []
    ended: list[Step[Any]] = []
    newest = max(inventory.targets, key=lambda target: target.generation, default=None)
    # The next run must take the next generation, whatever becomes of this one.
    remembered = [steps.start(remember_generation, spec, newest)] if newest else []
    inside = {account.group: account for account in inventory.backup_accounts if not account.apart}
    for target in inventory.targets:
        marked = steps.start(mark_generation, spec, target, RETIRING, after=remembered)
        before = _start_contents(steps, spec, target, marked)
        account = inside.get(target.names.resource_group)
        if account:
            before.append(steps.start(see_to_backups, spec, account, after=before))
        group = steps.start(delete_resource_group, spec, target, after=before)
        if account:
            steps.start(mark_generation, spec, target, RETIRED, after=[group])
        removing += [*before, group]
        ended.append(group)
    for account in inventory.backup_accounts:
        if account.apart:
            # Until then the databases may still write to it.
            removing.append(steps.start(see_to_backups, spec, account, after=ended))
    return removing


def _start_contents(
    steps: Steps, spec: EnvironmentSpec, target: Target, marked: Step[Any]
) -> list[Step[Removals]]:
    start = steps.start
    # Rules and workspaces can't go while something refers to them.
    associations = start(delete_associations, target, after=[marked])
    rule_groups = start(delete_rule_groups, spec, target, after=[marked])
    cluster = start(delete_cluster, spec, target, after=[associations])
    # Beside the cluster, as it takes minutes, too; an identity's roles go before it.
    grafana_roles = start(delete_grafana_roles, target, after=[marked])
    grafana = start(delete_grafana, spec, target, after=[grafana_roles])
    # The cluster's databases archive with this role until the end.
    identity_roles = start(delete_identity_roles, target, after=[cluster])
    data_collection = start(delete_data_collection, spec, target, after=[cluster])
    monitor = start(delete_monitor_workspace, spec, target, after=[data_collection, rule_groups, grafana])
    logs = start(delete_log_workspace, spec, target, after=[data_collection])
    identity = start(delete_managed_identities, spec, target, after=[identity_roles])
    return [
        associations,
        rule_groups,
        cluster,
        grafana_roles,
        grafana,
        identity_roles,
        data_collection,
        monitor,
        logs,
        identity,
    ]


async def removals_of(started: Iterable[Step[Removals]]) -> list[Removal]:
    """Return what became of everything, as far as the steps got."""
    ended = [step for step in started if await step.failure() is None]
    return [removal for step in ended for removal in (await step.result()).items]


async def finish_tear_down(
    azure: Azure,
    spec: EnvironmentSpec,
    *,
    discard_data: str | None = None,
    backup_age_min: int = BACKUP_AGE_MIN,
) -> tuple[int, ...]:
    """Finish a tear-down that began and didn't end, so that a new generation doesn't stand beside half an old one.

    The name that was typed then still counts; backups aren't touched.

    Args:
        spec: the environment.
        discard_data: the environment's name and region, typed, if data without a backup may go.
        backup_age_min: how old the newest backup of a Postgres cluster may be, in minutes.

    Returns:
        The generations that are gone now.

    Raises:
        TearDownRefused: something stands against it, such as live data; nothing was deleted.
    """
    retiring = [
        target for target in (await look_at_generations(azure, spec)).live if target.state == "retiring"
    ]
    if not retiring:
        return ()
    names = ", ".join(target.names.resource_group for target in retiring)
    journal().note(f"the tear-down of {names} has begun; finishing it first")
    gone = tuple(target.generation for target in retiring)
    await retire(spec, gone, environment_key(spec), discard_data, backup_age_min)
    return gone


async def retire(
    spec: EnvironmentSpec,
    generations: tuple[int, ...],
    confirm: str,
    discard_data: str | None,
    backup_age_min: int,
) -> Receipt:
    """Tear down these generations; their backups stay, and so do the others.

    Args:
        spec: the environment.
        generations: which ones.
        confirm: the environment's name and region, typed.
        discard_data: the same, if data without a backup may go.
        backup_age_min: how old the newest backup of a Postgres cluster may be, in minutes.

    Raises:
        TearDownRefused: something stands against it, such as live data; nothing was deleted.
        RebuildFailed: a step failed; says what is gone, what is left, and how to go on.
    """
    inventory = await take_inventory(spec, confirm, None, discard_data, backup_age_min, generations)
    async with Steps(collects_failures=True) as steps:
        started = start_tear_down(steps, spec, inventory)
    if failures := await steps.failures():
        if not isinstance(failures[0], ProvisioningError):
            raise failures[0]
        raise RebuildFailed(await _unfinished(spec, inventory, started, failures[0])) from failures[0]
    return Receipt.of(environment_key(spec), inventory, await removals_of(started))


async def _unfinished(
    spec: EnvironmentSpec, inventory: Inventory, started: Iterable[Step[Removals]], error: ProvisioningError
) -> str:
    """Return what is gone, what is left, and how to go on, where a tear-down began and didn't end."""
    started = list(started)
    done = ("deleted", "soft-deleted")
    gone = [str_of(removal) for removal in await removals_of(started) if removal.outcome in done]
    left = [step.noun.replace("_", " ") for step in started if await step.failure()]
    generations = ", ".join(str(target.generation) for target in inventory.targets)
    return (
        f"{error}\nThe tear-down of generation {generations} of {environment_key(spec)} has begun and isn't finished. "
        f"Gone: {', '.join(gone) or 'nothing yet'}. Left: {', '.join(left) or 'nothing'}. Backups stay. Mend what "
        "is said above, then run rebuild again with the same words (or tear_down): it goes on from here, and deletes "
        "nothing else. provision refuses until then."
    )
