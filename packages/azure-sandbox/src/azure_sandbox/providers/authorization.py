"""Microsoft.Authorization: role assignments, role definitions, permissions, locks.

Left out: custom roles, conditions (stored, not evaluated), deny assignments of data actions, eligibility (PIM),
making policy assignments (see `policy_assignments.py`).

https://learn.microsoft.com/azure/role-based-access-control/troubleshooting
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.provider import Provider
from azure_sandbox.core.rbac import ROLE_ASSIGNMENT, RoleDefinition, role_definitions
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.core.words import as_written

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

provider = Provider("Microsoft.Authorization")

ASSIGNMENT_VERSIONS = (
    "2015-07-01",
    "2018-01-01-preview",
    "2018-09-01-preview",
    "2020-03-01-preview",
    "2020-04-01-preview",
    "2020-08-01-preview",
    "2020-10-01-preview",
    "2021-04-01-preview",
    "2022-04-01",
)
DEFINITION_VERSIONS = ("2015-07-01", "2018-01-01-preview", "2022-04-01", "2022-05-01-preview")
DENIAL_VERSIONS = ("2022-04-01", "2024-07-01-preview")
LOCK_VERSIONS = ("2015-01-01", "2016-09-01", "2017-04-01", "2020-05-01")

provider.type("roleAssignments", api_versions=ASSIGNMENT_VERSIONS, tracked=False)
provider.type("roleDefinitions", api_versions=DEFINITION_VERSIONS, tracked=False)
provider.type("permissions", api_versions=DEFINITION_VERSIONS, tracked=False)
provider.type("denyAssignments", api_versions=DENIAL_VERSIONS, tracked=False)
provider.type("locks", api_versions=LOCK_VERSIONS, tracked=False)

ASSIGNMENT = "roleAssignments/{assignment}"
# https://learn.microsoft.com/rest/api/authorization/role-assignments/create
WORDS = {"properties.principalType": ("User", "Group", "ServicePrincipal", "ForeignGroup", "Device")}


@provider.put(ASSIGNMENT, scope="any")
def role_assignments_create(call: Call) -> Response:
    """RoleAssignments_Create: 201; the same triple again is 200 under its own name, 409 under another.

    Without principalType the service looks the principal up in Entra, which may not know a new one yet: 400
    PrincipalNotFound. With ServicePrincipal it doesn't look (but see the setting
    `principal_type_skips_lookup`).

    REST: https://learn.microsoft.com/rest/api/authorization/role-assignments/create
    """
    call.check_shape({"properties": {"roleDefinitionId": str, "principalId": str, "principalType": str}})
    name = call.names["assignment"]
    try:
        uuid.UUID(name)
    except ValueError as error:
        text = f"The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."
        raise ArmError(400, "InvalidRoleAssignmentId", text) from error
    _check_scope(call)
    role = _role(call, str(call.require("properties", "roleDefinitionId")))
    principal_id = str(call.require("properties", "principalId"))
    call.body = as_written(call.body, WORDS)
    kind = call.properties.get("principalType")
    _check_principal(call, principal_id, kind)
    definition = f"{call.sandbox.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role.id}"
    triple = (call.scope.lower(), principal_id.lower(), role.id)
    if call.fault and call.fault.get("assigned_before"):
        call.sandbox.assign(role.id, principal_id, call.scope)
    for other in call.sandbox.store.of_type(ROLE_ASSIGNMENT):
        if other.name.lower() == name.lower():
            if _triple(other) == triple:
                return Response(200, other)
            text = (
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated. The role "
                f"assignment '{name}' exists with other values."
            )
            raise ArmError(400, "RoleAssignmentUpdateNotPermitted", text)
    for other in call.sandbox.store.of_type(ROLE_ASSIGNMENT):
        if _triple(other) == triple:
            text = (
                f"The role assignment already exists. The ID of the existing role assignment is {other.name}."
            )
            raise ArmError(409, "RoleAssignmentExists", text)
    now = call.sandbox.clock.iso()
    assignment = call.put(
        {
            "properties": {
                "roleDefinitionId": definition,
                "principalId": principal_id,
                "principalType": kind or "ServicePrincipal",
                "scope": call.scope,
                "condition": call.properties.get("condition"),
                "conditionVersion": call.properties.get("conditionVersion"),
                "description": call.properties.get("description"),
                "createdOn": now,
                "updatedOn": now,
                "createdBy": call.principal.object_id,
                "updatedBy": call.principal.object_id,
                "delegatedManagedIdentityResourceId": None,
            }
        }
    )
    call.sandbox.rbac.assigned(assignment)
    return Response(201, assignment, latency_s=call.seconds("role_assignment_write"))


def _check_scope(call: Call) -> None:
    """A role can't be assigned at what isn't there."""
    if call.scope == "/" or call.sandbox.store.get(call.scope) is not None:
        return
    name = call.scope.rsplit("/", 1)[-1]
    kind = call.scope.partition("/providers/")[2].rpartition("/")[0]
    where = f" under resource group '{call.group}'" if call.group else ""
    text = (
        f"The Resource '{kind}/{name}'{where} was not found. For more details please go to "
        "https://aka.ms/ARMResourceNotFoundFix"
    )
    raise ArmError(404, "ResourceNotFound", text, headers={"x-ms-failure-cause": "gateway"})


def _role(call: Call, wanted: str) -> RoleDefinition:
    role = role_definitions().get(wanted.rsplit("/", 1)[-1].lower())
    if role is None:
        text = f"The specified role definition with ID '{wanted.rsplit('/', 1)[-1]}' does not exist."
        raise ArmError(404, "RoleDefinitionDoesNotExist", text)
    return role


def _check_principal(call: Call, principal_id: str, kind: str | None) -> None:
    entra = call.sandbox.entra
    known = entra.find(principal_id)
    # A known principal of another kind: the SDK's default is User.
    if kind not in (None, "ServicePrincipal") and (known is None or entra.replicated(principal_id)):
        if known is None:
            raise _principal_not_found(call, principal_id)
        text = (
            f"The PrincipalId '{principal_id.replace('-', '')}' has type 'ServicePrincipal' , which is "
            f"different from specified PrinciaplType '{kind}'."
        )
        raise ArmError(400, "UnmatchedPrincipalType", text)
    skips = kind == "ServicePrincipal" and call.sandbox.settings["principal_type_skips_lookup"]
    if not skips and entra.replicated(principal_id) is None:
        raise _principal_not_found(call, principal_id)


def _principal_not_found(call: Call, principal_id: str) -> ArmError:
    return ArmError(
        400,
        "PrincipalNotFound",
        f"Principal {principal_id.replace('-', '')} does not exist in the directory "
        f"{call.sandbox.tenant_id}. Check that you have the correct principal ID. If you are creating this "
        "principal and then immediately assigning a role, this error might be related to a replication "
        "delay. In this case, set the role assignment principalType property to a value, such as "
        "ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
    )


def _triple(assignment: Resource) -> tuple[str, str, str]:
    shown = assignment.properties
    return (
        shown["scope"].lower(),
        shown["principalId"].lower(),
        shown["roleDefinitionId"].rsplit("/", 1)[-1].lower(),
    )


@provider.get(ASSIGNMENT, scope="any")
def role_assignments_get(call: Call) -> Response:
    """RoleAssignments_Get: one assignment, or 404 RoleAssignmentNotFound."""
    if call.live is None:
        text = f"The role assignment '{call.names['assignment']}' is not found."
        raise ArmError(404, "RoleAssignmentNotFound", text)
    return Response(200, call.live)


@provider.delete(ASSIGNMENT, scope="any")
def role_assignments_delete(call: Call) -> Response:
    """RoleAssignments_Delete: 200 with what was deleted, 204 when there is none."""
    if call.live is None:
        return Response(204)
    call.sandbox.remove(call.live)
    return Response(200, call.live, latency_s=call.seconds("role_assignment_write"))


@provider.removed("roleAssignments")
def _assignment_removed(assignment: Resource, sandbox: Sandbox) -> None:
    sandbox.rbac.unassigned(assignment)


@provider.restored("roleAssignments")
def _assignment_restored(assignment: Resource, sandbox: Sandbox) -> None:
    sandbox.rbac.assigned(assignment)


@provider.list("roleAssignments", scope="any")
def role_assignments_list_for_scope(call: Call) -> Response:
    """RoleAssignments_ListForScope: assignments at, above and below the scope; $filter narrows them.

    `atScope()` leaves out what is below, `principalId eq` and `assignedTo()` what belongs to others.

    REST: https://learn.microsoft.com/rest/api/authorization/role-assignments/list-for-scope
    """
    principal = _principal_of(call.query.get("$filter", ""))
    shown = [
        assignment.body
        for assignment in call.sandbox.store.of_type(ROLE_ASSIGNMENT)
        if _is_listed(call, assignment.properties["scope"])
        and principal in (None, assignment.properties["principalId"].lower())
    ]
    return Response(200, {"value": shown})


def _is_listed(call: Call, own: str) -> bool:
    """Whether a listing for the call's scope shows what is at `own`; below it, not with `atScope()`."""
    own, scope = own.lower().rstrip("/"), call.scope.lower().rstrip("/")
    if own == scope or scope.startswith(own + "/"):
        return True
    return own.startswith(scope + "/") and "atscope()" not in call.query.get("$filter", "").lower()


