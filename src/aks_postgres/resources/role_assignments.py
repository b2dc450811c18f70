"""Role assignments, as every chapter that gives one makes them.

A role assignment is found by scope, principal and role, whatever its GUID: the portal and az draw theirs at random.
https://learn.microsoft.com/rest/api/authorization/role-assignments
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from azure.core.exceptions import HttpResponseError

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision
from aks_postgres.arm.kind import Kind, whole_id
from aks_postgres.arm.planned import is_unknown
from aks_postgres.arm.reconcile import ensure
from aks_postgres.arm.resource import ArmResource
from aks_postgres.arm.responses import Answer, Json, wire_items
from aks_postgres.arm.retry import all_ended, read_list, read_path, send
from aks_postgres.reports.outputs import CREATED, UNCHANGED, Change, FieldChange, RoleOutputs
from aks_postgres.resources.permitted import granting
from aks_postgres.spec.names import role_assignment_name

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
STORAGE_BLOB_DATA_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
STORAGE_BLOB_DATA_OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"
GRAFANA_ADMIN = "22926164-76b3-42b3-bc55-97df8dab3e41"
MONITORING_READER = "43d0d8ad-25c7-4714-9337-8ba259a9fe05"
MONITORING_DATA_READER = "b0d8363b-8ddd-447d-831f-62ca05bff136"

ROLE_NAMES = {
    STORAGE_BLOB_DATA_CONTRIBUTOR: "Storage Blob Data Contributor",
    STORAGE_BLOB_DATA_OWNER: "Storage Blob Data Owner",
    NETWORK_CONTRIBUTOR: "Network Contributor",
    GRAFANA_ADMIN: "Grafana Admin",
    MONITORING_READER: "Monitoring Reader",
    MONITORING_DATA_READER: "Monitoring Data Reader",
}


KIND = Kind(
    "Microsoft.Authorization/roleAssignments",
    "role assignment",
    "Access",
    lambda azure: azure.authorization.role_assignments,
    get="get_by_id",
    put="create",
    delete="delete_by_id",
    key=whole_id,
    step="roles of the identity, of Grafana and its admins",
    removal="roles of the identity and of Grafana",
)


@dataclass(frozen=True)
class Grant:
    """A role wanted for a principal at a scope (a resource ID, without trailing slash)."""

    role_id: str
    scope: str
    principal_id: str
    principal_type: str
    enough: tuple[str, ...] = ()
    """Actions that another role may hold instead, where roles are given by others."""
    or_anyone: bool = False
    """Whether a plan is content with anybody who has the role at the scope: who plans needn't be who runs."""

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"role {ROLE_NAMES[self.role_id]} for {self.principal_id} on {self.scope.rsplit('/', 1)[-1]}"

    @property
    def command(self) -> str:
        """How a person gives it."""
        return (
            f"az role assignment create --assignee-object-id {self.principal_id} --assignee-principal-type "
            f"{self.principal_type} --role '{ROLE_NAMES[self.role_id]}' --scope {self.scope}"
        )


@dataclass(frozen=True)
class Assignment:
    """A role assignment that is there."""

    id: str
    role_id: str
    scope: str
    principal_id: str

    @property
    def label(self) -> str:
        """How messages call it."""
        role = ROLE_NAMES.get(self.role_id, self.role_id)
        return f"{role} for {self.principal_id} on {self.scope.rsplit('/', 1)[-1]}"


async def assignments_of(azure: Azure, scope: str, wanted: str) -> list[Assignment]:
    """The role assignments at, above and below a scope that an OData filter lets through."""
    if is_unknown(wanted):
        return []
    label = f"role assignments on {scope.rsplit('/', 1)[-1]}"
    return [
        Assignment(
            id=str(found["id"]),
            role_id=str(found["properties"]["roleDefinitionId"]).rsplit("/", 1)[-1].casefold(),
            scope=str(found["properties"]["scope"]).rstrip("/"),
            principal_id=str(found["properties"]["principalId"]),
        )
        for found in await read_list(label, lambda: _listed(azure, scope, wanted))
    ]


async def _listed(azure: Azure, scope: str, wanted: str) -> list[Json]:
    operations = azure.authorization.role_assignments
    try:
        return await wire_items(operations.list_for_scope(scope.lstrip("/"), filter=wanted))
    except HttpResponseError as error:
        if azure.gate.plans and error.status_code == 404:  # the scope itself is only planned
            return []
        raise


async def assigned(azure: Azure, grant: Grant) -> Json | None:
    """The live assignment of this role to this principal at exactly this scope, if there is one."""
    if azure.gate.plans and is_unknown(grant.scope + grant.principal_id):
        return None
    if of_anyone := await _of_anyone(azure, grant):
        return {"id": of_anyone.id}
    mine = f"principalId eq '{grant.principal_id}'"
    for found in await read_list(grant.label, lambda: _listed(azure, grant.scope, mine)):
        properties = found.get("properties") or {}
        if (
            str(properties.get("scope", "")).casefold() == grant.scope.casefold()
            and str(properties.get("principalId", "")).casefold() == grant.principal_id.casefold()
            and str(properties.get("roleDefinitionId", "")).casefold().endswith(grant.role_id)
        ):
            return found
    return None


