"""A rebuild's and a tear-down's plan, and what is listed, of an environment that is there."""

import pytest

from aks_postgres.flows._listing import status_of
from aks_postgres.flows._removal_view import make_tear_down_view
from aks_postgres.flows.rebuild import make_rebuild_plan
from aks_postgres.reports.plan_view import PlanView
from aks_postgres.runs.rebuild_text import plan_text
from aks_postgres.tasks.environments import find_environments

from ..conftest import spec_for
from .conftest import writes
from .stage import Stage, put
from .test_tear_down import LOCKS, lock

KEY = "cnpg-canadacentral"


def names(view: PlanView, action: str, kind: str) -> list[str]:
    return [item.name for item in view.items if (item.action, item.kind) == (action, kind)]


async def test_the_approval_shows_what_is_deleted_what_is_made_and_which_addresses_change(
    stage: Stage,
) -> None:
    stage.azure.control("PUT", "state", stage.state)
    since = len(stage.azure.ledger())
    plan = await make_rebuild_plan(spec_for(stage.azure), "blue_green", KEY, None, 60)
    assert plan.view is not None
    old = stage.outputs.cluster.name
    (new,) = names(plan.view, "create", "AKS cluster")
    assert names(plan.view, "delete", "AKS cluster") == [old] != [new]
    assert names(plan.view, "keep", "storage account") == [stage.outputs.storage_account.name]
    text = plan_text(plan)
    assert f"delete **AKS cluster** `{old}`" in text
    assert f"create **AKS cluster** `{new}`" in text
    assert f"| Public IP | {stage.outputs.public_ip.ip_address} | known after creation |" in text
    assert writes(stage.azure.ledger()[since:]) == []


@pytest.mark.thorough
async def test_a_replacement_shows_the_new_generation_too(stage: Stage) -> None:
    stage.azure.control("PUT", "state", stage.state)
    plan = await make_rebuild_plan(spec_for(stage.azure), "replace", KEY, None, 60)
    assert plan.view is not None
    assert names(plan.view, "create", "AKS cluster") not in ([], [stage.outputs.cluster.name])
    assert plan.refusals == ()


@pytest.mark.thorough
async def test_what_stands_against_a_tear_down_is_shown_with_what_would_go(stage: Stage) -> None:
    stage.azure.control("PUT", "state", stage.state)
    scope = f"{stage.outputs.resource_group.id}/providers/Microsoft.Authorization/locks/keep"
    put(stage.azure, scope, LOCKS, lock("CanNotDelete"))
    view = await make_tear_down_view(spec_for(stage.azure), None, None, 60)
    assert view.can_t
    assert any("lock" in item.reason for item in view.of("can't"))
    assert names(view, "delete", "AKS cluster") == [stage.outputs.cluster.name]


@pytest.mark.thorough
async def test_the_environment_is_listed_and_its_status_has_its_addresses(stage: Stage) -> None:
    stage.azure.control("PUT", "state", stage.state)
    spec = spec_for(stage.azure)
    (one,) = await find_environments(spec)
    assert (one.name, one.region, one.state, one.problems) == ("cnpg", "canadacentral", "current", ())
    found, addresses = await status_of(spec)
    assert found == (one,)
    assert addresses.public_ip == stage.outputs.public_ip.ip_address
