"""Storage accounts, the world's one registry of names, containers, and the blob data plane."""

import base64
import hashlib
import hmac
from typing import Any
from uuid import uuid4

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.mgmt.storage import StorageManagementClient

from azure_sandbox.client import SandboxProcess

VERSION = "2025-08-01"
ACCOUNT = {"location": "canadacentral", "kind": "StorageV2", "sku": {"name": "Standard_ZRS"}}
CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
DATA_OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"


@pytest.fixture
def account(sandbox: SandboxProcess, group: str) -> Any:
    return (
        sandbox.client(StorageManagementClient)
        .storage_accounts.begin_create("rg-test", "acc1", ACCOUNT)
        .result()
    )


def blob(sandbox: SandboxProcess, method: str, path: str, token: str, **options: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}", "x-ms-version": "2025-05-05", **options.get("headers", {})}
    return sandbox.http.request(
        method, f"{sandbox.endpoint}/blob/acc1{path}", headers=headers, data=options.get("data")
    )


def storage_token(sandbox: SandboxProcess) -> str:
    return sandbox.token("https://storage.azure.com/.default")


def test_creation_is_202_without_a_body_and_each_poll_hands_out_another_location(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://github.com/Azure/azure-powershell (Storage recording TestNewAzureStorageAccount.json)"""
    sandbox.control("POST", "clock", {"speed": 1})
    path = f"{group}/providers/Microsoft.Storage/storageAccounts/acc1"
    answer = sandbox.arm("PUT", path, ACCOUNT, api_version=VERSION)
    assert (answer.status_code, answer.content) == (202, b"")
    assert answer.headers["Retry-After"] == "17"
    assert "Azure-AsyncOperation" not in answer.headers
    first = answer.headers["Location"]
    assert "/asyncoperations/" in first
    assert "monitor=true" in first
    pending = sandbox.arm("GET", first.removeprefix(sandbox.endpoint))
    assert (pending.status_code, pending.content) == (202, b"")
    assert pending.headers["Location"] != first
    assert sandbox.arm("GET", path, api_version=VERSION).status_code == 200  # It exists before it is done.
    sandbox.step(30)
    done = sandbox.arm("GET", pending.headers["Location"].removeprefix(sandbox.endpoint))
    assert done.status_code == 200
    assert done.json()["properties"]["provisioningState"] == "Succeeded"


def test_defaults_are_safe(account: Any) -> None:
    assert account.minimum_tls_version == "TLS1_2"
    assert account.allow_blob_public_access is False
    assert account.enable_https_traffic_only is True


def test_a_second_put_is_200_with_the_account(sandbox: SandboxProcess, account: Any) -> None:
    answer = sandbox.arm("PUT", account.id, ACCOUNT, api_version=VERSION)
    assert answer.status_code == 200
    assert answer.json()["id"] == account.id


@pytest.mark.parametrize(
    ("name", "reason"),
    [("foreign1", "AlreadyExists"), ("acc1", "AlreadyExists"), ("Not_Good", "AccountNameInvalid")],
)
def test_names_are_checked_world_wide(sandbox: SandboxProcess, account: Any, name: str, reason: str) -> None:
    sandbox.settings(taken_storage_names=["foreign1"])
    answer = sandbox.client(StorageManagementClient).storage_accounts.check_name_availability(
        {"name": name, "type": "Microsoft.Storage/storageAccounts"}
    )
    assert (answer.name_available, answer.reason) == (False, reason)


def test_a_name_taken_by_others_is_409_though_its_get_is_404(sandbox: SandboxProcess, group: str) -> None:
    """https://github.com/hashicorp/terraform-provider-azurerm/issues/11485"""
    sandbox.settings(taken_storage_names=["foreign1"])
    path = f"{group}/providers/Microsoft.Storage/storageAccounts/foreign1"
    answer = sandbox.arm("PUT", path, ACCOUNT, api_version=VERSION)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "StorageAccountAlreadyTaken")
    assert answer.json()["error"]["message"] == "The storage account named foreign1 is already taken."
    assert sandbox.arm("GET", path, api_version=VERSION).status_code == 404


