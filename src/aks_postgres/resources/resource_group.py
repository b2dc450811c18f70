"""Resource groups.

https://learn.microsoft.com/rest/api/resources/resource-groups
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aks_postgres.arm.kind import Kind
from aks_postgres.arm.responses import Json


def _name(resource_id: str) -> tuple[str, ...]:
    return (resource_id.rpartition("/")[2],)


KIND = Kind(
    "Microsoft.Resources/resourceGroups",
    "resource group",
    "Subscription",
    lambda azure: azure.resources.resource_groups,
    update="update",
    delete="begin_delete",
    key=_name,
    delete_s=60,
    delete_deadline_s=3600,
    way_out="Choose another name or suffix, or the group's region.",
    is_foundation=True,
    reads="preflight, resource groups",
    step="resource groups",
    removal="resource group",
    permission="Microsoft.Resources/subscriptions/resourceGroups",
)
# Of groups that Azure makes and takes away itself, with what they are for.
AZURES_OWN = replace(KIND, delete_s=2, delete_deadline_s=600)


def desired(region: str, tags: Mapping[str, str]) -> Json:
    """Return what a group shall be: where it is, and what is written on it."""
    return {"location": region, "tags": dict(tags)}
