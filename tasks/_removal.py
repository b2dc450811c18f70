"""Deleting one resource of ours, and what the receipt says of it."""

from __future__ import annotations

from cloud.answers import Answer, Json
from cloud.calls import read
from cloud.deletion import Deletable, ensure_absent
from cloud.errors import NotOurs
from environment.names import is_ours
from environment.receipt import Removal, Removals
from environment.spec import EnvironmentSpec
from tasks._owned import untagged


async def remove(spec: EnvironmentSpec, resource: Deletable) -> Removals:
    """Delete a resource that carries our tags."""

    async def check(live: Json) -> None:
        if not is_ours(live.get("tags"), spec):
            raise NotOurs(untagged(spec, resource.label))

    return Removals(items=(removal(resource, await ensure_absent(resource, check)),))


def removal(resource: Deletable, outcome: str, reason: str = "") -> Removal:
    """What the receipt says of a resource."""
    return Removal.model_validate(
        {
            "what": resource.what,
            "name": resource.name,
            "id": resource.id,
            "outcome": outcome,
            "reason": reason,
        }
    )


async def is_there(resource: Deletable) -> bool:
    """Whether a resource is there."""

    async def get(*, cls: object) -> Answer:
        return await resource.get()

    return await read(resource.label, get) is not None
