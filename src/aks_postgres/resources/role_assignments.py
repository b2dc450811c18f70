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
from aks_postgres.arm.planned import is_unknown
from aks_postgres.arm.reconcile import ArmResource, ensure
from aks_postgres.arm.responses import Answer, Json, wire_items
from aks_postgres.arm.retry import all_ended, read_list, send
from aks_postgres.reports.outputs import CREATED, UNCHANGED, Change, FieldChange, RoleOutputs
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


@dataclass(frozen=True)
class Grant:
    """A role wanted for a principal at a scope (a resource ID, without trailing slash)."""

    role_id: str
    scope: str
    principal_id: str
    principal_type: str

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"role {ROLE_NAMES[self.role_id]} for {self.principal_id} on {self.scope.rsplit('/', 1)[-1]}"


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
    operations = azure.authorization.role_assignments

    async def listing() -> list[Json]:
        return await wire_items(operations.list_for_scope(scope.lstrip("/"), filter=wanted))

    return [
        Assignment(
            id=str(found["id"]),
            role_id=str(found["properties"]["roleDefinitionId"]).rsplit("/", 1)[-1].casefold(),
            scope=str(found["properties"]["scope"]).rstrip("/"),
            principal_id=str(found["properties"]["principalId"]),
        )
        for found in await read_list(f"role assignments on {scope.rsplit('/', 1)[-1]}", listing)
    ]


async def assigned(azure: Azure, grant: Grant) -> Json | None:
    """The live assignment of this role to this principal at exactly this scope, if there is one."""
    operations = azure.authorization.role_assignments

    async def listing() -> list[Json]:
        mine = f"principalId eq '{grant.principal_id}'"
        try:
            return await wire_items(operations.list_for_scope(grant.scope.lstrip("/"), filter=mine))
        except HttpResponseError as error:
            if azure.gate.plans and error.status_code == 404:  # the scope itself is only planned
                return []
            raise

    for found in await read_list(grant.label, listing):
        properties = found.get("properties") or {}
        if (
            str(properties.get("scope", "")).casefold() == grant.scope.casefold()
            and str(properties.get("principalId", "")).casefold() == grant.principal_id.casefold()
            and str(properties.get("roleDefinitionId", "")).casefold().endswith(grant.role_id)
        ):
            return found
    return None


async def ensure_grants(azure: Azure, grants: Sequence[Grant]) -> RoleOutputs:
    """Make the role assignments that are missing, all at once."""
    made = await all_ended(_ensure_grant(azure, grant) for grant in grants)
    new = tuple(
        FieldChange(field=grant.label, old=None, new="assigned")
        for grant, (_, change) in zip(grants, made, strict=True)
        if change.kind == "created"
    )
    change = Change(kind="created", fields=new) if new else UNCHANGED
    return RoleOutputs(ids=tuple(live["id"] for live, _ in made), change=change)


async def _ensure_grant(azure: Azure, grant: Grant) -> tuple[Json, Change]:
    operations = azure.authorization.role_assignments
    name = role_assignment_name(grant.scope, grant.principal_id, grant.role_id)

    async def get() -> Answer:
        if azure.gate.plans and is_unknown(grant.scope + grant.principal_id):
            return Answer(200, {})
        return Answer(200, await assigned(azure, grant) or {})

    async def put(body: Json, _live: Json | None) -> Answer:
        azure.gate.require(f"{grant.label}: does not exist yet")
        return await send(operations.create, grant.scope.lstrip("/"), name, json.dumps(body).encode())

    def decision(live: Json | None) -> Decision:
        if live:
            return Decision(UNCHANGED)
        # Without the type Azure looks the principal up in Microsoft Entra ID, which may not know it yet.
        return Decision(
            CREATED,
            {
                "properties": {
                    "roleDefinitionId": f"/subscriptions/{azure.subscription_id}/providers/"
                    f"Microsoft.Authorization/roleDefinitions/{grant.role_id}",
                    "principalId": grant.principal_id,
                    "principalType": grant.principal_type,
                }
            },
        )

    resource = ArmResource(
        azure, grant.label, f"{grant.scope}/.../{name}", get, put, expected_s=2, deadline_s=120
    )
    return await ensure(resource, decision)
