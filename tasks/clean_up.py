"""Guide: Create infrastructure, "Clean up resources" - one by one, in reverse order, and only what is ours.

The guide deletes the resource group with whatever is in it, and leaves behind role assignments elsewhere. Here each
resource is deleted by an ID that we compute, after a look at its tags, and read again until it is gone; the group goes
when it is empty. Refusals come before, in `inventory.py`.
"""

from __future__ import annotations

from cloud import clock
from cloud.answers import Answer, Json
from cloud.calls import all_ended, read
from cloud.deletion import Deletable, deletable, ensure_absent, wait_until_absent
from cloud.errors import AzureRefused, NotOurs, OperationNotDone
from cloud.session import cloud
from environment.journal import journal
from environment.names import LOGS_ASSOCIATION, METRICS_ASSOCIATION, is_ours
from environment.outputs import Site
from environment.receipt import Removal, Removals, Vault
from environment.spec import EnvironmentSpec
from tasks._cluster import deletable_cluster
from tasks._contents import contents_of
from tasks._owned import RULE_GROUPS, described, foreign, foreign_backups, untagged
from tasks._policy import arm_task
from tasks._roles import (
    GRAFANA_ADMIN,
    MONITORING_DATA_READER,
    MONITORING_READER,
    STORAGE_BLOB_DATA_CONTRIBUTOR,
    assignments_of,
)
from tasks._soft_delete import deleted_workspaces, soft_deleted

_RULE_GROUPS_API = "2023-03-01"
# ARM lists a resource for a while after it is gone; terraform's provider repeats its look for 10 minutes, too.
_LISTED_FOR_S = 600


async def _removed(spec: EnvironmentSpec, resource: Deletable) -> Removals:
    """Delete a resource that carries our tags."""

    async def check(live: Json) -> None:
        if not is_ours(live.get("tags"), spec):
            raise NotOurs(untagged(spec, resource.label))

    return Removals(items=(_removal(resource, await ensure_absent(resource, check)),))


def _removal(resource: Deletable, outcome: str, reason: str = "") -> Removal:
    return Removal.model_validate(
        {
            "what": resource.what,
            "name": resource.name,
            "id": resource.id,
            "outcome": outcome,
            "reason": reason,
        }
    )


def _association(site: Site, name: str) -> Deletable:
    operations = cloud().monitor.data_collection_rule_associations
    scope = site.resource_id("Microsoft.ContainerService/managedClusters", site.names.cluster)
    return deletable(
        "data collection rule association",
        f"{scope}/providers/Microsoft.Insights/dataCollectionRuleAssociations/{name}",
        operations.get,
        operations.delete,
        scope.lstrip("/"),
        name,
    )


@arm_task("delete_associations {site.names.cluster}")
async def delete_associations(site: Site) -> Removals:
    """Delete the cluster's data collection rule associations: rules can't be deleted while they are there.

    REST: https://learn.microsoft.com/rest/api/monitor/data-collection-rule-associations/delete

    Args:
        site: the generation.

    Returns:
        What became of them.
    """
    found = [_association(site, name) for name in (METRICS_ASSOCIATION, LOGS_ASSOCIATION)]
    outcomes = await all_ended(ensure_absent(one) for one in found)
    return Removals(items=tuple(map(_removal, found, outcomes)))


