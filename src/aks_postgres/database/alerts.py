"""What is watched of a database, as alert rules of managed Prometheus.

The metrics are the operator's own (v1.30.0, config/manager/default-monitoring.yaml, docs/src/monitoring.md), the
plugin's (docs, Observability), the kubelet's and cert-manager's (v1.19.4, certificate_collector.go). Nobody publishes
when the Cluster's own certificates end: `status` reads it from the Cluster.
"""

from __future__ import annotations

from typing import Any

from aks_postgres.database.objects import required
from aks_postgres.reports.outputs import Target
from aks_postgres.spec.environment import EnvironmentSpec

Json = dict[str, Any]

GROUP = "PostgresAlerts"
# 16 MB each; a busy database has one or two on their way.
_MOST_WAL_FILES_WAITING = 10
_MOST_REPLICA_LAG_S = 60
_FULLEST = 0.8
_DAY_S = 86_400
_LATE_S = 2 * 3600
# The plugin's manifest has them renewed fifteen days before.
_CERTIFICATE_S = 7 * _DAY_S


def alert_rules(spec: EnvironmentSpec, target: Target) -> list[Json]:
    """The rules of the database's group, as ARM takes them."""
    database, cluster = required(spec), target.names.postgres_cluster
    # managed Prometheus writes the AKS cluster's name into the label `cluster`, where the operator has its own.
    of = f'namespace="{spec.namespaces.database}",pod=~"{cluster}-[0-9]+"'
    volumes = f'namespace="{spec.namespaces.database}",persistentvolumeclaim=~"{cluster}-[0-9]+(-wal)?"'
    fewest = min(2, database.instances)
    rules = [
        _rule(
            "PostgresInstancesMissing",
            f"(count(cnpg_collector_up{{{of}}} == 1) or vector(0)) < {fewest}",
            "PT5M",
            1,
            f"Fewer than {fewest} instances of {cluster} answer.",
        ),
        _rule(
            "PostgresDiskFillsUp",
            f"kubelet_volume_stats_used_bytes{{{volumes}}} / kubelet_volume_stats_capacity_bytes{{{volumes}}} > "
            f"{_FULLEST}",
            "PT10M",
            2,
            "A volume is more than 80 % full. Raise database.storage.size_gib, or see why WAL isn't archived.",
        ),
    ]
    if database.instances > 1:
        replication = "cnpg_pg_replication"
        rules += [
            _rule(
                "PostgresReplicaLags",
                f"{replication}_lag{{{of}}} > {_MOST_REPLICA_LAG_S}",
                "PT5M",
                3,
                "A replica is more than a minute behind.",
            ),
            # One that is cut off has replayed all that it received, and so has no lag.
            _rule(
                "PostgresReplicaCutOff",
                f"{replication}_in_recovery{{{of}}} > {replication}_is_wal_receiver_up{{{of}}}",
                "PT5M",
                2,
                "A replica doesn't receive WAL.",
            ),
        ]
    if database.backup.engine == "plugin":
        oldest_s = _oldest_s(database.backup.schedule, database.backup.retention_days)
        archiver, newest = (
            "cnpg_pg_stat_archiver",
            "barman_cloud_cloudnative_pg_io_last_available_backup_timestamp",
        )
        rules += [
            _rule(
                "PostgresArchivingFails",
                f"{archiver}_last_failed_time{{{of}}} > {archiver}_last_archived_time{{{of}}}",
                "PT5M",
                1,
                "WAL isn't archived: what is written now can't be got back, and the volume fills up.",
            ),
            _rule(
                "PostgresArchiveLags",
                f'cnpg_collector_pg_wal_archive_status{{{of},value="ready"}} > {_MOST_WAL_FILES_WAITING}',
                "PT10M",
                2,
                "WAL files wait to be archived.",
            ),
            # Without a sample nobody knows of a backup: zero stands for that, as the plugin itself has it.
            _rule(
                "PostgresBackupTooOld",
                f"time() - (max({newest}{{{of}}}) or vector(0)) > {oldest_s}",
                "PT10M",
                2,
                "The newest base backup is older than the schedule allows, or none is known.",
            ),
            # The metric's own namespace is the certificate's; that of its pod is in the label `namespace`.
            _rule(
                "PostgresCertificateEnds",
                "certmanager_certificate_expiration_timestamp_seconds"
                f'{{exported_namespace="{spec.namespaces.operator}",name=~"barman-cloud-.+"}} - time() < '
                f"{_CERTIFICATE_S}",
                "PT10M",
                2,
                "cert-manager hasn't renewed a certificate between operator and plugin.",
            ),
        ]
    return rules


def _oldest_s(schedule: str, retention_days: int) -> int:
    """Return how old the newest backup may be: a day for a schedule of every day, else what is kept, a week at most."""
    every_day = schedule.split()[3:] in (["*", "*", "*"], ["*", "*", "?"], ["?", "*", "*"])
    return (1 if every_day else min(retention_days, 7)) * _DAY_S + _LATE_S


def _rule(name: str, expression: str, lasts: str, severity: int, text: str) -> Json:
    """One rule; severity is Azure Monitor's, 0 (critical) to 4.

    https://learn.microsoft.com/azure/azure-monitor/metrics/prometheus-rule-groups
    """
    return {
        "alert": name,
        "enabled": True,
        "expression": expression,
        "for": lasts,
        "severity": severity,
        "annotations": {"description": text},
        "resolveConfiguration": {"autoResolved": True, "timeToResolve": "PT10M"},
    }