def _principal_of(wanted: str) -> str | None:
    """The principal that a filter asks for; 501 for a filter of another kind."""
    rest = re.sub(r"(?i)atScope\(\)|\band\b", "", wanted).strip()
    if not rest:
        return None
    found = re.fullmatch(r"(?i)(?:principalId eq|assignedTo\()\s*'([^']*)'\)?", rest)
    if found is None:
        text = f"The filter '{wanted}' isn't emulated; it would be added to azure_sandbox/providers/authorization.py."
        raise ArmError(501, "NotImplemented", text)
    return found[1].lower()


# Role definitions.


@provider.get("roleDefinitions/{definition}", scope="any")
def role_definitions_get(call: Call) -> Response:
    """RoleDefinitions_Get: a built-in role."""
    role = _role(call, call.names["definition"])
    return Response(200, _definition(call.sandbox, role))


@provider.list("roleDefinitions", scope="any")
def role_definitions_list(call: Call) -> Response:
    """RoleDefinitions_List: the built-in roles that the table knows; $filter on roleName.

    REST: https://learn.microsoft.com/rest/api/authorization/role-definitions/list
    """
    wanted = call.query.get("$filter", "")
    roles = list(role_definitions().values())
    found = re.fullmatch(r"(?i)\s*roleName eq '([^']*)'\s*", wanted)
    if found is not None:
        roles = [role for role in roles if role.name.lower() == found[1].lower()]
    elif wanted and not re.fullmatch(
        r"(?i)\s*(atScope\(\)|type eq 'BuiltInRole'|atScopeAndBelow\(\))\s*", wanted
    ):
        text = f"The filter '{wanted}' isn't emulated; it would be added to azure_sandbox/providers/authorization.py."
        raise ArmError(501, "NotImplemented", text)
    return Response(200, {"value": [_definition(call.sandbox, role) for role in roles]})


