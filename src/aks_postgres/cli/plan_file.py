"""A plan kept in a file, so that exactly that is carried out later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aks_postgres.exit_codes import CommandFailed, ExitCode

if TYPE_CHECKING:
    from aks_postgres.reports.plan_view import PlanView
    from aks_postgres.spec.environment import EnvironmentSpec

_MARK = "aks-postgres plan"


class KeptPlan(NamedTuple):
    """What a file holds."""

    spec: EnvironmentSpec
    view: PlanView


def write_plan(file: Path, spec: EnvironmentSpec, view: PlanView) -> None:
    """Keep a plan and the spec that it is of; nothing in it is secret."""
    kept = {
        "what": _MARK,
        "digest": view.digest,
        "spec": spec.model_dump(mode="json"),
        "plan": view.model_dump(mode="json"),
    }
    try:
        file.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{file} can't be written: {error.strerror}", ExitCode.BAD_INPUT) from None


def read_plan(file: Path) -> KeptPlan:
    """The plan that a file holds.

    Raises:
        CommandFailed: it is no plan, or was edited.
    """
    from aks_postgres.reports.plan_view import PlanView
    from aks_postgres.spec.environment import EnvironmentSpec

    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["what"] != _MARK:
            raise ValueError(kept["what"])
        spec = EnvironmentSpec.model_validate(kept["spec"])
        view = PlanView.model_validate(kept["plan"])
    except OSError as error:
        raise CommandFailed(f"{file} can't be read: {error.strerror}", ExitCode.BAD_INPUT) from None
    except (ValueError, KeyError, TypeError):
        raise CommandFailed(
            f"{file} is no plan; `aks-postgres plan --out {file}` writes one.", ExitCode.BAD_INPUT
        ) from None
    if view.digest != kept.get("digest"):
        raise CommandFailed(
            f"{file} was changed since it was written: its digest is {kept.get('digest')} and its content's is "
            f"{view.digest}. Make a new plan.",
            ExitCode.BAD_INPUT,
        )
    return KeptPlan(spec, view)
