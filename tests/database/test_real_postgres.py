"""A database from nothing to rows, on real PostgreSQL behind a sandbox: `make test-database`."""

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client

from aks_postgres.cli.psql import psql
from aks_postgres.cli.sandbox_client import PSQL_VARIABLE
from aks_postgres.errors import ProvisioningError
from aks_postgres.exit_codes import CommandFailed
from aks_postgres.flows._listing import status_of
from aks_postgres.flows.plan import make_plan
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.tasks.inventory import take_inventory
from aks_postgres.tear_down.errors import TearDownRefused
from azure_sandbox.client import SandboxProcess

from ..flows.conftest import run_provision, writes
from ..flows.stage import kube_for
from ..tasks.kube import Kube
from .conftest import Deployed

pytestmark = [pytest.mark.database, pytest.mark.timeout(900)]

NAMESPACE = "/api/v1/namespaces/cnpg-database"
CLUSTERS = "/apis/postgresql.cnpg.io/v1/namespaces/cnpg-database/clusters"


@pytest.fixture
def azure(with_postgres: SandboxProcess) -> SandboxProcess:
    """The sandbox with PostgreSQL."""
    return with_postgres


async def asked(spec: EnvironmentSpec, query: str, capfd: pytest.CaptureFixture[str], **options: Any) -> str:
    """What psql prints."""
    capfd.readouterr()
    arguments = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", query]
    code = await psql(spec, **{"database": None, "replica": False, **options}, arguments=arguments)
    out = capfd.readouterr().out.strip()
    assert code == 0, out
    return out


