"""Whether a cluster holds data that nobody could get back: judged from what its API server says, without a network.

A Postgres cluster is safe when a base backup of it is fresh, all of it is among the blobs of a container known to be
outside the cluster, with the WAL that it needs (`archive_check`), its primary runs, and its WAL archiving works now.
When the last WAL file was archived isn't in Kubernetes' API
(https://cloudnative-pg.io/documentation/current/wal_archiving/ - at most five minutes of changes are under way). What
Kubernetes says alone proves nothing.
Backups as volume snapshots go with the cluster's own resource group
(https://cloudnative-pg.io/documentation/current/appendixes/backup_volumesnapshot/) and prove nothing.
What isn't known proves nothing either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from aks_postgres.arm.responses import Json, clean
from aks_postgres.database.status import Held
from aks_postgres.errors import Finding
from aks_postgres.tear_down.archive_check import NOT_READ, Archive, BackupInfo, why_incomplete

# A clock that runs ahead by more than this isn't a clock but a wrong date.
_AHEAD = timedelta(minutes=5)
_CLUSTERS_GROUP = "postgresql.cnpg.io/"
# https://cloudnative-pg.io/plugin-barman-cloud/docs/usage/
BARMAN_PLUGIN = "barman-cloud.cloudnative-pg.io"
_DISK_DRIVER = "disk.csi.azure.com"
# Of each Postgres cluster, that are looked for among the blobs.
_MOST_BACKUPS = 3


@dataclass(frozen=True)
class ClusterData:
    """What an API server says of data: the objects of all namespaces, by kind, and of volumes of the cluster."""

    clusters: Sequence[Json] = ()
    backups: Sequence[Json] = ()
    object_stores: Sequence[Json] = ()
    claims: Sequence[Json] = ()
    volumes: Sequence[Json] = ()
    snapshots: Sequence[Json] = ()
    snapshot_contents: Sequence[Json] = ()
    services: Sequence[Json] = ()
    nodes: Sequence[Json] = ()


@dataclass(frozen=True)
class Wanted:
    """Where a Postgres cluster archives, and which of its backups are to be looked for there."""

    namespace: str
    cluster: str
    destination: str
    server: str
    backup_ids: tuple[str, ...]


def archives_of(
    data: ClusterData, *, now: datetime, backup_age_min: int, accounts: Mapping[str, bool]
) -> list[Wanted]:
    """Return where to look for the backups that could prove a Postgres cluster, if the blobs say so too."""
    return [
        Wanted(*_key(cluster), *place, backup_ids)
        for cluster in data.clusters
        if (place := _place(cluster, data.object_stores))
        if (backup_ids := _candidates(cluster, data, now, backup_age_min, accounts))
    ]


def _candidates(
    cluster: Json, data: ClusterData, now: datetime, backup_age_min: int, accounts: Mapping[str, bool]
) -> tuple[str, ...]:
    oldest = now - timedelta(minutes=backup_age_min)
    found = [
        (stopped, str(_at(backup, "status", "backupId") or ""))
        for backup, stopped in _completed(cluster, data)
        if oldest <= stopped <= now + _AHEAD and _doubt(cluster, backup, data.object_stores, accounts) is None
    ]
    return tuple(one for _, one in sorted(found, reverse=True) if one)[:_MOST_BACKUPS]


def judge_data(
    data: ClusterData,
    *,
    now: datetime,
    backup_age_min: int,
    node_group: str,
    accounts: Mapping[str, bool],
    archives: Mapping[Wanted, Archive],
) -> list[Finding]:
    """Name every Postgres cluster without a proven backup, and every volume or snapshot that belongs to none.

    Args:
        data: what the API server says.
        now: the API server's own time, which ages count from.
        backup_age_min: how old the newest backup may be, in minutes.
        node_group: name of the group that goes with the cluster.
        accounts: blob endpoints of this environment's backup accounts and of those among the nodes, and whether each is
            deleted.
        archives: what is at the places that `archives_of` names.

    Returns:
        What stands against it; `take_inventory` ends each way out by the word that lets the data go.
    """
    problems = []
    seen = {(item.namespace, item.cluster): (item, archive) for item, archive in archives.items()}
    for cluster in data.clusters:
        reasons = _unproven(cluster, data, now, backup_age_min, accounts, seen.get(_key(cluster)))
        if reasons:
            problems.append(
                Finding(
                    f"Postgres cluster {_full_name(cluster)}: {'; '.join(reasons)}.",
                    f"See that its primary runs, and take a backup (kubectl cnpg backup {cluster['metadata']['name']} "
                    f"--namespace {cluster['metadata']['namespace']}). It counts once its last WAL file is archived, "
                    "which takes archive_timeout at most.",
                )
            )
    owners = {(_at(item, "metadata", "namespace"), _at(item, "metadata", "uid")) for item in data.clusters}
    for claim in data.claims:
        if not _belongs_to(claim, owners):
            size = _at(claim, "spec", "resources", "requests", "storage") or "?"
            problems.append(
                Finding(
                    f"PersistentVolumeClaim {_full_name(claim)} ({size}) belongs to no Postgres cluster, and its disk "
                    "goes with the cluster.",
                    "Save what is on it and delete the claim.",
                )
            )
    claimed = {uid for claim in data.claims if (uid := _at(claim, "metadata", "uid"))}
    for volume in data.volumes:
        if _at(volume, "spec", "claimRef", "uid") in claimed or not _goes_with(volume, node_group):
            continue
        size = _at(volume, "spec", "capacity", "storage") or "?"
        phase = _at(volume, "status", "phase") or "of unknown phase"
        problems.append(
            Finding(
                f"PersistentVolume {_full_name(volume)} ({size}, {phase}) has no claim, and its disk goes with the "
                "cluster.",
                "Save what is on it and delete the volume and its disk.",
            )
        )
    for snapshot in data.snapshots:
        problems.append(
            Finding(
                f"VolumeSnapshot {_full_name(snapshot)} goes with the cluster.",
                "Save what is in it and delete it.",
            )
        )
    taken = {(_at(item, "metadata", "namespace"), _at(item, "metadata", "name")) for item in data.snapshots}
    for content in data.snapshot_contents:
        reference = _at(content, "spec", "volumeSnapshotRef")
        if (_at(reference, "namespace"), _at(reference, "name")) not in taken:
            problems.append(
                Finding(
                    f"VolumeSnapshotContent {_full_name(content)} has no VolumeSnapshot, and its snapshot goes with "
                    "the cluster.",
                    "Save what is in it and delete it.",
                )
            )
    return problems


def _completed(cluster: Json, data: ClusterData) -> Iterator[tuple[Json, datetime]]:
    """The backups that the operator calls completed, of this very cluster, and when each ended."""
    made = _time(_at(cluster, "metadata", "creationTimestamp"))
    for backup in data.backups:
        if (_at(backup, "metadata", "namespace"), _at(backup, "spec", "cluster", "name")) != _key(cluster):
            continue
        if _at(backup, "status", "phase") != "completed":
            continue
        stopped = _time(_at(backup, "status", "stoppedAt"))
        # One of an earlier cluster of the same name says nothing about this one's data.
        if stopped is not None and made is not None and stopped >= made:
            yield backup, stopped


def _unproven(
    cluster: Json,
    data: ClusterData,
    now: datetime,
    backup_age_min: int,
    accounts: Mapping[str, bool],
    seen: tuple[Wanted, Archive] | None,
) -> list[str]:
    reasons, doubts = [], []
    ended, proven = [], False
    for backup, stopped in _completed(cluster, data):
        doubt = (
            f"ended in the future, at {stopped.isoformat()}"
            if stopped > now + _AHEAD
            else _doubt(cluster, backup, data.object_stores, accounts)
        )
        if not doubt:
            ended.append(stopped)
            if now - stopped > timedelta(minutes=backup_age_min):
                continue
            doubt = _doubt_of_blobs(cluster, backup, data.object_stores, seen)
            proven = proven or doubt is None
        if doubt:
            doubts.append(f"backup {_at(backup, 'metadata', 'name')} {clean(doubt)}")
    why = f" ({'; '.join(doubts[:3])})" if doubts else ""
    if not ended:
        reasons.append(f"it has no completed backup in object storage outside the cluster{why}")
    elif (age_min := (now - max(ended)).total_seconds() / 60) > backup_age_min:
        age = f"{age_min:.0f} minutes" if age_min < 120 else f"{age_min / 60:.0f} hours"
        reasons.append(
            f"its newest completed backup is {age} old, and {backup_age_min} minutes are allowed (backup_age_min)"
        )
    elif not proven:
        reasons.append(f"it has no backup that the blobs show too{why}")
    reasons += _not_archiving_now(cluster)
    conditions = _at(cluster, "status", "conditions")
    archiving = next(
        (
            condition
            for condition in (conditions if isinstance(conditions, list) else [])
            if _at(condition, "type") == "ContinuousArchiving"
        ),
        None,
    )
    if archiving is None:
        reasons.append("it archives no WAL")
    elif archiving.get("status") != "True":
        reasons.append(
            f"its WAL archiving doesn't work ({clean(str(archiving.get('message') or archiving.get('reason')))})"
        )
    return reasons


def _not_archiving_now(cluster: Json) -> Iterator[str]:
    """Why the condition about archiving says nothing about now: only a primary that runs archives, and sets it.

    A cluster that is hibernated, fenced or broken keeps the condition that it had, and what was written last may be on
    its volumes alone. Of one that is paused the operator says nothing new.
    https://cloudnative-pg.io/documentation/1.30/cloudnative-pg.v1/#clusterstatus
    """
    if (held := Held.of(cluster)) is not None:
        yield f"it {held.what}"
    primary, target = (_at(cluster, "status", name) for name in ("currentPrimary", "targetPrimary"))
    healthy = _at(cluster, "status", "instancesStatus", "healthy")
    if not isinstance(primary, str) or not primary:
        yield "it has no primary, so what was written last may not be archived"
    elif not isinstance(healthy, list) or primary not in healthy:
        yield f"its primary {clean(primary)} isn't known to run, so what was written last may not be archived"
    elif target != primary:
        yield f"its primary moves from {clean(primary)} to {clean(str(target))}"


def _doubt(
    cluster: Json, backup: Json, object_stores: Sequence[Json], accounts: Mapping[str, bool]
) -> str | None:
    """Return why a completed backup proves nothing; None if it does."""
    said = [value for part in ("spec", "status") if (value := _at(backup, part, "method")) is not None]
    methods = set(map(str, said)) or {"barmanObjectStore"}
    if methods == {"barmanObjectStore"}:
        store = _at(cluster, "spec", "backup", "barmanObjectStore")
        recorded = _at(backup, "status")
        # Where the base backup went, and where the WAL goes that it needs.
        says = any(_at(recorded, name) is not None for name in ("destinationPath", "endpointURL"))
        stores = [store] + ([recorded] if says else [])
    elif methods == {"plugin"}:
        plugin = _at(backup, "spec", "pluginConfiguration", "name")
        if plugin != BARMAN_PLUGIN:
            return f"was made by an unknown plugin, {plugin}"
        stores = [_at(_plugin_store(cluster, object_stores), "spec", "configuration")]
    elif methods == {"volumeSnapshot"}:
        return "is a volume snapshot, which goes with the cluster"
    else:
        return f"was made by an unknown method, {' and '.join(sorted(methods))}"
    for store in stores:
        path, endpoint = _at(store, "destinationPath"), _at(store, "endpointURL")
        if doubt := judge_destination(path, accounts):
            return doubt
        if endpoint is not None and (doubt := judge_destination(endpoint, accounts)):
            return doubt
    return None


def _doubt_of_blobs(
    cluster: Json, backup: Json, object_stores: Sequence[Json], seen: tuple[Wanted, Archive] | None
) -> str | None:
    """Return why the container doesn't show a completed backup; None if it does, and the ObjectStore agrees."""
    backup_id = str(_at(backup, "status", "backupId") or "")
    if not backup_id:
        return "has no ID, so nothing tells which blobs are its own"
    archive = NOT_READ
    if seen is not None and backup_id in seen[0].backup_ids:
        archive = seen[1]
    if doubt := why_incomplete(archive, backup_id, str(_at(cluster, "status", "systemID") or "")):
        return doubt
    info = BackupInfo.of(archive.infos[backup_id])
    assert info is not None
    if _at(backup, "spec", "method") != "plugin":
        return None
    # https://cloudnative-pg.io/plugin-barman-cloud/docs/plugin-barman-cloud.v1/#recoverywindow
    assert seen is not None
    window = _at(_plugin_store(cluster, object_stores), "status", "serverRecoveryWindow", seen[0].server)
    first, last = (
        _time(_at(window, name)) for name in ("firstRecoverabilityPoint", "lastSuccessfulBackupTime")
    )
    end = _time(info.end_time)
    # The plugin writes whole seconds, all of them barman's.
    if end is None or first is None or last is None or not first <= end < last + timedelta(seconds=1):
        return f"isn't among those that the ObjectStore's status knows as {clean(seen[0].server)}"
    return None


