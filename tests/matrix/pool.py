"""The processes that work on cases side by side, each with a sandbox of its own."""

from __future__ import annotations

from contextlib import ExitStack
from multiprocessing import util

from .faults import Case
from .kills import Kill, kill_outcome
from .outcomes import Outcome, outcome_of
from .races import Race, race_outcome
from .world import World, world

Job = Case | Kill | Race

_worlds: list[World] = []
_stack = ExitStack()


def open_world() -> None:
    """Start this process's sandbox; it ends with the process."""
    util.Finalize(None, _stack.close, exitpriority=10)
    _worlds.append(_stack.enter_context(world()))


def outcome(job: Job) -> Outcome:
    """Run a case in this process."""
    (its,) = _worlds
    return judged(its, job)


def judged(its: World, job: Job) -> Outcome:
    """Run a case in a world."""
    if isinstance(job, Kill):
        return kill_outcome(its, job)
    return race_outcome(its, job) if isinstance(job, Race) else outcome_of(its, job)
