"""What a database suffers from pods, volumes, webhooks and blob storage, met by plain clients.

Pods of the names that a database's have are enough; in `tests/database/test_troubled.py` real servers suffer it.
"""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests
from kubernetes import client
from kubernetes.client import ApiException

from azure_sandbox.client import SandboxProcess

from .conftest import Aks

pytestmark = pytest.mark.thorough

Json = dict[str, Any]

CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"


@pytest.fixture
def said(sandbox: SandboxProcess, kubernetes: Any) -> Callable[..., str]:
    """Makes a pod, lets two minutes pass, and gives all that Kubernetes says of it."""

    def make_and_look(namespace: str = "cnpg-database", name: str = "pg-primary-1") -> str:
        core = client.CoreV1Api(kubernetes)
        core.create_namespace({"metadata": {"name": namespace}})
        container = {"name": "postgres", "image": "example.com/postgresql:18.6"}
        core.create_namespaced_pod(
            namespace, {"metadata": {"name": name}, "spec": {"containers": [container]}}
        )
        sandbox.step(120)
        pod = core.read_namespaced_pod(name, namespace)
        ready = [one.status for one in pod.status.conditions or [] if one.type == "Ready"]
        assert ready != ["True"]
        events = core.list_namespaced_event(namespace).items
        conditions = [one.message for one in pod.status.conditions or []]
        return f"{pod.status} {conditions} {[f'{event.reason}: {event.message}' for event in events]}"

    return make_and_look


def test_database_image_not_found(order: Any, said: Any) -> None:
    order("database-image-not-found")
    assert "'reason': 'ErrImagePull'" in said()


def test_database_image_backs_off(order: Any, said: Any) -> None:
    order("database-image-backs-off")
    assert "'reason': 'ImagePullBackOff'" in said()


def test_database_instance_crashes(order: Any, said: Any) -> None:
    order("database-instance-crashes")
    assert "'reason': 'CrashLoopBackOff'" in said()


def test_database_out_of_memory(order: Any, said: Any) -> None:
    order("database-out-of-memory")
    assert "'reason': 'OOMKilled'" in said()


def test_database_zone_without_node(order: Any, said: Any) -> None:
    order("database-zone-without-node")
    assert "didn't match pod topology spread constraints" in said()


def test_database_volume_in_another_zone(order: Any, said: Any) -> None:
    order("database-volume-in-another-zone")
    assert "had volume node affinity conflict" in said()


def test_database_disk_not_offered(order: Any, said: Any) -> None:
    order("database-disk-not-offered")
    text = said()
    assert "FailedAttachVolume: AttachVolume.Attach failed" in text
    assert "'reason': 'ContainerCreating'" in text


def test_database_disk_on_another_node(order: Any, said: Any) -> None:
    order("database-disk-on-another-node")
    assert "FailedAttachVolume: Multi-Attach error" in said()


def test_database_secret_not_mounted(order: Any, said: Any) -> None:
    order("database-secret-not-mounted")
    assert "FailedMount: MountVolume.SetUp failed" in said()


PLUGIN = ("cnpg-system", "barman-cloud-5d8f-x2")


def test_plugin_image_not_found(order: Any, said: Any) -> None:
    order("plugin-image-not-found")
    assert "'reason': 'ErrImagePull'" in said(*PLUGIN)


def test_plugin_crashes(order: Any, said: Any) -> None:
    order("plugin-crashes")
    assert "'reason': 'CrashLoopBackOff'" in said(*PLUGIN)


def test_plugin_without_certificates(order: Any, said: Any) -> None:
    order("plugin-without-certificates")
    assert 'secret "barman-cloud-server-tls" not found' in said(*PLUGIN)


def test_cert_manager_image_not_found(order: Any, said: Any) -> None:
    order("cert-manager-image-not-found")
    assert "'reason': 'ErrImagePull'" in said("cert-manager", "cert-manager-7d5-k9")


