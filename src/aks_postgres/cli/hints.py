"""Commands that are printed to be copied: they can be pasted as they stand."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

_where: list[str] = []


def is_about(*options: str) -> None:
    """Let every later hint say which environment it is about, in the words that the person gave."""
    _where[:] = options


def pasted(*command: str) -> str:
    """A command of ours, for any shell in this folder: a virtual environment's isn't on the path."""
    program = Path(sys.executable).parent / "aks-postgres"
    on_path = shutil.which("aks-postgres")
    is_found = not program.exists() or (on_path and Path(on_path) == program)
    return shlex.join(["aks-postgres" if is_found else str(program), *command])


def pasted_here(verb: str, *options: str) -> str:
    """A command about the environment that this one is about, in the same sandbox."""
    return pasted(verb, *_where, *options)
