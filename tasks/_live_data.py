"""Whether a cluster holds data that nobody could get back: judged from what its API server says, without a network.

A Postgres cluster is safe when a base backup of it in object storage is fresh and its WAL archiving works now: when
the last WAL file was archived isn't in Kubernetes' API (https://cloudnative-pg.io/documentation/current/wal_archiving/
- at most five minutes of changes are under way). Backups as volume snapshots go with the cluster's own resource group
(https://cloudnative-pg.io/documentation/current/appendixes/backup_volumesnapshot/) and prove nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cloud.answers import Json, clean

CLUSTER_LABEL = "cnpg.io/cluster"


def judge_data(
    clusters: Sequence[Json],
    backups: Sequence[Json],
    claims: Sequence[Json],
    *,
    now: datetime,
    backup_age_min: int,
) -> list[str]:
    """Name every Postgres cluster without a proven backup, and every volume that belongs to no Postgres cluster.

    Args:
        clusters: CloudNativePG's `Cluster`s of all namespaces.
        backups: its `Backup`s of all namespaces.
        claims: the PersistentVolumeClaims of all namespaces.
        now: the time that ages count from.
        backup_age_min: how old the newest backup may be, in minutes.
    """
    problems = []
    for cluster in clusters:
        reasons = _unproven(cluster, backups, now, backup_age_min)
        if reasons:
            problems.append(
                f"Postgres cluster {_full_name(cluster)}: {'; '.join(reasons)}. Take a backup (kubectl cnpg backup "
                f"{cluster['metadata']['name']} --namespace {cluster['metadata']['namespace']})"
            )
    known = {_key(cluster) for cluster in clusters}
    for claim in claims:
        metadata = claim["metadata"]
        belongs_to = (metadata["namespace"], (metadata.get("labels") or {}).get(CLUSTER_LABEL))
        if belongs_to not in known:
            size = ((claim.get("spec") or {}).get("resources") or {}).get("requests", {}).get("storage", "?")
            problems.append(
                f"PersistentVolumeClaim {_full_name(claim)} ({size}) belongs to no Postgres cluster, and its disk goes "
                "with the cluster. Save what is on it and delete the claim"
            )
    return problems


def _unproven(cluster: Json, backups: Sequence[Json], now: datetime, backup_age_min: int) -> list[str]:
    ended = [
        stopped
        for backup in backups
        if (backup["metadata"]["namespace"], _of_cluster(backup)) == _key(cluster)
        and _method(backup) != "volumeSnapshot"
        and (backup.get("status") or {}).get("phase") == "completed"
        and (stopped := _time((backup.get("status") or {}).get("stoppedAt")))
        # One of an earlier cluster of the same name says nothing about this one's data.
        and stopped >= (_time(cluster["metadata"].get("creationTimestamp")) or stopped)
    ]
    reasons = []
    if not ended:
        reasons.append("it has no completed backup in object storage")
    else:
        age_min = (now - max(ended)).total_seconds() / 60
        if age_min > backup_age_min:
            reasons.append(
                f"its newest completed backup is {age_min:.0f} minutes old, and {backup_age_min} are allowed"
            )
    archiving = next(
        (
            condition
            for condition in (cluster.get("status") or {}).get("conditions") or []
            if condition.get("type") == "ContinuousArchiving"
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


def _key(cluster: Json) -> tuple[str, str]:
    return cluster["metadata"]["namespace"], cluster["metadata"]["name"]


def _full_name(item: Json) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def _of_cluster(backup: Json) -> str:
    return str(((backup.get("spec") or {}).get("cluster") or {}).get("name", ""))


def _method(backup: Json) -> str:
    status, spec = backup.get("status") or {}, backup.get("spec") or {}
    return str(status.get("method") or spec.get("method") or "barmanObjectStore")


def _time(given: object) -> datetime | None:
    """An RFC 3339 time with its zone; None for anything else."""
    try:
        found = datetime.fromisoformat(str(given))
    except ValueError:
        return None
    return found if found.tzinfo else None
