"""JSON as strangers send it: what can't be taken is a ValueError, whatever is wrong with it."""

import json
import math
from typing import Any

DEEPEST = 100
"""How deep a body may be nested. No body of Azure's comes near; what ARM allows isn't known."""


def read_json(raw: bytes) -> Any:
    """What a text says.

    Raises:
        ValueError: it is no JSON, nested too deeply, or holds a number that JSON doesn't have (NaN, 1e999).
    """
    # A cheap look first: deep nesting needs many brackets.
    if raw.count(b"[") + raw.count(b"{") > DEEPEST and _depth(raw) > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    return json.loads(raw, parse_constant=_refuse, parse_float=_finite)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large a number")
    return value


def _depth(raw: bytes) -> int:
    """How deep the brackets outside of strings go."""
    depth = deepest = 0
    in_string = escaped = False
    for byte in raw:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:  # A backslash.
                escaped = True
            elif byte == 0x22:  # A quotation mark.
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest
