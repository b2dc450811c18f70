"""kill -9 of a flow's process before and after every writing call, and running it again."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..conftest import each_request
from ..flows.conftest import without_lock_traffic, writes
from .databases import ANY, is_of_pods, one_primary, pattern
from .end_state import unlike
from .outcomes import Outcome
from .plain import DATABASE, Flow, run_flow, without_prefect
from .world import World

Json = dict[str, Any]


@dataclass(frozen=True)
class Kill:
    """The process is killed before it sends the n-th request of that method and path, or when the answer is there."""

    flow: Flow
    moment: Literal["before", "after"]
    method: str
    path: str
    nth: int

    @property
    def id(self) -> str:
        """What it is known by from one run of the matrix to the next."""
        return f"{self.flow}: killed {self.moment} {self.method} {self.path} #{self.nth}"


def kills(flow: Flow, ledger: list[Json]) -> Iterator[Kill]:
    """Before and after every writing call of a clean run."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    ours = without_lock_traffic(ledger)
    for entry in writes(ledger):
        key = (str(entry["method"]), str(entry["path"]))
        counts[key] += 1
        if entry in ours and not is_of_pods(entry):
            for moment in ("before", "after"):
                yield Kill(flow, moment, *key, counts[key])  # type: ignore[arg-type]


def kill_outcome(world: World, kill: Kill) -> Outcome:
    """Kill a run, run it again, and look for anything that was done twice, undone, or left.

    Of a database there is one primary at any instant.
    """
    if kill.flow != DATABASE:
        return _kill_outcome(world, kill)
    world.clean(kill.flow)
    with one_primary(world.azure) as wrong:
        found = _kill_outcome(world, kill)
    return replace(found, verdict="defect", detail=f"{wrong[0]} {found.detail}") if wrong else found


def _kill_outcome(world: World, kill: Kill) -> Outcome:
    began_s = time.monotonic()
    clean = world.clean(kill.flow)
    world.go_to_start(kill.flow)
    was_killed = _run_and_kill(world, kill)
    problems: list[str] = []
    if not was_killed:
        return Outcome(kill.id, "not met", took_s=time.monotonic() - began_s)
    if _was_its_last(kill, clean.ledger):
        # Nothing of it is left to go on with: run again, it would be the next rebuild.
        problems += [f"another end: {one}" for one in unlike(clean.end, world.end())[:4]]
        return Outcome(
            kill.id, "defect" if problems else "same end", "; ".join(problems), time.monotonic() - began_s
        )
    if kill.flow == "rebuild blue_green":
        problems += _no_environment(world)
    world.let_heartbeats_end()
    try:
        world.run(kill.flow)
    except BaseException as error:
        problems.append(f"running again: {type(error).__name__}: {error}")
    problems += _done_twice(world.writes(), clean.ledger, kill.flow)
    problems += [f"another end: {one}" for one in unlike(clean.end, world.end(kill.flow))[:4]]
    verdict: Any = "defect" if problems else "same end"
    return Outcome(kill.id, verdict, "; ".join(problems)[:1500], time.monotonic() - began_s)


def _was_its_last(kill: Kill, ledger: list[Json]) -> bool:
    """Whether a rebuild was killed after its last write."""
    last = without_lock_traffic(writes(ledger))[-1]
    is_last = (last["method"], str(last["path"]).casefold()) == (kill.method, kill.path.casefold())
    count = sum((one["method"], one["path"]) == (last["method"], last["path"]) for one in writes(ledger))
    return kill.flow.startswith("rebuild") and kill.moment == "after" and is_last and kill.nth == count


def _run_and_kill(world: World, kill: Kill) -> bool:
    """Run the flow in a child that kills itself there; False if it never came there."""
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        try:
            asyncio.run(_until_killed(world, kill))
        finally:
            os._exit(0)
    deadline = time.monotonic() + world.longest_s(kill.flow)
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        time.sleep(0.01)
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
    return False


async def _until_killed(world: World, kill: Kill) -> None:
    seen = Counter[str]()

    async def at(moment: str, method: str, path: str) -> None:
        if method == kill.method and re.fullmatch(pattern(kill.path), path, re.I):
            seen[moment] += 1
            if moment == kill.moment and seen[moment] == kill.nth:
                os.kill(os.getpid(), signal.SIGKILL)

    async def before(method: str, path: str) -> None:
        await at("before", method, path)

    async def after(method: str, path: str) -> None:
        await at("after", method, path)

    with each_request(before, after), without_prefect():
        await run_flow(kill.flow, world.spec_of(kill.flow))


def _no_environment(world: World) -> list[str]:
    """In blue_green one environment is complete at every moment: the old one, or the new one."""
    there = world.end()
    for complete in (world.clean("provision").end, world.clean("rebuild blue_green").end):
        wanted = {key.replace("suffix0", "suffixn") for key in complete}
        for age in ("suffix0", "suffix1"):
            if wanted <= {key.replace(age, "suffixn") for key in there}:
                return []
    return ["no generation was complete when the process was killed"]


def _done_twice(ledger: list[Json], clean: list[Json], flow: Flow) -> list[str]:
    """Writes that Azure took more often than in a clean run and once more; resources made again; deletions."""
    problems = []

    def taken(entries: list[Json]) -> Counter[tuple[str, str]]:
        return Counter(
            (str(one["method"]), str(one["path"]).casefold())
            for one in entries
            if not is_of_pods(one) and (one["status"] is None or one["status"] < 300)
        )

    usual = taken(writes(clean))
    for (method, path), count in taken(ledger).items():
        if count > usual[method, path] + 1:
            problems.append(f"{count} times {method} {path}, {usual[method, path]} in a clean run")
        if method == "DELETE" and not usual[method, path]:
            problems.append(f"{path} was deleted")
    made = Counter(
        str(one["path"]).casefold() for one in ledger if one["method"] == "PUT" and one["status"] == 201
    )
    made_usually = Counter(
        str(one["path"]).casefold() for one in clean if one["method"] == "PUT" and one["status"] == 201
    )
    problems += [
        f"{path} was made {count} times"
        for path, count in made.items()
        if count > max(1, made_usually[path]) and not path.endswith(ANY)  # Each such is another one.
    ]
    return problems
