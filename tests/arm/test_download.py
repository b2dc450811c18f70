"""Pinned files: regular, whole and small, read beside the event loop; what else is there isn't told."""

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import AzureRefused
from aks_postgres.arm.responses import ArmFault
from aks_postgres.kubernetes import download
from aks_postgres.kubernetes.download import fetch_pinned
from aks_postgres.limits import limits

from ..files.test_given_files import NO_FILES

FIELD = "operator.manifest_url"
DATA = os.urandom(300_000)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
async def run(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SimpleNamespace]:
    """What a run has to download with; hosts of the test's own are reached without TLS."""
    async with aiohttp.ClientSession() as http:
        ours = SimpleNamespace(
            fetched={}, http=SimpleNamespace(get=lambda url, **how: http.get(plain(url), **how))
        )
        yield ours


def plain(url: str) -> str:
    return url.replace("https://", "http://")


@asynccontextmanager
async def served(serve: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}/operator.yaml"
    await runner.cleanup()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", NO_FILES)
async def test_what_is_no_small_regular_file_is_refused_by_the_field(
    run: Azure, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "download_bytes", 100)
    make, words = NO_FILES[what]
    with pytest.raises(AzureRefused) as refused:
        await fetch_pinned(run, FIELD, str(make(tmp_path)), digest(b""))
    assert str(refused.value).startswith(f"{FIELD}: ")
    assert words in str(refused.value)
    assert "or give its https URL" in str(refused.value)


async def test_a_file_is_read_beside_the_event_loop(
    run: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(DATA)
    threads: list[Any] = []
    read = download.read_given

    def seen(path: str, largest_bytes: int) -> bytes:
        threads.append(threading.current_thread())
        return read(path, largest_bytes)

    monkeypatch.setattr(download, "read_given", seen)
    assert await fetch_pinned(run, FIELD, str(tmp_path / "file"), digest(DATA)) == DATA
    assert threads != [threading.main_thread()]
    assert await fetch_pinned(run, FIELD, str(tmp_path / "file"), digest(DATA)) == DATA
    assert len(threads) == 1


async def test_what_has_another_checksum_is_never_described(run: Azure, tmp_path: Path) -> None:
    """A digest of any file that the worker can read would tell what is in it."""
    (tmp_path / "secret").write_bytes(DATA)

    async def serve(_: web.Request) -> web.StreamResponse:
        return web.Response(body=DATA)

    async with served(serve) as url:
        for source in (str(tmp_path / "secret"), url):
            with pytest.raises(AzureRefused, match="isn't the file whose SHA-256") as refused:
                await fetch_pinned(run, FIELD, source, "0" * 64)
            assert refused.value.code == "ChecksumMismatch"
            told = str(refused.value)
            assert FIELD in told
            assert "take its checksum from whoever publishes it" in told
            assert not any(digest(DATA)[i : i + 6] in told for i in range(59))
            assert str(len(DATA)) not in told


@pytest.mark.parametrize("length", ["told", "not told"])
async def test_a_download_that_comes_in_pieces_is_read_to_its_end(run: Azure, length: str) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if length == "told":
            response.content_length = len(DATA)
        await response.prepare(request)
        for at in range(0, len(DATA), 50_000):
            await response.write(DATA[at : at + 50_000])
            await asyncio.sleep(0.01)
        return response

    async with served(serve) as url:
        assert await fetch_pinned(run, FIELD, url, digest(DATA)) == DATA


@pytest.mark.timeout(30)
async def test_a_download_without_an_end_is_given_up_by_its_size(
    run: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = 0

    async def serve(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 10_000)
                sent += 10_000
        except ConnectionError:
            return response

    monkeypatch.setattr(limits, "download_bytes", 100_000)
    async with served(serve) as url:
        with pytest.raises(AzureRefused, match="has more than 100000 bytes") as refused:
            await fetch_pinned(run, FIELD, url, digest(DATA))
    assert str(refused.value).startswith(f"{FIELD}: ")


async def once(_: str, attempt: Callable[[], Awaitable[bytes]]) -> bytes:
    return await attempt()


@pytest.mark.timeout(30)
async def test_a_download_that_drips_is_given_up_by_its_time(
    run: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.02)
        except ConnectionError:
            return response

    monkeypatch.setattr(limits, "download_s", 0.2)
    monkeypatch.setattr(download, "with_retries", once)
    async with served(serve) as url:
        with pytest.raises(ArmFault, match=r"NotSent: GET http.*TimeoutError"):
            await fetch_pinned(run, FIELD, url, digest(DATA))


@pytest.mark.parametrize("status", [404, 403, 410])
async def test_what_isnt_there_is_told_by_field_and_url(run: Azure, status: int) -> None:
    async def serve(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    async with served(serve) as url:
        with pytest.raises(AzureRefused) as refused:
            await fetch_pinned(run, FIELD, url, digest(DATA))
        assert f"{FIELD}: HTTP {status} " in str(refused.value)
        assert url in str(refused.value)
        assert "Correct the URL" in refused.value.way_out
