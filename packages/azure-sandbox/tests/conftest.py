"""What the sandbox's own tests share."""

import os
from pathlib import Path
from typing import Any

# No real PostgreSQL, whatever is installed, but for those that ask for it.
os.environ["AZURE_SANDBOX_POSTGRES"] = "off"

REPOSITORY = Path(__file__).parents[3]


def body_with(path: str, value: Any) -> dict[str, Any]:
    """A body that has one value, at a dotted path."""
    body: dict[str, Any] = {}
    inner = body
    *above, name = path.split(".")
    for step in above:
        inner = inner.setdefault(step, {})
    inner[name] = value
    return body
