"""Many regions at once: each its own run, and a failure stays in its region."""

import pytest
from prefect import get_client

from environment.fleet import Fleet
from environment.problems import SpecError
from environment.spec import EnvironmentSpec
from flows.provision_fleet import provision_fleet

from ..sandbox.conftest import SandboxProcess

pytestmark = pytest.mark.usefixtures("prefect_api")


async def test_one_region_failing_does_not_stop_the_others_and_the_table_says_why(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    regions = ["canadacentral", "westus", "northeurope"]  # westus has no availability zones
    state = await provision_fleet(spec, regions, return_state=True)
    fleet: Fleet = await state.aresult(raise_on_failure=False)
    assert state.is_failed()
    assert {r.region: r.state for r in fleet.regions} == {
        "canadacentral": "Completed",
        "westus": "Failed",
        "northeurope": "Completed",
    }
    (failed,) = fleet.failed
    assert "preflight found" in failed.failure
    assert "zones" in failed.failure
    assert state.message == "cnpg: 2 of 3 regions done; failed: westus"
    groups = {r["location"] for r in azure.control("GET", "resources")["resources"] if "location" in r}
    assert {"canadacentral", "northeurope"} <= groups
    assert "westus" not in groups
    async with get_client() as client:
        names = [run.name for run in await client.read_flow_runs(limit=200)]
    assert any(name.startswith("provision cnpg in northeurope") for name in names)


async def test_a_deployment_that_is_not_there_is_that_regions_failure(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    state = await provision_fleet(spec, ["canadacentral"], runs="deployments", return_state=True)
    fleet: Fleet = await state.aresult(raise_on_failure=False)
    (failed,) = fleet.failed
    assert "provision/canadacentral" in failed.failure


async def test_a_region_given_twice_is_refused(azure: SandboxProcess, spec: EnvironmentSpec) -> None:
    with pytest.raises(SpecError, match=r"regions: \['westus3'\] was given; each region once"):
        await provision_fleet(spec, ["westus3", "westus3"])
