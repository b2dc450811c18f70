"""Clusters with real PostgreSQL. Skipped where none is installed: `azure-sandbox postgres install`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from azure_sandbox.core.certificates import Authority
from azure_sandbox.core.clock import Clock
from azure_sandbox.kubernetes import ClusterServer, KubernetesApi
from azure_sandbox.kubernetes.conditions import is_true
from azure_sandbox.kubernetes.controllers.postgres.surroundings import Surroundings
from azure_sandbox.kubernetes_client import TOKEN, Cluster, session_with
from azure_sandbox.postgres.host import Host
from azure_sandbox.postgres.programs import FOLDER, default_folder, found_in
from azure_sandbox.server.control import manifest

Json = dict[str, Any]

PATIENCE_S = 120.0
"""Real seconds that a busy machine gets."""
ZONES = ["eastus-1", "eastus-2", "eastus-3"]
POOL = {"name": "pg", "count": 3, "zones": ZONES, "labels": {}, "vm_size": "s", "version": "1.35.2"}
CLUSTERS = "/apis/postgresql.cnpg.io/v1/namespaces/db/clusters"


def installed() -> Any:
    """What is installed, whatever the other tests are told."""
    before = os.environ.pop(FOLDER, None)
    try:
        return found_in(default_folder())
    finally:
        if before is not None:
            os.environ[FOLDER] = before


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.database)


@pytest.fixture(scope="session")
def programs() -> Any:
    found = installed()
    if found is None:
        pytest.skip("no PostgreSQL is installed: azure-sandbox postgres install")
    return found


async def until(what: Callable[[], Awaitable[Any]], patience_s: float = PATIENCE_S) -> Any:
    """Ask until the answer is something."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + patience_s
    while True:
        found = await what()
        if found or loop.time() > ends:
            assert found, f"not within {patience_s:.0f} s"
            return found
        await asyncio.sleep(0.1)


def objects_of(name: str) -> Iterator[tuple[str, Json]]:
    """Path and object of everything in a manifest, definitions first."""
    first = ("Namespace", "CustomResourceDefinition")
    for obj in sorted(yaml.safe_load_all(manifest(name)), key=lambda found: found["kind"] not in first):
        group, _, version = obj["apiVersion"].rpartition("/")
        where = f"/namespaces/{obj['metadata']['namespace']}" if "namespace" in obj["metadata"] else ""
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        yield f"{root}{where}/{obj['kind'].lower()}s/{obj['metadata']['name']}", obj


async def install(cluster: Cluster, name: str) -> None:
    """Apply a manifest."""
    assert cluster.clock is not None
    for path, obj in objects_of(name):
        assert (await cluster.apply(path, yaml.safe_dump(obj))).status in (200, 201)
        if obj["kind"] == "CustomResourceDefinition":
            cluster.clock.step(2)
    cluster.clock.step(60)


@pytest.fixture(scope="module")
async def cluster(programs: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A Kubernetes API with the operator, and PostgreSQL behind it."""
    async for made in kubernetes(programs, tmp_path_factory.mktemp("kubernetes")):
        yield made


async def kubernetes(
    programs: Any,
    folder: Path,
    tenant: Callable[[], str | None] = lambda: None,
    troubles: Callable[[], list[Json]] = list,
) -> AsyncIterator[Cluster]:
    """A Kubernetes API with the operator, PostgreSQL behind it, and workload identity if it has a tenant."""
    authority, clock = Authority(folder), Clock(60)
    host = Host(programs, folder / "ca-bundle.pem", lambda: "")
    around = Surroundings(host=host, tenant=tenant)
    api = KubernetesApi("tests", "1.35.2", clock, 1, token=TOKEN, around=around, troubles=troubles)
    server = ClusterServer(api.app, authority.server_context())
    await server.start()
    running = asyncio.create_task(clock.run())
    api.set_pools([POOL])
    clock.step(60)
    async with session_with(authority.ca_file) as session:
        made = Cluster(server.url, authority.ca_file, False, session, clock=clock, api=api)
        await install(made, "operator")
        await made.done("POST", "/api/v1/namespaces", {"metadata": {"name": "db"}})
        yield made
    running.cancel()
    api.stop()
    await api.end()
    await server.stop()
    host.close()


async def healthy(cluster: Cluster, name: str) -> Json:
    """Wait until a Cluster is healthy; the object."""

    async def look() -> Json | None:
        obj: Json = await cluster.done("GET", f"{CLUSTERS}/{name}")
        status = obj.get("status") or {}
        good = status.get("phase") == "Cluster in healthy state" and is_true(obj, "Ready")
        return obj if good and status.get("readyInstances") == obj["spec"]["instances"] else None

    found: Json = await until(look)
    return found
