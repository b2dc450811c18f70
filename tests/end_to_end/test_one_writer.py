"""One writer per environment, over processes, and over a restart of the Prefect server."""

import asyncio
import itertools
import json
import re
import time

import pytest

from ..flows.conftest import quicken, writes
from .stack import SLOW, Stack


@pytest.mark.timeout(400)
async def test_of_two_runs_started_together_one_waits_for_the_other(stack: Stack) -> None:
    sandbox = stack.sandboxes[SLOW]
    quicken(sandbox)
    since = len(sandbox.ledger())
    spec = stack.spec(SLOW, name="twins")
    both = await asyncio.gather(*(stack.submit("provision/canadacentral", spec, SLOW) for _ in range(2)))
    for run_id in both:
        await stack.reaches(run_id, "Completed")
    # A writer's claim on the groups has its name: one run's, then at most the other's, and never back.
    bodies = [json.dumps(entry["body"]) for entry in writes(sandbox.ledger()[since:]) if entry["body"]]
    writers = [run_id for body in bodies for run_id in both if str(run_id) in body]
    assert writers
    assert [one for one, _ in itertools.groupby(writers)] == list(dict.fromkeys(writers))
    # The second run found everything in place,
    ended = sorted([await stack.run(run_id) for run_id in both], key=lambda run: str(run.end_time))
    last = (await stack.artifacts(ended[1].id))["environment-twins-canadacentral"]
    # but for what both may make before there is anything to lock.
    updated = re.findall(r"^- updated: \*\*(.*?)\*\*", str(last.data), re.M)
    assert set(updated) <= {"Resource providers", "Resource group"}
    created = "".join(re.findall(r"^- created: (.*)$", str(last.data), re.M))
    assert "AKS cluster" not in created
    assert "Node pool" not in created
    made = stack.puts(SLOW, "ManagedClusters_CreateOrUpdate", "twins")
    assert [entry["status"] for entry in made] == [201, 200, 200]


@pytest.mark.timeout(400)
async def test_a_restart_of_the_server_does_not_break_a_live_run_s_lock(
    stack: Stack, measured: dict[str, list[float]]
) -> None:
    sandbox = stack.sandboxes[SLOW]
    sandbox.settings(durations={"aks_cluster_create": 3000})  # 50 s
    spec = stack.spec(SLOW, name="lock")
    first = await stack.submit("provision/canadacentral", spec, SLOW)
    await stack.is_making_a_cluster(first, SLOW, "lock")
    began_s = time.monotonic()
    stack.server.kill()
    stack.server.start()
    measured["server away"].append(time.monotonic() - began_s)
    second = await stack.submit("provision/canadacentral", spec, SLOW, if_another_run="refuse")
    refused = await stack.ends(second)
    assert refused.state is not None
    assert refused.state.name == "Failed"
    assert f"({first})" in str(refused.state.message)
    assert "is writing to it. Nothing was written" in str(refused.state.message)
    assert stack.lock(spec, SLOW)[0] == "Leased"
    quicken(sandbox)
    await stack.reaches(first, "Completed")
