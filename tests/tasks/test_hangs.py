"""Operations that don't end: noticed at their deadline, told with their last state, and waited for by the next run."""

from typing import Any

import pytest

from aks_postgres.arm.errors import OperationNotDone

from .world import World

FOR_EVER_S = 10_000_000


@pytest.mark.parametrize(
    ("step", "duration", "write", "what"),
    [
        pytest.param(
            "cluster",
            "aks_cluster_create",
            "ManagedClusters_CreateOrUpdate",
            "AKS cluster .* is still Creating",
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            "node_pool",
            "aks_pool_add",
            "AgentPools_CreateOrUpdate",
            "node pool .* is still Creating",
            marks=pytest.mark.thorough,
        ),
        ("grafana", "grafana_create", "Grafana_Create", "Managed Grafana .* is still"),
    ],
)
async def test_an_operation_that_never_ends_is_told_and_a_rerun_goes_on_waiting(
    world: World, step: str, duration: str, write: str, what: str
) -> None:
    if step == "node_pool":
        await world.prepare("cluster")
    world.azure.settings(durations={duration: FOR_EVER_S})

    def writes() -> list[dict[str, Any]]:
        return [one for one in world.azure.ledger(operation=write) if one["method"] == "PUT"]

    with pytest.raises(OperationNotDone, match=f"{what} .*run again.*Azure says of the operation: ") as told:
        await world.run(step)
    assert "after" in str(told.value)
    before = len(writes())
    with pytest.raises(OperationNotDone, match=what):
        await world.run(step)
    world.azure.step(FOR_EVER_S)
    await world.run(step)
    assert len(writes()) == before
