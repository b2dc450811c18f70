"""What permissions allow, as ARM lists them: of a caller at a scope, or of a role.

https://learn.microsoft.com/azure/role-based-access-control/role-definitions
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from aks_postgres.arm.responses import Json


def covers(patterns: Sequence[str], action: str) -> bool:
    """Return whether one of these patterns is about an action."""
    return any(fnmatch.fnmatchcase(action.casefold(), pattern.casefold()) for pattern in patterns)


def granting(action: str, permissions: Sequence[Json]) -> list[Json]:
    """The permissions that grant an action; `notActions` takes away within one role only."""
    return [
        granted
        for granted in permissions
        if covers(granted.get("actions") or [], action)
        and not covers(granted.get("notActions") or [], action)
    ]
