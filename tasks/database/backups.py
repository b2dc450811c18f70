"""Guide: Validate, "Verify the PostgreSQL cluster ..., backups": where they go, the first of them, and the next ones.

The guide looks at conditions. Here the first run also looks at the blobs, with the pods' own token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import LastingState, NotEffectiveYet
from aks_postgres.arm.responses import Json
from aks_postgres.database.objects import (
    POSTGRES_API,
    backup_url,
    first_backup,
    lineage,
    object_store,
    object_store_name,
    scheduled_backup,
)
from aks_postgres.database.status import SIDECAR, ClusterState, used_archive
from aks_postgres.kubernetes.client import DATABASE_S, KubernetesApi, kubernetes_api
from aks_postgres.kubernetes.objects import change_of, created, ensure_objects, new_objects
from aks_postgres.reports.outputs import (
    UNCHANGED,
    BackupOutputs,
    Change,
    CheckedTarget,
    ClusterOutputs,
    FederatedCredentialOutputs,
    ObjectsOutputs,
    PostgresReadyOutputs,
    StorageAccountOutputs,
    VerificationOutputs,
)
from aks_postgres.resources.backup_blobs import BackupBlobs
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec

# The first WAL file is archived with the first backup or archive_timeout, whichever comes first; barman repeats.
_ARCHIVES_WITHIN_S = 900
# A new database is some megabytes. CloudNativePG's own tests give a backup three minutes.
_BACKUP_WITHIN_S = 1800


def _planned_store(
    spec: EnvironmentSpec, target: CheckedTarget, _cluster: Any, _plugin: Any, account: StorageAccountOutputs
) -> ObjectsOutputs:
    return new_objects(object_store(spec, target, _destination(spec, target, account)))


@arm_task("ensure_object_store {target.names.postgres_cluster}", needs="cluster", planned=_planned_store)
async def ensure_object_store(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    cluster: ClusterOutputs,
    plugin: ObjectsOutputs,
    account: StorageAccountOutputs,
) -> ObjectsOutputs:
    """Say where the plugin archives to, and for how long.

    Guide: Deploy, "Deploy the PostgreSQL cluster" (backup.barmanObjectStore).
    REST: https://cloudnative-pg.io/plugin-barman-cloud/docs/plugin-barman-cloud.v1/

    Args:
        spec: the environment wanted.
        target: names.
        cluster: the cluster.
        plugin: whose kind it is.
        account: the storage account.

    Returns:
        Its name.
    """
    return await ensure_objects(
        azure, cluster, object_store(spec, target, _destination(spec, target, account))
    )


def _destination(spec: EnvironmentSpec, target: CheckedTarget, account: StorageAccountOutputs) -> str:
    return backup_url(account.name, account.blob_endpoint, spec.storage.container, target.storage_suffix)


def _planned_backup(
    spec: EnvironmentSpec, target: CheckedTarget, _cluster: Any, _ready: Any, account: StorageAccountOutputs
) -> BackupOutputs:
    change = change_of([created(first_backup(spec, target))])
    return BackupOutputs(destination=_destination(spec, target, account), recoverable_since="", change=change)


@arm_task("ensure_first_backup {target.names.postgres_cluster}", needs="cluster", planned=_planned_backup)
async def ensure_first_backup(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    cluster: ClusterOutputs,
    ready: PostgresReadyOutputs,
    account: StorageAccountOutputs,
) -> BackupOutputs:
    """Take a base backup at once, unless there is one to go back to; and see each time that WAL is archived.

    Guide: Validate, "Create an on-demand backup" (kubectl apply of a Backup).
    REST: https://cloudnative-pg.io/documentation/1.30/cloudnative-pg.v1/#backup

    Args:
        spec: the environment wanted.
        target: names and generation.
        cluster: the cluster.
        ready: the Postgres cluster, once it takes connections.
        account: the storage account.

    Returns:
        Where backups go, and since when it can be gone back to.

    Raises:
        LastingState: archiving or the backup fails; with the operator's words.
        NotEffectiveYet: not done in time, and nobody says why.
    """
    wanted = first_backup(spec, target)
    name = wanted["metadata"]["name"]
    path = f"/apis/{POSTGRES_API}/namespaces/{spec.namespaces.database}/backups"
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        change = UNCHANGED
        since = await recoverable_since(api, spec, target)
        if since:
            # A backup of long ago is worth little without what was written since.
            await _archives(api, spec, target, api.settle)
        else:
            azure.gate.begin(f"Backup {name}: there is no backup to go back to yet")
            await _archives(api, spec, target, api.wait)
            change = await _taken(api, path, wanted)
            since = await recoverable_since(api, spec, target)
    return BackupOutputs(
        destination=_destination(spec, target, account), recoverable_since=since, change=change
    )


async def _taken(api: KubernetesApi, path: str, wanted: Json) -> Change:
    """Wait for the backup; one that failed is taken anew, as the operator never tries it again."""
    name = wanted["metadata"]["name"]
    live = await api.get(f"{path}/{name}")
    if live is not None and (live.get("status") or {}).get("phase") == "failed":
        await api.delete(f"Backup {name}", f"{path}/{name}")
        live = None
    if live is None:
        await api.create(path, wanted)
    await _completed(api, f"{path}/{name}", name)
    return UNCHANGED if live else change_of([created(wanted)])


async def recoverable_since(api: KubernetesApi, spec: EnvironmentSpec, target: CheckedTarget) -> str:
    """The first moment that can be gone back to, as the plugin says; empty where it says none."""
    path = f"/apis/barmancloud.cnpg.io/v1/namespaces/{spec.namespaces.database}/objectstores"
    live = await api.get(f"{path}/{object_store_name(target)}") or {}
    window = ((live.get("status") or {}).get("serverRecoveryWindow") or {}).get(lineage(target)) or {}
    return str(window.get("firstRecoverabilityPoint") or "")


async def _archives(
    api: KubernetesApi,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    wait: Callable[..., Awaitable[ClusterState | None]],
) -> None:
    """Wait until the operator says that WAL files are archived.

    Raises:
        LastingState: it says that they aren't.
        NotEffectiveYet: it says nothing.
    """
    name, namespace = target.names.postgres_cluster, spec.namespaces.database
    path = f"/apis/postgresql.cnpg.io/v1/namespaces/{namespace}/clusters/{name}"
    label = f"Postgres cluster {namespace}/{name}"
    state = ClusterState.of({})

    async def look() -> ClusterState | None:
        nonlocal state
        state = ClusterState.of(await api.get(path) or {})
        if used_archive(state.archiving_problem):
            raise _used(label, target)
        return state if state.archives else None

    try:
        await wait(f"{label} doesn't archive WAL", look, deadline_s=_ARCHIVES_WITHIN_S, real_s=DATABASE_S)
    except TimeoutError as error:
        if problem := state.archiving_problem:
            raise LastingState(
                f"{label}:",
                f"{error}; the operator says: {problem}",
                f"Read why: kubectl -n {namespace} logs {state.primary or name} -c {SIDECAR}. Then run again.",
            ) from None
        raise NotEffectiveYet(f"{label}: {error}; the operator says: {state}. Run again.") from None


def _used(label: str, target: CheckedTarget) -> LastingState:
    return LastingState(
        f"{label}:",
        f"another cluster archived as {lineage(target)} before, and the operator refuses to write there",
        "Set database.name to another name, or rebuild for the next generation; then run again. Never delete what is "
        "there unless you know that nobody needs it.",
    )


async def _completed(api: KubernetesApi, path: str, name: str) -> Json:
    said = "nothing yet"

    async def look() -> Json | None:
        nonlocal said
        live = await api.get(path) or {}
        status = live.get("status") or {}
        phase = str(status.get("phase") or "")
        said = (
            "; ".join(filter(None, (phase, str(status.get("error") or status.get("commandError") or ""))))
            or said
        )
        if phase == "failed":
            raise LastingState(
                f"Backup {name}",
                f"failed: {said}",
                "Do what it says, and run again: a new one is taken then.",
            )
        return live if phase == "completed" else None

    try:
        return await api.wait(
            f"Backup {name} isn't done yet", look, deadline_s=_BACKUP_WITHIN_S, real_s=DATABASE_S
        )
    except TimeoutError as error:
        raise NotEffectiveYet(f"Backup {name}: {error}; the operator says: {said}. Run again.") from None


def _nothing_seen(*_: Any) -> VerificationOutputs:
    return VerificationOutputs(facts=(), change=UNCHANGED)


@arm_task("verify_archive {target.names.postgres_cluster}", looks=True, needs="backup", planned=_nothing_seen)
async def verify_archive(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    cluster: ClusterOutputs,
    credential: FederatedCredentialOutputs,
    account: StorageAccountOutputs,
    backup: BackupOutputs,
) -> VerificationOutputs:
    """See that the first backup and the WAL that it needs are blobs, and not only conditions.

    Guide: Validate, "Verify that the backup is in the storage account" (az storage blob list). Looked at in the run
    that takes the backup.
    REST: https://learn.microsoft.com/rest/api/storageservices/list-blobs

    Args:
        spec: the environment wanted.
        target: names and generation.
        cluster: the cluster.
        credential: in whose name the pods write.
        account: the storage account.
        backup: the first backup.

    Returns:
        What was seen.

    Raises:
        LastingState: there are no such blobs.
    """
    if backup.change.kind == "unchanged":
        return VerificationOutputs(facts=(), change=UNCHANGED)
    archive = lineage(target)
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        blobs = await BackupBlobs(api, spec, target, credential.client_id, account).blobs(f"{archive}/")
    bases = [blob for blob in blobs if blob.name.endswith("/backup.info") and blob.size]
    data = [blob for blob in blobs if "/base/" in blob.name and "/data.tar" in blob.name and blob.size]
    wal = [blob for blob in blobs if blob.name.startswith(f"{archive}/wals/") and blob.size]
    missing = [
        what for what, found in (("backup.info", bases), ("data.tar", data), ("WAL files", wal)) if not found
    ]
    if missing:
        raise LastingState(
            f"archive {archive}:",
            f"the operator says that the backup is complete, and {' and '.join(missing)} aren't among the "
            f"{len(blobs)} blobs in {backup.destination}",
            "See that the ObjectStore's destinationPath is this container, and that nobody deletes blobs there; then "
            "run again.",
        )
    return VerificationOutputs(
        facts=(f"{len(bases)} base backup and {len(wal)} WAL files are blobs of {archive}",), change=UNCHANGED
    )


def _planned_schedule(spec: EnvironmentSpec, target: CheckedTarget, *_: Any) -> ObjectsOutputs:
    return new_objects(scheduled_backup(spec, target))


@arm_task(
    "ensure_backup_schedule {target.names.postgres_cluster}", needs="cluster", planned=_planned_schedule
)
async def ensure_backup_schedule(
    azure: Azure, spec: EnvironmentSpec, target: CheckedTarget, cluster: ClusterOutputs, backup: BackupOutputs
) -> ObjectsOutputs:
    """Have base backups taken by the clock, once the first one is there.

    Guide: Validate, "Create a scheduled backup" (kubectl apply of a ScheduledBackup, hourly).
    REST: https://cloudnative-pg.io/documentation/1.30/cloudnative-pg.v1/#scheduledbackup

    Args:
        spec: the environment wanted.
        target: names.
        cluster: the cluster.
        backup: the first backup.

    Returns:
        Its name.
    """
    return await ensure_objects(azure, cluster, scheduled_backup(spec, target))
