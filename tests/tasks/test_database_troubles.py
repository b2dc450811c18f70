"""What a database's deployment suffers: each trouble is named with its way out, and the next run goes on.

The words are those that Kubernetes, CloudNativePG and Azure say; where from stands beside each.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aks_postgres.arm.errors import LastingState, NotEffectiveYet
from aks_postgres.database.objects import lineage
from aks_postgres.database.status import SIDECAR, WAYS_OUT_OF_PHASES
from aks_postgres.kubernetes.cluster_events import WAYS_OUT_OF_WARNINGS
from aks_postgres.reports.outputs import PostgresReadyOutputs
from aks_postgres.spec.database import DatabaseSpec
from aks_postgres.tasks.database import backups, postgres_cluster
from aks_postgres.tasks.database.backups import ensure_first_backup
from aks_postgres.tasks.database.postgres_cluster import wait_until_postgres_is_ready

from ..repository.ways import matches
from .kube import Kube
from .test_database import CLUSTERS, DATABASE_STEPS, with_database
from .test_stopped import LASTING
from .world import Step, World

Json = dict[str, Any]

IDENTITY = ("AZURE_AUTHORITY_HOST", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID")
BACKUPS = "/apis/postgresql.cnpg.io/v1/namespaces/cnpg-database/backups"
TROUBLE_STEPS = DATABASE_STEPS | {
    "ready": Step(wait_until_postgres_is_ready, ("spec", "place", "cluster", "postgres"), after=("store",)),
    "backup": Step(ensure_first_backup, ("spec", "place", "cluster", "ready", "storage_account")),
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL would get minutes; here nothing answers but what a test says."""
    for module in (backups, postgres_cluster):
        monkeypatch.setattr(module, "DATABASE_S", 0.2)


@pytest.fixture
def database(world: World) -> World:
    found = with_database(world)
    found.steps = TROUBLE_STEPS
    return found


@dataclass
class Trouble:
    """What is said of a Cluster that doesn't get ready, and what a person has to hear."""

    words: str
    way_out: str
    phase: str = "Setting up primary"
    status: Json = field(default_factory=dict)
    pod: Json | None = None
    event: Json | None = None


def waiting(reason: str, message: str) -> Json:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"name": "postgres", "ready": False, "state": state}]}


def unschedulable(message: str) -> Json:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"phase": "Pending", "conditions": [condition]}


def warning(reason: str, message: str, kind: str = "Pod", name: str = "-1") -> Json:
    return {"kind": kind, "name": name, "reason": reason, "message": message}


