"""Fetching a pinned file, and refusing it when its checksum is another."""

from __future__ import annotations

import hashlib
from pathlib import Path

import aiohttp

from aks_postgres.arm.client import cloud
from aks_postgres.arm.responses import ArmFault, clean
from aks_postgres.arm.retry import persistently
from aks_postgres.errors import AzureRefused

_LARGEST_BYTES = 32 * 1024 * 1024
_TIMEOUT_S = 60


async def fetch_pinned(label: str, source: str, sha256: str) -> bytes:
    """The bytes at an https URL or a local path.

    Raises:
        AzureRefused: not there, too large, or another checksum than `sha256`; the message gives both.
        AzureUnavailable: the host didn't answer for minutes.
    """
    data = await (_download(label, source) if source.startswith("https://") else _read(label, source))
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise AzureRefused(
            f"{label}: {source} has SHA-256 {found} and the spec says {sha256}. If the new file is the one "
            "you want, set its checksum in the spec; otherwise don't use it.",
            "ChecksumMismatch",
        )
    return data


async def _read(label: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise AzureRefused(
            f"{label}: {path} can't be read on this worker: {error}", "FileNotReadable"
        ) from None


async def _download(label: str, url: str) -> bytes:
    async def attempt() -> bytes:
        try:
            async with cloud().http.get(url, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as response:
                if response.status != 200:
                    raise ArmFault(response.status, f"HTTP{response.status}", f"GET {url}")
                data = await response.content.read(_LARGEST_BYTES + 1)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ArmFault(
                None, "NotSent", clean(f"GET {url}: {type(error).__name__} {error}"), reached=False
            ) from None
        if len(data) > _LARGEST_BYTES:
            raise ArmFault(400, "TooLarge", f"{url} has more than {_LARGEST_BYTES} bytes")
        return data

    return await persistently(label, attempt)
