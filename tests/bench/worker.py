"""`python -m tests.bench.worker REQUEST ANSWER`: one measured process, of ours or of the guide's az.

A process of its own, so that CPU and memory are its own, and its start is counted like that of every az.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def main() -> int:
    """Do what the request says, and write what it took."""
    wanted: Json = json.loads(Path(sys.argv[1]).read_text())
    began_s = time.monotonic()
    found = _guide(wanted) if wanted["what"] == "guide" else asyncio.run(_ours(wanted))
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    # az is a process a command: the largest counts, and the sum of their seconds.
    used = children if wanted["what"] == "guide" else own
    found |= {
        "work_s": time.monotonic() - began_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss / 1024,
    }
    Path(sys.argv[2]).write_text(json.dumps(found))
    return 0


async def _ours(wanted: Json) -> Json:
    from aks_postgres.reports.journal import Journal, use_journal
    from aks_postgres.spec.environment import EnvironmentSpec

    specs = [EnvironmentSpec.model_validate(spec) for spec in wanted["specs"]]
    if wanted["what"] == "fleet":
        return await _fleet(specs, wanted["regions"], wanted["runs"])
    with use_journal(Journal()) as journal:
        if wanted["what"] == "plan":
            from aks_postgres.flows.plan import plan

            state: Any = await plan(specs[0], return_state=True)
            return {"state": state.name}
        if wanted["what"] == "deploy_database":
            from aks_postgres.flows.deploy_database import deploy_database

            state = await deploy_database(specs[0], return_state=True)
            await state.result()
            return {"state": state.name}
        from aks_postgres.flows.provision import provision

        state = await provision(specs[0], return_state=True)
    outputs = await state.result()
    changed = [name for name, change in outputs.changes.items() if change.kind != "unchanged"]
    ends = ("created", "updated", "unchanged", "done")
    steps = [
        [event.at_s, event.step, event.kind] for event in journal.events if event.kind in ("started", *ends)
    ]
    return {"state": state.name, "changed": changed, "steps": steps, "cluster": outputs.cluster.id}


async def _fleet(specs: list[Any], regions: list[str], runs: Any) -> Json:
    """Every environment at once: a fleet of regions for each name, side by side, here or through deployments."""
    from aks_postgres.flows.provision_fleet import provision_fleet

    async def one(spec: Any) -> list[Json]:
        try:
            state: Any = await provision_fleet(
                spec, regions, at_once=len(regions), runs=runs, return_state=True
            )
            fleet = await state.result(raise_on_failure=False)
            if isinstance(fleet, Exception):
                raise fleet
            return [region.model_dump() for region in fleet.regions]
        except Exception as error:
            return [{"region": region, "state": "Lost", "failure": repr(error)[:300]} for region in regions]

    return {"regions": [row for rows in await asyncio.gather(*map(one, specs)) for row in rows]}


def _guide(wanted: Json) -> Json:
    from ..az.run import Choices, GuideFailed, GuideRun

    class Reader(GuideRun):
        def _run(self, title: str, script: str, command: Any = None) -> None:
            try:
                super()._run(title, script, command)
            except GuideFailed:
                # Agents come minutes after the command that brings them: who looks too early looks again, uncounted.
                if "kubectl get ds" not in script:
                    raise

    run = Reader(
        "custom cloud",
        wanted["sandbox"],
        Path(wanted["az"]),
        Path(wanted["home"]),
        Choices(**wanted["choices"]),
        deadline_s=wanted["deadline_s"],
    )
    run.log_in()
    logged_in_s = time.monotonic()
    run.create_infrastructure()
    took_s = time.monotonic() - logged_in_s
    calls = [call for call in run.calls if call.is_az]
    return {
        "guide_s": took_s,
        "calls": len(calls),
        "steps": [[ran.took_s, title] for title, ran in run.ran.items()],
    }


if __name__ == "__main__":
    sys.exit(main())