TROUBLES: dict[str, Trouble] = {
    # kubernetes/kubernetes, pkg/scheduler/framework/plugins/podtopologyspread: ErrReasonConstraintsNotMatch
    "a zone without a node": Trouble(
        "didn't match pod topology spread constraints",
        "Give the pools nodes that it fits on",
        pod=unschedulable(
            "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, 2 node(s) didn't match "
            "pod anti-affinity rules."
        ),
    ),
    # kubernetes/kubernetes, pkg/scheduler/framework/plugins/volumebinding: ErrReasonNodeConflict
    "a volume in another zone than the node": Trouble(
        "had volume node affinity conflict",
        "Give the pools nodes that it fits on",
        pod=unschedulable("0/3 nodes are available: 3 node(s) had volume node affinity conflict."),
    ),
    # https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/storage/fail-to-mount-azure-disk-volume
    "a storage class that the size doesn't offer": Trouble(
        "does not support storage account type PremiumV2_LRS",
        "Choose a postgres_pool.vm_size that has such disks, or another database.storage.storage_class",
        event=warning(
            "FailedAttachVolume",
            'AttachVolume.Attach failed for volume "pvc-1": rpc error: Requested operation cannot be performed because '
            "the VM size Standard_D4_v3 does not support storage account type PremiumV2_LRS of disk 'pvc-1'",
        ),
    ),
    # https://learn.microsoft.com/azure/virtual-machines/disks-deploy-premium-v2
    "a disk that the region's quota forbids": Trouble(
        "exceed quota limit",
        "Raise the quota for disks, or ask for a smaller database.storage.size_gib",
        event=warning(
            "ProvisioningFailed",
            "failed to provision volume with StorageClass: rpc error: OperationNotAllowed: Operation would exceed "
            "quota limit PremiumV2DiskCount",
            kind="PersistentVolumeClaim",
        ),
    ),
    # kubernetes/kubernetes, pkg/kubelet/images: ErrImagePull
    "an image that isn't there": Trouble(
        "ErrImagePull: container postgres: rpc error: not found",
        "Nodes can't pull the image",
        pod=waiting("ErrImagePull", "rpc error: not found"),
    ),
    "an image that backs off": Trouble(
        "ImagePullBackOff",
        "outbound traffic",
        pod=waiting("ImagePullBackOff", "Back-off pulling image"),
    ),
    # https://github.com/cloudnative-pg/plugin-barman-cloud: the sidecar mounts what cert-manager has to make
    "a plugin without cert-manager": Trouble(
        'secret "barman-cloud-client-tls" not found',
        "See that cert-manager is there and has made the Secret (kubectl get certificates -A)",
        event=warning(
            "FailedMount",
            'MountVolume.SetUp failed for volume "client" : secret "barman-cloud-client-tls" not found',
        ),
    ),
    # https://kubernetes.io/docs/tasks/configure-pod-container/assign-memory-resource/
    "PostgreSQL killed for its memory": Trouble(
        "was killed for its memory",
        "more memory",
        pod={
            "containerStatuses": [
                {"name": "postgres", "ready": False, "state": {"terminated": {"reason": "OOMKilled"}}}
            ]
        },
    ),
    "a pod that ends again and again": Trouble(
        "CrashLoopBackOff",
        "logs {cluster}-1 --previous",
        pod=waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container"),
    ),
    # v1.30.0, api/v1/cluster_types.go, the phases
    "volumes from which nothing starts": Trouble(
        "unrecoverable",
        "restore from a backup",
        phase="Cluster is unrecoverable and needs manual intervention",
    ),
    "a definition that the operator refuses": Trouble(
        "Invalid cluster definition", "Correct the field", phase="Invalid cluster definition"
    ),
    "a catalog without the major": Trouble(
        "image catalog",
        "See that the ImageCatalog of the cluster's name has the major",
        phase="Cluster has incomplete or invalid image catalog",
    ),
    "a change that waits for a person": Trouble(
        "Waiting for user action", "Finish or undo the change", phase="Waiting for user action"
    ),
    "nodes of another architecture": Trouble(
        "missing architecture binary",
        "Use nodes of an architecture",
        phase="Cluster cannot execute instance online upgrade due to missing architecture binary",
    ),
    "a plugin that fails": Trouble(
        "error while interacting with plugins",
        "Read the log of the deployment barman-cloud",
        phase="Cluster cannot proceed to reconciliation due to an error while interacting with plugins",
    ),
    "objects that the operator can't make": Trouble(
        "Unable to create required cluster objects",
        "Read the log of the operator",
        phase="Unable to create required cluster objects",
    ),
    "a plugin that isn't there": Trouble(
        "unknown plugin",
        "See that the deployment barman-cloud is ready",
        phase="Cluster cannot proceed to reconciliation due to an unknown plugin being required",
    ),
    # cloudnative-pg#6470
    "an archive that was used": Trouble(
        "Expected empty archive",
        "Set database.name to another name, or rebuild",
        event=warning("Failed", "unable to check archive: Expected empty archive", kind="Cluster", name=""),
    ),
}


def say(world: World, kube: Kube, trouble: Trouble | None) -> None:
    """Let the operator and Kubernetes say this of the Cluster; nothing stands for one that is well."""
    name = world.place.names.postgres_cluster
    world.azure.control("DELETE", "faults")
    status: Json = {"phase": trouble.phase, **trouble.status} if trouble else healthy(name)
    kube.merge(f"{CLUSTERS}/{name}/status", {"status": status})
    pods = [] if trouble is None or trouble.pod is None else [{"status": trouble.pod}]
    if trouble is None:
        pods = [{"status": {}} for _ in range(3)]
    events = []
    if trouble is not None and trouble.event is not None:
        given = trouble.event
        about = {"kind": given["kind"], "name": f"{name}{given['name']}"}
        metadata = {"name": "said", "namespace": "cnpg-database"}
        said = {key: given[key] for key in ("reason", "message")}
        events = [{"metadata": metadata, "type": "Warning", "involvedObject": about, **said}]
    listed(
        world, "pods", "Pod", [{**pod_of(f"{name}-{number}"), **one} for number, one in enumerate(pods, 1)]
    )
    listed(world, "events", "Event", events)