def _place(cluster: Json, object_stores: Sequence[Json]) -> tuple[str, str] | None:
    """Return where a cluster archives, and as whom: by its plugin, or else in-tree."""
    plugins = _plugins(cluster)
    if plugins:
        path = _at(_plugin_store(cluster, object_stores), "spec", "configuration", "destinationPath")
        server = _at(plugins[0], "parameters", "serverName")
    else:
        store = _at(cluster, "spec", "backup", "barmanObjectStore")
        path, server = _at(store, "destinationPath"), _at(store, "serverName")
    if not isinstance(path, str) or not path:
        return None
    return path, str(server or _key(cluster)[1])


def _plugins(cluster: Json) -> list[Json]:
    plugins = _at(cluster, "spec", "plugins")
    return [
        one
        for one in (plugins if isinstance(plugins, list) else [])
        if _at(one, "name") == BARMAN_PLUGIN and _at(one, "enabled") in (None, True)
    ]


def _plugin_store(cluster: Json, object_stores: Sequence[Json]) -> Any:
    """The ObjectStore that the cluster's plugin archives to, None if it isn't known."""
    names = [_at(plugin, "parameters", "barmanObjectName") for plugin in _plugins(cluster)]
    namespace = _key(cluster)[0]
    found = [
        store
        for store in object_stores
        if len(names) == 1
        and (_at(store, "metadata", "namespace"), _at(store, "metadata", "name")) == (namespace, names[0])
    ]
    return found[0] if found else None


