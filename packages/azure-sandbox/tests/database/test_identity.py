"""The workload identity webhook and the Pods of a Cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from azure_sandbox.kubernetes_client import Cluster

from .conftest import CLUSTERS, healthy, kubernetes
from .test_instances import body

USE = {"azure.workload.identity/use": "true"}


@pytest.fixture(scope="module")
async def cluster(programs: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A Kubernetes API with the operator, PostgreSQL and workload identity."""
    folder: Path = tmp_path_factory.mktemp("kubernetes")
    async for made in kubernetes(programs, folder, tenant=lambda: "the-tenant"):
        yield made


@pytest.mark.parametrize(("name", "labels"), [("with", USE), ("without", {})])
async def test_the_pods_of_a_cluster_get_variables_and_a_token_if_they_have_the_label(
    cluster: Cluster, name: str, labels: dict[str, str]
) -> None:
    annotations = {"azure.workload.identity/client-id": "the-client"}
    spec = {"inheritedMetadata": {"labels": labels}, "instances": 1}
    spec["serviceAccountTemplate"] = {"metadata": {"annotations": annotations}}
    spec["postgresql"] = {}
    await cluster.done("POST", CLUSTERS, body(name, **spec))
    await healthy(cluster, name)
    pod = (await cluster.done("GET", f"/api/v1/namespaces/db/pods/{name}-1"))["spec"]
    (container,) = pod["containers"]
    found = {item["name"]: item.get("value") for item in container["env"] if "AZURE_" in item["name"]}
    assert found.get("AZURE_CLIENT_ID") == ("the-client" if labels else None)
    assert found.get("AZURE_TENANT_ID") == ("the-tenant" if labels else None)
    mounts = [mount["mountPath"] for mount in container.get("volumeMounts") or []]
    assert ("/var/run/secrets/azure/tokens" in mounts) is bool(labels)
