"""The timeline of a run: its steps against Azure's operations, the critical path marked, every gap explained.

From the journal, as a picture (SVG) and as text. A step waits for other steps, then works; inside it, its write is
Azure's time, and the rest is reading, comparing, and waiting for what Azure does by itself.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape

from prefect.artifacts import acreate_markdown_artifact

from aks_postgres.foreign_text import in_code, in_markdown
from aks_postgres.reports.journal import ENDS, Event, Journal, without_plans
from aks_postgres.reports.step_titles import title_of_step
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import environment_key

# Pixels.
# An artifact has 600 px of a page 1,300 px wide: a wider picture would be shrunk, and its words with it.
_WIDTH, _LABELS, _ROW, _TOP = 640, 230, 20, 48
_COLOURS = {
    "step": "#c9d3df",
    "azure": "#2f6fb3",
    "critical": "#b4232c",
    "failed": "#7a1f7a",
    "text": "#1c2733",
    "grid": "#e3e8ee",
}


@dataclass(frozen=True)
class Bar:
    """A step on the timeline; seconds are real ones since the run began.

    Args:
        name: its function's name, or its title where that ran more than once.
        began_s: when it began to work.
        ended_s: when it ended.
        kind: how it ended.
        operations: from when to when Azure worked on a write of it.
        after: the step that it waited for longest; empty for the first.
        waits: what it waited for inside, in few words.
        is_critical: whether the run would have been shorter without it.
    """

    name: str
    began_s: float
    ended_s: float
    kind: str
    operations: tuple[tuple[float, float], ...] = ()
    after: str = ""
    waits: tuple[str, ...] = ()
    is_critical: bool = False

    @property
    def took_s(self) -> float:
        """From its beginning to its end."""
        return self.ended_s - self.began_s

    @property
    def azure_s(self) -> float:
        """For how long Azure worked on a write of it."""
        total, until_s = 0.0, self.began_s
        for began_s, ended_s in sorted(self.operations):
            total += max(0.0, min(ended_s, self.ended_s) - max(began_s, until_s))
            until_s = max(until_s, ended_s)
        return total


def bars(journal: Journal, edges: Mapping[str, Sequence[str]]) -> list[Bar]:
    """The steps of a run in order of their beginning.

    Args:
        journal: what happened.
        edges: for each step the titles of those that it waits for (`Steps.edges`).
    """
    began: dict[str, float] = {}
    found: dict[str, Bar] = {}
    labels = _labels(event.step for event in journal.events)
    for event in without_plans(journal.events):
        if event.kind == "started":
            began.setdefault(event.step, event.at_s)
        elif event.step and event.kind in ENDS:
            began_s = began.get(event.step, event.at_s)
            found[event.step] = Bar(labels[event.step], began_s, event.at_s, event.kind)
    for title, bar in found.items():
        before = [found[other] for other in edges.get(title, ()) if other in found]
        found[title] = replace(
            bar,
            operations=tuple(_operations(journal, title, bar.ended_s)),
            after=max(before, key=lambda one: one.ended_s).name if before else "",
            waits=tuple(_waits(journal, title)),
        )
    critical = critical_path(found.values())
    marked = [replace(bar, is_critical=bar.name in critical) for bar in found.values()]
    return sorted(marked, key=lambda bar: (bar.began_s, bar.ended_s))


def _labels(titles: Iterable[str]) -> dict[str, str]:
    """Each step's function; where it ran for several things, such as two generations, its whole title."""
    titles = dict.fromkeys(titles)
    functions = [title.partition(" ")[0] for title in titles]
    return {
        title: function if functions.count(function) == 1 else title
        for title, function in zip(titles, functions, strict=True)
    }


def critical_path(found: Iterable[Bar]) -> list[str]:
    """The chain of steps that the run's length is made of, from the first to the last."""
    by_name = {bar.name: bar for bar in found}
    if not by_name:
        return []
    path = [max(by_name.values(), key=lambda bar: bar.ended_s).name]
    while (before := by_name[path[-1]].after) and before not in path:
        path.append(before)
    return path[::-1]


def _operations(journal: Journal, title: str, until_s: float) -> Iterable[tuple[float, float]]:
    for operation in journal.operations:
        if title in (operation.step, operation.ended_in):
            yield operation.began_s, until_s if operation.ended_s is None else operation.ended_s


def _waits(journal: Journal, title: str) -> Iterable[str]:
    conflicts: dict[str, int] = {}
    for event in journal.events:
        if event.kind == "conflict" and event.step == title:
            words = event.text.partition(" (")[0].rpartition(": ")[2]
            conflicts[words] = conflicts.get(words, 0) + 1
    for words, times in conflicts.items():
        yield words if times == 1 else f"{words} ({times} times)"
    last: Event | None = journal.last_wait(title)
    if last is not None and not any(last.text in words for words in conflicts):
        yield last.text


def timeline_table(found: Sequence[Bar], *, every_step: bool = False) -> str:
    """The timeline as a Markdown table: when a step began and why then, how long it took and what for.

    Args:
        found: the steps.
        every_step: also those that are not on the critical path.
    """
    path = [bar for bar in found if bar.is_critical]
    if not path:
        return "No step ended."
    ended_s = {bar.name: bar.ended_s for bar in found}
    total_s, azure_s = max(ended_s.values()), sum(bar.azure_s for bar in path)
    rows = [
        f"| {_in_words(bar, is_bold=every_step and bar.is_critical)} | {bar.began_s:.1f} s | {bar.took_s:.1f} s "
        f"| {bar.azure_s:.1f} s | {in_markdown(_why(bar, ended_s))} |"
        for bar in (found if every_step else path)
    ]
    return "\n".join(
        [
            f"Critical path: {len(path)} of {len(found)} steps, {total_s:.1f} s; for {azure_s:.1f} s of that Azure was "
            "at work on writes of ours. Everything else ran beside it.",
            "",
            "| Step | Began | Took | Azure | Why then, and what it waited for |",
            "| --- | --- | --- | --- | --- |",
            *rows,
        ]
    )


