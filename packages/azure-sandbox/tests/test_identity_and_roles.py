"""Managed identities, federated credentials, role assignments, tokens and Graph."""

import concurrent.futures
import json
import uuid
from typing import Any

import jwt
import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.identity import EnvironmentCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient

from azure_sandbox.client import SandboxProcess

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
BODY = {"location": "canadacentral"}


@pytest.fixture
def identity(sandbox: SandboxProcess, group: str) -> Any:
    client = sandbox.client(ManagedServiceIdentityClient)
    return client.user_assigned_identities.create_or_update("rg-test", "mi-a", BODY)


def assign(
    sandbox: SandboxProcess, scope: str, principal: str, kind: str | None = "ServicePrincipal", **more: str
) -> Any:
    name = more.get("name") or str(uuid.uuid5(uuid.NAMESPACE_URL, scope + principal))
    properties = {
        "roleDefinitionId": f"{sandbox.subscription}/providers/Microsoft.Authorization/roleDefinitions"
        f"/{more.get('role', READER)}",
        "principalId": principal,
    }
    if kind is not None:
        properties["principalType"] = kind
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
    return sandbox.arm("PUT", path, {"properties": properties}, api_version="2022-04-01")


def test_an_identity_is_201_with_a_relative_location_and_no_provisioning_state(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://github.com/Azure/azure-sdk-for-go/issues/23385"""
    path = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mi-a"
    answer = sandbox.arm("PUT", path, BODY, api_version="2024-11-30")
    assert answer.status_code == 201
    assert answer.headers["Location"] == path
    properties = answer.json()["properties"]
    assert set(properties) == {"tenantId", "principalId", "clientId"}
    again = sandbox.arm("PUT", path, BODY, api_version="2024-11-30")
    assert (again.status_code, again.json()["properties"]) == (200, properties)


def test_an_identity_made_again_has_new_ids(sandbox: SandboxProcess, identity: Any) -> None:
    client = sandbox.client(ManagedServiceIdentityClient)
    client.user_assigned_identities.delete("rg-test", "mi-a")
    again = client.user_assigned_identities.create_or_update("rg-test", "mi-a", BODY)
    assert again.principal_id != identity.principal_id
    assert again.client_id != identity.client_id


def test_a_new_principal_is_not_found_until_it_is_replicated(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/role-based-access-control/troubleshooting (principalType)"""
    sandbox.settings(principal_replication_s=1_000_000)
    client = sandbox.client(ManagedServiceIdentityClient)
    made = client.user_assigned_identities.create_or_update("rg-test", "mi-a", BODY)
    untyped = assign(sandbox, group, made.principal_id, kind=None)
    assert (untyped.status_code, untyped.json()["error"]["code"]) == (400, "PrincipalNotFound")
    token = sandbox.token("https://graph.microsoft.com/.default")
    graph = f"{sandbox.endpoint}/v1.0/servicePrincipals/{made.principal_id}"
    assert sandbox.http.get(graph, headers={"Authorization": f"Bearer {token}"}).status_code == 404
    sandbox.settings(principal_type_skips_lookup=False)
    assert assign(sandbox, group, made.principal_id).json()["error"]["code"] == "PrincipalNotFound"
    sandbox.settings(principal_type_skips_lookup=True)
    assert assign(sandbox, group, made.principal_id).status_code == 201
    sandbox.step(1_000_001)
    found = sandbox.http.get(graph, headers={"Authorization": f"Bearer {token}"})
    assert found.json()["appId"] == made.client_id


def test_the_sdks_default_principal_type_user_is_unmatched(
    sandbox: SandboxProcess, group: str, identity: Any
) -> None:
    """https://github.com/Azure/azure-rest-api-specs/issues/21664"""
    sandbox.step(100)
    client = sandbox.client(AuthorizationManagementClient)
    from azure.mgmt.authorization.models import RoleAssignmentCreateParameters

    role = f"{sandbox.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    parameters = RoleAssignmentCreateParameters(role_definition_id=role, principal_id=identity.principal_id)
    with pytest.raises(HttpResponseError) as caught:
        client.role_assignments.create(group, str(uuid.uuid4()), parameters)
    assert caught.value.error.code == "UnmatchedPrincipalType"


def test_an_assignment_is_idempotent_under_its_name_and_exists_under_another(
    sandbox: SandboxProcess, group: str, identity: Any
) -> None:
    """https://github.com/Azure/azure-cli/issues/8599"""
    principal = identity.principal_id
    statuses = [assign(sandbox, group, principal).status_code for _ in range(2)]
    assert statuses == [201, 200]
    other = assign(sandbox, group, principal, name=str(uuid.uuid4()))
    assert (other.status_code, other.json()["error"]["code"]) == (409, "RoleAssignmentExists")


def test_a_name_cannot_change_its_principal(sandbox: SandboxProcess, group: str, identity: Any) -> None:
    """https://learn.microsoft.com/azure/role-based-access-control/troubleshooting"""
    name = str(uuid.uuid4())
    assert assign(sandbox, group, identity.principal_id, name=name).status_code == 201
    answer = assign(sandbox, group, sandbox.object_id, name=name)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "RoleAssignmentUpdateNotPermitted")


def test_assignments_are_listed_at_scope_and_by_principal(
    sandbox: SandboxProcess, group: str, identity: Any
) -> None:
    """https://learn.microsoft.com/rest/api/authorization/role-assignments/list-for-scope"""
    assign(sandbox, identity.id, identity.principal_id)
    client = sandbox.client(AuthorizationManagementClient).role_assignments
    at_scope = [item.principal_id for item in client.list_for_scope(group, filter="atScope()")]
    everything = [item.principal_id for item in client.list_for_scope(group)]
    own = list(client.list_for_scope(identity.id, filter=f"principalId eq '{identity.principal_id}'"))
    assert at_scope == [sandbox.object_id]
    assert everything == [sandbox.object_id, identity.principal_id]
    assert [item.scope for item in own] == [identity.id]


def test_deleting_an_assignment_twice_is_200_then_204(
    sandbox: SandboxProcess, group: str, identity: Any
) -> None:
    """https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/resource-api-reference.md"""
    path = assign(sandbox, group, identity.principal_id).json()["id"]
    statuses = [sandbox.arm("DELETE", path, api_version="2022-04-01").status_code for _ in range(2)]
    assert statuses == [200, 204]
    missing = sandbox.arm("GET", path, api_version="2022-04-01")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "RoleAssignmentNotFound")


