"""A plan as people read it, and as `--json` prints it: resources by chapter, in the spec's own words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal, get_args

from pydantic import Field, computed_field

from aks_postgres.reports.cost import Cost
from aks_postgres.reports.outputs import Outputs
from aks_postgres.reports.plan import Action

Chapter = Literal[
    "Subscription",
    "Network",
    "Identity",
    "Storage",
    "Monitoring",
    "Cluster",
    "Node pools",
    "Kubernetes",
    "Database",
    "Access",
    "Other",
    "What stops it",
]
ItemAction = Action | Literal["delete", "keep"]


class Setting(Outputs):
    """One setting: what it is now (`old`, in an update) and what it would be."""

    field: str = Field(description="The spec's field; ARM's path where no field of the spec decides it.")
    arm_path: str = ""
    old: Any = None
    new: Any = None
    is_change: bool = False


class PlanItem(Outputs):
    """One resource, and what would happen to it."""

    chapter: Chapter
    action: ItemAction
    kind: str
    name: str
    id: str = ""
    settings: tuple[Setting, ...] = ()
    also: tuple[str, ...] = Field(default=(), description="What happens on the side, in Azure or on the way.")
    reason: str = Field(default="", description="Why it can't be done, or wasn't looked at.")
    way_out: str = ""


class SharedChange(Outputs):
    """The same change on several resources."""

    setting: Setting
    resources: tuple[str, ...] = Field(description="Kind and name of each.")


class Deed(Outputs):
    """A field of the spec that says how a run goes, and changes nothing that is there."""

    field: str
    value: Any
    meaning: str


class PlanView(Outputs):
    """The whole plan. `version` changes when a field here is renamed or goes; new ones may come."""

    version: Literal[1] = 1
    deed: Literal["provision", "rebuild", "tear-down"] = "provision"
    environment: str
    name: str
    region: str
    subscription: str
    subscription_id: str | None
    suffix: str | None
    generation: int
    items: tuple[PlanItem, ...]
    shared: tuple[SharedChange, ...] = ()
    how: tuple[Deed, ...] = ()
    warnings: tuple[str, ...] = ()
    cost: Cost | None = Field(default=None, description="A day's; null where the plan can't be carried out.")
    cost_now: Cost | None = Field(default=None, description="A day's, of what is there; null if unknown.")

    def in_order(self, kinds: Sequence[str]) -> PlanView:
        """The same with its items in the order of the chapters.

        Args:
            kinds: the order within a chapter.
        """
        chapters: list[str] = list(get_args(Chapter))

        def position(item: PlanItem) -> tuple[int, int, str]:
            kind = kinds.index(item.kind) if item.kind in kinds else -1
            return chapters.index(item.chapter), kind, item.name

        return self.model_copy(update={"items": tuple(sorted(self.items, key=position))})

    def of(self, *actions: ItemAction) -> tuple[PlanItem, ...]:
        """The items with one of these actions."""
        return tuple(item for item in self.items if item.action in actions)

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def totals(self) -> dict[str, int]:
        """How many resources there are of each action."""
        found: dict[str, int] = {}
        for item in self.items:
            found[item.action] = found.get(item.action, 0) + 1
        return found

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def digest(self) -> str:
        """Twelve characters that are others when something else would be done; prices and warnings don't count."""
        text = json.dumps(
            [self.deed, self.environment, self.generation, *self.moves()], sort_keys=True, default=str
        )
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def moves(self) -> list[str]:
        """Return what would be done, a line each, for the digest and for telling two plans apart."""
        lines = []
        for item in self.items:
            if item.action in ("nothing", "keep"):
                continue
            what = f"{item.action} {item.kind} {item.name}".rstrip()
            changes = [
                f"{what}: {setting.field}: {setting.old!r} -> {setting.new!r}" for setting in item.settings
            ]
            lines += changes or [what]
        return sorted(lines)

    def as_json(self, *, everything: bool = False) -> str:
        """The plan as JSON; without `everything`, only what would change or can't."""
        items = self.items if everything else tuple(item for item in self.items if item.action != "nothing")
        whole = self.model_dump(mode="json", exclude={"items"})
        return json.dumps({**whole, "items": [item.model_dump(mode="json") for item in items]}, indent=2)

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be done, as far as the caller's rights reach."""
        return not self.of("create", "update", "delete", "can't", "not looked at")

    @property
    def can_t(self) -> bool:
        """Whether a run of it would fail, or nobody knows."""
        return bool(self.of("can't", "not looked at"))

    @property
    def headline(self) -> str:
        """The plan in one line."""
        words: dict[ItemAction, str] = {
            "create": "to create",
            "update": "to update",
            "delete": "to delete",
            "keep": "kept",
            "can't": "can't be done",
            "not looked at": "not looked at",
            "not visible": "not visible to the caller",
            "nothing": "unchanged",
        }
        parts = ["nothing to do"] if self.is_empty else []
        parts += [f"{self.totals[action]} {text}" for action, text in words.items() if action in self.totals]
        return f"{self.environment}: {', '.join(parts)}"
