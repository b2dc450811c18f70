"""Advice follows the cause: not the HTTP status, nor the step or the client that came upon it."""

import json
from typing import Any

import httpx
import pytest

from aks_postgres.arm.client import open_azure
from aks_postgres.arm.credentials import token_for
from aks_postgres.arm.entra_codes import ADVICE, entra_advice
from aks_postgres.arm.error_codes import CONDITION, RULES, rule_for
from aks_postgres.arm.errors import AzureRefused, CredentialsRefused, NotEffectiveYet
from aks_postgres.arm.responses import ArmFault
from aks_postgres.arm.retry import read
from aks_postgres.errors import PermanentError
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.kubernetes.helm import refusal
from aks_postgres.runs.failures import failure_of
from azure_sandbox.client import SandboxProcess

from ..repository.ways import matches

JSON = {"content-type": "application/json"}
LABEL = "Helm release cnpg-system/cnpg, upgrade"
# client-go's and the API server's words, as Helm hands them on.
HELM = {
    'deployments.apps "cnpg" is forbidden: User "6b1f" cannot patch resource "deployments"': "Forbidden",
    'admission webhook "validation.gatekeeper.sh" denied the request: no latest tags': "policy in the cluster",
    'pods "cnpg" is forbidden: violates PodSecurity "restricted:latest"': "policy in the cluster",
    'deployments "cnpg" is forbidden: exceeded quota: small, requested: cpu=1': "A ResourceQuota",
    "kubernetes cluster unreachable: the server has asked for the client to provide credentials": "Unauthorized",
    "kubernetes cluster unreachable: Unauthorized": "Unauthorized",
    "Get https://aks:443: x509: certificate signed by unknown authority": "CertificateNotTrusted",
    "Get https://aks:443: proxyconnect tcp: dial tcp: lookup proxy": "ProxyRefused",
    "Get https://aks:443: Proxy Authentication Required": "ProxyRefused",
    'resource mapping not found: no matches for kind "Cluster" in version "x/v1"': "KindUnknown",
}


@pytest.mark.parametrize(
    "kind", ["HelmKubeError", "HelmReleaseError", "HelmStorageError", "HelmUnknownError"]
)
def test_what_the_cluster_or_the_way_refuses_is_not_laid_to_the_chart(kind: str) -> None:
    for words, advice in HELM.items():
        found = refusal(LABEL, kind, words)
        assert isinstance(found, AzureRefused)
        assert found.way_out == RULES[advice].advice if advice in RULES else advice in found.way_out
        assert "chart" not in found.way_out
        assert "Azure's words" not in found.way_out


def test_a_namespace_on_its_way_out_is_waited_for_with_helm_as_without() -> None:
    words = 'secrets "sh.helm.release.v1.cnpg.v1" is forbidden: unable to create new content in namespace cnpg-system '
    words += "because it is being terminated"
    found = refusal(LABEL, "HelmReleaseError", words)
    assert type(found) is NotEffectiveYet
    assert "the namespace is being deleted" in str(found)


@pytest.mark.parametrize("kind", ["HelmChartLoadError", "HelmValuesError", "HelmTemplateError"])
def test_a_charts_own_words_stay_the_charts(kind: str) -> None:
    for words in HELM:
        found = refusal(LABEL, kind, words)
        assert isinstance(found, PermanentError)
        assert "operator.chart_values" in found.way_out


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("number", ["7000222", "700016", "90002", "700213", "53003", "99999"])
async def test_entras_number_decides_and_not_its_status(
    azure: SandboxProcess, number: str, status: int
) -> None:
    body = {
        "error": "invalid_client",
        "error_description": f"AADSTS{number}: It is so.",
        "error_codes": [int(number)],
    }
    azure.fault(
        {"status": status, "raw_body": json.dumps(body), "headers": JSON},
        service="entra",
        path="/token",
        times=None,
    )
    with pytest.raises(CredentialsRefused) as refused:
        async with open_azure(azure.subscription_id):
            pass
    assert refused.value.way_out == ADVICE.get(number, refused.value.way_out)
    assert (number in ADVICE) is not refused.value.way_out.startswith("Set AZURE_TENANT_ID, AZURE_CLIENT_ID")


@pytest.mark.parametrize("number", sorted(ADVICE))
async def test_a_sign_in_goes_on_once_entra_gives_a_token(azure: SandboxProcess, number: str) -> None:
    body = {
        "error": "invalid_client",
        "error_description": f"AADSTS{number}: It is so.",
        "error_codes": [int(number)],
    }
    answer = {"status": 400, "raw_body": json.dumps(body), "headers": JSON}
    azure.fault(answer, service="entra", path="/token", times=None)
    with pytest.raises(CredentialsRefused) as refused:
        async with open_azure(azure.subscription_id):
            pass
    assert refused.value.way_out == ADVICE[number]

    azure.control("DELETE", "faults")
    async with open_azure(azure.subscription_id) as opened:
        assert opened.credential


