"""A port of a pod on this machine: who asks, refusals by their cause, bytes both ways."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp import web

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import AzureUnavailable
from aks_postgres.arm.gate import Gate
from aks_postgres.kubernetes.client import KubernetesApi
from aks_postgres.kubernetes.port_forward import forwarded

# Said by the pod's end: channel, then what it sends.
_PORT = (5432).to_bytes(2, "little")


class Credential:
    """A credential whose cached token is over until it is renewed."""

    source = "test"

    def __init__(self, *, renews: bool = True) -> None:
        self.token = "over"
        self.renews = renews
        self.renewed = 0

    async def get_token(self, *_: str) -> SimpleNamespace:
        return SimpleNamespace(token=self.token)

    async def renew(self) -> None:
        self.renewed += 1
        if self.renews:
            self.token = "new"


class ApiServer:
    """Answers /version to anybody, and forwards to a pod that echoes, for the token `new`."""

    def __init__(self) -> None:
        self.refusal = 0
        self.asked: list[str] = []

    async def version(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"major": "1"})

    async def forward(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.headers.get("Authorization", ""))
        if self.refusal:
            raise _refused(self.refusal)
        if self.asked[-1] != "Bearer new":
            raise web.HTTPUnauthorized
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await socket.prepare(request)
        for channel in (0, 1):
            await socket.send_bytes(bytes([channel]) + _PORT)
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket


def _refused(status: int) -> web.HTTPException:
    return {403: web.HTTPForbidden, 404: web.HTTPNotFound, 502: web.HTTPBadGateway}[status]()


Start = Callable[[Credential], Awaitable[KubernetesApi]]


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


@pytest_asyncio.fixture
async def start(server: ApiServer) -> AsyncIterator[Start]:
    from kubernetes.aio.client import ApiClient, Configuration

    opened: list[Any] = []

    async def made(credential: Credential) -> KubernetesApi:
        app = web.Application()
        app.router.add_get("/version", server.version)
        app.router.add_get("/api/v1/namespaces/{namespace}/pods/{pod}/portforward", server.forward)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        client = ApiClient(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))
        opened.extend([client.close, runner.cleanup])
        azure = SimpleNamespace(gate=Gate("read"), recording=None, credential=credential)
        return KubernetesApi(cast("Azure", azure), client, "rg", "aks", by_entra=True)

    yield made
    for close in opened:
        await close()


async def test_a_token_whose_life_is_over_is_renewed_once(start: Start, server: ApiServer) -> None:
    credential = Credential()
    api = await start(credential)
    async with forwarded(api, "cnpg-database", "pg-1", 5432) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"SELECT 1")
        assert await asyncio.wait_for(reader.readexactly(8), 30) == b"SELECT 1"
        writer.close()
    assert server.asked == ["Bearer over", "Bearer new", "Bearer new"]
    assert credential.renewed == 1


async def test_a_connection_made_after_the_token_s_life_is_carried(start: Start, server: ApiServer) -> None:
    credential = Credential()
    credential.token = "new"
    api = await start(credential)
    async with forwarded(api, "cnpg-database", "pg-1", 5432) as port:
        credential.token = "over"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"SELECT 1")
        assert await asyncio.wait_for(reader.readexactly(8), 30) == b"SELECT 1"
        writer.close()
    assert server.asked == ["Bearer new", "Bearer over", "Bearer new"]


async def test_a_refused_new_token_isn_t_asked_for_again(start: Start, server: ApiServer) -> None:
    credential = Credential(renews=False)
    api = await start(credential)
    with pytest.raises(AzureUnavailable, match=r"status 401\. The API server doesn't know who asks"):
        async with forwarded(api, "cnpg-database", "pg-1", 5432):
            pytest.fail("it was let in")
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (403, "may not create pods/portforward"),
        (404, "Run again: the new primary is looked up"),
        (502, "See that the pod runs"),
    ],
)
async def test_a_refusal_is_told_by_its_cause(
    status: int, advice: str, start: Start, server: ApiServer
) -> None:
    server.refusal = status
    api = await start(Credential())
    with pytest.raises(AzureUnavailable, match=f"status {status}.*{advice}"):
        async with forwarded(api, "cnpg-database", "pg-1", 5432):
            pytest.fail("it was let in")
