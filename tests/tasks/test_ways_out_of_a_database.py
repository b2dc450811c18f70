"""Ways out of what a database's steps refuse, walked without PostgreSQL: the state, the message, what it says, its end.

What its deployment suffers is walked in `test_database_troubles.py`.
"""

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from aks_postgres.arm.errors import AzureRefused, LastingState, NotEffectiveYet, NotOurs
from aks_postgres.database.objects import lineage
from aks_postgres.errors import ImmutableChange, PermanentError
from aks_postgres.reports.outputs import CREATED, UNCHANGED, BackupOutputs
from aks_postgres.spec.names import Names
from aks_postgres.tasks.database import backups, postgres_cluster
from aks_postgres.tasks.database.backups import verify_archive
from aks_postgres.tasks.database.pooler import ensure_database_pooler
from aks_postgres.tasks.database.postgres_cluster import ensure_databases

from ..repository.ways import matches
from .kube import Kube
from .test_database import CLUSTERS, NAMESPACE, with_database
from .test_database_troubles import BACKUPS, TROUBLE_STEPS, TROUBLES, healthy, listed, pod_of, say
from .world import Step, World

Json = dict[str, Any]

STEPS = TROUBLE_STEPS | {
    "databases": Step(ensure_databases, ("spec", "place", "cluster", "ready")),
    "pooler": Step(ensure_database_pooler, ("spec", "place", "cluster", "ready")),
    "archive": Step(
        verify_archive,
        ("spec", "place", "cluster", "credential", "storage_account", "taken"),
        after=("proof",),
    ),
}
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
DRIVER = "localdisk.csi.acstor.io"
WHERE = "tasks/database"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing answers but what a test says."""
    for module in (backups, postgres_cluster):
        monkeypatch.setattr(module, "DATABASE_S", 0.2)


def of(world: World, other: Any = None, *, number: int = 1, **database: Any) -> World:
    """The same environment, perhaps its next generation, with a database; what it has made so far is kept."""
    found = with_database(world, other, **database)
    found.steps, found.made = STEPS, dict(world.made)
    if number > 1:
        names = Names.of(found.spec, world.azure.subscription_id, number)
        # Its cluster and its backups' account stand for those of that generation.
        kept = {"cluster": world.place.names.cluster, "resource_group": world.place.names.resource_group}
        found.place = found.place.model_copy(update={"generation": number, "names": replace(names, **kept)})
    return found


async def refused(world: World, step: str, way: str, kind: type[PermanentError] = LastingState) -> str:
    """Run a step that refuses, and see that it says this way out and has written nothing."""
    with pytest.raises(kind) as told:
        await world.run(step)
    assert matches(way, str(told.value)), f"{way} isn't told:\n{told.value}"
    return str(told.value)


@pytest.fixture
def database(world: World) -> World:
    return of(world)


@pytest.mark.thorough
async def test_disks_that_the_cluster_doesnt_have(database: World, tmp_path: Path) -> None:
    await database.prepare("namespaces")
    kube, step = Kube(database, tmp_path), "storage_class"
    # AKS's own class, which goes with the disk driver.
    brought = kube.get(f"{CLASSES}/managed-csi-premium") or {}
    kube.delete(f"{CLASSES}/managed-csi-premium")
    await refused(database, step, f"{WHERE}/postgres_cluster: See that the disk driver is on")
    fast = of(database, storage={"storage_class": "premium_ssd_v2"})
    assert (await fast.run(step)).change.kind == "created"
    metadata = {"name": "managed-csi-premium"}
    kube.create(CLASSES, {**brought, "metadata": metadata})
    assert (await database.run(step)).change.kind == "unchanged"
    # Parameters of a class are for good.
    faster = of(database, storage={"storage_class": "premium_ssd_v2", "iops": 8000, "throughput_mbps": 500})
    way = f"{WHERE}/postgres_cluster: Set database.storage.iops"
    text = await refused(faster, step, way, ImmutableChange)
    assert "3500" in text
    has = of(database, storage={"storage_class": "premium_ssd_v2", "iops": 3500, "throughput_mbps": 125})
    assert (await has.run(step)).change.kind == "unchanged"
    # What Azure Container Storage brings.
    local = of(database, storage={"storage_class": "local_nvme"})
    await refused(local, step, f"{WHERE}/postgres_cluster: Turn it on")
    # The sandbox's API serves no such kind.
    driver = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": DRIVER}}
    body = {"status": 200, "raw_body": json.dumps(driver), "headers": {"content-type": "application/json"}}
    local.azure.fault(body, path=f"csidrivers/{DRIVER}", method="GET", times=None)
    assert (await local.run(step)).change.kind == "created"


@pytest.mark.thorough
async def test_secrets_that_no_cluster_can_be_made_with(database: World, tmp_path: Path) -> None:
    await database.prepare("namespaces")
    kube, path = Kube(database, tmp_path), f"{NAMESPACE}/secrets"
    kube.create(
        path, {"metadata": {"name": "db-user-pass"}, "type": "Opaque", "stringData": {"password": "x"}}
    )
    text = await refused(database, "secret", f"{WHERE}/secret: A Secret's type can't be changed")
    assert "kubectl -n cnpg-database delete secret db-user-pass" in text
    kube.delete(f"{path}/db-user-pass")
    assert (await database.run("secret")).change.kind == "created"
    kube.delete(f"{path}/db-user-pass")
    login = {"username": "shop", "password": "correct-horse"}
    kind = "kubernetes.io/basic-auth"
    kube.create(path, {"metadata": {"name": "db-user-pass"}, "type": kind, "stringData": login})
    text = await refused(database, "secret", f"{WHERE}/secret: Set _ to the name in it")
    assert "Set database.owner to the name in it" in text
    of_theirs = of(database, owner="shop")
    await of_theirs.run("secret")
    assert (await of_theirs.run("secret")).change.kind == "unchanged"


@pytest.mark.parametrize(("step", "component"), [("cert_manager", "cert_manager"), ("plugin", "plugin")])
@pytest.mark.thorough
async def test_a_component_s_file_that_is_none(
    database: World, tmp_path: Path, step: str, component: str
) -> None:
    page = tmp_path / "page.yaml"
    page.write_bytes(b"<html>: [")
    assert database.spec.database is not None
    given = database.spec.database.components.model_dump()
    wrong = of(
        database,
        components=given
        | {
            f"{component}_manifest_url": str(page),
            f"{component}_manifest_sha256": hashlib.sha256(page.read_bytes()).hexdigest(),
        },
    )
    way = "cert-manager" if step == "cert_manager" else "plugin-barman-cloud"
    text = await refused(wrong, step, f"{WHERE}/components: Set it and its checksum", AzureRefused)
    assert f"a release of {way}" in text
    wrong.spec = database.spec
    assert (await wrong.run(step)).change.kind == "created"


@pytest.mark.thorough
async def test_names_that_others_have_and_what_is_for_good(database: World, tmp_path: Path) -> None:
    await database.prepare("postgres")
    kube, name = Kube(database, tmp_path), database.place.names.postgres_cluster
    smaller = of(database, storage={"size_gib": 32})
    await refused(smaller, "postgres", "database/limits", ImmutableChange)
    assert smaller.writes() == []
    assert (await of(database).run("postgres")).change.kind == "unchanged"
    # Another cluster, beside the first.
    beside = of(database, name="shop", storage={"size_gib": 32})
    assert (await beside.run("postgres")).change.kind == "created"
    # Somebody else's.
    kube.delete(f"{CLUSTERS}/{name}")
    theirs = {"instances": 1, "storage": {"size": "1Gi"}}
    kind = {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster"}
    kube.create(CLUSTERS, {**kind, "metadata": {"name": name}, "spec": theirs})
    await refused(
        database, "postgres", f"{WHERE}/postgres_cluster: Set database.name to another name, or del", NotOurs
    )
    assert (await of(database, name="billing").run("postgres")).change.kind == "created"
    kube.delete(f"{CLUSTERS}/{name}")
    assert (await database.run("postgres")).change.kind == "created"


@pytest.mark.thorough
async def test_an_archive_that_another_cluster_used_goes_by_another_name_or_generation(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = {"object_id": world.azure.object_id, "type": "ServicePrincipal"}
    owned = {"storage": {"blob_owners": [owner]}}
    database = of(world, owned)
    await database.prepare("proof", "store")
    used = lineage(database.place)
    put(database, f"{used}/wals/0000000100000000/000000010000000000000001.gz")
    # Before there is a cluster.
    await refused(database, "proof", "resources/backup_blobs: A name is archived under once")
    for other in (of(database, owned, name="shop"), of(database, owned, number=2)):
        for made in ("credential", "account"):
            other.made.pop(made)
        assert (await other.run("proof")).facts
    # By the operator, while the cluster comes up.
    await database.prepare("postgres")
    kube = Kube(database, tmp_path)
    say(database, kube, TROUBLES["an archive that was used"])
    await refused(database, "ready", f"{WHERE}/postgres_cluster: Another cluster archived under this name")
    # By the operator, once it archives.
    say(database, kube, None)
    await database.prepare("ready")
    archiving(database, kube, "Expected empty archive")
    await refused(database, "backup", f"{WHERE}/backups: Set database.name to another name")
    other = of(database, owned, name="shop")
    for made in ("credential", "account", "proof", "store", "postgres", "ready"):
        other.made.pop(made)
    await other.prepare("postgres", "store")
    say(other, kube, None)
    await other.prepare("ready")
    await backed_up(other, kube, monkeypatch)


@pytest.mark.thorough
async def test_archiving_and_backups_that_fail(
    database: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.prepare("postgres", "store")
    kube, name = Kube(database, tmp_path), database.place.names.postgres_cluster
    say(database, kube, None)
    await database.prepare("ready")
    archiving(database, kube, "barman-cloud-wal-archive: exit status 4")
    text = await refused(database, "backup", f"{WHERE}/backups: Read why")
    assert f"kubectl -n cnpg-database logs {name}-1 -c plugin-barman-cloud" in text
    # What was wrong is mended, and the backup fails for another reason while the run looks.
    say(database, kube, None)
    monkeypatch.setattr(backups, "DATABASE_S", 60)
    first = f"{BACKUPS}/{name}-first"
    running = asyncio.create_task(database.run("backup"))
    while await asyncio.to_thread(kube.get, first) is None:
        await asyncio.sleep(0)
    failed = {"phase": "failed", "error": "can't execute backup: no token"}
    await asyncio.to_thread(kube.merge, f"{first}/status", {"status": failed})
    with pytest.raises(LastingState, match="can't execute backup: no token") as told:
        await running
    assert matches(f"{WHERE}/backups: Do what it says", str(told.value))
    await backed_up(database, kube, monkeypatch)


@pytest.mark.thorough
async def test_a_backup_whose_blobs_arent_there(world: World) -> None:
    owner = {"object_id": world.azure.object_id, "type": "ServicePrincipal"}
    database = of(world, {"storage": {"blob_owners": [owner]}})
    await database.prepare("proof", "store")
    taken = BackupOutputs(destination="the container", recoverable_since="", change=CREATED)
    database.made["taken"] = taken
    text = await refused(database, "archive", f"{WHERE}/backups: See that the ObjectStore's")
    assert "backup.info and data.tar and WAL files aren't among the 0 blobs" in text
    # Where it archived to was turned to this container, and the next run takes it from there.
    archive = lineage(database.place)
    for blob in ("base/20261124T115000/backup.info", "base/20261124T115000/data.tar", "wals/0/1.gz"):
        put(database, f"{archive}/{blob}")
    assert (await database.run("archive")).facts == (f"1 base backup and 1 WAL files are blobs of {archive}",)
    database.made["taken"] = taken.model_copy(update={"change": UNCHANGED})
    assert (await database.run("archive")).change.kind == "unchanged"


async def test_pods_roles_and_databases(database: World, tmp_path: Path) -> None:
    reader = {"name": "reader", "in_roles": ["nobody_knows"]}
    more = of(database, roles=[reader], databases=["appdb", "reports"])
    await more.prepare("postgres", "store")
    kube, name = Kube(more, tmp_path), more.place.names.postgres_cluster
    say(more, kube, None)
    pods = [pod_of(f"{name}-1"), pod_of(f"{name}-2", ())]
    more.azure.control("DELETE", "faults")
    listed(more, "pods", "Pod", pods)
    text = await refused(more, "ready", f"{WHERE}/postgres_cluster: The webhook of workload identity")
    assert f"pod {name}-2 lacks " in text
    # The pod is deleted, and comes back with what the webhook gives.
    more.azure.control("DELETE", "faults")
    listed(more, "pods", "Pod", [pod_of(f"{name}-1"), pod_of(f"{name}-2")])
    await more.prepare("ready")
    # v1.30.0, internal/management/controller/roles: what PostgreSQL says of a role.
    words = 'could not perform ALTER: role "nobody_knows" does not exist'
    kube.merge(f"{CLUSTERS}/{name}/status", unmade(reader=words))
    text = await refused(more, "databases", f"{WHERE}/postgres_cluster: Correct database.roles")
    assert "nobody_knows" in text
    right = of(more, roles=[{"name": "reader"}], databases=["appdb", "reports"])
    assert (await right.run("postgres")).change.kind == "updated"
    # The operator comes to it after a moment; until then its status tells of the role as it was.
    right.when("waiting", lambda: kube.merge(f"{CLUSTERS}/{name}/status", unmade(reader=None)))
    text = await refused(right, "databases", f"{WHERE}/postgres_cluster: Do what it says, or take")
    fewer = of(right, roles=[{"name": "reader"}], databases=["appdb"])
    assert (await fewer.run("databases")).change.kind == "unchanged"
    path = f"/apis/postgresql.cnpg.io/v1/namespaces/cnpg-database/databases/{name}-reports-db"
    live = kube.get(path) or {}
    done = {"applied": True, "observedGeneration": live["metadata"]["generation"]}
    kube.merge(f"{path}/status", {"status": done})
    assert (await right.run("databases")).change.kind == "unchanged"


@pytest.mark.thorough
async def test_a_pooler_that_cant_be_made(database: World, tmp_path: Path) -> None:
    wrong = of(database, pooler={"parameters": {"max_client_conn": "many"}})
    await wrong.prepare("postgres", "store")
    kube = Kube(wrong, tmp_path)
    say(wrong, kube, None)
    await wrong.prepare("ready")
    with pytest.raises(NotEffectiveYet):
        await wrong.run("pooler")
    name = f"{wrong.place.names.postgres_cluster}-pooler-rw"
    path = f"/apis/postgresql.cnpg.io/v1/namespaces/cnpg-database/poolers/{name}/status"
    kube.merge(path, {"status": {"phase": "failed", "phaseReason": "max_client_conn is no number"}})
    text = await refused(wrong, "pooler", f"{WHERE}/pooler: Correct database.pooler")
    assert "max_client_conn is no number" in text
    right = of(wrong, pooler={"parameters": {"max_client_conn": "500"}})
    labels = {"cnpg.io/poolerName": name}
    container = {"name": "pgbouncer", "image": "pgbouncer"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    made = {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod}
    deployments = "/apis/apps/v1/namespaces/cnpg-database/deployments"
    kube.create(deployments, {"metadata": {"name": name}, "spec": made})
    right.azure.control("DELETE", "faults")
    # Until the operator comes to it, its status tells of the Pooler as it was.
    right.when("waiting", lambda: kube.merge(path, {"status": {"phase": "active", "phaseReason": None}}))
    assert (await right.run("pooler")).change.kind == "updated"


def unmade(**roles: str | None) -> Json:
    said = {name: [words] if words else None for name, words in roles.items()}
    return {"status": {"managedRolesStatus": {"cannotReconcile": said}}}


def archiving(world: World, kube: Kube, message: str) -> None:
    name = world.place.names.postgres_cluster
    condition = {**healthy(name)["conditions"][0], "status": "False", "message": message}
    kube.merge(f"{CLUSTERS}/{name}/status", {"status": {"conditions": [condition]}})


async def backed_up(world: World, kube: Kube, patch: pytest.MonkeyPatch) -> None:
    """Let a run take the first backup, and the operator have it done."""
    patch.setattr(backups, "DATABASE_S", 60)
    name = world.place.names.postgres_cluster
    first = f"{BACKUPS}/{name}-first"
    old = ((kube.get(first) or {}).get("metadata") or {}).get("uid")
    running = asyncio.create_task(world.run("backup"))
    while ((await asyncio.to_thread(kube.get, first) or {}).get("metadata") or {}).get("uid") in (None, old):
        assert not running.done(), await running
        await asyncio.sleep(0)
    store = f"/apis/barmancloud.cnpg.io/v1/namespaces/cnpg-database/objectstores/{name}-backups/status"
    window = {"firstRecoverabilityPoint": "2026-11-24T00:00:00Z"}
    said = {"status": {"serverRecoveryWindow": {lineage(world.place): window}}}
    await asyncio.to_thread(kube.merge, store, said)
    await asyncio.to_thread(kube.merge, f"{first}/status", {"status": {"phase": "completed"}})
    assert (await running).recoverable_since == "2026-11-24T00:00:00Z"


def put(world: World, name: str) -> None:
    """Write a blob as its owner."""
    answer = requests.put(
        f"{world.made['storage_account'].blob_endpoint}backups/{name}",
        data=b"x",
        headers={
            "authorization": f"Bearer {world.azure.token('https://storage.azure.com/.default')}",
            "x-ms-blob-type": "BlockBlob",
            "x-ms-version": "2023-11-03",
        },
        verify=world.azure.description["ca_file"],
        timeout=30,
    )
    assert answer.status_code == 201, answer.text
