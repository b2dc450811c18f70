"""What a run of `provision` would do, step by step."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from aks_postgres.reports.cost import Cost
from aks_postgres.reports.outputs import FieldChange, Outputs

Action = Literal["create", "update", "nothing", "can't", "not visible", "not looked at"]


COMES_AFTER = "comes after"


class PlannedStep(Outputs):
    """One step of the plan.

    `reason` says why it can't be done, with the way out, or why it wasn't looked at; `not visible` is what the caller's
    rights don't reach. `in_place` says that only a change in place can't be done: a new resource could be made.
    """

    step: str
    action: Action
    fields: tuple[FieldChange, ...] = ()
    reason: str = ""
    in_place: bool = False


class PlannedResource(Outputs):
    """One Azure resource as a step of the plan found it.

    `body` is what it would be; `fields` are ARM's paths. `way_out` is for a change that Azure can't make in place.
    """

    step: str
    label: str
    id: str
    action: Action
    fields: tuple[FieldChange, ...] = ()
    body: dict[str, Any] = Field(default_factory=dict)
    way_out: str = ""


class Plan(Outputs):
    """Every step that may write, in the order of the guide, and what the environment wanted costs."""

    environment: str
    subscription: str
    steps: tuple[PlannedStep, ...]
    warnings: tuple[str, ...]
    cost: Cost
    generation: int = 0
    resources: tuple[PlannedResource, ...] = ()

    @property
    def changes(self) -> tuple[PlannedStep, ...]:
        """The steps that would write."""
        return tuple(step for step in self.steps if step.action in ("create", "update"))

    @property
    def refusals(self) -> tuple[PlannedStep, ...]:
        """The steps that can't be done."""
        return tuple(step for step in self.steps if step.action == "can't")

    @property
    def unknown(self) -> tuple[PlannedStep, ...]:
        """The steps that can't be done, or of which it isn't known: with one of these nothing may be started."""
        return tuple(step for step in self.steps if step.action in ("can't", "not visible", "not looked at"))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do, and nothing that couldn't be looked at."""
        return self._has_only("nothing")

    @property
    def is_empty_as_far_as_seen(self) -> bool:
        """Whether there is nothing to do in what the caller's rights reach."""
        return self._has_only("nothing", "not visible")

    def _has_only(self, *actions: Action) -> bool:
        return all(step.action in actions for step in self.steps)
