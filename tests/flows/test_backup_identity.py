"""`storage.identity: separate`: backups have a managed identity of their own, from the first run to the tear-down."""

import pytest

from aks_postgres.arm.client import current_azure
from aks_postgres.cli.guide_variables import guide_variables
from aks_postgres.errors import ImmutableChange
from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import provision
from aks_postgres.flows.rebuild import rebuild
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.runs.session import run_session
from aks_postgres.tasks.inventory import look_at_generations, read_addresses
from azure_sandbox.client import SandboxProcess

from ..cases import shown
from ..conftest import spec_for
from ..repository.ways import matches
from .conftest import quicken, run_provision

pytestmark = pytest.mark.usefixtures("prefect_api")

CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"


def roles_of(azure: SandboxProcess, principal_id: str) -> set[str]:
    found = azure.control("GET", "resources")["resources"]
    return {
        one["properties"]["roleDefinitionId"].rsplit("/", 1)[-1]
        for one in found
        if one["type"].casefold() == "microsoft.authorization/roleassignments"
        and one["properties"]["principalId"] == principal_id
    }


@pytest.mark.thorough
@pytest.mark.parametrize("first", ["shared", "separate"])
async def test_another_choice_is_set_back_or_comes_with_the_next_generation(
    azure: SandboxProcess, first: str
) -> None:
    quicken(azure)
    azure.settings(role_effect_s=0)
    second = "separate" if first == "shared" else "shared"
    spec, other = (spec_for(azure, storage={"identity": kind}) for kind in (first, second))
    await run_provision(azure, spec)
    with pytest.raises(ImmutableChange) as refused:
        await provision(other)
    assert matches("tasks/managed_identity", str(refused.value))
    assert (await make_plan(spec, recorded=False)).is_empty
    await rebuild(other, "cnpg-canadacentral")
    assert (await provision(other)).is_unchanged


@pytest.mark.parametrize("at_the_end", shown(["separate", "shared"], first=1))
@pytest.mark.thorough
async def test_each_identity_has_its_one_role_and_both_are_gone_at_the_end(
    azure: SandboxProcess, at_the_end: str
) -> None:
    quicken(azure)
    spec = spec_for(azure, storage={"identity": "separate"})
    outputs = (await run_provision(azure, spec)).outputs
    cluster, backups = outputs.identity, outputs.backup_identity
    assert (roles_of(azure, cluster.principal_id), roles_of(azure, backups.principal_id)) == (
        {NETWORK_CONTRIBUTOR},
        {CONTRIBUTOR},
    )
    assert guide_variables(spec, outputs)["AKS_UAMI_WORKLOAD_CLIENTID"] == backups.client_id
    plan = await make_plan(spec, recorded=False)
    assert [step for step in plan.steps if step.action != "nothing"] == []
    async with run_session(spec):
        (site,) = (await look_at_generations(current_azure(), spec)).live
        addresses = await read_addresses(current_azure(), site)
    assert (addresses.identity_client_id, addresses.identity_principal_id) == (
        backups.client_id,
        backups.principal_id,
    )

    # Whoever tears down may have another spec by then.
    receipt = await tear_down(spec_for(azure, storage={"identity": at_the_end}), "cnpg-canadacentral")
    gone = {item.name for item in receipt.deleted}
    assert {cluster.name, backups.name} <= gone
    assert roles_of(azure, backups.principal_id) == set()
    left = {one["id"] for one in azure.control("GET", "resources")["resources"]}
    assert not any(cluster.name in one or backups.name in one for one in left)
