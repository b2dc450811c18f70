"""The Prefect UI in Chromium: the run form, a run with its graph, and what runs leave."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun

from aks_postgres.flows import _environment

from .browser import browser
from .conftest import LARGE_SPEC, UI_SPEC
from .stack import Stack

SPEC, REGION = UI_SPEC, UI_SPEC["region"]
KEY = f"{UI_SPEC['name']}-{UI_SPEC['region']}"
# Steps that only another spec has.
BY_CHOICE = {
    "ensure_subnet_role",
    "request_cluster",
    "ensure_backup_immutability",
    "restart_stuck_agents",
    "ensure_backup_identity",
    "ensure_operator_settings",
}


def fields(form: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every field of a form, groups and what is in them."""
    for field in part.get("properties", {}).values():
        yield field
        if "$ref" in field:
            yield from fields(form, form["definitions"][field["$ref"].rsplit("/", 1)[-1]])


async def runs_of_ours(stack: Stack) -> list[FlowRun]:
    async with stack.client() as client:
        runs = await client.read_flow_runs(limit=200)
    return [run for run in runs if run.parameters.get("spec", {}).get("name") == SPEC["name"]]


async def form_of(stack: Stack, name: str) -> tuple[str, dict[str, Any]]:
    """The address and the schema of a deployment's run form."""
    async with stack.client() as client:
        deployment = await client.read_deployment_by_name(name)
    return f"/v2/deployments/deployment/{deployment.id}/run", deployment.parameter_openapi_schema or {}


# In REGION the spec has a name and a manifest; in the other a database and all that is shown of a large spec.
@pytest.mark.parametrize(
    ("deployment", "high_px"),
    [
        (f"rebuild/{REGION}", 1600),
        (f"rebuild/{LARGE_SPEC['region']}", 1600),
        (f"tear-down/{LARGE_SPEC['region']}", 1400),
        (f"provision/{REGION}", 9000),
        (f"plan/{REGION}", 9000),
    ],
)
async def test_a_run_form_stays_short_and_marks_nothing_optional(
    stack: Stack, pictures: Path, deployment: str, high_px: int
) -> None:
    where, form = await form_of(stack, deployment)
    async with browser(stack.server.ui, pictures) as ui:
        # The form is drawn after the page around it.
        titles = [field["title"] for field in fields(form, form) if field.get("title")]
        shown = await ui.open(where, "Submit", titles[0], titles[-1])
        await ui.picture(f"form-{deployment.replace('/', '-')}")
        assert "(Optional)" not in shown
        missing = [
            text
            for field in fields(form, form)
            for text in (field.get("title"), field.get("description"))
            if text and text.replace("\n", " ") not in shown
        ]
        assert missing == []
        # Groups have names of their own, not those of classes.
        assert re.findall(r"\w+Spec\b", shown) == []
        assert await ui.form_height_px() <= high_px


async def test_the_run_form_shows_what_the_deployment_has_refuses_a_bad_value_and_keeps_a_typed_name(
    stack: Stack, pictures: Path
) -> None:
    where, form = await form_of(stack, f"provision/{REGION}")
    async with browser(stack.server.ui, pictures) as ui:
        shown = await ui.open(where, "Cluster requests")
        given = await ui.values()
        for field in fields(form, form):
            if isinstance(field.get("default"), int) and not isinstance(field["default"], bool):
                assert str(field["default"]) in given, field["title"]
        for choice in ("uksouth", "Standard", "Standard_ZRS", "own_group", "environment", "manifest", "wait"):
            assert choice in shown

        await ui.fill("Run Name", "before the release")
        await ui.fill("Name", "UI!")
        await ui.submit_until("does not match")
        await ui.picture("form-refusal")
        assert await runs_of_ours(stack) == []

        await ui.fill("Name", SPEC["name"])
        async with asyncio.timeout(60):
            while not (runs := await runs_of_ours(stack)):
                await ui.page.get_by_role("button", name="Submit").click()
                await asyncio.sleep(3)
    (run,) = runs
    done = await stack.reaches(run.id, "Completed")
    assert done.name == "before the release"


