"""Rules that reach over several providers: rights, locks, limits, deletions, names that are still held."""

import contextlib
import socket
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.dashboard import DashboardManagementClient
from azure.mgmt.loganalytics import LogAnalyticsManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.storage import StorageManagementClient

from azure_sandbox.client import SandboxProcess

REGION = {"location": "canadacentral"}
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
ACCOUNT = {**REGION, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
GRAFANA = {**REGION, "sku": {"name": "Standard"}, "identity": {"type": "SystemAssigned"}}
VERSION = "2024-11-01"


def principal_with(sandbox: SandboxProcess, role: str, scope: str) -> Any:
    """A credential of another service principal with a role."""
    made = sandbox.control("POST", "principals", {"roles": [{"role": role, "scope": scope}]})
    return sandbox.credential(client_id=made["client_id"], client_secret=made["client_secret"])


def test_registering_a_namespace_needs_its_own_register_action_on_the_subscription(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://github.com/hashicorp/terraform-provider-azurerm/issues/4410"""
    reader = principal_with(sandbox, "Reader", sandbox.subscription)
    with pytest.raises(HttpResponseError) as caught:
        sandbox.client(ResourceManagementClient, reader).providers.register("microsoft.storage")
    assert (caught.value.status_code, caught.value.error.code) == (403, "AuthorizationFailed")
    assert "perform action 'Microsoft.Storage/register/action'" in caught.value.message
    assert f"over scope '{sandbox.subscription}' or the scope is invalid" in caught.value.message
    contributor = principal_with(sandbox, "Contributor", sandbox.subscription)
    client = sandbox.client(ResourceManagementClient, contributor)
    assert client.providers.register("Microsoft.Storage").registration_state == "Registered"


def test_a_contributor_assigns_no_roles(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/privileged#contributor"""
    contributor = principal_with(sandbox, "Contributor", sandbox.subscription)
    client = sandbox.client(AuthorizationManagementClient, contributor)
    role = f"{sandbox.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    body = {"roleDefinitionId": role, "principalId": sandbox.object_id, "principalType": "ServicePrincipal"}
    with pytest.raises(HttpResponseError) as caught:
        client.role_assignments.create(group, READER, {"properties": body})
    assert "'Microsoft.Authorization/roleAssignments/write'" in caught.value.message


def test_a_role_works_in_arm_only_after_its_delay(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/role-based-access-control/troubleshooting (up to 10 minutes)"""
    sandbox.control("POST", "clock", {"speed": 1})
    sandbox.settings(role_effect_arm_s=600, durations={"role_assignment_write": 0})
    made = sandbox.control("POST", "principals", {"roles": []})
    token = sandbox.token(client_id=made["client_id"], client_secret=made["client_secret"])
    role = f"{sandbox.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    kind = "ServicePrincipal"
    body = {"roleDefinitionId": role, "principalId": made["object_id"], "principalType": kind}
    path = f"{group}/providers/Microsoft.Authorization/roleAssignments/{READER}"
    assert sandbox.arm("PUT", path, {"properties": body}, api_version="2022-04-01").status_code == 201
    assert sandbox.arm("GET", group, api_version=VERSION, token=token).status_code == 403
    sandbox.step(601)
    assert sandbox.arm("GET", group, api_version=VERSION, token=token).status_code == 200


def test_a_read_only_lock_forbids_the_listing_of_keys(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources (listKeys is a POST)"""
    accounts = sandbox.client(StorageManagementClient).storage_accounts
    accounts.begin_create("rg-test", "acc1", ACCOUNT).result()
    assert accounts.list_keys("rg-test", "acc1").keys_property
    lock = f"{group}/providers/Microsoft.Authorization/locks/keep"
    sandbox.arm("PUT", lock, {"properties": {"level": "ReadOnly"}}, api_version="2020-05-01")
    with pytest.raises(ResourceExistsError) as caught:
        accounts.list_keys("rg-test", "acc1")
    assert caught.value.error.code == "ScopeLocked"
    assert accounts.get_properties("rg-test", "acc1").name == "acc1"


def test_a_workspace_comes_back_in_a_group_that_was_made_again(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/azure-monitor/logs/delete-workspace (recover: the group first)"""
    logs = sandbox.client(LogAnalyticsManagementClient, polling_interval=0.02).workspaces
    before = logs.begin_create_or_update("rg-test", "ala-one", REGION).result()
    groups = sandbox.client(ResourceManagementClient).resource_groups
    groups.begin_delete("rg-test").result()
    groups.create_or_update("rg-test", REGION)
    after = logs.begin_create_or_update("rg-test", "ala-one", REGION).result()
    assert after.customer_id == before.customer_id


def test_a_region_holds_twenty_grafana_instances_of_a_subscription(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://learn.microsoft.com/azure/managed-grafana/known-limitations"""
    client = sandbox.client(DashboardManagementClient).grafana
    for number in range(20):
        client.begin_create("rg-test", f"graf-{number}", GRAFANA, polling=False)
    with pytest.raises(HttpResponseError) as caught:
        client.begin_create("rg-test", "graf-20", GRAFANA, polling=False)
    assert caught.value.error.code == "QuotaExceeded"
    elsewhere = {**GRAFANA, "location": "eastus"}
    assert client.begin_create("rg-test", "graf-20", elsewhere, polling=False)


def test_a_grafana_name_is_used_once_in_a_region(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/managed-grafana/troubleshoot-managed-grafana"""
    other = f"{sandbox.subscription}/resourceGroups/rg-other"
    sandbox.arm("PUT", other, REGION, api_version=VERSION)
    client = sandbox.client(DashboardManagementClient).grafana
    client.begin_create("rg-test", "graf-a", GRAFANA, polling=False)
    with pytest.raises(ResourceExistsError):
        client.begin_create("rg-other", "graf-a", GRAFANA, polling=False)


def test_an_identity_has_twenty_federated_credentials_at_most(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations"""
    client = sandbox.client(ManagedServiceIdentityClient)
    client.user_assigned_identities.create_or_update("rg-test", "mi-a", REGION)

    def write(number: int) -> Any:
        audiences = ["api://AzureADTokenExchange"]
        body = {"issuer": "https://issuer.example/", "subject": f"s-{number}", "audiences": audiences}
        return client.federated_identity_credentials.create_or_update(
            "rg-test", "mi-a", f"cred-{number}", {"properties": body}
        )

    for number in range(20):
        write(number)
    with pytest.raises(HttpResponseError) as caught:
        write(20)
    assert caught.value.status_code == 400
    assert "at most 20 are allowed" in caught.value.message


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("Microsoft.ManagedIdentity/userAssignedIdentities/none", "2024-11-30"),
        ("Microsoft.Storage/storageAccounts/none", "2025-08-01"),
        ("Microsoft.OperationalInsights/workspaces/none", "2025-02-01"),
        ("Microsoft.Dashboard/grafana/none", "2023-09-01"),
        ("Microsoft.Insights/dataCollectionRules/none", "2022-06-01"),
        ("Microsoft.ContainerService/managedClusters/none", "2026-08-01"),
        ("Microsoft.Network/publicIPAddresses/none", "2024-10-01"),
    ],
)
def test_deleting_what_is_not_there_is_204(
    sandbox: SandboxProcess, group: str, path: str, version: str
) -> None:
    """https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/resource-api-reference.md"""
    assert sandbox.arm("DELETE", f"{group}/providers/{path}", api_version=version).status_code == 204


def test_a_repeat_before_its_time_is_refused_again_and_prolongs_nothing_itself(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling"""
    sandbox.control("POST", "clock", {"speed": 0.001})
    for _ in range(250):
        sandbox.arm("GET", group, api_version=VERSION)
    refused = [sandbox.arm("GET", group, api_version=VERSION) for _ in range(5)]
    assert {answer.status_code for answer in refused} == {429}
    # It says how long in whole sandbox seconds; after those there is room again.
    sandbox.step(1)
    assert sandbox.arm("GET", group, api_version=VERSION).status_code == 200


def test_writes_and_deletes_have_buckets_of_their_own(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling"""
    sandbox.control("POST", "clock", {"speed": 0.001})
    sandbox.settings(durations={"resource_group_write": 0})
    for _ in range(260):
        sandbox.arm("GET", group, api_version=VERSION)
    assert sandbox.arm("GET", group, api_version=VERSION).status_code == 429
    written = sandbox.arm("PUT", group, REGION, api_version=VERSION)
    assert written.status_code == 200
    assert int(written.headers["x-ms-ratelimit-remaining-subscription-writes"]) in range(190, 200)
    path = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/none"
    deleted = sandbox.arm("DELETE", path, api_version="2024-11-30")
    assert deleted.headers["x-ms-ratelimit-remaining-subscription-deletes"] == "199"


def test_plain_http_is_not_served(sandbox: SandboxProcess) -> None:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/tls-support"""
    host, _, port = sandbox.endpoint.removeprefix("https://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as raw:
        raw.sendall(b"GET /subscriptions?api-version=2022-12-01 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert not raw.recv(100).startswith(b"HTTP/")


def test_a_group_with_a_resource_that_is_not_final_is_not_deleted_and_stays(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://github.com/Azure/bicep-registry-modules/issues/1607"""
    sandbox.settings(durations={"storage_account_create": 3600})
    accounts = sandbox.client(StorageManagementClient).storage_accounts
    accounts.begin_create("rg-test", "acc1", ACCOUNT, polling=False)
    groups = sandbox.client(ResourceManagementClient).resource_groups
    with pytest.raises(HttpResponseError) as caught:
        groups.begin_delete("rg-test").result()
    assert (caught.value.status_code, caught.value.error.code) == (409, "ResourceGroupDeletionBlocked")
    (detail,) = caught.value.error.details
    assert detail.target.endswith("/storageAccounts/acc1")
    assert groups.get("rg-test").properties.provisioning_state == "Succeeded"
    sandbox.step(3600)
    groups.begin_delete("rg-test").result()
    assert not groups.check_existence("rg-test")


def test_deleting_a_group_takes_the_groups_that_its_resources_made(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/delete-resource-group"""
    sandbox.arm("PUT", f"{group}/providers/Microsoft.Monitor/accounts/amw", REGION, api_version="2025-10-03")
    client = sandbox.client(ContainerServiceClient, polling_interval=0.02)
    pool = {"name": "system", "mode": "System", "vmSize": "Standard_D4s_v5", "count": 1}
    properties = {"dnsPrefix": "c1", "agentPoolProfiles": [pool]}
    body = {**REGION, "identity": {"type": "SystemAssigned"}, "properties": properties}
    client.managed_clusters.begin_create_or_update("rg-test", "c1", body).result()
    groups = sandbox.client(ResourceManagementClient).resource_groups
    made = {item.name for item in groups.list()}
    assert made == {"rg-test", "MC_rg-test_c1_canadacentral", "MA_amw_canadacentral_managed"}
    groups.begin_delete("rg-test").result()
    assert [item.name for item in groups.list()] == []