def test_a_name_in_another_group_of_ours_is_409(sandbox: SandboxProcess, account: Any) -> None:
    """https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-storage-account-name"""
    other = f"{sandbox.subscription}/resourceGroups/rg-other"
    sandbox.arm("PUT", other, {"location": "canadacentral"}, api_version="2024-11-01")
    path = f"{other}/providers/Microsoft.Storage/storageAccounts/acc1"
    answer = sandbox.arm("PUT", path, ACCOUNT, api_version=VERSION)
    assert answer.json()["error"]["code"] == "StorageAccountInAnotherResourceGroup"


def test_zrs_is_refused_where_it_is_not_offered_and_not_listed(sandbox: SandboxProcess, group: str) -> None:
    """https://github.com/Esri/arcgis-gitops/issues/160"""
    client = sandbox.client(StorageManagementClient)
    with pytest.raises(HttpResponseError) as caught:
        client.storage_accounts.begin_create("rg-test", "acc1", {**ACCOUNT, "location": "westus"})
    assert (caught.value.status_code, caught.value.error.code) == (
        400,
        "RedundancyConfigurationNotAvailableInRegion",
    )
    listed = [(item.name, item.locations[0]) for item in client.skus.list() if item.name == "Standard_ZRS"]
    assert ("Standard_ZRS", "canadacentral") in listed
    assert ("Standard_ZRS", "westus") not in listed


def test_a_container_through_arm_is_201_then_200(sandbox: SandboxProcess, account: Any) -> None:
    path = f"{account.id}/blobServices/default/containers/backups"
    statuses = [sandbox.arm("PUT", path, {}, api_version=VERSION).status_code for _ in range(2)]
    assert statuses == [201, 200]
    client = sandbox.client(StorageManagementClient)
    assert client.blob_containers.get("rg-test", "acc1", "backups").name == "backups"


def test_a_deleted_containers_name_is_blocked_for_half_a_minute(
    sandbox: SandboxProcess, account: Any
) -> None:
    """https://learn.microsoft.com/rest/api/storageservices/delete-container"""
    sandbox.control("POST", "clock", {"speed": 1})
    client = sandbox.client(StorageManagementClient).blob_containers
    client.create("rg-test", "acc1", "backups", {})
    client.delete("rg-test", "acc1", "backups")
    with pytest.raises(ResourceExistsError) as caught:
        client.create("rg-test", "acc1", "backups", {})
    assert caught.value.error.code == "ContainerBeingDeleted"
    sandbox.step(31)
    assert client.create("rg-test", "acc1", "backups", {}).name == "backups"


def test_owner_is_not_enough_for_data_and_a_data_role_works_after_a_while(
    sandbox: SandboxProcess, account: Any
) -> None:
    """https://learn.microsoft.com/azure/role-based-access-control/troubleshooting"""
    sandbox.settings(role_effect_s=10_000)
    token = storage_token(sandbox)
    refused = blob(sandbox, "PUT", "/backups?restype=container", token)
    assert refused.status_code == 403
    assert refused.headers["x-ms-error-code"] == "AuthorizationPermissionMismatch"
    role = {
        "properties": {
            "roleDefinitionId": f"{sandbox.subscription}/providers/Microsoft.Authorization/roleDefinitions"
            f"/{CONTRIBUTOR}",
            "principalId": sandbox.object_id,
            "principalType": "ServicePrincipal",
        }
    }
    name = "11111111-2222-3333-4444-555555555555"
    assignment = f"{account.id}/providers/Microsoft.Authorization/roleAssignments/{name}"
    assert sandbox.arm("PUT", assignment, role, api_version="2022-04-01").status_code == 201
    assert blob(sandbox, "PUT", "/backups?restype=container", token).status_code == 403
    sandbox.step(10_001)
    made = blob(sandbox, "PUT", "/backups?restype=container", token)
    assert made.status_code == 201
    assert made.headers["ETag"]
    exists = blob(sandbox, "PUT", "/backups?restype=container", token)
    assert (exists.status_code, exists.headers["x-ms-error-code"]) == (409, "ContainerAlreadyExists")
    block = {"x-ms-blob-type": "BlockBlob"}
    assert blob(sandbox, "PUT", "/backups/a/b.txt", token, headers=block, data=b"hello").status_code == 201
    assert blob(sandbox, "GET", "/backups/a/b.txt", token).content == b"hello"
    assert "<Name>a/b.txt</Name>" in blob(sandbox, "GET", "/backups?restype=container&comp=list", token).text
    assert blob(sandbox, "DELETE", "/backups/a/b.txt", token).status_code == 202
    assert blob(sandbox, "GET", "/backups/a/b.txt", token).status_code == 404


