"""Guide: Create infrastructure has "Clean up resources" with one command; this is what is looked at before it.

Reads only: what there is of the environment, and everything that stands against deleting it, all at once, before
anything is written. The `_` modules beside this one judge. Not done here: deleting (`clean_up.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from aks_postgres.arm.client import Azure
from aks_postgres.arm.credentials import caller
from aks_postgres.arm.diff import state_of
from aks_postgres.arm.errors import OperationNotDone
from aks_postgres.arm.responses import Json, wire_items
from aks_postgres.arm.retry import all_ended, read, read_list
from aks_postgres.errors import Finding
from aks_postgres.preflight.facts import ask_about_subscription, pages
from aks_postgres.preflight.generations import (
    deleted_generations,
    is_retired,
    live_groups,
    next_generation,
    state_of_generation,
    strays,
)
from aks_postgres.preflight.permissions import DELETE_BACKUPS_ACTION, TEAR_DOWN_ACTIONS, lacking_for_tear_down
from aks_postgres.preflight.standing import subscription_problem
from aks_postgres.reports.outputs import Target
from aks_postgres.reports.rebuild import Addresses, Generations, LiveGeneration
from aks_postgres.reports.receipt import BackupAccount, Inventory
from aks_postgres.resources import storage_account
from aks_postgres.resources.group_contents import contents_of
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.confirmation import confirm_problem, delete_backups_problem, discard_data_problem
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names, environment_key, is_ours
from aks_postgres.tear_down.errors import TearDownRefused
from aks_postgres.tear_down.forbidden import judge_backup_account, judge_denials
from aks_postgres.tear_down.goes_along import what_goes_along
from aks_postgres.tear_down.locks import judge_locks
from aks_postgres.tear_down.ownership import foreign, foreign_backups, untagged
from aks_postgres.tear_down.second_look import hidden_groups, hidden_resources, locks_at
from aks_postgres.tear_down.soft_delete import deleted_workspaces, soft_deleted

_LOCKS_API = "2020-05-01"
_PERMISSIONS_API = "2022-04-01"
_DENIALS_API = "2022-04-01"
_CONTAINERS_API = "2025-08-01"
_STATES: dict[str, Literal["current", "retiring"]] = {"current": "current", "retiring": "retiring"}


@arm_task("take_inventory {spec.name} in {spec.region}")
async def take_inventory(
    azure: Azure,
    spec: EnvironmentSpec,
    confirm: str,
    delete_backups: str | None,
    discard_data: str | None,
    backup_age_min: int,
    only: tuple[int, ...] | None = None,
    takes_unfinished: bool = False,
) -> Inventory:
    """Find everything that a tear-down would delete, and everything that stands against it; write nothing.

    Guide: Create infrastructure, "Clean up resources" (az group delete asks "are you sure", and no more).
    REST: https://learn.microsoft.com/rest/api/resources/resources/list-by-resource-group,
    https://learn.microsoft.com/rest/api/resources/management-locks/list-by-scope

    Args:
        spec: the environment.
        confirm: must be the environment's name and region, typed.
        delete_backups: the storage account's name, typed, if the backups go too.
        discard_data: the environment's name and region, typed, if data without a backup may go.
        backup_age_min: how old the newest backup of a Postgres cluster may be, in minutes.
        only: the generations to look at; unset, all.
        takes_unfinished: whether a cluster that is still being created at its deadline is returned as `unfinished`,
            for whoever has it ended and looks again.

    Returns:
        The generations and storage accounts that are there.

    Raises:
        TearDownRefused: with every problem found, each with its way out.
        OperationNotDone: a cluster is still being created at its deadline.
        TemporaryError: Azure couldn't be asked for now.
    """
    subscription_id = azure.subscription_id
    key = environment_key(spec)
    subscription = await ask_about_subscription(azure, subscription_id)
    groups, deleted = await all_ended([_groups(azure), deleted_workspaces(azure)])
    every = live_groups(spec, subscription_id, groups, [str(workspace["name"]) for workspace in deleted])
    found = [candidate for candidate in every if only is None or candidate.generation in only]
    targets = tuple(
        Target(subscription_id=subscription_id, generation=candidate.generation, names=candidate.names)
        for candidate in found
        if candidate.is_ours
    )
    backup_accounts = backup_accounts_of(spec, targets, groups, subscription_id, delete_backups)

    problems = judge_words(key, backup_accounts, confirm, delete_backups, discard_data)
    problems += [text] if (text := subscription_problem(subscription)) else []
    problems += [
        untagged(spec, f"resource group {candidate.group['name']}")
        for candidate in found
        if not candidate.is_ours
    ]
    problems += [
        Finding(
            f"resource group {name} is this environment's by its tags, and its name doesn't follow from suffix "
            f"{spec.suffix or '(unset)'}.",
            "Set the suffix that it was made with, then run again.",
        )
        for name in strays(spec, groups, [candidate.names for candidate in every])
    ]
    newest = next_generation(spec, subscription_id, groups, [str(workspace["name"]) for workspace in deleted])
    problems += await hidden_groups(azure, spec, subscription_id, groups, newest)
    problems += await _judge_rights(
        azure,
        subscription_id,
        deletes_backups=any(account.wanted for account in backup_accounts),
    )
    problems += await _judge_groups(azure, spec, targets, backup_accounts, groups)
    problems += await _judge_denials(azure, targets, backup_accounts)
    problems += await _judge_backup_accounts(azure, spec, backup_accounts)
    lets_go = discard_data == key
    tenant_id = str(subscription.get("tenantId", ""))
    going = {str(group["name"]).casefold() for group in groups if state_of(group).casefold() == "deleting"}
    unfinished: list[Target] = []

    async def along(target: Target) -> tuple[list[Finding], list[Finding]]:
        try:
            return await what_goes_along(
                azure,
                target,
                backup_accounts,
                backup_age_min,
                node_groups=[one.names.node_resource_group for one in targets],
                going=going,
                lets_go=lets_go,
                tenant_id=tenant_id,
            )
        except OperationNotDone:
            if not takes_unfinished:
                raise
            unfinished.append(target)
            return [], []

    for among_nodes, data in await all_ended([along(target) for target in targets]):
        problems += among_nodes
        problems += [
            Finding(
                outcome.text,
                f"{outcome.way_out.removesuffix('.')}. Or type discard_data: {key} (--discard-data {key}): the data is "
                "deleted.",
            )
            for outcome in data
        ]
    if problems:
        raise TearDownRefused(key, problems)
    return Inventory(
        subscription=str(subscription.get("displayName", "")),
        targets=targets,
        backup_accounts=backup_accounts,
        soft_deleted=tuple(
            soft_deleted(workspace_id, "deleted before this run")
            for workspace_id in _ours_among(spec, subscription_id, deleted)
        ),
        unfinished=tuple(unfinished),
    )


async def look_at_generations(azure: Azure, spec: EnvironmentSpec) -> Generations:
    """Find the generations that are there, how far each is, and the number of the next one; write nothing.

    Args:
        spec: the environment.
    """
    subscription_id = azure.subscription_id
    groups, deleted = await all_ended([_groups(azure), deleted_workspaces(azure)])
    gone = [str(workspace["name"]) for workspace in deleted]
    newest = next_generation(spec, subscription_id, groups, gone)
    if hidden := await hidden_groups(azure, spec, subscription_id, groups, newest):
        raise TearDownRefused(environment_key(spec), hidden)
    return Generations(
        live=tuple(
            LiveGeneration(
                subscription_id=subscription_id,
                generation=live.generation,
                names=live.names,
                state=_STATES.get(state_of_generation(live.group), "building"),
            )
            for live in live_groups(spec, subscription_id, groups, gone)
            if live.is_ours and not is_retired(live.group, spec)
        ),
        next=newest,
    )


async def read_addresses(azure: Azure, target: Target) -> Addresses:
    """Return what others know a generation by; what isn't there is left out.

    Args:
        target: the generation.
    """
    names = target.names
    group = names.resource_group
    cluster, address, grafana, shared, separate = await all_ended(
        [
            read(
                f"AKS cluster {names.cluster}",
                azure.container_service.managed_clusters.get,
                group,
                names.cluster,
            ),
            read(
                f"public IP {names.public_ip}",
                azure.network.public_ip_addresses.get,
                names.node_resource_group,
                names.public_ip,
            ),
            read(f"Managed Grafana {names.grafana}", azure.dashboard.grafana.get, group, names.grafana),
            *(
                read(f"managed identity {name}", azure.identities.user_assigned_identities.get, group, name)
                for name in (names.identity, names.backup_identity)
            ),
        ]
    )
    live, about = _properties(cluster), _properties(separate or shared)
    return Addresses(
        generation=target.generation,
        cluster=names.cluster if cluster else None,
        api_server=live.get("fqdn"),
        oidc_issuer=(live.get("oidcIssuerProfile") or {}).get("issuerURL"),
        public_ip=_properties(address).get("ipAddress"),
        grafana=_properties(grafana).get("endpoint"),
        identity_client_id=about.get("clientId"),
        identity_principal_id=about.get("principalId"),
    )


def _properties(found: Json | None) -> Json:
    properties: Json = (found or {}).get("properties") or {}
    return properties


def judge_words(
    key: str,
    backup_accounts: Sequence[BackupAccount],
    confirm: str,
    delete_backups: str | None,
    discard_data: str | None,
) -> list[Finding]:
    """Return what is wrong with the words that a person has to type."""
    problems = [confirm_problem(key, confirm)]
    if delete_backups is not None and not any(account.wanted for account in backup_accounts):
        accounts = " or ".join(account.name for account in backup_accounts)
        problems.append(delete_backups_problem(delete_backups, accounts))
    problems.append(discard_data_problem(key, discard_data))
    return [Finding(problem.text, problem.way_out) for problem in problems if problem]


def backup_accounts_of(
    spec: EnvironmentSpec,
    targets: Sequence[Target],
    groups: Sequence[Json],
    subscription_id: str,
    delete_backups: str | None,
) -> tuple[BackupAccount, ...]:
    """The storage accounts for backups: one for all generations, or one in each generation's group."""
    known = {str(group["name"]).casefold() for group in groups}
    places = [(target, target.names) for target in targets]
    if not places:
        names = Names.of(spec, subscription_id, 1)
        places = [(Target(subscription_id=subscription_id, generation=1, names=names), names)]
    found = {}
    for target, names in places:
        group, account = names.backup_group, names.storage_account
        found[account] = BackupAccount(
            name=account,
            id=target.resource_id(storage_account.KIND.type, account, group),
            group=group,
            group_id=target.group_id(group),
            wanted=delete_backups == account,
            apart=group != names.resource_group,
            is_there=group.casefold() in known,
        )
    return tuple(found.values())


