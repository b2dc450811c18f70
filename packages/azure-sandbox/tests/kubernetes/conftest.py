"""The contract's two API servers: the emulator, and the real one that KUBEBUILDER_ASSETS names."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from azure_sandbox.core.certificates import Authority
from azure_sandbox.core.clock import Clock
from azure_sandbox.kubernetes import ClusterServer, KubernetesApi
from azure_sandbox.kubernetes.control_plane import ASSETS, assets
from azure_sandbox.kubernetes.controllers.postgres.surroundings import Surroundings
from azure_sandbox.kubernetes_client import APPLY, TOKEN, Answer, Cluster, real_cluster, session_with

Json = dict[str, Any]
__all__ = ["APPLY", "TOKEN", "Answer", "Cluster"]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"


# What `make test` holds against the real server as well; the rest of the contract, `make test-thorough`.
SHOWN_WITH_THE_REAL_ONE = "test_apply_contract.py"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave most of the real API server's turns to `make test-thorough`."""
    for item in items:
        of_contract = item.path.parent == Path(__file__).parent and item.path.name != SHOWN_WITH_THE_REAL_ONE
        if of_contract and item.get_closest_marker("real_kubernetes") and "cluster" in item.fixturenames:  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.thorough)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def _emulated(authority: Authority, around: Surroundings | None = None) -> AsyncIterator[Cluster]:
    clock = Clock(1)
    ledger: list[Json] = []
    api = KubernetesApi("tests", "1.35.2", clock, 1, token=TOKEN, on_request=ledger.append, around=around)
    server = ClusterServer(api.app, authority.server_context())
    await server.start()
    running = asyncio.create_task(clock.run())
    clock.step(60)
    async with session_with(authority.ca_file) as session:
        yield Cluster(server.url, authority.ca_file, False, session, clock=clock, api=api, ledger=ledger)
    running.cancel()
    api.stop()
    await server.stop()


_NO_ASSETS = f"{ASSETS} names no folder with etcd and kube-apiserver"


@pytest.fixture(
    scope="session",
    params=[
        "emulated",
        pytest.param(
            "real",
            marks=[
                pytest.mark.real_kubernetes,
                pytest.mark.skipif(assets() is None, reason=_NO_ASSETS),
            ],
        ),
    ],
)
async def cluster(request: pytest.FixtureRequest, authority: Authority) -> AsyncIterator[Cluster]:
    """An API server; each test of the contract runs once with each."""
    if request.param == "real":
        async with real_cluster() as made:
            yield made
        return
    async for made in _emulated(authority):
        yield made


@pytest.fixture
async def emulated(authority: Authority) -> AsyncIterator[Cluster]:
    """An emulated API server of a test's own, for what happens in a cluster by itself."""
    async for made in _emulated(authority):
        yield made


@pytest.fixture
async def with_identity(authority: Authority) -> AsyncIterator[Cluster]:
    """An emulated API server whose cluster has workload identity."""
    async for made in _emulated(authority, Surroundings(tenant=lambda: "the-tenant")):
        yield made


@pytest.fixture
async def namespace(cluster: Cluster) -> str:
    """A namespace of the test's own."""
    return await cluster.namespace()


@pytest.fixture
def kubectl() -> str:
    """The path of kubectl."""
    found = shutil.which("kubectl")
    if found is None:
        pytest.skip("kubectl isn't installed")
    return found
