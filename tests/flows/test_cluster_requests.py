"""Both values of `cluster_requests` end in the same environment."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from aks_postgres.flows.plan import make_plan
from aks_postgres.reports.outputs import EnvironmentOutputs
from azure_sandbox.client import SandboxProcess

from ..az.parity import differences
from ..conftest import point_at, spec_for
from .conftest import Run, quicken, run_provision

CLUSTER_PUT = "ManagedClusters_CreateOrUpdate"


@pytest_asyncio.fixture(scope="module")
async def single(
    built: tuple[EnvironmentOutputs, dict[str, Any]], sandbox_process: SandboxProcess
) -> AsyncIterator[tuple[Run, list[dict[str, Any]]]]:
    """A run with one write for the cluster, and the resources that it left."""
    sandbox_process.control("POST", "reset", {"seed": 1, "speed": 1000})
    sandbox_process.settings(registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True})
    quicken(sandbox_process)
    # Two real seconds: long enough for requests beside it on a busy machine.
    sandbox_process.settings(durations={"aks_cluster_create": 2000})
    with pytest.MonkeyPatch.context() as patch:
        point_at(sandbox_process, patch)
        spec = spec_for(sandbox_process, cluster_requests="single")
        planned = await make_plan(spec, recorded=False)
        kinds = {step.step: step.action for step in planned.steps}
        assert [kinds[name] for name in ("cluster", "metrics_on", "node_pool", "container_insights")] == [
            "create",
            "nothing",
            "nothing",
            "nothing",
        ]
        run = await run_provision(sandbox_process, spec)
        yield run, sandbox_process.control("GET", "resources")["resources"]


def test_both_leave_the_same_resources(
    single: tuple[Run, list[dict[str, Any]]],
    built: tuple[EnvironmentOutputs, dict[str, Any]],
    sandbox_process: SandboxProcess,
) -> None:
    sandbox_process.control("PUT", "state", built[1])
    step_by_step = sandbox_process.control("GET", "resources")["resources"]
    found = differences(single[1], step_by_step)
    # An ETag counts writes, which are what differs.
    assert [str(one) for one in found if not one.path.endswith("eTag")] == []


def test_one_write_makes_the_cluster_and_the_other_writes_are_the_same(
    single: tuple[Run, list[dict[str, Any]]],
) -> None:
    run, _ = single
    writes = Counter(entry["operation"] for entry in run.writes if (entry["status"] or 500) < 300)
    assert (writes[CLUSTER_PUT], writes["AgentPools_CreateOrUpdate"]) == (1, 0)
    assert writes["DataCollectionRuleAssociations_Create"] == 2
    assert run.outputs.changes["cluster"].kind == "created"


def test_associations_are_made_while_the_cluster_is_being_created(
    single: tuple[Run, list[dict[str, Any]]],
) -> None:
    run, _ = single
    (creation,) = [o for o in run.operations if o["operation"] == CLUSTER_PUT]
    asked = [entry["at_s"] for entry in run.writes_of("DataCollectionRuleAssociations_Create")]
    assert len(asked) == 2
    assert all(creation["started_s"] <= at_s < creation["ends_s"] for at_s in asked)


@pytest.mark.thorough
async def test_associations_that_azure_refuses_while_the_cluster_is_creating_are_made_afterwards(
    built: tuple[EnvironmentOutputs, dict[str, Any]],
    sandbox_process: SandboxProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sandbox_process.control("POST", "reset", {"seed": 1, "speed": 1000})
    sandbox_process.settings(registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True})
    quicken(sandbox_process)
    # Longer than the two minutes for which a missing resource is asked for again.
    sandbox_process.settings(durations={"aks_cluster_create": 2000})
    sandbox_process.control("POST", "scenarios", {"name": "associations-refused-while-creating"})
    point_at(sandbox_process, monkeypatch)
    run = await run_provision(sandbox_process, spec_for(sandbox_process, cluster_requests="single"))
    asked = [
        entry["status"]
        for entry in run.ledger
        if entry["operation"] == "DataCollectionRuleAssociations_Create"
    ]
    assert 409 in asked
    assert sum(status in (200, 201) for status in asked) == 2
    told = " ".join(event.text for event in run.journal.events)
    assert "refused while the cluster is being made" in told
