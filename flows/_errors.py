"""What ends a flow."""

from __future__ import annotations

from aks_postgres.errors import PermanentError, ProvisioningError


class RebuildRefused(PermanentError):
    """A rebuild that can't begin, or wasn't approved; nothing was written."""


class RebuildFailed(ProvisioningError):
    """A rebuild that stopped half-way; says why, what became of both generations, and how to go on."""


class NotThere(PermanentError):
    """There is no such environment; says which there are."""
