"""Tests that a page of the docs names."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_NAMED = re.compile(r"`((?:packages/azure-sandbox/)?tests/[\w/]+\.py(?:::\w+)*)`")


def named_in(text: str) -> list[str]:
    """The tests that a text names: a file, or a function in it, perhaps of a class."""
    return sorted(set(_NAMED.findall(text)))


def is_there(named: str) -> bool:
    """Whether there is such a test."""
    file, *inside = named.split("::")
    text = (REPOSITORY / file).read_text()
    test = rf"{inside[-1]}\(" if inside else "test_"
    classes = all(f"class {name}:" in text for name in inside[:-1])
    return classes and re.search(rf"(?m)^ *(?:async )?def {test}", text) is not None
