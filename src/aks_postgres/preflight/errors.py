"""What is found before the first write."""

from __future__ import annotations

from collections.abc import Sequence

from aks_postgres.errors import Finding, PermanentError, ProvisioningError


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