async def _groups(azure: Azure) -> list[Json]:
    operations = azure.resources.resource_groups
    return await read_list("resource groups", lambda: wire_items(operations.list()))


def _ours_among(spec: EnvironmentSpec, subscription_id: str, deleted: Sequence[Json]) -> list[str]:
    """IDs of this environment's workspaces among the soft-deleted ones."""
    by_name = {str(workspace["name"]).casefold(): str(workspace["id"]) for workspace in deleted}
    return [by_name[name] for name in deleted_generations(spec, subscription_id, by_name).values()]


async def _judge_rights(azure: Azure, subscription_id: str, *, deletes_backups: bool) -> list[Finding]:
    permissions = await pages(
        azure,
        "the caller's permissions",
        f"/subscriptions/{subscription_id}/providers/Microsoft.Authorization/permissions",
        _PERMISSIONS_API,
    )
    lacking = lacking_for_tear_down(
        permissions, deletes_backups=deletes_backups, assigns_roles=azure.assigns_roles
    )
    if not lacking:
        return []
    return [
        Finding(
            f"the caller lacks actions on subscription {subscription_id}: {', '.join(lacking)}.",
            "Give it Owner, or Contributor and Role Based Access Control Administrator, or a custom role with these; "
            "then run again.",
        )
    ]


