"""A plan on a terminal: signs and colours there, words in a pipe, where nothing is cut either."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from aks_postgres.cli.hints import with_commands
from aks_postgres.foreign_text import in_line

if TYPE_CHECKING:
    from aks_postgres.reports.plan_view import ItemAction, PlanView
    from aks_postgres.runs.plan_lines import Line

_STYLES: dict[ItemAction, str] = {
    "create": "green",
    "update": "yellow",
    "delete": "red",
    "can't": "bold red",
    "not looked at": "bold red",
    "not visible": "magenta",
    "nothing": "dim",
    "keep": "dim",
}
_WORD_WIDTH = 13


def print_plan(
    view: PlanView, *, arm_paths: bool = False, everything: bool = False, to_error: bool = False
) -> None:
    """Print a plan, and its warnings on standard error.

    Args:
        view: the plan.
        arm_paths: say ARM's paths, too.
        everything: show what stays as it is, too.
        to_error: print all of it on standard error, where the result comes later.
    """
    from aks_postgres.runs.plan_lines import plan_lines

    lines = plan_lines(view, arm_paths=arm_paths, everything=everything)
    print_lines(lines, Console(stderr=to_error, highlight=False))
    console = Console(stderr=True, highlight=False)
    for warning in view.warnings:
        for part in _parts(with_commands(in_line(f"Warning: {warning}")), "", "  ", console):
            console.print(Text(part), soft_wrap=True)


def print_text(lines: list[str], *, to_error: bool) -> None:
    """Print lines, broken between words on a terminal."""
    console = Console(stderr=to_error, highlight=False)
    for line in lines:
        bare = line.lstrip()
        indent = line[: len(line) - len(bare)]
        for part in _parts(with_commands(in_line(bare)), indent, f"{indent}  ", console) or [""]:
            console.print(Text(part), soft_wrap=True)


def print_lines(lines: list[Line], console: Console) -> None:
    """Print a plan."""
    for line in lines:
        first, rest, style = _shape(line, signs=console.is_terminal)
        if line.kind == "title" or (line.kind == "total" and len(lines) > 1):
            console.print()
        text = f"{line.text}  {line.name}".rstrip() if line.kind == "item" else line.text
        text = with_commands(in_line(text))
        for part in _parts(text, first, rest, console):
            console.print(Text(part, style=style), soft_wrap=True)


def _shape(line: Line, *, signs: bool) -> tuple[str, str, str]:
    """Return what stands before the first line and before the others, and the style."""
    from aks_postgres.runs.plan_lines import SIGNS

    style = _STYLES[line.action] if line.action else ""
    if line.kind == "item" and line.action:
        mark = f"  {SIGNS[line.action]} " if signs else f"  {line.action:{_WORD_WIDTH}} "
        return mark, " " * (len(mark) + 2), style
    if line.kind in ("setting", "note", "problem"):
        indent = " " * (6 if signs else _WORD_WIDTH + 5)
        return indent, f"{indent}  ", "dim" if line.kind == "note" else style
    if line.kind == "text":
        return "  ", "    ", ""
    return "", "  ", "bold"


def _parts(text: str, first: str, rest: str, console: Console) -> list[str]:
    if not console.is_terminal:
        return [f"{first}{text}"]
    return textwrap.wrap(
        text,
        console.width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
