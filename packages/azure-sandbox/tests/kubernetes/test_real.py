"""The real API server as a cluster of the sandbox: what the emulator's callers wait for comes about there too."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from azure_sandbox.core.certificates import Authority
from azure_sandbox.core.clock import Clock
from azure_sandbox.kubernetes import ClusterServer
from azure_sandbox.kubernetes.control_plane import ASSETS, assets
from azure_sandbox.kubernetes.real import RealKubernetesApi

from .conftest import TOKEN, Cluster
from .test_life import POSTGRES, SYSTEM, conditions
from .test_objects_contract import deployment
from .test_watch_contract import Watching

Json = dict[str, Any]

pytestmark = [
    pytest.mark.real_kubernetes,
    pytest.mark.skipif(assets() is None, reason=f"{ASSETS} names no folder with etcd and kube-apiserver"),
]


@pytest.fixture(scope="module")
async def real(authority: Authority) -> AsyncIterator[Cluster]:
    ledger: list[Json] = []
    api = RealKubernetesApi("tests", "1.35.2", Clock(60), 1, token=TOKEN, on_request=ledger.append)
    server = ClusterServer(api.app, authority.server_context())
    await server.start()
    api.set_pools([SYSTEM, POSTGRES])
    api.set_addons(metrics=True, logs=True)
    tls = ssl.create_default_context(cafile=str(authority.ca_file))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
        yield Cluster(server.url, authority.ca_file, True, session, api=api, ledger=ledger)
    api.stop()
    await server.stop()


async def comes_about(cluster: Cluster, path: str, fulfilled: Callable[[Any], bool]) -> Any:
    """What is at a path once it is as wanted."""
    async with asyncio.timeout(30):
        while True:
            answer = await cluster.send("GET", path)
            if fulfilled(answer):
                return answer.body
            await asyncio.sleep(0.1)


@pytest.mark.thorough
async def test_first_request_waits_until_the_server_is_ready(real: Cluster) -> None:
    assert (await real.done("GET", "/version"))["major"] == "1"


@pytest.mark.thorough
async def test_nodes_get_ready(real: Cluster) -> None:
    def all_ready(answer: Any) -> bool:
        nodes = answer.body["items"]
        return len(nodes) == 4 and all(conditions(node).get("Ready") == "True" for node in nodes)

    nodes = await comes_about(real, "/api/v1/nodes", all_ready)
    zones = {node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes["items"]}
    assert zones == {"eastus-1", "eastus-2", "eastus-3"}


async def test_deployment_becomes_available(real: Cluster) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    # The API server makes the namespace some time after it is ready.
    await comes_about(real, "/api/v1/namespaces/default", lambda answer: answer.status == 200)
    await real.done("POST", path, deployment(replicas=2))
    found = await comes_about(
        real, f"{path}/d", lambda answer: conditions(answer.body).get("Available") == "True"
    )
    assert found["status"]["availableReplicas"] == 2


async def test_monitoring_agents_run_on_every_node(real: Cluster) -> None:
    for name in ("ama-metrics-node", "ama-logs"):
        path = f"/apis/apps/v1/namespaces/kube-system/daemonsets/{name}"
        await comes_about(
            real, path, lambda answer: answer.status == 200 and answer.body["status"]["numberReady"] == 4
        )


async def test_namespace_is_furnished_and_ends(real: Cluster) -> None:
    await real.done("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    account = "/api/v1/namespaces/n/serviceaccounts/default"
    await comes_about(real, account, lambda answer: answer.status == 200)
    await real.done("POST", "/api/v1/namespaces/n/secrets", {"metadata": {"name": "s"}})
    await real.done("DELETE", "/api/v1/namespaces/n")
    await comes_about(real, "/api/v1/namespaces/n", lambda answer: answer.status == 404)


async def test_namespace_ends_before_the_next_request(real: Cluster) -> None:
    assert real.api is not None
    real.api.end_namespace("ending")
    ending = await real.done("GET", "/api/v1/namespaces/ending")
    assert ending["status"]["phase"] == "Terminating"


async def test_watches_pass_through(real: Cluster) -> None:
    path = "/api/v1/namespaces/default/secrets"
    version = (await real.done("GET", path))["metadata"]["resourceVersion"]
    async with Watching(real, path, resourceVersion=version) as watch:
        await real.done("POST", path, {"metadata": {"name": "w"}})
        assert await watch.names(1) == [("ADDED", "w")]


async def test_a_watch_ends_when_its_client_goes(real: Cluster) -> None:
    path = "/api/v1/namespaces/default/services"
    async with Watching(real, path, resourceVersion="0"):
        pass
    async with asyncio.timeout(60):
        while "watch services" not in [entry["operation"] for entry in real.ledger]:
            await asyncio.sleep(0.05)


async def test_requests_are_told_and_tokens_checked(real: Cluster) -> None:
    answer = await real.send("GET", "/api/v1/nodes", headers={"Authorization": "Bearer wrong"})
    assert answer.error == (401, "Unauthorized")
    await real.done("GET", "/api/v1/nodes")
    # An entry is written after its answer; the actor's own requests stand between, and watches that end late.
    wanted = {("Unauthorized", None), (None, "masterclient")}
    async with asyncio.timeout(60):
        while not wanted <= {
            (entry["error_code"], entry["principal"])
            for entry in real.ledger
            if (entry["operation"], entry["status"]) in (("list nodes", 200), ("list nodes", 401))
        }:
            await asyncio.sleep(0.05)
