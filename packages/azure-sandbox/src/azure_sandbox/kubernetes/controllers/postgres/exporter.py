"""An instance's exporter on port 9187, and the kubelet's part that measures volumes.

Each value is asked from the server, its folder or the objects that CloudNativePG's exporter takes it from.
https://github.com/cloudnative-pg/cloudnative-pg/blob/v1.30.0/pkg/management/postgres/webserver/metricserver/pg_collector.go
and, for the plugin's three, internal/cnpgi/instance/metrics.go in https://github.com/cloudnative-pg/plugin-barman-cloud.
Left out: go_*, pg_stat_wal, TLS on that port.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure_sandbox.kubernetes.controllers.postgres import installed, words
from azure_sandbox.kubernetes.controllers.postgres.kubelet import bytes_of
from azure_sandbox.kubernetes.controllers.postgres.queries import ASK, QUERIES
from azure_sandbox.kubernetes.exposition import CONTENT_TYPE, Metric, text_of

if TYPE_CHECKING:
    from azure_sandbox.kubernetes.controllers.postgres.kubelet import Served
    from azure_sandbox.kubernetes.controllers.postgres.operator import ClusterWork
    from azure_sandbox.kubernetes.store import Store

Json = dict[str, Any]

PORT = 9187
_SEGMENT = re.compile(r"[0-9A-F]{24}")
_SYNCHRONOUS = re.compile(r"(?:ANY|FIRST) ([0-9]+) \(.*\)")
_PLUGIN_PREFIX = "barman_cloud_cloudnative_pg_io"
_MB = 1024 * 1024


class Exporter:
    """Answers the metrics of one instance as long as its container runs.

    Args:
        work: of its Cluster.
        served: the instance.
    """

    def __init__(self, work: ClusterWork, served: Served) -> None:
        self._work = work
        self._served = served
        self._server: asyncio.Server | None = None
        self._collections = 0
        self._errors: dict[str, int] = {}
        # The exporter's gauges keep their last value, which a fenced instance goes on telling.
        self._up: float | None = None
        self._container: tuple[str, int] | None = None

    async def start(self) -> None:
        """Listen on the instance's address."""
        self._server = await asyncio.start_server(self._serve, self._served.server.address, PORT)

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(30):
                head = await reader.readuntil(b"\r\n\r\n")
                if not self.runs:
                    writer.transport.abort()
                    return
                found = head.split(b" ", 2)[1:2] == [b"/metrics"]
                content = (await self.text()).encode() if found else b"404 page not found\n"
                status = b"200 OK" if found else b"404 Not Found"
                about = f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
                writer.write(b"HTTP/1.1 " + status + b"\r\n" + about.encode() + content)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            writer.close()

    @property
    def _is_fenced(self) -> bool:
        cluster = self._work.cluster or {"metadata": {}}
        fenced = (cluster["metadata"].get("annotations") or {}).get(words.FENCED, "")
        return self._served.server.name in fenced or '"*"' in fenced

    @property
    def runs(self) -> bool:
        """Whether the container runs; a fenced one does, without its server."""
        return self._served.started or self._is_fenced

    async def text(self) -> str:
        """What the exporter says now."""
        if self._container != (now := (self._served.pod_uid, self._served.restarts)):
            self._container, self._up, self._collections, self._errors = now, None, 0, {}
        self._collections += 1
        fenced, name = self._is_fenced, self._work.name
        metrics: list[Metric] = []
        error = 0.0
        if not fenced:
            found = await self._served.server.ask(ASK)
            self._up, error = (1.0, 0.0) if found is not None else (0.0, 1.0)
            if found is not None:
                metrics += [*self._of_wal(found), *_of_queries(found)]
                metrics += self._of_cluster(found)
        if not self._add_plugin(metrics):
            error = 1.0
            self._errors["Collect.PluginMetrics"] = self._errors.get("Collect.PluginMetrics", 0) + 1
        up = _collector("up", "1 if PostgreSQL is up, 0 otherwise.")
        if self._up is not None:
            up.add(self._up, cluster=name)
        errors = _collector("collection_errors_total", "Errors while PostgreSQL was asked.", "counter")
        for collector, count in self._errors.items():
            errors.add(count, collector=collector)
        replica = _collector("replica_mode", "1 if the cluster is a replica cluster.").add(0)
        switchover = _collector("manual_switchover_required", "1 if a switchover is required.").add(0)
        return text_of(
            [
                _collector("collections_total", "How often PostgreSQL was asked.", "counter").add(
                    self._collections
                ),
                _collector("last_collection_error", "1 if the last collection failed.").add(error),
                errors,
                up,
                _collector("fencing_on", "1 if the instance is fenced.").add(float(fenced)),
                replica,
                switchover,
                *metrics,
            ]
        )

    def _of_wal(self, found: Json) -> list[Metric]:
        data, settings, segment = self._served.server.data, found["settings"], found["segment_bytes"]
        states = [path.suffix for path in _listed(data / "pg_wal" / "archive_status")]
        status = _collector("pg_wal_archive_status", "WAL segments in archive_status, ready and done.")
        for value in ("ready", "done"):
            status.add(states.count(f".{value}"), value=value)
        count = sum(_SEGMENT.match(path.name) is not None for path in _listed(data / "pg_wal"))
        wal = _collector("pg_wal", "WAL segments: their number, size and limits.")
        wal.add(count, value="count").add(count * segment, value="size")
        for value, setting in (("min", "min_wal_size"), ("max", "max_wal_size"), ("keep", "wal_keep_size")):
            wal.add(settings[setting] * _MB / segment, value=value)
        kept = settings["max_slot_wal_keep_size"]
        wal.add(float("nan") if kept == -1 else kept * _MB / segment, value="slots_max")
        size = self._wal_volume_bytes()
        wal.add(size or float("nan"), value="volume_size")
        wal.add(size / segment if size else float("nan"), value="volume_max")
        return [status, wal]

    def _wal_volume_bytes(self) -> float:
        storage = ((self._work.cluster or {"spec": {}})["spec"].get("walStorage") or {}).get("size")
        return bytes_of(str(storage)) if storage else 0.0

    def _of_cluster(self, found: Json) -> list[Metric]:
        """What only the primary knows, and zero elsewhere; nodes and version."""
        status, image = self._work.status, self._work.members.image
        is_primary = found["pg_replication"][0]["in_recovery"] == 0
        metrics = []
        for metric, key in (
            ("first_recoverability_point", "firstRecoverabilityPoint"),
            ("last_available_backup_timestamp", "lastSuccessfulBackup"),
            ("last_failed_backup_timestamp", "lastFailedBackup"),
        ):
            value = _epoch(status.get(key)) if is_primary else 0.0
            metrics.append(_collector(metric, f"{key} of the Cluster (deprecated).").add(value))
        if is_primary:
            match = _SYNCHRONOUS.match(found["synchronous"])
            replicas = _collector("sync_replicas", "Requested synchronous replicas.")
            metrics.append(replicas.add(float(match[1]) if match else 0.0, value="observed"))
        nodes = (status.get("topology") or {}).get("nodesUsed", -1)
        metrics.append(_collector("nodes_used", "Nodes that the instances are on.").add(nodes))
        if (match := re.search(r":(\d+\.\d+)", image)) is not None:
            version = _collector("postgres_version", "Version of PostgreSQL.")
            metrics.append(version.add(float(match[1]), full=match[1], cluster=self._work.name))
        return metrics

    def _add_plugin(self, metrics: list[Metric]) -> bool:
        """The plugin's metrics, which every instance tells; whether it could tell them."""
        cluster = self._work.cluster or {"spec": {}}
        wanted = next(
            (
                plugin
                for plugin in cluster["spec"].get("plugins") or []
                if plugin.get("name") == words.PLUGIN and plugin.get("enabled", True)
            ),
            None,
        )
        if wanted is None:
            return True
        parameters = wanted.get("parameters") or {}
        at = (self._work.namespace, parameters.get("barmanObjectName", ""))
        store = self._work.store.get(words.STORES, *at)
        if store is None or not installed.plugin_runs(self._work.store, words.PLUGIN):
            return False
        windows = (store.get("status") or {}).get("serverRecoveryWindow") or {}
        window = windows.get(parameters.get("serverName") or self._work.name) or {}
        for name, key in (
            ("first_recoverability_point", "firstRecoverabilityPoint"),
            ("last_available_backup_timestamp", "lastSuccessfulBackupTime"),
            ("last_failed_backup_timestamp", "lastFailedBackupTime"),
        ):
            metric = Metric(f"{_PLUGIN_PREFIX}_{name}", f"{key} of the ObjectStore.")
            metrics.append(metric.add(_epoch(window.get(key))))
        return True


