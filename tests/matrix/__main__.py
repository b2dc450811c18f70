"""`python -m tests.matrix [PART ...]`: runs what isn't done yet, and writes docs/resilience.md.

What was done is kept in `.matrix/`, one line a case, by the commit of the product; `--again` forgets it. Interrupted,
it goes on the next time; defects, and cases whose call wasn't made, are run again.
`python -m tests.matrix sample` runs each fault once and a few kills, and keeps nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from .. import leftovers
from .databases import postgres_folder
from .faults import Case, cases, seeded
from .kept import KEPT, kept, product
from .kills import kills
from .lies import DELETING, lies
from .plain import DATABASE, FLOWS
from .pool import Job, judged, open_world, outcome
from .prefect_kills import prefect_kills
from .races import races
from .report import counts, write_figures
from .sleepers import sleepers
from .world import DATABASE_SPEED, SPEED, World, world

SEED = 1
SEEDED_RUNS = 200
PARTS = ("faults", "seeded", "kills", "races", "lies", "sleepers", "prefect-kills")
# Of the database, on real PostgreSQL; not run where none is installed.
DATABASE_PARTS = ("database-faults", "database-kills")


def main() -> int:
    """Run a part of the matrix, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("part", choices=[*PARTS, *DATABASE_PARTS, "sample"], nargs="*")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=180, help="when to stop; the next run goes on")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--flow", action="append", choices=[*FLOWS, DATABASE])
    parser.add_argument("--cases", type=int, help="only so many of each part, drawn by a seed")
    parser.add_argument("--again", action="store_true", help="forget what was done")
    given = parser.parse_args()
    if given.part == ["sample"]:
        return _sample(given.cases or 40)
    KEPT.mkdir(exist_ok=True)
    # Whatever ends this ends what it started.
    leftovers.watch()
    defects = 0
    for part in given.part or (*PARTS, *DATABASE_PARTS):
        if part in DATABASE_PARTS and postgres_folder() is None:
            print(f"{part}: not run, as no PostgreSQL is installed: azure-sandbox postgres install")
            continue
        defects += _run(part, given)
    return 1 if defects else 0


def _run(part: str, given: argparse.Namespace) -> int:
    file = KEPT / f"{part}.jsonl"
    if given.again:
        file.unlink(missing_ok=True)
    done = {one["id"] for one in kept(part) if one["verdict"] not in ("defect", "not met")}
    flows, speed = ([DATABASE], DATABASE_SPEED) if part in DATABASE_PARTS else (list(FLOWS), SPEED)
    # The calls are the same for one instance, which is there sooner.
    instances = 1 if part == "database-faults" else 3
    with world(speed, instances) as first:
        every = list(_jobs(part, first, flows))
    jobs = [job for job in every if given.only in job.id and job.flow in (given.flow or flows)]
    random.Random(SEED).shuffle(jobs)
    if given.cases:
        jobs = jobs[: given.cases]
    todo = [job for job in jobs if job.id not in done]
    print(f"{part}: {len(jobs)} cases, {len(jobs) - len(todo)} done before", flush=True)
    ends_s = time.monotonic() + given.minutes * 60
    defects = 0
    with (
        file.open("a") as lines,
        ProcessPoolExecutor(
            given.processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=open_world,
            initargs=(speed, instances),
        ) as pool,
    ):
        waiting = iter(todo)
        running = {
            pool.submit(outcome, job) for _, job in zip(range(2 * given.processes), waiting, strict=False)
        }
        count = 0
        while running:
            for ended in as_completed(running):
                running.remove(ended)
                break
            found = ended.result()
            count += 1
            lines.write(json.dumps(found.as_json() | {"commit": product()}) + "\n")
            lines.flush()
            if found.verdict == "defect":
                defects += 1
                print(f"DEFECT {found.id}\n    {found.detail}", flush=True)
            if count % 100 == 0:
                print(f"{count} of {len(todo)}", flush=True)
            if time.monotonic() < ends_s and (job := next(waiting, None)) is not None:
                running.add(pool.submit(outcome, job))
    # Polls differ from one clean run to the next, and with them a few cases: what counts is this one's.
    ids = {job.id for job in every}
    ended = [one for one in kept(part) if one["id"] in ids]
    print(f"{part}: {dict(Counter(one['verdict'] for one in ended))}", flush=True)
    counted = counts(ended, Counter(job.flow for job in every))
    write_figures(part, counted | {"processes": given.processes, "commit": product()})
    return defects


def _sample(count: int) -> int:
    """One case of each other part, each fault once, wherever a seed says, and kills for the rest."""
    draw = random.Random(SEED)
    with world() as its:
        others = ("races", "lies", "sleepers", "prefect-kills")
        chosen: dict[str, Job] = {part: draw.choice(list(_jobs(part, its, ["tear_down"]))) for part in others}
        for part, flows in (("faults", FLOWS[:2]), ("kills", FLOWS[:3])):
            jobs = list(_jobs(part, its, list(flows)))
            draw.shuffle(jobs)
            for job in jobs:
                chosen.setdefault(job.hits[0].name if isinstance(job, Case) else job.id, job)
        found = [judged(its, job) for job in list(chosen.values())[:count]]
    for one in found:
        print(f"{one.verdict}: {one.id}" + (f"\n    {one.detail}" if one.detail else ""))
    print(dict(Counter(one.verdict for one in found)))
    return 1 if any(one.verdict == "defect" for one in found) else 0


def _jobs(part: str, first: World, flows: list[Any]) -> Iterator[Job]:
    for flow in flows:
        clean = first.clean(flow)
        if part in ("faults", "database-faults"):
            yield from cases(flow, clean.ledger, clean.operations)
        elif part == "seeded":
            yield from seeded(flow, clean.ledger, clean.operations, SEEDED_RUNS // len(FLOWS), SEED)
        elif part in ("kills", "database-kills"):
            yield from kills(flow, clean.ledger)
        elif part == "races":
            yield from races(flow, clean.ledger)
        elif part == "lies":
            yield from lies(flow, clean.ledger) if flow in DELETING else ()
        elif part == "sleepers":
            yield from sleepers(flow, clean.ledger)
        else:
            yield from prefect_kills(flow, clean.ledger)


if __name__ == "__main__":
    sys.exit(main())
