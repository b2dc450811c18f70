"""YAML and JSON as people type them: versions stay text, and no key comes twice."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.files.given_files import FileRefused, read_given
from aks_postgres.files.yaml_text import NotYaml, typed_yaml

# A spec has some kilobytes, a regions file of a hundred environments some hundred.
LARGEST_BYTES = 4 * 1024 * 1024


def parse_yaml(text: str, *, decimals: bool = False) -> Any:
    """Return what a YAML (and so JSON) text says; decimals stay text unless they are wanted as numbers.

    Raises:
        ValueError: it is no YAML, too much of it, or names a key twice; says where.
    """
    return typed_yaml(text, decimals=decimals, largest_bytes=LARGEST_BYTES)


def read_yaml(file: Path, *, field: str = "the file", decimals: bool = False) -> Any:
    """Return what a YAML or JSON file says; `-` is standard input, an empty file an empty mapping.

    Args:
        file: its path.
        field: what the person gave it as, for messages.
        decimals: whether decimals are numbers; they stay text otherwise, as versions do.

    Raises:
        CommandFailed: it can't be read; says where it stops making sense.
    """
    try:
        text = (
            sys.stdin.read(LARGEST_BYTES + 1)
            if str(file) == "-"
            else read_given(file, LARGEST_BYTES).decode("utf-8")
        )
        found = parse_yaml(text, decimals=decimals)
    except FileRefused as refused:
        raise CommandFailed(f"{field}: {refused} (- reads standard input)", ExitCode.BAD_INPUT) from None
    except OSError as error:
        raise CommandFailed(f"{field}: {file} can't be read: {error.strerror}", ExitCode.BAD_INPUT) from None
    except (NotYaml, UnicodeDecodeError) as error:
        raise CommandFailed(
            f"{field}: {file} isn't valid YAML or JSON: {error}", ExitCode.BAD_INPUT
        ) from None
    return {} if found is None else found
