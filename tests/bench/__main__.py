"""`python -m tests.bench`: how long an environment takes, of ours and by the guide's az, and what a fleet costs.

Each part writes its figures into docs/benchmark.json and the report of all of them into docs/benchmark.md:

    scaled     five alternating runs of the guide's az and of both of ours, on a faster sandbox; 15 minutes
    fleet      1, 10, 50 and 100 environments at once, on PostgreSQL, 50 on SQLite, and 10 and 50 through deployments
               and 4 process workers; 75 minutes
    real-time  one run of each at Azure's own speed, side by side; 25 minutes
    database   a database on real PostgreSQL, at Azure's own speed, and the same again; 4 minutes
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from ..az.azure_cli import VERSION
from .database import measure_database
from .fleet import measure_fleet
from .processes import NoPostgreSQL, machine, postgresql, prefect_server
from .report import REPORT, read_figures, report, write_figures
from .runs import Json, durations, measure_guide, measure_ours

MODES = ("step_by_step", "single")


def say(text: str) -> None:
    """A line about what is going on, on standard error."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


def scaled(folder: Path, options: argparse.Namespace) -> list[Json]:
    """Rounds of the guide and both of ours, one after another."""
    rounds = []
    with ExitStack() as stack:
        api = _server(stack, folder)
        for number in range(options.rounds):
            place = folder / f"round-{number}"
            found: Json = {}
            for mode in MODES:
                found[mode] = measure_ours(place / mode, api, options.speed, mode, again=True)
                say(f"round {number + 1}, {mode}: {found[mode]['wall_s']:.1f} s")
            found["guide"] = measure_guide(place / "guide", options.speed)
            say(f"round {number + 1}, the guide by az: {found['guide']['wall_s']:.1f} s")
            rounds.append(found)
    return rounds


def real_time(folder: Path, options: argparse.Namespace) -> Json:
    """One run of each at speed 1, side by side: they wait nearly all the time."""
    with ExitStack() as stack:
        api = _server(stack, folder)
        with ThreadPoolExecutor(3) as pool:
            runs = {
                mode: pool.submit(measure_ours, folder / mode, api, 1.0, mode, again=True)
                for mode in MODES
                if mode in options.only
            }
            if "guide" in options.only:
                runs["guide"] = pool.submit(measure_guide, folder / "guide", 1.0)
            found: Json = {}
            for name, run in runs.items():
                try:
                    found[name] = run.result()
                    say(f"{name}: {found[name]['wall_s']:.1f} s")
                except Exception as error:  # the others took long, too
                    say(f"{name} failed: {error}")
            return found


def fleet(folder: Path, options: argparse.Namespace) -> list[Json]:
    """Fleets one after another, each on servers of its own; an earlier figure of the same kind is replaced."""
    found: list[Json] = []
    wanted: list[Json] = [{"count": count} for count in options.counts]
    wanted += [{"count": count, "sqlite": True} for count in options.sqlite]
    wanted += [{"count": count, "workers": options.workers} for count in options.deployed]
    for one in wanted:
        name = "-".join(f"{key}-{value}" for key, value in one.items())
        say(f"fleet: {name}")
        found.append(measure_fleet(folder / name, speed=options.fleet_speed, **one))
        say(f"fleet: {name}: {found[-1]['wall_s']:.0f} s, {found[-1]['states']}")
    return found


def database(folder: Path, _options: argparse.Namespace) -> Json:
    """One database, on a finished environment."""
    with ExitStack() as stack:
        found = measure_database(folder / "database", _server(stack, folder))
        say(
            f"database: {found['ready_s']:.1f} s until three instances are ready, {found['wall_s']:.1f} s in all"
        )
        return found


PARTS: dict[str, Callable[[Path, argparse.Namespace], Json | list[Json]]] = {
    "scaled": scaled,
    "real-time": real_time,
    "fleet": fleet,
    "database": database,
}


def _server(stack: ExitStack, folder: Path) -> str:
    """A Prefect server for one environment at a time, on PostgreSQL if there is one; its API's URL."""
    try:
        database = stack.enter_context(postgresql(folder))
    except NoPostgreSQL as error:
        say(f"on SQLite: {error}")
        database = None
    return stack.enter_context(prefect_server(folder, database)).api


def main() -> int:
    """Measure what is asked for, and write the report."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="+", choices=[*PARTS, "report"])
    parser.add_argument("--only", nargs="*", default=["guide", *MODES], help="of the part `real-time`")
    parser.add_argument("--rounds", type=int, default=5, help="of the part `scaled`")
    parser.add_argument("--speed", type=float, default=60.0, help="of the part `scaled`")
    parser.add_argument(
        "--fleet-speed", type=float, default=2.0, help="at most 2, or the client is what is measured"
    )
    parser.add_argument(
        "--counts", type=int, nargs="*", default=[1, 10, 50, 100], help="environments at once"
    )
    parser.add_argument("--sqlite", type=int, nargs="*", default=[50], help="the same on SQLite")
    parser.add_argument(
        "--deployed", type=int, nargs="*", default=[10, 50], help="the same through deployments and workers"
    )
    parser.add_argument("--workers", type=int, default=4, help="process workers, of --deployed")
    options = parser.parse_args()
    for part in options.parts:
        if part == "report":
            continue
        with tempfile.TemporaryDirectory(prefix="aks-postgres-bench-") as name:
            about = {
                "machine": machine() | {"load": f"{os.getloadavg()[0]:.1f}", "azure-cli": VERSION},
                "durations": durations(),
            }
            measured = PARTS[part](Path(name), options)
            write_figures(part, measured, about)
    REPORT.write_text(report(read_figures()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
