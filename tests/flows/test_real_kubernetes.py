"""`provision` where the cluster's Kubernetes API is a real kube-apiserver: nothing of ours leans on the emulator."""

import base64
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
import yaml
from kubernetes import client, config

from azure_sandbox.client import SandboxProcess, start
from azure_sandbox.kubernetes.control_plane import ASSETS, assets

from ..conftest import point_at, spec_for
from .conftest import Run, run_provision

# What a real process takes is counted in its seconds too: starting, and a controller's look at the cluster.
SPEED = 30

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.real_kubernetes,
    pytest.mark.skipif(assets() is None, reason=f"{ASSETS} names no folder with etcd and kube-apiserver"),
    pytest.mark.timeout(400),
]


@pytest.fixture(scope="module")
def real_azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """An Azure whose clusters have a real API server."""
    folder = tmp_path_factory.mktemp("real") / "state"
    process = start(folder, "--kubernetes", "real", "--speed", str(SPEED))
    try:
        yield SandboxProcess(folder)
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest_asyncio.fixture(scope="module")
async def runs(real_azure: SandboxProcess, prefect_api: None) -> AsyncIterator[tuple[Run, Run]]:
    """A first and a second run on it."""
    with pytest.MonkeyPatch.context() as patch:
        point_at(real_azure, patch)
        patch.setenv("AKS_POSTGRES_TIME_SCALE", str(SPEED))
        spec = spec_for(real_azure)
        yield await run_provision(real_azure, spec), await run_provision(real_azure, spec)


def cluster_of(azure: SandboxProcess, run: Run) -> Any:
    """A Kubernetes client for the run's cluster, with the kubeconfig that ARM hands out."""
    path = f"{run.outputs.cluster.id}/listClusterUserCredential"
    answer = azure.arm("POST", path, api_version="2026-06-01")
    kubeconfig = yaml.safe_load(base64.b64decode(answer.json()["kubeconfigs"][0]["value"]))
    return config.new_client_from_config_dict(kubeconfig)


def test_the_first_run_ends_in_the_full_end_state(real_azure: SandboxProcess, runs: tuple[Run, Run]) -> None:
    first, _ = runs
    with cluster_of(real_azure, first) as api:
        nodes = client.CoreV1Api(api).list_node().items
        namespaces = {item.metadata.name for item in client.CoreV1Api(api).list_namespace().items}
        apps = client.AppsV1Api(api)
        agents = {
            item.metadata.name: item.status for item in apps.list_namespaced_daemon_set("kube-system").items
        }
        operator = apps.read_namespaced_deployment("cnpg-controller-manager", "cnpg-system")
        definitions = client.ApiextensionsV1Api(api).list_custom_resource_definition().items
    zones = {
        (node.metadata.labels["agentpool"], node.metadata.labels["topology.kubernetes.io/zone"])
        for node in nodes
    }
    assert zones == {(pool, f"canadacentral-{zone}") for pool in ("systempool", "postgres") for zone in "123"}
    assert {"cnpg-system", "cnpg-database"} <= namespaces
    assert {agents[name].number_ready for name in ("ama-metrics-node", "ama-logs")} == {len(nodes)}
    assert operator.status.available_replicas == 1
    assert "clusters.postgresql.cnpg.io" in {item.metadata.name for item in definitions}


def test_the_first_run_writes_each_object_once_and_meets_no_error(runs: tuple[Run, Run]) -> None:
    first, _ = runs
    requests = [entry for entry in first.ledger if entry["service"] == "kubernetes"]
    made = [entry["body"]["metadata"]["name"] for entry in requests if entry["method"] == "POST"]
    applied = Counter(entry["path"] for entry in requests if entry["method"] == "PATCH")
    assert sorted(made) == ["cnpg-database", "cnpg-system"]
    assert set(applied.values()) == {1}
    assert len(applied) == first.outputs.operator.objects
    assert {entry["status"] for entry in requests} == {200, 201, 404}


def test_the_second_run_writes_nothing(runs: tuple[Run, Run]) -> None:
    _, second = runs
    assert second.writes == []
    assert second.outputs.is_unchanged
