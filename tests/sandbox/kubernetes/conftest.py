"""The contract's two API servers: the emulator, and the real one that KUBEBUILDER_ASSETS names."""

import asyncio
import json
import shutil
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from sandbox.certificates import Authority
from sandbox.clock import Clock
from sandbox.kubernetes import ClusterServer, KubernetesApi
from sandbox.kubernetes.control_plane import ASSETS, ControlPlane, assets
from sandbox.kubernetes.real import RealKubernetesApi

Json = dict[str, Any]

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"

TOKEN = "the-token-of-the-tests"
_names = count(1)


@dataclass
class Answer:
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def error(self) -> tuple[int, str]:
        """Status and reason of a refusal."""
        return self.status, self.body.get("reason")


@dataclass
class Cluster:
    """An API server to test against.

    `real` is the real one; `old` one that has no policy/v1, so is older than Kubernetes 1.21.
    """

    url: str
    ca_file: Path
    real: bool
    session: aiohttp.ClientSession
    token: str = TOKEN
    clock: Clock | None = None
    api: KubernetesApi | RealKubernetesApi | None = None
    ledger: list[Json] = field(default_factory=list)
    old: bool = False

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        **query: str,
    ) -> Answer:
        data = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        sent = {"Authorization": f"Bearer {self.token}", "User-Agent": "tests/1"}
        if data is not None:
            sent["Content-Type"] = content_type
        async with self.session.request(
            method, self.url + path, data=data, headers={**sent, **(headers or {})}, params=query
        ) as answer:
            text = await answer.text()
            is_json = answer.headers.get("Content-Type", "").startswith("application/json")
            found = {key.lower(): value for key, value in answer.headers.items()}
            return Answer(answer.status, json.loads(text) if is_json and text else text, found)

    async def done(self, method: str, path: str, *args: Any, **more: Any) -> Any:
        """Send, and have it succeed; the body."""
        answer = await self.send(method, path, *args, **more)
        assert answer.status < 300, answer.body
        return answer.body

    async def apply(self, path: str, obj: Json, manager: str = "tests", **query: str) -> Answer:
        return await self.send("PATCH", path, obj, APPLY, fieldManager=manager, **query)

    async def settle(self) -> None:
        """Let what happens in a moment happen: step the emulator's clock, wait for the real server."""
        if self.clock is not None:
            self.clock.step(60)
        else:
            await asyncio.sleep(0.3)

    def needs(self, version: str, what: str) -> None:
        """Skip where the real server is too old for something."""
        if self.old:
            pytest.skip(f"{what} came with Kubernetes {version}, this API server is older than 1.21")

    async def namespace(self) -> str:
        name = f"test-{next(_names)}"
        await self.done("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def kubeconfig(self, folder: Path) -> Path:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "c", "cluster": {"server": self.url, "certificate-authority": str(self.ca_file)}}
            ],
            "users": [{"name": "u", "user": {"token": self.token}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path


def _session(ca_file: Path) -> aiohttp.ClientSession:
    tls = ssl.create_default_context(cafile=str(ca_file))
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def _emulated(authority: Authority) -> AsyncIterator[Cluster]:
    clock = Clock(1)
    ledger: list[Json] = []
    api = KubernetesApi("tests", "1.35.2", clock, 1, token=TOKEN, on_request=ledger.append)
    server = ClusterServer(api.app, authority.server_context())
    await server.start()
    running = asyncio.create_task(clock.run())
    clock.step(60)
    async with _session(authority.ca_file) as session:
        yield Cluster(server.url, authority.ca_file, False, session, clock=clock, api=api, ledger=ledger)
    running.cancel()
    api.stop()
    await server.stop()


async def _real() -> AsyncIterator[Cluster]:
    plane = ControlPlane(TOKEN, "tests")
    try:
        await plane.start()
        async with _session(plane.ca_file) as session:
            cluster = Cluster(plane.url, plane.ca_file, True, session)
            cluster.old = (await cluster.send("GET", "/apis/policy/v1")).status == 404
            yield cluster
    finally:
        plane.stop()


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
    source = _emulated(authority) if request.param == "emulated" else _real()
    async for made in source:
        yield made


@pytest.fixture
async def emulated(authority: Authority) -> AsyncIterator[Cluster]:
    """An emulated API server of a test's own, for what happens in a cluster by itself."""
    async for made in _emulated(authority):
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
