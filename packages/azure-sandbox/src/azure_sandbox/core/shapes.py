"""The shape that a request's body must have, written as the shape itself.

A shape is a type (`str`), a dictionary of names to shapes (`"*"` stands for any name), or a list with the one
shape of its items. What is absent or null fits; what isn't named may be anything.
"""

from typing import Any


def misfit(value: Any, shape: Any, at: str = "") -> str | None:
    """Where a value doesn't have the shape, in words; None when it does."""
    if value is None:
        return None
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"'{at}' must be an object"
        for name, wanted in shape.items():
            members = value if name == "*" else {name: value.get(name)}
            for member, item in members.items():
                found = misfit(item, wanted, f"{at}.{member}" if at else member)
                if found:
                    return found
        return None
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"'{at}' must be an array"
        for position, item in enumerate(value):
            where = f"{at}[{position}]"
            found = f"'{where}' can't be null" if item is None else misfit(item, shape[0], where)
            if found:
                return found
        return None
    if isinstance(value, bool) and shape is not bool:
        return f"'{at}' can't be a boolean"
    return None if isinstance(value, shape) else f"'{at}' must be {_WORDS.get(shape, shape)}"


_WORDS = {str: "a string", int: "a number", float: "a number", bool: "a boolean"}
