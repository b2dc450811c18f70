"""Containers, which ARM and the data plane share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.core.resource import Resource

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

CONTAINER = "Microsoft.Storage/storageAccounts/blobServices/containers"


def make_container(sandbox: Sandbox, container_id: str, properties: dict[str, Any]) -> Resource:
    """Make a container."""
    shown = {
        "publicAccess": "None",
        "leaseStatus": "Unlocked",
        "leaseState": "Available",
        "hasImmutabilityPolicy": False,
        "hasLegalHold": False,
        "lastModifiedTime": sandbox.clock.iso(),
    }
    return sandbox.store.put(container_id, CONTAINER, {"properties": {**shown, **properties}})


def container_blocked(sandbox: Sandbox, container_id: str) -> bool:
    """Whether a container of that name was deleted a moment ago."""
    until: float = sandbox.state("blocked containers").get(container_id.lower(), 0.0)
    return sandbox.clock.now_s() < until


def valid_container_name(name: str) -> bool:
    """https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata."""
    text = name.replace("-", "")
    return (
        3 <= len(name) <= 63
        and text.isalnum()
        and text.isascii()
        and name == name.lower()
        and "--" not in name
        and name[0] != "-"
        and name[-1] != "-"
    )
