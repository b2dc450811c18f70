"""Ends a run whose typed words are wrong, before it connects to anything."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, StateType

from aks_postgres.spec.confirmation import refusal, word_problems
from aks_postgres.spec.environment import EnvironmentSpec


def not_confirmed(
    what: str,
    spec: EnvironmentSpec,
    confirm: str,
    delete_backups: str | None = None,
    discard_data: str | None = None,
) -> State[Any] | None:
    """The state that a run with wrong words ends in; None if they are right as far as can be known without Azure.

    It is of the type Cancelled: the run did nothing, and a typing error is nothing to wake anybody for, so the
    automation about failed runs doesn't act on it.

    Args:
        what: tear-down or rebuild.
        spec: the environment.
        confirm: its name and region, typed.
        delete_backups: the storage account's name, typed.
        discard_data: name and region once more.
    """
    problems = word_problems(spec, confirm, delete_backups, discard_data)
    if not problems:
        return None
    return State(type=StateType.CANCELLED, name="NotConfirmed", message=refusal(what, spec, problems))
