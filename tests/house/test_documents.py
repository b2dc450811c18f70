"""Tables in the documents are those of the code."""

import re
from pathlib import Path

from tasks._requirements import ACTIONS, PROVIDERS

DOCS = Path(__file__).parents[2] / "docs"


def test_every_action_and_its_step_stand_in_the_permissions_document() -> None:
    text = (DOCS / "permissions.md").read_text()
    assert dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", text, re.M)) == ACTIONS
    assert all(f"`{provider}`" in text for provider in PROVIDERS)
