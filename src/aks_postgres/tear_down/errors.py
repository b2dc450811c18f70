"""What is found before the first deletion."""

from __future__ import annotations

from collections.abc import Sequence

from aks_postgres.errors import Finding, PermanentError, ProvisioningError


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
