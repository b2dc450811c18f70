"""Every step that assigns a role.

Guide: "Assign RBAC to storage accounts", and what az does on the side of `grafana create`, `aks create
--grafana-resource-id` and the public IP's role. https://learn.microsoft.com/azure/role-based-access-control/troubleshooting
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from aks_postgres.arm.errors import AzureRefused, NotEffectiveYet

from .conftest import world_with
from .world import LONG_S, World

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
BLOB_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
BLOB_OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"
GRAFANA_ADMIN = "22926164-76b3-42b3-bc55-97df8dab3e41"
MONITORING_READER = "43d0d8ad-25c7-4714-9337-8ba259a9fe05"
MONITORING_DATA_READER = "b0d8363b-8ddd-447d-831f-62ca05bff136"

PUT = "RoleAssignments_Create"
API = "2022-04-01"


@dataclass(frozen=True)
class Role:
    """A role assignment that a step makes: the role, its scope and whose it is."""

    step: str
    role: str
    scope: Callable[[World], str]
    principal: Callable[[World], str]

    def body(self, w: World) -> dict[str, dict[str, str]]:
        definitions = f"/subscriptions/{w.place.subscription_id}/providers/Microsoft.Authorization"
        return {
            "properties": {
                "roleDefinitionId": f"{definitions}/roleDefinitions/{self.role}",
                "principalId": self.principal(w),
                "principalType": "ServicePrincipal",
            }
        }

    def assigned_by_a_person(self, w: World) -> str:
        """Assign it under a GUID drawn at random, as portal and az do; its ID."""
        assignment = f"{self.scope(w)}/providers/Microsoft.Authorization/roleAssignments/{uuid4()}"
        w.begin_write(assignment, API, self.body(w))
        return assignment


def _id(step: str) -> Callable[[World], str]:
    return lambda w: w.made[step].id


def _node_group(w: World) -> str:
    return w.place.group_id(w.place.names.node_resource_group)


def _identity(w: World) -> str:
    return w.made["identity"].principal_id


def _grafana(w: World) -> str:
    return w.made["grafana"].principal_id


ROLES = (
    Role("blob_roles", BLOB_CONTRIBUTOR, _id("storage_account"), _identity),
    Role("grafana_roles", GRAFANA_ADMIN, _id("grafana"), lambda w: w.azure.object_id),
    # The guide gives this one on the whole subscription.
    Role("grafana_roles", MONITORING_READER, _id("resource_group"), _grafana),
    Role("node_group_reader", MONITORING_READER, _node_group, _grafana),
    Role("metrics_reader", MONITORING_DATA_READER, _id("monitor_workspace"), _grafana),
    Role("network_role", NETWORK_CONTRIBUTOR, _node_group, _identity),
)
STEPS_WITH_ROLES = tuple(dict.fromkeys(role.step for role in ROLES))
each_step = pytest.mark.parametrize("step", STEPS_WITH_ROLES)
each_role = pytest.mark.parametrize("role", ROLES, ids=[f"{role.step}-{role.role[:8]}" for role in ROLES])


def roles_of(step: str) -> list[Role]:
    return [role for role in ROLES if role.step == step]


async def prepared(world: World, step: str) -> None:
    await world.prepare(*world.steps[step].takes)


def delete(world: World, assignment: str) -> None:
    assert world.azure.arm("DELETE", assignment, api_version=API).status_code == 200


def _is_at(assignment: str, scope: str) -> bool:
    return assignment.rpartition("/providers/")[0].casefold() == scope.casefold()


@each_step
async def test_missing_roles_are_assigned(world: World, step: str) -> None:
    made = await world.run(step)
    writes = {write["path"].rpartition("/providers/")[0]: write for write in world.writes()}
    assert {scope.casefold(): write["body"] for scope, write in writes.items()} == {
        role.scope(world).casefold(): role.body(world) for role in roles_of(step)
    }
    assert {write["operation"] for write in writes.values()} == {PUT}
    assert sorted(made.ids) == sorted(write["path"] for write in writes.values())
    assert made.change.kind == "created"
    assert len(made.change.fields) == len(roles_of(step))


@each_step
async def test_assigned_roles_are_found_and_nothing_is_written(world: World, step: str) -> None:
    first = await world.run(step)
    second = await world.run(step)
    assert world.writes() == []
    assert (second.ids, second.change.kind) == (first.ids, "unchanged")


@each_role
async def test_a_role_that_somebody_took_away_comes_back_alone_and_under_the_same_name(
    world: World, role: Role
) -> None:
    first = await world.run(role.step)
    (lost,) = [found for found in first.ids if _is_at(found, role.scope(world))]
    delete(world, lost)
    second = await world.run(role.step)
    (write,) = world.writes()
    assert write["path"] == lost
    assert UUID(lost.rpartition("/")[2]).version == 5
    assert second.ids == first.ids
    assert len(second.change.fields) == 1


@each_role
async def test_a_role_assigned_under_another_guid_counts(world: World, role: Role) -> None:
    await prepared(world, role.step)
    theirs = role.assigned_by_a_person(world)
    made = await world.run(role.step)
    assert theirs.casefold() in map(str.casefold, made.ids)
    assert len(world.writes()) == len(roles_of(role.step)) - 1


@each_role
async def test_a_role_assigned_in_between_is_found(world: World, role: Role) -> None:
    """409 RoleAssignmentExists: https://github.com/Azure/azure-cli/issues/8599"""
    await prepared(world, role.step)
    scope = role.scope(world)
    theirs: list[str] = []
    world.when("conflict", lambda: theirs.append(role.assigned_by_a_person(world)))
    world.azure.fault(
        {"status": 409, "code": "RoleAssignmentExists", "message": "The role assignment already exists."},
        operation=PUT,
        path=f"^{scope}/providers/Microsoft.Authorization/",
    )
    made = await world.run(role.step)
    assert theirs[0].casefold() in map(str.casefold, made.ids)
    ours = [write for write in world.writes() if _is_at(write["path"], scope) and write["path"] != theirs[0]]
    assert [write["status"] for write in ours] == [409]