def signed(sandbox: SandboxProcess, key: str, path: str, query: dict[str, str]) -> Any:
    """A GET signed with an account key: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key"""
    headers = {"x-ms-date": "Tue, 24 Nov 2026 10:00:00 GMT", "x-ms-version": "2025-05-05"}
    lines = ["GET", *[""] * 11, *[f"{name}:{headers[name]}" for name in sorted(headers)]]
    lines += [f"/acc1{path}", *[f"{name}:{query[name]}" for name in sorted(query)]]
    digest = hmac.new(base64.b64decode(key), "\n".join(lines).encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey acc1:{base64.b64encode(digest).decode()}"
    return sandbox.http.get(f"{sandbox.endpoint}{path}", params=query, headers=headers)


def test_an_account_key_opens_blobs_without_any_role_until_keys_are_forbidden(
    sandbox: SandboxProcess, account: Any
) -> None:
    """https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key"""
    client = sandbox.client(StorageManagementClient)
    client.blob_containers.create("rg-test", "acc1", "backups", {})
    key = client.storage_accounts.list_keys("rg-test", "acc1").keys_property[0].value
    query = {"restype": "container", "comp": "list", "prefix": "a/b c"}
    assert signed(sandbox, key, "/blob/acc1/backups", query).status_code == 200
    wrong = signed(sandbox, base64.b64encode(b"wrong").decode(), "/blob/acc1/backups", query)
    assert (wrong.status_code, wrong.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")
    client.storage_accounts.update("rg-test", "acc1", {"properties": {"allowSharedKeyAccess": False}})
    off = signed(sandbox, key, "/blob/acc1/backups", query)
    assert (off.status_code, off.headers["x-ms-error-code"]) == (403, "KeyBasedAuthenticationNotPermitted")


def test_the_firewall_is_another_403(sandbox: SandboxProcess, account: Any) -> None:
    """https://github.com/MicrosoftDocs/azure-docs/issues/53299"""
    body = {"properties": {"networkAcls": {"defaultAction": "Deny"}}}
    sandbox.arm("PATCH", account.id, body, api_version=VERSION)
    answer = blob(sandbox, "PUT", "/backups?restype=container", storage_token(sandbox))
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (403, "AuthorizationFailure")
    # An address that is let in isn't any more once the public network is switched off.
    ours = sandbox.control("GET", "settings")["egress_address"]
    body["properties"]["networkAcls"]["ipRules"] = [{"value": ours}]
    sandbox.arm("PATCH", account.id, body, api_version=VERSION)
    path = "/backups?restype=container"
    answer = blob(sandbox, "PUT", path, storage_token(sandbox))
    assert answer.headers.get("x-ms-error-code") != "AuthorizationFailure"
    closed = {"properties": {"publicNetworkAccess": "Disabled"}}
    sandbox.arm("PATCH", account.id, closed, api_version=VERSION)
    answer = blob(sandbox, "PUT", path, storage_token(sandbox))
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (403, "AuthorizationFailure")


def test_an_arm_token_does_not_open_blobs(sandbox: SandboxProcess, account: Any) -> None:
    answer = blob(sandbox, "GET", "/?comp=list", sandbox.token())
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (401, "InvalidAuthenticationInfo")


def test_keys_never_reach_the_ledger_or_the_account(sandbox: SandboxProcess, account: Any) -> None:
    client = sandbox.client(StorageManagementClient)
    keys = [item.value for item in client.storage_accounts.list_keys("rg-test", "acc1").keys_property]
    assert len(keys) == 2
    text = str(sandbox.ledger()) + str(sandbox.control("GET", "resources"))
    assert not any(key in text for key in keys)


LIFECYCLE: dict[str, Any] = {
    "properties": {
        "policy": {
            "rules": [
                {
                    "name": "versions",
                    "enabled": True,
                    "type": "Lifecycle",
                    "definition": {
                        "filters": {"blobTypes": ["blockBlob"]},
                        "actions": {"version": {"delete": {"daysAfterCreationGreaterThan": 14}}},
                    },
                }
            ]
        }
    }
}


def test_a_lifecycle_policy_is_one_for_the_account(sandbox: SandboxProcess, account: Any) -> None:
    """https://learn.microsoft.com/rest/api/storagerp/management-policies"""
    client = sandbox.client(StorageManagementClient).management_policies
    with pytest.raises(HttpResponseError) as caught:
        client.get("rg-test", "acc1", "default")
    assert (caught.value.status_code, caught.value.error.code) == (404, "ManagementPolicyNotFound")
    client.create_or_update("rg-test", "acc1", "default", LIFECYCLE)
    found = client.get("rg-test", "acc1", "default")
    assert (found.name, [rule.name for rule in found.policy.rules]) == (
        "DefaultManagementPolicy",
        ["versions"],
    )
    client.delete("rg-test", "acc1", "default")
    with pytest.raises(HttpResponseError):
        client.get("rg-test", "acc1", "default")


@pytest.mark.parametrize("times", [0, 2, 101])
def test_a_lifecycle_policy_has_a_hundred_rules_at_most_each_by_its_name(
    sandbox: SandboxProcess, account: Any, times: int
) -> None:
    rules = LIFECYCLE["properties"]["policy"]["rules"] * times
    with pytest.raises(HttpResponseError) as caught:
        sandbox.client(StorageManagementClient).management_policies.create_or_update(
            "rg-test", "acc1", "default", {"properties": {"policy": {"rules": rules}}}
        )
    assert caught.value.status_code == 400


def test_immutable_versions_want_versioning_and_an_empty_container_to_be_deleted(
    sandbox: SandboxProcess, account: Any
) -> None:
    """https://learn.microsoft.com/azure/storage/blobs/immutable-version-level-worm-policies"""
    path = f"{account.id}/blobServices/default/containers/backups"
    body = {"properties": {"immutableStorageWithVersioning": {"enabled": True}}}
    assert sandbox.arm("PUT", path, body, api_version=VERSION).status_code == 409
    service = f"{account.id}/blobServices/default"
    versions = {"properties": {"isVersioningEnabled": True}}
    assert sandbox.arm("PUT", service, versions, api_version=VERSION).status_code == 200
    assert sandbox.arm("PUT", path, body, api_version=VERSION).status_code == 201
    role = f"{sandbox.subscription}/providers/Microsoft.Authorization/roleDefinitions/{DATA_OWNER}"
    given = {"roleDefinitionId": role, "principalId": sandbox.object_id, "principalType": "ServicePrincipal"}
    assignment = f"{account.id}/providers/Microsoft.Authorization/roleAssignments/{uuid4()}"
    assert sandbox.arm("PUT", assignment, {"properties": given}, api_version="2022-04-01").status_code == 201
    sandbox.step(600)
    token, kind = storage_token(sandbox), {"x-ms-blob-type": "BlockBlob"}
    assert blob(sandbox, "PUT", "/backups/b", token, headers=kind, data=b"x").status_code == 201
    assert sandbox.arm("DELETE", path, api_version=VERSION).status_code == 409
    assert sandbox.arm("DELETE", account.id, api_version=VERSION).status_code == 409
    assert blob(sandbox, "DELETE", "/backups/b", token).status_code == 202
    # What the deletion of a blob leaves behind, its version, is in the container's way too.
    assert sandbox.arm("DELETE", path, api_version=VERSION).status_code == 409
    listed = blob(sandbox, "GET", "/backups?restype=container&comp=list&include=versions", token).text
    version = listed.partition("<VersionId>")[2].partition("<")[0]
    assert blob(sandbox, "DELETE", f"/backups/b?versionid={version}", token).status_code == 202
    assert sandbox.arm("DELETE", path, api_version=VERSION).status_code == 200


@pytest.mark.parametrize("odd", [None, "x", 7, [], {}, [None], [7], {"enabled": "x"}], ids=repr)
def test_odd_rules_and_odd_immutability_are_answers_not_faults(
    sandbox: SandboxProcess, account: Any, odd: Any
) -> None:
    policy = f"{account.id}/managementPolicies/default"
    container = f"{account.id}/blobServices/default/containers/backups"
    answers = [
        sandbox.arm("PUT", policy, {"properties": {"policy": {"rules": odd}}}, api_version=VERSION),
        sandbox.arm("PUT", policy, {"properties": {"policy": odd}}, api_version=VERSION),
        sandbox.arm(
            "PUT", container, {"properties": {"immutableStorageWithVersioning": odd}}, api_version=VERSION
        ),
    ]
    assert {answer.status_code for answer in answers[:2]} == {400}
    assert answers[2].status_code in (201, 400)
