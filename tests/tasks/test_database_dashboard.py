"""How the dashboard of a database gets into Grafana."""

import pytest

from aks_postgres.arm.errors import AzureRefused
from aks_postgres.database.dashboard import dashboard_uid
from aks_postgres.reports.outputs import UNCHANGED, DashboardOutputs, RoleOutputs
from aks_postgres.resources.grafana_dashboards import Dashboards
from aks_postgres.runs.session import run_session
from aks_postgres.spec.clouds import GRAFANA_AUDIENCE

from .test_database import with_database
from .world import World

OTHERS = "00000000-0000-0000-0000-00000000000a"


async def test_it_is_made_once_and_brought_back(world: World) -> None:
    database = with_database(world)
    await database.prepare("grafana_roles", "monitor_workspace")
    made: DashboardOutputs = await database.run("dashboard")
    (write,) = database.writes()
    assert (made.change.kind, write["operation"]) == ("created", "CreateUpdateDashboard")
    assert made.url == f"{database.made['grafana'].endpoint}/d/{dashboard_uid(database.place)}"
    assert (await database.run("dashboard")).change.kind == "unchanged"
    assert database.writes() == []
    other = with_database(database, name="another-name")
    other.made = database.made
    assert (await other.run("dashboard")).change.kind == "created"


async def test_a_plan_draws_nothing(world: World) -> None:
    database = with_database(world)
    await database.prepare("grafana_roles", "monitor_workspace")
    database.azure.step(900)  # The role works by then.
    async with run_session(database.spec, planning=True):
        planned: DashboardOutputs = await database.run("dashboard")
    assert (planned.change.kind, database.writes()) == ("created", [])


async def test_what_somebody_changed_is_drawn_anew_and_their_own_stays(world: World) -> None:
    database = with_database(world)
    await database.prepare("dashboard")
    api = f"{database.made['grafana'].endpoint}/api/dashboards"
    token = database.azure.credential().get_token(f"{GRAFANA_AUDIENCE}/.default").token
    headers = {"Authorization": f"Bearer {token}"}
    http, own = database.azure.http, {"uid": "their-own", "title": "Theirs", "panels": []}
    live = http.get(f"{api}/uid/{dashboard_uid(database.place)}", headers=headers).json()["dashboard"]
    for one in (own, {**live, "panels": live["panels"][:1], "title": "Mine"}):
        assert http.post(f"{api}/db", json={"dashboard": one, "overwrite": True}, headers=headers).ok
    again: DashboardOutputs = await database.run("dashboard")
    assert [change.field for change in again.change.fields] == ["dashboard.title", "dashboard.panels"]
    assert (await database.run("dashboard")).change.kind == "unchanged"
    assert http.get(f"{api}/uid/their-own", headers=headers).json()["dashboard"]["title"] == "Theirs"


@pytest.mark.parametrize("operation", ["GetDashboardByUid", "CreateUpdateDashboard"])
@pytest.mark.parametrize(
    "do",
    [
        pytest.param({"status": 200, "raw_body": "[]"}, id="nonsense"),
        pytest.param({"status": 500, "raw_body": "<html>oops</html>"}, id="500", marks=pytest.mark.thorough),
        pytest.param(
            {"status": 429, "code": "TooMany", "retry_after_s": 1}, id="429", marks=pytest.mark.thorough
        ),
        pytest.param({"status": 401, "code": "Unauthorized"}, id="401", marks=pytest.mark.thorough),
        pytest.param({"cut": "before"}, id="cut", marks=pytest.mark.thorough),
    ],
)
async def test_what_grafana_does_costs_the_dashboard_and_not_the_run(
    world: World, operation: str, do: dict[str, object]
) -> None:
    database = with_database(world)
    await database.prepare("grafana_roles", "monitor_workspace")
    database.azure.step(900)
    order = database.azure.fault(do, service="grafana", operation=operation, times=None)
    left: DashboardOutputs = await database.run("dashboard")
    assert order
    assert (left.url, left.change.kind) == (None, "unchanged")
    assert left.why
    database.azure.control("DELETE", "faults")
    assert (await database.run("dashboard")).change.kind == "created"


async def test_without_a_role_there_the_run_goes_on_and_says_so(world: World) -> None:
    admins = [{"object_id": OTHERS, "type": "User"}]
    database = with_database(world, {"monitoring": {"grafana_admins": admins}})
    await database.prepare("grafana", "monitor_workspace")
    database.made["grafana_roles"] = RoleOutputs(ids=(), change=UNCHANGED)  # Those of others.
    left: DashboardOutputs = await database.run("dashboard")
    assert (left.url, left.change.kind, database.writes()) == (None, "unchanged", [])
    assert "permissions" in left.why


@pytest.mark.parametrize(
    "endpoint", ["https://example.com", "http://g.eus.grafana.azure.com", "https://xgrafana.azure.com"]
)
async def test_no_token_goes_elsewhere(world: World, endpoint: str) -> None:
    class Connection:
        endpoint = "https://management.azure.com"

    with pytest.raises(AzureRefused, match="isn't Managed Grafana"):
        Dashboards(Connection(), "grafana-1", endpoint)  # type: ignore[arg-type]
