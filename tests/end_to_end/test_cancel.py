"""Cancelling a run while Azure makes its cluster, ten times."""

import pytest

from ..flows.conftest import quicken
from .stack import CREATE_CLUSTER, SLOW, Stack

CANCELS = 10
# The promise: from the request to the end of the last process.
BAR_S = 10.0


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("deaths")
async def test_a_cancelled_run_is_gone_within_seconds_and_the_next_one_goes_on(
    stack: Stack, measured: dict[str, list[float]]
) -> None:
    sandbox = stack.sandboxes[SLOW]
    # As long as it takes to cancel ten runs; then its clock makes it end.
    sandbox.settings(durations={"aks_cluster_create": 36_000})
    spec = stack.spec(SLOW, name="cancel")
    took_s = measured["cancel, until its last process is gone"]
    for _ in range(CANCELS):
        run_id = await stack.submit("provision/canadacentral", spec, SLOW)
        await stack.is_making_a_cluster(run_id, SLOW, "cancel")
        took_s.append(await stack.cancel(run_id))
        await stack.reaches(run_id, "Cancelled", within_s=30)
        # It cleaned up: the lock is free now, and not only when its heartbeat is overdue.
        assert stack.lock(spec, SLOW) == ("Available", "")
    assert max(took_s) < BAR_S, took_s

    run_id = await stack.submit("provision/canadacentral", spec, SLOW)
    await stack.is_making_a_cluster(run_id, SLOW, "cancel")
    sandbox.step(36_000)
    quicken(sandbox)
    await stack.reaches(run_id, "Completed")
    # The first run's write is the only one that made a cluster; the others are the guide's changes to it.
    assert [entry["status"] for entry in stack.puts(SLOW, CREATE_CLUSTER, "cancel")] == [201, 200, 200]
