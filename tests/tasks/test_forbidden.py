"""What stands against deleting before Azure says so: deny assignments, and what is kept in a backup account."""

from typing import Any

import pytest

from aks_postgres.preflight.permissions import TEAR_DOWN_ACTIONS
from aks_postgres.tear_down.forbidden import judge_backup_account, judge_denials

Json = dict[str, Any]

ME, EVERYONE = "11111111-aaaa-4bbb-8ccc-000000000001", "00000000-0000-0000-0000-000000000000"
SUBSCRIPTION = "/subscriptions/s"
MANAGEMENT_GROUP = "/providers/Microsoft.Management/managementGroups/platform"
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-cnpg"
ACCOUNT_ID = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/hacnpg"


def denial(scope: str = GROUP, **more: Any) -> Json:
    everyone = {"id": EVERYONE, "type": "SystemDefined"}
    properties = {
        "denyAssignmentName": "hands off",
        "scope": scope,
        "permissions": [{"actions": ["*/delete"]}],
    }
    properties |= {"principals": [everyone], "excludePrincipals": []} | more
    return {
        "id": f"{scope}/providers/Microsoft.Authorization/denyAssignments/d",
        "name": "d",
        "properties": properties,
    }


def judged(*denials: Json) -> list[str]:
    return judge_denials(denials, ME.upper(), [GROUP.upper()], [ACCOUNT_ID], TEAR_DOWN_ACTIONS)


GROUP_OF_PEOPLE = {"id": "22222222-0000-4000-8000-000000000000", "type": "Group"}
SOMEBODY = {"id": "33333333-0000-4000-8000-000000000000", "type": "User"}
STANDS = {
    "on the group": denial(),
    "on the subscription": denial(SUBSCRIPTION),
    "on a management group": denial(MANAGEMENT_GROUP),
    "on a management group in other letters": denial(MANAGEMENT_GROUP.upper()),
    "on the root": denial("/"),
    "on the cluster": denial(f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/aks"),
    "on the group alone": denial(doNotApplyToChildScopes=True),
    "for the caller": denial(principals=[{"id": ME, "type": "ServicePrincipal"}]),
    "for a group of people": denial(principals=[GROUP_OF_PEOPLE]),
    "somebody is excluded": denial(excludePrincipals=[SOMEBODY]),
    "a group is excluded, whoever is in it": denial(excludePrincipals=[GROUP_OF_PEOPLE]),
    "of one action": denial(permissions=[{"actions": ["microsoft.containerservice/managedclusters/DELETE"]}]),
    "of all": denial(permissions=[{"actions": ["*"], "notActions": ["*/read"]}]),
}
NOT_FOR_US = {
    "on another group": denial(f"{GROUP}-2"),
    "on the subscription alone": denial(SUBSCRIPTION, doNotApplyToChildScopes=True),
    "on a management group alone": denial(MANAGEMENT_GROUP, doNotApplyToChildScopes=True),
    "on the root alone": denial("/", doNotApplyToChildScopes=True),
    "on a management group, of nothing that is done": denial(
        MANAGEMENT_GROUP, permissions=[{"actions": ["Microsoft.Sql/*"]}]
    ),
    "on the kept account": denial(ACCOUNT_ID),
    "the caller is excluded": denial(excludePrincipals=[{"id": ME, "type": "ServicePrincipal"}]),
    "for somebody": denial(principals=[SOMEBODY]),
    "of nothing that is done": denial(permissions=[{"actions": ["Microsoft.Sql/*"]}]),
    "of nothing that is left": denial(permissions=[{"actions": ["*/delete"], "notActions": ["*"]}]),
    "of data": denial(permissions=[{"actions": [], "dataActions": ["*"]}]),
}


@pytest.mark.parametrize("name", STANDS)
def test_a_deny_assignment_that_would_be_met_half_way_is_named(name: str) -> None:
    (problem,) = judged(STANDS[name], STANDS[name])
    assert problem.startswith("deny assignment hands off on /")
    assert "Ask whoever set it" in problem


@pytest.mark.parametrize("name", NOT_FOR_US)
def test_a_deny_assignment_that_isnt_in_the_way_isnt_named(name: str) -> None:
    assert judged(NOT_FOR_US[name]) == []


def container(name: str = "backups", **properties: Any) -> Json:
    return {"name": name, "properties": {"hasLegalHold": False, "hasImmutabilityPolicy": False, **properties}}


def policy(state: str) -> Json:
    inner = {"immutabilityPeriodSinceCreationInDays": 30, "state": state}
    return {"hasImmutabilityPolicy": True, "immutabilityPolicy": {"properties": inner}}


KEEPS = {
    "a container of others": (
        container("archive"),
        "archive in storage account hacnpg isn't this environment's",
    ),
    "a web site": (container("$web"), "$web in storage account hacnpg isn't"),
    "a legal hold": (
        container(hasLegalHold=True, legalHold={"tags": [{"tag": "case7"}]}),
        "under a legal hold (case7)",
    ),
    "a legal hold without tags": (container(hasLegalHold=True), "under a legal hold"),
    "a locked policy": (container(**policy("Locked")), "an immutability policy (Locked, 30 days)"),
    "an unlocked policy": (container(**policy("Unlocked")), "an immutability policy (Unlocked, 30 days)"),
    "a policy without words": (container(hasImmutabilityPolicy=True), "an immutability policy"),
    "immutable versions": (
        container(immutableStorageWithVersioning={"enabled": True}),
        "keeps versions immutable",
    ),
    "a hold on the lock": (container("aks-postgres-lock", hasLegalHold=True), "under a legal hold"),
}


@pytest.mark.parametrize("name", KEEPS)
def test_what_is_kept_in_an_account_is_named(name: str) -> None:
    one, words = KEEPS[name]
    (problem,) = judge_backup_account({"name": "hacnpg"}, "backups", [container("$logs"), one])
    assert words in problem


def test_backups_lock_and_azures_own_are_nothing_foreign() -> None:
    names = ("backups", "aks-postgres-lock", "$logs", "$blobchangefeed")
    assert (
        judge_backup_account({"name": "hacnpg", "properties": {}}, "backups", list(map(container, names)))
        == []
    )


def test_an_account_that_keeps_versions_is_named() -> None:
    account = {"name": "hacnpg", "properties": {"immutableStorageWithVersioning": {"enabled": True}}}
    assert (
        "storage account hacnpg keeps versions immutable" in judge_backup_account(account, "backups", [])[0]
    )