@pytest.mark.parametrize("step", ["blob_roles", "grafana_roles", "metrics_reader"])
async def test_an_identity_that_entra_hasnt_replicated_yet_is_waited_for(world: World, step: str) -> None:
    """Seen although principalType was sent: https://github.com/Azure/azure-cli/issues/33586"""
    world.azure.settings(principal_type_skips_lookup=False, principal_replication_s=LONG_S)
    await prepared(world, step)
    conflicts = world.when("conflict", lambda: world.azure.step(2 * LONG_S))
    made = await world.run(step)
    refused = [write for write in world.writes() if write["status"] == 400]
    assert {write["error_code"] for write in refused} == {"PrincipalNotFound"}
    assert "Microsoft Entra ID hasn't replicated the new identity yet" in conflicts[0]
    assert (len(made.ids), made.change.kind) == (len(roles_of(step)), "created")


async def test_an_identity_that_entra_never_replicates_ends_the_step_as_temporary(world: World) -> None:
    world.azure.settings(principal_type_skips_lookup=False, principal_replication_s=LONG_S)
    with pytest.raises(NotEffectiveYet, match=r"role Storage Blob Data Contributor for .* PrincipalNotFound"):
        await world.run("blob_roles")


@each_role
async def test_a_refusal_is_told_and_not_retried(world: World, role: Role) -> None:
    await prepared(world, role.step)
    scope = role.scope(world)
    message = "The client does not have authorization to perform action 'roleAssignments/write'."
    world.azure.fault(
        {"status": 403, "code": "AuthorizationFailed", "message": message},
        operation=PUT,
        path=f"^{scope}/providers/Microsoft.Authorization/",
        times=9,
    )
    with pytest.raises(AzureRefused) as refused:
        await world.run(role.step)
    assert [write["status"] for write in world.writes() if write["status"] == 403] == [403]
    assert refused.value.code == "AuthorizationFailed"
    for part in (message, scope.rsplit("/", 1)[-1], "Give the caller the role that holds this action"):
        assert part in str(refused.value)


