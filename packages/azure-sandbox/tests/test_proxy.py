"""The public cloud's own host names, through the sandbox's CONNECT proxy."""

import pytest
import requests
from azure.identity import ClientSecretCredential
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.storage import StorageManagementClient

from azure_sandbox.client import SandboxProcess


@pytest.fixture
def proxied(sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> SandboxProcess:
    monkeypatch.setenv("HTTPS_PROXY", sandbox.description["proxy_url"])
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", sandbox.description["ca_bundle"])
    monkeypatch.delenv("NO_PROXY", raising=False)
    return sandbox


def test_clients_without_any_endpoint_setting_reach_the_sandbox(proxied: SandboxProcess) -> None:
    description = proxied.description
    credential = ClientSecretCredential(
        proxied.tenant_id, description["client_id"], description["client_secret"]
    )
    groups = ResourceManagementClient(credential, proxied.subscription_id).resource_groups
    groups.create_or_update("rg-test", {"location": "canadacentral"})
    storage = StorageManagementClient(credential, proxied.subscription_id)
    account = storage.storage_accounts.begin_create(
        "rg-test",
        "acc1",
        {"location": "canadacentral", "kind": "StorageV2", "sku": {"name": "Standard_ZRS"}},
    ).result()
    assert account.primary_endpoints.blob == "https://acc1.blob.core.windows.net/"
    answer = requests.get(f"{account.primary_endpoints.blob}?comp=list", timeout=60)
    assert answer.status_code == 401
    assert answer.headers["x-ms-error-code"] == "NoAuthenticationInformation"
    groups.begin_delete("rg-test").result()


def test_metadata_names_the_hosts_that_were_used(proxied: SandboxProcess) -> None:
    path = "/metadata/endpoints?api-version=2022-09-01"
    public = requests.get(f"https://management.azure.com{path}", timeout=60).json()
    assert public["authentication"]["loginEndpoint"] == "https://login.microsoftonline.com"
    own = proxied.http.get(f"{proxied.endpoint}{path}").json()
    assert own["authentication"]["loginEndpoint"] == proxied.endpoint
    assert own["resourceManager"].startswith(proxied.endpoint)


def test_any_other_host_is_refused(proxied: SandboxProcess) -> None:
    with pytest.raises(requests.exceptions.ProxyError, match="403"):
        requests.get("https://example.com/", timeout=60)


def test_the_control_api_has_no_public_name(proxied: SandboxProcess) -> None:
    answer = requests.get("https://management.azure.com/sandbox/health", timeout=60)
    assert answer.status_code == 401
