"""The tree of what can go wrong; each error stands beside what raises it.

ProvisioningError
├── TemporaryError            another attempt may work; Prefect retries the step
│   ├── ClusterBusy           arm: AKS kept answering "another operation is in progress" for the whole budget
│   ├── AzureUnavailable      arm: throttled, 5xx or unreachable for the whole budget
│   ├── NotEffectiveYet       arm: something made by us hasn't spread yet: identity, role, table, webhook, capacity
│   └── NotUnderstood         runs: an answer isn't what its documentation says
├── PermanentError            a person must act; retried by nobody
│   ├── ImmutableChange       here: the spec wants what Azure or Kubernetes can't change in place
│   ├── AzureRefused          arm: Azure's code says so
│   ├── NotOurs               arm: the name is taken by something without our tags
│   ├── LastingState          arm: stopped, disabled or half gone: what is there won't come right by waiting
│   ├── CredentialsRefused    arm: no credential, a wrong one, or no subscription to see
│   ├── WrongSetting          arm: an environment variable of this machine can't be used
│   ├── WouldWrite            arm: a read-only run came to something that it would have to write
│   ├── PreflightFailed       preflight: problems found before the first write
│   ├── TearDownRefused       tear_down: problems found before the first deletion
│   ├── PlanMoved             runs: something else would be done than what was planned
│   ├── EnvironmentBusy       runs: another run is writing to the environment
│   ├── VerificationFailed    tasks.verify: the environment isn't what it should be
│   ├── RolesMissing          tasks.verify: roles that this run may not assign; holds the commands for whoever may
│   ├── RebuildRefused        flows: problems found, or no approval given, before anything of a rebuild
│   └── NotThere              flows: there is no such environment
├── RebuildFailed             flows: a generation couldn't be made or not be deleted; says what is left
└── OperationNotDone          arm: our own operation still runs at its deadline; a rerun goes on waiting
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aks_postgres.foreign_text import shown

if TYPE_CHECKING:
    from aks_postgres.reports.outputs import FieldChange


class Finding(str):
    """A line about one problem: `text`, and at its end the way out."""

    text: str
    way_out: str

    def __new__(cls, text: str, way_out: str) -> Finding:
        """The line is the text and the way out."""
        found = super().__new__(cls, f"{text} {way_out}")
        found.text, found.way_out = text, way_out
        return found


class ProvisioningError(Exception):
    """Root of the tree; `str()` is a whole message: what, where, Azure's words, and what to do."""

    def __init__(self, message: str = "", *more: object) -> None:
        super().__init__(shown(message), *more)


class TemporaryError(ProvisioningError):
    """Another attempt may work."""


class PermanentError(ProvisioningError):
    """A person must act; trying again changes nothing. `way_out` says how, and ends the message."""

    def __init__(self, message: str, *, way_out: str) -> None:
        self.text = message
        self.way_out = way_out
        between = "" if message.endswith("\n") else " "
        super().__init__(f"{message}{between}{way_out}")


class ImmutableChange(PermanentError):
    """The spec differs from the live resource in fields that Azure can't change in place."""

    def __init__(self, label: str, fields: Sequence[FieldChange], way_out: str) -> None:
        self.label = label
        self.fields = tuple(fields)
        self.way_out = way_out
        differences = "; ".join(f"{f.field} is {f.old!r} and the spec wants {f.new!r}" for f in fields)
        super().__init__(f"{label}: {differences}; Azure can't change that in place.", way_out=way_out)


def is_permanent(error: BaseException | None) -> bool:
    """Return whether a person must act."""
    return isinstance(error, PermanentError)


def is_temporary(error: BaseException | None) -> bool:
    """Return whether the step is worth another attempt: the one question that Prefect's retries ask."""
    if isinstance(error, ProvisioningError):
        return isinstance(error, TemporaryError)
    # What isn't ours is a bug or the machine's trouble (memory, a broken pipe): one more look doesn't hurt,
    # as a step reads before it writes. A cancelled run is over.
    return isinstance(error, OSError)
