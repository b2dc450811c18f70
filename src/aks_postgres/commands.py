"""Commands of ours as they can be pasted: the program where a bare shell finds it, and the sandbox that is used."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

# Set for every process that uses a sandbox of this machine; its state folder.
SANDBOX_STATE = "AKS_POSTGRES_SANDBOX_STATE"
# Which commands take --sandbox and --state, and which say by options what environment they are about.
ABOUT_ONE = ("provision", "plan", "outputs", "kubeconfig", "tear-down", "rebuild", "doctor")
TAKE_A_SANDBOX = (*ABOUT_ONE, "list", "status", "psql", "fleet", "deployments apply", "deployments check")
_COMMAND = re.compile(r"`aks-postgres (?P<rest>[^`]+)`")


def program() -> str:
    """Return what a shell in this folder calls: a virtual environment's program isn't on every shell's path."""
    here = Path(sys.executable).parent / "aks-postgres"
    on_path = shutil.which("aks-postgres")
    is_found = not here.exists() or (on_path and Path(on_path) == here)
    return "aks-postgres" if is_found else str(here)


def pasted(*command: str) -> str:
    """A command of ours with this process's program and sandbox."""
    return f"{shlex.quote(program())} {shlex.join(_in_sandbox(command))}"


def _in_sandbox(command: Iterable[str]) -> list[str]:
    words = list(command)
    state = os.environ.get(SANDBOX_STATE)
    verb = " ".join(words[: 2 if words[:1] == ["deployments"] else 1])
    if not state or verb not in TAKE_A_SANDBOX or {"--sandbox", "--state"} & set(words):
        return words
    return [*words, "--sandbox", "--state", state]


def in_a_sandbox(*command: str) -> str:
    """A command for readers who may be elsewhere: this machine's program only with this machine's sandbox."""
    return pasted(*command) if os.environ.get(SANDBOX_STATE) else shlex.join(["aks-postgres", *command])


def as_pasted(text: str, about: Iterable[str] = ()) -> str:
    """A message with every command of ours between backticks as it can be pasted.

    Args:
        text: the message; a command in it begins with `aks-postgres`.
        about: options that say which environment this process is about, for commands that name none.
    """
    return _COMMAND.sub(_replacement(list(about)), text)


def _replacement(about: list[str]) -> Callable[[re.Match[str]], str]:
    def replaced(match: re.Match[str]) -> str:
        try:
            words = shlex.split(match["rest"])
        except ValueError:  # quotes that nobody closes
            return match[0]
        if words[0] in ABOUT_ONE and not {"--name", "--spec", "--plan"} & set(words):
            words += about
        return f"`{pasted(*words)}`"

    return replaced
