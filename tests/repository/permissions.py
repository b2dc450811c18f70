"""`python -m tests.repository.permissions` writes the tables of docs/permissions.md from the kinds of resources."""

import re
from collections.abc import Mapping
from pathlib import Path

from aks_postgres.preflight.permissions import ACTIONS, PROVIDERS, TEAR_DOWN_ACTIONS

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"
_PROVIDERS = re.compile(r"(?<=registered by the run where they aren't: )[^.]*\.[^\n]*(?=\.\n)")


def table(page: str, header: str, rows: Mapping[str, str]) -> str:
    """The page with these rows below that header."""
    lines = "".join(f"| `{action}` | {why} |\n" for action, why in rows.items())
    before, head, after = page.partition(f"{header}\n| --- | --- |\n")
    assert head, header
    return before + head + lines + re.sub(r"\A(\|[^\n]*\n)*", "", after)


def written(page: str) -> str:
    """The page as it should be."""
    page = table(page, "| action | step that needs it |", ACTIONS)
    page = table(page, "| action | what for |", TEAR_DOWN_ACTIONS)
    return _PROVIDERS.sub(", ".join(f"`{name}`" for name in PROVIDERS), page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
