"""`plan` finds what differs, exactly that, and writes nothing."""

from typing import Any

import pytest

from environment.plan import Plan
from environment.spec import EnvironmentSpec
from flows.plan import make_plan, plan

from ..conftest import spec_for
from ..sandbox.conftest import SandboxProcess
from .conftest import Run, run_provision, writes

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


async def test_plan_of_a_finished_environment_is_empty_and_of_a_changed_one_is_the_change(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    run = await run_provision(azure, spec)
    before = len(azure.ledger())
    state = await plan(spec, return_state=True)
    assert state.name == "NothingToDo"
    assert (await state.aresult()).is_empty

    wanted = spec_for(azure, postgres_pool={"max_count": 9}, tags={"owner": "somebody"})
    found = await make_plan(wanted, recorded=False)
    pool = next(step for step in found.steps if step.step == "postgres_pool")
    assert [(f.field, f.old, f.new) for f in pool.fields] == [("properties.maxCount", 6, 9)]
    assert actions(found)["resource_group"] == "update"
    assert "public_ip" not in actions(found)
    assert writes(azure.ledger()[before:]) == []
    await remove_tag_and_plan(azure, spec, run)


async def remove_tag_and_plan(azure: SandboxProcess, spec: EnvironmentSpec, run: Run) -> None:
    path = run.outputs.identity.id
    body: dict[str, Any] = azure.arm("GET", path, api_version="2024-11-30").json()
    tags = {name: value for name, value in body["tags"].items() if name != "owner"} | {"cost": "42"}
    azure.arm("PUT", path, {"location": body["location"], "tags": tags}, api_version="2024-11-30")
    found = await make_plan(spec, recorded=False)
    assert actions(found) == {"identity": "update"}
    (step,) = found.changes
    assert [(f.field, f.old, f.new) for f in step.fields] == [("tags.owner", None, "user")]


async def test_which_machine_plans_is_no_drift(azure: SandboxProcess, spec: EnvironmentSpec) -> None:
    await run_provision(azure, spec)
    elsewhere = spec_for(azure, network={"worker_address": "20.99.1.1"})
    assert (await make_plan(elsewhere, recorded=False)).is_empty


async def test_what_cannot_be_done_is_said_with_the_way_out(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    await run_provision(azure, spec)
    found = await make_plan(spec_for(azure, postgres_pool={"vm_size": "Standard_D8s_v5"}), recorded=False)
    assert [step.step for step in found.refusals] == ["postgres_pool"], found.refusals
    (refused,) = found.refusals
    assert refused.step == "postgres_pool"
    assert "Standard_D4s_v5" in refused.reason
    assert "Rename the pool in the spec" in refused.reason


async def test_a_reader_may_plan(
    azure: SandboxProcess, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = azure.subscription
    reader = azure.control("POST", "principals", {"roles": [{"role": "Reader", "scope": scope}]})
    monkeypatch.setenv("AZURE_CLIENT_ID", reader["client_id"])
    monkeypatch.setenv("AZURE_CLIENT_SECRET", reader["client_secret"])
    found = await make_plan(spec, recorded=False)
    assert len(found.changes) == len(found.steps) - 1
    assert any("Microsoft.Authorization/roleAssignments/write" in warning for warning in found.warnings)
