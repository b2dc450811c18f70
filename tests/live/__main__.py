"""`python -m tests.live`, `make test-azure`: one small environment on Azure itself, from doctor to tear-down.

Off by default: it costs money. The subscription is named by hand, minutes and US dollars are a budget that it keeps to,
and a second process cleans up whatever happens to this one, also when it is killed. If only that second one is killed,
another takes its place in the end. Everything is recorded, redacted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .budget import Budget, changed, small

Stage = Callable[[], Awaitable[str]]


def main() -> int:
    """Run it; 0 if every stage went well and nothing is left."""
    given = _arguments()
    budget = Budget(given.minutes, given.clean_up_minutes, given.usd)
    spec = small(given.subscription, given.region, f"{secrets.randbelow(36**8):08d}"[-8:])
    try:
        minutes = budget.minutes_within(spec)
    except ValueError as refused:
        print(f"live test: {refused}. Nothing was done.", file=sys.stderr)
        return 2
    folder = given.folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("left.json", "result.json"):  # of an earlier test
        (folder / name).unlink(missing_ok=True)
    os.environ["AKS_POSTGRES_RECORD"] = str(folder / "recording")
    ends = time.time() + (minutes - given.clean_up_minutes) * 60
    until = ends + given.clean_up_minutes * 60
    guardian = _guardian(folder, spec.model_dump_json(), until)
    print(f"live test: {minutes:.0f} minutes, {given.clean_up_minutes:g} of them for the clean-up; {folder}")
    stopped, stages = "", []
    try:
        from aks_postgres.cli.environment import prefect_found

        with prefect_found(quiet=True):
            stopped = asyncio.run(_stages(spec, ends, stages))
    except (KeyboardInterrupt, Exception) as error:
        stopped = f"{type(error).__name__}: {error}"
    finally:
        left = _clean_up(guardian, folder)
        if left is None:
            left = _clean_up(_guardian(folder, spec.model_dump_json(), until), folder)
        if left is None:
            left = {"left": None, "clean_up": f"killed twice; see {folder / 'clean-up.log'}"}
    result = {"stages": stages, "stopped": stopped, **left}
    (folder / "result.json").write_text(json.dumps(result, indent=2))
    print(json.dumps(result, indent=2))
    return 0 if not stopped and left.get("left") == [] else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.live", description=__doc__)
    parser.add_argument("--subscription", required=True, help="its ID, typed; the environment isn't asked")
    parser.add_argument("--region", default="canadacentral")
    parser.add_argument("--minutes", type=float, default=150)
    parser.add_argument("--clean-up-minutes", type=float, default=45, help="kept for the clean-up")
    parser.add_argument("--usd", type=float, default=5)
    parser.add_argument("--folder", type=Path, default=Path(".live"))
    return parser.parse_args()


def _guardian(folder: Path, spec: str, until: float) -> subprocess.Popen[bytes]:
    """The process that cleans up as soon as this one says so, or is gone."""
    with (folder / "clean-up.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.clean_up", str(folder), str(until)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdin is not None
    process.stdin.write(spec.encode() + b"\n")
    process.stdin.flush()
    return process


def _clean_up(guardian: subprocess.Popen[bytes], folder: Path) -> dict[str, Any] | None:
    """What the process that cleans up found in the end; None if it was killed before."""
    assert guardian.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        guardian.stdin.close()
    guardian.wait()
    try:
        found: dict[str, Any] = json.loads((folder / "left.json").read_text())
    except (OSError, ValueError):
        return None
    return found


async def _stages(spec: Any, ends: float, told: list[dict[str, Any]]) -> str:
    """Every stage in its order; why it stopped before the last one."""
    for name, stage in _all(spec):
        began = time.time()
        print(f"live test: {name}", flush=True)
        try:
            async with asyncio.timeout(max(ends - began, 0)):
                said = await stage()
        except TimeoutError:
            told.append({"stage": name, "took_s": round(time.time() - began), "said": "the budget is spent"})
            return "budget"
        except Exception as error:
            told.append({"stage": name, "took_s": round(time.time() - began), "said": str(error)[:2000]})
            return name
        told.append({"stage": name, "took_s": round(time.time() - began), "said": said})
    return ""


def _all(spec: Any) -> list[tuple[str, Stage]]:
    from aks_postgres.flows._doctor import diagnose
    from aks_postgres.flows.plan import make_plan
    from aks_postgres.flows.provision import provision
    from aks_postgres.flows.tear_down import tear_down

    async def doctor() -> str:
        found = await diagnose(spec)
        _require(
            not found.blockers,
            "; ".join(f"{one.name}: {one.found} {one.next_step}" for one in found.blockers),
        )
        return f"{len(found.checks)} checks"

    async def first_plan() -> str:
        found = await make_plan(spec, recorded=False)
        _require(not found.unknown, "; ".join(f"{one.step}: {one.reason}" for one in found.unknown))
        return f"{len(found.changes)} steps to do"

    async def first_run() -> str:
        return _said(await provision(spec))

    async def second_run() -> str:
        outputs = await provision(spec)
        wrote = [name for name, change in outputs.changes.items() if change.kind != "unchanged"]
        _require(not wrote, f"a second run wrote: {', '.join(wrote)}")
        return "nothing was written"

    async def empty_plan() -> str:
        found = await make_plan(spec, recorded=False)
        _require(found.is_empty, "; ".join(f"{one.step}: {one.fields}" for one in found.changes))
        return "nothing to do"

    async def one_change() -> str:
        outputs = await provision(changed(spec))
        wrote = [name for name, change in outputs.changes.items() if change.kind != "unchanged"]
        _require(wrote == ["node_pool"], f"one change was asked for, and written: {', '.join(wrote)}")
        return "the pool was changed"

    async def down() -> str:
        receipt = await tear_down(changed(spec), f"{spec.name}-{spec.region}")
        return receipt.headline

    return [
        ("doctor", doctor),
        ("plan", first_plan),
        ("provision", first_run),
        ("second run", second_run),
        ("plan of a finished environment", empty_plan),
        ("one change", one_change),
        ("tear-down", down),
    ]


def _require(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise RuntimeError(otherwise)


def _said(outputs: Any) -> str:
    kinds = [change.kind for change in outputs.changes.values()]
    return f"{kinds.count('created')} created, {kinds.count('updated')} updated"


if __name__ == "__main__":
    sys.exit(main())
