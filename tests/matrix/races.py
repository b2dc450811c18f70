"""Somebody else at the cluster, at the worst moment: just before each write of ours, after the look that it follows."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import requests

from ..conftest import each_request
from .end_state import unlike
from .outcomes import Outcome
from .plain import Flow
from .world import World

Json = dict[str, Any]

API_VERSION = "2026-06-01"
_CLUSTER_WRITE = re.compile(r"/managedClusters/[^/]+(/agentPools/[^/]+)?$", re.I)


@dataclass(frozen=True)
class Race:
    """Before the n-th request of that method and path is sent, somebody else writes.

    Args:
        flow: which flow of ours.
        who: a person who puts a tag on the cluster, which must be there at the end; or an operation on the system
            pool that nobody of us asked for, and that is still running when our write arrives.
        method: of our write.
        path: of our write.
        nth: which one.
    """

    flow: Flow
    who: Literal["a person tags the cluster", "a foreign operation on a pool"]
    method: str
    path: str
    nth: int

    @property
    def id(self) -> str:
        """What it is known by from one run of the matrix to the next."""
        return f"{self.flow}: {self.who} before {self.method} {self.path} #{self.nth}"


def races(flow: Flow, ledger: list[Json]) -> Iterator[Race]:
    """At every write of the cluster and its pools in a clean run, but the one that makes it."""
    seen = Counter[tuple[str, str]]()
    for entry in ledger:
        method, path = str(entry["method"]), str(entry["path"])
        if method not in ("PUT", "DELETE") or not _CLUSTER_WRITE.search(path):
            continue
        seen[method, path] += 1
        makes_it = method == "PUT" and "/agentPools/" not in path and seen[method, path] == 1
        if not makes_it:
            yield Race(flow, "a foreign operation on a pool", method, path, seen[method, path])
            if method == "PUT":
                yield Race(flow, "a person tags the cluster", method, path, seen[method, path])


def race_outcome(world: World, race: Race) -> Outcome:
    """Run a flow with somebody in its way."""
    began_s = time.monotonic()
    clean = world.clean(race.flow)
    world.go_to_start(race.flow)
    cluster = re.sub(r"/agentPools/[^/]+$", "", race.path, flags=re.I)
    seen = 0
    answers: list[int] = []

    async def before(method: str, path: str) -> None:
        nonlocal seen
        if method == race.method and path.casefold() == race.path.casefold():
            seen += 1
            if seen == race.nth:
                answers.append(_interfere(world, race, cluster).status_code)

    problems = []
    try:
        with each_request(before=before):
            world.run(race.flow)
    except BaseException as error:
        problems.append(f"{type(error).__name__}: {error}")
    if answers and answers[0] >= 300:
        problems.append(f"the interference itself was answered {answers[0]}")
    found = unlike(clean.end, world.end())
    if race.who.startswith("a person") and answers:
        kept = [one for one in found if "tags.person" in one]
        if not kept:
            problems.append("the person's tag is gone")
        # AKS copies a cluster's tags to what it makes.
        found = [one for one in found if "tags.person" not in one]
    problems += [f"another end: {one}" for one in found[:4]]
    verdict: Any = "not met" if not answers else "defect" if problems else "same end"
    return Outcome(race.id, verdict, "; ".join(problems)[:1500], time.monotonic() - began_s)


def _interfere(world: World, race: Race, cluster: str) -> requests.Response:
    path = cluster if race.who.startswith("a person") else f"{cluster}/agentPools/systempool"
    body = world.azure.arm("GET", path, api_version=API_VERSION).json()
    if race.who.startswith("a person"):
        body["tags"] = (body.get("tags") or {}) | {"person": "was here"}
    return world.azure.arm("PUT", path, body, api_version=API_VERSION)
