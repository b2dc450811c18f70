"""Deleted Log Analytics workspaces: Azure keeps them for two weeks, and nobody can shorten that safely.

They aren't purged (`force=true` on the delete) although Azure allows it: the names of purged ones were found blocked
all the same (https://github.com/MicrosoftDocs/azure-docs/issues/50027, .../45123), logs of a wrong tear-down would be
lost, and a soft-deleted one reminds the next run of the generation that it had.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aks_postgres.arm.client import Azure
from aks_postgres.arm.responses import Json, wire_items
from aks_postgres.arm.retry import read_list
from aks_postgres.reports.receipt import Removal

# https://learn.microsoft.com/azure/azure-monitor/logs/delete-workspace
_KEPT = timedelta(days=14)


async def deleted_workspaces(azure: Azure) -> list[Json]:
    """The subscription's soft-deleted workspaces."""
    operations = azure.log_analytics.deleted_workspaces
    return await read_list("deleted Log Analytics workspaces", lambda: wire_items(operations.list()))


def soft_deleted(resource_id: str, reason: str = "") -> Removal:
    """A workspace that Azure still keeps; of one deleted earlier the day is the latest possible."""
    return Removal(
        what="Log Analytics workspace",
        name=resource_id.rsplit("/", 1)[-1],
        id=resource_id,
        outcome="soft-deleted",
        reason=reason,
        purged_by=(datetime.now(UTC) + _KEPT).date(),
    )
