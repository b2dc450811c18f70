"""Where what was found is kept from one run to the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
KEPT = REPOSITORY / ".matrix"


def kept(part: str) -> list[dict[str, Any]]:
    """What was found earlier; of a case that was run again, the last."""
    file = KEPT / f"{part}.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return list({(one := json.loads(line))["id"]: one for line in lines}.values())