def judge_destination(path: Any, accounts: Mapping[str, bool]) -> str | None:
    """Return what is doubtful about where backups go; None if they are in an account that is kept."""
    if not isinstance(path, str) or not path:
        return "has no known destination"
    doomed = f"is in {path}, which is deleted too or isn't there"
    for endpoint, is_doomed in accounts.items():
        if f"{path.rstrip('/')}/".casefold().startswith(f"{endpoint.rstrip('/')}/".casefold()):
            return doomed if is_doomed else None
    try:
        host = (urlsplit(path).hostname or "").casefold()
    except ValueError:
        host = ""
    # Its host with a port, a user or a query is the same account. A sandbox's accounts share one, and differ by path.
    if any(
        is_doomed and not urlsplit(endpoint).path.strip("/") and host == urlsplit(endpoint).hostname
        for endpoint, is_doomed in accounts.items()
    ):
        return doomed
    if not path.casefold().startswith("https://") or not any(
        host.endswith(end) and host.removesuffix(end).isalnum() for end in _blob_hosts(accounts)
    ):
        return f"is in {path}, which isn't known to be outside the cluster (Azure's blob storage is)"
    return None


def _blob_hosts(accounts: Mapping[str, bool]) -> set[str]:
    """Return what the names of blob storage end with in this cloud: its own account's does, as any account's.

    https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-endpoints
    """
    hosts = (urlsplit(endpoint).hostname or "" for endpoint in accounts)
    ends = {f".{host.partition('.')[2].casefold()}" for host in hosts}
    return {end for end in ends if end.startswith(".blob.")}


