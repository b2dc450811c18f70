"""YAML and JSON as people type them: versions stay text, and no key comes twice."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from aks_postgres.exit_codes import CommandFailed, ExitCode

_STAYS_TEXT = ("tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")


class _Loader(yaml.SafeLoader):
    """Text, whole numbers, true, false and null: YAML's decimals would make 1.3 of the version 1.30."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse what YAML allows and nobody means: the same key twice."""
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _STAYS_TEXT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _WithDecimals(_Loader):
    """Decimals are numbers too, as in a rate of 0.1."""

    yaml_implicit_resolvers = yaml.SafeLoader.yaml_implicit_resolvers


def parse_yaml(text: str, *, decimals: bool = False) -> Any:
    """What a YAML (and so JSON) text says; decimals stay text unless they are wanted as numbers.

    Raises:
        ValueError: it is no YAML, or names a key twice; says where.
    """
    try:
        return yaml.load(text, _WithDecimals if decimals else _Loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def read_yaml(file: Path, *, decimals: bool = False) -> Any:
    """What a YAML or JSON file says; `-` is standard input, an empty file an empty mapping.

    Args:
        file: its path.
        decimals: whether decimals are numbers; they stay text otherwise, as versions do.

    Raises:
        CommandFailed: it can't be read; says where it stops making sense.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        found = parse_yaml(text, decimals=decimals)
    except OSError as error:
        raise CommandFailed(f"{file} can't be read: {error.strerror}", ExitCode.BAD_INPUT) from None
    except ValueError as error:
        raise CommandFailed(f"{file} isn't valid YAML or JSON: {error}", ExitCode.BAD_INPUT) from None
    return {} if found is None else found
