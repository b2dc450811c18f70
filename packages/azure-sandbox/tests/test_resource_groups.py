"""Resource groups: made at once, deleted slowly."""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.resource.resources import ResourceManagementClient

from azure_sandbox.client import SandboxProcess

VERSION = "2024-11-01"


def test_a_group_is_201_new_and_200_known_and_final_at_once(sandbox: SandboxProcess) -> None:
    path = f"{sandbox.subscription}/resourcegroups/rg-a"
    first = sandbox.arm(
        "PUT", path, {"location": "Canada Central", "tags": {"owner": "user"}}, api_version=VERSION
    )
    second = sandbox.arm("PUT", path, {"location": "canadacentral"}, api_version=VERSION)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == f"{sandbox.subscription}/resourceGroups/rg-a"
    assert first.json()["properties"]["provisioningState"] == "Succeeded"
    assert "tags" not in second.json()  # A PUT replaces: tags that are left out are gone.


def test_head_is_204_or_404(sandbox: SandboxProcess, group: str) -> None:
    """https://github.com/Azure/azure-cli (resource recording test_resource_group.yaml)"""
    client = sandbox.client(ResourceManagementClient)
    assert client.resource_groups.check_existence("rg-test") is True
    assert client.resource_groups.check_existence("rg-none") is False


def test_another_location_is_409(sandbox: SandboxProcess, group: str) -> None:
    answer = sandbox.arm("PUT", group, {"location": "eastus"}, api_version=VERSION)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "InvalidResourceGroupLocation")


def test_deletion_is_202_with_location_only_and_ends_200_without_a_body(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://github.com/Azure/azure-powershell (Aks.Test recording TestAksNodePool.json)"""
    answer = sandbox.arm("DELETE", group, api_version=VERSION)
    assert (answer.status_code, answer.content) == (202, b"")
    assert "Azure-AsyncOperation" not in answer.headers
    assert answer.headers["x-ms-retry-after-ms"] == "15"  # 15 s at a speed of 1000.
    poll = answer.headers["Location"].removeprefix(sandbox.endpoint)
    assert sandbox.arm("GET", poll).status_code == 202
    sandbox.step(80)
    done = sandbox.arm("GET", poll)
    assert (done.status_code, done.content) == (200, b"")
    assert sandbox.arm("GET", group, api_version=VERSION).status_code == 404


def test_the_sdk_deletes_a_group(sandbox: SandboxProcess, group: str) -> None:
    client = sandbox.client(ResourceManagementClient)
    client.resource_groups.begin_delete("rg-test").result()
    assert client.resource_groups.check_existence("rg-test") is False


def test_writes_are_refused_while_a_group_is_being_deleted(sandbox: SandboxProcess, group: str) -> None:
    """https://github.com/Azure/azure-cli/issues/28679"""
    sandbox.control("POST", "clock", {"speed": 1})
    sandbox.arm("DELETE", group, api_version=VERSION)
    client = sandbox.client(ManagedServiceIdentityClient)
    with pytest.raises(ResourceExistsError) as caught:
        client.user_assigned_identities.create_or_update("rg-test", "mi-a", {"location": "canadacentral"})
    assert caught.value.error.code == "ResourceGroupBeingDeleted"
    again = sandbox.arm("PUT", group, {"location": "canadacentral"}, api_version=VERSION)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "ResourceGroupBeingDeleted")
    state = sandbox.arm("GET", group, api_version=VERSION).json()["properties"]["provisioningState"]
    assert state == "Deleting"


def test_deletion_takes_children_and_leaves_roles_elsewhere_and_soft_deleted_workspaces(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://learn.microsoft.com/azure/role-based-access-control/troubleshooting ("Identity not found")"""
    body = {"location": "canadacentral"}
    identity = sandbox.arm(
        "PUT",
        f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mi-a",
        body,
        api_version="2024-11-30",
    ).json()
    role = {
        "properties": {
            "roleDefinitionId": f"{sandbox.subscription}/providers/Microsoft.Authorization/roleDefinitions"
            "/43d0d8ad-25c7-4714-9337-8ba259a9fe05",
            "principalId": identity["properties"]["principalId"],
            "principalType": "ServicePrincipal",
        }
    }
    name = "11111111-2222-3333-4444-555555555555"
    assignment = f"{sandbox.subscription}/providers/Microsoft.Authorization/roleAssignments/{name}"
    assert sandbox.arm("PUT", assignment, role, api_version="2022-04-01").status_code == 201
    workspace = f"{group}/providers/Microsoft.OperationalInsights/workspaces/ala-one"
    sandbox.arm("PUT", workspace, body, api_version="2025-02-01")
    sandbox.step(60)
    sandbox.arm("DELETE", group, api_version=VERSION)
    sandbox.step(200)
    left = sandbox.control("GET", "resources")["resources"]
    assert [item["id"] for item in left] == [assignment]
    deleted = sandbox.arm(
        "GET",
        f"{sandbox.subscription}/providers/Microsoft.OperationalInsights/deletedWorkspaces",
        api_version="2025-02-01",
    )
    assert [item["name"] for item in deleted.json()["value"]] == ["ala-one"]


def test_a_deletion_that_is_ordered_to_fail_rolls_back(sandbox: SandboxProcess, group: str) -> None:
    """https://github.com/Azure/azure-cli/issues/11277: the final failure is a 409 on the poll URL."""
    sandbox.fault(
        {"operation_fails": {"code": "ResourceGroupDeletionBlocked", "message": "Could not be deleted."}},
        operation="ResourceGroups_Delete",
    )
    client = sandbox.client(ResourceManagementClient)
    with pytest.raises(HttpResponseError) as caught:
        client.resource_groups.begin_delete("rg-test").result()
    assert caught.value.status_code == 409
    assert caught.value.error.code == "ResourceGroupDeletionBlocked"
    assert client.resource_groups.get("rg-test").properties.provisioning_state == "Succeeded"


def test_resources_of_a_group_are_listed_and_filtered_by_tag(sandbox: SandboxProcess, group: str) -> None:
    client = sandbox.client(ManagedServiceIdentityClient)
    for name, tags in (("mi-a", {"env": "x"}), ("mi-b", {"env": "y"})):
        client.user_assigned_identities.create_or_update(
            "rg-test", name, {"location": "canadacentral", "tags": tags}
        )
    resources = sandbox.client(ResourceManagementClient).resources
    assert [item.name for item in resources.list_by_resource_group("rg-test")] == ["mi-a", "mi-b"]
    found = resources.list(filter="tagName eq 'env' and tagValue eq 'y'")
    assert [item.name for item in found] == ["mi-b"]


def test_tags_at_scope_are_merged_replaced_and_deleted(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/rest/api/resources/tags/update-at-scope"""
    client = sandbox.client(ResourceManagementClient)
    for operation, tags, wanted in (
        ("Merge", {"a": "1", "b": "2"}, {"a": "1", "b": "2"}),
        ("Delete", {"a": "1"}, {"b": "2"}),
        ("Replace", {"c": "3"}, {"c": "3"}),
    ):
        client.tags.begin_update_at_scope(
            group, {"operation": operation, "properties": {"tags": tags}}
        ).result()
        assert client.resource_groups.get("rg-test").tags == wanted
