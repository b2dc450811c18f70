"""The dashboard of a database in Managed Grafana, as data.

Its queries use only what the instances, the kubelets and cert-manager publish; `database.alerts` has the sources.

https://grafana.com/docs/grafana/v11.6/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

import hashlib
from typing import Any

from aks_postgres.database.objects import required
from aks_postgres.reports.outputs import Target
from aks_postgres.spec.environment import EnvironmentSpec

Json = dict[str, Any]

_WIDTH, _HEIGHT, _COLUMNS = 8, 7, 3
# Chosen by type, not by name: what a link to an Azure Monitor workspace makes is called after the workspace.
_SOURCE = {"type": "prometheus", "uid": "${source}"}


def dashboard_uid(target: Target) -> str:
    """Its identifier in Grafana, 40 characters at most: computed, so that the next run finds it."""
    digest = hashlib.sha256(target.names.postgres_cluster.encode()).hexdigest()
    return f"aks-postgres-{digest[:16]}"


def dashboard(spec: EnvironmentSpec, target: Target, workspace: str) -> Json:
    """The dashboard.

    Args:
        spec: the environment wanted.
        target: the generation.
        workspace: name of the Azure Monitor workspace that has the metrics.
    """
    database, cluster = required(spec), target.names.postgres_cluster
    namespace = f'namespace="{spec.namespaces.database}"'
    of = f'{{{namespace},pod=~"{cluster}-[0-9]+"}}'
    volumes = f'{{{namespace},persistentvolumeclaim=~"{cluster}-[0-9]+(-wal)?"}}'
    rate = "[$__rate_interval]"
    used, capacity = (
        f"kubelet_volume_stats_used_bytes{volumes}",
        f"kubelet_volume_stats_capacity_bytes{volumes}",
    )
    panels = [
        ("Instances that answer", "none", f"sum(cnpg_collector_up{of})", "instances"),
        ("Replication lag", "s", f"cnpg_pg_replication_lag{of}", "{{pod}}"),
        ("Replicas that receive WAL", "none", f"cnpg_pg_replication_is_wal_receiver_up{of}", "{{pod}}"),
        ("Volumes, used", "percentunit", f"{used} / {capacity}", "{{persistentvolumeclaim}}"),
        ("Databases, size", "bytes", f"max by (datname) (cnpg_pg_database_size_bytes{of})", "{{datname}}"),
        ("Connections", "none", f"sum by (pod, state) (cnpg_backends_total{of})", "{{pod}} {{state}}"),
        (
            "Transactions a second",
            "ops",
            f"sum by (pod) (rate(cnpg_pg_stat_database_xact_commit{of}{rate}))",
            "{{pod}}",
        ),
        (
            "Blocks found in shared buffers",
            "percentunit",
            f"sum by (pod) (rate(cnpg_pg_stat_database_blks_hit{of}{rate})) / "
            f"(sum by (pod) (rate(cnpg_pg_stat_database_blks_hit{of}{rate})) + "
            f"sum by (pod) (rate(cnpg_pg_stat_database_blks_read{of}{rate})))",
            "{{pod}}",
        ),
        ("Longest transaction", "s", f"max by (pod) (cnpg_backends_max_tx_duration_seconds{of})", "{{pod}}"),
        (
            "Deadlocks and waiting backends",
            "none",
            f"sum by (pod) (cnpg_backends_waiting_total{of}) + "
            f"sum by (pod) (increase(cnpg_pg_stat_database_deadlocks{of}{rate}))",
            "{{pod}}",
        ),
        (
            "Age of the oldest transaction ID",
            "none",
            f"max by (pod) (cnpg_pg_database_xid_age{of})",
            "{{pod}}",
        ),
    ]
    if database.backup.engine == "plugin":
        waiting = of.replace("}", ',value="ready"}')
        panels += [
            (
                "WAL files that wait to be archived",
                "none",
                f"cnpg_collector_pg_wal_archive_status{waiting}",
                "{{pod}}",
            ),
            (
                "Since WAL was archived",
                "s",
                f"cnpg_pg_stat_archiver_seconds_since_last_archival{of}",
                "{{pod}}",
            ),
            (
                "Since the newest base backup",
                "s",
                f"time() - max(barman_cloud_cloudnative_pg_io_last_available_backup_timestamp{of})",
                "backup",
            ),
            (
                "Until a certificate of the plugin ends",
                "s",
                "certmanager_certificate_expiration_timestamp_seconds"
                f'{{exported_namespace="{spec.namespaces.operator}",name=~"barman-cloud-.+"}} - time()',
                "{{name}}",
            ),
        ]
    variable = {
        "name": "source",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "regex": f"/{workspace}/i",
        "refresh": 1,
        "hide": 2,
    }
    return {
        "uid": dashboard_uid(target),
        "title": f"PostgreSQL {cluster}",
        "tags": ["aks-postgres", "postgresql"],
        "timezone": "utc",
        "schemaVersion": 39,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [variable]},
        "panels": [_panel(number, *panel) for number, panel in enumerate(panels)],
    }


def queries(found: Json) -> list[str]:
    """The queries of a dashboard's panels."""
    return [target["expr"] for panel in found["panels"] for target in panel["targets"]]


def _panel(number: int, title: str, unit: str, query: str, legend: str) -> Json:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "title": title,
        "type": "timeseries",
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "datasource": _SOURCE, "expr": query, "legendFormat": legend}],
    }