def pod_of(name: str, variables: tuple[str, ...] = IDENTITY) -> Json:
    """A pod of an instance of a default database, as the operator makes it."""
    default, env = DatabaseSpec(), [{"name": variable, "value": "x"} for variable in variables]
    resources = {"cpu": str(default.cpu), "memory": f"{default.memory_gib}Gi"}
    postgres = {
        "name": "postgres",
        "image": default.image_name,
        "resources": {"requests": resources, "limits": resources},
    }
    claims = [{"persistentVolumeClaim": {"claimName": claim}} for claim in (name, f"{name}-wal")]
    return {
        "metadata": {"name": name, "namespace": "cnpg-database"},
        "spec": {
            "initContainers": [{"name": SIDECAR, "env": env}],
            "containers": [postgres],
            "volumes": claims,
        },
    }


def listed(world: World, plural: str, kind: str, items: list[Json]) -> None:
    body = {"apiVersion": "v1", "kind": f"{kind}List", "metadata": {"resourceVersion": "1"}, "items": items}
    world.azure.fault(
        {"status": 200, "raw_body": json.dumps(body), "headers": {"content-type": "application/json"}},
        operation=f"list {plural}",
        times=1000,
    )


def healthy(name: str, primary: int = 1) -> Json:
    return {
        "phase": "Cluster in healthy state",
        "phaseReason": "",
        "readyInstances": 3,
        "currentPrimary": f"{name}-{primary}",
        "targetPrimary": f"{name}-{primary}",
        "conditions": [
            {
                "type": "ContinuousArchiving",
                "status": "True",
                "reason": "ContinuousArchivingSuccess",
                "message": "Continuous archiving is working",
                "lastTransitionTime": "2026-11-24T00:00:00Z",
            }
        ],
    }


def test_every_phase_and_warning_with_a_way_out_is_a_trouble_here() -> None:
    assert set(WAYS_OUT_OF_PHASES) <= {one.phase for one in TROUBLES.values()}
    told = [one.way_out for one in TROUBLES.values()]
    assert [way for way in WAYS_OUT_OF_WARNINGS if not any(way.startswith(one[:40]) for one in told)] == []


SHOWN = ("a zone without a node", "a storage class that the size doesn't offer")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in SHOWN else [pytest.mark.thorough]) for name in TROUBLES]
)
async def test_a_trouble_is_named_with_its_way_out_and_the_next_run_goes_on(
    database: World, tmp_path: Path, name: str
) -> None:
    await database.prepare("postgres", "store")
    trouble, kube = TROUBLES[name], Kube(database, tmp_path)
    say(database, kube, trouble)
    with pytest.raises(LastingState) as told:
        await database.run("ready")
    text = str(told.value)
    assert trouble.words in text
    assert trouble.way_out.format(cluster=database.place.names.postgres_cluster) in text
    assert "un again" in text
    assert [one for one in database.writes() if one["method"] == "DELETE"] == []
    say(database, kube, None)
    ready: PostgresReadyOutputs = await database.run("ready")
    assert ready.instances == 3


STOPPED = [
    ("cnpg.io/hibernation", "on", "is hibernated"),
    ("cnpg.io/fencedInstances", '["*"]', "is fenced (all instances)"),
    ("cnpg.io/reconciliationLoop", "disabled", "is paused"),
]


@pytest.mark.parametrize(("annotation", "value", "words"), STOPPED, ids=[one[2] for one in STOPPED])
async def test_a_database_that_a_person_stopped_is_named_at_once_and_never_waited_out(
    database: World, tmp_path: Path, annotation: str, value: str, words: str
) -> None:
    await database.prepare("postgres", "store")
    name, kube = database.place.names.postgres_cluster, Kube(database, tmp_path)
    say(database, kube, None)
    path = f"{CLUSTERS}/{name}"
    kube.merge(path, {"metadata": {"annotations": {annotation: value}}})
    with pytest.raises(LastingState, match=re.escape(words)) as told:
        await database.run("ready")
    assert matches("database/status: Somebody asked for that", str(told.value))
    assert f"kubectl -n cnpg-database annotate cluster {name} --overwrite {annotation}" in str(told.value)
    assert not [event for event in database.journal.events if "isn't ready yet" in event.text]
    # Somebody stops it while a run waits.
    kube.merge(path, {"metadata": {"annotations": {annotation: None}}})
    say(database, kube, TROUBLES["an image that backs off"])
    stop = {"metadata": {"annotations": {annotation: value}}}
    database.when("waiting", lambda: kube.merge(path, stop))
    with pytest.raises(LastingState, match=re.escape(words)):
        await database.run("ready")
    kube.merge(path, {"metadata": {"annotations": {annotation: None}}})
    say(database, kube, None)
    await database.run("ready")


