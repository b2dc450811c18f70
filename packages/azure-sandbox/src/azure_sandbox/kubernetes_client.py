"""A plain client of a Kubernetes API, for what the emulator and the real API server have in common. For tests."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from azure_sandbox.core.clock import Clock
from azure_sandbox.kubernetes import KubernetesApi
from azure_sandbox.kubernetes.control_plane import ControlPlane
from azure_sandbox.kubernetes.real import RealKubernetesApi

Json = dict[str, Any]

APPLY = "application/apply-patch+yaml"
TOKEN = "the-token-of-the-tests"
_names = count(1)


@dataclass
class Answer:
    """What an API server answered."""

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
        """One request; whatever comes is the answer."""
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
        """Server-side apply."""
        return await self.send("PATCH", path, obj, APPLY, None, fieldManager=manager, **query)

    async def settle(self) -> None:
        """Let what happens in a moment happen: step the emulator's clock, wait for the real server."""
        if self.clock is not None:
            self.clock.step(60)
        else:
            await asyncio.sleep(0.3)

    def needs(self, version: str, what: str) -> None:
        """Skip where the real server is too old for something."""
        if self.old:
            import pytest

            pytest.skip(f"{what} came with Kubernetes {version}, this API server is older than 1.21")

    async def namespace(self) -> str:
        """The name of a new namespace."""
        name = f"test-{next(_names)}"
        await self.done("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def kubeconfig(self, folder: Path) -> Path:
        """A kubeconfig for kubectl, written into the folder."""
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


def session_with(ca_file: Path) -> aiohttp.ClientSession:
    """A session that trusts this authority alone."""
    tls = ssl.create_default_context(cafile=str(ca_file))
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls))


@asynccontextmanager
async def real_cluster() -> AsyncIterator[Cluster]:
    """An etcd and a kube-apiserver from KUBEBUILDER_ASSETS, while the block runs."""
    plane = ControlPlane(TOKEN, "tests")
    try:
        await plane.start()
        async with session_with(plane.ca_file) as session:
            cluster = Cluster(plane.url, plane.ca_file, True, session)
            cluster.old = (await cluster.send("GET", "/apis/policy/v1")).status == 404
            yield cluster
    finally:
        plane.stop()
