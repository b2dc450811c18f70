"""`plan` finds what differs, exactly that, and writes nothing."""

import json
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

from aks_postgres.arm.gate import Gate, Write
from aks_postgres.flows.plan import headline, make_plan, plan
from aks_postgres.reports.cost import cost_of, cost_text
from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.reports.plan import Plan
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for
from .conftest import writes

pytestmark = pytest.mark.usefixtures("prefect_api")


def actions(found: Plan) -> dict[str, str]:
    return {step.step: step.action for step in found.steps if step.action != "nothing"}


async def test_plan_of_nothing_is_everything_and_writes_nothing(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    state = await plan(spec, return_state=True)
    found: Plan = await state.aresult()
    assert state.name == "Drift"
    assert set(actions(found).values()) == {"create", "update"}
    assert [step.step for step in found.steps if step.action == "nothing"] == ["providers"]
    assert writes(azure.ledger()) == []

    assert found.cost == cost_of(spec)
    shown = (await artifact("plan-cnpg-canadacentral")).data
    assert "**AKS cluster** `aks-primary-cnpg-" in shown
    assert "postgres\\_pool.max\\_count: 6" in shown or "postgres_pool.max_count: 6" in shown, shown
    cost = await artifact("cost-cnpg-canadacentral")
    assert cost_text(found.cost) in cost.description
    costs = json.loads(cost.data)
    assert [row["what"] for row in costs] == [line.what for line in found.cost.lines]
    assert [row["what"] for row in costs if row["most nodes"] == "unknown"] == list(found.cost.unknown)


async def writes_of_a_plan_without_its_gate(
    azure: SandboxProcess, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> tuple[Plan, list[Any]]:
    """Plan with the gate taken away: it is the last thing that a write meets, and no step of a plan gets as far."""
    asked: list[Any] = []

    async def admit(_gate: Gate, write: Write, _request_id: str) -> None:
        asked.append(write)

    monkeypatch.setattr(Gate, "admit", admit)
    changed = spec.model_copy(
        update={
            "tags": {"team": "db"},
            "namespaces": spec.namespaces.model_copy(update={"database": "another"}),
            "postgres_pool": spec.postgres_pool.model_copy(update={"max_count": 7}),
        }
    )
    before = len(azure.ledger())
    found = await make_plan(changed, recorded=False)
    return found, [*asked, *writes(azure.ledger()[before:])]


async def test_with_the_gate_taken_away_a_plan_still_writes_nothing(
    azure: SandboxProcess, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, written = await writes_of_a_plan_without_its_gate(azure, spec, monkeypatch)
    assert len(found.changes) > 25
    assert written == []


@pytest.mark.thorough
async def test_nor_does_it_write_where_everything_is_there_and_differs(
    azure: SandboxProcess,
    spec: EnvironmentSpec,
    environment: EnvironmentOutputs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, written = await writes_of_a_plan_without_its_gate(azure, spec, monkeypatch)
    assert {"node_pool", "namespaces", "resource_group"} <= {step.step for step in found.changes}
    assert written == []


async def artifact(key: str) -> Any:
    """The newest artifact of this key."""
    async with get_client() as client:
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), sort=ArtifactSort.CREATED_DESC
        )
    return found[0]


async def test_plan_of_a_finished_environment_is_empty_and_of_a_changed_spec_is_the_change(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    state = await plan(spec, return_state=True)
    assert state.name == "NothingToDo"
    assert (await state.aresult()).is_empty

    wanted = spec_for(azure, postgres_pool={"max_count": 9}, tags={"owner": "somebody"})
    found = await make_plan(wanted, recorded=False)
    pool = next(step for step in found.steps if step.step == "node_pool")
    assert [(f.field, f.old, f.new) for f in pool.fields] == [("properties.maxCount", 6, 9)]
    assert actions(found)["resource_group"] == "update"
    assert "public_ip" not in actions(found)
    assert writes(azure.ledger()) == []


async def test_which_machine_plans_is_no_drift(
    azure: SandboxProcess, environment: EnvironmentOutputs
) -> None:
    elsewhere = spec_for(azure, network={"worker_address": "20.99.1.1"})
    assert (await make_plan(elsewhere, recorded=False)).is_empty


async def test_what_cannot_be_done_is_said_with_the_way_out(
    azure: SandboxProcess, environment: EnvironmentOutputs
) -> None:
    found = await make_plan(spec_for(azure, postgres_pool={"vm_size": "Standard_D8s_v5"}), recorded=False)
    assert [step.step for step in found.refusals] == ["node_pool"], found.refusals
    (refused,) = found.refusals
    assert refused.step == "node_pool"
    assert "Standard_D4s_v5" in refused.reason
    assert "Rename the pool in the spec" in refused.reason


@pytest.fixture
def reader(azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> str:
    """Plans are somebody's with Reader on the subscription; returns the scope of it."""
    return become(azure, monkeypatch, "Reader")


def become(azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch, *roles: str) -> str:
    scope = azure.subscription
    given = [{"role": role, "scope": scope} for role in roles]
    principal = azure.control("POST", "principals", {"name": " and ".join(roles), "roles": given})
    monkeypatch.setenv("AZURE_CLIENT_ID", principal["client_id"])
    monkeypatch.setenv("AZURE_CLIENT_SECRET", principal["client_secret"])
    return scope


async def test_a_reader_may_plan_what_isn_t_there(
    azure: SandboxProcess, spec: EnvironmentSpec, reader: str
) -> None:
    found = await make_plan(spec, recorded=False)
    assert len(found.changes) == len(found.steps) - 1
    assert any("Microsoft.Authorization/roleAssignments/write" in warning for warning in found.warnings)
    assert writes(azure.ledger()) == []


@pytest.mark.parametrize("recorded", [True, False])
async def test_a_reader_sees_all_but_what_is_in_the_cluster(
    azure: SandboxProcess,
    spec: EnvironmentSpec,
    environment: EnvironmentOutputs,
    monkeypatch: pytest.MonkeyPatch,
    recorded: bool,
) -> None:
    """It isn't the identity that provisioned either, which is no drift."""
    become(azure, monkeypatch, "Reader")
    if recorded:
        state = await plan(spec, return_state=True)
        assert state.name == "PartlySeen", state
        found: Plan = await state.aresult()
    else:
        found = await make_plan(spec, recorded=False)
    assert actions(found) == {"namespaces": "not visible", "cnpg_operator": "not visible"}
    namespaces, operator = [step for step in found.steps if step.action == "not visible"]
    assert (
        "'Microsoft.ContainerService/managedClusters/listClusterUserCredential/action'" in namespaces.reason
    )
    assert operator.reason == "comes after namespaces"
    assert headline(found) == "cnpg-canadacentral: nothing to do, 2 not visible to the caller"
    assert writes(azure.ledger()) == []


async def test_with_the_cluster_user_s_role_a_reader_sees_everything(
    azure: SandboxProcess,
    spec: EnvironmentSpec,
    environment: EnvironmentOutputs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    become(azure, monkeypatch, "Reader", "Azure Kubernetes Service Cluster User Role")
    assert (await make_plan(spec, recorded=False)).is_empty
    assert writes(azure.ledger()) == []


async def test_where_azure_cannot_be_asked_a_plan_fails_and_finds_no_drift(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    away = {"status": 503, "code": "ServiceUnavailable", "message": "Later."}
    azure.fault(away, operation="UserAssignedIdentities_Get", times=None)
    state = await plan(spec, return_state=True)
    assert state.is_failed()
    found: Plan = await state.aresult(raise_on_failure=False)
    identity = next(step for step in found.steps if step.step == "managed_identity")
    assert (identity.action, "ServiceUnavailable" in identity.reason) == ("not looked at", True)
    assert "comes after managed_identity" in {step.reason for step in found.steps}
    assert found.changes == ()
