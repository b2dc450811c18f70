"""What is in a resource group, as ARM lists it."""

from __future__ import annotations

from azure.core.exceptions import HttpResponseError

from aks_postgres.arm.client import Azure
from aks_postgres.arm.responses import Json, wire_items
from aks_postgres.arm.retry import read, read_list


async def contents_of(azure: Azure, group: str) -> list[Json]:
    """The resources with ID, type, name and tags; of a group that isn't there, none."""
    operations = azure.resources.resources

    async def listing() -> list[Json]:
        try:
            return await wire_items(operations.list_by_resource_group(group))
        except HttpResponseError as error:
            # A page that is gone, or a proxy's own 404, doesn't make it empty.
            if error.status_code == 404 and await _is_gone(azure, group):
                return []
            raise

    return await read_list(f"resources in {group}", listing)


async def _is_gone(azure: Azure, group: str) -> bool:
    return await read(f"resource group {group}", azure.resources.resource_groups.get, group) is None
