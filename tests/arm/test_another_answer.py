"""Answers about something else than what was asked, or with what is no JSON: none is taken for the answer."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from aks_postgres.arm.errors import AzureRefused
from aks_postgres.arm.response_checks import problem_of
from aks_postgres.arm.responses import parsed
from aks_postgres.kubernetes.client import list_problem, object_problem
from aks_postgres.resources.storage_account import blob_endpoint

ACCOUNT = "/subscriptions/6b1f/resourceGroups/rg-cnpg/providers/Microsoft.Storage/storageAccounts/hacnpg"
ARM = "https://management.azure.com"


@pytest.mark.parametrize(
    "other",
    [
        ACCOUNT.replace("rg-cnpg", "rg-other"),
        ACCOUNT.replace("6b1f", "7c20"),
        ACCOUNT.replace("hacnpg", "theirs"),
        f"{ACCOUNT}/blobServices/default",
        "",
    ],
)
def test_the_resource_of_another_group_or_subscription_is_no_answer(other: str) -> None:
    assert "isn't that of the resource asked for" in problem_of(
        "GET", ARM + ACCOUNT, {"id": other, "name": "hacnpg"}
    )


@pytest.mark.parametrize(
    "same", [ACCOUNT, ACCOUNT.replace("resourceGroups", "resourcegroups"), ACCOUNT.upper()]
)
def test_azures_own_spellings_are_the_same_resource(same: str) -> None:
    assert problem_of("GET", ARM + ACCOUNT, {"id": same, "name": "hacnpg"}) == ""


def thing(kind: str, name: str = "pg", **metadata: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **metadata}}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/apis/apps/v1/namespaces/db/deployments/pg", thing("Namespace")),
        ("/apis/apps/v1/namespaces/db/deployments/pg", thing("Deployment", namespace="other")),
        ("/apis/apps/v1/namespaces/db/deployments/pg", thing("Deployment")),
        ("/apis/apps/v1/namespaces/db/deployments/pg", thing("Deployment", "other", namespace="db")),
        ("/api/v1/namespaces/pg", thing("Secret")),
        ("/api/v1/namespaces/db/secrets/pg", thing("Status", namespace="db")),
    ],
)
def test_another_object_of_kubernetes_is_no_answer(path: str, found: dict[str, Any]) -> None:
    assert "isn't pg" in object_problem(found, path)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/apis/apps/v1/namespaces/db/deployments/pg", thing("Deployment", namespace="db")),
        ("/api/v1/namespaces/pg", thing("Namespace")),
        (
            "/apis/policy/v1/namespaces/db/poddisruptionbudgets/pg",
            thing("PodDisruptionBudget", namespace="db"),
        ),
        (
            "/apis/networking.k8s.io/v1/namespaces/db/networkpolicies/pg",
            thing("NetworkPolicy", namespace="db"),
        ),
        ("/apis/networking.k8s.io/v1/namespaces/db/ingresses/pg", thing("Ingress", namespace="db")),
        ("/api/v1/namespaces/db/endpoints/pg", thing("Endpoints", namespace="db")),
        ("/apis/storage.k8s.io/v1/storageclasses/pg", thing("StorageClass")),
    ],
)
def test_the_object_that_was_asked_for_is_one(path: str, found: dict[str, Any]) -> None:
    assert object_problem(found, path) == ""


def test_a_list_of_one_namespace_holds_nothing_of_another() -> None:
    page = {"apiVersion": "v1", "kind": "PodList", "items": [thing("Pod", namespace="other")]}
    assert "of another namespace" in list_problem(page, "/api/v1/namespaces/db/pods", "Pod")
    assert list_problem(page, "/api/v1/namespaces/other/pods", "Pod") == ""
    assert list_problem(page, "/api/v1/pods", "Pod") == ""


@pytest.mark.parametrize("text", ['{"count": NaN}', '{"count": -Infinity}', "[Infinity]"])
def test_what_is_no_number_is_no_json(text: str) -> None:
    assert json.loads(text)  # Python's reader takes it
    with pytest.raises(ValueError, match="is no number"):
        parsed(SimpleNamespace(text=lambda: text))


def test_a_mark_of_the_byte_order_is_no_part_of_the_answer() -> None:
    assert parsed(SimpleNamespace(text=lambda: '\ufeff{"a": 1}')) == {"a": 1}


def azure(endpoint: str = ARM, suffix: str = "core.windows.net") -> Any:
    return SimpleNamespace(endpoint=endpoint, facts=SimpleNamespace(storage_suffix=suffix))


def account(endpoint: str) -> dict[str, Any]:
    return {"name": "hacnpg", "properties": {"primaryEndpoints": {"blob": endpoint}}}


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://hacnpg.blob.core.windows.net.example/",
        "https://hacnpg.example/",
        "https://theirs.blob.core.windows.net/",
        "http://hacnpg.blob.core.windows.net/",
        "https://hacnpg.blob.core.windows.net@example/",
        "https://hacnpg.z1.blob.storage.azure.net.example/",
        "https://hacnpg.blob.core.chinacloudapi.cn/",
        "",
    ],
)
def test_no_backup_and_no_token_goes_where_azure_storage_isnt(endpoint: str) -> None:
    with pytest.raises(AzureRefused, match="isn't Azure Storage") as refused:
        blob_endpoint(azure(), account(endpoint))
    assert refused.value.code == "ForeignHost"


@pytest.mark.parametrize(
    ("endpoint", "cloud"),
    [
        ("https://hacnpg.blob.core.windows.net/", azure()),
        ("https://hacnpg.z27.blob.storage.azure.net/", azure()),
        ("https://hacnpg.blob.core.chinacloudapi.cn/", azure(suffix="core.chinacloudapi.cn")),
        ("https://localhost:8443/blob/hacnpg/", azure("https://localhost:8443")),
    ],
)
def test_every_cloud_has_its_own_hosts_of_storage(endpoint: str, cloud: Any) -> None:
    assert blob_endpoint(cloud, account(endpoint)) == endpoint
