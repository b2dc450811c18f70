"""What Azure, a cluster's API and this machine answer with, once waiting and trying again are over."""

from __future__ import annotations

from aks_postgres.errors import PermanentError, ProvisioningError, TemporaryError


class ClusterBusy(TemporaryError):
    """AKS refused a write because of another operation, for as long as we were willing to wait."""


class AzureUnavailable(TemporaryError):
    """Azure didn't answer, or only with 429 and 5xx, for as long as we were willing to wait."""


class NotEffectiveYet(TemporaryError):
    """What we made earlier isn't in effect yet."""


class AzureRefused(PermanentError):
    """Azure refused a request or failed an operation for good. `code` is Azure's."""

    def __init__(self, message: str, code: str, *, way_out: str) -> None:
        super().__init__(message, way_out=way_out)
        self.code = code


class NotOurs(PermanentError):
    """A resource has our name but not our tags."""


class LastingState(PermanentError):
    """What is there is in a state that doesn't pass by itself, and that no write of ours ends."""

    def __init__(self, label: str, state: str, way_out: str) -> None:
        self.label = label
        super().__init__(f"{label} {state}.", way_out=way_out)


class CredentialsRefused(PermanentError):
    """No usable credential; says which source was tried."""


class WrongSetting(PermanentError):
    """An environment variable of this machine holds what can't be used; names it."""


class WouldWrite(PermanentError):
    """A read-only run would have had to write; what catches it says more."""

    def __init__(self, message: str) -> None:
        ProvisioningError.__init__(self, message)
        self.way_out = "Run provision, or give the spec that the environment was provisioned with."


class OperationNotDone(ProvisioningError):
    """An operation of ours still runs at its deadline. It goes on; run again to go on waiting."""