def test_role_definitions_are_found_by_name_without_case(sandbox: SandboxProcess) -> None:
    client = sandbox.client(AuthorizationManagementClient)
    found = list(
        client.role_definitions.list(sandbox.subscription, filter="roleName eq 'network contributor'")
    )
    assert [item.name for item in found] == ["4d97b98b-1d4f-4787-a291-c67834d212e7"]


def test_permissions_tell_what_the_caller_may_do(sandbox: SandboxProcess, group: str) -> None:
    writer = sandbox.control("POST", "principals", {"roles": [{"role": "Contributor", "scope": group}]})
    credential = sandbox.credential(client_id=writer["client_id"], client_secret=writer["client_secret"])
    client = sandbox.client(AuthorizationManagementClient, credential)
    (permission,) = client.permissions.list_for_resource_group("rg-test")
    assert permission.actions == ["*"]
    assert "Microsoft.Authorization/*/Write" in permission.not_actions


def test_federated_credentials_have_one_writer_at_a_time(sandbox: SandboxProcess, identity: Any) -> None:
    """https://github.com/hashicorp/terraform-provider-azurerm/issues/19968"""
    sandbox.control("POST", "clock", {"speed": 2})

    def write(number: int) -> int:
        body = {
            "properties": {
                "issuer": "https://issuer.example/",
                "subject": f"system:serviceaccount:ns:sa-{number}",
                "audiences": ["api://AzureADTokenExchange"],
            }
        }
        path = f"{identity.id}/federatedIdentityCredentials/cred-{number}"
        answer = sandbox.arm("PUT", path, body, api_version="2024-11-30")
        if answer.status_code == 409:
            code = answer.json()["error"]["code"]
            assert code == "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity"
        return answer.status_code

    assert sandbox.arm("GET", identity.id, api_version="2024-11-30").status_code == 200
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        statuses = sorted(pool.map(write, range(3)))
    assert statuses == [201, 409, 409]
    assert write(9) == 201
    assert write(9) == 200


