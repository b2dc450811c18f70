"""Runs that Prefect records, ended from outside: commands with a temporary server, and runs on a worker.

kill -9; SIGTERM; SIGHUP as a closed terminal sends it. Whoever can end itself leaves nothing of its lock. Then the
same again, which has to go on within 75 s of Azure's time, and to end as a clean run does.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from aks_postgres.runs.write_lock import WATCH_S

from ..flows.conftest import writes
from .end_state import unlike
from .operated import LONGEST_S, Operated, Run, left_of, marked, operated, tell
from .outcomes import Outcome
from .plain import Flow
from .sleepers import SPEED, lock_speed, spread
from .world import World

Json = dict[str, Any]

KINDS = tuple(itertools.product(("on a terminal", "on a worker"), ("SIGKILL", "SIGTERM", "SIGHUP")))
# Of each flow, place and signal.
POINTS = 3
# Real seconds, for what is killed or was asked to end.
_GONE_S = 30.0


@dataclass(frozen=True)
class PrefectKill:
    """A run that is ended from outside once it has begun so many writes."""

    flow: Flow
    place: str
    number: str
    write: int
    speed: float = SPEED

    @property
    def id(self) -> str:
        """What it is known by from one run of the matrix to the next."""
        values = "" if self.speed == SPEED else ", at shipped values"
        return f"{self.flow}: {self.number} {self.place} after write {self.write}{values}"


def prefect_kills(flow: Flow, ledger: list[Json]) -> Iterator[PrefectKill]:
    """Points all over a clean run, in turn for each place and signal, and one at shipped values."""
    points = spread(ledger, POINTS * len(KINDS))
    for (place, number), write in zip(itertools.cycle(KINDS), points, strict=False):
        yield PrefectKill(flow, place, number, write)
    if flow == "provision":
        yield PrefectKill(flow, "on a terminal", "SIGKILL", points[len(points) // 2], speed=1)


def prefect_kill_outcome(world: World, case: PrefectKill) -> Outcome:
    """End a run from outside, run it again, and look at what is left."""
    began_s = time.monotonic()
    clean = world.clean(case.flow)
    its = operated(world)
    its.go_to_start(case.flow, case.speed)
    problems: list[str] = []
    with marked() as mark, ExitStack() as runs:
        first = _start(its, case, mark, runs)
        if not its.reaches(first, case.write):
            return Outcome(case.id, "not met", f"{first.ended(0)}", time.monotonic() - began_s)
        _end(first, case)
        killed_at = len(its.ledger())
        if first.ended(_GONE_S) is None:
            problems.append(f"it goes on {_GONE_S:.0f} s after {case.number}")
        if case.number != "SIGKILL":
            problems += its.lock_left()
        problems += left_of(mark, _GONE_S)
        how = _start(its, case, mark, runs).ended(LONGEST_S)
        if how != "":
            problems.append(f"run again: {how or 'hangs'}")
        problems += left_of(mark, _GONE_S)
        went_on_s = _went_on_s(its.ledger(killed_at), case.speed)
        if went_on_s > WATCH_S:
            problems.append(f"it went on after {went_on_s:.0f} s")
    problems += its.lock_left()
    problems += [f"another end: {one}" for one in unlike(clean.end, world.end())[:4]]
    verdict: Any = "defect" if problems else "same end"
    detail = f"went on after {went_on_s:.0f} s; {'; '.join(problems)}"
    return Outcome(case.id, verdict, detail[:1500], time.monotonic() - began_s)


def _start(its: Operated, case: PrefectKill, mark: str, runs: ExitStack) -> Run:
    if case.place == "on a terminal":
        return its.on_terminal(case.flow, mark)
    run = its.on_worker(case.flow)
    runs.callback(lambda: tell(run.pids, signal.SIGKILL))
    return run


def _end(run: Run, case: PrefectKill) -> None:
    """A closed terminal tells all that runs in it; else the process that the flow runs in is told."""
    is_terminal = (case.place, case.number) == ("on a terminal", "SIGHUP")
    for pid in run.pids[:1]:
        (os.killpg if is_terminal else os.kill)(pid, signal.Signals[case.number])


def _went_on_s(ledger: list[Json], speed: float) -> float:
    """The lock's seconds from the next run's first word to Azure to its first write, of the lock or another."""
    came = next((at for at, one in enumerate(ledger) if one["service"] == "entra"), None)
    wrote = [one["real_s"] for one in writes(ledger[came:])] if came is not None else []
    if came is None or not wrote:
        return 0.0  # there was nothing left to do
    return float(wrote[0] - ledger[came]["real_s"]) * lock_speed(speed)
