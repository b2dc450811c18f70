"""Rows as columns of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aks_postgres.foreign_text import in_line


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns as wide as they must be, without blanks at the end."""
    lines = [header, *([*map(in_line, row)] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(header))]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def without_blanks(
    header: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The table without columns that no row fills."""
    kept = [index for index in range(len(header)) if any(row[index] for row in rows)]
    return [header[index] for index in kept], [[row[index] for index in kept] for row in rows]
