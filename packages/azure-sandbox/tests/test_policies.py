"""Policies that change a write, or add something after it; and the neighbours that an organization puts beside ours."""

from typing import Any

import pytest

from azure_sandbox.client import SandboxProcess

IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
REGION = {"location": "canadacentral"}
VERSIONS = {
    "userAssignedIdentities": "2024-11-30",
    "actionGroups": "2023-01-01",
    "diagnosticSettings": "2021-05-01-preview",
    "solutions": "2015-11-01-preview",
    "workspaces": "2025-02-01",
}


def arm(sandbox: SandboxProcess, method: str, path: str, body: Any = None) -> Any:
    kind = path.rsplit("/providers/", 1)[-1].split("/")[1]
    return sandbox.arm(method, path, body, api_version=VERSIONS.get(kind, "2024-11-01"))


def test_a_policy_that_modifies_is_seen_in_the_answer_and_in_later_reads(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://learn.microsoft.com/azure/governance/policy/concepts/effect-modify."""
    sandbox.settings(policies=[{"type": IDENTITY, "modify": {"tags.owner": "platform", "tags.mine": None}}])
    path = f"{group}/providers/{IDENTITY}/mi-a"
    sent = {**REGION, "tags": {"owner": "me", "mine": "x", "other": "y"}}
    answer = arm(sandbox, "PUT", path, sent)
    assert answer.status_code == 201
    assert answer.json()["tags"] == {"owner": "platform", "other": "y"}
    assert arm(sandbox, "GET", path).json()["tags"] == {"owner": "platform", "other": "y"}
    changed = arm(sandbox, "PATCH", path, {"tags": {"owner": "me"}})
    assert changed.json()["tags"]["owner"] == "platform"


def test_a_patch_is_judged_by_the_resource_that_it_would_leave(sandbox: SandboxProcess, group: str) -> None:
    sandbox.settings(policies=[{"type": IDENTITY, "deny_unless": {"tags.closed": "yes"}}])
    path = f"{group}/providers/{IDENTITY}/mi-a"
    assert arm(sandbox, "PUT", path, {**REGION, "tags": {"closed": "yes"}}).status_code == 201
    assert arm(sandbox, "PATCH", path, {"tags": {"closed": "yes", "other": "x"}}).status_code == 200
    assert arm(sandbox, "PATCH", path, {"properties": {}}).status_code == 200
    assert arm(sandbox, "PATCH", path, {"tags": {"closed": "no"}}).status_code == 403


def test_a_policy_modifies_before_another_one_denies(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/governance/policy/concepts/effect-basics#order-of-evaluation."""
    sandbox.settings(
        policies=[
            {"name": "no-public", "type": IDENTITY, "deny_when": {"tags.open": "yes"}},
            {"type": IDENTITY, "modify": {"tags.open": "yes"}},
        ]
    )
    answer = arm(sandbox, "PUT", f"{group}/providers/{IDENTITY}/mi-a", REGION)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "RequestDisallowedByPolicy")


def test_a_reader_may_ask_what_policies_would_deny(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/role-based-access-control/permissions/management-and-governance."""
    sandbox.settings(policies=[{"name": "none-open", "type": IDENTITY, "deny_when": {"tags.open": "yes"}}])
    given = [{"role": "Reader", "scope": sandbox.subscription}]
    reader = sandbox.control("POST", "principals", {"roles": given})
    token = sandbox.token(client_id=reader["client_id"], client_secret=reader["client_secret"])
    before = len(sandbox.control("GET", "resources")["resources"])
    for tags, count in (({"open": "yes"}, 1), ({"open": "no"}, 0)):
        asked = {"resourceDetails": {"resourceContent": {"type": IDENTITY, "tags": tags}}}
        path = f"{group}/providers/Microsoft.PolicyInsights/checkPolicyRestrictions"
        answer = sandbox.arm("POST", path, asked, api_version="2024-10-01", token=token)
        assert answer.status_code == 200
        assert len(answer.json()["contentEvaluationResult"]["policyEvaluations"]) == count
    assert len(sandbox.control("GET", "resources")["resources"]) == before


def test_a_policy_deploys_what_doesnt_exist_some_time_after_the_write(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://learn.microsoft.com/azure/governance/policy/concepts/effect-deploy-if-not-exists."""
    sandbox.control("POST", "clock", {"speed": 1})
    setting = {"id": "{id}/providers/Microsoft.Insights/diagnosticSettings/s"}
    setting["type"] = "Microsoft.Insights/diagnosticSettings"
    sandbox.settings(policies=[{"type": IDENTITY, "deploy": [setting]}])
    path = f"{group}/providers/{IDENTITY}/mi-a"
    answer = arm(sandbox, "PUT", path, REGION)
    assert answer.status_code == 201
    settings = f"{path}/providers/Microsoft.Insights/diagnosticSettings"
    assert arm(sandbox, "GET", f"{settings}/s").status_code == 404
    sandbox.step(601)
    assert [setting["name"] for setting in arm(sandbox, "GET", settings).json()["value"]] == ["s"]


def test_a_diagnostic_setting_is_in_no_list_of_resources_and_an_action_group_is(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://learn.microsoft.com/azure/azure-monitor/platform/diagnostic-settings."""
    identity = f"{group}/providers/{IDENTITY}/mi-a"
    arm(sandbox, "PUT", identity, REGION)
    setting = f"{identity}/providers/Microsoft.Insights/diagnosticSettings/s"
    assert arm(sandbox, "PUT", setting, {"properties": {"logs": []}}).status_code == 400
    assert arm(sandbox, "PUT", setting, {"properties": {"workspaceId": "/w"}}).status_code == 200
    action = f"{group}/providers/Microsoft.Insights/actionGroups/on-call"
    body = {"location": "Global", "properties": {"groupShortName": "on-call"}}
    assert arm(sandbox, "PUT", action, body).status_code == 201
    listed = arm(sandbox, "GET", f"{group}/resources").json()["value"]
    assert {resource["name"] for resource in listed} == {"mi-a", "on-call"}
    assert arm(sandbox, "GET", setting).json()["properties"]["workspaceId"] == "/w"
    assert arm(sandbox, "DELETE", setting).status_code == 200
    assert arm(sandbox, "DELETE", setting).status_code == 204
    assert arm(sandbox, "DELETE", action).status_code == 200


def test_a_solution_needs_its_workspace_and_stays_when_that_goes(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/templates/microsoft.operationsmanagement/solutions."""
    workspace = f"{group}/providers/Microsoft.OperationalInsights/workspaces/ala-one"
    solution = f"{group}/providers/Microsoft.OperationsManagement/solutions/ContainerInsights(ala-one)"
    body = {**REGION, "properties": {"workspaceResourceId": workspace}}
    assert arm(sandbox, "PUT", solution, body).status_code == 404
    arm(sandbox, "PUT", workspace, REGION)
    sandbox.step(60)
    assert arm(sandbox, "PUT", solution, body).status_code == 201
    arm(sandbox, "DELETE", workspace)
    sandbox.step(60)
    assert arm(sandbox, "GET", solution).status_code == 200


@pytest.mark.parametrize("setting", [{"modify": []}, {"deploy": {}}, {"effect": "modify"}])
def test_a_policy_that_makes_no_sense_is_refused(sandbox: SandboxProcess, setting: Any) -> None:
    answer = sandbox.http.put(
        f"{sandbox.endpoint}/sandbox/settings",
        json={"policies": [setting]},
        headers={"x-sandbox-key": sandbox.description["control_key"]},
    )
    assert answer.status_code == 400


AUTHORIZATION = "/providers/Microsoft.Authorization"


def listed(sandbox: SandboxProcess, scope: str, kind: str, version: str) -> list[Any]:
    answer = sandbox.arm("GET", f"{scope}{AUTHORIZATION}/{kind}?$filter=atScope()", api_version=version)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["value"]
    return found


def test_an_exempt_scope_is_spared_and_the_question_beforehand_doesnt_say_so(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://learn.microsoft.com/azure/governance/policy/concepts/exemption-structure."""
    denies = {"name": "none", "type": IDENTITY, "exempt": [group]}
    sandbox.settings(policies=[denies])
    asked = {"resourceDetails": {"resourceContent": {"type": IDENTITY}}}
    path = f"{group}/providers/Microsoft.PolicyInsights/checkPolicyRestrictions"
    answer = sandbox.arm("POST", path, asked, api_version="2024-10-01")
    assert len(answer.json()["contentEvaluationResult"]["policyEvaluations"]) == 1
    assert arm(sandbox, "PUT", f"{group}/providers/{IDENTITY}/mi-a", REGION).status_code == 201
    sandbox.settings(policies=[{**denies, "exempt": [f"{group}-2"]}])
    assert arm(sandbox, "PUT", f"{group}/providers/{IDENTITY}/mi-b", REGION).status_code == 403


def test_exemptions_are_listed_at_their_scope_and_below_it(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/rest/api/policyauthorization/policy-exemptions/list-for-resource-group."""
    above = {"name": "above", "exempt": [sandbox.subscription]}
    sandbox.settings(policies=[above, {"name": "here", "exempt": [group]}, {"name": "nowhere"}])
    version = "2022-07-01-preview"
    in_group = listed(sandbox, group, "policyExemptions", version)
    assert [one["name"] for one in in_group] == ["above", "here"]
    (exemption,) = listed(sandbox, sandbox.subscription, "policyExemptions", version)
    assert exemption["id"] == f"{sandbox.subscription}{AUTHORIZATION}/policyExemptions/above"
    (assignment, *_) = listed(sandbox, group, "policyAssignments", "2023-04-01")
    assert exemption["properties"]["policyAssignmentId"] == assignment["id"]
    every = sandbox.arm("GET", f"{group}{AUTHORIZATION}/policyExemptions", api_version=version)
    assert every.status_code == 501


def test_an_assignment_that_isnt_enforced_or_excludes_a_group_denies_nothing_there(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://learn.microsoft.com/azure/governance/policy/concepts/assignment-structure."""
    for name, spared in (("mi-a", {"enforced": False}), ("mi-b", {"not_scopes": [group]})):
        sandbox.settings(policies=[{"type": IDENTITY, **spared}])
        assert arm(sandbox, "PUT", f"{group}/providers/{IDENTITY}/{name}", REGION).status_code == 201
    for scope in (group, sandbox.subscription):
        (assignment,) = listed(sandbox, scope, "policyAssignments", "2023-04-01")
        assert assignment["properties"]["notScopes"] == [group]
        assert assignment["properties"]["enforcementMode"] == "Default"
    sandbox.settings(policies=[{"type": IDENTITY, "enforced": False}])
    (assignment,) = listed(sandbox, group, "policyAssignments", "2023-04-01")
    assert assignment["properties"]["enforcementMode"] == "DoNotEnforce"


def test_the_question_tells_what_a_policy_sets_and_what_it_removes(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://learn.microsoft.com/rest/api/policy/policy-restrictions/check-at-resource-group-scope."""
    sandbox.settings(
        policies=[{"type": IDENTITY, "modify": {"tags.a": None, "properties.isolationScope": "x"}}]
    )
    asked = {"resourceDetails": {"resourceContent": {"type": IDENTITY}}}
    path = f"{group}/providers/Microsoft.PolicyInsights/checkPolicyRestrictions"
    told = sandbox.arm("POST", path, asked, api_version="2024-10-01").json()["fieldRestrictions"]
    found = {
        one["field"]: (one["restrictions"][0]["result"], "defaultValue" in one["restrictions"][0])
        for one in told
    }
    assert found == {"tags.a": ("Removed", False), f"{IDENTITY}/isolationScope": ("Required", True)}
