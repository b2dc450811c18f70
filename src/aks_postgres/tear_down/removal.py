"""Deleting one resource of ours, and what the receipt says of it."""

from __future__ import annotations

from aks_postgres.arm.deletion import ensure_absent
from aks_postgres.arm.resource import ArmResource, look_at
from aks_postgres.arm.responses import Json
from aks_postgres.reports.receipt import Removal, Removals
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import is_ours
from aks_postgres.tear_down.ownership import not_ours


async def remove(spec: EnvironmentSpec, resource: ArmResource) -> Removals:
    """Delete a resource that carries our tags."""

    async def check(live: Json) -> None:
        if not is_ours(live.get("tags"), spec):
            raise not_ours(spec, resource.label)

    return Removals(items=(removal(resource, await ensure_absent(resource, check)),))


def removal(resource: ArmResource, outcome: str, reason: str = "") -> Removal:
    """Return what the receipt says of a resource."""
    return Removal.model_validate(
        {
            "what": resource.word,
            "name": resource.name,
            "id": resource.id,
            "outcome": outcome,
            "reason": reason,
        }
    )


async def is_there(resource: ArmResource) -> bool:
    """Return whether a resource is there."""
    return await look_at(resource) is not None
