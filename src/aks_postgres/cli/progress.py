"""A run as it goes, on standard error: a live view on a terminal, plain lines anywhere else, or JSON.

A step that has ended is a line that stays, with how many of the run's steps that is. What is waited for is said when it
begins and then every 30 s; on a terminal it is below, with a bar and the time left. `verbose` has the rest: fields that
changed, and every word of Azure's. Standard output is left to results, so that `--json` can be piped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Literal, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from aks_postgres.arm.clock import minutes, time_scale
from aks_postgres.cli.hints import with_commands
from aks_postgres.reports.journal import Event, Journal
from aks_postgres.reports.step_titles import title_of_step

How = Literal["auto", "plain", "json"]

# A wait is said again after so many real seconds.
_MENTION_EVERY_S = 30.0
_ENDS = ("created", "updated", "unchanged", "done", "failed")
_STYLES = {"created": "green", "updated": "yellow", "done": "green", "failed": "bold red", "unchanged": "dim"}
_BAR = 10
# From here on a wait is worth a bar; Azure seconds.
_LONG_S = 60


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


def progress(console: Console, journal: Journal, how: How = "auto", *, verbose: bool = False) -> Progress:
    """The view that was asked for, else the one that suits the console.

    Args:
        console: standard error's.
        journal: of the run, which knows how many steps there are.
        how: auto, plain lines also on a terminal, or a JSON object a line.
        verbose: say everything.
    """
    if how == "json":
        return JsonProgress(console, journal)
    if how == "plain" or not console.is_terminal:
        return PlainProgress(console, journal, verbose=verbose)
    return LiveProgress(console, journal, verbose=verbose)


class _Count:
    """Which of the run's steps have ended; a step that is tried again ends once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seen: set[str] = set()
        self._ended: set[str] = set()

    def take(self, event: Event) -> None:
        self._seen.add(event.step)
        if event.kind in _ENDS:
            self._ended.add(event.step)

    @property
    def ended(self) -> int:
        return len(self._ended)

    @property
    def of(self) -> int:
        """How many there are, as far as is known."""
        return max(self._journal.expected_steps, len(self._seen))

    def __str__(self) -> str:
        return f"{self.ended:2}/{self.of}"


def short(text: str) -> str:
    """Return what is waited for, without Azure's own words in brackets."""
    return text.partition(" (")[0]


def waiting_words(event: Event) -> str:
    """Return what a step waits for, and how long that usually takes, in Azure's time."""
    if not event.elapsed_s:
        usual = f", usually about {minutes(event.expected_s)}" if event.expected_s else ""
        return f"{event.text}{usual}"
    usual = f" of about {minutes(event.expected_s)}" if event.expected_s > event.elapsed_s else ""
    return f"{event.text} ({minutes(event.elapsed_s)}{usual})"


def bar(event: Event) -> str:
    """Return how much of a long wait is over, and how long it probably still takes; empty for a short one."""
    if event.expected_s < _LONG_S:
        return ""
    done = min(1.0, event.elapsed_s / event.expected_s)
    filled = round(_BAR * done)
    left_s = (event.expected_s - event.elapsed_s) / time_scale()
    words = f"{minutes(left_s)} left" if left_s > 0 else "longer than usual"
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] {words}"


def ending_words(event: Event, *, verbose: bool = True) -> str:
    """Return how a step ended; the fields it changed where they are wanted, and the first line of what went wrong."""
    first = with_commands(event.text.strip().partition("\n")[0])
    says_more = event.kind == "failed" or (event.kind == "updated" and verbose)
    return f"{event.ending}: {first}" if first and says_more else event.ending


