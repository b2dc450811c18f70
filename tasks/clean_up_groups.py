"""Guide: Create infrastructure, "Clean up resources" - the backups, if they go, and the resource groups at last."""

from __future__ import annotations

from aks_postgres.arm import clock
from aks_postgres.arm.client import Azure
from aks_postgres.arm.deletion import ensure_absent
from aks_postgres.arm.errors import NotOurs, OperationNotDone
from aks_postgres.arm.poll import NotInTime, poll
from aks_postgres.arm.resource import ArmResource
from aks_postgres.arm.responses import Json
from aks_postgres.reports.journal import journal
from aks_postgres.reports.outputs import Target
from aks_postgres.reports.receipt import BackupAccount, Removal, Removals
from aks_postgres.resources import resource_group, storage_account
from aks_postgres.resources.group_contents import contents_of
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import is_ours
from aks_postgres.tear_down.ownership import WAY_OUT, described, foreign, foreign_backups, not_ours
from aks_postgres.tear_down.removal import is_there, removal, remove

# ARM lists a resource for a while after it is gone; terraform's provider repeats its look for 10 minutes, too.
_LISTED_FOR_S = 600


@arm_task("see_to_backups {backup_account.name}")
async def see_to_backups(azure: Azure, spec: EnvironmentSpec, backup_account: BackupAccount) -> Removals:
    """Delete the storage account with all backups where that was asked for in words; else see that it is kept.

    REST: https://learn.microsoft.com/rest/api/storagerp/storage-accounts/delete

    Args:
        spec: the environment.
        backup_account: the account, and whether it was asked for.

    Returns:
        What became of account and backup group.
    """
    account = storage_account.KIND.gone(azure, backup_account.id)
    group = resource_group.KIND.gone(azure, backup_account.group_id, word="backup resource group")
    if backup_account.wanted:
        if fence := azure.gate.fence:
            await fence.let_go(backup_account.name)
        removed = await remove(spec, account)
        if not backup_account.apart:
            return removed
        return Removals(items=(*removed.items, await _delete_group(azure, spec, group, None, backup_account)))
    kept = []
    for resource in (account, *([group] if backup_account.apart else [])):
        if await is_there(resource):
            kept.append(
                removal(resource, "kept", "backups survive unless delete_backups names their account")
            )
    return Removals(items=tuple(kept))


@arm_task("delete_resource_group {target.names.resource_group}")
async def delete_resource_group(azure: Azure, spec: EnvironmentSpec, target: Target) -> Removals:
    """Delete the environment's resource group once it is empty; with backups in it, it stays.

    REST: https://learn.microsoft.com/rest/api/resources/resource-groups/delete

    Args:
        spec: the environment.
        target: the generation.

    Returns:
        What became of it.

    Raises:
        NotOurs: something else is in it by now.
        OperationNotDone: what was deleted is still listed.
    """
    group = resource_group.KIND.gone(azure, target.group_id(target.names.resource_group))
    return Removals(items=(await _delete_group(azure, spec, group, target, None),))


class _HoldsBackups(Exception):
    """The group is to stay, as an account with backups is in it."""


async def _delete_group(
    azure: Azure,
    spec: EnvironmentSpec,
    group: ArmResource,
    target: Target | None,
    backup_account: BackupAccount | None,
) -> Removal:
    async def check(live: Json) -> None:
        if not is_ours(live.get("tags"), spec):
            raise not_ours(spec, group.label)
        await _emptied(azure, spec, group, target, backup_account)

    try:
        return removal(group, await ensure_absent(group, check))
    except _HoldsBackups as held:
        return removal(group, "kept", str(held))


async def _emptied(
    azure: Azure,
    spec: EnvironmentSpec,
    group: ArmResource,
    target: Target | None,
    backup_account: BackupAccount | None,
) -> None:
    """Wait until nothing is listed in the group any more."""
    contents: list[Json] = []

    async def is_empty() -> bool | None:
        contents[:] = await contents_of(azure, group.name)
        if not contents:
            return True
        others = foreign(spec, target, contents) if target else []
        others += foreign_backups(spec, backup_account.id, contents) if backup_account else []
        if others:
            raise NotOurs(
                f"{group.label} was kept: {' '.join(finding.text for finding in others)}", way_out=WAY_OUT
            )
        if target and all(_is_backup(target, resource) for resource in contents):
            listed = ", ".join(map(described, contents))
            raise _HoldsBackups(f"{listed} is in it, and backups survive unless delete_backups names it")
        return None

    try:
        await poll(
            is_empty,
            every_s=10,
            deadline_s=_LISTED_FOR_S,
            waiting=lambda elapsed_s: journal().waiting(
                f"{group.label} isn't empty yet", elapsed_s=elapsed_s, expected_s=60
            ),
        )
    except NotInTime as late:
        raise OperationNotDone(
            f"{group.label}: {', '.join(map(described, contents))} still in it after {clock.minutes(late.elapsed_s)}, "
            "although deleted. Run again to look once more."
        ) from None


def _is_backup(target: Target, resource: Json) -> bool:
    names = target.names
    account_id = target.resource_id(storage_account.KIND.type, names.storage_account)
    return (
        names.backup_group == names.resource_group and str(resource["id"]).casefold() == account_id.casefold()
    )
