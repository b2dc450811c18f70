"""Where nobody has recorded which of two ways Azure goes, a run ends well in either.

Container insights has two switches in a cluster, of which AKS takes the monitor profile's (`aks_insights` in the
sandbox), and AKS may take an If-Match bare or in quotes.
"""

from typing import Any

import pytest

from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import provision
from aks_postgres.reports.journal import Journal, use_journal
from azure_sandbox.client import SandboxProcess

from ..conftest import point_at, spec_for
from .conftest import quicken, run_provision
from .stage import API_VERSIONS, CLUSTER, LOGS, Change, Stage, azure_sets, person_sets, put

pytestmark = pytest.mark.usefixtures("prefect_api")

CLUSTER_PUT = "ManagedClusters_CreateOrUpdate"
SECOND = "properties.azureMonitorProfile.containerInsights"
VERSION = API_VERSIONS["managedClusters"]


def cluster_writes(ledger: list[dict[str, Any]]) -> list[int]:
    return [one["status"] for one in ledger if one["operation"] == CLUSTER_PUT]


@pytest.mark.parametrize(
    ("form", "statuses"),
    [
        pytest.param("any", [200], marks=pytest.mark.thorough),
        pytest.param("bare", [200], marks=pytest.mark.thorough),
        ("quoted", [412, 200]),
    ],
)
@pytest.mark.thorough
async def test_a_cluster_is_written_whichever_form_of_if_match_aks_takes(
    stage: Stage, form: str, statuses: list[int]
) -> None:
    azure_sets(CLUSTER, {"properties.azureMonitorProfile.metrics.enabled": False}).do(stage)
    stage.state["settings"]["if_match_form"] = form
    stage.azure.control("PUT", "state", stage.state)
    before = len(stage.azure.ledger())
    with use_journal(Journal()) as journal:
        outputs = await provision(spec_for(stage.azure))
    assert outputs.changes["metrics_on"].kind == "updated"
    assert cluster_writes(stage.azure.ledger()[before:]) == statuses
    assert any("If-Match" in str(event) for event in journal.events) == (form == "quoted")
    stage.azure.control("PUT", "settings", {"if_match_form": "any"})


@pytest.mark.thorough
@pytest.mark.parametrize("scenario", ["if-match-bare-only", "if-match-quoted-only"])
@pytest.mark.parametrize("also", ["", "container-insights-shown-when-off"])
@pytest.mark.parametrize("requests", ["step_by_step", "single"])
async def test_a_first_run_ends_well_in_either_reading_and_a_second_writes_nothing(
    azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch, scenario: str, also: str, requests: str
) -> None:
    azure.control("POST", "reset", {"seed": 1, "speed": 1000})
    quicken(azure)
    for name in filter(None, (scenario, also)):
        azure.control("POST", "scenarios", {"name": name})
    point_at(azure, monkeypatch)
    spec = spec_for(azure, cluster_requests=requests)
    run = await run_provision(azure, spec)
    # One refusal at most: what was learnt from it is kept for the rest of the run.
    refused = [one for one in run.ledger if one["status"] == 412]
    assert len(refused) <= (scenario == "if-match-quoted-only")
    assert (await make_plan(spec, recorded=False)).is_empty
    view = azure.arm("GET", run.outputs.cluster.id, api_version=VERSION).json()["properties"]
    assert view["azureMonitorProfile"]["containerInsights"]["enabled"] is True
    assert view["addonProfiles"]["omsagent"]["enabled"] is True


async def test_insights_come_on_where_a_cluster_shows_them_as_off_from_the_start(stage: Stage) -> None:
    cluster = stage.one(CLUSTER)["properties"]
    del cluster["addonProfiles"]["omsagent"]
    stage.state["settings"]["container_insights_shown_when_off"] = True
    stage.azure.control("PUT", "state", stage.state)
    await _mended(stage)
    stage.azure.control("PUT", "settings", {"container_insights_shown_when_off": False})


def _another_workspace(stage: Stage) -> None:
    # As the portal does it: the monitor profile's view names another workspace.
    workspace = f"{stage.id(LOGS)}-other"
    put(stage.azure, workspace, API_VERSIONS["workspaces"], {"location": "canadacentral", "properties": {}})
    person_sets(CLUSTER, {f"{SECOND}.logAnalyticsWorkspaceResourceId": workspace}).do(stage)
    stage.azure.step(1000)


def _switched_off(stage: Stage) -> None:
    person_sets(CLUSTER, {f"{SECOND}.enabled": False}).do(stage)
    stage.azure.step(1000)


@pytest.mark.parametrize(
    "do",
    [
        pytest.param(_switched_off, id="off"),
        pytest.param(_another_workspace, id="another workspace", marks=pytest.mark.thorough),
    ],
)
async def test_insights_changed_in_the_monitor_profile_are_put_right_in_both_views(
    stage: Stage, do: Any
) -> None:
    Change(do, by_hand=True).make(stage)
    await _mended(stage)


async def _mended(stage: Stage) -> None:
    spec, workspace = spec_for(stage.azure), stage.id(LOGS)
    changed = {step.step: step.action for step in (await make_plan(spec, recorded=False)).steps}
    assert changed["container_insights"] == "update"
    before = len(stage.azure.ledger())
    outputs = await provision(spec)
    assert outputs.changes["container_insights"].kind == "updated"
    assert cluster_writes(stage.azure.ledger()[before:]) == [200]
    view = stage.azure.arm("GET", stage.outputs.cluster.id, api_version=VERSION).json()["properties"]
    assert view["addonProfiles"]["omsagent"]["enabled"] is True
    second = view["azureMonitorProfile"]["containerInsights"]
    assert second["enabled"] is True
    assert second["logAnalyticsWorkspaceResourceId"].casefold() == workspace.casefold()
    assert (await make_plan(spec, recorded=False)).is_empty
