"""What is watched of a database."""

import re
from typing import Any

import pytest

from aks_postgres.database.alerts import alert_rules

from .test_objects import site_of, spec_of

# The operator's default-monitoring.yaml and monitoring.md (v1.30.0), the plugin's Observability page, the kubelet,
# cert-manager's certificate_collector.go (v1.19.4).
METRICS = {
    "barman_cloud_cloudnative_pg_io_last_available_backup_timestamp",
    "cnpg_collector_pg_wal_archive_status",
    "cnpg_collector_up",
    "certmanager_certificate_expiration_timestamp_seconds",
    "cnpg_pg_replication_in_recovery",
    "cnpg_pg_replication_is_wal_receiver_up",
    "cnpg_pg_replication_lag",
    "cnpg_pg_stat_archiver_last_archived_time",
    "cnpg_pg_stat_archiver_last_failed_time",
    "kubelet_volume_stats_capacity_bytes",
    "kubelet_volume_stats_used_bytes",
}


def rules_of(**database: Any) -> dict[str, str]:
    spec = spec_of(**database)
    return {rule["alert"]: rule["expression"] for rule in alert_rules(spec, site_of(spec))}


def test_archive_backups_replicas_disk_and_instances_are_watched() -> None:
    assert set(rules_of()) == {
        "PostgresInstancesMissing",
        "PostgresDiskFillsUp",
        "PostgresReplicaLags",
        "PostgresReplicaCutOff",
        "PostgresArchivingFails",
        "PostgresArchiveLags",
        "PostgresBackupTooOld",
        "PostgresCertificateEnds",
    }


def test_every_metric_is_one_that_somebody_exports() -> None:
    used = {name for rule in rules_of().values() for name in re.findall(r"[a-z_]{12,}(?=\{)", rule)}
    assert used == METRICS


def test_only_this_database_s_pods_and_volumes_are_looked_at() -> None:
    rules = rules_of(name="shop-db")
    del rules["PostgresCertificateEnds"]  # One plugin serves all databases of a cluster.
    for rule in rules.values():
        assert 'namespace="cnpg-database"' in rule
        assert re.search(r'(pod|persistentvolumeclaim)=~"shop-db-\[0-9\]\+', rule)


def test_what_a_database_does_not_have_is_not_watched() -> None:
    alone = rules_of(
        instances=1, not_highly_available=True, backup={"engine": "none", "data_may_be_lost": True}
    )
    assert set(alone) == {"PostgresInstancesMissing", "PostgresDiskFillsUp"}
    assert alone["PostgresInstancesMissing"].endswith("< 1")


@pytest.mark.parametrize(
    ("schedule", "oldest_s"), [("0 15 2 * * *", 26 * 3600), ("0 0 2 * * 0", 7 * 86_400 + 2 * 3600)]
)
def test_a_backup_may_be_as_old_as_its_schedule_makes_it(schedule: str, oldest_s: int) -> None:
    assert rules_of(backup={"schedule": schedule})["PostgresBackupTooOld"].endswith(f"> {oldest_s}")
