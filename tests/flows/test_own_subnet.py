"""An environment in a subnet of one's own, from the first run to the tear-down."""

import pytest

from aks_postgres.flows._doctor import diagnose
from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.rebuild import rebuild
from aks_postgres.flows.tear_down import tear_down
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for
from ..subnets import API_VERSION, make_subnet
from .conftest import quicken, run_provision, without_lock_traffic

pytestmark = [pytest.mark.usefixtures("prefect_api"), pytest.mark.thorough]

KEY = "cnpg-canadacentral"


@pytest.mark.parametrize("cluster_requests", ["step_by_step", "single"])
async def test_it_comes_and_goes_and_the_subnet_stays(azure: SandboxProcess, cluster_requests: str) -> None:
    quicken(azure)
    azure.settings(role_effect_s=0)
    subnet = make_subnet(azure)
    before = azure.arm("GET", subnet, api_version=API_VERSION).json()
    spec = spec_for(azure, network={"subnet_id": subnet}, cluster_requests=cluster_requests)
    assert (await diagnose(spec)).blockers == ()
    first = await make_plan(spec, recorded=False)
    assert "subnet_role" in {step.step for step in first.changes}
    await run_provision(azure, spec)
    assert without_lock_traffic((await run_provision(azure, spec)).writes) == []
    assert (await make_plan(spec, recorded=False)).is_empty
    await rebuild(spec, KEY, "replace")
    assert (await make_plan(spec, recorded=False)).is_empty
    stored = azure.control("GET", "resources")["resources"]
    cluster = next(one for one in stored if one["type"].casefold().endswith("/managedclusters"))
    nodes = sum(pool["count"] for pool in cluster["properties"]["agentPoolProfiles"])
    properties = azure.arm("GET", subnet, api_version=API_VERSION).json()["properties"]
    assert len(properties["ipConfigurations"]) == nodes >= 5
    await tear_down(spec, KEY)
    assert azure.arm("GET", subnet, api_version=API_VERSION).json()["properties"] == before["properties"]
    left = [one["type"] for one in azure.control("GET", "resources")["resources"]]
    assert "Microsoft.Authorization/roleAssignments" not in left
    assert not any(
        entry["method"] != "GET"
        and "/virtualNetworks/spoke" in entry["path"]
        and "/providers/Microsoft.Auth" not in entry["path"]
        for entry in azure.ledger()[5:]
    )
