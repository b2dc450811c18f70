"""What a cluster's own API does, met by the plain Kubernetes client."""

import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import pytest
from kubernetes import client
from kubernetes.client import ApiException
from urllib3.exceptions import ProtocolError

from azure_sandbox.client import SandboxProcess

from .conftest import Aks

NAMESPACE = {"metadata": {"name": "cnpg-system"}}


def test_api_server_dropped_packets(sandbox: SandboxProcess, order: Any, aks: Aks) -> None:
    order("api-server-dropped-packets")
    aks.create_step_by_step()
    with aks.kubernetes() as api:
        server = urlsplit(api.configuration.host)
        tls = ssl.create_default_context(cafile=sandbox.ca_file)

        def answers() -> bool:
            with socket.create_connection((server.hostname or "", server.port or 0), timeout=0.3) as raw:
                try:
                    with tls.wrap_socket(raw, server_hostname="localhost"):
                        return True
                except (TimeoutError, ssl.SSLError, ConnectionResetError):
                    return False

        assert not answers()
        sandbox.step(181)
        assert client.VersionApi(api).get_code().git_version.startswith("v1.")


def test_kubernetes_api_throttled(order: Any, kubernetes: Any) -> None:
    order("kubernetes-api-throttled")
    core = client.CoreV1Api(kubernetes)
    with pytest.raises(ApiException) as caught:
        core.list_namespace()
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "1")
    assert core.list_namespace().items


def test_kubernetes_connection_cut(order: Any, kubernetes: Any) -> None:
    order("kubernetes-connection-cut")
    core = client.CoreV1Api(kubernetes)
    with pytest.raises(ProtocolError):
        core.create_namespace(NAMESPACE)
    assert core.read_namespace("cnpg-system").status.phase == "Active"


def test_namespace_terminating(sandbox: SandboxProcess, order: Any, kubernetes: Any) -> None:
    sandbox.control("POST", "clock", {"speed": 1})
    order("namespace-terminating")
    core = client.CoreV1Api(kubernetes)
    with pytest.raises(ApiException) as caught:
        core.create_namespace(NAMESPACE)
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")
    assert "object is being deleted" in caught.value.body
    assert core.read_namespace("cnpg-system").status.phase == "Terminating"
    sandbox.step(30)
    assert core.create_namespace(NAMESPACE).metadata.name == "cnpg-system"


def test_webhook_refused_then_x509_then_fine(sandbox: SandboxProcess, order: Any, kubernetes: Any) -> None:
    order("webhook-refused-then-x509-then-fine")
    api = client.CustomObjectsApi(kubernetes)
    extensions = client.ApiextensionsV1Api(kubernetes)
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "clusters", "singular": "cluster", "kind": "Cluster", "listKind": "ClusterList"}
    extensions.create_custom_resource_definition(
        {
            "metadata": {"name": "clusters.postgresql.cnpg.io"},
            "spec": {
                "group": "postgresql.cnpg.io",
                "scope": "Namespaced",
                "names": names,
                "versions": [version],
            },
        }
    )
    sandbox.step(10)
    body = {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": {"name": "pg"}}
    where = ("postgresql.cnpg.io", "v1", "default", "clusters")
    texts = []
    for _ in range(4):
        with pytest.raises(ApiException) as caught:
            api.create_namespaced_custom_object(*where, body)
        assert caught.value.status == 500
        texts.append("refused" if "connection refused" in caught.value.body else "x509")
    assert texts == ["refused", "refused", "x509", "x509"]
    assert api.create_namespaced_custom_object(*where, body)["metadata"]["name"] == "pg"


def test_platform_webhook_unreachable(order: Any, kubernetes: Any) -> None:
    order("platform-webhook-unreachable")
    core = client.CoreV1Api(kubernetes)
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "example/c"}]}}
    for _ in range(2):
        with pytest.raises(ApiException) as caught:
            core.create_namespaced_pod("default", pod)
        assert (caught.value.status, "mutation.azure-workload-identity.io" in caught.value.body) == (
            500,
            True,
        )
    assert core.create_namespaced_pod("default", pod).metadata.name == "p"


def test_monitoring_agents_late(sandbox: SandboxProcess, order: Any, aks: Aks, group: str) -> None:
    order("monitoring-agents-late")
    path = f"{group}/providers/Microsoft.OperationalInsights/workspaces/ala-one"
    sandbox.arm("PUT", path, {"location": "canadacentral"}, api_version="2025-02-01")
    sandbox.step(60)
    aks.create()
    cluster = aks.get()
    sandbox.control("POST", "clock", {"speed": 1})
    config = {"logAnalyticsWorkspaceResourceID": path, "useAADAuth": "true"}
    cluster.addon_profiles = {"omsagent": {"enabled": True, "config": config}}
    sandbox.settings(durations={"aks_write_answer": 0})
    aks.clusters.begin_create_or_update("rg-test", "c1", cluster, polling=False)
    sandbox.step(150)
    with aks.kubernetes() as api:
        apps = client.AppsV1Api(api)

        def agents() -> list[str]:
            return [item.metadata.name for item in apps.list_namespaced_daemon_set("kube-system").items]

        sandbox.step(500)
        assert "ama-logs" not in agents()
        sandbox.step(300)
        assert "ama-logs" in agents()
