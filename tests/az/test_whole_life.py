"""One environment's whole life beside a neighbour: made, changed by hand with the real az, planned, repaired, rebuilt
both ways, torn down. A plan finds exactly what az changed; at the end there is what others have, and the backups.
"""

from pathlib import Path
from typing import Any

import pytest

from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import provision
from aks_postgres.flows.rebuild import rebuild
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.reports.plan import Plan
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for
from ..flows.conftest import quicken, writes
from ..flows.test_tear_down import KEY, OBJECT, blob, make_neighbour, owners, resources
from .azure_cli import POINT_AT_SANDBOX, environment
from .run import prepare
from .shell import Shell

pytestmark = [pytest.mark.az, pytest.mark.usefixtures("prefect_api"), pytest.mark.timeout(240)]

# Seven that are ours, and at the end two that aren't. What doesn't wait for each other goes side by side.
BY_HAND = r"""
group="--resource-group $GROUP"
{
    az aks update --name $CLUSTER $group --api-server-authorized-ip-ranges 20.51.7.9/32,52.9.9.9/32
    az aks nodepool update --cluster-name $CLUSTER --name postgres $group \
        --update-cluster-autoscaler --min-count 3 --max-count 8
    az aks nodepool update --cluster-name $CLUSTER --name postgres $group --max-surge 33%
} >/dev/null & cluster=$!
{
    az group update --name $GROUP --set tags.owner=them
    az storage account update --name $ACCOUNT --resource-group $BACKUP_GROUP --allow-blob-public-access true
    az role assignment delete --assignee $IDENTITY --scope $ACCOUNT_ID --role "Storage Blob Data Contributor"
    az monitor log-analytics workspace update --workspace-name $LOGS $group --retention-time 60
    az network public-ip delete --name $ADDRESS --resource-group $NODE_GROUP
    az tag update --resource-id $IDENTITY_ID --operation merge --tags theirs=yes
} >/dev/null
wait $cluster
"""


def variables(outputs: EnvironmentOutputs) -> dict[str, str]:
    return {
        "GROUP": outputs.resource_group.name,
        "BACKUP_GROUP": outputs.backup_group.name,
        "NODE_GROUP": outputs.cluster.node_resource_group,
        "CLUSTER": outputs.cluster.name,
        "ACCOUNT": outputs.storage_account.name,
        "ACCOUNT_ID": outputs.storage_account.id,
        "IDENTITY": outputs.identity.principal_id,
        "IDENTITY_ID": outputs.identity.id,
        "LOGS": outputs.log_workspace.name,
        "ADDRESS": outputs.public_ip.name,
    }


def entries(found: Plan) -> dict[str, list[tuple[str, Any, Any]]]:
    """The plan's entries: step, and fields with what is live and what is wanted."""
    return {
        step.step: [(change.field, change.old, change.new) for change in step.fields]
        for step in found.steps
        if step.action != "nothing"
    }


async def test_a_plan_finds_what_az_changed_a_run_repairs_it_and_rebuilds_and_tear_down_leave_the_rest(
    az: Path, azure: SandboxProcess, tmp_path: Path
) -> None:
    prepare(azure)
    quicken(azure)
    make_neighbour(azure)
    before, since = resources(azure), len(azure.ledger())
    spec = spec_for(azure, storage=owners(azure))
    outputs = await provision(spec)
    azure.step(1000)  # roles take effect late
    blob(azure, "PUT", outputs.storage_account.name, OBJECT)
    shell = Shell(tmp_path, environment("custom cloud", azure.description, az, tmp_path) | variables(outputs))
    for script in (POINT_AT_SANDBOX, BY_HAND):
        ran = shell.run(script)
        assert not ran.failed, ran

    role = f"role Storage Blob Data Contributor for {outputs.identity.principal_id} on {outputs.storage_account.name}"
    drift = {
        "resource_group": [("tags.owner", "them", "user")],
        "storage_account": [("properties.allowBlobPublicAccess", True, False)],
        "blob_roles": [(role, None, "assigned")],
        "log_workspace": [("properties.retentionInDays", 60, 30)],
        "cluster": [
            (
                "properties.apiServerAccessProfile.authorizedIPRanges",
                ["20.51.7.9/32", "52.9.9.9/32"],
                ["20.51.7.9/32"],
            )
        ],
        "node_pool": [("properties.maxCount", 8, 6)],
        "public_ip": [],
    }
    assert entries(await make_plan(spec, recorded=False)) == drift

    repaired = await provision(spec)
    assert {step for step, change in repaired.changes.items() if change.kind != "unchanged"} == set(drift)
    assert entries(await make_plan(spec, recorded=False)) == {}

    for number, strategy in ((2, "blue_green"), (3, "replace")):
        state = await rebuild(spec, KEY, strategy, return_state=True)
        assert (await state.aresult()).new.generation == number
    assert (await tear_down(spec, KEY, return_state=True)).is_completed()
    assert blob(azure, "GET", outputs.storage_account.name) == OBJECT
    left = {one: body for one, body in resources(azure).items() if "/rg-cnpg-backup-" not in one}
    assert left == before
    theirs = ("/resourcegroups/rg-neighbour", "/resourcegroups/rg-other-")
    written = writes(azure.ledger()[since:])
    assert [entry for entry in written if any(one in entry["path"].lower() for one in theirs)] == []
