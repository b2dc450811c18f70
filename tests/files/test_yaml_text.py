"""YAML that is made to cost: nothing is built of it, and each is one line."""

from collections.abc import Callable
from typing import Any

import pytest

from aks_postgres.files import yaml_text
from aks_postgres.files.yaml_text import DEEPEST, NotYaml, typed_yaml, yaml_documents

MOST_NODES = 5000

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MERGED = "a0: &a0 {k: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], k{n}: 1}}\n" for n in range(1, 12)
)
COSTLY = {
    "aliases of aliases": (BOMB, "unfolds to more than"),
    "merge keys of merge keys": (MERGED, "unfolds to more than"),
    "a node that holds itself": ("a: &a [*a]", "inside of itself"),
    "an alias of nothing": ("a: *b", "or for nothing"),
    "lists in lists": ("[" * 900, f"more than {DEEPEST} levels"),
    "very many lists in lists": ("[" * 200_000, "maximum nesting depth"),
    "mappings in mappings": ("{a: " * 900, f"more than {DEEPEST} levels"),
    "dashes": ("- " * 900 + "a", f"more than {DEEPEST} levels"),
    "many values": ("[" + "1," * (MOST_NODES + 1) + "]", "unfolds to more than"),
    "many documents": ("--- 1\n" * (MOST_NODES + 1), "unfolds to more than"),
    "a number of many digits": (f"a: {'9' * 5000}", "4300 digits"),
    "a date that there isn't": ("a: 2026-99-99", "month must be in"),
    "a tag that makes objects": ("!!python/object/apply:os.getcwd []", "could not determine a constructor"),
    "a key that is a list": ("? [a]\n: 1", "unhashable"),
    "a tab": ("a:\n\t- b", "cannot start any token"),
    "a control character": ("a: \x07", "not allowed"),
    "bytes that are no text": (b"a: \xff\xfe\xfa", "UTF-8"),
}
READERS: dict[str, Callable[[Any], Any]] = {
    "typed": typed_yaml,
    "typed, with decimals": lambda text: typed_yaml(text, decimals=True),
    "written by a program": yaml_documents,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("what", COSTLY)
def test_what_is_made_to_cost_is_one_line(what: str, reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, words = COSTLY[what]
    if what == "a date that there isn't" and reader == "typed":
        assert READERS[reader](text) == {"a": "2026-99-99"}
        return
    monkeypatch.setattr(yaml_text, "MOST_NODES", MOST_NODES)
    with pytest.raises(NotYaml) as refused:
        READERS[reader](text)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    assert "string>" not in str(refused.value)  # the parser's name for a text, which says a person nothing


@pytest.mark.parametrize("reader", READERS)
def test_what_is_larger_than_allowed_isnt_looked_at(reader: str) -> None:
    calls: dict[str, Callable[[str], Any]] = {
        "typed": lambda text: typed_yaml(text, largest_bytes=10),
        "typed, with decimals": lambda text: typed_yaml(text, decimals=True, largest_bytes=10),
        "written by a program": lambda text: yaml_documents(text, largest_bytes=10),
    }
    with pytest.raises(NotYaml, match="more than 10 bytes"):
        calls[reader]("{" * 11)


def test_anchors_as_people_use_them_are_read() -> None:
    text = "a: &pool {size: 3}\nb: *pool\nc: {<<: *pool, zone: 1}\nd: &d 7\ne: *d\n"
    found = {"a": {"size": 3}, "b": {"size": 3}, "c": {"size": 3, "zone": 1}, "d": 7, "e": 7}
    assert typed_yaml(text) == found
    assert yaml_documents(text) == [found]


def test_typed_versions_stay_text_and_one_document_is_expected() -> None:
    assert typed_yaml("v: 1.30\nd: 2026-01-01") == {"v": "1.30", "d": "2026-01-01"}
    assert typed_yaml("r: 0.1", decimals=True) == {"r": 0.1}
    assert typed_yaml("") is None
    with pytest.raises(NotYaml, match="2 documents"):
        typed_yaml("a: 1\n---\nb: 2\n")
    with pytest.raises(NotYaml, match="'a' is there twice"):
        typed_yaml("a: 1\na: 2\n")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb:\n  c: x\n   d: y\n", "line 4, column 5: mapping values are not allowed"),
        ("a: [1, 2\nb: 3", "line 2, column 2: while parsing a flow sequence, "),
        ("a:\n\t- b", "line 2, column 1: while scanning for the next token, "),
        ("a: \x07", "character 4: control characters"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line_first(text: str, told: str, reader: str) -> None:
    with pytest.raises(NotYaml) as refused:
        READERS[reader](text)
    assert str(refused.value).startswith(told)