def _definition(sandbox: Sandbox, role: RoleDefinition) -> Json:
    return {
        "id": f"{sandbox.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role.id}",
        "name": role.id,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole",
            "description": role.description,
            "assignableScopes": ["/"],
            "permissions": [role.permission()],
        },
    }


# Permissions.


@provider.list("permissions", scope="any", permission="none")
def permissions_list(call: Call) -> Response:
    """Permissions_ListForResource: what the caller may do at the scope: one entry for each assignment.

    REST: https://learn.microsoft.com/rest/api/authorization/permissions/list-for-resource
    """
    shown = []
    for assignment in call.sandbox.rbac.at(call.principal.object_id, call.scope):
        role = role_definitions().get(assignment.properties["roleDefinitionId"].rsplit("/", 1)[-1])
        if role is not None:
            shown.append(role.permission())
    return Response(200, {"value": shown})


# Deny assignments.

DENIAL = "denyAssignments/{denial}"


@provider.put(DENIAL, scope="any")
def deny_assignments_create(call: Call) -> Response:
    """DenyAssignments_Create: 201, in force at once; one for everyone has to exclude somebody.

    https://learn.microsoft.com/powershell/module/az.resources/new-azdenyassignment
    """
    people = [{"id": str, "type": str}]
    actions = [{"actions": [str], "notActions": [str]}]
    call.check_shape(
        {"properties": {"permissions": actions, "principals": people, "excludePrincipals": people}}
    )
    for name in ("denyAssignmentName", "permissions", "principals"):
        call.require("properties", name)
    _check_scope(call)
    new = call.live is None
    return Response(201 if new else 200, call.put({"properties": {**call.properties, "scope": call.scope}}))


