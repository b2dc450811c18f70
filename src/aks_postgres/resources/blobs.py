"""A blob container and what is in it, in somebody's name.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

import aiohttp

from aks_postgres.arm.client import Azure
from aks_postgres.arm.gate import Write
from aks_postgres.arm.response_checks import read_bounded
from aks_postgres.arm.responses import ArmFault, clean, unreadable
from aks_postgres.arm.way_to_azure import fault_on_the_way
from aks_postgres.spec.clouds import STORAGE_AUDIENCE

STORAGE_SCOPE = f"{STORAGE_AUDIENCE}/.default"
_API_VERSION = "2023-11-03"
# Real seconds for one request.
_TIMEOUT_S = 30
# 5,000 blobs each, as the service pages.
_MOST_PAGES = 50

SignIn = Callable[[], Awaitable[str]]
"""Gets an access token for blob storage."""


@dataclass(frozen=True)
class Blob:
    """A blob: its name in the container, and bytes."""

    name: str
    size: int


class BlobContainer:
    """Requests to one container, each sent once; its token comes with the first of them, and is in no message."""

    def __init__(self, azure: Azure, url: str, sign_in: SignIn) -> None:
        self.url = url.rstrip("/")
        self._azure = azure
        self._sign_in = sign_in
        self._token = ""

    async def sign_in(self) -> None:
        """Get a new token.

        Raises:
            ArmFault: there is none.
        """
        self._token = await self._sign_in()

    async def pages(self, prefix: str, *, delimiter: str = "") -> AsyncIterator[tuple[list[Blob], list[str]]]:
        """Page for page, the blobs whose names begin so, and what of names up to the delimiter is further down.

        Raises:
            ArmFault: what the service answers otherwise, or more pages than are read.
        """
        marker = ""
        for _ in range(_MOST_PAGES):
            query = {"restype": "container", "comp": "list", "prefix": prefix, "marker": marker}
            if delimiter:
                query["delimiter"] = delimiter
            text = await self.send("GET", query=query)
            try:
                page = ElementTree.fromstring(text.removeprefix("\ufeff"))
            except ElementTree.ParseError:
                raise unreadable("the list of blobs isn't XML") from None
            if page.tag != "EnumerationResults":
                raise unreadable("the list of blobs is something else")
            yield (
                [_blob(one) for one in page.iter("Blob")],
                [one.findtext("Name") or "" for one in page.iter("BlobPrefix")],
            )
            marker = page.findtext("NextMarker") or ""
            if not marker:
                return
        raise ArmFault(
            None, "TooManyBlobs", f"more than {_MOST_PAGES} pages of blobs begin with {clean(prefix)}"
        )

    async def send(
        self,
        method: str,
        name: str = "",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> str:
        """One request about a blob, or about the container where no name is given.

        Raises:
            ArmFault: what the service answers otherwise.
        """
        if not self._token:
            await self.sign_in()
        url = self.url + (f"/{quote(name)}" if name else "") + (f"?{urlencode(query)}" if query else "")
        request_id = str(uuid.uuid4())
        given = {
            **(headers or {}),
            "Authorization": f"Bearer {self._token}",
            "x-ms-version": _API_VERSION,
            "x-ms-client-request-id": request_id,
        }
        http = self._azure.http
        if method == "GET":
            status, text, code = await answer(http, method, url, given)
        else:
            async with self._azure.gate.opened(Write(method, urlsplit(url).path), request_id):
                status, text, code = await answer(http, method, url, given, "")
        if status >= 400:
            raise ArmFault(status, code or f"HTTP{status}", clean(text) or "no message")
        return text


def _blob(element: ElementTree.Element) -> Blob:
    size = element.findtext("Properties/Content-Length") or ""
    return Blob(element.findtext("Name") or "", int(size) if size.isascii() and size.isdigit() else 0)


async def answer(
    http: aiohttp.ClientSession, method: str, url: str, headers: dict[str, str], body: str | None = None
) -> tuple[int, str, str]:
    """Status, text and the blob service's error code of one request."""
    try:
        async with http.request(
            method,
            url,
            data=body,
            headers={"Accept-Encoding": "identity", **headers},
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
            allow_redirects=False,
        ) as response:
            if 300 <= response.status < 400:
                raise ArmFault(None, "NotAzure", f"status {response.status}, a redirect")
            data = await read_bounded(response)
            return response.status, data.decode(errors="replace"), response.headers.get("x-ms-error-code", "")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise fault_on_the_way(error) or ArmFault(
            None, "NoAnswer", clean(f"{type(error).__name__} {error}")
        ) from None
