"""provision against tear_down: one after the other, never both."""

import asyncio

import pytest

from aks_postgres.flows.provision import provision
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.runs.errors import EnvironmentBusy
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import environment_key
from azure_sandbox.client import SandboxProcess

from ..flows.conftest import writes
from .world import empty

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("prefect_api")]

LONG_S = 10_000


async def test_a_tear_down_beside_a_provision_is_refused_or_waits_for_its_end(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    empty(azure)
    azure.settings(durations={"aks_pool_add": LONG_S})
    making = asyncio.create_task(provision(spec))
    while not azure.ledger(operation="AgentPools_CreateOrUpdate", method="PUT"):
        await asyncio.sleep(0.05)
    with pytest.raises(EnvironmentBusy, match="provision cnpg in canadacentral"):
        await tear_down(spec, environment_key(spec), if_another_run="refuse")
    waiting = asyncio.create_task(tear_down(spec, environment_key(spec)))
    await asyncio.sleep(0.5)
    assert azure.ledger(method="DELETE") == []
    assert (await making).place.generation == 1
    await waiting
    kinds = [one["method"] for one in writes(azure.ledger())]
    first = kinds.index("DELETE")
    made = [one for one in azure.ledger(operation="AgentPools_CreateOrUpdate") if one["method"] == "PUT"]
    assert len(made) == 1
    # Groups are marked during a tear-down; nothing else is made any more.
    later = [one["operation"] for one in writes(azure.ledger())[first:] if one["method"] in ("PUT", "PATCH")]
    assert set(later) <= {"ResourceGroups_Update"}
