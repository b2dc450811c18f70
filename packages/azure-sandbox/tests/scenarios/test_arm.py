"""What ARM and the way to it do, met by plain SDK clients."""

import uuid
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceResponseError,
)
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.resource.resources import ResourceManagementClient

from azure_sandbox.client import SandboxProcess

from .conftest import ACCOUNT, GRAFANA, REGION

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


def identity_writes(sandbox: SandboxProcess) -> list[Any]:
    return [entry["status"] for entry in sandbox.ledger(operation="UserAssignedIdentities_CreateOrUpdate")]


def test_arm_throttled(sandbox: SandboxProcess, order: Any, identities: Any) -> None:
    order("arm-throttled")
    for name in ("mi-a", "mi-b"):
        with pytest.raises(HttpResponseError) as caught:
            identities.create_or_update("rg-test", name, REGION)
        assert (caught.value.status_code, caught.value.error.code) == (429, "SubscriptionRequestsThrottled")
        assert caught.value.response.headers["x-ms-retry-after-ms"] == "17"  # 17 s at a speed of 1000.
        assert identities.create_or_update("rg-test", name, REGION).name == name


def test_arm_throttled_without_header(order: Any, accounts: Any) -> None:
    order("arm-throttled-without-header")
    with pytest.raises(HttpResponseError) as caught:
        accounts.begin_create("rg-test", "acc1", ACCOUNT)
    assert (caught.value.status_code, caught.value.error.code) == (429, "TooManyRequests")
    assert not {"Retry-After", "x-ms-retry-after-ms"} & set(caught.value.response.headers)


def test_arm_throttled_by_rate(sandbox: SandboxProcess, order: Any, group: str) -> None:
    def run() -> list[int]:
        sandbox.control("DELETE", "faults")
        order("arm-throttled-by-rate")
        return [sandbox.arm("GET", group, api_version="2024-11-01").status_code for _ in range(60)]

    first = run()
    assert first == run()
    assert 1 <= first.count(429) <= 15