async def _judge_groups(
    azure: Azure,
    spec: EnvironmentSpec,
    targets: Sequence[Target],
    backup_accounts: Sequence[BackupAccount],
    groups: Sequence[Json],
) -> list[Finding]:
    """Return what in the groups isn't ours, and what is locked."""
    by_name = {str(group["name"]).casefold(): group for group in groups}
    problems = []
    for target, contents in zip(
        targets,
        await all_ended([contents_of(azure, target.names.resource_group) for target in targets]),
        strict=True,
    ):
        problems += foreign(spec, target, contents)
        problems += await hidden_resources(azure, spec, target, contents)
    apart = [account for account in backup_accounts if account.apart and account.is_there]
    for account in apart:
        if not is_ours(by_name[account.group.casefold()].get("tags"), spec):
            problems.append(untagged(spec, f"resource group {account.group}"))
        elif account.wanted:
            problems += foreign_backups(spec, account.id, await contents_of(azure, account.group))
    doomed = [
        target.group_id(name)
        for target in targets
        for name in (
            target.names.resource_group,
            target.names.node_resource_group,
            target.names.monitor_group(spec.region),
        )
    ]
    doomed += [account.group_id for account in apart if account.wanted]
    written = [account.group_id for account in apart if not account.wanted]
    if doomed:
        path = f"/subscriptions/{azure.subscription_id}/providers/Microsoft.Authorization/locks"
        locks = await pages(azure, "locks", path, _LOCKS_API)
        for more in await all_ended([locks_at(azure, group, _LOCKS_API) for group in (*doomed, *written)]):
            locks += more
        problems += judge_locks(
            list({str(lock["id"]).casefold(): lock for lock in locks}.values()), doomed, written
        )
    return problems


