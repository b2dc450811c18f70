"""The Prefect UI in Chromium: the run form, a run with its graph, and what runs leave."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun

from aks_postgres.flows.provision import provision
from aks_postgres.spec.environment import EnvironmentSpec

from .browser import browser
from .stack import Stack

SPEC = {"name": "ui", "region": "northeurope"}
KEY = "ui-northeurope"
# Steps that only another spec has.
BY_CHOICE = {"request_cluster", "restart_stuck_agents", "ensure_backup_identity"}


def fields(schema: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every field of the form's schema, groups and what is in them."""
    for field in part["properties"].values():
        yield field
        reference = field.get("$ref") or next((one["$ref"] for one in field.get("allOf", [])), None)
        if reference:
            yield from fields(schema, schema["$defs"][reference.rsplit("/", 1)[-1]])


async def runs_of_ours(stack: Stack) -> list[FlowRun]:
    async with stack.client() as client:
        runs = await client.read_flow_runs(limit=200)
    return [run for run in runs if run.parameters.get("spec", {}).get("name") == SPEC["name"]]


async def test_the_run_form_shows_every_field_refuses_a_bad_value_and_starts_a_run(
    stack: Stack, pictures: Path
) -> None:
    schema = EnvironmentSpec.model_json_schema()
    async with stack.client() as client:
        deployment = await client.read_deployment_by_name("provision/northeurope")
    async with browser(stack.server.ui, pictures) as ui:
        shown = await ui.open(
            f"/v2/deployments/deployment/{deployment.id}/run", "the environment wanted.", "Cluster Requests"
        )
        await ui.picture("form")
        everything = list(fields(schema, schema))
        assert len(everything) > 40
        missing = [
            text
            for field in everything
            for text in (field.get("title"), field.get("description"))
            if text and text not in shown
        ]
        assert missing == []
        # Groups have names of their own, not those of classes.
        assert re.findall(r"\w+Spec\b", shown) == []
        given = await ui.values()
        for field in everything:
            if isinstance(field.get("default"), int) and not isinstance(field["default"], bool):
                assert str(field["default"]) in given, field["title"]
            elif "enum" in field:
                assert field["default"] in shown, field["title"]
            elif isinstance(field.get("default"), str) and "manifest" not in field["title"]:
                default = {"region": "northeurope"}.get(field["title"].lower(), field["default"])
                assert default in given or field["title"].startswith("Manifest"), field["title"]
        for choice in (
            "Standard",
            "Standard_ZRS",
            "own_group",
            "environment",
            "manifest",
            "step_by_step",
            "wait",
        ):
            assert choice in shown

        await ui.fill("Name (Optional)", SPEC["name"])
        await ui.fill("Region (Optional)", "North Europe!")
        await ui.submit_until("does not match")
        await ui.picture("form-refusal")

        assert await runs_of_ours(stack) == []

        await ui.fill("Region (Optional)", SPEC["region"])
        async with asyncio.timeout(60):
            while not (runs := await runs_of_ours(stack)):
                await ui.page.get_by_role("button", name="Submit").click()
                await asyncio.sleep(3)
    (run,) = runs
    done = await stack.reaches(run.id, "Completed")
    assert done.name == "provision ui in northeurope, Sandbox subscription"


@pytest.mark.timeout(400)
async def test_a_run_shows_its_graph_and_what_it_left(stack: Stack, pictures: Path) -> None:
    spec = stack.spec(**SPEC)
    made = await stack.submit("provision/northeurope", spec)
    await stack.reaches(made, "Completed")
    planned = await stack.submit("plan/northeurope", spec)
    await stack.reaches(planned, "NothingToDo")
    rebuilt = await stack.submit("rebuild/northeurope", spec, confirm=KEY, strategy="blue_green")
    await stack.reaches(rebuilt, "Completed")
    removed = await stack.submit("tear-down/northeurope", spec, confirm=KEY)
    await stack.reaches(removed, "Completed")

    source = Path(provision.fn.__code__.co_filename).read_text()
    steps = set(re.findall(r"\bstart\((\w+),", source)) - BY_CHOICE
    async with stack.client() as client:
        graph = (await client._client.get(f"/flow_runs/{made}/graph-v2")).json()
    drawn = {node["label"].split()[0]: node for _, node in graph["nodes"]}
    assert drawn.keys() == steps
    assert [name for name, node in drawn.items() if not node["parents"]] == ["preflight"]

    async with browser(stack.server.ui, pictures) as ui:
        await ui.open(
            f"/v2/runs/flow-run/{made}?tab=TaskRuns", "provision ui in northeurope", "mark_generation"
        )
        assert await ui.drawn() > len(steps)
        await ui.picture("run")
        for run_id, key, *texts in (
            (made, "environment", "What exists", "How to connect", "Managed Grafana"),
            (made, "timeline", "Critical path", "ensure_cluster"),
            (planned, "plan", "resource_group", "nothing", "Cost a day"),
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
