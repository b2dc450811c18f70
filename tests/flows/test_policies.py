"""Policies of an organization that change what is written, or add to it."""

from typing import Any

import pytest

from aks_postgres.arm.errors import LastingState
from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import provision
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.tear_down.errors import TearDownRefused
from azure_sandbox.client import SandboxProcess

from ..cases import shown
from ..conftest import spec_for
from .conftest import without_lock_traffic, writes
from .stage import API_VERSIONS

pytestmark = pytest.mark.usefixtures("prefect_api")

KEY = "cnpg-canadacentral"
GRAFANA = "Microsoft.Dashboard/grafana"
GROUP = "Microsoft.Resources/resourceGroups"
# A policy's type and field with its value, and what the refusal says.
OVERRULED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a field of Grafana's": (
        GRAFANA,
        {"properties.publicNetworkAccess": "Disabled"},
        "Managed Grafana grafana-.*properties.publicNetworkAccess is 'Disabled' and 'Enabled' was sent",
    ),
    "another one": (
        GRAFANA,
        {"properties.deterministicOutboundIP": "Enabled"},
        "Managed Grafana grafana-.*properties.deterministicOutboundIP is 'Enabled' and 'Disabled' was sent",
    ),
    "a tag of the group's": (
        GROUP,
        {"tags.team": "platform"},
        "resource group rg-.*tags.team is 'platform' and 'x' was sent",
    ),
    "the tag that says whose it is": (
        GROUP,
        {"tags.managed-by": "platform"},
        "resource group rg-.* doesn't show the tags that it was just written with",
    ),
}


@pytest.mark.parametrize("name", shown(OVERRULED, first=1))
async def test_a_policy_that_changes_what_is_written_is_told_after_two_writes(
    azure: SandboxProcess, environment: EnvironmentOutputs, name: str
) -> None:
    kind, modify, words = OVERRULED[name]
    azure.settings(policies=[{"name": "ours", "type": kind, "modify": modify}])
    since = len(azure.ledger())
    with pytest.raises(LastingState, match=words) as refused:
        await provision(spec_for(azure, tags={"team": "x"}))
    assert "az policy assignment list" in str(refused.value)
    operation = "Grafana_Update" if kind == GRAFANA else "ResourceGroups_Update"
    sent = [e for e in writes(azure.ledger()[since:]) if e["operation"] == operation]
    assert 1 <= len(sent) <= 4  # two of each group, if there are two


@pytest.mark.thorough
async def test_a_policy_that_adds_what_we_dont_own_is_no_trouble(
    azure: SandboxProcess, environment: EnvironmentOutputs
) -> None:
    modify = {"tags.cost-center": "4711", "properties.somethingNew": "Enabled"}
    azure.settings(policies=[{"name": "ours", "type": ".*", "modify": modify}])
    spec = spec_for(azure, tags={"team": "x"})
    await provision(spec)
    assert (await make_plan(spec, recorded=False)).is_empty


@pytest.mark.thorough
async def test_what_a_policy_deploys_stays_and_is_named_before_a_tear_down(
    azure: SandboxProcess, environment: EnvironmentOutputs
) -> None:
    azure.control("POST", "scenarios", {"name": "policy-deploys"})
    spec = spec_for(azure, tags={"team": "x"})
    await provision(spec)
    azure.step(120)
    since = len(azure.ledger())
    assert (await make_plan(spec, recorded=False)).is_empty
    again = await provision(spec)
    assert {change.kind for change in again.changes.values()} == {"unchanged"}
    assert without_lock_traffic(writes(azure.ledger()[since:])) == []
    with pytest.raises(TearDownRefused) as refused:
        await tear_down(spec, confirm=KEY)
    (problem,) = refused.value.problems
    assert problem.startswith("Microsoft.Insights/actionGroups platform-on-call in rg-cnpg")
    # The setting isn't a resource of its own: it goes with the cluster.
    action = f"{environment.resource_group.id}/providers/Microsoft.Insights/actionGroups/platform-on-call"
    assert azure.arm("DELETE", action, api_version="2023-01-01").status_code == 200
    receipt = await tear_down(spec, confirm=KEY)
    assert environment.cluster.id in {item.id for item in receipt.deleted}


NEIGHBOURS = {
    "action group": ("Microsoft.Insights/actionGroups/on-call", "2023-01-01", {"groupShortName": "on-call"}),
    "solution": ("Microsoft.OperationsManagement/solutions/ContainerInsights(x)", "2015-11-01-preview", {}),
}


@pytest.mark.parametrize("name", shown(NEIGHBOURS, first=0))
async def test_a_neighbour_in_the_group_is_no_drift_and_stops_a_tear_down_by_name(
    azure: SandboxProcess, environment: EnvironmentOutputs, name: str
) -> None:
    kind, version, properties = NEIGHBOURS[name]
    if not properties:
        properties = {"workspaceResourceId": environment.log_workspace.id}
    body = {"location": "canadacentral", "properties": properties}
    path = f"{environment.resource_group.id}/providers/{kind}"
    assert azure.arm("PUT", path, body, api_version=version).status_code == 201
    spec = spec_for(azure)
    assert (await make_plan(spec, recorded=False)).is_empty
    with pytest.raises(TearDownRefused) as refused:
        await tear_down(spec, confirm=KEY)
    (problem,) = refused.value.problems
    assert kind.rpartition("/")[0] in problem
    assert "Move it elsewhere or delete it, then run again." in problem
    live = azure.arm("GET", environment.cluster.id, api_version=API_VERSIONS["managedClusters"])
    assert live.status_code == 200