class _Mentions:
    """Which waits have been said lately."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], float] = {}

    def is_due(self, event: Event) -> bool:
        """Return whether to say it now: it is another wait than before, or 30 s have gone by."""
        wait = (event.step, short(event.text))
        if event.at_s - self._said.get(wait, -_MENTION_EVERY_S) < _MENTION_EVERY_S:
            return False
        self._said[wait] = event.at_s
        return True


class PlainProgress(AbstractContextManager["PlainProgress"]):
    """A line for each step that ends, and one for what is waited for, whole however wide the terminal is."""

    def __init__(self, console: Console, journal: Journal, *, verbose: bool = False) -> None:
        self._console, self._verbose = console, verbose
        self._count, self._mentions = _Count(journal), _Mentions()
        self._began: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Print what the event deserves."""
        self._count.take(event)
        if event.kind == "started":
            self._began.setdefault(event.step, event.at_s)
        elif event.kind in _ENDS:
            took = event.at_s - self._began.pop(event.step, event.at_s)
            words = ending_words(event, verbose=self._verbose)
            self._line(event, str(self._count), f"{words} ({took:.1f} s)")
        elif event.kind == "note":
            self._line(event, "", with_commands(event.text))
        elif self._mentions.is_due(event) or (self._verbose and event.kind == "conflict"):
            waits = event.kind == "waiting"
            words = waiting_words(event) if waits else event.text if self._verbose else short(event.text)
            self._line(event, "", f"waiting: {words}")

    def _line(self, event: Event, count: str, words: str) -> None:
        title = title_of_step(event.step) if event.step else "The run"
        name = f" [{event.step}]" if event.step else ""
        self._console.print(
            f"{event.at_s:7.1f} s  {count:>5}  {title}: {words}{name}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def __exit__(self, *_: object) -> None:
        """Nothing to clean up."""


class JsonProgress(AbstractContextManager["JsonProgress"]):
    """Every event as a JSON object on a line of its own: `{"at_s": 1.2, "step": ..., "title": ..., "kind": ...}`."""

    def __init__(self, console: Console, journal: Journal) -> None:
        self._file = console.file
        self._count = _Count(journal)

    def __call__(self, event: Event) -> None:
        """Print it."""
        self._count.take(event)
        told = {
            "at_s": round(event.at_s, 1),
            "step": event.step,
            "title": title_of_step(event.step) if event.step else "",
            "kind": event.kind,
            "text": event.text,
            "elapsed_s": event.elapsed_s,
            "expected_s": event.expected_s,
            "ended": self._count.ended,
            "of": self._count.of,
        }
        self._file.write(json.dumps(told) + "\n")
        self._file.flush()

    def __exit__(self, *_: object) -> None:
        """Nothing to clean up."""


class LiveProgress(AbstractContextManager["LiveProgress"]):
    """What has ended scrolls away upwards; what is under way stays in sight."""

    def __init__(
        self,
        console: Console,
        journal: Journal,
        *,
        verbose: bool = False,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now_s, self._verbose = now_s, verbose
        self._began = now_s()
        self._under_way: dict[str, _Line] = {}
        self._count, self._mentions = _Count(journal), _Mentions()
        self._live = Live(
            console=console, get_renderable=self.under_way, transient=True, refresh_per_second=5
        )

    def __call__(self, event: Event) -> None:
        """Move the view on."""
        self._count.take(event)
        line = self._under_way.get(event.step)
        if event.kind == "started":
            self._under_way.setdefault(event.step, _Line(self._now_s()))
        elif event.kind in _ENDS:
            self._under_way.pop(event.step, None)
            took = self._now_s() - line.began if line else 0.0
            words = Text(ending_words(event, verbose=self._verbose), _STYLES[event.kind])
            self._print(event, Text(str(self._count), "dim"), words, f"{took:.1f} s")
        elif event.kind == "note" or (self._verbose and event.kind == "conflict"):
            self._print(event, Text(""), Text(with_commands(event.text), "yellow"), "")
        elif line:
            line.words = waiting_words(event) if event.kind == "waiting" else short(event.text)
            line.bar = bar(event)

    def _print(self, event: Event, count: Text, words: Text, took: str) -> None:
        # First without the step: printing draws again what was drawn last.
        self._live.refresh()
        if event.kind in _ENDS:
            name = Text(event.step, "dim")
            self._live.console.print(self._row(count, title_of_step(event.step), took, words, name))
        else:
            title = title_of_step(event.step) if event.step else "The run"
            self._live.console.print(Text.assemble(" " * 6, f"{title}: ", words))

    def _row(self, mark: RenderableType, title: str, took: str, words: Text, name: Text) -> Table:
        row = Table.grid(padding=(0, 1), expand=False)
        row.add_column(width=5, justify="right")
        row.add_column(width=35, no_wrap=True)
        row.add_column(width=7, justify="right", no_wrap=True)
        # A failure's words are wrapped; the name of the step beside short ones is cut where there is no room.
        row.add_column(max_width=max(20, self._live.console.width - 52))
        room = self._live.console.width - 54 - words.cell_len
        if room > 3:
            name.truncate(room, overflow="ellipsis")
            words = Text.assemble(words, "  ", name)
        row.add_row(mark, title, took, words)
        return row

    def under_way(self) -> RenderableType:
        """The steps under way, and a count."""
        now = self._now_s()
        # A copy: the view is drawn by a thread of rich's.
        lines = list(self._under_way.items())
        rows = [
            self._row(
                line.spinner,
                title_of_step(step),
                f"{now - line.began:.0f} s",
                Text(line.bar or line.words, "dim", no_wrap=True, overflow="ellipsis"),
                Text(""),
            )
            for step, line in lines
        ]
        count = f"{str(self._count).strip()} steps done, {len(lines)} under way, {now - self._began:.0f} s"
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
        self.bar = ""
        self.spinner = Spinner("dots")
