"""What ends a run, or a step of it, whatever it works on."""

from __future__ import annotations

from aks_postgres.errors import PermanentError, TemporaryError


class NotUnderstood(TemporaryError):
    """Something that was answered isn't what its documentation says, deep inside."""


class PlanMoved(PermanentError):
    """Something else would be done than what was planned; nothing was written."""


class EnvironmentBusy(PermanentError):
    """Another run is writing to the environment; says which, where, and since when."""
