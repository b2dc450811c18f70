"""Permissions and resource providers: data in, data out."""

from typing import Any

import pytest

from aks_postgres.preflight.findings import Findings
from aks_postgres.preflight.permissions import (
    ACTIONS,
    PROVIDERS,
    ROLE_ASSIGNMENTS_DELETE,
    granting,
    judge_entra,
    judge_permissions,
    lacking_for_tear_down,
    missing_providers,
)

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
OWNER: dict[str, Any] = {"actions": ["*"], "notActions": []}
CONTRIBUTOR: dict[str, Any] = {
    "actions": ["*"],
    "notActions": [
        "Microsoft.Authorization/*/Delete",
        "Microsoft.Authorization/*/Write",
        "Microsoft.Authorization/elevateAccess/Action",
    ],
}
READER: dict[str, Any] = {"actions": ["*/read"], "notActions": []}
RBAC_ADMINISTRATOR: dict[str, Any] = {
    "actions": [
        "Microsoft.Authorization/roleAssignments/write",
        "Microsoft.Authorization/roleAssignments/delete",
        "*/read",
    ],
    "notActions": [],
}


def judged(*permissions: dict[str, Any], unregistered: tuple[str, ...] = ()) -> Findings:
    return judge_permissions("the caller", "/subscriptions/s", permissions, unregistered)


@pytest.mark.parametrize(
    "roles", [[OWNER], [CONTRIBUTOR, RBAC_ADMINISTRATOR], [RBAC_ADMINISTRATOR, CONTRIBUTOR]]
)
def test_roles_that_are_enough(roles: list[dict[str, Any]]) -> None:
    assert judged(*roles, unregistered=PROVIDERS) == Findings()


def test_contributor_alone_lacks_role_assignments_and_nothing_else() -> None:
    (found,) = judged(CONTRIBUTOR).problems
    assert found.startswith(f"subscription_id: the caller lacks 1 of the {len(ACTIONS)} actions")
    assert "Microsoft.Authorization/roleAssignments/write (roles of" in found
    assert "Give it Role Based Access Control Administrator there" in found


def test_who_only_verifies_roles_needs_no_right_to_assign_them() -> None:
    found = judge_permissions("the caller", "/subscriptions/s", [CONTRIBUTOR], (), assigns_roles=False)
    assert found == Findings()
    conditional = {**RBAC_ADMINISTRATOR, "condition": "(...)"}
    found = judge_permissions("x", "/subscriptions/s", [CONTRIBUTOR, conditional], (), assigns_roles=False)
    assert found == Findings()
    (problem,) = judge_permissions("x", "/subscriptions/s", [READER], (), assigns_roles=False).problems
    assert "Give it Contributor there" in problem
    assert "roleAssignments" not in problem
    assert lacking_for_tear_down([CONTRIBUTOR], deletes_backups=False, assigns_roles=False) == ()
    assert lacking_for_tear_down([CONTRIBUTOR], deletes_backups=False) == (ROLE_ASSIGNMENTS_DELETE,)


@pytest.mark.parametrize(
    ("data", "refused", "is_fine"),
    [
        (["Microsoft.ContainerService/managedClusters/*"], [], True),
        (["*"], [], True),
        ([], [], False),
        (["Microsoft.ContainerService/managedClusters/*/read"], [], False),
        (["*"], ["Microsoft.ContainerService/*"], False),
    ],
)
def test_who_gets_into_a_cluster_with_entra(data: list[str], refused: list[str], is_fine: bool) -> None:
    role = {"actions": [], "dataActions": data, "notDataActions": refused}
    found = judge_entra("11111111-2222-4333-8444-555555555555", "User", "/subscriptions/s", [OWNER, role])
    assert (found == Findings()) is is_fine
    assert is_fine or "--assignee-object-id 11111111-" in found.problems[0].way_out


def test_reader_lacks_every_action_that_is_no_read() -> None:
    (found,) = judged(READER).problems
    writes = [action for action in ACTIONS if not action.casefold().endswith("/read")]
    assert all(action in found for action in writes)
    assert f"lacks {len(writes)} of" in found
    assert "Owner, or Contributor and Role Based" in found


def test_no_role_at_all_lacks_everything() -> None:
    (found,) = judged().problems
    assert f"lacks {len(ACTIONS)} of the {len(ACTIONS)}" in found


def test_actions_are_matched_in_any_case() -> None:
    assert granting("Microsoft.Storage/skus/read", [{"actions": ["microsoft.storage/SKUS/Read"]}])


def test_not_actions_take_away_within_their_own_role_only() -> None:
    refusing = {"actions": ["*"], "notActions": ["Microsoft.Storage/*"]}
    assert not granting("Microsoft.Storage/skus/read", [refusing])
    assert granting("Microsoft.Storage/skus/read", [refusing, READER]) == [READER]


def test_registering_is_needed_only_where_a_provider_is_missing() -> None:
    custom = {"actions": list(ACTIONS)}
    assert judged(custom).problems == ()
    (found,) = judged(custom, unregistered=("Microsoft.Dashboard",)).problems
    assert "Microsoft.Dashboard/register/action (resource providers)" in found


def test_role_assignments_under_a_condition_are_a_warning() -> None:
    conditional = {**RBAC_ADMINISTRATOR, "condition": "(@Request[...] ForAnyOfAnyValues:GuidEquals {...})"}
    found = judged(CONTRIBUTOR, conditional)
    assert found.problems == ()
    assert "under a condition" in found.warnings[0]
    assert judged(CONTRIBUTOR, conditional, OWNER) == Findings()


def test_provider_that_is_registering_still_is_missing() -> None:
    found = [
        {"namespace": "Microsoft.Storage", "registrationState": "Registered"},
        {"namespace": "Microsoft.Monitor", "registrationState": "NotRegistered"},
        {"namespace": "Microsoft.Dashboard", "registrationState": "Registering"},
        {"namespace": "Microsoft.Compute"},
    ]
    assert missing_providers(found) == ("Microsoft.Compute", "Microsoft.Dashboard", "Microsoft.Monitor")
