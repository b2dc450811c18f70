"""The XML of the blob service: listings, block lists, and a batch's parts.

https://learn.microsoft.com/rest/api/storageservices/list-blobs, /get-block-list, /put-block-list and /blob-batch
"""

from __future__ import annotations

import base64
import json
import urllib.parse
import xml.etree.ElementTree as ElementTree
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from azure_sandbox.core.blob_contents import BlobError

Json = dict[str, Any]

MOST_RESULTS = 5000
MOST_SUBREQUESTS = 256
LARGEST_BLOCK_LIST = 4 * 1024 * 1024
_HEAD = '<?xml version="1.0" encoding="utf-8"?>'


def element(name: str, value: Any) -> str:
    """One element; nothing for None."""
    return "" if value is None else f"<{name}>{escape(str(value))}</{name}>"


def _page_size(query: dict[str, str]) -> int:
    text = query.get("maxresults", str(MOST_RESULTS))
    if not text.isdigit() or int(text) < 1:
        raise BlobError(400, "OutOfRangeQueryParameterValue", "The value of maxresults must be 1 or more.")
    return min(int(text), MOST_RESULTS)


def _start(marker: str, names: list[str]) -> int:
    """Where the page begins that a marker stands for: at a name, and how many entries of that name have been shown."""
    if not marker:
        return 0
    try:
        name, shown = json.loads(base64.urlsafe_b64decode(marker))
        return bisect_left(names, name.encode(), key=str.encode) + int(shown)
    except (ValueError, TypeError, AttributeError):
        text = "The value for one of the query parameters is not in the correct format: marker."
        raise BlobError(400, "InvalidQueryParameterValue", text) from None


def _marker(names: list[str], after: int) -> str:
    if after >= len(names):
        return ""
    shown = after - bisect_left(names, names[after].encode(), key=str.encode)
    return base64.urlsafe_b64encode(json.dumps([names[after], shown]).encode()).decode()


def listing(
    plural: str,
    entries: list[tuple[str, str]],
    query: dict[str, str],
    endpoint: str,
    container: str | None = None,
) -> bytes:
    """One page of entries, each with its name and its XML, in the order of their names."""
    names = [name for name, _ in entries]
    size, start = _page_size(query), _start(query.get("marker", ""), names)
    page = entries[start : start + size]
    following = _marker(names, start + size)
    where = "" if container is None else f" ContainerName={quoteattr(container)}"
    echoed = "".join(
        element(name, query.get(parameter))
        for name, parameter in (
            ("Prefix", "prefix"),
            ("Marker", "marker"),
            ("MaxResults", "maxresults"),
            ("Delimiter", "delimiter"),
        )
    )
    items = "".join(text for _, text in page)
    return (
        f"{_HEAD}<EnumerationResults ServiceEndpoint={quoteattr(endpoint)}{where}>{echoed}<{plural}>{items}</{plural}>"
        f"<NextMarker>{following}</NextMarker></EnumerationResults>"
    ).encode()


def folded(
    found: list[tuple[str, Json, bool]], query: dict[str, str], show: Callable[[str, Json, bool], str]
) -> list[tuple[str, str]]:
    """The entries of a listing: blobs below a prefix, those behind a delimiter as one BlobPrefix each."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    entries: list[tuple[str, str]] = []
    for name, blob, current in found:
        if not name.startswith(prefix):
            continue
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            entries.append((name, show(name, blob, current)))
            continue
        folder = name[: cut + len(delimiter)]
        if not entries or entries[-1][0] != folder:
            entries.append((folder, f"<BlobPrefix>{element('Name', folder)}</BlobPrefix>"))
    return entries


def block_list(committed: list[tuple[str, int]], waiting: list[tuple[str, int]], wanted: str) -> bytes:
    """The answer of Get Block List: `wanted` is committed, uncommitted or all."""

    def shown(name: str, blocks: list[tuple[str, int]]) -> str:
        items = "".join(
            f"<Block>{element('Name', block)}{element('Size', size)}</Block>" for block, size in blocks
        )
        return f"<{name}>{items}</{name}>"

    parts = shown("CommittedBlocks", committed) if wanted in ("committed", "all") else ""
    parts += shown("UncommittedBlocks", waiting) if wanted in ("uncommitted", "all") else ""
    return f"{_HEAD}<BlockList>{parts}</BlockList>".encode()


def read_block_list(raw: bytes) -> list[tuple[str, str]]:
    """The (place, id) pairs of a Put Block List."""
    if len(raw) > LARGEST_BLOCK_LIST or b"<!DOCTYPE" in raw:
        raise BlobError(400, "InvalidXmlDocument", "XML specified is not syntactically valid.")
    try:
        root = ElementTree.fromstring(raw)
    except ElementTree.ParseError:
        raise BlobError(400, "InvalidXmlDocument", "XML specified is not syntactically valid.") from None
    if root.tag != "BlockList" or any(
        item.tag not in ("Latest", "Committed", "Uncommitted") for item in root
    ):
        raise BlobError(400, "InvalidXmlNodeValue", "One of the XML nodes specified isn't supported.")
    return [(item.tag, (item.text or "").strip()) for item in root]


@dataclass
class Part:
    """One request of a batch."""

    content_id: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]


def read_batch(raw: bytes, content_type: str) -> list[Part]:
    """The requests of a batch.

    Raises:
        BlobError: 400 for what isn't one, or has more than 256 requests.
    """
    kind, _, rest = content_type.partition(";")
    boundary = rest.strip().removeprefix("boundary=").strip('"')
    if kind.strip().lower() != "multipart/mixed" or not boundary:
        raise BlobError(400, "InvalidHeaderValue", "A batch is multipart/mixed with a boundary.")
    parts = [_read_part(text) for text in raw.split(b"--" + boundary.encode())[1:-1]]
    if not 1 <= len(parts) <= MOST_SUBREQUESTS:
        raise BlobError(400, "InvalidInput", "A batch has 1 to 256 requests.")
    return parts


def _read_part(text: bytes) -> Part:
    head, _, request = text.decode("utf-8", "replace").strip("\r\n").partition("\r\n\r\n")
    outer = _headers(head.split("\r\n"))
    line, *lines = request.lstrip("\r\n").split("\r\n")
    words = line.split(" ")
    if len(words) < 2:
        raise BlobError(400, "InvalidInput", "One of the request inputs is not valid.")
    path, _, query = words[1].partition("?")
    return Part(
        outer.get("content-id", "0"),
        words[0],
        urllib.parse.unquote(path),
        dict(urllib.parse.parse_qsl(query, keep_blank_values=True)),
        _headers(lines),
    )


def _headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def batch_answer(boundary: str, answers: list[tuple[str, int, dict[str, str], bytes]]) -> bytes:
    """The body of a batch's answer: (Content-ID, status, headers, body) of each request."""
    words = {
        202: "Accepted",
        200: "OK",
        403: "Forbidden",
        404: "The specified blob does not exist.",
        409: "Conflict",
    }
    text = b""
    for content_id, status, headers, body in answers:
        lines = [f"--{boundary}", "Content-Type: application/http", f"Content-ID: {content_id}", ""]
        lines += [f"HTTP/1.1 {status} {words.get(status, 'Failed')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += ["", ""]
        text += "\r\n".join(lines).encode() + body + b"\r\n"
    return text + f"--{boundary}--\r\n".encode()
