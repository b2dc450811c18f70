"""What a run goes through: steps begun and ended, waits, conflicts. The summary and the terminal read it.

Plain data. One journal a run, found through a context variable, so that code deep inside `cloud/` can say
what it waits for without being handed anything; the step it belongs to is found the same way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from aks_postgres.foreign_text import shown

Log = Callable[[int, str], None]
"""Takes a level of Python's `logging`, and a text."""
Kind = Literal["started", "waiting", "conflict", "note", "created", "updated", "unchanged", "done", "failed"]


@dataclass(frozen=True)
class Event:
    """One thing that happened; `at_s` is real seconds since the journal began."""

    at_s: float
    step: str
    kind: Kind
    text: str
    elapsed_s: float = 0
    """For `waiting`: Azure seconds waited so far."""
    expected_s: float = 0
    """For `waiting`: how long that usually takes, in Azure seconds."""
    is_planned: bool = False
    """For how a step ended: whether it only said what it would do."""

    @property
    def ending(self) -> str:
        """How the step ended, in words: what a plan would create isn't created."""
        is_change = self.kind in ("created", "updated")
        return f"would be {self.kind}" if self.is_planned and is_change else self.kind


@dataclass
class Operation:
    """A write of ours as we saw it: when it was sent, and when its operation was seen to have ended; real seconds."""

    step: str
    label: str
    began_s: float
    ended_s: float | None = None
    ended_in: str = ""
    """The step that saw the end; another one where a step doesn't wait for what it began."""


@dataclass(frozen=True)
class _Step:
    title: str
    log: Log | None


_NO_STEP = _Step("", None)
_step: ContextVar[_Step | None] = ContextVar("step", default=None)


@dataclass
class Journal:
    """The events of one run, and who wants to hear of them; of waits only each step's last is kept."""

    events: list[Event] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    expected_steps: int = 0
    """How many steps the run has, as far as is known."""
    log: Log | None = None
    """Where what happens outside steps is logged."""
    _listeners: list[Callable[[Event], None]] = field(default_factory=list)
    _last_waits: dict[str, Event] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    def subscribe(self, callback: Callable[[Event], None]) -> None:
        """Call `callback` with every event from now on."""
        self._listeners.append(callback)

    @contextmanager
    def step(self, title: str, log: Log | None = None) -> Iterator[None]:
        """Everything noted inside belongs to the step `title`; conflicts and notes also go to `log`."""
        token = _step.set(_Step(title, log))
        self._add("started", "")
        try:
            yield
        except BaseException as error:
            self._add("failed", str(error) or type(error).__name__)
            raise
        finally:
            _step.reset(token)

    def waiting(self, text: str, *, elapsed_s: float = 0, expected_s: float = 0) -> None:
        """Something isn't ready yet; said at every look."""
        self._add("waiting", text, elapsed_s, expected_s)

    def conflict(self, text: str) -> None:
        """Azure refused for now, and we try again."""
        self._add("conflict", text)
        self._log(text)

    def note(self, text: str, level: int = logging.WARNING) -> None:
        """Something worth reading later: a warning, unless it says that all is as it should be."""
        self._add("note", text)
        self._log(text, level)

    def ended(
        self, kind: Literal["created", "updated", "unchanged", "done"], text: str = "", planned: bool = False
    ) -> None:
        """The current step ended well.

        Args:
            kind: what it did.
            text: more about it.
            planned: whether it only said what it would do.
        """
        event = self._add(kind, text, is_planned=planned)
        self._log(f"{event.ending}: {text}" if text else event.ending)

    def operation_began(self, label: str) -> None:
        """A write is being sent; told to no one who listens."""
        step = (_step.get() or _NO_STEP).title
        self.operations.append(Operation(step, label, time.monotonic() - self._began))

    def operation_ended(self, label: str) -> None:
        """What the last write of that label began has ended, well or not; or it was refused."""
        for operation in reversed(self.operations):
            if operation.label == label and operation.ended_s is None:
                operation.ended_s = time.monotonic() - self._began
                operation.ended_in = (_step.get() or _NO_STEP).title
                return

    def last_wait(self, step: str) -> Event | None:
        """Return what the step waited for when it last looked; None if it never waited."""
        return self._last_waits.get(step)

    def _log(self, text: str, level: int = logging.INFO) -> None:
        step = _step.get() or _NO_STEP
        if log := step.log or self.log:
            log(level, f"{step.title}: {shown(text)}" if step.title else shown(text))

    def _add(
        self, kind: Kind, text: str, elapsed_s: float = 0, expected_s: float = 0, *, is_planned: bool = False
    ) -> Event:
        step = (_step.get() or _NO_STEP).title
        event = Event(
            time.monotonic() - self._began, step, kind, shown(text), elapsed_s, expected_s, is_planned
        )
        if kind == "waiting":
            self._last_waits[event.step] = event
        else:
            self.events.append(event)
        for listener in self._listeners:
            listener(event)
        return event


ENDS = ("created", "updated", "unchanged", "done", "failed")


def without_plans(events: Sequence[Event]) -> list[Event]:
    """The events without those of a step's plan where it was done later, as after an approval."""
    done = {event.step for event in events if event.kind in ENDS and not event.is_planned}
    dropped: set[int] = set()
    since: dict[str, list[int]] = {}
    for index, event in enumerate(events):
        if event.kind == "started":
            since[event.step] = []
        since.setdefault(event.step, []).append(index)
        if event.kind in ENDS:
            if event.is_planned and event.step in done:
                dropped.update(since[event.step])
            since[event.step] = []
    return [event for index, event in enumerate(events) if index not in dropped]


def current_step() -> str:
    """The title of the step that this is part of; empty outside steps."""
    return (_step.get() or _NO_STEP).title


_current: ContextVar[Journal | None] = ContextVar("journal", default=None)


def journal() -> Journal:
    """The run's journal; outside a run, one that nobody reads."""
    return _current.get() or Journal()


@contextmanager
def use_journal(new: Journal, *, in_charge: bool = False) -> Iterator[Journal]:
    """Make `new` the journal of everything inside.

    Args:
        new: the journal.
        in_charge: even where an outer journal is in use already; otherwise the outer one stays.
    """
    chosen = new if in_charge else _current.get() or new
    token = _current.set(chosen)
    try:
        yield chosen
    finally:
        _current.reset(token)