def _belongs_to(claim: Json, owners: set[tuple[Any, Any]]) -> bool:
    """Return whether a Postgres cluster that is there owns the claim: by reference, as anyone may write a label."""
    references = _at(claim, "metadata", "ownerReferences")
    namespace = _at(claim, "metadata", "namespace")
    return any(
        _at(reference, "kind") == "Cluster"
        and str(_at(reference, "apiVersion")).startswith(_CLUSTERS_GROUP)
        and bool(_at(reference, "uid"))
        and (namespace, _at(reference, "uid")) in owners
        for reference in (references if isinstance(references, list) else [])
    )


def _goes_with(volume: Json, node_group: str) -> bool:
    """Return whether the disk of a volume goes with the node group; where it is unknown, it does."""
    if _at(volume, "spec", "csi", "driver") != _DISK_DRIVER:
        return True
    parts = str(_at(volume, "spec", "csi", "volumeHandle")).casefold().split("/")
    return len(parts) < 9 or parts[4] == node_group.casefold()


def _at(item: Any, *path: str) -> Any:
    """Return what is at a path; None where a part of it is missing or no object."""
    for part in path:
        item = item.get(part) if isinstance(item, dict) else None
    return item


def _key(cluster: Json) -> tuple[str, str]:
    return cluster["metadata"]["namespace"], cluster["metadata"]["name"]


def _full_name(item: Json) -> str:
    metadata = item["metadata"]
    return "/".join(metadata[part] for part in ("namespace", "name") if metadata.get(part))


def _time(given: object) -> datetime | None:
    """An RFC 3339 time with its zone; None for anything else."""
    try:
        found = datetime.fromisoformat(str(given))
    except ValueError:
        return None
    return found if found.tzinfo else None