def _in_words(bar: Bar, *, is_bold: bool) -> str:
    """A step's title, and its name: beside a person's words, what logs and the graph call it."""
    title = in_markdown(title_of_step(bar.name))
    return f"{f'**{title}**' if is_bold else title} `{in_code(bar.name)}`"


def _why(bar: Bar, ended_s: Mapping[str, float]) -> str:
    before = f"after {title_of_step(bar.after)}" if bar.after else "the run began"
    waits = f"; {'; '.join(bar.waits)}" if bar.waits else ""
    return f"{before}, +{bar.began_s - ended_s.get(bar.after, 0):.1f} s{waits}"


def timeline_svg(found: Sequence[Bar], title: str) -> str:
    """The picture: a row a step, grey while it works, blue while Azure works on its write, red on the critical path."""
    length_s = max((bar.ended_s for bar in found), default=1.0) or 1.0
    height = _TOP + _ROW * len(found) + 30
    scale = (_WIDTH - _LABELS - 20) / length_s
    rows = {bar.name: _TOP + _ROW * index for index, bar in enumerate(found)}

    def x(at_s: float) -> float:
        return round(_LABELS + at_s * scale, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12" fill="{_COLOURS["text"]}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="8" y="16" font-size="13" font-weight="bold">{escape(title)}</text>',
    ]
    key = (
        ("critical", "critical path"),
        ("azure", "Azure at work on our write"),
        ("step", "reading, waiting"),
    )
    for index, (colour, words) in enumerate(key):
        left = 8 + index * 205
        parts.append(f'<rect x="{left}" y="22" width="14" height="10" fill="{_COLOURS[colour]}"/>')
        parts.append(f'<text x="{left + 19}" y="31">{words}</text>')
    for at_s in _ticks(length_s):
        parts.append(
            f'<line x1="{x(at_s)}" y1="{_TOP - 4}" x2="{x(at_s)}" y2="{height - 22}" stroke="{_COLOURS["grid"]}"/>'
            f'<text x="{x(at_s)}" y="{height - 8}" text-anchor="middle">{at_s:g} s</text>'
        )
    for bar in found:
        top = rows[bar.name]
        colour = _COLOURS["failed"] if bar.kind == "failed" else _COLOURS["critical"]
        weight = ' font-weight="bold"' if bar.is_critical else ""
        parts.append(
            f'<text x="{_LABELS - 8}" y="{top + 11}" text-anchor="end"{weight}>{escape(title_of_step(bar.name))}</text>'
        )
        if bar.after in rows and bar.is_critical:
            from_y, at = rows[bar.after] + 13, x(bar.began_s)
            parts.append(
                f'<line x1="{at}" y1="{from_y}" x2="{at}" y2="{top + 2}" stroke="{colour}" stroke-dasharray="2 2"/>'
            )
        outline = f' stroke="{colour}" stroke-width="1.5"' if bar.is_critical or bar.kind == "failed" else ""
        width = max(1.5, (bar.ended_s - bar.began_s) * scale)
        parts.append(
            f'<rect x="{x(bar.began_s)}" y="{top + 2}" width="{width:.1f}" height="12" '
            f'fill="{_COLOURS["step"]}"{outline}/>'
        )
        for began_s, ended_s in bar.operations:
            began_s = max(began_s, bar.began_s)
            width = max(1.0, (min(ended_s, bar.ended_s) - began_s) * scale)
            fill = _COLOURS["critical" if bar.is_critical else "azure"]
            parts.append(
                f'<rect x="{x(began_s)}" y="{top + 4}" width="{width:.1f}" height="8" fill="{fill}"/>'
            )
        words = f"{bar.took_s:.1f} s"
        inside = x(bar.ended_s) + 7 * len(words) > _WIDTH
        anchor = ' text-anchor="end"' if inside else ""
        at = x(bar.began_s) - 5 if inside else x(bar.ended_s) + 5
        parts.append(
            f'<text x="{at}" y="{top + 11}" font-size="10"{anchor} fill="#5b6b7b">{escape(words)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _ticks(length_s: float) -> list[float]:
    """Round seconds for the axis, five to ten of them."""
    step = next(
        unit * 10**power
        for power in range(-3, 7)
        for unit in (1, 2, 5)
        if length_s / (unit * 10**power) <= 10
    )
    return [round(step * index, 6) for index in range(int(length_s / step) + 1)]


def timeline_picture(spec: EnvironmentSpec, found: Sequence[Bar]) -> str:
    """The picture as Markdown, on one line."""
    title = f"{spec.name} in {spec.region}"
    picture = base64.b64encode(timeline_svg(found, title).encode()).decode()
    return f"![Timeline of {title}](data:image/svg+xml;base64,{picture})"


async def show_timeline(spec: EnvironmentSpec, found: Sequence[Bar]) -> None:
    """Leave the timeline as an artifact of the run: the picture, and every step in words."""
    title = f"{spec.name} in {spec.region}"
    await acreate_markdown_artifact(
        f"{timeline_picture(spec, found)}\n\n{timeline_table(found, every_step=True)}",
        key=f"timeline-{environment_key(spec)}",
        description=f"Timeline of {title}",
    )
