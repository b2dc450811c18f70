"""What can go wrong, as a tree.

ProvisioningError
├── TemporaryError            another attempt may work; Prefect retries the step
│   ├── ClusterBusy           AKS kept answering "another operation is in progress" for the whole budget
│   ├── AzureUnavailable      throttled, 5xx or unreachable for the whole budget
│   ├── NotUnderstood         an answer isn't what its documentation says
│   └── NotEffectiveYet       something made by us hasn't spread yet: identity, role, table, webhook, capacity
├── PermanentError            a person must act; retried by nobody
│   ├── AzureRefused          Azure's code says so
│   ├── PreflightFailed       problems found before the first write
│   ├── ImmutableChange       the spec wants what Azure can't change in place
│   ├── NotOurs               the name is taken by something without our tags
│   ├── LastingState          stopped, disabled or half gone: what is there won't come right by waiting
│   ├── CredentialsRefused    no credential, a wrong one, or no subscription to see
│   ├── WrongSetting          an environment variable of this machine can't be used
│   ├── VerificationFailed    the environment isn't what it should be
│   ├── RolesMissing          roles that this run may not assign; holds the commands for whoever may
│   ├── TearDownRefused       problems found before the first deletion
│   ├── RebuildRefused        problems found, or no approval given, before anything of a rebuild
│   ├── EnvironmentBusy       another run is writing to the environment
│   └── WouldWrite            a read-only run came to something that it would have to write
├── RebuildFailed             the new generation couldn't be made, or the old one not taken away; says what is left
└── OperationNotDone          our own operation still runs at its deadline; a rerun goes on waiting
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


class ClusterBusy(TemporaryError):
    """AKS refused a write because of another operation, for as long as we were willing to wait."""


class AzureUnavailable(TemporaryError):
    """Azure didn't answer, or only with 429 and 5xx, for as long as we were willing to wait."""


class NotUnderstood(TemporaryError):
    """Something that was answered isn't what its documentation says, deep inside."""


class NotEffectiveYet(TemporaryError):
    """What we made earlier isn't in effect yet."""


class PermanentError(ProvisioningError):
    """A person must act; trying again changes nothing. `way_out` says how, and ends the message."""

    def __init__(self, message: str, *, way_out: str) -> None:
        self.text = message
        self.way_out = way_out
        super().__init__(f"{message} {way_out}")


class AzureRefused(PermanentError):
    """Azure refused a request or failed an operation for good. `code` is Azure's."""

    def __init__(self, message: str, code: str, *, way_out: str) -> None:
        super().__init__(message, way_out=way_out)
        self.code = code


class PreflightFailed(PermanentError):
    """Problems found before the first write, all of them, each with its own way out."""

    def __init__(self, problems: Sequence[Finding]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  - {problem}" for problem in problems)
        ProvisioningError.__init__(self, f"preflight found {count}; nothing was written:\n{lines}")
        self.way_out = " ".join(dict.fromkeys(problem.way_out for problem in problems))


class UnknownRegion(PreflightFailed):
    """The subscription has no such region."""


class TearDownRefused(PermanentError):
    """Problems found before the first deletion, all of them, each with its own way out."""

    def __init__(self, environment: str, problems: Sequence[Finding]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  - {problem}" for problem in problems)
        ProvisioningError.__init__(
            self,
            f"tear-down of {environment} is refused for {count}; nothing was deleted or written:\n{lines}",
        )
        self.way_out = " ".join(dict.fromkeys(problem.way_out for problem in problems))


class RebuildRefused(PermanentError):
    """A rebuild that can't begin, or wasn't approved; nothing was written."""


class NotThere(PermanentError):
    """There is no such environment; says which there are."""


class PlanMoved(PermanentError):
    """Something else would be done than what was planned; nothing was written."""


class EnvironmentBusy(PermanentError):
    """Another run is writing to the environment; says which, where, and since when."""


class ImmutableChange(PermanentError):
    """The spec differs from the live resource in fields that Azure can't change in place."""

    def __init__(self, label: str, fields: Sequence[FieldChange], way_out: str) -> None:
        self.label = label
        self.fields = tuple(fields)
        self.way_out = way_out
        differences = "; ".join(f"{f.field} is {f.old!r} and the spec wants {f.new!r}" for f in fields)
        super().__init__(f"{label}: {differences}; Azure can't change that in place.", way_out=way_out)


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


class VerificationFailed(PermanentError):
    """The environment isn't what it should be after everything was sent."""


class RolesMissing(PermanentError):
    """Roles that `roles: verify` looked for and didn't find; `commands` are az's, one each."""

    def __init__(self, commands: Sequence[str]) -> None:
        self.commands = tuple(dict.fromkeys(commands))
        count = len(self.commands)
        lines = "".join(f"\n  {command}" for command in self.commands)
        super().__init__(
            f"roles: verify was given, and {count} {'role is' if count == 1 else 'roles are'} missing; everything "
            "else was made.",
            way_out=f"Let somebody who may assign roles carry this out, then run again:{lines}",
        )


class WouldWrite(PermanentError):
    """A read-only run would have had to write; what catches it says more."""

    def __init__(self, message: str) -> None:
        ProvisioningError.__init__(self, message)
        self.way_out = "Run provision, or give the spec that the environment was provisioned with."


class RebuildFailed(ProvisioningError):
    """A rebuild that stopped half-way; says why, what became of both generations, and how to go on."""


class OperationNotDone(ProvisioningError):
    """An operation of ours still runs at its deadline. It goes on; run again to go on waiting."""


def is_permanent(error: BaseException | None) -> bool:
    """Whether a person must act."""
    return isinstance(error, PermanentError)


def is_temporary(error: BaseException | None) -> bool:
    """Whether the step is worth another attempt: the one question that Prefect's retries ask."""
    if isinstance(error, ProvisioningError):
        return isinstance(error, TemporaryError)
    # What isn't ours is a bug or the machine's trouble (memory, a broken pipe): one more look doesn't hurt,
    # as a step reads before it writes. A cancelled run is over.
    return isinstance(error, OSError)
