"""What holds for every request to ARM: ids, versions, errors, permissions, and never a crash."""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.resource.resources import ResourceManagementClient

from azure_sandbox.client import SandboxProcess

VERSION = "2024-11-01"
IDENTITIES = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities"


def test_ids_have_no_case_and_come_back_canonical(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules"""
    client = sandbox.client(ManagedServiceIdentityClient)
    made = client.user_assigned_identities.create_or_update(
        "RG-TEST", "Mi-One", {"location": "canadacentral"}
    )
    assert made.id == f"{group}{IDENTITIES}/Mi-One"
    lower = sandbox.arm("GET", made.id.lower(), api_version="2024-11-30")
    doubled = sandbox.arm(
        "GET", "/" + made.id.replace("/providers/", "//PROVIDERS/"), api_version="2024-11-30"
    )
    assert lower.json()["id"] == doubled.json()["id"] == made.id


def test_a_missing_resource_is_404_from_the_gateway(sandbox: SandboxProcess, group: str) -> None:
    answer = sandbox.arm("GET", f"{group}{IDENTITIES}/none", api_version="2024-11-30")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "ResourceNotFound"
    assert answer.headers["x-ms-failure-cause"] == "gateway"


def test_a_missing_group_is_404_resource_group_not_found(sandbox: SandboxProcess) -> None:
    client = sandbox.client(ManagedServiceIdentityClient)
    with pytest.raises(ResourceNotFoundError) as caught:
        client.user_assigned_identities.get("rg-none", "mi")
    assert caught.value.error.code == "ResourceGroupNotFound"


@pytest.mark.parametrize(
    ("version", "code"),
    [
        (None, "MissingApiVersionParameter"),
        ("1999-01-01", "NoRegisteredProviderFound"),
        ("soon", "InvalidApiVersionParameter"),
    ],
)
def test_an_unknown_api_version_is_400(
    sandbox: SandboxProcess, group: str, version: str | None, code: str
) -> None:
    """https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors"""
    answer = sandbox.arm("GET", f"{group}{IDENTITIES}/mi", api_version=version)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code


def test_what_is_not_emulated_is_501_and_names_the_file(sandbox: SandboxProcess, group: str) -> None:
    path = f"{group}/providers/Microsoft.KeyVault/vaults/kv"
    answer = sandbox.arm("PUT", path, {"location": "canadacentral"}, api_version="2023-07-01")
    assert answer.status_code == 501
    assert "azure_sandbox/providers/key_vault.py" in answer.json()["error"]["message"]
    missing = sandbox.arm("POST", f"{group}{IDENTITIES}/mi/frobnicate", api_version="2024-11-30")
    assert missing.status_code == 501


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"location": 3}',
        b'{"tags": {"a": 1}}',
        b'{"properties": []}',
        b"\xff\xfe",
    ],
)
def test_a_body_that_is_not_arm_json_is_400(sandbox: SandboxProcess, group: str, raw: bytes) -> None:
    answer = sandbox.arm("PUT", f"{group}{IDENTITIES}/mi", raw=raw, api_version="2024-11-30")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "InvalidRequestContent"


def test_no_token_is_401(sandbox: SandboxProcess) -> None:
    answer = sandbox.http.get(f"{sandbox.endpoint}{sandbox.subscription}?api-version=2022-12-01")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "AuthenticationFailed"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_a_token_for_another_audience_is_401(sandbox: SandboxProcess) -> None:
    token = sandbox.token("https://storage.azure.com/.default")
    answer = sandbox.arm("GET", sandbox.subscription, api_version="2022-12-01", token=token)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "InvalidAuthenticationTokenAudience"


def test_a_foreign_subscription_is_404(sandbox: SandboxProcess) -> None:
    path = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups"
    answer = sandbox.arm("GET", path, api_version=VERSION)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "SubscriptionNotFound"


def test_a_reader_can_read_and_is_403_on_writes(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/role-based-access-control/troubleshooting"""
    reader = sandbox.control(
        "POST", "principals", {"roles": [{"role": "Reader", "scope": sandbox.subscription}]}
    )
    credential = sandbox.credential(client_id=reader["client_id"], client_secret=reader["client_secret"])
    client = sandbox.client(ResourceManagementClient, credential)
    assert client.resource_groups.get("rg-test").id == group
    with pytest.raises(HttpResponseError) as caught:
        client.resource_groups.create_or_update("rg-other", {"location": "canadacentral"})
    assert caught.value.status_code == 403
    assert caught.value.error.code == "AuthorizationFailed"
    assert reader["object_id"] in caught.value.message
    assert "'Microsoft.Resources/subscriptions/resourceGroups/write'" in caught.value.message


def test_a_role_on_a_group_reaches_nothing_else(sandbox: SandboxProcess, group: str) -> None:
    body = {"location": "canadacentral"}
    other = f"{sandbox.subscription}/resourceGroups/rg-test-2"  # Not below rg-test, though it begins like it.
    sandbox.arm("PUT", other, body, api_version=VERSION)
    writer = sandbox.control("POST", "principals", {"roles": [{"role": "Contributor", "scope": group}]})
    token = sandbox.token(client_id=writer["client_id"], client_secret=writer["client_secret"])
    own = sandbox.arm("PUT", f"{group}{IDENTITIES}/mi-a", body, api_version="2024-11-30", token=token)
    foreign = sandbox.arm("PUT", f"{other}{IDENTITIES}/mi-a", body, api_version="2024-11-30", token=token)
    assert (own.status_code, foreign.status_code) == (201, 403)


def test_a_location_is_required_and_cannot_be_changed(sandbox: SandboxProcess, group: str) -> None:
    path = f"{group}{IDENTITIES}/mi-a"
    without = sandbox.arm("PUT", path, {}, api_version="2024-11-30")
    assert (without.status_code, without.json()["error"]["code"]) == (400, "LocationRequired")
    sandbox.arm("PUT", path, {"location": "Canada Central"}, api_version="2024-11-30")
    moved = sandbox.arm("PUT", path, {"location": "eastus"}, api_version="2024-11-30")
    assert (moved.status_code, moved.json()["error"]["code"]) == (409, "InvalidResourceLocation")


def test_a_denying_policy_is_403_with_its_ids(sandbox: SandboxProcess, group: str) -> None:
    """https://github.com/Azure-Samples/azuresandbox/issues/196"""
    sandbox.settings(
        policies=[
            {
                "name": "no-public-storage",
                "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
                "deny_when": {"tags.owner": "nobody"},
            }
        ]
    )
    path = f"{group}{IDENTITIES}/mi-a"
    denied = sandbox.arm(
        "PUT", path, {"location": "canadacentral", "tags": {"owner": "nobody"}}, api_version="2024-11-30"
    )
    assert denied.status_code == 403
    error = denied.json()["error"]
    assert error["code"] == "RequestDisallowedByPolicy"
    assert error["additionalInfo"][0]["type"] == "PolicyViolation"
    allowed = sandbox.arm("PUT", path, {"location": "canadacentral"}, api_version="2024-11-30")
    assert allowed.status_code == 201


@pytest.mark.parametrize("level", ["CanNotDelete", "ReadOnly"])
def test_a_lock_stops_deletions_below_it_and_a_read_only_one_writes(
    sandbox: SandboxProcess, group: str, level: str
) -> None:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources"""
    path = f"{group}{IDENTITIES}/mi-a"
    body = {"location": "canadacentral"}
    sandbox.arm("PUT", path, body, api_version="2024-11-30")
    lock = f"{group}/providers/Microsoft.Authorization/locks/keep"
    made = sandbox.arm("PUT", lock, {"properties": {"level": level}}, api_version="2020-05-01")
    assert made.status_code == 201
    deletion = sandbox.arm("DELETE", path, api_version="2024-11-30")
    assert (deletion.status_code, deletion.json()["error"]["code"]) == (409, "ScopeLocked")
    write = sandbox.arm("PUT", path, body, api_version="2024-11-30")
    assert write.status_code == (409 if level == "ReadOnly" else 200)
    assert sandbox.arm("DELETE", group, api_version=VERSION).status_code == 409
    assert sandbox.arm("DELETE", lock, api_version="2020-05-01").status_code == 200
    assert sandbox.arm("DELETE", path, api_version="2024-11-30").status_code == 200


def test_a_lock_on_a_resource_stops_the_deletion_of_its_group(sandbox: SandboxProcess, group: str) -> None:
    path = f"{group}{IDENTITIES}/mi-a"
    sandbox.arm("PUT", path, {"location": "canadacentral"}, api_version="2024-11-30")
    lock = f"{path}/providers/Microsoft.Authorization/locks/keep"
    sandbox.arm("PUT", lock, {"properties": {"level": "CanNotDelete"}}, api_version="2020-05-01")
    answer = sandbox.arm("DELETE", group, api_version=VERSION)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "ScopeLocked")


def test_reads_are_counted_and_throttled_per_principal_with_retry_after(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling"""
    sandbox.control("POST", "clock", {"speed": 0.001})  # The buckets don't refill while this test runs.
    first = sandbox.arm("GET", group, api_version=VERSION)
    assert int(first.headers["x-ms-ratelimit-remaining-subscription-reads"]) <= 249
    answers = [sandbox.arm("GET", group, api_version=VERSION) for _ in range(250)]
    refused = answers[-1]
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "SubscriptionRequestsThrottled"
    assert int(refused.headers["Retry-After"]) >= 1
    other = sandbox.control(
        "POST", "principals", {"roles": [{"role": "Reader", "scope": sandbox.subscription}]}
    )
    token = sandbox.token(client_id=other["client_id"], client_secret=other["client_secret"])
    assert sandbox.arm("GET", group, api_version=VERSION, token=token).status_code == 200
    sandbox.settings(throttling=False)
    assert sandbox.arm("GET", group, api_version=VERSION).status_code == 200


def test_an_unregistered_namespace_refuses_writes_and_the_sdk_registers_it(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://github.com/microsoft/AzureTRE/issues/4510"""
    sandbox.settings(registered={"Microsoft.ManagedIdentity": False})
    path = f"{group}{IDENTITIES}/mi-a"
    body = {"location": "canadacentral"}
    answer = sandbox.arm("PUT", path, body, api_version="2024-11-30")
    assert answer.status_code == 409
    error = answer.json()["error"]
    assert error["code"] == "MissingSubscriptionRegistration"
    assert error["details"][0]["target"] == "Microsoft.ManagedIdentity"
    provider = f"{sandbox.subscription}/providers/microsoft.managedidentity"
    registering = sandbox.arm("POST", f"{provider}/register", api_version="2021-04-01")
    assert registering.json()["registrationState"] == "Registering"
    assert sandbox.arm("PUT", path, body, api_version="2024-11-30").status_code == 409
    sandbox.step(120)
    assert sandbox.arm("GET", provider, api_version="2021-04-01").json()["registrationState"] == "Registered"
    assert sandbox.arm("PUT", path, body, api_version="2024-11-30").status_code == 201


def test_the_sdks_register_a_provider_by_themselves(
    sandbox: SandboxProcess, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https://github.com/microsoft/AzureTRE/issues/4510"""
    # Ten real seconds between two looks, in the SDK; here they are the sandbox's.
    monkeypatch.setattr("azure.mgmt.core.policies._base.time.sleep", sandbox.step)
    sandbox.control("POST", "clock", {"speed": 0.001})
    sandbox.settings(registered={"Microsoft.ManagedIdentity": False}, durations={"managed_identity_write": 0})
    client = sandbox.client(ManagedServiceIdentityClient)
    made = client.user_assigned_identities.create_or_update("rg-test", "mi-a", {"location": "canadacentral"})
    assert made.name == "mi-a"
    registering = [entry for entry in sandbox.ledger() if entry["operation"] == "Providers_Register"]
    assert [entry["status"] for entry in registering] == [200]
    assert "2016-02-01" in str(registering)
