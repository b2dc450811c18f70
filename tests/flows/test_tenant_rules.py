"""Each setting of a locked-down tenant, in a tenant that demands it: refused before the first write, or made."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from aks_postgres.flows._doctor import diagnose
from aks_postgres.flows.provision import provision
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.preflight.tenant_rules import SETTINGS
from aks_postgres.reports.diagnosis import Check, Diagnosis
from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.spec.names import STATE, Names
from aks_postgres.tasks.verify import RolesMissing
from azure_sandbox.client import SandboxProcess
from azure_sandbox.core.scenarios import catalogue

from ..cases import shown
from ..conftest import spec_for
from ..subnets import make_subnet
from .conftest import quicken, run_provision, without_lock_traffic, writes
from .test_locked_down import CLUSTER_ADMIN
from .test_odd_answers import CHANGES, Answers
from .test_roles_given import become, carry_out

pytestmark = pytest.mark.usefixtures("prefect_api")

Spec = Callable[[SandboxProcess], dict[str, Any]]
# The tenant that demands a setting, and the setting; a private API server isn't offered.
TENANTS: dict[str, tuple[str, Spec | None]] = {
    "cluster.access": ("tenant-denies-local-accounts", lambda _: {"cluster": {"access": "entra"}}),
    "storage.shared_keys": ("tenant-denies-shared-keys", lambda _: {"storage": {"shared_keys": "denied"}}),
    "storage.public_network_access": (
        "tenant-denies-public-storage",
        lambda _: {"storage": {"public_network_access": "disabled"}},
    ),
    "monitoring.grafana_public_network_access": (
        "tenant-denies-public-grafana",
        lambda _: {"monitoring": {"grafana_public_network_access": "disabled"}},
    ),
    "network.subnet_id": (
        "tenant-demands-own-subnet",
        lambda azure: {"network": {"subnet_id": make_subnet(azure)}},
    ),
    "network.private_api_server": ("tenant-demands-private-api-server", None),
    "roles": ("tenant-denies-role-assignments", lambda _: {"roles": "verify"}),
}


def order(azure: SandboxProcess, setting: str) -> None:
    azure.control("POST", "scenarios", {"name": TENANTS[setting][0]})


def test_every_setting_has_its_tenant_and_every_tenant_its_setting() -> None:
    assert set(TENANTS) == {setting.name for setting in SETTINGS}
    tenants = {name for name in catalogue() if name.startswith("tenant-")}
    assert tenants == {name for name, _ in TENANTS.values()}


@pytest.mark.parametrize("setting", TENANTS)
async def test_without_the_setting_the_refusal_comes_before_the_first_write_and_names_it(
    azure: SandboxProcess, setting: str
) -> None:
    order(azure, setting)
    spec = spec_for(azure)
    with pytest.raises(PreflightFailed) as failed:
        await provision(spec)
    (problem,) = failed.value.problems
    assert problem.text.startswith(f"{setting}: the policy ")
    assert setting.rpartition(".")[2].replace("private_api_server", "private API server") in problem.way_out
    assert writes(azure.ledger()) == []
    (blocker,) = (await diagnose(spec)).blockers
    assert (blocker.name, blocker.found, blocker.next_step) == ("policies", problem.text, problem.way_out)


@pytest.mark.thorough
@pytest.mark.parametrize("setting", [name for name, (_, given) in TENANTS.items() if given])
async def test_with_the_setting_the_environment_is_made_and_a_second_run_writes_nothing(
    azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    quicken(azure)
    azure.settings(role_effect_s=0)
    given = TENANTS[setting][1]
    assert given is not None
    spec = spec_for(azure, **given(azure))
    become(azure, monkeypatch, "Owner", CLUSTER_ADMIN)
    order(azure, setting)
    assert (await diagnose(spec)).blockers == ()
    try:
        await provision(spec)
    except RolesMissing as missing:
        assert setting == "roles"
        azure.control("DELETE", "faults")  # who gives them is exempted
        for command in missing.commands:
            carry_out(azure, command)
        order(azure, setting)
        await provision(spec)
    assert without_lock_traffic((await run_provision(azure, spec)).writes) == []


def policies_of(found: Diagnosis) -> list[Check]:
    return [check for check in found.checks if check.name == "policies"]


def asked(azure: SandboxProcess) -> Counter[str]:
    return Counter(entry["operation"] for entry in azure.ledger() if "olic" in entry["operation"])


REFUSED = {
    "no right": {"status": 403, "code": "AuthorizationFailed", "message": "none"},
    "unknown": {"status": 404, "code": "InvalidResourceType", "message": "none"},
    "not there": {"status": 501, "code": "NotImplemented", "message": "none"},
    "not registered": {"status": 409, "code": "MissingSubscriptionRegistration", "message": "none"},
    "down": {"status": 503, "code": "ServiceUnavailable", "message": "none"},
}


@pytest.mark.parametrize("refusal", REFUSED)
async def test_a_refused_question_is_a_warning_and_is_asked_once(azure: SandboxProcess, refusal: str) -> None:
    azure.fault(REFUSED[refusal], operation="PolicyRestrictions_CheckAtSubscriptionScope", times=100)
    found = await diagnose(spec_for(azure))
    assert found.blockers == ()
    (check,) = policies_of(found)
    assert (check.verdict, str(REFUSED[refusal]["code"]) in check.found) == ("look", True)
    assert asked(azure) == {"PolicyRestrictions_CheckAtSubscriptionScope": 4}


NO_KEYS = {
    "name": "no-keys",
    "type": "Microsoft.Storage/storageAccounts",
    "deny_unless": {"properties.allowSharedKeyAccess": False},
}
MODIFY = {"type": "Microsoft.Storage/storageAccounts", "modify": {"properties.allowSharedKeyAccess": False}}
TAG = {"type": "Microsoft.Storage/storageAccounts", "modify": {"tags.owner": "platform"}}
Policies = Callable[[SandboxProcess], list[dict[str, Any]]]


def backup_group(azure: SandboxProcess) -> str:
    names = Names.of(spec_for(azure), azure.subscription_id, 1)
    return f"{azure.subscription}/resourceGroups/{names.backup_group}"


UNSURE: dict[str, Policies] = {
    "exempt": lambda azure: [{**NO_KEYS, "exempt": [azure.subscription]}],
    "excluded": lambda azure: [{**NO_KEYS, "not_scopes": [backup_group(azure).upper()]}],
    "excluded with all around it": lambda azure: [{**NO_KEYS, "not_scopes": [azure.subscription]}],
    "not enforced": lambda _: [{**NO_KEYS, "enforced": False}],
    "modified": lambda _: [NO_KEYS, MODIFY],
}
SURE: dict[str, Policies] = {
    "another is exempt": lambda azure: [NO_KEYS, {**NO_KEYS, "name": "b", "exempt": [azure.subscription]}],
    "another group is excluded": lambda azure: [{**NO_KEYS, "not_scopes": [backup_group(azure) + "-2"]}],
    "a tag is set": lambda _: [NO_KEYS, TAG],
}


@pytest.mark.parametrize("which", UNSURE)
async def test_what_may_not_be_denied_is_a_warning(azure: SandboxProcess, which: str) -> None:
    azure.settings(policies=UNSURE[which](azure))
    found = await diagnose(spec_for(azure))
    assert found.blockers == ()
    (check,) = policies_of(found)
    assert "the policy no-keys of your organization" in check.found
    assert "If it is denied: Set storage.shared_keys: denied." in check.found


@pytest.mark.parametrize("which", SURE)
async def test_what_is_surely_denied_is_a_problem(azure: SandboxProcess, which: str) -> None:
    azure.settings(policies=SURE[which](azure))
    (blocker,) = (await diagnose(spec_for(azure))).blockers
    assert blocker.found.startswith("storage.shared_keys: the policy no-keys of your organization")


@pytest.mark.parametrize("operation", ["PolicyAssignments_List", "PolicyExemptions_List"])
async def test_without_a_right_to_see_exemptions_a_denial_isnt_sure(
    azure: SandboxProcess, operation: str
) -> None:
    azure.settings(policies=[NO_KEYS])
    azure.fault(REFUSED["no right"], operation=operation)
    found = await diagnose(spec_for(azure))
    assert found.blockers == ()
    assert "AuthorizationFailed" in policies_of(found)[0].found


async def test_a_policy_that_no_setting_satisfies_is_a_warning_that_names_it(azure: SandboxProcess) -> None:
    azure.control("POST", "scenarios", {"name": "policy-denies"})
    found = await diagnose(spec_for(azure))
    assert found.blockers == ()
    (check,) = policies_of(found)
    assert check.verdict == "look"
    assert "no-storage-accounts" in check.found


async def test_a_clean_subscription_is_asked_once_for_each_type(azure: SandboxProcess) -> None:
    assert policies_of(await diagnose(spec_for(azure)))[0].verdict == "fine"
    assert asked(azure) == {"PolicyRestrictions_CheckAtSubscriptionScope": 4}


async def test_a_finished_environment_is_asked_about_nothing_and_an_unfinished_one_of_what_it_lacks(
    azure: SandboxProcess, environment: EnvironmentOutputs
) -> None:
    """A policy that came later denies writes, and a second run writes nothing."""
    azure.settings(policies=[{"name": "nothing-more"}])
    before = asked(azure)
    spec = spec_for(azure)
    assert policies_of(await diagnose(spec))[0].verdict == "fine"
    assert asked(azure) == before
    state = azure.control("GET", "state")
    for resource in state["resources"]:
        tags = resource["body"].get("tags") or {}
        if tags.get(STATE) == "current":
            tags[STATE] = "building"
    azure.control("PUT", "state", state)
    assert policies_of(await diagnose(spec))[0].verdict == "fine"
    assert asked(azure)["PolicyRestrictions_CheckAtResourceGroupScope"] > before.total()


@pytest.mark.parametrize("name", shown(reversed(CHANGES), first=4))
async def test_an_odd_answer_is_a_warning(
    azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    azure.settings(policies=[NO_KEYS, MODIFY])
    answers = Answers(monkeypatch)
    answers.change(".*/checkPolicyRestrictions", CHANGES[name])
    found = await diagnose(spec_for(azure))
    assert answers.changed
    assert found.blockers == ()
