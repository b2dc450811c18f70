"""A plan as lines, which the terminal colours and the Prefect UI gets as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from aks_postgres.foreign_text import in_code, in_markdown
from aks_postgres.reports.cost import Cost, CostLine
from aks_postgres.reports.outputs import value_text
from aks_postgres.reports.plan_view import ItemAction, PlanItem, PlanView, Setting

Kind = Literal["heading", "title", "item", "setting", "note", "problem", "text", "total"]
SIGNS: dict[ItemAction, str] = {
    "create": "+",
    "update": "~",
    "delete": "-",
    "can't": "!",
    "not looked at": "!",
    "not visible": "?",
    "nothing": "=",
    "keep": "=",
}
_SHORT = 20


@dataclass(frozen=True)
class Line:
    """One line of a plan; `action` colours it."""

    kind: Kind
    text: str
    action: ItemAction | None = None
    name: str = ""


def plan_lines(view: PlanView, *, arm_paths: bool = False, everything: bool = False) -> list[Line]:
    """The plan, line by line.

    Args:
        view: the plan.
        arm_paths: say ARM's path beside the spec's field.
        everything: show what would stay as it is, too.
    """
    if view.is_empty and not view.of("not visible") and not everything:
        return [Line("total", _nothing(view))]
    return [
        Line("heading", _heading(view)),
        *_items(view, arm_paths, everything),
        *_shared(view, arm_paths),
        *_how(view),
        *_cost(view),
        # A rebuild has a digest of its own, of more than this; a tear-down isn't carried out by one.
        Line("total", f"{view.headline}." + (f" Plan {view.digest}." if view.deed == "provision" else "")),
    ]


def _nothing(view: PlanView) -> str:
    how = ""
    if view.how:
        deeds = ", ".join(f"{deed.field}{_short(deed.value)}" for deed in view.how)
        how = f"; {deeds}: no change of what is there"
    return f"{view.headline}{how}"


def _short(value: Any) -> str:
    text = value_text(value)
    return f" {text}" if len(text) <= _SHORT else ""


def _heading(view: PlanView) -> str:
    parts = [f"name {view.name}", f"region {view.region}"]
    if view.generation:
        parts.append(f"generation {view.generation}")
    if view.suffix:
        parts.append(f"suffix {view.suffix}")
    if view.subscription or view.subscription_id:
        given = f" (subscription_id {view.subscription_id})" if view.subscription_id else ""
        parts.append(f"subscription {view.subscription}{given}".strip())
    what = "" if view.deed == "provision" else f" of a {view.deed}"
    return f"Plan{what}: {', '.join(parts)}"


def _items(view: PlanView, arm_paths: bool, everything: bool) -> Iterator[Line]:
    folded = {_key(shared.setting) for shared in view.shared}
    chapter = ""
    for item in view.items:
        settings = [
            setting for setting in item.settings if item.action != "update" or _key(setting) not in folded
        ]
        if item.action == "nothing" and not everything:
            continue
        if item.action == "update" and not settings and item.settings and not item.also:
            continue  # all of it is told once, for every resource that has it
        if item.chapter != chapter:
            chapter = item.chapter
            yield Line("title", chapter)
        if chapter == "What stops it":
            yield Line("item", item.reason, item.action)  # of no resource
            continue
        yield Line("item", item.kind, item.action, item.name)
        yield from (Line("setting", setting_text(setting, arm_paths), item.action) for setting in settings)
        yield from (Line("note", text) for text in item.also)
        yield from _problem(item)


def _problem(item: PlanItem) -> Iterator[Line]:
    for text in (item.reason, item.way_out and f"Way out: {item.way_out}"):
        if text:
            yield Line("problem", text, item.action)


def _key(setting: Setting) -> tuple[str, str, str]:
    return setting.field, repr(setting.old), repr(setting.new)


def _shared(view: PlanView, arm_paths: bool) -> Iterator[Line]:
    if view.shared:
        yield Line("title", "The same on several resources")
    for change in view.shared:
        text = setting_text(change.setting, arm_paths)
        yield Line("item", text, "update", f"on {len(change.resources)} resources")


def _how(view: PlanView) -> Iterator[Line]:
    if view.how:
        yield Line("title", "How it runs")
    for deed in view.how:
        yield Line("text", f"{deed.field}: {value_text(deed.value)} ({deed.meaning})")


def setting_text(setting: Setting, arm_paths: bool = False) -> str:
    """A setting in the spec's words: what it would be, or old and new."""
    if setting.is_change and (told := _elements(setting.old, setting.new)):
        value = told
    else:
        value = value_text(setting.new)
        if setting.is_change:
            value = f"{value_text(setting.old)} -> {value}"
    path = f" [{setting.arm_path}]" if arm_paths and setting.arm_path not in ("", setting.field) else ""
    return f"{setting.field}: {value}{path}"


