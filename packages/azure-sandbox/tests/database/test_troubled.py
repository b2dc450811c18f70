"""Instances that don't start, for Kubernetes' reasons, as the scenarios have it; and start once those are gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from azure_sandbox.core.scenarios import find
from azure_sandbox.kubernetes_client import Cluster

from .conftest import CLUSTERS, healthy, kubernetes, until
from .test_instances import body

Json = dict[str, Any]

NAMES = (
    "database-image-not-found",
    "database-instance-crashes",
    "database-zone-without-node",
    "database-disk-not-offered",
    "database-secret-not-mounted",
)
TROUBLES: list[Json] = []


@pytest.fixture(scope="module")
async def cluster(programs: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A Kubernetes API with the operator, PostgreSQL, and what TROUBLES says."""
    folder: Path = tmp_path_factory.mktemp("kubernetes")
    async for made in kubernetes(programs, folder, troubles=lambda: TROUBLES):
        yield made


@pytest.mark.parametrize("name", NAMES)
async def test_an_instance_waits_as_its_pod_says_and_starts_afterwards(cluster: Cluster, name: str) -> None:
    (trouble,) = find(name).settings["pods"]
    # The scenario means the namespace of the product; here it is another.
    TROUBLES[:] = [{**trouble, "pod": "^db/.*-[0-9]+$"}]
    pg = f"pg{NAMES.index(name)}"
    try:
        await cluster.done("POST", CLUSTERS, body(pg, instances=1, postgresql={}))

        async def told() -> bool:
            pods = (await cluster.done("GET", "/api/v1/namespaces/db/pods"))["items"]
            events = (await cluster.done("GET", "/api/v1/namespaces/db/events"))["items"]
            own = [pod for pod in pods if pod["metadata"]["name"] == f"{pg}-1"]
            text = f"{[pod.get('status') for pod in own]} {[event['reason'] for event in events]}"
            return bool(own) and trouble["reason"] in text

        await until(told)
        status = (await cluster.done("GET", f"{CLUSTERS}/{pg}"))["status"]
        assert not status.get("readyInstances")
    finally:
        TROUBLES.clear()
    await healthy(cluster, pg)
    await cluster.done("DELETE", f"{CLUSTERS}/{pg}")
