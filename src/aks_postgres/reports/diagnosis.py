"""What `doctor` found, check by check: data only."""

from __future__ import annotations

from typing import Literal

from pydantic import computed_field

from aks_postgres.reports.outputs import Outputs


class Check(Outputs):
    """One thing looked at; `exit_code` is the command's, where this stops a run."""

    name: str
    verdict: Literal["fine", "look", "stops a run", "not asked"]
    found: str
    next_step: str = ""
    exit_code: int = 0


class Diagnosis(Outputs):
    """Everything looked at, in the order in which one thing needs another."""

    environment: str
    checks: tuple[Check, ...]

    @property
    def blockers(self) -> tuple[Check, ...]:
        """What would stop a run."""
        return tuple(check for check in self.checks if check.verdict == "stops a run")

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def exit_code(self) -> int:
        """Of the first thing that stops a run: it is to be seen to first."""
        return self.blockers[0].exit_code if self.blockers else 0