async def test_the_owner_reads_and_writes_over_verified_tls(
    deployed: Deployed, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = deployed.spec
    facts = (
        "select current_user, current_database(), pg_is_in_recovery(), ssl from pg_stat_ssl "
        "where pid = pg_backend_pid()"
    )
    assert await asked(spec, facts, capfd) == "app|appdb|f|t"
    assert await asked(spec, "select current_database()", capfd, database="reports") == "reports"
    await asked(spec, "create table kept as select generate_series(1, 500) as id", capfd)
    # A commit waits for one of the replicas, not for both.
    for _ in range(100):
        if await asked(spec, "select to_regclass('kept') is not null", capfd, replica=True) == "t":
            break
    assert await asked(spec, "select pg_is_in_recovery(), count(*) from kept", capfd, replica=True) == "t|500"


def test_backups_are_real_blobs_in_the_pods_own_name(deployed: Deployed) -> None:
    assert "that a backup can be restored: no copy was made of one" in deployed.outputs.not_proven
    assert any("base backup" in fact for fact in deployed.outputs.proven)
    assert deployed.outputs.recoverable_since
    assert {"PutBlock", "PutBlockList"} & {entry["operation"] for entry in deployed.ledger} or any(
        entry["operation"] == "PutBlob" and f"/{deployed.outputs.lineage}/base/" in entry["path"]
        for entry in deployed.ledger
    )


def test_on_azure_only_the_credential_and_the_alerts_are_written(deployed: Deployed) -> None:
    found = [entry["operation"] for entry in writes(deployed.ledger) if entry["service"] == "arm"]
    assert sorted(name for name in found if name not in ("Tags_UpdateAtScope", "BlobContainers_Lease")) == [
        "FederatedIdentityCredentials_CreateOrUpdate",
        "PrometheusRuleGroups_CreateOrUpdate",
    ]


async def test_another_run_finds_everything_and_writes_nothing(
    azure: SandboxProcess, deployed: Deployed
) -> None:
    again = await run_provision(azure, deployed.spec)
    ours = [entry for entry in again.writes if entry["service"] == "arm" or "aks-postgres" in str(entry)]
    assert ours == []
    assert again.outputs.is_unchanged
    assert again.outputs.database is not None
    assert again.outputs.database.recoverable_since
    assert (await make_plan(deployed.spec, recorded=False)).is_empty


async def test_the_password_is_in_nothing_that_a_run_leaves(
    azure: SandboxProcess, deployed: Deployed, tmp_path: Path
) -> None:
    secret = kube_for(azure, deployed.first.outputs, tmp_path).get(f"{NAMESPACE}/secrets/db-user-pass")
    assert secret is not None
    encoded = secret["data"]["password"]
    password = base64.b64decode(encoded).decode()
    async with get_client() as client:
        artifacts = [artifact.data for artifact in await client.read_artifacts()]
    left = [deployed.outputs.model_dump_json(), str(deployed.journal.events), str(artifacts)]
    assert not any(word in text for word in (password, encoded) for text in left)


async def test_a_role_of_the_spec_is_there_and_no_more_than_asked_for(
    deployed: Deployed, capfd: pytest.CaptureFixture[str]
) -> None:
    query = (
        "select rolcanlogin, rolsuper, rolcreaterole, pg_has_role('reader', 'pg_read_all_data', 'usage') "
        "from pg_roles where rolname = 'reader'"
    )
    seen = ""
    for _ in range(60):
        if seen := await asked(deployed.spec, query, capfd):
            break
    assert seen == "t|f|f|t"


async def test_status_says_how_to_connect_and_where_backups_are(deployed: Deployed) -> None:
    status = await status_of(spec_for_status(deployed.spec))
    (found,) = status.databases or ()
    assert status.problems == []
    said, seen = deployed.outputs, found
    assert (seen.cluster, seen.primary, seen.ready) == (said.cluster, said.primary, 3)
    assert (seen.host, seen.read_only_host, seen.owner) == (said.host, said.read_only_host, said.owner)
    assert (seen.databases, seen.backups) == (said.databases, said.backups)
    assert (seen.password_secret, seen.ca_secret) == (said.password_secret, said.ca_secret)
    assert seen.last_backup >= seen.recoverable_since == said.recoverable_since
    assert seen.archiving == "True"
    assert seen.certificate_ends is not None


def spec_for_status(spec: EnvironmentSpec) -> EnvironmentSpec:
    """As `aks-postgres status NAME REGION` has it: of the database nothing is given."""
    return EnvironmentSpec(name=spec.name, region=spec.region, subscription_id=spec.subscription_id)


async def standing_against(spec: EnvironmentSpec) -> list[str]:
    """What stands against a tear-down, besides the word that isn't typed."""
    async with run_session(spec):
        with pytest.raises(TearDownRefused) as refused:
            # Azure's hour is a minute here, and the backups stay as old as they are.
            await take_inventory.fn(spec, "no", None, None, 10080)
    return [one for one in refused.value.problems if not one.startswith("confirm:")]


async def test_a_backup_is_proven_by_blobs_that_the_pods_own_identity_shows(
    azure: SandboxProcess, deployed: Deployed
) -> None:
    since = len(azure.ledger())
    # A replica's backup ends in a WAL file that the primary archives when it is full or archive_timeout is over.
    for _ in range(60):
        if not (found := await standing_against(deployed.spec)):
            break
        assert "WAL file" in "\n".join(found)
        await asyncio.sleep(2)
    assert found == []
    asked = [entry for entry in azure.ledger()[since:] if entry["operation"] in ("ListBlobs", "GetBlob")]
    # The run itself has no role on blobs.
    assert {403, 200} == {entry["status"] for entry in asked}


async def test_the_disks_of_the_claims_are_known_by_their_ids_and_not_by_their_tags(
    azure: SandboxProcess, deployed: Deployed, tmp_path: Path
) -> None:
    kube = kube_for(azure, deployed.first.outputs, tmp_path)
    volumes = (kube.get("/api/v1/persistentvolumes") or {})["items"]
    listing = f"{deployed.first.outputs.cluster.node_resource_group_id}/resources"
    among_nodes = azure.arm("GET", listing, api_version="2025-04-01").json()["value"]
    disks = [one for one in among_nodes if one["type"] == "Microsoft.Compute/disks"]
    handles = {volume["spec"]["csi"]["volumeHandle"] for volume in volumes}
    assert {disk["id"] for disk in disks} == handles
    assert len(handles) == 3

    theirs = f"{listing.removesuffix('/resources')}/providers/Microsoft.Compute/disks/pvc-theirs"
    foreign = {**disks[0], "id": theirs, "name": "pvc-theirs", "tags": dict(disks[0]["tags"])}
    for disk in disks:
        disk["tags"] = {}
    shown = json.dumps({"value": [*among_nodes, foreign]})
    body = {"status": 200, "raw_body": shown, "headers": {"content-type": "application/json"}}
    azure.fault(body, path=f"^{re.escape(listing)}$", method="GET", times=100)
    try:
        found = await standing_against(deployed.spec)
    finally:
        azure.control("DELETE", "faults")
    (problem,) = [one for one in found if "disk" in one.casefold()]
    assert problem.startswith("Microsoft.Compute/disks pvc-theirs in ")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
async def test_status_services_and_psql_follow_the_primary(
    azure: SandboxProcess,
    deployed: Deployed,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    """By a signal from outside to one postmaster."""
    kube = kube_for(azure, deployed.first.outputs, tmp_path)
    before = live(kube, deployed)["status"]["currentPrimary"]
    os.kill(shown(azure, "instances", before)["pid"], number)
    seen, ends = "", time.monotonic() + 180
    while time.monotonic() < ends:
        try:
            seen = await asked(
                deployed.spec, "select count(*) from kept where not pg_is_in_recovery()", capfd
            )
        except (AssertionError, ProvisioningError, CommandFailed):  # while nobody is the primary
            seen = ""
        if seen == "500":
            break
        await asyncio.sleep(1)
    assert seen == "500"
    for _ in range(120):
        status = live(kube, deployed)["status"]
        if status["phase"] == "Cluster in healthy state" and status["readyInstances"] == 3:
            break
        await asyncio.sleep(1)
    assert status["readyInstances"] == 3
    assert status["currentPrimary"] != before
    assert await asked_by_service(azure, kube, deployed, "rw") == ("f", 500)
    assert await asked_by_service(azure, kube, deployed, "ro") == ("t", 500)


async def test_clients_come_in_through_the_pooler(
    azure: SandboxProcess, deployed: Deployed, tmp_path: Path
) -> None:
    """Its Service has a name in the certificate; what stands in for PgBouncer leads to the primary."""
    kube = kube_for(azure, deployed.first.outputs, tmp_path)
    name = f"{deployed.outputs.cluster}-pooler-rw"
    assert deployed.outputs.pooler_host == f"{name}.cnpg-database.svc.cluster.local"
    assert deployed.outputs.pooler_host in live(kube, deployed)["spec"]["certificates"]["serverAltDNSNames"]
    pooler = kube.get(f"/apis/postgresql.cnpg.io/v1/namespaces/cnpg-database/poolers/{name}")
    assert pooler is not None
    assert pooler["status"]["phase"] == "active"
    assert await asked_by_service(azure, kube, deployed, "pooler-rw") == ("f", 500)


def shown(azure: SandboxProcess, what: str, name: str) -> Any:
    """Where an instance or a Service is on this machine."""
    (found,) = [
        one for key, one in azure.control("GET", "postgres")[what].items() if key.endswith(f"/{name}")
    ]
    return found


def live(kube: Kube, deployed: Deployed) -> dict[str, Any]:
    found = kube.get(f"{CLUSTERS}/{deployed.outputs.cluster}")
    assert found is not None
    return found


async def asked_by_service(
    azure: SandboxProcess, kube: Kube, deployed: Deployed, which: str
) -> tuple[str, int]:
    """Whether a standby answers behind the Service, and how many rows it has."""
    secret = kube.get(f"{NAMESPACE}/secrets/db-user-pass")
    assert secret is not None
    host, _, port = shown(azure, "services", f"{deployed.outputs.cluster}-{which}").rpartition(":")
    query = "select pg_is_in_recovery()::text, count(*) from kept"
    done = subprocess.run(
        [os.environ[PSQL_VARIABLE], "-XAtq", "-h", host, "-p", port, "-U", "app", "-c", query, "appdb"],
        env={"PGPASSWORD": base64.b64decode(secret["data"]["password"]).decode(), "PGSSLMODE": "require"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    recovering, _, count = done.stdout.strip().partition("|")
    return recovering[0], int(count)
