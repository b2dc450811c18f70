"""Tables in the documents are those of the code."""

import re
from pathlib import Path

from aks_postgres.preflight.permissions import (
    ACTIONS,
    DELETE_BACKUPS_ACTION,
    POLICY_ACTIONS,
    PROVIDERS,
    TEAR_DOWN_ACTIONS,
)

from .permissions import PAGE, written

DOCS = Path(__file__).parents[2] / "docs"


def rows(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", text, re.M))


def test_the_tables_of_permissions_are_written_from_the_kinds_of_resources() -> None:
    """If it fails: python -m tests.repository.permissions."""
    assert PAGE.read_text() == written(PAGE.read_text())


def test_every_action_and_its_step_stand_in_the_permissions_document() -> None:
    provision, _, tear_down = (DOCS / "permissions.md").read_text().partition("## Tear-down")
    assert rows(provision) == ACTIONS
    assert all(f"`{provider}`" in provision for provider in PROVIDERS)
    assert all(f"`{action}`" in provision for action in POLICY_ACTIONS)
    assert rows(tear_down) == TEAR_DOWN_ACTIONS
    assert f"`{DELETE_BACKUPS_ACTION}`" in tear_down