async def test_quick_run_works(stack: Stack, pictures: Path) -> None:
    async with stack.client() as client:
        deployment = await client.read_deployment_by_name(f"plan/{REGION}")
        before = {run.id for run in await runs_of_ours(stack)}
    async with browser(stack.server.ui, pictures) as ui:
        await ui.open(f"/v2/deployments/deployment/{deployment.id}", "Run")
        await ui.page.get_by_role("button", name="Run", exact=True).first.click()
        await ui.page.get_by_role("menuitem", name="Quick run").click()
        await ui.says("Validate parameters")
        await ui.picture("quick-run")
        await ui.page.get_by_role("dialog").get_by_role("button", name="Run", exact=True).click()
        await ui.says("Flow run created")
    (run,) = [run for run in await runs_of_ours(stack) if run.id not in before]
    await stack.reaches(run.id, "NothingToDo", "Drift")


@pytest.mark.timeout(400)
async def test_a_run_shows_its_graph_and_what_it_left(stack: Stack, pictures: Path) -> None:
    spec = stack.spec(**SPEC)
    made = await stack.submit(f"provision/{REGION}", spec)
    await stack.reaches(made, "Completed")
    planned = await stack.submit(f"plan/{REGION}", spec)
    await stack.reaches(planned, "NothingToDo")
    rebuilt = await stack.submit(f"rebuild/{REGION}", confirm=KEY, strategy="blue_green")
    await stack.reaches(rebuilt, "Completed")
    removed = await stack.submit(f"tear-down/{REGION}", confirm=KEY)
    await stack.reaches(removed, "Completed")

    source = Path(_environment.__file__).read_text()
    steps = set(re.findall(r"\bstart\(\s*(\w+),", source)) - BY_CHOICE
    async with stack.client() as client:
        graph = (await client._client.get(f"/flow_runs/{made}/graph-v2")).json()
    drawn = {node["label"].split()[0]: node for _, node in graph["nodes"]}
    assert drawn.keys() == steps
    assert [name for name, node in drawn.items() if not node["parents"]] == ["preflight"]

    async with browser(stack.server.ui, pictures) as ui:
        await ui.open(
            f"/v2/runs/flow-run/{made}?tab=TaskRuns", f"provision ui in {REGION}", "mark_generation"
        )
        assert await ui.drawn() > len(steps)
        await ui.picture("run")
        for run_id, key, *texts in (
            (made, "environment", "What exists", "How to connect", "Managed Grafana"),
            (made, "timeline", "Critical path", "ensure_cluster"),
            (planned, "plan", "nothing to do"),
            (planned, "cost", "fewest nodes"),
            (rebuilt, "rebuild", "OIDC issuer", "Deleted, and read as gone"),
            (removed, "receipt", "Deleted, and read as gone"),
        ):
            artifact = (await stack.artifacts(run_id))[f"{key}-{KEY}"]
            await ui.open(f"/v2/artifacts/artifact/{artifact.id}", *texts)
            if key == "timeline":
                width = "(picture) => picture.complete ? picture.naturalWidth : 0"
                picture = ui.page.locator("main img, img[src^='data:image']").first
                await picture.wait_for()
                await asyncio.sleep(1)
                assert await picture.evaluate(width) > 300
            await ui.picture(f"artifact-{key}")
        shown = await ui.open("/v2/artifacts", "artifacts")
        for key in ("environment", "timeline", "plan", "cost", "rebuild", "receipt"):
            assert f"{key}-{KEY}" in re.sub(r"\s+", " ", shown), key
        await ui.picture("artifacts")
        await ui.open("/v2/deployments", "canadacentral", "northeurope", "fleet")
        await ui.picture("deployments")
        await ui.open("/v2/automations", "aks-postgres: a run died", "aks-postgres: an environment drifted")
        await ui.picture("automations")