async def _judge_denials(
    azure: Azure, targets: Sequence[Target], backup_accounts: Sequence[BackupAccount]
) -> list[Finding]:
    """Return what deny assignments forbid, where this deletes itself; in the other groups AKS and Azure Monitor do."""
    doomed = [target.group_id(target.names.resource_group) for target in targets]
    doomed += [
        account.group_id
        for account in backup_accounts
        if account.wanted and account.apart and account.is_there
    ]
    if not doomed:
        return []
    caller_id, _, _ = await caller(azure.credential, azure.facts.audience)
    found = await all_ended(
        pages(
            azure,
            "deny assignments",
            f"{group}/providers/Microsoft.Authorization/denyAssignments",
            _DENIALS_API,
        )
        for group in doomed
    )
    wanted = any(account.wanted for account in backup_accounts)
    return judge_denials(
        [denial for each in found for denial in each],
        caller_id,
        doomed,
        [account.id for account in backup_accounts if not account.wanted],
        [*TEAR_DOWN_ACTIONS, *([DELETE_BACKUPS_ACTION] if wanted else [])],
    )


async def _judge_backup_accounts(
    azure: Azure, spec: EnvironmentSpec, backup_accounts: Sequence[BackupAccount]
) -> list[Finding]:
    """Return what in the storage accounts that go isn't ours, or mustn't go yet."""
    get = azure.storage.storage_accounts.get_properties
    problems = []
    for account in backup_accounts:
        live = (
            await read(f"storage account {account.name}", get, account.group, account.name)
            if account.wanted
            else None
        )
        if live is not None:
            path = f"{account.id}/blobServices/default/containers"
            containers = await pages(azure, f"blob containers of {account.name}", path, _CONTAINERS_API)
            problems += judge_backup_account(live, spec.storage.container, containers)
    return problems
