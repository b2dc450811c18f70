"""Where what was found is kept from one run to the next."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
KEPT = REPOSITORY / ".matrix"
_PRODUCT = (".", ":!docs", ":!tests", ":!*.md", ":!Makefile")


@cache
def product() -> str:
    """The last commit that changed the product or the sandbox; with a + where they are changed since."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words, "--", *_PRODUCT], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return git("log", "-1", "--format=%h") + ("+" if git("status", "--porcelain") else "")


def kept(part: str) -> list[dict[str, Any]]:
    """What was found earlier of this very product; of a case that was run again, the last."""
    file = KEPT / f"{part}.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    found = {(one := json.loads(line))["id"]: one for line in lines}
    return [one for one in found.values() if one.get("commit") == product()]
