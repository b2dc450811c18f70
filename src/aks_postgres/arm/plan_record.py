"""Writing down what a plan finds about each resource, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aks_postgres.arm.diff import Decision, merged
from aks_postgres.arm.responses import Json
from aks_postgres.errors import ImmutableChange
from aks_postgres.reports.journal import current_step
from aks_postgres.reports.plan import Action, PlannedResource

if TYPE_CHECKING:
    from aks_postgres.arm.resource import ArmResource

_ACTIONS: dict[str, Action] = {"created": "create", "updated": "update", "unchanged": "nothing"}


def decide_in_plan(
    resource: ArmResource, decision_for: Callable[[Json | None], Decision], live: Json | None
) -> Decision:
    """The decision about a resource, kept for the plan; so is a change that Azure can't make in place.

    Raises:
        ImmutableChange: as `decision_for` does.
    """
    try:
        decision = decision_for(live)
    except ImmutableChange as refused:
        _keep(resource, action="can't", fields=refused.fields, way_out=refused.way_out)
        raise
    body = merged(live, decision.body) if live else decision.body
    kind = decision.change.kind
    _keep(resource, action=_ACTIONS[kind], fields=decision.change.fields, body=body)
    return decision


def _keep(resource: ArmResource, **found: Any) -> None:
    step = current_step().partition(" ")[0]
    kept = PlannedResource(step=step, label=resource.label, id=resource.id, **found)
    resource.azure.looked_at[step, resource.id.casefold()] = kept
