"""AKS's workload identity webhook: https://learn.microsoft.com/azure/aks/workload-identity-overview."""

from typing import Any

import pytest

from .conftest import Cluster
from .test_objects_contract import deployment

Json = dict[str, Any]

USE = {"azure.workload.identity/use": "true"}
ACCOUNTS, PODS = "/api/v1/namespaces/default/serviceaccounts", "/api/v1/namespaces/default/pods"


async def account(cluster: Cluster, name: str = "pg", **annotations: str) -> None:
    named = {f"azure.workload.identity/{key.replace('_', '-')}": value for key, value in annotations.items()}
    await cluster.done("POST", ACCOUNTS, {"metadata": {"name": name, "annotations": named}})


def pod(labels: Json | None = None, annotations: Json | None = None, **spec: Any) -> Json:
    containers = [{"name": "main", "image": "image:1"}, {"name": "beside", "image": "image:1"}]
    metadata = {"name": "p", "labels": USE if labels is None else labels, "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"serviceAccountName": "pg", "containers": containers, **spec}}


def environment(container: Json) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container.get("env") or []}


async def test_a_pod_with_the_label_gets_variables_and_a_projected_token(with_identity: Cluster) -> None:
    await account(with_identity, client_id="the-client")
    init = [{"name": "first", "image": "image:1"}]
    made = (await with_identity.done("POST", PODS, pod(initContainers=init)))["spec"]
    for container in (*made["initContainers"], *made["containers"]):
        assert environment(container) == {
            "AZURE_CLIENT_ID": "the-client",
            "AZURE_TENANT_ID": "the-tenant",
            "AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/azure/tokens/azure-identity-token",
            "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
        }
        (mount,) = container["volumeMounts"]
        assert (mount["mountPath"], mount["readOnly"]) == ("/var/run/secrets/azure/tokens", True)
        assert mount["name"] in {volume["name"] for volume in made["volumes"]}
    (source,) = made["volumes"][0]["projected"]["sources"]
    assert source["serviceAccountToken"] == {
        "audience": "api://AzureADTokenExchange",
        "expirationSeconds": 3600,
        "path": "azure-identity-token",
    }


@pytest.mark.parametrize("labels", [{}, {"azure.workload.identity/use": "True"}, {"use": "true"}])
async def test_a_pod_without_the_label_gets_nothing(with_identity: Cluster, labels: Json) -> None:
    await account(with_identity, client_id="the-client")
    made = (await with_identity.done("POST", PODS, pod(labels)))["spec"]
    assert [environment(container) for container in made["containers"]] == [{}, {}]
    assert "volumes" not in made


async def test_a_cluster_without_workload_identity_gives_nothing(emulated: Cluster) -> None:
    await account(emulated, client_id="the-client")
    made = (await emulated.done("POST", PODS, pod()))["spec"]
    assert [environment(container) for container in made["containers"]] == [{}, {}]


async def test_annotations_choose_tenant_life_and_containers_and_what_is_set_stays(
    with_identity: Cluster,
) -> None:
    await account(with_identity, tenant_id="another", service_account_token_expiration="7200")
    skip = {"azure.workload.identity/skip-containers": "other; beside"}
    sent = pod(annotations=skip)
    sent["spec"]["containers"][0]["env"] = [{"name": "AZURE_AUTHORITY_HOST", "value": "mine"}]
    made = (await with_identity.done("POST", PODS, sent))["spec"]
    main, beside = (environment(container) for container in made["containers"])
    assert (main["AZURE_TENANT_ID"], main["AZURE_AUTHORITY_HOST"]) == ("another", "mine")
    assert "AZURE_CLIENT_ID" not in main  # Nothing that would be empty.
    assert beside == {}
    assert made["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 7200


@pytest.mark.parametrize(
    ("named", "life", "says"),
    [
        ("none", "", 'serviceaccounts "none" not found'),
        ("pg", "60", "token expiration 60 not valid"),
        ("pg", "100000", "token expiration 100000 not valid"),
        ("pg", "an hour", "invalid syntax"),
    ],
)
async def test_what_can_not_be_given_is_refused(
    with_identity: Cluster, named: str, life: str, says: str
) -> None:
    await account(with_identity)
    given = {"azure.workload.identity/service-account-token-expiration": life} if life else {}
    answer = await with_identity.send("POST", PODS, pod(annotations=given, serviceAccountName=named))
    assert answer.status == 400
    assert says in answer.body["message"]
    assert "mutation.azure-workload-identity.io" in answer.body["message"]


async def test_the_pods_of_a_deployment_get_it_too(with_identity: Cluster) -> None:
    await account(with_identity, client_id="the-client")
    wanted = deployment(replicas=1)
    template = wanted["spec"]["template"]
    template["metadata"]["labels"] = {**template["metadata"]["labels"], **USE}
    template["spec"]["serviceAccountName"] = "pg"
    await with_identity.done("POST", "/apis/apps/v1/namespaces/default/deployments", wanted)
    await with_identity.settle()
    (found,) = (await with_identity.done("GET", PODS))["items"]
    assert environment(found["spec"]["containers"][0])["AZURE_CLIENT_ID"] == "the-client"