def test_gateway_503(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("gateway-503")
    client = sandbox.client(ManagedServiceIdentityClient, retry_backoff_factor=0)
    client.user_assigned_identities.create_or_update("rg-test", "mi-a", REGION)
    assert identity_writes(sandbox) == [503, 503, 201]


def test_gateway_502_html(order: Any, identities: Any) -> None:
    order("gateway-502-html")
    with pytest.raises(HttpResponseError) as caught:
        identities.get("rg-test", "mi-a")
    assert caught.value.status_code == 502
    assert caught.value.error is None  # Nothing in a page of HTML that the SDK could read.
    with pytest.raises(ResourceNotFoundError):
        identities.get("rg-test", "mi-a")


def test_connection_cut_after_write(order: Any, identities: Any) -> None:
    order("connection-cut-after-write")
    with pytest.raises(ServiceResponseError):
        identities.create_or_update("rg-test", "mi-a", REGION)
    assert identities.get("rg-test", "mi-a").name == "mi-a"


def test_connection_cut_before_write(order: Any, identities: Any) -> None:
    order("connection-cut-before-write")
    with pytest.raises(ServiceResponseError):
        identities.create_or_update("rg-test", "mi-a", REGION)
    with pytest.raises(ResourceNotFoundError):
        identities.get("rg-test", "mi-a")
    assert identities.create_or_update("rg-test", "mi-a", REGION).name == "mi-a"


def test_slow_answers(sandbox: SandboxProcess, order: Any, identities: Any) -> None:
    order("slow-answers")
    identities.create_or_update("rg-test", "mi-a", REGION)
    (entry,) = sandbox.ledger(operation="UserAssignedIdentities_CreateOrUpdate")
    assert entry["duration_ms"] >= 10  # 10 s at a speed of 1000.


def test_expired_token(order: Any, identities: Any) -> None:
    order("expired-token")
    with pytest.raises(ClientAuthenticationError) as caught:
        identities.create_or_update("rg-test", "mi-a", REGION)
    assert caught.value.error.code == "ExpiredAuthenticationToken"
    assert caught.value.response.headers["x-ms-failure-cause"] == "gateway"


def test_wrong_tenant(order: Any, identities: Any) -> None:
    order("wrong-tenant")
    with pytest.raises(ClientAuthenticationError) as caught:
        identities.get("rg-test", "mi-a")
    assert caught.value.error.code == "InvalidAuthenticationTokenTenant"


def assign(sandbox: SandboxProcess, scope: str, principal: str, kind: str | None) -> Any:
    client = sandbox.client(AuthorizationManagementClient, retry_total=0)
    role = f"{sandbox.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    body = {"properties": {"roleDefinitionId": role, "principalId": principal, "principalType": kind}}
    return client.role_assignments.create(scope, str(uuid.uuid4()), body)


def test_principal_not_found(sandbox: SandboxProcess, order: Any, identities: Any, group: str) -> None:
    sandbox.control("POST", "clock", {"speed": 1})
    sandbox.settings(durations={"managed_identity_write": 0, "role_assignment_write": 0})
    order("principal-not-found")
    principal = identities.create_or_update("rg-test", "mi-a", REGION).principal_id
    with pytest.raises(HttpResponseError) as caught:
        assign(sandbox, group, principal, "ServicePrincipal")
    assert (caught.value.status_code, caught.value.error.code) == (400, "PrincipalNotFound")
    sandbox.step(121)
    assert assign(sandbox, group, principal, "ServicePrincipal").principal_id == principal


def test_role_assignment_exists_under_another_guid(
    sandbox: SandboxProcess, order: Any, identities: Any, group: str
) -> None:
    order("role-assignment-exists-under-another-guid")
    principal = identities.create_or_update("rg-test", "mi-a", REGION).principal_id
    with pytest.raises(ResourceExistsError) as caught:
        assign(sandbox, group, principal, "ServicePrincipal")
    assert caught.value.error.code == "RoleAssignmentExists"
    listed = sandbox.client(AuthorizationManagementClient).role_assignments.list_for_scope(
        group, filter=f"principalId eq '{principal}'"
    )
    (found,) = listed
    assert found.role_definition_id.endswith(READER)
    assert found.name in caught.value.message


def test_concurrent_federated_credentials(sandbox: SandboxProcess, order: Any, identities: Any) -> None:
    order("concurrent-federated-credentials")
    identities.create_or_update("rg-test", "mi-a", REGION)
    client = sandbox.client(ManagedServiceIdentityClient, retry_total=0).federated_identity_credentials
    body = {"issuer": "https://issuer.example/", "subject": "s", "audiences": ["api://AzureADTokenExchange"]}
    for _ in range(2):
        with pytest.raises(ResourceExistsError) as caught:
            client.create_or_update("rg-test", "mi-a", "cred", {"properties": body})
        code = "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity"
        assert caught.value.error.code == code
    assert client.create_or_update("rg-test", "mi-a", "cred", {"properties": body}).subject == "s"


def test_provider_not_registered(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("provider-not-registered")
    path = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mi-a"
    answer = sandbox.arm("PUT", path, REGION, api_version="2024-11-30")
    assert answer.json()["error"]["code"] == "MissingSubscriptionRegistration"
    client = sandbox.client(ResourceManagementClient)
    assert client.providers.register("Microsoft.ManagedIdentity").registration_state == "Registering"
    sandbox.step(301)
    assert client.providers.get("Microsoft.ManagedIdentity").registration_state == "Registered"
    assert sandbox.arm("PUT", path, REGION, api_version="2024-11-30").status_code == 201


def test_policy_denies(order: Any, accounts: Any) -> None:
    order("policy-denies")
    with pytest.raises(HttpResponseError) as caught:
        accounts.begin_create("rg-test", "acc1", ACCOUNT)
    assert (caught.value.status_code, caught.value.error.code) == (403, "RequestDisallowedByPolicy")
    (info,) = caught.value.error.additional_info
    assert info.type == "PolicyViolation"
    assert info.info["policyAssignmentName"] == "no-storage-accounts"


def test_group_locked(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("group-locked")
    client = sandbox.client(ResourceManagementClient)
    with pytest.raises(ResourceExistsError) as caught:
        client.resource_groups.begin_delete("rg-test")
    assert caught.value.error.code == "ScopeLocked"
    assert f"are locked: '{group}'".lower() in caught.value.message.lower()
    assert client.resource_groups.check_existence("rg-test")


def test_group_being_deleted(sandbox: SandboxProcess, order: Any) -> None:
    order("group-being-deleted")
    groups = sandbox.client(ResourceManagementClient).resource_groups
    for _ in range(3):
        with pytest.raises(ResourceExistsError) as caught:
            groups.create_or_update("rg-a", REGION)
        assert caught.value.error.code == "ResourceGroupBeingDeleted"
        assert "'rg-a' is in deprovisioning state" in caught.value.message
    assert groups.create_or_update("rg-a", REGION).name == "rg-a"


def test_group_deletion_blocked(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("group-deletion-blocked")
    groups = sandbox.client(ResourceManagementClient).resource_groups
    with pytest.raises(HttpResponseError) as caught:
        groups.begin_delete("rg-test").result()
    assert (caught.value.status_code, caught.value.error.code) == (409, "ResourceGroupDeletionBlocked")
    assert groups.get("rg-test").properties.provisioning_state == "Succeeded"
    groups.begin_delete("rg-test").result()
    assert not groups.check_existence("rg-test")


def test_policy_modifies(order: Any, grafanas: Any) -> None:
    order("policy-modifies")
    body = {**GRAFANA, "properties": {"publicNetworkAccess": "Enabled"}}
    made = grafanas.begin_create("rg-test", "graf-a", body).result()
    assert made.properties.public_network_access == "Disabled"
    assert grafanas.get("rg-test", "graf-a").properties.public_network_access == "Disabled"


def test_policy_overwrites_tag(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("policy-overwrites-tag")
    groups = sandbox.client(ResourceManagementClient).resource_groups
    made = groups.create_or_update("rg-test", {**REGION, "tags": {"owner": "me", "team": "x"}})
    assert made.tags == {"owner": "platform", "team": "x"}
    assert groups.get("rg-test").tags == made.tags


def test_policy_deploys(sandbox: SandboxProcess, order: Any, aks: Any) -> None:
    order("policy-deploys")
    aks.create()
    sandbox.step(61)
    listed = sandbox.client(ResourceManagementClient).resources.list_by_resource_group("rg-test")
    assert {resource.type.casefold() for resource in listed} == {
        "microsoft.containerservice/managedclusters",
        "microsoft.insights/actiongroups",
    }


def refused(call: Any) -> tuple[int | None, str]:
    with pytest.raises(HttpResponseError) as caught:
        call()
    return caught.value.status_code, f"{caught.value.error.code} {caught.value.message}"


def test_role_assignment_condition(sandbox: SandboxProcess, order: Any, identities: Any, group: str) -> None:
    order("role-assignment-condition")
    principal = identities.create_or_update("rg-test", "mi-a", REGION).principal_id
    permissions = sandbox.client(AuthorizationManagementClient).permissions
    assert any("*" in granted.actions for granted in permissions.list_for_resource_group("rg-test"))
    status, text = refused(lambda: assign(sandbox, group, principal, "ServicePrincipal"))
    assert status == 403
    assert "AuthorizationFailed" in text
    assert "ABAC condition that is not fulfilled" in text


def test_linked_scope_denied(order: Any, aks: Any) -> None:
    order("linked-scope-denied")
    status, text = refused(aks.begin_create)
    assert (status, "LinkedAuthorizationFailed" in text) == (403, True)


def test_right_expires(order: Any, aks: Any) -> None:
    aks.create()
    order("right-expires")
    status, text = refused(aks.begin_pool)
    assert (status, "AuthorizationFailed" in text) == (403, True)
    assert aks.state == "Succeeded"