async def test_a_refused_role_ends_the_step_once_the_others_have_their_answers(world: World) -> None:
    """A write that goes on behind a failed step's back would meet the step's next attempt."""
    await prepared(world, "grafana_roles")
    admin, reader = (role.scope(world) for role in roles_of("grafana_roles"))
    at_admin, at_reader = (f"^{scope}/providers/Microsoft.Authorization/" for scope in (admin, reader))
    world.azure.fault({"status": 403, "code": "AuthorizationFailed"}, operation=PUT, path=at_admin)
    world.azure.fault({"delay_s": 200}, operation=PUT, path=at_reader)
    with pytest.raises(AzureRefused):
        await world.run("grafana_roles")
    assert sorted(str(write["status"]) for write in world.writes()) == ["201", "403"]


@each_role
async def test_a_lost_answer_is_looked_up(world: World, role: Role) -> None:
    await prepared(world, role.step)
    world.azure.fault({"cut": "after"}, operation=PUT, path=role.scope(world))
    made = await world.run(role.step)
    assert len(world.writes()) == len(roles_of(role.step))
    assert made.change.kind == "created"


async def test_the_same_role_higher_up_doesnt_count(world: World) -> None:
    """An inherited role can be taken away without anybody thinking of this environment."""
    await prepared(world, "blob_roles")
    (role,) = roles_of("blob_roles")
    Role("", role.role, _id("backup_group"), _identity).assigned_by_a_person(world)
    made = await world.run("blob_roles")
    assert made.change.kind == "created"


async def test_a_principal_of_another_type_is_refused(world: World) -> None:
    """UnmatchedPrincipalType: https://github.com/Azure/modern-web-app-pattern-dotnet/pull/129"""
    owner = world.azure.control("POST", "principals", {"roles": []})["object_id"]
    world.azure.step(LONG_S)  # Entra has replicated it.
    wrong = world_with(world, storage={"blob_owners": [{"object_id": owner, "type": "User"}]})
    with pytest.raises(AzureRefused, match="UnmatchedPrincipalType"):
        await wrong.run("blob_roles")
    right = world_with(world, storage={"blob_owners": [{"object_id": owner, "type": "ServicePrincipal"}]})
    made = await right.run("blob_roles")
    (write,) = right.writes()  # The identity's own role was assigned before.
    assert write["body"]["properties"]["roleDefinitionId"].endswith(BLOB_OWNER)
    assert write["body"]["properties"]["principalId"] == owner
    assert len(made.ids) == 2


async def test_grafana_admins_take_the_callers_place(world: World) -> None:
    admin = world.azure.control("POST", "principals", {"roles": []})["object_id"]
    admins = [{"object_id": admin, "type": "ServicePrincipal"}]
    with_admin = world_with(world, monitoring={"grafana_admins": admins})
    await with_admin.run("grafana_roles")
    principals = {write["body"]["properties"]["principalId"] for write in with_admin.writes()}
    assert principals == {admin, _grafana(with_admin)}


async def test_as_in_the_guide_grafana_may_read_the_whole_subscription(world: World) -> None:
    guide = world_with(world, monitoring={"monitoring_reader_scope": "subscription"})
    made = await guide.run("grafana_roles")
    (reader,) = [
        write
        for write in guide.writes()
        if write["body"]["properties"]["roleDefinitionId"].endswith(MONITORING_READER)
    ]
    assert reader["path"].startswith(f"{world.azure.subscription}/providers/Microsoft.Authorization/")
    assert len(made.ids) == 2
    nothing = await guide.run("node_group_reader")
    assert (guide.requests(), nothing.ids, nothing.change.kind) == ([], (), "unchanged")
