"""What a plan says of what the steps found, by itself: no sandbox."""

import pytest

from aks_postgres.flows._errors import NotThere
from aks_postgres.flows._listing import require_there
from aks_postgres.flows.provision import provision
from aks_postgres.reports.cost import cost_of
from aks_postgres.reports.outputs import FieldChange
from aks_postgres.reports.plan import Action, Plan, PlannedResource, PlannedStep
from aks_postgres.reports.plan_view import PlanView
from aks_postgres.runs.errors import PlanMoved
from aks_postgres.runs.plan_lines import markdown, plan_lines
from aks_postgres.runs.plan_moves import refuse_moved
from aks_postgres.runs.plan_view import plan_view
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess

from .conftest import writes

SPEC = EnvironmentSpec(tags={"team": "data"})
TEAM = FieldChange(field="tags.team", old=None, new="data")
ID = "/subscriptions/s/resourceGroups/rg/providers/"
CLUSTER = f"{ID}Microsoft.ContainerService/managedClusters/aks"


def found(kind: str, action: Action, *fields: FieldChange, step: str = "a_step") -> PlannedResource:
    return PlannedResource(step=step, label=kind, id=f"{ID}{kind}", action=action, fields=fields)


def view(*resources: PlannedResource, steps: tuple[PlannedStep, ...] = ()) -> PlanView:
    plan = Plan(
        environment="cnpg-canadacentral",
        subscription="A subscription",
        steps=steps,
        warnings=(),
        cost=cost_of(SPEC),
        generation=1,
        resources=resources,
    )
    return plan_view(SPEC, plan)


def test_the_same_change_is_told_once_and_another_one_by_its_resource() -> None:
    days = FieldChange(field="properties.retentionInDays", old=30, new=60)
    seen = view(
        found("Microsoft.Monitor/accounts/amw", "update", TEAM),
        found("Microsoft.OperationalInsights/workspaces/ala", "update", TEAM, days),
    )
    lines = [f"{line.text} {line.name}".strip() for line in plan_lines(seen)]
    assert lines.count("tags.team: unset -> data on 2 resources") == 1
    assert "monitoring.log_retention_days: 30 -> 60" in lines
    assert not any("amw" in line for line in lines)


def test_a_place_that_no_field_decides_keeps_arm_s_path() -> None:
    public = FieldChange(field="properties.allowBlobPublicAccess", old=True, new=False)
    (item,) = view(found("Microsoft.Storage/storageAccounts/ha", "update", public)).items
    assert [one.field for one in item.settings] == ["properties.allowBlobPublicAccess"]


def test_arm_s_path_is_said_on_request() -> None:
    most = FieldChange(field="properties.maxCount", old=6, new=9)
    pool = found("Microsoft.ContainerService/managedClusters/aks/agentPools/postgres", "update", most)
    named = "postgres_pool.max_count: 6 -> 9"
    assert named in [line.text for line in plan_lines(view(pool))]
    with_paths = [line.text for line in plan_lines(view(pool), arm_paths=True)]
    assert f"{named} [properties.maxCount]" in with_paths


def test_what_the_checks_found_is_told_as_it_is_and_not_as_a_thing() -> None:
    reason = "postgres_pool.vm_size: Standard_X was given and canadacentral doesn't offer it."
    lines = plan_lines(view(steps=(PlannedStep(step="preflight", action="can't", reason=reason),)))
    at = [line.text for line in lines].index("What stops it")
    assert (lines[at].kind, lines[at + 1].kind, lines[at + 1].text) == ("title", "item", reason)
    assert not any("preflight" in line.text or line.text == "Other" for line in lines)


def test_what_can_t_be_done_has_no_cost_and_its_way_out() -> None:
    step = PlannedStep(step="managed_identity", action="can't", reason="Way out: none.")
    seen = view(steps=(step,))
    assert seen.cost is None
    assert not any("USD" in line.text or "in all" in line.text for line in plan_lines(seen))
    assert "Way out: none." in markdown(plan_lines(seen))


def test_steps_after_one_that_stopped_are_one_line() -> None:
    steps = [
        PlannedStep(step=f"s{n}", action="not looked at", reason="comes after cluster") for n in range(9)
    ]
    items = view(steps=tuple(steps)).items
    assert [(item.kind.count(","), item.reason) for item in items] == [(8, "comes after AKS cluster")]


def test_the_digest_is_of_what_would_be_done_and_not_of_its_order_or_price() -> None:
    one, other = (
        found("Microsoft.Monitor/accounts/amw", "create"),
        found("Microsoft.Dashboard/grafana/g", "create"),
    )
    first, turned = view(one, other), view(other, one)
    assert first.digest == turned.digest == first.model_copy(update={"cost": None}).digest
    assert first.digest != view(one).digest


def test_a_plan_that_has_moved_is_refused_by_what_has() -> None:
    before = view(found("Microsoft.Monitor/accounts/amw", "create"))
    after = view(found("Microsoft.Dashboard/grafana/g", "create"))
    refuse_moved(before, before)
    with pytest.raises(PlanMoved) as refused:
        refuse_moved(after, before)
    assert "no longer: create Azure Monitor workspace amw" in str(refused.value)
    assert "new: create Managed Grafana g" in str(refused.value)


@pytest.mark.usefixtures("prefect_api")
async def test_a_run_whose_approved_plan_isn_t_what_it_would_do_writes_nothing(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    with pytest.raises(PlanMoved, match="000000000000"):
        await provision(spec, "wait", "000000000000")
    assert writes(azure.ledger()) == []


async def test_an_environment_that_isn_t_there_is_said(azure: SandboxProcess, spec: EnvironmentSpec) -> None:
    with pytest.raises(NotThere, match="no environment cnpg-canadacentral"):
        await require_there(spec)
    assert len(azure.ledger(service="arm")) == 2