def test_the_same_issuer_and_subject_cannot_be_used_twice(sandbox: SandboxProcess, identity: Any) -> None:
    client = sandbox.client(ManagedServiceIdentityClient).federated_identity_credentials
    body = {"issuer": "https://issuer.example/", "subject": "a", "audiences": ["api://AzureADTokenExchange"]}
    client.create_or_update("rg-test", "mi-a", "cred-one", {"properties": body})
    with pytest.raises(ResourceExistsError):
        client.create_or_update("rg-test", "mi-a", "cred-two", {"properties": body})
    assert [item.name for item in client.list("rg-test", "mi-a")] == ["cred-one"]


def test_a_token_says_who_has_it(sandbox: SandboxProcess) -> None:
    claims = jwt.decode(sandbox.token(), options={"verify_signature": False})
    assert claims["oid"] == sandbox.object_id
    assert claims["tid"] == sandbox.tenant_id
    assert claims["idtyp"] == "app"
    assert claims["aud"] == sandbox.endpoint


def test_a_wrong_secret_is_401_invalid_client(sandbox: SandboxProcess) -> None:
    """https://learn.microsoft.com/entra/identity-platform/reference-error-codes"""
    form = {
        "client_id": sandbox.description["client_id"],
        "client_secret": "wrong",
        "grant_type": "client_credentials",
        "scope": f"{sandbox.endpoint}/.default",
    }
    answer = sandbox.http.post(f"{sandbox.endpoint}/{sandbox.tenant_id}/oauth2/v2.0/token", data=form)
    assert answer.status_code == 401
    assert answer.json()["error_codes"] == [7000215]
    assert answer.json()["error_description"].startswith("AADSTS7000215: ")
    assert "wrong" not in json.dumps(sandbox.ledger(service="entra"))


def test_the_environment_credential_works_with_the_authority_of_the_sandbox(
    sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AZURE_TENANT_ID": sandbox.tenant_id,
        "AZURE_CLIENT_ID": sandbox.description["client_id"],
        "AZURE_CLIENT_SECRET": sandbox.description["client_secret"],
        "AZURE_AUTHORITY_HOST": sandbox.endpoint,
        "REQUESTS_CA_BUNDLE": sandbox.description["ca_bundle"],
    }.items():
        monkeypatch.setenv(name, value)
    credential = EnvironmentCredential(disable_instance_discovery=True)
    assert credential.get_token(f"{sandbox.endpoint}/.default").token


def test_graph_finds_service_principals_by_application_id(sandbox: SandboxProcess) -> None:
    token = sandbox.token("https://graph.microsoft.com/.default")
    answer = sandbox.http.get(
        f"{sandbox.endpoint}/v1.0/servicePrincipals",
        params={"$filter": f"servicePrincipalNames/any(c:c eq '{sandbox.description['client_id']}')"},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert [item["id"] for item in answer.json()["value"]] == [sandbox.object_id]
    me = sandbox.http.get(f"{sandbox.endpoint}/v1.0/me", headers={"Authorization": f"Bearer {token}"})
    assert me.status_code == 400  # /me is for people.


def test_a_token_life_shorter_than_a_request_expires(sandbox: SandboxProcess) -> None:
    sandbox.settings(token_life_s=0)
    token = sandbox.token()
    answer = sandbox.arm("GET", sandbox.subscription, api_version="2022-12-01", token=token)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "ExpiredAuthenticationToken")
