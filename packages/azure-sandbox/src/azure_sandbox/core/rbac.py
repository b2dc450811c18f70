"""Role-based access control: which roles there are, who has them where, and what they allow.

Definitions: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles (`data/roles.yaml`).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from azure_sandbox.core.resource import Principal, Resource
from azure_sandbox.core.responses import ArmError

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

ROLE_ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
# https://learn.microsoft.com/azure/role-based-access-control/deny-assignments
EVERYONE = "00000000-0000-0000-0000-000000000000"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"


@dataclass(frozen=True)
class RoleDefinition:
    """A built-in role."""

    id: str
    name: str
    description: str
    actions: tuple[str, ...]
    not_actions: tuple[str, ...]
    data_actions: tuple[str, ...]
    not_data_actions: tuple[str, ...]

    def allows(self, action: str, *, data: bool) -> bool:
        """Whether the role allows an action, or a data action."""
        allowed, refused = (
            (self.data_actions, self.not_data_actions) if data else (self.actions, self.not_actions)
        )
        return _any(allowed, action) and not _any(refused, action)

    def permission(self) -> Json:
        """The role's one permission, as Azure shows it."""
        return {
            "actions": list(self.actions),
            "notActions": list(self.not_actions),
            "dataActions": list(self.data_actions),
            "notDataActions": list(self.not_data_actions),
        }


def denies(permissions: list[Json], action: str) -> bool:
    """Whether a deny assignment's permissions forbid an action."""
    return any(
        _any(tuple(permission.get("actions") or ()), action)
        and not _any(tuple(permission.get("notActions") or ()), action)
        for permission in permissions
    )


@functools.cache
def role_definitions() -> dict[str, RoleDefinition]:
    """All roles by GUID."""
    table = yaml.safe_load((Path(__file__).parents[1] / "data" / "roles.yaml").read_text())
    return {
        entry["id"]: RoleDefinition(
            entry["id"],
            entry["name"],
            entry.get("description", ""),
            *(
                tuple(entry.get(field, ()))
                for field in ("actions", "not_actions", "data_actions", "not_data_actions")
            ),
        )
        for entry in table["roles"]
    }


class Rbac:
    """Who may do what where. Assignments are resources; this is their index."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._by_principal: dict[str, dict[str, Resource]] = {}
        self._answers: dict[tuple[str, str, str], bool] = {}

    def reset(self) -> None:
        """Forget all assignments."""
        self._by_principal.clear()
        self._answers.clear()

    def assigned(self, assignment: Resource) -> None:
        """Take note of an assignment that was made."""
        principal = assignment.properties["principalId"].lower()
        self._by_principal.setdefault(principal, {})[assignment.id.lower()] = assignment
        self._answers.clear()

    def unassigned(self, assignment: Resource) -> None:
        """Take note of an assignment that is gone."""
        principal = assignment.properties["principalId"].lower()
        self._by_principal.get(principal, {}).pop(assignment.id.lower(), None)
        self._answers.clear()

    def of(self, object_id: str) -> list[Resource]:
        """The assignments of a principal."""
        return list(self._by_principal.get(object_id.lower(), {}).values())

    def at(self, object_id: str, scope: str) -> list[Resource]:
        """The assignments of a principal that reach a scope: made there or above."""
        wanted = scope.lower().rstrip("/") + "/"
        return [
            assignment
            for assignment in self.of(object_id)
            if wanted.startswith(assignment.properties["scope"].lower().rstrip("/") + "/")
        ]

    def allows(self, object_id: str, action: str, scope: str, *, data: bool = False) -> bool:
        """Whether a principal may do something at a scope now.

        Args:
            object_id: the principal.
            action: `Microsoft.Storage/storageAccounts/write`; for `data`, a data action.
            scope: resource id.
            data: ask for the data plane, where a role takes longer to work.
        """
        key = (object_id, action.lower(), scope.lower())
        if not data and key in self._answers:
            return self._answers[key]
        effect_s = float(self._sandbox.settings["role_effect_s" if data else "role_effect_arm_s"])
        now_s = self._sandbox.clock.now_s()
        definitions = role_definitions()
        waiting = False
        for assignment in self.at(object_id, scope):
            role = definitions.get(assignment.properties["roleDefinitionId"].rsplit("/", 1)[-1].lower())
            if role is None or not role.allows(action, data=data):
                continue
            if now_s < assignment.created_s + effect_s and not assignment.notes.get("initial"):
                waiting = True
                continue
            if not data:
                self._answers[key] = True
            return True
        if not data and not waiting:
            self._answers[key] = False
        return False

    def check(self, principal: Principal, action: str, scope: str) -> None:
        """Raise ARM's 403 unless the principal may do the action at the scope."""
        if self.allows(principal.object_id, action, scope):
            return
        raise ArmError(
            403,
            "AuthorizationFailed",
            f"The client '{principal.client_id}' with object id '{principal.object_id}' does not have "
            f"authorization to perform action '{action}' over scope '{scope}' or the scope is invalid. If "
            "access was recently granted, please refresh your credentials.",
            headers={"x-ms-failure-cause": "gateway"},
        )

    def check_linked(self, principal: Principal, action: str, scope: str, *, of: str, at: str) -> None:
        """Raise 403 LinkedAuthorizationFailed unless the principal may also use what a write refers to.

        Args:
            principal: the caller.
            action: the linked action, `Microsoft.ManagedIdentity/userAssignedIdentities/assign/action`.
            scope: the linked resource.
            of: the action of the request itself.
            at: the resource of the request itself.
        """
        if self.allows(principal.object_id, action, scope):
            return
        raise ArmError(
            403,
            "LinkedAuthorizationFailed",
            f"The client '{principal.client_id}' with object id '{principal.object_id}' has permission to "
            f"perform action '{of}' on scope '{at}'; however, it does not have permission to perform "
            f"action(s) '{action}' on the linked scope(s) '{scope}' (respectively) or the linked scope(s) "
            "are invalid.",
        )


def _any(patterns: tuple[str, ...], action: str) -> bool:
    return any(_pattern(pattern).fullmatch(action) for pattern in patterns)


@functools.cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*"), re.I)
