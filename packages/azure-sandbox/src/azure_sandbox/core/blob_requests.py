"""Requests on one blob: conditions, leases, blocks, ranges, metadata, tiers and versions.

https://learn.microsoft.com/rest/api/storageservices/operations-on-blobs
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from azure_sandbox.core import blob_documents, blob_leases
from azure_sandbox.core.blob_contents import BlobError, Contents
from azure_sandbox.core.responses import Response

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

API_VERSION = "2026-04-06"
READS = {
    "ListContainers",
    "ListBlobs",
    "GetContainerProperties",
    "GetBlobProperties",
    "GetBlob",
    "GetBlockList",
}
# Response header to the header that sets it.
KEPT_HEADERS = {
    "content-type": "x-ms-blob-content-type",
    "content-encoding": "x-ms-blob-content-encoding",
    "content-language": "x-ms-blob-content-language",
    "content-disposition": "x-ms-blob-content-disposition",
    "cache-control": "x-ms-blob-cache-control",
}
TIERS = ("Hot", "Cool", "Cold", "Archive")


@dataclass
class BlobRequest:
    """One request on one blob.

    Args:
        sandbox: for its clock.
        contents: of the container.
        name: of the blob.
        query: the query parameters.
        headers: by lower-cased name.
        raw: the body.
    """

    sandbox: Sandbox
    contents: Contents
    name: str
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes

    def __post_init__(self) -> None:
        self._now_s = self.sandbox.clock.now_s()

    def answer(self, operation: str) -> Response:
        """Answer; what it is about is checked first: lease, then conditions."""
        is_read = operation in READS
        version = self.query.get("versionid") if is_read or operation == "DeleteBlob" else None
        live = self.contents.find(self.name, version) if version else self.contents.current.get(self.name)
        if operation not in ("LeaseBlob", "UndeleteBlob"):
            if live is not None and version is None:
                blob_leases.check(live, self.headers.get("x-ms-lease-id"), self._now_s, write=not is_read)
            self._check_conditions(live, is_read)
        handlers = {
            "PutBlob": self._put,
            "PutBlock": self._put_block,
            "PutBlockList": self._put_block_list,
            "GetBlockList": self._get_block_list,
            "UndeleteBlob": self._undelete,
        }
        if operation in handlers:
            return handlers[operation]()
        found = self.contents.find(self.name, version)
        if operation == "DeleteBlob":
            kept = self.contents.delete(self.name, version)
            shown = {"x-ms-version": API_VERSION, "x-ms-delete-type-permanent": str(not kept).lower()}
            return Response(202, headers=shown)
        if operation == "LeaseBlob":
            status, lease = blob_leases.act(found, self.headers, self._now_s)
            return Response(status, headers=self._stamps(found) | lease)
        if operation == "GetBlob":
            return self._get(found, version)
        if operation == "GetBlobProperties":
            shown = self._shown(found, version)
            return Response(200, headers=shown | {"content-length": str(len(found["content"]))})
        return self._set(operation, found)

    # Writing.

    def _put(self) -> Response:
        if self.headers.get("x-ms-blob-type") != "BlockBlob" or "x-ms-copy-source" in self.headers:
            text = "Only block blobs are emulated, and no copies (azure_sandbox/core/blob_requests.py)."
            raise BlobError(501, "NotImplemented", text)
        self._check_md5(self.headers.get("content-md5"), self.raw)
        made = self.contents.put(self.name, self.raw, self._kept(), self._metadata(), [])
        return self._made(made, {"content-md5": made["md5"], "x-ms-request-server-encrypted": "true"})

    def _put_block(self) -> Response:
        live = self.contents.current.get(self.name)
        if live is not None:
            self.contents.check_may_change(live)
        self._check_md5(self.headers.get("content-md5"), self.raw)
        self.contents.put_block(self.name, self.query.get("blockid", ""), self.raw)
        return Response(201, headers={"x-ms-version": API_VERSION, **self._request_facts()})

    def _put_block_list(self) -> Response:
        self._check_md5(self.headers.get("content-md5"), self.raw)
        listed = blob_documents.read_block_list(self.raw)
        made = self.contents.commit(self.name, listed, self._kept(), self._metadata())
        return self._made(made, self._request_facts())

    def _request_facts(self) -> dict[str, str]:
        """What an answer says of the content that was sent; its MD5 since 2019-02-02 only if the request had it."""
        encrypted = {"x-ms-request-server-encrypted": "true"}
        return {**encrypted, "content-md5": _md5(self.raw)} if "content-md5" in self.headers else encrypted

    def _made(self, blob: Json, facts: dict[str, str]) -> Response:
        shown = self._stamps(blob) | facts
        if blob["version"]:
            shown["x-ms-version-id"] = blob["version"]
        tier = self.headers.get("x-ms-access-tier")
        if tier is not None:
            self._set_tier(blob, tier)
        return Response(201, headers=shown)

    def _set_tier(self, blob: Json, tier: str) -> None:
        blob |= {"tier": _tier(tier), "tier_s": self._now_s}

    def _undelete(self) -> Response:
        self.contents.undelete(self.name)
        return Response(200, headers={"x-ms-version": API_VERSION})

    def _set(self, operation: str, blob: Json) -> Response:
        """Tier, metadata or properties; only the first leaves the etag alone."""
        if operation == "SetBlobTier":
            self._set_tier(blob, self.headers.get("x-ms-access-tier", ""))
            return Response(200, headers={"x-ms-version": API_VERSION})
        self.contents.check_may_change(blob)
        sets_metadata = operation == "SetBlobMetadata"
        if sets_metadata:
            changed: Json = {"metadata": self._metadata()}
            encrypted = {"x-ms-request-server-encrypted": "true"}
        else:  # What isn't sent is cleared, the MD5 too.
            changed = {"headers": self._kept(), "md5": self.headers.get("x-ms-blob-content-md5", "")}
            encrypted = {}
        if self.contents.versioned and sets_metadata:
            return self._made_anew(blob, changed)
        blob |= {**changed, "etag": self.contents.new_etag(), "modified_s": self._now_s}
        return Response(200, headers=self._stamps(blob) | encrypted)

    def _made_anew(self, blob: Json, changed: Json) -> Response:
        """With versions, new metadata are a new version."""
        made = self.contents.put(
            self.name, blob["content"], blob["headers"], changed["metadata"], blob["blocks"]
        )
        return Response(200, headers=self._stamps(made) | {"x-ms-version-id": made["version"]})

    # Reading.

    def _get_block_list(self) -> Response:
        committed, waiting = self.contents.block_list(self.name)
        body = blob_documents.block_list(
            committed, waiting, self.query.get("blocklisttype", "committed").lower()
        )
        live = self.contents.current.get(self.name)
        shown = self._stamps(live) | {"x-ms-blob-content-length": str(len(live["content"]))} if live else {}
        return Response(200, body, headers=shown | {"content-type": "application/xml"})

    def _get(self, blob: Json, version: str | None) -> Response:
        content: bytes = blob["content"]
        shown = self._shown(blob, version)
        wanted = self.headers.get("x-ms-range") or self.headers.get("range")
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted.strip()) if wanted else None
        if found is None:  # A range that can't be read is none, as RFC 9110 has it.
            return Response(200, content, headers=shown | {"content-length": str(len(content))})
        first = int(found[1])
        last = min(int(found[2]) if found[2] else len(content) - 1, len(content) - 1)
        if first > last:
            text = "The range specified is invalid for the current size of the resource."
            raise BlobError(416, "InvalidRange", text)
        part = content[first : last + 1]
        if "content-md5" in shown:  # Of the whole blob.
            shown["x-ms-blob-content-md5"] = shown.pop("content-md5")
        if self.headers.get("x-ms-range-get-content-md5", "").lower() == "true":
            shown["content-md5"] = _md5(part)
        shown |= {"content-range": f"bytes {first}-{last}/{len(content)}", "content-length": str(len(part))}
        return Response(206, part, headers=shown)

    def _shown(self, blob: Json, version: str | None) -> dict[str, str]:
        shown = self._stamps(blob) | {
            "x-ms-blob-type": "BlockBlob",
            "accept-ranges": "bytes",
            "x-ms-creation-time": self.sandbox.clock.http_date(blob["created_s"]),
            "x-ms-server-encrypted": "true",
            "x-ms-access-tier": blob.get("tier", "Hot"),
            "content-type": "application/octet-stream",
            **blob["headers"],
        }
        if "tier" not in blob:
            shown["x-ms-access-tier-inferred"] = "true"
        elif "tier_s" in blob:
            shown["x-ms-access-tier-change-time"] = self.sandbox.clock.http_date(blob["tier_s"])
        # The service computes it for what was put at once, never for what was put in blocks.
        if blob["md5"] and not blob["blocks"]:
            shown["content-md5"] = blob["md5"]
        shown |= {f"x-ms-meta-{name}": value for name, value in blob["metadata"].items()}
        shown |= {f"x-ms-lease-{name}": value for name, value in blob_leases.shown(blob, self._now_s).items()}
        if blob["version"]:
            shown["x-ms-version-id"] = blob["version"]
            if version is None or blob is self.contents.current.get(self.name):
                shown["x-ms-is-current-version"] = "true"
        until_s = self.contents.immutable_until_s(blob)
        if until_s is not None and self.contents.versioned:
            shown["x-ms-immutability-policy-until-date"] = self.sandbox.clock.http_date(until_s)
            shown["x-ms-immutability-policy-mode"] = "unlocked"
        return shown

    def _stamps(self, blob: Json) -> dict[str, str]:
        return {
            "etag": f'"{blob["etag"]}"',
            "last-modified": self.sandbox.clock.http_date(blob["modified_s"]),
            "x-ms-version": API_VERSION,
        }

    # What was sent.

    def _kept(self) -> dict[str, str]:
        kept = {name: self.headers[header] for name, header in KEPT_HEADERS.items() if header in self.headers}
        if "content-type" not in kept and self.query.get("comp") is None and "content-type" in self.headers:
            kept["content-type"] = self.headers["content-type"]
        return kept

    def _metadata(self) -> dict[str, str]:
        prefix = "x-ms-meta-"
        return {
            name.removeprefix(prefix): value
            for name, value in self.headers.items()
            if name.startswith(prefix)
        }

    def _check_md5(self, given: str | None, content: bytes) -> None:
        if given is not None and given != _md5(content):
            text = "The MD5 value specified in the request did not match with the MD5 value calculated by the server."
            raise BlobError(400, "Md5Mismatch", text)

    def _check_conditions(self, live: Json | None, is_read: bool) -> None:
        """https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations."""
        failed = BlobError(
            412,
            "ConditionNotMet",
            "The condition specified using HTTP conditional header(s) is not met.",
        )
        if (match := self.headers.get("if-match")) is not None and not _matches(match, live):
            raise failed
        if (none := self.headers.get("if-none-match")) is not None and _matches(none, live):
            if is_read and none.strip() == "*":
                text = "The request includes an unsatisfiable condition for this operation."
                raise BlobError(400, "UnsatisfiableCondition", text)
            if is_read:
                raise BlobError(304, "ConditionNotMet", failed.message)
            if none.strip() == "*":
                raise BlobError(409, "BlobAlreadyExists", "The specified blob already exists.")
            raise failed
        if live is None:
            return
        modified = self.sandbox.clock.at(live["modified_s"]).replace(microsecond=0)
        since, before = (self.headers.get(f"if-{word}-since") for word in ("modified", "unmodified"))
        if since is not None and modified <= _moment(since):
            raise BlobError(304, "ConditionNotMet", failed.message) if is_read else failed
        if before is not None and modified > _moment(before):
            raise failed


def _matches(condition: str, live: Json | None) -> bool:
    if live is None:
        return False
    return condition.strip() == "*" or condition.strip().strip('"') == live["etag"]


def _moment(text: str) -> datetime:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        why = "The value for one of the HTTP headers is not in the correct format."
        raise BlobError(400, "InvalidHeaderValue", why) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _tier(name: str) -> str:
    if name not in TIERS:
        text = "The value for one of the HTTP headers is not in the correct format: x-ms-access-tier."
        raise BlobError(400, "InvalidHeaderValue", text)
    return name
