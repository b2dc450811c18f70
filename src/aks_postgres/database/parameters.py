"""PostgreSQL's parameters: the guide's, with what depends on memory and disk computed from them.

The guide gives 4 GB of 8 to shared_buffers and 12 to effective_cache_size, more than the pod has; here they are a
quarter and three quarters of the memory: https://www.postgresql.org/docs/current/runtime-config-resource.html
"""

from __future__ import annotations

from aks_postgres.spec.database import DatabaseSpec

_MB_IN_GIB = 1024
# Connections, sorts and hashes at the same time, as PostgreSQL's default max_connections and a little: 64 MB of 8 GiB.
_SHARES_OF_WORK_MEM = 128
_FROM_THE_GUIDE = {
    "autovacuum_vacuum_cost_limit": "2400",
    "checkpoint_completion_target": "0.9",
    "checkpoint_flush_after": "2MB",
    "checkpoint_timeout": "15min",
    "effective_io_concurrency": "64",
    "hot_standby_feedback": "on",
    "log_autovacuum_min_duration": "1s",
    "log_checkpoints": "on",
    "log_lock_waits": "on",
    "log_min_duration_statement": "1000",
    "log_statement": "ddl",
    "log_temp_files": "1024",
    "maintenance_io_concurrency": "64",
    # The operator loads the library where one of its parameters is set.
    "pg_stat_statements.max": "10000",
    "pg_stat_statements.track": "all",
    "random_page_cost": "1.1",
    "wal_compression": "lz4",
    "wal_writer_flush_after": "2MB",
}


def parameters(database: DatabaseSpec) -> dict[str, str]:
    """The parameters of the Cluster; those of the spec come last."""
    memory_mb = database.memory_gib * _MB_IN_GIB
    # WAL shares the data volume unless it has one; the guide's sizes are for 64 GiB.
    room_gib = database.storage.wal_size_gib or database.storage.size_gib
    max_wal_mb = _between(512, room_gib * _MB_IN_GIB // 10, 6 * _MB_IN_GIB)
    found = {
        **_FROM_THE_GUIDE,
        "archive_timeout": f"{database.backup.archive_timeout_s}s",
        "effective_cache_size": f"{memory_mb * 3 // 4}MB",
        "maintenance_work_mem": f"{_between(64, memory_mb // 8, 2 * _MB_IN_GIB)}MB",
        # A replica that is away for longer is cloned anew, before the WAL that is kept for it fills the volume.
        "max_slot_wal_keep_size": f"{_between(256, room_gib * _MB_IN_GIB * 15 // 100, 10 * _MB_IN_GIB)}MB",
        "max_wal_size": f"{max_wal_mb}MB",
        "min_wal_size": f"{max_wal_mb // 3}MB",
        "shared_buffers": f"{memory_mb // 4}MB",
        "work_mem": f"{max(4, memory_mb // _SHARES_OF_WORK_MEM)}MB",
    }
    return {**found, **database.parameters}


def _between(lowest: int, wanted: int, highest: int) -> int:
    return max(lowest, min(wanted, highest))
