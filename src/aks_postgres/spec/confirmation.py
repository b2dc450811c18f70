"""The words that a person has to type before anything is deleted, judged without asking Azure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import MOST_GENERATIONS, Names, environment_key


class Problem(NamedTuple):
    """What is wrong with a typed word, and what to do about it."""

    text: str
    way_out: str


def confirm_problem(key: str, confirm: str) -> Problem | None:
    """Return what is wrong with the environment's name and region, typed."""
    if confirm == key:
        return None
    return Problem(
        f"confirm: {confirm!r} was given.",
        f"Type {key}, the environment's name and region, to say that this one goes.",
    )


def discard_data_problem(key: str, discard_data: str | None) -> Problem | None:
    """Return what is wrong with the word that lets data without a backup go."""
    if discard_data is None or discard_data == key:
        return None
    return Problem(
        f"discard_data: {discard_data!r} was given.",
        f"Type {key} to let data without a backup go, or leave it out.",
    )


def delete_backups_problem(delete_backups: str, accounts: str) -> Problem:
    """Return what is said of a word that isn't the name of the account with the backups."""
    return Problem(
        f"delete_backups: {delete_backups!r} was given, and this environment's backups are in the storage account "
        f"{accounts}.",
        "Type that name to delete them with every backup in it, or leave delete_backups out to keep them.",
    )


def word_problems(
    spec: EnvironmentSpec, confirm: str, delete_backups: str | None = None, discard_data: str | None = None
) -> list[str]:
    """Everything wrong with the typed words that can be known before Azure is asked.

    Args:
        spec: the environment.
        confirm: its name and region, typed.
        delete_backups: the storage account's name, typed; whether there is one of a right name, Azure knows.
        discard_data: name and region once more.
    """
    key = environment_key(spec)
    found = [confirm_problem(key, confirm), discard_data_problem(key, discard_data)]
    subscription_id = spec.subscription_id or os.environ.get("AZURE_SUBSCRIPTION_ID")
    if delete_backups is not None and (spec.suffix or subscription_id):
        # In a group of their own the backups' account is the same for all generations.
        every = 1 if spec.storage.backups == "own_group" else MOST_GENERATIONS
        names = (
            Names.of(spec, subscription_id or "", number).storage_account for number in range(1, every + 1)
        )
        if delete_backups not in names:
            first = Names.of(spec, subscription_id or "", 1).storage_account
            accounts = first if every == 1 else f"of one of its generations, such as {first}"
            found.insert(1, delete_backups_problem(delete_backups, accounts))
    return [f"{problem.text} {problem.way_out}" for problem in found if problem]


def refusal(what: str, spec: EnvironmentSpec, problems: Sequence[str]) -> str:
    """The message of a run that ends before it begins.

    Args:
        what: tear-down or rebuild.
        spec: the environment.
        problems: with the typed words.
    """
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = "\n".join(f"  - {problem}" for problem in problems)
    return (
        f"{what} of {environment_key(spec)} is refused for {count}; nothing was deleted or written:\n{lines}"
    )
