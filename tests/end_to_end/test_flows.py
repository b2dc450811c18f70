"""Every flow of the README, through deployments on workers; approved, scheduled and refused as in the UI."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from ..flows.conftest import writes
from .browser import browser
from .stack import QUICK, Stack, processes_of

KEY = "cnpg-canadacentral"


async def provisioned(stack: Stack) -> None:
    await stack.reaches(await stack.submit("provision/canadacentral"), "Completed")


async def test_plan_finds_nothing_to_do_after_provision(stack: Stack) -> None:
    await provisioned(stack)
    since = len(stack.sandboxes[QUICK].ledger())
    run = await stack.reaches(await stack.submit("plan/canadacentral"), "NothingToDo")
    assert sorted(run.tags) == ["aks-postgres", "canadacentral", "cnpg"]
    assert writes(stack.sandboxes[QUICK].ledger()[since:]) == []


async def test_a_fleet_is_a_run_of_each_region_s_deployment(stack: Stack) -> None:
    run_id = await stack.submit("provision-fleet/fleet")
    await stack.reaches(run_id, "Completed")
    (table,) = (await stack.artifacts(run_id)).values()
    for region in ("canadacentral", "northeurope"):
        assert region in str(table.data)
    async with stack.client() as client:
        runs = await client.read_flow_runs(limit=200)
    children = [run.name for run in runs if run.parent_task_run_id and run.deployment_id]
    assert {name.split(",")[0] for name in children} == {
        "provision cnpg in canadacentral",
        "provision cnpg in northeurope",
    }


@pytest.mark.timeout(400)
async def test_a_rebuild_is_suspended_approved_in_the_ui_and_goes_on_in_a_new_process(
    stack: Stack, pictures: Path
) -> None:
    await provisioned(stack)
    since = len(stack.sandboxes[QUICK].ledger())
    run_id = await stack.submit("rebuild/canadacentral", confirm=KEY, approval=True, strategy="blue_green")
    await stack.reaches(run_id, "Suspended")
    while processes_of(run_id):  # it frees its process
        await stack.run(run_id)
    assert writes(stack.sandboxes[QUICK].ledger()[since:]) == []
    async with browser(stack.server.ui, pictures) as ui:
        await ui.open(f"/v2/runs/flow-run/{run_id}", "Suspended", "ensure_resource_group", "would be created")
        await ui.menu("Resume")
        await ui.says("make and verify generation 2 beside generation 1", "The plan that is approved")
        await ui.picture("approval")
        await ui.fill("Confirm", KEY)
        await ui.page.get_by_role("dialog").get_by_role("button", name="Resume").click()
        await ui.page.get_by_role("dialog").wait_for(state="detached")
    goes_on_in: set[int] = set()
    while not goes_on_in:
        await stack.reaches(
            run_id, "Suspended", "Pending", "Running", "Scheduled", "Resuming", "AwaitingRetry"
        )
        goes_on_in.update(processes_of(run_id))
    await stack.reaches(run_id, "Completed")
    left = await stack.artifacts(run_id)
    assert "generation 2" in str(left[f"rebuild-plan-{KEY}"].data)
    assert "Deleted, and read as gone" in str(left[f"rebuild-{KEY}"].data)


@pytest.mark.timeout(400)
async def test_replace_then_tear_down_and_a_wrong_name_is_refused(stack: Stack) -> None:
    await provisioned(stack)
    await stack.reaches(
        await stack.submit("rebuild/canadacentral", confirm=KEY, strategy="replace"), "Completed"
    )
    since = len(stack.sandboxes[QUICK].ledger())
    refused = await stack.ends(await stack.submit("tear-down/canadacentral", confirm="cnpg-canada"))
    assert refused.state is not None
    assert refused.state.name == "NotConfirmed"
    assert KEY in str(refused.state.message)
    assert "cnpg-canada" in str(refused.state.message)
    deleted = [one for one in writes(stack.sandboxes[QUICK].ledger()[since:]) if one["method"] == "DELETE"]
    assert deleted == []
    run_id = await stack.submit("tear-down/canadacentral", confirm=KEY)
    await stack.reaches(run_id, "Completed")
    assert "Deleted, and read as gone" in str((await stack.artifacts(run_id))[f"receipt-{KEY}"].data)
    await stack.reaches(await stack.submit("tear-down/canadacentral", confirm=KEY), "NothingLeft")


@pytest.mark.timeout(400)
async def test_a_scheduled_rebuild_fires_and_completes(
    stack: Stack, measured: dict[str, list[float]]
) -> None:
    """As an operator does it: a schedule and the typed word in the regions file, rendered and deployed."""
    due = (datetime.now(UTC) + timedelta(seconds=75)).replace(second=0, microsecond=0)
    entry = next(one for one in stack.regions if one["spec"]["region"] == "northeurope")
    entry["rebuild"] = {
        "cron": f"{due.minute} {due.hour} * * *",
        "timezone": "UTC",
        "strategy": "replace",
        "confirm": "cnpg-northeurope",
    }
    stack.deploy()
    run = await scheduled(stack, "rebuild/northeurope", due)
    ended = await stack.reaches(run, "Completed", within_s=240)
    assert ended.start_time is not None
    assert ended.auto_scheduled
    measured["scheduled rebuild, began after its time"].append(ended.start_time.timestamp() - due.timestamp())


async def scheduled(stack: Stack, deployment: str, due: datetime) -> UUID:
    """The run that Prefect's scheduler has made for that time."""
    async with stack.client() as client:
        found = await client.read_deployment_by_name(deployment)
        for _ in range(600):
            for run in await client.read_flow_runs(limit=200):
                if run.deployment_id == found.id and run.expected_start_time == due:
                    return run.id
    raise AssertionError(f"no run of {deployment} is scheduled for {due}")
