"""The control API: clock, ledger, settings, principals, the operator manifest."""

import concurrent.futures
import hashlib
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.mgmt.resource.resources import ResourceManagementClient

from azure_sandbox.client import SandboxProcess

BODY = {"location": "canadacentral"}


def test_everything_but_the_open_paths_needs_the_key(sandbox: SandboxProcess) -> None:
    for name in ("health", "egress", "operator/cnpg-1.30.0.yaml"):
        assert sandbox.http.get(f"{sandbox.endpoint}/sandbox/{name}").status_code == 200
    for name in ("ledger", "operations", "resources", "faults", "settings", "clock"):
        assert sandbox.http.get(f"{sandbox.endpoint}/sandbox/{name}").status_code == 401
    assert sandbox.http.post(f"{sandbox.endpoint}/sandbox/reset").status_code == 401


def test_the_operator_manifest_has_the_digest_that_is_announced(sandbox: SandboxProcess) -> None:
    content = sandbox.http.get(sandbox.description["operator_manifest_url"]).content
    assert hashlib.sha256(content).hexdigest() == sandbox.description["operator_manifest_sha256"]


def test_the_egress_address_is_a_setting(sandbox: SandboxProcess) -> None:
    assert sandbox.http.get(sandbox.description["egress_url"]).text.strip() == "20.51.7.9"
    sandbox.settings(egress_address="20.51.7.10")
    assert sandbox.http.get(sandbox.description["egress_url"]).text.strip() == "20.51.7.10"


def test_a_step_ends_what_is_due_and_wakes_a_request_that_is_waiting(
    sandbox: SandboxProcess, group: str
) -> None:
    sandbox.control("POST", "clock", {"speed": 0.01})
    path = f"{group}/providers/Microsoft.Monitor/accounts/amw-a"
    sandbox.token()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(sandbox.arm, "PUT", path, BODY, api_version="2025-10-03")
        while not sandbox.ledger(operation="AzureMonitorWorkspaces_CreateOrUpdate"):
            assert not answer.done()
        before = sandbox.control("GET", "clock")["now_s"]
        sandbox.step(10)
        assert answer.result(timeout=60).status_code == 200
    assert sandbox.control("GET", "clock")["now_s"] - before < 11


def test_a_step_over_a_day_gives_the_same_history_as_waiting(sandbox: SandboxProcess, group: str) -> None:
    path = f"{group}/providers/Microsoft.OperationalInsights/workspaces/ala-one"
    sandbox.arm("PUT", path, BODY, api_version="2025-02-01")
    sandbox.step(24 * 3600)
    (operation,) = sandbox.control("GET", "operations")["operations"]
    assert operation["status"] == "Succeeded"
    assert operation["ends_s"] - operation["started_s"] < 30  # Its own end, not that of the step.


def test_durations_can_be_set_exactly(sandbox: SandboxProcess, group: str) -> None:
    sandbox.settings(durations={"log_workspace_create": 7})
    path = f"{group}/providers/Microsoft.OperationalInsights/workspaces/ala-one"
    sandbox.arm("PUT", path, BODY, api_version="2025-02-01")
    (operation,) = sandbox.control("GET", "operations")["operations"]
    assert operation["ends_s"] - operation["started_s"] == pytest.approx(7)


def test_the_same_seed_gives_the_same_ids_in_any_order(sandbox: SandboxProcess) -> None:
    def run(names: list[str]) -> dict[str, str]:
        sandbox.control("POST", "reset", {"seed": 5, "speed": 1000})
        group = f"{sandbox.subscription}/resourceGroups/rg-test"
        sandbox.arm("PUT", group, BODY, api_version="2024-11-01")
        seen = {}
        for name in names:
            path = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
            answer = sandbox.arm("PUT", path, BODY, api_version="2024-11-30").json()
            seen[name] = answer["properties"]["principalId"]
        return seen

    assert run(["mi-a", "mi-b"]) == run(["mi-b", "mi-a"])


def test_the_ledger_says_who_did_what_when_and_how_it_ended(sandbox: SandboxProcess, group: str) -> None:
    (entry,) = sandbox.ledger(operation="ResourceGroups_CreateOrUpdate")
    assert entry["service"] == "arm"
    assert entry["principal"] == sandbox.object_id
    assert (entry["method"], entry["path"], entry["api_version"]) == ("PUT", group, "2024-11-01")
    assert (entry["body"], entry["status"], entry["error_code"]) == (BODY, 201, None)
    assert entry["at_s"] >= 0
    assert entry["real_s"] >= 0
    last = sandbox.control("GET", "ledger")["entries"][-1]["n"]
    sandbox.arm("GET", group, api_version="2024-11-01")
    later: list[dict[str, Any]] = sandbox.control("GET", f"ledger?since={last}")["entries"]
    assert [item["operation"] for item in later] == ["ResourceGroups_Get"]


def test_the_ledger_names_the_caller_even_when_the_request_is_refused(
    sandbox: SandboxProcess, group: str
) -> None:
    sandbox.fault({"status": 500}, operation="ResourceGroups_Get")
    sandbox.arm("GET", group, api_version="2024-11-01")
    entry = sandbox.ledger(operation="ResourceGroups_Get")[-1]
    assert (entry["principal"], entry["status"]) == (sandbox.object_id, 500)


def test_secrets_do_not_reach_the_ledger(sandbox: SandboxProcess, group: str) -> None:
    sandbox.token()
    text = str(sandbox.control("GET", "ledger"))
    assert sandbox.description["client_secret"] not in text
    token = sandbox.ledger(operation="Token")[-1]
    assert token["body"]["client_secret"] == "***"


def test_a_principal_of_another_tenant_gets_a_token_that_arm_refuses(sandbox: SandboxProcess) -> None:
    """https://github.com/Azure/azure-sdk-for-python/issues/38382"""
    tenant = "99999999-9999-9999-9999-999999999999"
    other = sandbox.control("POST", "principals", {"tenant_id": tenant})
    credential = sandbox.credential(
        client_id=other["client_id"], client_secret=other["client_secret"], tenant_id=tenant
    )
    client = sandbox.client(ResourceManagementClient, credential)
    with pytest.raises(ClientAuthenticationError) as caught:
        client.resource_groups.get("rg-test")
    assert caught.value.error.code == "InvalidAuthenticationTokenTenant"
    assert tenant in caught.value.message
    assert sandbox.tenant_id in caught.value.message


def test_a_reset_empties_everything(sandbox: SandboxProcess, group: str) -> None:
    sandbox.fault({"status": 500}, operation="ResourceGroups_Get")
    sandbox.settings(egress_address="20.51.7.10")
    sandbox.control("POST", "reset", {"seed": 1, "speed": 0.1})
    assert sandbox.control("GET", "resources") == {"resources": []}
    assert sandbox.control("GET", "operations")["operations"] == []
    assert sandbox.control("GET", "faults")["faults"] == []
    assert sandbox.control("GET", "ledger") == {"entries": []}
    assert sandbox.control("GET", "settings")["egress_address"] == "20.51.7.9"
    assert sandbox.control("GET", "clock")["now_s"] < 60
