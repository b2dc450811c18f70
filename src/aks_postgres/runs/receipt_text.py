"""The receipt of a tear-down, for people."""

from __future__ import annotations

from collections.abc import Sequence

from aks_postgres.foreign_text import in_markdown
from aks_postgres.reports.receipt import Receipt, Removal


def receipt_text(receipt: Receipt) -> str:
    """The receipt as Markdown."""
    generations = ", ".join(map(str, receipt.generations)) or "none there"
    parts = [
        f"# Tear-down of {in_markdown(receipt.environment)}",
        f"Subscription **{in_markdown(receipt.subscription)}**. Generations: {generations}. "
        f"{in_markdown(receipt.headline)}.",
    ]
    if receipt.failures:
        parts += [
            "## Not finished",
            "\n".join(f"- {in_markdown(failure)}" for failure in receipt.failures),
            "Run it again: it goes on from here.",
        ]
    for title, items in (
        ("Deleted, and read as gone", receipt.deleted),
        ("Soft-deleted", receipt.soft_deleted),
        ("Kept", receipt.kept),
        ("Not found", receipt.not_found),
    ):
        if items:
            parts += [f"## {title}", _table(items)]
    return "\n\n".join(parts)


def _table(items: Sequence[Removal]) -> str:
    rows = [("What", "Name", "Note")]
    for item in items:
        purged = f"purged by {item.purged_by.isoformat()}" if item.purged_by else ""
        rows.append((item.what, item.name, "; ".join(filter(None, [purged, item.reason]))))
    wide = 3 if any(note for _, _, note in rows[1:]) else 2
    lines = ["| " + " | ".join(map(in_markdown, row[:wide])) + " |" for row in rows]
    return "\n".join([lines[0], "| --- " * wide + "|", *lines[1:]])
