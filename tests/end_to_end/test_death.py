"""A run that dies: its lock is taken over, and it is marked as crashed."""

import pytest

from .conftest import Deaths
from .stack import CREATE_CLUSTER, SLOW, Stack

# What docs/deployments.md promises.
TAKEN_OVER_S = 120.0
# 90 s without a heartbeat, the last of which may be 30 s old, and what the server needs to notice.
MARKED_S = 150.0


@pytest.mark.timeout(400)
@pytest.mark.parametrize("which", ["its process", "its machine"])
async def test_the_next_run_takes_over_from_one_that_died(
    stack: Stack, deaths: Deaths, measured: dict[str, list[float]], which: str
) -> None:
    death = await deaths.of(which)
    measured[f"taken over after {which} died"].append(death.taken_over_s)
    assert death.taken_over_s < TAKEN_OVER_S
    assert (await stack.reaches(death.next_id, "Completed")).state is not None
    made = [entry["status"] for entry in stack.puts(SLOW, CREATE_CLUSTER, death.name)]
    assert made == [201, 200, 200]


@pytest.mark.timeout(400)
async def test_a_run_whose_machine_died_is_marked_as_crashed(
    stack: Stack, deaths: Deaths, measured: dict[str, list[float]]
) -> None:
    death = await deaths.of("its machine")
    run = await stack.reaches(death.run_id, "Crashed")
    assert run.state is not None
    assert run.state.message == "no heartbeat for 90 seconds"
    took_s = run.state.timestamp.timestamp() - death.died_at
    measured["marked as crashed after its machine died"].append(took_s)
    assert took_s < MARKED_S
