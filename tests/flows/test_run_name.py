"""What a run is called in the Prefect UI."""

import pytest
from prefect import flow, get_client
from prefect.flow_engine import run_flow
from prefect.runtime import flow_run
from prefect.utilities.names import generate_slug

from aks_postgres.runs.run_name import environment_in, fleet_name, is_drawn, rebuild_name, run_name
from aks_postgres.spec.environment import EnvironmentSpec

SPEC = EnvironmentSpec(name="cnpg", region="canadacentral")


def test_names_that_prefect_drew_are_known_and_typed_ones_stay() -> None:
    assert all(is_drawn(generate_slug(2)) for _ in range(200))
    assert is_drawn("Sleek-Goose")
    typed = ("monthly-rebuild", "before the release", "Sleek goose", "release-2", "cnpg-canadacentral", "x")
    assert [name for name in typed if is_drawn(name)] == []


@pytest.mark.parametrize(
    ("regions", "name"),
    [
        (["westus3"], "provision cnpg in westus3"),
        (["westus3", "uksouth"], "provision cnpg in westus3 and uksouth"),
        (["westus3", "uksouth", "eastus"], "provision cnpg in westus3, uksouth and eastus"),
        (["westus3", "uksouth", "eastus", "eastus2"], "provision cnpg in 4 regions"),
    ],
)
def test_a_fleets_name_is_a_sentence(regions: list[str], name: str) -> None:
    assert fleet_name(SPEC, regions, at_once=10) == name


def test_a_rebuilds_name_has_its_strategy() -> None:
    assert rebuild_name(SPEC, "replace", confirm="x") == "rebuild cnpg in canadacentral, replace"


async def test_a_typed_name_stays_and_a_drawn_one_becomes_a_sentence(prefect_api: None) -> None:
    @flow(flow_run_name=run_name(environment_in("look at")))
    async def look(spec: EnvironmentSpec) -> str:
        return str(flow_run.name)

    assert await look(SPEC) == "look at cnpg in canadacentral"
    # A run from a deployment has its name before it starts.
    async with get_client() as client:
        typed = await client.create_flow_run(look, name="before the release")
    assert await run_flow(look, flow_run=typed, parameters={"spec": SPEC}) == "before the release"
