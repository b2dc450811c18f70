"""The one way that YAML is read: no tags that make objects, and limits on size, depth and what aliases unfold to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

# The operator's manifest has 40,000 nodes and is 22 deep.
MOST_NODES = 500_000
DEEPEST = 100
LARGEST_BYTES = 32 * 1024 * 1024

_STAYS_TEXT = ("tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")
# In C where it was built: the operator's manifest takes the other one seconds, in which nothing else is done.
_QUICK: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NotYaml(ValueError):
    """A text that isn't YAML, or more of it than is read; one line, which says where."""


class _Typed(yaml.SafeLoader):
    """As people type it. No key comes twice; decimals and dates stay text, or 1.30 would be the version 1.3."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse what YAML allows and nobody means: the same key twice."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value!r} is there twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_Typed.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _STAYS_TEXT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _TypedWithDecimals(_Typed):
    """Decimals are numbers too, as in a rate of 0.1."""

    yaml_implicit_resolvers = yaml.SafeLoader.yaml_implicit_resolvers


def typed_yaml(text: str | bytes, *, decimals: bool = False, largest_bytes: int = LARGEST_BYTES) -> Any:
    """Return what a YAML (and so JSON) text that a person typed says; decimals stay text unless wanted as numbers.

    Raises:
        NotYaml: it is none, or too much of it, or names a key twice; says where.
    """
    found = _documents(text, _TypedWithDecimals if decimals else _Typed, largest_bytes)
    if len(found) > 1:
        raise NotYaml(f"it holds {len(found)} documents, and one is expected")
    return found[0] if found else None


def yaml_documents(text: str | bytes, *, largest_bytes: int = LARGEST_BYTES) -> list[Any]:
    """The documents of a YAML text that a program wrote, as Kubernetes and Helm take it.

    Raises:
        NotYaml: it is none, or too much of it; says where.
    """
    return _documents(text, _QUICK, largest_bytes)


def _documents(text: str | bytes, loader: Any, largest_bytes: int) -> list[Any]:
    if len(text) > largest_bytes:
        raise NotYaml(f"it has more than {largest_bytes} bytes, which is the most that is read")
    try:
        _measure(yaml.parse(text, Loader=_QUICK))
        return list(yaml.load_all(text, Loader=loader))
    except NotYaml:
        raise
    # Numbers of thousands of digits, dates that there aren't, keys that are lists.
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise NotYaml(" ".join(_in_words(error).split())) from None


def _in_words(error: Exception) -> str:
    """What is wrong and in which line, without the parser's own name for the text."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return where + ", ".join(filter(None, (error.context, error.problem)))
    if isinstance(error, yaml.reader.ReaderError):
        sign = error.character if isinstance(error.character, int) else ord(error.character)
        return f"character {error.position + 1}: {error.reason} (#x{sign:04x})"
    return str(error)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _measure(events: Iterator[yaml.Event]) -> None:
    """See how deep it is and how much its aliases unfold to, before anything is made of it.

    Raises:
        NotYaml: too much.
    """
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and the nodes before it
    nodes = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise NotYaml(f"line {_line(event)}: *{event.anchor} stands inside of itself, or for nothing")
            nodes += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, nodes))
            nodes += 1
            if len(open_nodes) > DEEPEST:
                raise NotYaml(f"line {_line(event)}: it is more than {DEEPEST} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = nodes - before
        elif isinstance(event, yaml.DocumentStartEvent):
            sizes.clear()
        if nodes > MOST_NODES:
            raise NotYaml(f"line {_line(event)}: it unfolds to more than {MOST_NODES} values")
