"""Fetching a pinned file, and refusing it when its checksum is another."""

from __future__ import annotations

import asyncio
import hashlib

import aiohttp

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import AzureRefused
from aks_postgres.arm.responses import ArmFault, clean
from aks_postgres.arm.retry import with_retries
from aks_postgres.arm.way_to_azure import fault_on_the_way
from aks_postgres.files.given_files import FileRefused, read_given
from aks_postgres.limits import limits

# Of the refusals of a request, those that another one may not meet.
_PASSING = (408, 429)


async def fetch_pinned(azure: Azure, field: str, source: str, sha256: str) -> bytes:
    """The bytes at an https URL or of a local file; of a run, once.

    What has another checksum isn't described: a worker can read files, and reach hosts, that the person can't.

    Raises:
        AzureRefused: not there, not for this worker, no regular file, too large, or another checksum than `sha256`.
        AzureUnavailable: the host didn't answer for minutes.
    """
    known = azure.fetched
    if sha256 not in known:
        data = await (
            _download(azure, field, source) if source.startswith("https://") else _read(field, source)
        )
        if await asyncio.to_thread(_digest, data) != sha256:
            raise AzureRefused(
                f"{field}: {source} isn't the file whose SHA-256 the spec has ({sha256[:12]}...).",
                "ChecksumMismatch",
                way_out="If it is the one you want, take its checksum from whoever publishes it (or of your own copy: "
                "sha256sum FILE) and set that in the spec; otherwise name the right file.",
            )
        known[sha256] = data
    return known[sha256]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def _read(field: str, path: str) -> bytes:
    try:
        return await asyncio.to_thread(read_given, path, limits.download_bytes)
    except FileRefused as refused:
        raise AzureRefused(
            f"{field}: {refused}, on this worker.",
            "FileNotReadable",
            way_out="Put the file there, or give its https URL; then run again.",
        ) from None


async def _download(azure: Azure, field: str, url: str) -> bytes:
    async def attempt() -> bytes:
        data = bytearray()
        try:
            async with azure.http.get(
                url,
                headers={"Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=limits.download_s),
            ) as response:
                if 400 <= response.status < 500 and response.status not in _PASSING:
                    raise AzureRefused(
                        f"{field}: HTTP {response.status} came from {url}.",
                        "NotDownloaded",
                        way_out="Correct the URL, or have this worker let in there; then run again.",
                    )
                if response.status != 200:
                    raise ArmFault(response.status, f"HTTP{response.status}", f"GET {url}")
                # To its end: one read gives what has come so far.
                async for chunk in response.content.iter_any():
                    data += chunk
                    if len(data) > limits.download_bytes:
                        raise ArmFault(400, "TooLarge", f"{url} has more than {limits.download_bytes} bytes")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise fault_on_the_way(error) or ArmFault(
                None, "NotSent", clean(f"GET {url}: {type(error).__name__} {error}"), reached=False
            ) from None
        return bytes(data)

    return await with_retries(field, attempt)
