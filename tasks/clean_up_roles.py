"""Guide: Create infrastructure, "Clean up resources" - role assignments, which no resource group takes along.

Ours are those that `provision` gives: role, principal and scope. Others' are reported and left alone.
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.deletion import ensure_absent
from aks_postgres.arm.errors import AzureRefused
from aks_postgres.arm.retry import all_ended, read
from aks_postgres.reports.outputs import Target
from aks_postgres.reports.receipt import Removal, Removals
from aks_postgres.resources import grafana, monitor_workspace, storage_account
from aks_postgres.resources.role_assignments import (
    GRAFANA_ADMIN,
    KIND,
    MONITORING_DATA_READER,
    MONITORING_READER,
    NETWORK_CONTRIBUTOR,
    STORAGE_BLOB_DATA_CONTRIBUTOR,
    Assignment,
    assignments_of,
)
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.names import role_assignment_name
from aks_postgres.spec.spec_paths import resource_type
from aks_postgres.tear_down.removal import removal

SUBNET = "microsoft.network/virtualnetworks/subnets"


@arm_task("delete_grafana_roles {target.names.grafana}")
async def delete_grafana_roles(azure: Azure, target: Target) -> Removals:
    """Take Grafana's identity its roles, wherever they are, and people theirs on Grafana.

    Nothing else would: the role on the subscription stays behind as "identity not found" when Grafana goes.
    REST: https://learn.microsoft.com/rest/api/authorization/role-assignments/delete

    Args:
        target: the generation.

    Returns:
        What became of them.
    """
    names = target.names
    live = await read(
        f"Managed Grafana {names.grafana}", azure.dashboard.grafana.get, names.resource_group, names.grafana
    )
    if live is None:
        return Removals(items=())
    grafana_id = target.resource_id(grafana.KIND.type, names.grafana)
    principal_id = str((live.get("identity") or {}).get("principalId") or "")
    readable = [
        f"/subscriptions/{target.subscription_id}",
        target.group_id(names.resource_group),
        target.group_id(names.node_resource_group),
    ]
    granted = {(MONITORING_READER, scope) for scope in readable} | {
        (MONITORING_DATA_READER, target.resource_id(monitor_workspace.KIND.type, names.monitor_workspace))
    }
    mine = await _delete_roles(azure, target, principal_id, granted) if principal_id else []
    if not azure.assigns_roles:
        return Removals(items=tuple(mine))  # people's go with the instance
    people = [
        assignment
        for assignment in await assignments_of(azure, grafana_id, "atScope()")
        if assignment.scope.casefold() == grafana_id.casefold() and assignment.role_id == GRAFANA_ADMIN
    ]
    return Removals(
        items=(
            *mine,
            *await all_ended(_delete_role(azure, assignment.id, assignment.label) for assignment in people),
        )
    )


@arm_task("delete_identity_roles {target.names.identity}")
async def delete_identity_roles(azure: Azure, target: Target) -> Removals:
    """Take the managed identities the roles that outlive them: on the storage account, and on a subnet of one's own.

    REST: https://learn.microsoft.com/rest/api/authorization/role-assignments/delete

    Args:
        target: the generation.

    Returns:
        What became of it. One under a lock, as careful people put on backups, is kept.
    """
    names = target.names
    operations = azure.identities.user_assigned_identities
    identities = await all_ended(
        read(f"managed identity {name}", operations.get, names.resource_group, name)
        for name in (names.identity, names.backup_identity)
    )
    account_id = target.resource_id(storage_account.KIND.type, names.storage_account, names.backup_group)
    granted = {(STORAGE_BLOB_DATA_CONTRIBUTOR, account_id)}
    removed = await all_ended(
        _delete_roles(azure, target, str(identity["properties"]["principalId"]), granted)
        for identity in identities
        if identity
    )
    return Removals(items=tuple(item for items in removed for item in items))


async def _delete_roles(
    azure: Azure, target: Target, principal_id: str, granted: set[tuple[str, str]]
) -> list[Removal]:
    """Delete the roles that we gave a principal; those that others gave it are theirs, and reported.

    With `roles: verify` all are others'.
    """
    if not azure.assigns_roles:
        granted = set()
    ours = {(role_id, scope.casefold()) for role_id, scope in granted}
    found = await assignments_of(
        azure, f"/subscriptions/{target.subscription_id}", f"principalId eq '{principal_id}'"
    )
    mine = [
        assignment
        for assignment in found
        if (assignment.role_id, assignment.scope.casefold()) in ours
        or (azure.assigns_roles and _on_a_subnet_by_us(assignment))
    ]
    going = [target.group_id(target.names.resource_group), target.group_id(target.names.node_resource_group)]
    theirs = [
        assignment
        for assignment in found
        if assignment not in mine
        and not any(f"{assignment.scope}/".casefold().startswith(f"{group}/".casefold()) for group in going)
    ]
    removed = await all_ended(_delete_role(azure, assignment.id, assignment.label) for assignment in mine)
    kept = [
        Removal(
            what="role assignment",
            name=assignment.label,
            id=assignment.id,
            outcome="kept",
            reason="this product didn't make it; whoever did should remove it, as its identity is gone: "
            f"az role assignment delete --ids {assignment.id}",
        )
        for assignment in theirs
    ]
    return [*removed, *kept]


def _on_a_subnet_by_us(one: Assignment) -> bool:
    """Return whether we gave a role on a subnet: its name is computed, and the spec may have another subnet by now."""
    name = role_assignment_name(one.scope, one.principal_id, one.role_id)
    is_ours = one.id.rpartition("/")[2].casefold() == name.casefold()
    return is_ours and one.role_id == NETWORK_CONTRIBUTOR and resource_type(one.scope) == SUBNET


async def _delete_role(azure: Azure, assignment_id: str, label: str) -> Removal:
    resource = KIND.gone(azure, assignment_id)
    outcome, reason = "kept", ""
    try:
        outcome = await ensure_absent(resource)
    except AzureRefused as refused:
        if refused.code != "ScopeLocked":
            raise
        reason = f"a lock forbids to remove it, and its identity is gone: {refused}"
    return removal(resource, outcome, reason).model_copy(update={"name": label})
