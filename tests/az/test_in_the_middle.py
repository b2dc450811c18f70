"""A person who changes the cluster with the real az while a run of ours is at it: between its look and its write."""

import asyncio
from pathlib import Path

import pytest

from aks_postgres.flows.provision import provision
from aks_postgres.spec.names import Names
from azure_sandbox.client import SandboxProcess

from ..conftest import each_request, spec_for
from ..flows.conftest import quicken
from .azure_cli import POINT_AT_SANDBOX, environment
from .run import prepare
from .shell import Ran, Shell

pytestmark = [pytest.mark.az, pytest.mark.usefixtures("prefect_api"), pytest.mark.timeout(240)]

# Before the second and third of our tries to write the cluster, and before the pool for PostgreSQL is added.
CHANGES = {
    "cluster 2": "az aks update --name $CLUSTER $group --enable-image-cleaner --image-cleaner-interval-hours 48",
    # Still under way when our write arrives: a pool's operation leaves the cluster's eTag as it was.
    "cluster 3": "az aks nodepool update --cluster-name $CLUSTER --name systempool $group --labels team=theirs "
    "--no-wait",
    "pool 1": "az tag update --resource-id $(az aks show --name $CLUSTER $group --query id --output tsv) "
    "--operation merge --tags theirs=yes",
}


async def test_what_a_person_changes_with_az_meanwhile_stays(
    az: Path, azure: SandboxProcess, tmp_path: Path
) -> None:
    prepare(azure)
    quicken(azure)
    azure.settings(durations={"aks_pool_update": 1800})
    spec = spec_for(azure)
    names = Names.of(spec, azure.subscription_id, 1)
    its = {"CLUSTER": names.cluster, "group": f"--resource-group {names.resource_group}"}
    shell = Shell(tmp_path, environment("custom cloud", azure.description, az, tmp_path) | its)
    assert not shell.run(POINT_AT_SANDBOX).failed
    writes: list[str] = []
    ran: list[Ran] = []

    async def change_it(method: str, path: str) -> None:
        kind = path.split("/")[-2]
        if method == "PUT" and kind in ("managedClusters", "agentPools"):
            writes.append("cluster" if kind == "managedClusters" else "pool")
            if change := CHANGES.get(f"{writes[-1]} {writes.count(writes[-1])}"):
                ran.append(await asyncio.to_thread(shell.run, change))

    with each_request(before=change_it):
        outputs = await provision(spec)

    assert [one.failed for one in ran] == [False] * len(CHANGES), "\n".join(map(str, ran))
    # Ours, az's, and of our two changes each first refused: the eTag is an old one, then the pool is busy.
    made = [entry["status"] for entry in azure.ledger(operation="ManagedClusters_CreateOrUpdate")]
    assert made == [201, 200, 412, 409, 200, 200]
    cluster = azure.arm("GET", outputs.cluster.id, api_version="2026-06-01").json()
    properties = cluster["properties"]
    assert properties["securityProfile"]["imageCleaner"] == {"enabled": True, "intervalHours": 48}
    (pool,) = (one for one in properties["agentPoolProfiles"] if one["name"] == "systempool")
    assert pool["nodeLabels"]["team"] == "theirs"
    assert cluster["tags"]["theirs"] == "yes"
    # And what we wanted is there as well: another run has nothing to do.
    assert {change.kind for change in (await provision(spec)).changes.values()} == {"unchanged"}
