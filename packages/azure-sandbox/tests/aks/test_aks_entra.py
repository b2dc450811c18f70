"""Clusters with Microsoft Entra ID: whom the API server lets in, and which credentials AKS hands out.

https://learn.microsoft.com/azure/aks/entra-id-authorization
"""

import base64
import json
import ssl
import urllib.error
import urllib.request
import uuid

import pytest
import yaml
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

ENTRA = {"aadProfile": {"managed": True, "enableAzureRBAC": True}, "disableLocalAccounts": True}
SERVER = "6dae42f8-4368-4678-94ff-3960e28e3630"
CLUSTER_ADMIN = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"


def ask(azure, path, audience=SERVER, method="GET"):
    """Status and answer of the API server to whoever has a token for this audience."""
    server = azure.kubeconfig()["clusters"][0]["cluster"]
    authority = base64.b64decode(server["certificate-authority-data"]).decode()
    token = azure.credential.get_token(f"{audience}/.default").token
    headers = {"authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{server['server']}{path}", headers=headers, method=method)
    tls = ssl.create_default_context(cadata=authority)
    try:
        with urllib.request.urlopen(request, context=tls) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def stream(azure, path):
    """Status of the API server's answer to whoever wants a WebSocket, as port-forward does."""
    server = azure.kubeconfig()["clusters"][0]["cluster"]
    tls = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())
    headers = {"authorization": f"Bearer {azure.credential.get_token(f'{SERVER}/.default').token}"}
    with pytest.raises(InvalidStatus) as refused:
        connect(f"wss{server['server'].removeprefix('https')}{path}", ssl=tls, additional_headers=headers)
    return refused.value.response.status_code


def give(azure, scope):
    """Azure Kubernetes Service RBAC Cluster Admin for the sandbox's owner, who is none by being Owner."""
    of = f"/subscriptions/{azure.subscription}/providers/Microsoft.Authorization/roleDefinitions"
    definition = f"{of}/{CLUSTER_ADMIN}"
    properties = {"roleDefinitionId": definition, "principalId": azure.facts["object_id"]}
    body = {"properties": {**properties, "principalType": "ServicePrincipal"}}
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}?api-version=2022-04-01"
    assert azure.raw("PUT", path, body)[0] == 201


@pytest.fixture
def cluster(azure):
    azure.create(**ENTRA)
    return azure.cluster_path().partition("?")[0]


def test_the_users_kubeconfig_is_for_kubelogin_and_the_admins_isnt_given(azure, cluster):
    """https://learn.microsoft.com/azure/aks/manage-local-accounts-managed-azure-ad"""
    (user,) = azure.kubeconfig()["users"]
    assert user["name"] == "clusterUser_rg1_c1"
    assert user["user"]["exec"]["command"] == "kubelogin"
    assert user["user"]["exec"]["args"][:5] == [
        "get-token",
        "--environment",
        "AzurePublicCloud",
        "--server-id",
        SERVER,
    ]
    refused = azure.refused(azure.clusters.list_cluster_admin_credentials, azure.group, "c1")
    assert (refused.status_code, refused.reason) == (400, "Bad Request")
    assert (
        "Getting static credential is not allowed because this cluster is set to disable" in refused.message
    )
    shown = azure.raw("GET", azure.cluster_path())[1]["properties"]
    assert shown["aadProfile"]["tenantID"] == azure.facts["tenant_id"]
    assert shown["disableLocalAccounts"] is True


def test_owner_is_nobody_in_the_cluster_before_a_role_with_data_actions_works(azure, cluster):
    """https://learn.microsoft.com/azure/aks/manage-azure-rbac"""
    azure.set(role_effect_s=120)
    status, refusal = ask(azure, "/api/v1/nodes")
    assert (status, refusal["reason"]) == (403, "Forbidden")
    assert refusal["message"] == (
        f'nodes is forbidden: User "{azure.facts["object_id"]}" cannot list resource "nodes" in API group "" at the '
        "cluster scope: User does not have access to the resource in Azure. Update role assignment to allow access."
    )
    assert ask(azure, "/version")[0] == 200  # whoever is authenticated
    give(azure, cluster)
    assert ask(azure, "/api/v1/nodes")[0] == 403
    azure.step(120)
    assert ask(azure, "/api/v1/nodes")[1]["kind"] == "NodeList"


def test_a_role_above_the_cluster_reaches_into_it(azure, cluster):
    azure.set(role_effect_s=0)
    give(azure, azure.cluster_path().partition("/resourceGroups")[0])
    assert ask(azure, "/apis/apps/v1/namespaces/kube-system/daemonsets")[0] == 200
    assert ask(azure, "/api/v1/namespaces/kube-system/configmaps", method="DELETE")[0] == 200


def test_a_stream_to_a_pod_needs_a_role_as_any_request(azure, cluster):
    """https://kubernetes.io/docs/reference/using-api/websockets/"""
    azure.set(role_effect_s=0)
    path = "/api/v1/namespaces/default/pods/web/portforward?ports=80"
    assert stream(azure, path) == 403
    give(azure, cluster)
    assert stream(azure, path) == 404  # let in; there is no such pod


def test_a_token_for_arm_is_none_for_the_cluster(azure, cluster):
    """https://learn.microsoft.com/azure/aks/kubelogin-authentication"""
    status, refusal = ask(azure, "/api/v1/nodes", audience=azure.endpoint)
    assert (status, refusal["reason"]) == (401, "Unauthorized")


def test_without_entra_no_token_of_entras_is_good(azure):
    azure.create()
    assert ask(azure, "/version")[0] == 401


def test_entra_stays_on_and_a_local_account_too_until_the_certificates_are_rotated(azure):
    """https://learn.microsoft.com/azure/aks/enable-authentication-microsoft-entra-id"""
    azure.create()
    (before,) = azure.kubeconfig()["users"]
    body = azure.raw("GET", azure.cluster_path())[1]
    body["properties"] |= ENTRA
    assert azure.raw("PUT", azure.cluster_path(), body)[0] == 200
    azure.step(600)
    assert "exec" in azure.kubeconfig()["users"][0]["user"]
    assert before["user"]["token"]
    body = azure.raw("GET", azure.cluster_path())[1]
    del body["properties"]["aadProfile"]
    azure.raw("PUT", azure.cluster_path(), body)
    azure.step(600)
    assert azure.raw("GET", azure.cluster_path())[1]["properties"]["aadProfile"]["managed"] is True


def test_without_entra_disabled_local_accounts_leave_no_credentials_at_all(azure):
    """https://github.com/hashicorp/terraform-provider-azurerm/pull/15489"""
    azure.create(disableLocalAccounts=True)
    refused = azure.refused(azure.clusters.list_cluster_user_credentials, azure.group, "c1")
    assert "Getting static credential is not allowed" in refused.message


def test_a_profile_of_another_shape_is_refused(azure):
    wrong = yaml.safe_load("{managed: 'yes'}")
    refused = azure.refused(azure.begin_create, aadProfile=wrong)
    assert refused.error.code == "UnmarshalError"
