"""What is in a resource group, as ARM lists it."""

from __future__ import annotations

from azure.core.exceptions import HttpResponseError

from aks_postgres.arm.client import cloud
from aks_postgres.arm.responses import Json, wire_items
from aks_postgres.arm.retry import read_list


async def contents_of(group: str) -> list[Json]:
    """The resources with ID, type, name and tags; of a group that isn't there, none."""
    operations = cloud().resources.resources

    async def listing() -> list[Json]:
        try:
            return await wire_items(operations.list_by_resource_group(group))
        except HttpResponseError as error:
            if error.status_code == 404:
                return []
            raise

    return await read_list(f"resources in {group}", listing)
