"""A blob as a listing shows it.

https://learn.microsoft.com/rest/api/storageservices/list-blobs
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from azure_sandbox.core import blob_leases
from azure_sandbox.core.blob_contents import DAY_S, Contents
from azure_sandbox.core.blob_documents import element

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]


def listed(
    sandbox: Sandbox, contents: Contents, name: str, blob: Json, current: bool, include: set[str]
) -> str:
    """One blob of a listing."""
    now_s = sandbox.clock.now_s()
    lease = blob_leases.shown(blob, now_s)
    properties = [
        ("Creation-Time", sandbox.clock.http_date(blob["created_s"])),
        ("Last-Modified", sandbox.clock.http_date(blob["modified_s"])),
        ("Etag", blob["etag"]),
        ("Content-Length", len(blob["content"])),
        ("Content-Type", blob["headers"].get("content-type", "application/octet-stream")),
        ("Content-Encoding", blob["headers"].get("content-encoding", "")),
        ("Content-Language", blob["headers"].get("content-language", "")),
        ("Content-MD5", "" if blob["blocks"] else blob["md5"]),
        ("Cache-Control", blob["headers"].get("cache-control", "")),
        ("Content-Disposition", blob["headers"].get("content-disposition", "")),
        ("BlobType", "BlockBlob"),
        ("AccessTier", blob.get("tier", "Hot")),
        ("AccessTierInferred", None if "tier" in blob else "true"),
        ("AccessTierChangeTime", sandbox.clock.http_date(blob["tier_s"]) if "tier_s" in blob else None),
        ("LeaseStatus", lease["status"]),
        ("LeaseState", lease["state"]),
        ("LeaseDuration", lease.get("duration")),
        ("ServerEncrypted", "true"),
    ]
    kept_s = contents.retention_s
    if "deleted_s" in blob and kept_s is not None:
        left_s = blob["deleted_s"] + kept_s - now_s
        properties += [
            ("DeletedTime", sandbox.clock.http_date(blob["deleted_s"])),
            ("RemainingRetentionDays", math.floor(left_s / DAY_S)),
        ]
    until_s = contents.immutable_until_s(blob)
    if until_s is not None and "immutabilitypolicy" in include:
        properties.append(("ImmutabilityPolicyUntilDate", sandbox.clock.http_date(until_s)))
    shown = element("Name", name)
    if "deleted_s" in blob:
        shown += element("Deleted", "true")
    if "versions" in include and blob["version"]:
        shown += element("VersionId", blob["version"])
        shown += element("IsCurrentVersion", "true") if current else ""
    shown += "<Properties>" + "".join(element(key, value) for key, value in properties) + "</Properties>"
    if "metadata" in include:
        metadata = "".join(element(key, value) for key, value in blob["metadata"].items())
        shown += f"<Metadata>{metadata}</Metadata>"
    return f"<Blob>{shown}</Blob>"