def _collector(name: str, text: str, kind: str = "gauge") -> Metric:
    return Metric(f"cnpg_collector_{name}", text, kind)


def _of_queries(found: Json) -> list[Metric]:
    metrics: dict[str, Metric] = {}
    for query in QUERIES:
        for row in found[query.name]:
            labels = {name: str(row[name]) for name in query.labels}
            for column in (column for column in row if column not in labels):
                name = f"cnpg_{query.name}_{column}"
                kind = "counter" if column in query.counters else "gauge"
                metric = metrics.setdefault(name, Metric(name, f"{column} of {query.name}.", kind))
                value = row[column]
                metric.add(float("nan") if value is None else float(value), **labels)
    return list(metrics.values())


def _epoch(text: str | None) -> float:
    if not text:
        return 0.0
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _listed(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(folder.iterdir())
    return []


def volume_metrics(works: Iterable[ClusterWork], node: str) -> str:
    """What the kubelet of a node says of the volumes of its instances.

    kubelet_volume_stats_* of https://kubernetes.io/docs/reference/instrumentation/metrics/. A volume is a folder here,
    and its capacity what its claim was given.
    """
    names = ("capacity", "used", "available")
    metrics = {
        name: Metric(f"kubelet_volume_stats_{name}_bytes", f"Bytes {name} in the volume") for name in names
    }
    for work in works:
        for name, served in work.instances.items():
            if ((work.kubelet.pod(name) or {}).get("spec") or {}).get("nodeName") != node:
                continue
            data = served.server.data
            wal_claim = _capacity(work.store, work.namespace, f"{name}-wal")
            wal = _bytes_below(data / "pg_wal") if wal_claim is not None else 0
            found = [(name, _capacity(work.store, work.namespace, name), _bytes_below(data) - wal)]
            found.append((f"{name}-wal", wal_claim, wal))
            for claim, capacity, used in found:
                if capacity is not None:
                    values = {"capacity": capacity, "used": used, "available": max(0, capacity - used)}
                    for kind, value in values.items():
                        metrics[kind].add(value, namespace=work.namespace, persistentvolumeclaim=claim)
    return text_of(metrics.values())


def _capacity(store: Store, namespace: str, name: str) -> float | None:
    claim = store.get("persistentvolumeclaims", namespace, name) or {}
    size = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
    return bytes_of(str(size)) if size else None


def _bytes_below(folder: Path) -> int:
    """What is allocated; a file that ends meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_blocks * 512
    return total
