"""What the sandbox's own tests share."""

from pathlib import Path
from typing import Any

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
