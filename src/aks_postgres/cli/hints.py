"""Commands that are printed to be copied, about the environment that this process is about."""

from __future__ import annotations

from aks_postgres.commands import as_pasted, pasted

_where: list[str] = []


def is_about(*options: str) -> None:
    """Let every later hint say which environment it is about, in the words that the person gave."""
    _where[:] = options


def pasted_here(verb: str, *options: str) -> str:
    """A command about the environment that this one is about, in the same sandbox."""
    return pasted(verb, *_where, *options)


def with_commands(text: str) -> str:
    """A message whose commands of ours can be pasted as they stand."""
    return as_pasted(text, _where)
