"""Workload identity: a service account's token of a cluster, exchanged for a token of a managed identity."""

import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientAssertionCredential
from kubernetes import client

from .test_aks_kubernetes import connect

AUDIENCE = "api://AzureADTokenExchange"
SCOPE = "https://storage.azure.com/.default"


def account_token(azure: Any, name: str = "pg", life_s: int = 3600, audience: str = AUDIENCE) -> str:
    with connect(azure) as api:
        core = client.CoreV1Api(api)
        if name not in {item.metadata.name for item in core.list_namespaced_service_account("default").items}:
            core.create_namespaced_service_account("default", {"metadata": {"name": name}})
        wanted = {"spec": {"audiences": [audience], "expirationSeconds": life_s}}
        answer = core.create_namespaced_service_account_token(name, "default", wanted)
        return str(answer.status.token)


def claims_of(token: str) -> Any:
    return jwt.decode(token, options={"verify_signature": False})


@pytest.fixture
def issuer(azure: Any) -> str:
    cluster = azure.create(oidcIssuerProfile={"enabled": True})
    return str(cluster.oidc_issuer_profile.issuer_url)


@pytest.fixture
def identity(azure: Any, issuer: str) -> Any:
    made = azure.msi.user_assigned_identities.create_or_update(
        azure.group, "mi-pg", {"location": azure.region}
    )
    properties = {"issuer": issuer, "subject": "system:serviceaccount:default:pg", "audiences": [AUDIENCE]}
    azure.set(durations={"federated_credential_write": 0})
    azure.msi.federated_identity_credentials.create_or_update(
        azure.group, "mi-pg", "pg-cluster", {"properties": properties}
    )
    return made


def credential(azure: Any, identity: Any, token: str) -> ClientAssertionCredential:
    return ClientAssertionCredential(
        azure.facts["tenant_id"],
        identity.client_id,
        lambda: token,
        authority=azure.endpoint,
        disable_instance_discovery=True,
        connection_verify=azure.facts["ca_file"],
    )


def test_a_service_accounts_token_becomes_the_identitys(azure: Any, identity: Any) -> None:
    """https://learn.microsoft.com/azure/aks/workload-identity-overview"""
    with credential(azure, identity, account_token(azure)) as federated:
        claims = claims_of(federated.get_token(SCOPE).token)
    assert (claims["oid"], claims["aud"]) == (identity.principal_id, "https://storage.azure.com")


@pytest.mark.parametrize(
    ("name", "audience", "number"), [("other", AUDIENCE, "AADSTS700213"), ("pg", "https://x", "AADSTS700213")]
)
def test_another_account_or_audience_is_refused(
    azure: Any, identity: Any, name: str, audience: str, number: str
) -> None:
    """https://learn.microsoft.com/entra/workload-id/workload-identity-federation"""
    token = account_token(azure, name, audience=audience)
    with credential(azure, identity, token) as federated, pytest.raises(ClientAuthenticationError) as caught:
        federated.get_token(SCOPE)
    assert number in caught.value.message


def test_a_token_of_a_deleted_cluster_is_refused(azure: Any, identity: Any) -> None:
    token = account_token(azure)
    poller = azure.clusters.begin_delete(azure.group, "c1")
    azure.step(1200)
    poller.result()
    with credential(azure, identity, token) as federated, pytest.raises(ClientAuthenticationError) as caught:
        federated.get_token(SCOPE)
    assert "AADSTS700027" in caught.value.message


def test_a_changed_token_is_refused(azure: Any, identity: Any) -> None:
    header, _, signature = account_token(azure, "other").split(".")
    _, wanted, _ = account_token(azure).split(".")
    forged = f"{header}.{wanted}.{signature}"
    with credential(azure, identity, forged) as federated, pytest.raises(ClientAuthenticationError) as caught:
        federated.get_token(SCOPE)
    assert "AADSTS700027" in caught.value.message


def test_the_issuers_documents_hold_the_key_that_signs(azure: Any, issuer: str) -> None:
    """https://learn.microsoft.com/azure/aks/use-oidc-issuer"""

    def read(url: str) -> Any:
        region, _, rest = url.removeprefix("https://").partition("/")
        here = f"{azure.endpoint}/oic/{region.partition('.')[0]}/{rest}"
        with urllib.request.urlopen(here, context=azure._tls) as answer:
            return json.load(answer)

    discovery = read(f"{issuer}.well-known/openid-configuration")
    assert discovery["issuer"] == issuer
    (key,) = read(discovery["jwks_uri"])["keys"]
    token = account_token(azure)
    assert jwt.get_unverified_header(token)["kid"] == key["kid"]
    assert jwt.decode(token, jwt.PyJWK(key), audience=AUDIENCE, issuer=issuer)


def test_a_token_lives_ten_minutes_at_least_and_a_day_at_most(azure: Any, issuer: str) -> None:
    """https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/"""
    with pytest.raises(client.ApiException) as caught:
        account_token(azure, life_s=60)
    assert (caught.value.status, "less than 10 minutes" in caught.value.body) == (422, True)
    claims = claims_of(account_token(azure, life_s=10 * 24 * 3600))
    assert claims["exp"] - time.time() < 24 * 3600 + 10


def test_an_issuer_that_is_switched_on_later_works_too(azure: Any) -> None:
    azure.create()
    cluster = azure.clusters.get(azure.group, "c1")
    cluster.oidc_issuer_profile = {"enabled": True}
    poller = azure.clusters.begin_create_or_update(azure.group, "c1", cluster)
    azure.step(300)
    issuer = poller.result().oidc_issuer_profile.issuer_url
    assert claims_of(account_token(azure))["iss"] == issuer


def test_kubectl_asks_for_a_token_in_protobuf(azure: Any, identity: Any, tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl isn't installed")
    account_token(azure)
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(azure.kubeconfig()))
    command = [kubectl, "--kubeconfig", str(path), "create", "token", "pg", "--audience", AUDIENCE]
    token = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert claims_of(token)["sub"] == "system:serviceaccount:default:pg"
    with credential(azure, identity, token) as federated:
        assert claims_of(federated.get_token(SCOPE).token)["oid"] == identity.principal_id