@pytest.mark.parametrize("state", LASTING)
async def test_a_database_isnt_waited_for_in_a_cluster_that_can_do_no_more(
    database: World, tmp_path: Path, state: str
) -> None:
    happens, words = LASTING[state]
    await database.prepare("postgres", "store")
    say(database, Kube(database, tmp_path), TROUBLES["an image that backs off"])
    waits = database.when("waiting", lambda: happens(database))
    with pytest.raises(LastingState) as told:
        await database.run("ready")
    assert waits
    for word in words:
        assert word in str(told.value)


async def test_a_database_that_somebody_deletes_is_named_and_never_called_unchanged(
    database: World, tmp_path: Path
) -> None:
    await database.prepare("postgres", "store")
    name, kube = database.place.names.postgres_cluster, Kube(database, tmp_path)
    say(database, kube, None)
    path = f"{CLUSTERS}/{name}"
    # A deletion in the foreground looks like this, too, until all that the Cluster owns is gone.
    kube.merge(path, {"metadata": {"finalizers": ["example.org/keep"]}})
    kube.delete(path)
    for step in ("postgres", "ready"):
        with pytest.raises(LastingState, match="is being deleted by somebody") as told:
            await database.run(step)
        assert matches("tasks/database/postgres_cluster: Nothing stops that", str(told.value))
        assert database.writes() == []
    kube.merge(path, {"metadata": {"finalizers": None}})
    shop = with_database(database, name="shop")
    shop.steps, shop.made = (
        TROUBLE_STEPS,
        {k: v for k, v in database.made.items() if k not in ("postgres", "store")},
    )
    assert (await shop.run("postgres")).change.kind == "created"


async def test_an_object_that_is_being_deleted_is_waited_for_and_made_anew(
    database: World, tmp_path: Path
) -> None:
    await database.prepare("store")
    kube, name = Kube(database, tmp_path), database.place.names.postgres_cluster
    path = f"/apis/barmancloud.cnpg.io/v1/namespaces/cnpg-database/objectstores/{name}-backups"
    kept, let_go = ({"metadata": {"finalizers": value}} for value in (["example.org/keep"], None))
    kube.merge(path, kept)
    old = kube.get(path) or {}
    kube.delete(path)
    with pytest.raises(NotEffectiveYet, match=r"is being deleted.*Finalizers keep it \(example\.org/keep\)"):
        await database.run("store")
    assert database.writes() == []
    database.when("waiting", lambda: kube.merge(path, let_go))
    assert (await database.run("store")).change.kind == "created"
    new = kube.get(path) or {}
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert "deletionTimestamp" not in new["metadata"]


@pytest.mark.thorough
async def test_a_primary_that_moves_meanwhile_is_waited_for_and_the_new_one_told(
    database: World, tmp_path: Path
) -> None:
    """v1.30.0: targetPrimary differs from currentPrimary, or is `pending`, while it moves."""
    await database.prepare("postgres", "store")
    name, kube = database.place.names.postgres_cluster, Kube(database, tmp_path)
    for target, phase in ((f"{name}-2", "Switchover in progress"), ("pending", "Failing over")):
        say(database, kube, None)
        kube.merge(f"{CLUSTERS}/{name}/status", {"status": {"phase": phase, "targetPrimary": target}})
        with pytest.raises(NotEffectiveYet, match=phase):
            await database.run("ready")
    kube.merge(f"{CLUSTERS}/{name}/status", {"status": healthy(name, 2)})
    ready = await database.run("ready")
    assert (ready.primary, database.writes()) == (f"{name}-2", [])


async def test_a_change_is_waited_for_until_the_operator_has_restarted_every_instance(
    database: World, tmp_path: Path
) -> None:
    """v1.30.0: the phase stays healthy until the operator has seen the change, and restarts one after the other."""
    await database.prepare("postgres", "store")
    name, kube = database.place.names.postgres_cluster, Kube(database, tmp_path)
    say(database, kube, None)
    old = pod_of(f"{name}-2")
    old["spec"]["containers"][0]["image"] = "registry.example/postgresql:18.0"
    database.azure.control("DELETE", "faults")
    listed(database, "pods", "Pod", [pod_of(f"{name}-1"), old])
    listed(database, "events", "Event", [])
    with pytest.raises(
        NotEffectiveYet, match=rf"pod {name}-2 has image registry\.example/postgresql:18\.0 until"
    ):
        await database.run("ready")
    database.azure.control("DELETE", "faults")
    listed(database, "pods", "Pod", [pod_of(f"{name}-1"), pod_of(f"{name}-2")])
    assert (await database.run("ready")).instances == 3