def test_identity_webhook_down(sandbox: SandboxProcess, order: Any, aks: Aks) -> None:
    from .conftest import CLUSTER

    properties = {
        **CLUSTER["properties"],
        "oidcIssuerProfile": {"enabled": True},
        "securityProfile": {"workloadIdentity": {"enabled": True}},
    }
    aks.clusters.begin_create_or_update("rg-test", "c1", {**CLUSTER, "properties": properties}).result()

    def variables(core: Any, name: str) -> list[str]:
        labels = {"azure.workload.identity/use": "true"}
        spec = {"containers": [{"name": "a", "image": "a:1"}], "serviceAccountName": "default"}
        made = core.create_namespaced_pod(
            "default", {"metadata": {"name": name, "labels": labels}, "spec": spec}
        )
        return [one.name for one in made.spec.containers[0].env or [] if one.name.startswith("AZURE_")]

    with aks.kubernetes() as api:
        core = client.CoreV1Api(api)
        assert variables(core, "before")
        order("identity-webhook-down")
        assert variables(core, "during") == []


DEFINITION: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "spec": {
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}


def refused_and_taken(sandbox: SandboxProcess, api: Any, group: str, plural: str, kind: str) -> list[str]:
    """What three attempts to make an object of that kind get to hear; empty is a success."""
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    spec = {**DEFINITION["spec"], "group": group, "names": names}
    definition = {**DEFINITION, "metadata": {"name": f"{plural}.{group}"}, "spec": spec}
    client.ApiextensionsV1Api(api).create_custom_resource_definition(definition)
    sandbox.step(10)
    heard = []
    for _ in range(3):
        body = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "one"}}
        try:
            client.CustomObjectsApi(api).create_namespaced_custom_object(group, "v1", "default", plural, body)
            heard.append("")
        except ApiException as refused:
            heard.append(str(refused.body))
    return heard


def test_operator_webhook_times_out(sandbox: SandboxProcess, order: Any, kubernetes: Any) -> None:
    order("operator-webhook-times-out")
    first, second, third = refused_and_taken(sandbox, kubernetes, "postgresql.cnpg.io", "clusters", "Cluster")
    assert "context deadline exceeded" in first
    assert "context deadline exceeded" in second
    assert third == ""


def test_cert_manager_webhook_not_trusted(sandbox: SandboxProcess, order: Any, kubernetes: Any) -> None:
    order("cert-manager-webhook-not-trusted")
    first, second, third = refused_and_taken(
        sandbox, kubernetes, "cert-manager.io", "certificates", "Certificate"
    )
    assert "x509: certificate signed by unknown authority" in first
    assert "x509" in second
    assert third == ""


@pytest.fixture
def put(sandbox: SandboxProcess, accounts: Any) -> Callable[[], requests.Response]:
    """Writes a blob as somebody who may; once."""
    account = {"location": "canadacentral", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    made = accounts.begin_create("rg-test", "acc1", account).result()
    versions = {"api_version": "2025-08-01"}
    assert sandbox.arm("PUT", f"{made.id}/blobServices/default/containers/backups", {}, **versions).ok
    assignment = f"{made.id}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    role = f"/providers/Microsoft.Authorization/roleDefinitions/{CONTRIBUTOR}"
    grant = {
        "roleDefinitionId": role,
        "principalId": sandbox.description["object_id"],
        "principalType": "ServicePrincipal",
    }
    assert sandbox.arm("PUT", assignment, {"properties": grant}, api_version="2022-04-01").ok
    sandbox.step(900)
    token = sandbox.credential().get_token("https://storage.azure.com/.default").token
    headers = {
        "Authorization": f"Bearer {token}",
        "x-ms-version": "2023-11-03",
        "x-ms-blob-type": "BlockBlob",
    }

    def send() -> requests.Response:
        url = f"{sandbox.endpoint}/blob/acc1/backups/wal/000000010000000000000001"
        return sandbox.http.put(url, data=b"wal", headers=headers)

    return send


def test_backups_forbidden(order: Any, put: Any) -> None:
    assert put().status_code == 201
    order("backups-forbidden")
    for _ in range(3):
        answer = put()
        assert (answer.status_code, answer.headers["x-ms-error-code"]) == (
            403,
            "AuthorizationPermissionMismatch",
        )


def test_backups_throttled(order: Any, put: Any) -> None:
    order("backups-throttled")
    assert [put().status_code for _ in range(3)] == [503, 503, 201]


def test_backups_connection_cut(order: Any, put: Any) -> None:
    order("backups-connection-cut")
    with pytest.raises(requests.ConnectionError):
        put()
    assert put().status_code == 201


def test_backups_hang(sandbox: SandboxProcess, order: Any, put: Any) -> None:
    order("backups-hang")
    before_s = sandbox.control("GET", "clock")["now_s"]
    assert put().status_code == 201
    assert sandbox.control("GET", "clock")["now_s"] - before_s >= 180
