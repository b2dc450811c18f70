"""What a tear-down finds before it begins, and what it leaves behind: data only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Literal

from aks_postgres.reports.outputs import Outputs, Target


class Removal(Outputs):
    """What became of one resource.

    `reason` says why it was kept; `purged_by` is the day by which Azure forgets a soft-deleted one.
    """

    what: str
    name: str
    id: str
    outcome: Literal["deleted", "soft-deleted", "kept", "not found"]
    reason: str = ""
    purged_by: date | None = None

    def __str__(self) -> str:
        return f"{self.what} {self.name} {self.outcome}"


class Removals(Outputs):
    """What one step did to its resources."""

    items: tuple[Removal, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.items)) or "nothing to delete"


class BackupAccount(Outputs):
    """A storage account with backups, and the resource group that it is in."""

    name: str
    id: str
    group: str
    group_id: str
    wanted: bool
    """Whether it was asked for in words that it goes too."""
    apart: bool
    """Whether its group is its own."""
    is_there: bool
    """Whether its group is there."""


class Inventory(Outputs):
    """What there is of an environment, and that nothing stands against its tear-down."""

    subscription: str
    targets: tuple[Target, ...]
    backup_accounts: tuple[BackupAccount, ...]
    soft_deleted: tuple[Removal, ...]
    unfinished: tuple[Target, ...] = ()
    """Those whose cluster was still being created at its deadline, so that nobody could look into it."""


class Receipt(Outputs):
    """What a tear-down deleted, kept, and didn't find; each verified by reading it."""

    environment: str
    subscription: str
    generations: tuple[int, ...]
    deleted: tuple[Removal, ...]
    soft_deleted: tuple[Removal, ...]
    kept: tuple[Removal, ...]
    not_found: tuple[Removal, ...]
    failures: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, environment: str, inventory: Inventory, removals: Iterable[Removal], failures: Iterable[str] = ()
    ) -> Receipt:
        """Sort what became of everything; a resource that several steps speak of counts once."""
        items = list({item.id.casefold(): item for item in (*inventory.soft_deleted, *removals)}.values())

        def those(outcome: str) -> tuple[Removal, ...]:
            return tuple(item for item in items if item.outcome == outcome)

        return cls(
            environment=environment,
            subscription=inventory.subscription,
            generations=tuple(target.generation for target in inventory.targets),
            deleted=those("deleted"),
            soft_deleted=those("soft-deleted"),
            kept=those("kept"),
            not_found=those("not found"),
            failures=tuple(failures),
        )

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to delete."""
        return not self.deleted and not self.failures and all(item.reason for item in self.soft_deleted)

    @property
    def headline(self) -> str:
        """The receipt in one line."""
        if self.is_empty:
            kept = f"; kept: {', '.join(str_of(item) for item in self.kept)}" if self.kept else ""
            return f"{self.environment}: nothing left to delete{kept}"
        counts = Counter(
            {
                "deleted": len(self.deleted),
                "soft-deleted": len(self.soft_deleted),
                "kept": len(self.kept),
                "not found": len(self.not_found),
                "failed": len(self.failures),
            }
        )
        return f"{self.environment}: " + ", ".join(
            f"{count} {what}" for what, count in counts.items() if count
        )


def str_of(item: Removal) -> str:
    """Return what and name of a resource."""
    return f"{item.what} {item.name}"
