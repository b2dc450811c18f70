"""The processes that work on cases side by side, each with a sandbox of its own."""

from __future__ import annotations

import traceback
from contextlib import ExitStack
from multiprocessing import util

from .. import leftovers
from .faults import Case
from .kills import Kill, kill_outcome
from .lies import Lie, lie_outcome
from .outcomes import Outcome, outcome_of
from .prefect_kills import PrefectKill, prefect_kill_outcome
from .races import Race, race_outcome
from .sleepers import Sleeper, sleeper_outcome
from .world import SPEED, World, world

Job = Case | Kill | Race | Lie | Sleeper | PrefectKill

_worlds: list[World] = []
_stack = ExitStack()


def open_world(speed: int = SPEED, instances: int = 3) -> None:
    """Start this process's sandbox; it ends with the process."""
    leftovers.watch()
    util.Finalize(None, _stack.close, exitpriority=10)
    _worlds.append(_stack.enter_context(world(speed, instances)))


def outcome(job: Job) -> Outcome:
    """Run a case in this process."""
    (its,) = _worlds
    try:
        return judged(its, job)
    except Exception:
        return Outcome(job.id, "defect", f"the case itself failed: {traceback.format_exc()[-1200:]}")


def judged(its: World, job: Job) -> Outcome:
    """Run a case in a world."""
    match job:
        case Kill():
            return kill_outcome(its, job)
        case Race():
            return race_outcome(its, job)
        case Lie():
            return lie_outcome(its, job)
        case Sleeper():
            return sleeper_outcome(its, job)
        case PrefectKill():
            return prefect_kill_outcome(its, job)
    return outcome_of(its, job)