async def test_a_pod_that_the_webhook_missed_is_named_with_the_variables_it_lacks(
    database: World, tmp_path: Path
) -> None:
    """azure-workload-identity#790: its failure policy was Ignore."""
    await database.prepare("postgres", "store")
    name, kube = database.place.names.postgres_cluster, Kube(database, tmp_path)
    say(database, kube, None)
    database.azure.control("DELETE", "faults")
    listed(database, "pods", "Pod", [pod_of(f"{name}-1"), pod_of(f"{name}-2", IDENTITY[1:])])
    with pytest.raises(LastingState, match=f"pod {name}-2 lacks AZURE_AUTHORITY_HOST") as told:
        await database.run("ready")
    assert "azure-wi-webhook-controller-manager" in str(told.value)


ARCHIVING = [
    ("Expected empty archive", LastingState, "another cluster archived as"),
    ("barman-cloud-wal-archive: exit status 4", LastingState, "logs {primary} -c plugin-barman-cloud"),
    (None, NotEffectiveYet, "doesn't archive WAL"),
]


@pytest.mark.parametrize(("said", "error", "words"), ARCHIVING, ids=["used", "fails", "silent"])
async def test_archiving_that_doesnt_work_ends_in_time_with_the_operators_words(
    database: World, tmp_path: Path, said: str | None, error: type[Exception], words: str
) -> None:
    await database.prepare("postgres", "store")
    name, kube = database.place.names.postgres_cluster, Kube(database, tmp_path)
    say(database, kube, None)
    await database.prepare("ready")
    condition = {**healthy(name)["conditions"][0], "status": "False", "message": said}
    kube.merge(f"{CLUSTERS}/{name}/status", {"status": {"conditions": [condition] if said else []}})
    with pytest.raises(error) as told:
        await database.run("backup")
    assert words.format(primary=f"{name}-1") in str(told.value)
    assert database.writes() == []
    # Nor does a backup of long ago make it good.
    store = f"/apis/barmancloud.cnpg.io/v1/namespaces/cnpg-database/objectstores/{name}-backups/status"
    window = {"firstRecoverabilityPoint": "2026-11-24T00:00:00Z"}
    kube.merge(store, {"status": {"serverRecoveryWindow": {lineage(database.place): window}}})
    with pytest.raises(error):
        await database.run("backup")
    kube.merge(f"{CLUSTERS}/{name}/status", {"status": {"conditions": healthy(name)["conditions"]}})
    assert (await database.run("backup")).change.kind == "unchanged"
    assert database.writes() == []


@pytest.mark.thorough
async def test_a_backup_that_failed_is_told_and_taken_anew_by_the_next_run(
    database: World, tmp_path: Path
) -> None:
    """A failed Backup is never tried again by the operator: https://cloudnative-pg.io/documentation/1.30/backup/"""
    await database.prepare("postgres", "store")
    name, kube = database.place.names.postgres_cluster, Kube(database, tmp_path)
    say(database, kube, None)
    await database.prepare("ready")
    first = f"{BACKUPS}/{name}-first"
    with pytest.raises(NotEffectiveYet, match="isn't done yet"):
        await database.run("backup")
    kube.merge(f"{first}/status", {"status": {"phase": "failed", "error": "can't execute backup: no token"}})
    old = kube.get(first)
    # Looked at by the next run, which takes another.
    with pytest.raises(NotEffectiveYet):
        await database.run("backup")
    new = kube.get(first)
    assert old is not None
    assert new is not None
    assert old["metadata"]["uid"] != new["metadata"]["uid"]
    kube.merge(f"{first}/status", {"status": {"phase": "completed"}})
    store = f"/apis/barmancloud.cnpg.io/v1/namespaces/cnpg-database/objectstores/{name}-backups/status"
    window = {"firstRecoverabilityPoint": "2026-11-24T00:00:00Z"}
    kube.merge(store, {"status": {"serverRecoveryWindow": {lineage(database.place): window}}})
    done = await database.run("backup")
    assert done.recoverable_since == "2026-11-24T00:00:00Z"


async def test_an_identity_without_the_role_is_told_before_there_is_a_cluster(
    database: World,
) -> None:
    """https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes"""
    code = "AuthorizationPermissionMismatch"
    no = {
        "status": 403,
        "raw_body": f"<Error><Code>{code}</Code></Error>",
        "headers": {"x-ms-error-code": code},
    }
    await database.prepare("credential", "account", "container", "blob_roles")
    database.azure.fault(no, operation="PutBlob", times=1000)
    with pytest.raises(LastingState, match="Storage Blob Data Contributor"):
        await database.run("proof")
    database.azure.control("DELETE", "faults")
    assert (await database.run("proof")).facts
