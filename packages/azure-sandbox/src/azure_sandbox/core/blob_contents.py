"""The blobs of one container: blocks and what they are committed to, ranges, versions, soft deletion, immutability.

A blob is a plain dict, kept in its container's notes, so that `--persist` writes it down:
`content` bytes, `etag`, `created_s` and `modified_s` in sandbox seconds, `headers`, `metadata`, `md5`, `blocks`
([name, bytes]), `version` (its id), `deleted_s` once soft-deleted, and the lease's fields (`blob_leases.py`).

https://learn.microsoft.com/azure/storage/blobs/versioning-overview,
https://learn.microsoft.com/azure/storage/blobs/soft-delete-blob-overview and
https://learn.microsoft.com/azure/storage/blobs/immutable-storage-overview
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

DAY_S = 86_400.0
LARGEST_BLOCK_COUNT = 50_000


class BlobError(Exception):
    """An error answer of the blob service."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Contents:
    """What is in a container.

    Args:
        sandbox: for the clock.
        account: whose blob service says whether versions and deleted blobs are kept.
        container: holds everything in its notes.
    """

    def __init__(self, sandbox: Sandbox, account: Resource, container: Resource) -> None:
        self._sandbox = sandbox
        self._service: Json = account.notes.get("blob service", {})
        self._container = container
        self.current: dict[str, Json] = container.notes.setdefault("blobs", {})
        self.versions: dict[str, list[Json]] = container.notes.setdefault("blob versions", {})
        self.deleted: dict[str, Json] = container.notes.setdefault("deleted blobs", {})
        self._uncommitted: dict[str, dict[str, bytes]] = container.notes.setdefault("blocks", {})
        self._forget()

    @property
    def versioned(self) -> bool:
        """Whether an overwritten or deleted blob stays as a version."""
        return bool(self._service.get("isVersioningEnabled"))

    @property
    def retention_s(self) -> float | None:
        """How long a deleted blob can be brought back; None when it can't."""
        policy = self._service.get("deleteRetentionPolicy") or {}
        return float(policy.get("days", 0)) * DAY_S if policy.get("enabled") else None

    def find(self, name: str, version: str | None = None) -> Json:
        """A blob, or a version of it.

        Raises:
            BlobError: 404.
        """
        if version is None:
            found = self.current.get(name)
        else:
            all_ = [*self.versions.get(name, ()), *([self.current[name]] if name in self.current else ())]
            found = next(
                (state for state in all_ if state["version"] == version and "deleted_s" not in state), None
            )
        if found is None:
            raise BlobError(404, "BlobNotFound", "The specified blob does not exist.")
        return found

    def put(self, name: str, content: bytes, headers: Json, metadata: Json, blocks: list[Any]) -> Json:
        """Make or replace a blob."""
        before = self.current.get(name)
        if before is not None:
            self.check_may_change(before)
        now_s = self._sandbox.clock.now_s()
        made: Json = {
            "content": content,
            "etag": self.new_etag(),
            # A version is a blob of its own; without versions the first creation counts.
            "created_s": before["created_s"] if before and not self.versioned else now_s,
            "modified_s": now_s,
            "headers": headers,
            "metadata": metadata,
            "md5": base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode(),
            "blocks": blocks,
            "version": self._version_id(name, now_s) if self.versioned else None,
        }
        if before is not None:
            if self.versioned:
                self.versions.setdefault(name, []).append(_without_lease(before))
            made |= {key: value for key, value in before.items() if key.startswith("lease ")}
        self.current[name] = made
        self.deleted.pop(name, None)
        self._uncommitted.pop(name, None)
        return made

    def put_block(self, name: str, block: str, content: bytes) -> None:
        """Hold a block until it is committed."""
        _check_block_id(block)
        held = self._uncommitted.setdefault(name, {})
        if any(len(other) != len(block) for other in held):
            text = "The specified blob or block content is invalid."
            raise BlobError(400, "InvalidBlobOrBlock", text)
        held[block] = content

    def commit(self, name: str, listed: list[tuple[str, str]], headers: Json, metadata: Json) -> Json:
        """Make a blob of blocks: (Latest, Committed or Uncommitted; id) in their order."""
        if len(listed) > LARGEST_BLOCK_COUNT:
            raise BlobError(
                400, "BlockListTooLong", "The block list may not contain more than 50,000 blocks."
            )
        waiting = self._uncommitted.get(name, {})
        committed = self._committed(name)
        found: list[tuple[str, bytes]] = []
        for where, block in listed:
            content = waiting.get(block) if where != "Committed" else None
            if content is None and where != "Uncommitted":
                content = committed.get(block)
            if content is None:
                raise BlobError(400, "InvalidBlockList", "The specified block list is invalid.")
            found.append((block, content))
        blocks = [[block, len(content)] for block, content in found]
        return self.put(name, b"".join(content for _, content in found), headers, metadata, blocks)

    def block_list(self, name: str) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """Committed and uncommitted blocks with their sizes in bytes."""
        if name not in self.current and name not in self._uncommitted:
            raise BlobError(404, "BlobNotFound", "The specified blob does not exist.")
        waiting = [(block, len(content)) for block, content in self._uncommitted.get(name, {}).items()]
        return [(block, size) for block, size in self.current.get(name, {}).get("blocks", [])], waiting

    def delete(self, name: str, version: str | None = None) -> bool:
        """Delete a blob, or one of its versions; whether it is kept for a while depends on the account."""
        found = self.find(name, version)
        now_s = self._sandbox.clock.now_s()
        if version is not None:
            if found is self.current.get(name):
                text = "The operation is not allowed on the root blob: it is the current version."
                raise BlobError(403, "OperationNotAllowedOnRootBlob", text)
            self.check_may_change(found, is_version=True)
            if self.retention_s is not None:
                found["deleted_s"] = now_s
            else:
                self.versions[name].remove(found)
            return self.retention_s is not None
        self.check_may_change(found)
        del self.current[name]
        kept = _without_lease(found)
        if self.versioned:
            self.versions.setdefault(name, []).append(kept)
        elif self.retention_s is not None:
            self.deleted[name] = {**kept, "deleted_s": now_s}
        return self.versioned or self.retention_s is not None

    def undelete(self, name: str) -> None:
        """Bring a soft-deleted blob, or its soft-deleted versions, back."""
        if name in self.deleted:
            found = self.deleted.pop(name)
            del found["deleted_s"]
            self.current[name] = found
            return
        if name not in self.current and name not in self.versions:
            raise BlobError(404, "BlobNotFound", "The specified blob does not exist.")
        for version in self.versions.get(name, ()):
            version.pop("deleted_s", None)

    def check_may_change(self, blob: Json, *, is_version: bool = False) -> None:
        """Refuse to change or delete what a policy or a legal hold keeps.

        In a container with version-level immutability only versions are kept: the current one may be replaced or
        deleted, since it then stays as a version.
        """
        properties = self._container.properties
        by_version = (properties.get("immutableStorageWithVersioning") or {}).get("enabled")
        if by_version and not is_version:
            return
        if properties.get("hasLegalHold"):
            text = "This operation is not permitted as the blob is immutable due to one or more legal holds."
            raise BlobError(409, "BlobImmutableDueToLegalHold", text)
        until_s = self.immutable_until_s(blob)
        if until_s is not None and self._sandbox.clock.now_s() < until_s:
            text = "This operation is not permitted as the blob is immutable due to a policy."
            raise BlobError(409, "BlobImmutableDueToPolicy", text)

    def immutable_until_s(self, blob: Json) -> float | None:
        """Until when the container's time-based policy keeps a blob; None without one."""
        policy = (self._container.properties.get("immutabilityPolicy") or {}).get("properties") or {}
        days = policy.get("immutabilityPeriodSinceCreationInDays")
        return float(blob["created_s"]) + days * DAY_S if days else None

    def listed(self, include: set[str]) -> list[tuple[str, Json, bool]]:
        """(name, blob, whether it is the current one), by name, versions from old to new."""
        found: list[tuple[str, Json, bool]] = []
        if "uncommittedblobs" in include:
            found += [
                (name, self._nascent(name), True) for name in self._uncommitted if name not in self.current
            ]
        for name in {*self.current, *self.versions, *self.deleted}:
            if "versions" in include:
                old = [
                    state
                    for state in self.versions.get(name, ())
                    if "deleted_s" not in state or "deleted" in include
                ]
                found += [(name, state, False) for state in old]
            if name in self.current:
                found.append((name, self.current[name], True))
            elif name in self.deleted and "deleted" in include:
                found.append((name, self.deleted[name], False))
        return sorted(found, key=lambda item: (item[0].encode(), item[2], item[1]["version"] or ""))

    def _nascent(self, name: str) -> Json:
        """A blob of which only blocks are there; when the first one came isn't kept."""
        now_s = self._sandbox.clock.now_s()
        facts = {"etag": "0x0", "created_s": now_s, "modified_s": now_s, "md5": "", "version": None}
        return {**facts, "content": b"", "headers": {}, "metadata": {}, "blocks": []}

    def _committed(self, name: str) -> dict[str, bytes]:
        found, at, blob = {}, 0, self.current.get(name)
        for block, size in blob["blocks"] if blob else ():
            found[block] = blob["content"][at : at + size] if blob else b""
            at += size
        return found

    def new_etag(self) -> str:
        """An etag that no write had before."""
        state = self._sandbox.state("blob service")
        state["writes"] = state.get("writes", 0) + 1
        text = f"{self._sandbox.seed}/{state['writes']}"
        return "0x8" + hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:14].upper()

    def _version_id(self, name: str, now_s: float) -> str:
        at = self._sandbox.clock.at(now_s)
        taken = {state["version"] for state in self.versions.get(name, ())}
        taken.add((self.current.get(name) or {}).get("version"))
        for step in range(10 * len(taken) + 10):
            version = f"{at:%Y-%m-%dT%H:%M:%S.}{at.microsecond * 10 + step:07}Z"
            if version not in taken:
                break
        return version

    def _forget(self) -> None:
        """Let go of what has been deleted for longer than the account keeps it."""
        kept_s = self.retention_s
        if kept_s is None:
            return
        now_s = self._sandbox.clock.now_s()

        def is_over(blob: Json) -> bool:
            return "deleted_s" in blob and now_s >= blob["deleted_s"] + kept_s

        for name in [name for name, blob in self.deleted.items() if is_over(blob)]:
            del self.deleted[name]
        for name, versions in list(self.versions.items()):
            versions[:] = [state for state in versions if not is_over(state)]
            if not versions:
                del self.versions[name]


def has_blobs(container: Resource) -> bool:
    """Whether a container holds a blob or a version of one."""
    return bool(container.notes.get("blobs")) or any(container.notes.get("blob versions", {}).values())


def _without_lease(blob: Json) -> Json:
    return {key: value for key, value in blob.items() if not key.startswith("lease ")}


def _check_block_id(block: str) -> None:
    """A block's id is Base64, of 64 bytes at most: https://learn.microsoft.com/rest/api/storageservices/put-block."""
    try:
        decoded = base64.b64decode(block, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not 1 <= len(decoded) <= 64:
        text = "The value for one of the query parameters is not in the correct format: blockid."
        raise BlobError(400, "InvalidQueryParameterValue", text)