def _elements(old: Any, new: Any) -> str:
    """Return which elements of a list differ, by name, as a whole rule or profile is too long to read; else empty."""
    had, has = _by_name(old), _by_name(new)
    if had is None or has is None:
        return ""
    words = {
        "more": [name for name in has if name not in had],
        "fewer": [name for name in had if name not in has],
        "changed": [name for name in has if name in had and has[name] != had[name]],
    }
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in words.items() if names)


def _by_name(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, list | tuple) or not all(isinstance(inner, dict) for inner in value):
        return None
    names = [inner.get("name") or inner.get("alert") or inner.get("record") for inner in value]
    found = {str(name): inner for name, inner in zip(names, value, strict=True) if name}
    return found if len(found) == len(value) else None


def _cost(view: PlanView) -> Iterator[Line]:
    if view.can_t:
        yield Line("title", "Cost")
        yield Line("text", "None is shown: this plan can't be carried out as it is.")
    if view.cost is None:
        return
    days = sorted(line.read for line in view.cost.lines if line.read)
    read = f", list prices read {days[0]} to {days[-1]}" if days else ""
    yield Line("title", f"Cost a day, roughly (US dollars{read})")
    for line in view.cost.lines:
        yield Line("text", f"{line.what}: {_price(line)}")
    yield Line("text", f"in all: {_sum(view.cost)}{_difference(view)}")


def _price(line: CostLine) -> str:
    if line.low_usd is None or line.high_usd is None:
        return f"no price known: {line.assumes}"
    assumes = f", for {line.assumes}" if line.assumes else ""
    return f"{_range(line.low_usd, line.high_usd)}{assumes}"


def _sum(cost: Cost) -> str:
    at_least = "at least " if cost.unknown else ""
    return f"{at_least}{_range(cost.low_usd, cost.high_usd)}"


def _difference(view: PlanView) -> str:
    if view.cost is None or view.cost_now is None:
        return ""
    low, high = view.cost.low_usd - view.cost_now.low_usd, view.cost.high_usd - view.cost_now.high_usd
    if not round(low, 2) and not round(high, 2):
        return "; as now"
    return f"; now {_range(view.cost_now.low_usd, view.cost_now.high_usd)}, so {_range(low, high, '+')} a day"


def _range(low: float, high: float, sign: str = "") -> str:
    if round(low, 2) == round(high, 2):
        return f"{low:{sign}.2f}"
    return f"{low:{sign}.2f} to {high:{sign}.2f}"


def markdown(lines: list[Line]) -> str:
    """The lines as Markdown."""
    parts: list[str] = []
    for line in lines:
        text = in_markdown(line.text)
        if line.kind == "title":
            parts.append(f"\n### {text}\n")
        elif line.kind == "item":
            name = f" `{in_code(line.name)}`" if line.name else ""
            parts.append(f"- `{SIGNS[line.action or 'nothing']}` {line.action} **{text}**{name}")
        elif line.kind in ("setting", "note"):
            parts.append(f"  - {text}")
        elif line.kind == "problem":
            parts.append(f"  - **{text}**")
        elif line.kind == "total":
            parts.append(f"\n**{text}**")
        else:
            parts.append(f"- {text}" if line.kind == "text" else text)
    return "\n".join(parts)