@arm_task("delete_rule_groups {site.names.cluster}")
async def delete_rule_groups(spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the Prometheus recording rule groups.

    REST: https://learn.microsoft.com/rest/api/monitor/prometheus-rule-groups/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of them.
    """
    operations = cloud().resources.resources
    names = [
        str(resource["name"])
        for resource in await contents_of(site.names.resource_group)
        if str(resource["type"]).casefold() == RULE_GROUPS.casefold()
        and site.names.is_rule_group(str(resource["name"]))
    ]
    found = []
    for name in names:
        resource_id = site.resource_id(RULE_GROUPS, name)
        found.append(
            deletable(
                "Prometheus rule group",
                resource_id,
                operations.get_by_id,
                operations.begin_delete_by_id,
                resource_id.lstrip("/"),
                api_version=_RULE_GROUPS_API,
            )
        )
    removed = await all_ended(_removed(spec, one) for one in found)
    return Removals(items=tuple(item for one in removed for item in one.items))


@arm_task("delete_cluster {site.names.cluster}")
async def delete_cluster(spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the AKS cluster; its node pools and its node resource group with the public IP go with it.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of cluster, public IP and node resource group.

    Raises:
        OperationNotDone: still being deleted at the deadline; a rerun goes on waiting.
    """
    names = site.names
    groups, addresses = cloud().resources.resource_groups, cloud().network.public_ip_addresses
    goes_along = [
        deletable(
            "public IP",
            site.resource_id(
                "Microsoft.Network/publicIPAddresses", names.public_ip, names.node_resource_group
            ),
            addresses.get,
            addresses.begin_delete,
            names.node_resource_group,
            names.public_ip,
        ),
        deletable(
            "node resource group",
            site.group_id(names.node_resource_group),
            groups.get,
            groups.begin_delete,
            names.node_resource_group,
        ),
    ]
    were_there = [await read(one.label, _get, one) is not None for one in goes_along]
    removed = await _removed(spec, deletable_cluster(site))
    await all_ended(wait_until_absent(one) for one in goes_along)
    gone = [
        _removal(one, "deleted" if was_there else "not found")
        for one, was_there in zip(goes_along, were_there, strict=True)
    ]
    return Removals(items=(*removed.items, *gone))


async def _get(resource: Deletable, *, cls: object) -> Answer:
    return await resource.get()


@arm_task("delete_grafana_roles {site.names.grafana}")
async def delete_grafana_roles(spec: EnvironmentSpec, site: Site) -> Removals:
    """Take Grafana's identity its roles, wherever they are, and people theirs on Grafana.

    Nothing else would: the role on the subscription stays behind as "identity not found" when Grafana goes.
    REST: https://learn.microsoft.com/rest/api/authorization/role-assignments/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of them.
    """
    names = site.names
    grafana = await read(
        f"Managed Grafana {names.grafana}", cloud().dashboard.grafana.get, names.resource_group, names.grafana
    )
    if grafana is None:
        return Removals(items=())
    grafana_id = site.resource_id("Microsoft.Dashboard/grafana", names.grafana)
    principal_id = str((grafana.get("identity") or {}).get("principalId") or "")
    readable = [
        f"/subscriptions/{site.subscription_id}",
        site.group_id(names.resource_group),
        site.group_id(names.node_resource_group),
    ]
    granted = {(MONITORING_READER, scope) for scope in readable} | {
        (MONITORING_DATA_READER, site.resource_id("Microsoft.Monitor/accounts", names.monitor_workspace))
    }
    mine = await _delete_roles(site, principal_id, granted) if principal_id else []
    people = [
        one
        for one in await assignments_of(grafana_id, "atScope()")
        if one.scope.casefold() == grafana_id.casefold() and one.role_id == GRAFANA_ADMIN
    ]
    return Removals(items=(*mine, *await all_ended(_delete_role(one.id, one.label) for one in people)))


@arm_task("delete_identity_roles {site.names.identity}")
async def delete_identity_roles(spec: EnvironmentSpec, site: Site) -> Removals:
    """Take the managed identity its role on the storage account, which outlives it.

    REST: https://learn.microsoft.com/rest/api/authorization/role-assignments/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of it. One under a lock, as careful people put on backups, is kept.
    """
    names = site.names
    identity = await read(
        f"managed identity {names.identity}",
        cloud().identities.user_assigned_identities.get,
        names.resource_group,
        names.identity,
    )
    if identity is None:
        return Removals(items=())
    account_id = site.resource_id(
        "Microsoft.Storage/storageAccounts", names.storage_account, names.backup_group
    )
    granted = {(STORAGE_BLOB_DATA_CONTRIBUTOR, account_id)}
    return Removals(
        items=tuple(await _delete_roles(site, str(identity["properties"]["principalId"]), granted))
    )


async def _delete_roles(site: Site, principal_id: str, granted: set[tuple[str, str]]) -> list[Removal]:
    """Delete the roles that we gave a principal; those that others gave it are theirs, and reported."""
    ours = {(role_id, scope.casefold()) for role_id, scope in granted}
    found = await assignments_of(f"/subscriptions/{site.subscription_id}", f"principalId eq '{principal_id}'")
    mine = [one for one in found if (one.role_id, one.scope.casefold()) in ours]
    going = [site.group_id(site.names.resource_group), site.group_id(site.names.node_resource_group)]
    theirs = [
        one
        for one in found
        if one not in mine
        and not any(f"{one.scope}/".casefold().startswith(f"{group}/".casefold()) for group in going)
    ]
    removed = await all_ended(_delete_role(one.id, one.label) for one in mine)
    kept = [
        Removal(
            what="role assignment",
            name=one.label,
            id=one.id,
            outcome="kept",
            reason="this product didn't make it; whoever did should remove it, as its identity is gone",
        )
        for one in theirs
    ]
    return [*removed, *kept]


async def _delete_role(assignment_id: str, label: str) -> Removal:
    operations = cloud().authorization.role_assignments
    resource = deletable(
        "role assignment",
        assignment_id,
        operations.get_by_id,
        operations.delete_by_id,
        assignment_id.lstrip("/"),
    )
    outcome, reason = "kept", ""
    try:
        outcome = await ensure_absent(resource)
    except AzureRefused as refused:
        if refused.code != "ScopeLocked":
            raise
        reason = f"a lock forbids to remove it, and its identity is gone: {refused}"
    return _removal(resource, outcome, reason).model_copy(update={"name": label})


@arm_task("delete_grafana {site.names.grafana}")
async def delete_grafana(spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the Managed Grafana instance; its own identity goes with it.

    REST: https://learn.microsoft.com/rest/api/managed-grafana/grafana/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of it.
    """
    operations = cloud().dashboard.grafana
    return await _removed(
        spec,
        deletable(
            "Managed Grafana",
            site.resource_id("Microsoft.Dashboard/grafana", site.names.grafana),
            operations.get,
            operations.begin_delete,
            site.names.resource_group,
            site.names.grafana,
            expected_s=330,
            deadline_s=1800,
        ),
    )


@arm_task("delete_data_collection {site.names.cluster}")
async def delete_data_collection(spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the data collection rules of metrics and logs, then the endpoint that the first one uses.

    REST: https://learn.microsoft.com/rest/api/monitor/data-collection-rules/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of them.
    """
    names, group = site.names, site.names.resource_group
    rules, endpoints = cloud().monitor.data_collection_rules, cloud().monitor.data_collection_endpoints
    found = [
        deletable(
            "data collection rule",
            site.resource_id("Microsoft.Insights/dataCollectionRules", name),
            rules.get,
            rules.delete,
            group,
            name,
        )
        for name in (names.metrics_rule(spec.region), names.logs_rule(spec.region))
    ]
    removed = await all_ended(_removed(spec, one) for one in found)
    name = names.metrics_endpoint(spec.region)
    endpoint = deletable(
        "data collection endpoint",
        site.resource_id("Microsoft.Insights/dataCollectionEndpoints", name),
        endpoints.get,
        endpoints.delete,
        group,
        name,
    )
    removed.append(await _removed(spec, endpoint))
    return Removals(items=tuple(item for one in removed for item in one.items))


@arm_task("delete_monitor_workspace {site.names.monitor_workspace}")
async def delete_monitor_workspace(spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the Azure Monitor workspace, and see that the group goes that Azure made for it.

    REST: https://learn.microsoft.com/rest/api/monitor/azure-monitor-workspaces/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of workspace and group.

    Raises:
        OperationNotDone: Azure's group is still there at the deadline.
    """
    names, groups = site.names, cloud().resources.resource_groups
    operations = cloud().monitor.azure_monitor_workspaces
    managed = names.monitor_group(spec.region)
    group = deletable(
        "managed resource group", site.group_id(managed), groups.get, groups.begin_delete, managed
    )
    was_there = await read(group.label, _get, group) is not None
    removed = await _removed(
        spec,
        deletable(
            "Azure Monitor workspace",
            site.resource_id("Microsoft.Monitor/accounts", names.monitor_workspace),
            operations.get,
            operations.begin_delete,
            names.resource_group,
            names.monitor_workspace,
            expected_s=93,
            deadline_s=1800,
        ),
    )
    await wait_until_absent(group)
    return Removals(items=(*removed.items, _removal(group, "deleted" if was_there else "not found")))


@arm_task("delete_log_workspace {site.names.log_workspace}")
async def delete_log_workspace(spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the Log Analytics workspace; Azure keeps it for two weeks, and the receipt says until when.

    REST: https://learn.microsoft.com/rest/api/loganalytics/workspaces/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of it.
    """
    operations = cloud().log_analytics.workspaces
    resource = deletable(
        "Log Analytics workspace",
        site.resource_id("Microsoft.OperationalInsights/workspaces", site.names.log_workspace),
        operations.get,
        operations.begin_delete,
        site.names.resource_group,
        site.names.log_workspace,
        expected_s=10,
    )
    (removed,) = (await _removed(spec, resource)).items
    held = {str(workspace["id"]).casefold() for workspace in await deleted_workspaces()}
    if resource.id.casefold() in held:
        reason = "" if removed.outcome == "deleted" else "deleted before this run"
        return Removals(items=(soft_deleted(resource.id, reason),))
    return Removals(items=(removed,))


@arm_task("delete_managed_identity {site.names.identity}")
async def delete_managed_identity(spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the managed identity, which nothing uses any more.

    REST: https://learn.microsoft.com/rest/api/managedidentity/user-assigned-identities/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of it.
    """
    operations = cloud().identities.user_assigned_identities
    return await _removed(
        spec,
        deletable(
            "managed identity",
            site.resource_id("Microsoft.ManagedIdentity/userAssignedIdentities", site.names.identity),
            operations.get,
            operations.delete,
            site.names.resource_group,
            site.names.identity,
        ),
    )


@arm_task("see_to_backups {vault.account}")
async def see_to_backups(spec: EnvironmentSpec, vault: Vault) -> Removals:
    """Delete the storage account with all backups where that was asked for in words; else see that it is kept.

    REST: https://learn.microsoft.com/rest/api/storagerp/storage-accounts/delete

    Args:
        spec: the environment.
        vault: the account, and whether it was asked for.

    Returns:
        What became of account and backup group.
    """
    accounts, groups = cloud().storage.storage_accounts, cloud().resources.resource_groups
    account = deletable(
        "storage account",
        vault.account_id,
        accounts.get_properties,
        accounts.delete,
        vault.group,
        vault.account,
        expected_s=5,
    )
    group = deletable(
        "backup resource group",
        vault.group_id,
        groups.get,
        groups.begin_delete,
        vault.group,
        expected_s=60,
        deadline_s=3600,
    )
    if vault.wanted:
        removed = await _removed(spec, account)
        if not vault.apart:
            return removed
        return Removals(items=(*removed.items, await _delete_group(spec, group, None, vault)))
    kept = []
    for one in (account, *([group] if vault.apart else [])):
        if await read(one.label, _get, one) is not None:
            kept.append(_removal(one, "kept", "backups survive unless delete_backups names their account"))
    return Removals(items=tuple(kept))


@arm_task("delete_resource_group {site.names.resource_group}")
async def delete_resource_group(spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the environment's resource group once it is empty; with backups in it, it stays.

    REST: https://learn.microsoft.com/rest/api/resources/resource-groups/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of it.

    Raises:
        NotOurs: something else is in it by now.
        OperationNotDone: what was deleted is still listed.
    """
    groups = cloud().resources.resource_groups
    group = deletable(
        "resource group",
        site.group_id(site.names.resource_group),
        groups.get,
        groups.begin_delete,
        site.names.resource_group,
        expected_s=60,
        deadline_s=3600,
    )
    return Removals(items=(await _delete_group(spec, group, site, None),))


class _HoldsBackups(Exception):
    """The group is to stay, as an account with backups is in it."""


async def _delete_group(
    spec: EnvironmentSpec, group: Deletable, site: Site | None, vault: Vault | None
) -> Removal:
    async def check(live: Json) -> None:
        if not is_ours(live.get("tags"), spec):
            raise NotOurs(untagged(spec, group.label))
        await _emptied(spec, group, site, vault)

    try:
        return _removal(group, await ensure_absent(group, check))
    except _HoldsBackups as held:
        return _removal(group, "kept", str(held))


async def _emptied(spec: EnvironmentSpec, group: Deletable, site: Site | None, vault: Vault | None) -> None:
    """Wait until nothing is listed in the group any more."""
    started_s = clock.now_s()
    while contents := await contents_of(group.name):
        others = foreign(spec, site, contents) if site else []
        others += foreign_backups(spec, vault.account_id, contents) if vault else []
        if others:
            raise NotOurs(f"{group.label} was kept: {' '.join(others)}")
        if site and all(_is_backup(site, resource) for resource in contents):
            listed = ", ".join(map(described, contents))
            raise _HoldsBackups(f"{listed} is in it, and backups survive unless delete_backups names it")
        elapsed_s = clock.now_s() - started_s
        if elapsed_s > _LISTED_FOR_S:
            raise OperationNotDone(
                f"{group.label}: {', '.join(map(described, contents))} still in it after {clock.minutes(elapsed_s)}, "
                "although deleted. Run again to look once more."
            )
        journal().waiting(f"{group.label} isn't empty yet", elapsed_s=elapsed_s, expected_s=60)
        await clock.sleep(10)


def _is_backup(site: Site, resource: Json) -> bool:
    names = site.names
    account_id = site.resource_id("Microsoft.Storage/storageAccounts", names.storage_account)
    return (
        names.backup_group == names.resource_group and str(resource["id"]).casefold() == account_id.casefold()
    )