@provider.get(DENIAL, scope="any")
def deny_assignments_get(call: Call) -> Response:
    """DenyAssignments_Get: one deny assignment."""
    return Response(200, call.found())


@provider.delete(DENIAL, scope="any")
def deny_assignments_delete(call: Call) -> Response:
    """DenyAssignments_Delete: 200, 204 when there is none."""
    return call.delete_now()


@provider.list("denyAssignments", scope="any")
def deny_assignments_list_for_scope(call: Call) -> Response:
    """DenyAssignments_ListForScope: at, above and below the scope; `atScope()`: not below.

    REST: https://learn.microsoft.com/rest/api/authorization/deny-assignments/list-for-scope
    """
    denials = call.sandbox.store.of_type("Microsoft.Authorization/denyAssignments")
    shown = [denial.body for denial in denials if _is_listed(call, denial.properties["scope"])]
    return Response(200, {"value": shown})


# Locks.

LOCK = "locks/{lock}"


@provider.put(LOCK, scope="any")
def management_locks_create_or_update_by_scope(call: Call) -> Response:
    """ManagementLocks_CreateOrUpdateByScope: CanNotDelete or ReadOnly, in force at once.

    REST: https://learn.microsoft.com/rest/api/resources/management-locks/create-or-update-by-scope
    """
    call.check_shape({"properties": {"level": str, "notes": str}})
    level = call.require("properties", "level")
    if level not in ("CanNotDelete", "ReadOnly"):
        text = f"The lock level '{level}' is invalid: it must be CanNotDelete or ReadOnly."
        raise ArmError(400, "InvalidLockLevel", text)
    _check_scope(call)
    new = call.live is None
    properties = {"level": level, "notes": call.properties.get("notes")}
    lock = call.put({"properties": properties})
    lock.notes["scope"] = call.scope
    return Response(201 if new else 200, lock)


@provider.get(LOCK, scope="any")
def management_locks_get_by_scope(call: Call) -> Response:
    """ManagementLocks_GetByScope: one lock."""
    if call.live is None:
        raise ArmError(404, "LockNotFound", f"The lock '{call.names['lock']}' could not be found.")
    return Response(200, call.live)


@provider.delete(LOCK, scope="any")
def management_locks_delete_by_scope(call: Call) -> Response:
    """ManagementLocks_DeleteByScope: 200, 204 when there is none."""
    return call.delete_now()


@provider.list("locks", scope="any")
def management_locks_list_by_scope(call: Call) -> Response:
    """ManagementLocks_ListByScope: locks at, above and below the scope; `atScope()`: not below."""
    locks = call.sandbox.store.of_type("Microsoft.Authorization/locks")
    return Response(200, {"value": [lock.body for lock in locks if _is_listed(call, lock.notes["scope"])]})
