"""What a tear-down would delete and keep, by reading only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aks_postgres.arm.client import Azure
from aks_postgres.arm.responses import Json
from aks_postgres.arm.retry import all_ended
from aks_postgres.reports.outputs import Target
from aks_postgres.reports.plan_view import PlanItem
from aks_postgres.resources.group_contents import contents_of
from aks_postgres.resources.kinds import kind_of


async def what_would_go(
    azure: Azure, targets: Sequence[Target], delete_backups: str | None = None
) -> tuple[PlanItem, ...]:
    """The resources of these generations and what becomes of each; of what isn't there, none.

    Args:
        targets: the generations.
        delete_backups: the storage account's name, if the backups go too.
    """
    found = [
        item for items in await all_ended(_of_one(azure, target) for target in targets) for item in items
    ]
    for group, account in {
        (target.names.backup_group, target.names.storage_account): None for target in targets
    }:
        found += await _backups(azure, group, account, goes=delete_backups == account)
    # In the environment's own group, the account is told once, as what it is.
    by_id = {item.id.casefold(): item for item in found}
    return tuple(by_id.values())


async def _of_one(azure: Azure, target: Target) -> list[PlanItem]:
    names = target.names
    own, nodes = await all_ended(
        [contents_of(azure, names.resource_group), contents_of(azure, names.node_resource_group)]
    )
    if not own:
        return []
    items = list(_items(own))
    if nodes:
        what = f"with the {len(nodes)} resources that AKS made in it: nodes, disks, addresses, load balancer"
        items.append(_group(target, names.node_resource_group, what))
    return [*items, _group(target, names.resource_group, "once it is empty")]


def _items(listed: Iterable[Json]) -> Iterable[PlanItem]:
    for resource in listed:
        chapter, kind = kind_of(str(resource["id"]))
        yield PlanItem(
            chapter=chapter, action="delete", kind=kind, name=str(resource["name"]), id=str(resource["id"])
        )


def _group(target: Target, name: str, what: str) -> PlanItem:
    return PlanItem(
        chapter="Subscription",
        action="delete",
        kind="resource group",
        name=name,
        id=target.group_id(name),
        also=(what,),
    )


async def _backups(azure: Azure, group: str, account: str, *, goes: bool) -> list[PlanItem]:
    why = "" if goes else "the backups stay unless the account's name is typed in delete_backups"
    return [
        PlanItem(
            chapter="Storage",
            action="delete" if goes else "keep",
            kind="storage account",
            name=account,
            id=str(resource["id"]),
            also=(why,) if why else (),
        )
        for resource in await contents_of(azure, group)
        if str(resource["name"]).casefold() == account.casefold()
    ]
