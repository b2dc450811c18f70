"""What a check of the preflight found: problems, which stop the run, and warnings, which don't."""

from __future__ import annotations

from dataclasses import dataclass

from aks_postgres.arm.gate import Gate
from aks_postgres.errors import Finding


@dataclass(frozen=True)
class Findings:
    """Texts for people; each starts with the spec field to look at, and a problem ends with its way out."""

    problems: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        return Findings(self.problems + other.problems, self.warnings + other.warnings)


FINE = Findings()


def about_rights(gate: Gate, findings: Findings) -> Findings:
    """What rights are lacking, as it concerns this run: a plan writes nothing, and says what a run would lack."""
    return Findings(warnings=findings.problems + findings.warnings) if gate.plans else findings


def problem(field: str, text: str, way_out: str) -> Findings:
    """The run can't start; `text` says what was given and what is allowed, `way_out` what to do."""
    return Findings(problems=(Finding(f"{field}: {text}", way_out),))


def warning(field: str, text: str) -> Findings:
    """The run starts all the same, and the reader should know."""
    return Findings(warnings=(f"{field}: {text}",))