async def _of_anyone(azure: Azure, grant: Grant) -> Assignment | None:
    """In a plan, anybody's assignment at the scope, where that will do."""
    if not (azure.gate.plans and grant.or_anyone):
        return None
    there = await assignments_of(azure, grant.scope, "atScope()")
    wanted = (grant.role_id, grant.scope.casefold())
    return next(
        (assignment for assignment in there if (assignment.role_id, assignment.scope.casefold()) == wanted),
        None,
    )


async def ensure_grants(azure: Azure, grants: Sequence[Grant]) -> RoleOutputs:
    """Make the role assignments that are missing, all at once; with `roles: verify`, say which are."""
    if not azure.assigns_roles:
        return await _verified(azure, grants)
    made = await all_ended(_ensure_grant(azure, grant) for grant in grants)
    new = tuple(
        FieldChange(field=grant.label, old=None, new="assigned")
        for grant, (_, change) in zip(grants, made, strict=True)
        if change.kind == "created"
    )
    change = Change(kind="created", fields=new) if new else UNCHANGED
    return RoleOutputs(ids=tuple(live["id"] for live, _ in made), change=change)


async def _verified(azure: Azure, grants: Sequence[Grant]) -> RoleOutputs:
    """Look for roles that somebody else gives; what is missing ends the run at its end, all of it together."""
    found = await all_ended(_given(azure, grant) for grant in grants)
    missing = [grant for grant, given in zip(grants, found, strict=True) if given is None]
    change = UNCHANGED
    if azure.gate.plans and missing:
        by = "to be assigned by somebody who may"
        fields = tuple(FieldChange(field=grant.label, old=None, new=by) for grant in missing)
        change = Change(kind="created", fields=fields)
    return RoleOutputs(
        ids=tuple(given.id for given in found if given),
        missing=tuple(grant.command for grant in missing),
        change=change,
    )


async def _given(azure: Azure, grant: Grant) -> Assignment | None:
    """An assignment of this role that reaches the principal at the scope: there, above it, or through a group.

    https://learn.microsoft.com/azure/role-based-access-control/role-assignments-list-rest (assignedTo)
    """
    if azure.gate.plans and is_unknown(grant.scope + grant.principal_id):
        return None
    if of_anyone := await _of_anyone(azure, grant):
        return of_anyone
    there = await assignments_of(azure, grant.scope, f"atScope() and assignedTo('{grant.principal_id}')")
    for assignment in there:
        if assignment.role_id == grant.role_id or (
            grant.enough and await _allows(azure, assignment, grant.enough)
        ):
            return assignment
    return None


async def _allows(azure: Azure, assignment: Assignment, actions: Sequence[str]) -> bool:
    """Return whether the role of an assignment holds all of these actions.

    https://learn.microsoft.com/rest/api/authorization/role-definitions/get-by-id
    """
    path = f"/subscriptions/{azure.subscription_id}/providers/Microsoft.Authorization/roleDefinitions"
    found = await read_path(
        f"role {assignment.role_id}", lambda: azure.get(f"{path}/{assignment.role_id}", "2022-04-01")
    )
    permissions = (found.body.get("properties") or {}).get("permissions") or []
    return all(granting(action, permissions) for action in actions)


def desired(grant: Grant, subscription_id: str) -> Json:
    """The role assignment; without the type Azure looks the principal up in Entra ID, which may not know it yet."""
    role = (
        f"/subscriptions/{subscription_id}/providers/Microsoft.Authorization/roleDefinitions/{grant.role_id}"
    )
    return {
        "properties": {
            "roleDefinitionId": role,
            "principalId": grant.principal_id,
            "principalType": grant.principal_type,
        }
    }


async def _ensure_grant(azure: Azure, grant: Grant) -> tuple[Json, Change]:
    operations = azure.authorization.role_assignments
    name = role_assignment_name(grant.scope, grant.principal_id, grant.role_id)

    async def get() -> Answer:
        return Answer(200, await assigned(azure, grant) or {})

    async def put(body: Json, _live: Json | None) -> Answer:
        azure.gate.require(f"{grant.label}: does not exist yet")
        return await send(operations.create, grant.scope.lstrip("/"), name, json.dumps(body).encode())

    def decision(live: Json | None) -> Decision:
        if live:
            return Decision(UNCHANGED)
        return Decision(CREATED, desired(grant, azure.subscription_id))

    resource = ArmResource(
        azure, grant.label, f"{grant.scope}/.../{name}", get, put, expected_s=2, deadline_s=120
    )
    return await ensure(resource, decision)
