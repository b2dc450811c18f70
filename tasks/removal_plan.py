"""What a tear-down would delete and keep, by reading only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aks_postgres.arm.client import Azure
from aks_postgres.arm.responses import Json
from aks_postgres.arm.retry import all_ended
from aks_postgres.reports.outputs import Site
from aks_postgres.reports.plan_view import PlanItem
from aks_postgres.resources.group_contents import contents_of
from aks_postgres.resources.kinds import kind_of


async def what_would_go(
    azure: Azure, sites: Sequence[Site], delete_backups: str | None = None
) -> tuple[PlanItem, ...]:
    """The resources of these generations and what becomes of each; of what isn't there, none.

    Args:
        sites: the generations.
        delete_backups: the storage account's name, if the backups go too.
    """
    found = [item for items in await all_ended(_of_one(azure, site) for site in sites) for item in items]
    for group, account in {(site.names.backup_group, site.names.storage_account): None for site in sites}:
        found += await _backups(azure, group, account, goes=delete_backups == account)
    # In the environment's own group, the account is told once, as what it is.
    by_id = {item.id.casefold(): item for item in found}
    return tuple(by_id.values())


async def _of_one(azure: Azure, site: Site) -> list[PlanItem]:
    names = site.names
    own, nodes = await all_ended(
        [contents_of(azure, names.resource_group), contents_of(azure, names.node_resource_group)]
    )
    if not own:
        return []
    items = list(_items(own))
    if nodes:
        what = f"with the {len(nodes)} resources that AKS made in it: nodes, disks, addresses, load balancer"
        items.append(_group(site, names.node_resource_group, what))
    return [*items, _group(site, names.resource_group, "once it is empty")]


def _items(listed: Iterable[Json]) -> Iterable[PlanItem]:
    for one in listed:
        chapter, kind = kind_of(str(one["id"]))
        yield PlanItem(chapter=chapter, action="delete", kind=kind, name=str(one["name"]), id=str(one["id"]))


def _group(site: Site, name: str, what: str) -> PlanItem:
    return PlanItem(
        chapter="Subscription",
        action="delete",
        kind="resource group",
        name=name,
        id=site.group_id(name),
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
            id=str(one["id"]),
            also=(why,) if why else (),
        )
        for one in await contents_of(azure, group)
        if str(one["name"]).casefold() == account.casefold()
    ]
