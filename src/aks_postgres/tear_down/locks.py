"""Management locks: a tear-down refuses because of them and never removes one.

https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aks_postgres.arm.responses import Json
from aks_postgres.errors import Finding

_LOCKS = "/providers/microsoft.authorization/locks/"


def lock_scope(lock: Json) -> str:
    """The resource, group or subscription that a lock is on."""
    lock_id = str(lock["id"])
    return lock_id[: lock_id.casefold().rindex(_LOCKS)]


def judge_locks(locks: Sequence[Json], doomed: Iterable[str], written: Iterable[str]) -> list[Finding]:
    """Return what stands against deleting some resource groups and writing to others.

    Args:
        locks: the subscription's locks.
        doomed: IDs of the groups that go with everything in them.
        written: IDs of the groups that stay and whose tags are written; only a read-only lock is in the way.
    """
    going, staying = set(map(str.casefold, doomed)), set(map(str.casefold, written))
    problems = []
    for lock in locks:
        scope, level = lock_scope(lock), str((lock.get("properties") or {}).get("level", ""))
        folded = scope.casefold()
        if any(_covers(folded, group) or _covers(group, folded) for group in going) or (
            level == "ReadOnly" and any(_covers(folded, group) for group in staying)
        ):
            problems.append(
                Finding(
                    f"lock {str(lock['id']).rsplit('/', 1)[-1]} ({level}) on {scope} forbids it.",
                    "Locks are never removed here: ask whoever set it, then run again.",
                )
            )
    return problems


def _covers(scope: str, target: str) -> bool:
    return target == scope or target.startswith(f"{scope}/")
