"""A run as it goes, on standard error: a live view on a terminal, plain lines anywhere else.

A finished step is a line that stays. On a terminal the steps under way are below, each with its time and what
it waits for. Standard output is left to results, so that `--json` can be piped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from aks_postgres.arm.clock import minutes
from aks_postgres.reports.journal import Event

# Without a terminal: a long wait is mentioned now and then, in real seconds.
_MENTION_EVERY_S = 30.0
_ENDS = ("created", "updated", "unchanged", "done", "failed")
_STYLES = {"created": "green", "updated": "yellow", "done": "green", "failed": "bold red", "unchanged": "dim"}


class Progress(Protocol):
    """Shows events; a context manager around the run."""

    def __call__(self, event: Event) -> None:
        """Take one event."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, whatever happened."""


def progress(console: Console) -> Progress:
    """The view that suits the console."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


def waiting_words(event: Event) -> str:
    """What a step waits for, and how long that usually takes, in Azure's time."""
    if not event.elapsed_s:
        return event.text
    usual = f" of about {minutes(event.expected_s)}" if event.expected_s > event.elapsed_s else ""
    return f"{event.text} ({minutes(event.elapsed_s)}{usual})"


def ending_words(event: Event) -> str:
    """How a step ended: the fields it changed, or the first line of what went wrong."""
    first = event.text.strip().partition("\n")[0]
    return f"{event.ending}: {first}" if first and event.kind in ("failed", "updated") else event.ending


class PlainProgress(AbstractContextManager["PlainProgress"]):
    """A line for each step that ends, each conflict and note, and now and then for a long wait."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began: dict[str, float] = {}
        self._mentioned: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Print what the event deserves."""
        if event.kind == "started":
            self._began.setdefault(event.step, event.at_s)
            self._mentioned[event.step] = event.at_s
        elif event.kind == "waiting":
            if event.at_s - self._mentioned.get(event.step, 0) >= _MENTION_EVERY_S:
                self._mentioned[event.step] = event.at_s
                self._line(event, waiting_words(event))
        elif event.kind in _ENDS:
            took = event.at_s - self._began.pop(event.step, event.at_s)
            self._line(event, f"{ending_words(event)} ({took:.1f} s)")
        else:
            self._line(event, event.text)

    def _line(self, event: Event, words: str) -> None:
        self._console.print(
            f"{event.at_s:7.1f} s  {event.step}: {words}", markup=False, highlight=False, soft_wrap=True
        )

    def __exit__(self, *_: object) -> None:
        """Nothing to clean up."""


class LiveProgress(AbstractContextManager["LiveProgress"]):
    """What has ended scrolls away upwards; what is under way stays in sight."""

    def __init__(self, console: Console, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._began = now_s()
        self._under_way: dict[str, _Line] = {}
        self._ended = 0
        self._live = Live(
            console=console, get_renderable=self.under_way, transient=True, refresh_per_second=5
        )

    def __call__(self, event: Event) -> None:
        """Move the view on."""
        line = self._under_way.get(event.step)
        if event.kind == "started":
            self._under_way.setdefault(event.step, _Line(self._now_s()))
        elif event.kind in _ENDS:
            self._under_way.pop(event.step, None)
            self._ended += 1
            took = self._now_s() - line.began if line else 0.0
            self._print(event, Text(ending_words(event), _STYLES[event.kind]), f"{took:.1f} s")
        elif event.kind == "waiting":
            if line:
                line.words = waiting_words(event)
        else:
            self._print(event, Text(event.text, "yellow" if event.kind == "conflict" else "cyan"), "")

    def _print(self, event: Event, words: Text, took: str) -> None:
        # First without the step: printing draws again what was drawn last.
        self._live.refresh()
        self._live.console.print(self._row(Text(" "), event.step, took, words))

    def _row(self, mark: RenderableType, step: str, took: str, words: Text) -> Table:
        row = Table.grid(padding=(0, 1))
        row.add_column(width=1)
        # Names are up to 56 characters; what a step waits for needs some 40 beside them.
        row.add_column(width=max(30, min(56, self._live.console.width - 54)), no_wrap=True)
        row.add_column(width=7, justify="right", no_wrap=True)
        row.add_column(ratio=1)
        row.add_row(mark, step, took, words)
        return row

    def under_way(self) -> RenderableType:
        """The steps under way, and a count."""
        now = self._now_s()
        # A copy: the view is drawn by a thread of rich's.
        lines = list(self._under_way.items())
        rows = [
            self._row(line.spinner, step, f"{now - line.began:.0f} s", Text(line.words, "dim"))
            for step, line in lines
        ]
        count = f"{self._ended} steps done, {len(lines)} under way, {now - self._began:.0f} s"
        return Group(*rows, Text(f"  {count}", "bold"))

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing; what has ended stays on the terminal."""
        self._live.__exit__(None, None, None)


class _Line:
    """A step under way."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.words = ""
        self.spinner = Spinner("dots")