async def test_a_policy_that_keeps_the_run_from_something_else_than_arm_is_changed(
    azure: SandboxProcess,
) -> None:
    """Such as Conditional Access: https://learn.microsoft.com/entra/identity/conditional-access/workload-identity"""
    body = {"error": "access_denied", "error_description": "AADSTS99999: It is so.", "error_codes": [99999]}
    answer = {"status": 400, "raw_body": json.dumps(body), "headers": JSON}
    async with open_azure(azure.subscription_id) as opened:
        azure.fault(answer, service="entra", path="/token", times=None)
        with pytest.raises(CredentialsRefused) as refused:
            await token_for(opened.credential, "https://storage.azure.com", "blobs")
        assert matches("arm/credentials: Sign in again, or have the policy", str(refused.value))
        azure.control("DELETE", "faults")
        assert await token_for(opened.credential, "https://storage.azure.com", "blobs")


async def test_a_sign_in_that_is_over_in_the_middle_of_a_run_is_done_again(azure: SandboxProcess) -> None:
    over = {"error": "invalid_grant", "error_description": "AADSTS99999: It is so.", "error_codes": [99999]}
    no_token = {"status": 400, "raw_body": json.dumps(over), "headers": JSON}
    expired = {
        "status": 401,
        "code": "ExpiredAuthenticationToken",
        "message": "The access token has expired.",
    }
    async with open_azure(azure.subscription_id) as opened:
        get = opened.resources.resource_groups.get
        azure.fault(no_token, service="entra", path="/token", times=None)
        azure.fault(expired, operation="ResourceGroups_Get", times=None)
        with pytest.raises(CredentialsRefused) as refused:
            await read("resource group rg-one", get, "rg-one")
        assert matches("arm/retry: Sign in again, then run again", str(refused.value))
        assert "AADSTS99999: It is so." in str(refused.value)
        azure.control("DELETE", "faults")
        assert await read("resource group rg-one", get, "rg-one") is None


def test_every_number_of_entras_tells_what_to_do() -> None:
    assert len(ADVICE) > 15
    for number, advice in ADVICE.items():
        assert entra_advice(f"(x) AADSTS{number}: so. Trace ID: 1", "else") == advice
        assert entra_advice(f"AADSTS{number}0: so.", "else") == "else"
        assert advice.endswith("then run again.")


# (code, status): the same cause under several statuses, and one status with several causes.
ARM: list[tuple[int, str, str, str]] = [
    (400, "SkuNotAvailable", "no", "SkuNotAvailable"),
    (409, "SkuNotAvailable", "no", "SkuNotAvailable"),
    (403, "RequestDisallowedByPolicy", "no", "RequestDisallowedByPolicy"),
    (403, "AuthorizationFailed", "no", "AuthorizationFailed"),
    (409, "ScopeLocked", "no", "ScopeLocked"),
    (409, "ReadOnlyDisabledSubscription", "no", "ReadOnlyDisabledSubscription"),
    (403, "ReadOnlyDisabledSubscription", "no", "ReadOnlyDisabledSubscription"),
    (401, "InvalidAuthenticationTokenTenant", "no", "InvalidAuthenticationTokenTenant"),
]


@pytest.mark.parametrize(("status", "code", "message", "rule"), ARM)
def test_arms_code_decides_and_not_its_status(status: int, code: str, message: str, rule: str) -> None:
    assert rule_for(ArmFault(status, code, message)) is RULES[rule]


def test_a_condition_on_giving_roles_is_told_from_a_missing_right() -> None:
    text = "The client has an assignment with an ABAC condition that is not fulfilled"
    assert rule_for(ArmFault(403, "AuthorizationFailed", text)) is CONDITION


def _status_error(status: int, content_type: str = "application/json") -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "http://prefect.example/api/flow_runs/")
    response = httpx.Response(status, headers={"content-type": content_type}, request=request)
    return httpx.HTTPStatusError(f"{status}", request=request, response=response)


REQUEST: Any = {"request": httpx.Request("GET", "http://prefect.example/api/health")}
PREFECT: list[tuple[Exception, str, ExitCode]] = [
    (_status_error(401), "PREFECT_API_AUTH_STRING", ExitCode.CREDENTIALS),
    (_status_error(403), "given a role", ExitCode.CREDENTIALS),
    (_status_error(403, "text/html"), "is no Prefect API", ExitCode.NOT_RUNNING),
    (_status_error(404, "text/html"), "/api at its end", ExitCode.NOT_RUNNING),
    (_status_error(500), "its log says what", ExitCode.NOT_RUNNING),
    (_status_error(503, "text/plain"), "its log says what", ExitCode.NOT_RUNNING),
    (httpx.ProxyError("407 Proxy Authentication Required", **REQUEST), "NO_PROXY", ExitCode.NOT_RUNNING),
    (
        httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate", **REQUEST),
        "PREFECT_API_SSL_CERT_FILE",
        ExitCode.NOT_RUNNING,
    ),
    (
        httpx.ConnectError("All connection attempts failed", **REQUEST),
        "when the server is back",
        ExitCode.NOT_RUNNING,
    ),
    (httpx.ReadTimeout("", **REQUEST), "when the server is back", ExitCode.NOT_RUNNING),
]


@pytest.mark.parametrize(("error", "words", "code"), PREFECT)
def test_what_prefects_server_or_the_way_to_it_refuses_is_told_by_its_cause(
    error: Exception, words: str, code: ExitCode
) -> None:
    found = failure_of(error)
    assert isinstance(found, CommandFailed)
    assert words in str(found)
    assert found.code == code


@pytest.mark.parametrize("status", [404, 409, 422])
def test_what_only_a_mistake_of_ours_brings_about_keeps_its_traceback(status: int) -> None:
    assert failure_of(_status_error(status)) is None
