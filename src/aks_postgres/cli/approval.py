"""Asking before something is done: the plan is shown on a terminal, and a person types yes."""

from __future__ import annotations

import sys

from aks_postgres.exit_codes import CommandFailed, ExitCode


def require_person(what: str) -> None:
    """See that somebody can be asked.

    Raises:
        CommandFailed: standard input or error is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise CommandFailed(
            f"{what} asks before it does anything, and this is no terminal. Add --yes to go on without asking; "
            "nothing was written.",
            ExitCode.BAD_INPUT,
        )


def ask(question: str) -> None:
    """Ask, and end the command unless the answer is yes.

    Raises:
        CommandFailed: anything else was typed.
    """
    print(f"{question} Only yes goes on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().casefold() != "yes":
        raise CommandFailed("not approved; nothing was written.")
