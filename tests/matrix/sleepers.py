"""A run that sleeps (SIGSTOP) while another one takes over and ends, and then wakes up (SIGCONT).

What it handed over to Azure before it slept may still land, and is counted. What comes in after it woke is its own, as
nobody else runs by then: of that only questions to the lock may change anything.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aks_postgres.arm import clock
from aks_postgres.runs.write_lock import LIVES_S

from ..flows.conftest import without_lock_traffic, writes
from .end_state import unlike
from .operated import LONGEST_S, Where, marked, operated, tell
from .outcomes import Outcome
from .plain import Flow
from .world import World

Json = dict[str, Any]

# Where the sleeper runs, and where the other one does.
SET_UPS: dict[str, tuple[Where, Where]] = {
    "one server": ("first server", "first server"),
    "two terminals": ("no server", "no server"),
    "two servers": ("first server", "second server"),
}
# Of each flow in each set-up.
POINTS = 6
# Slow enough that a run is met between its writes, too. The lock runs five times as fast as Azure's then.
SPEED = 20.0
# Who runs meanwhile, in turn: `provision` doesn't go on with what a tear-down has begun.
OTHERS: dict[Flow, tuple[Flow, ...]] = {
    "provision": ("tear_down", "provision"),
    "tear_down": ("rebuild replace", "tear_down"),
    "rebuild blue_green": ("tear_down", "rebuild blue_green"),
    "rebuild replace": ("tear_down", "rebuild replace"),
}
# Real seconds, until what was handed over has come in.
_LANDED_S = 0.5


@dataclass(frozen=True)
class Sleeper:
    """A run that sleeps once it has begun so many writes."""

    flow: Flow
    other: Flow
    set_up: str
    write: int
    speed: float = SPEED

    @property
    def id(self) -> str:
        """What it is known by from one run of the matrix to the next."""
        values = "" if self.speed == SPEED else ", at shipped values"
        return f"{self.flow}: sleeps after write {self.write}, {self.set_up}, meanwhile {self.other}{values}"


def sleepers(flow: Flow, ledger: list[Json]) -> Iterator[Sleeper]:
    """Points all over a clean run, in every set-up, and one at shipped values."""
    for turn, set_up in enumerate(SET_UPS):
        for number, write in enumerate(spread(ledger, POINTS)):
            yield Sleeper(flow, OTHERS[flow][(turn + number) % 2], set_up, write)
    if flow == "provision":
        yield Sleeper(flow, "tear_down", "two terminals", spread(ledger, 3)[1], speed=1)


def lock_speed(speed: float) -> float:
    """How many times as fast the lock is as on Azure, in a run at that speed."""
    return min(speed, clock.lock_scale())


def spread(ledger: list[Json], points: int) -> list[int]:
    """Numbers of writes, from before the first to the last but one."""
    last = len(without_lock_traffic(writes(ledger))) - 1
    return [round(at * last / (points - 1)) for at in range(points)]


def sleeper_outcome(world: World, case: Sleeper) -> Outcome:
    """Let it sleep, let the other run, wake it, and look at what it did."""
    began_s = time.monotonic()
    its = operated(world)
    its.go_to_start(case.flow, case.speed)
    ours, theirs = SET_UPS[case.set_up]
    problems: list[str] = []
    with marked() as mark:
        sleeper = its.on_terminal(case.flow, mark, ours)
        if not its.reaches(sleeper, case.write):
            return Outcome(case.id, "not met", f"{sleeper.ended(0)}", time.monotonic() - began_s)
        tell(sleeper.pids, signal.SIGSTOP)
        unanswered = [one for one in its.writes() if one["status"] is None]
        stopped_at = len(its.ledger())
        time.sleep(_LANDED_S)
        landed = len(unanswered) + len(its.writes(stopped_at))
        stopped_s = time.monotonic()
        how = its.on_terminal(case.other, mark, theirs).ended(LONGEST_S)
        if how != "":
            problems.append(f"the other run: {how or 'hangs'}")
        # A shorter sleep isn't noticed before there is a lock: nobody can have taken anything over.
        time.sleep(max(0.0, LIVES_S / lock_speed(case.speed) - (time.monotonic() - stopped_s)))
        end = world.end()
        woken_at = len(its.ledger())
        tell(sleeper.pids, signal.SIGCONT)
        said = sleeper.ended(LONGEST_S)
        if said is None:
            problems.append("it hangs once it is awake")
        begun = its.writes(woken_at)
        problems += [f"begun after it woke: {one['method']} {one['path']}" for one in begun]
        problems += [f"another end: {one}" for one in unlike(end, world.end())[:4]]
        problems += its.lock_left()
    verdict: Any = "defect" if problems else "same end"
    detail = f"{landed} handed over; {'; '.join(problems)} / {said}"
    return Outcome(case.id, verdict, detail[:1500], time.monotonic() - began_s, landed)
