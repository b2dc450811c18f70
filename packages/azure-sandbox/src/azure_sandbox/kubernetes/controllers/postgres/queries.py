"""What an instance's exporter asks its server: names, labels and meaning are those of CloudNativePG's own queries.

Source: https://github.com/cloudnative-pg/cloudnative-pg/blob/v1.30.0/config/manager/default-monitoring.yaml and
docs/src/monitoring.md there. Left out: pg_settings, pg_extensions, pg_stat_bgwriter, pg_stat_checkpointer and
pg_stat_wal, queries of one's own (`spec.monitoring`), and the cache of thirty seconds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    """A query whose columns are metrics `cnpg_{name}_{column}`.

    Args:
        name: of the query.
        sql: one row for each set of labels.
        labels: columns that are labels.
        counters: columns that only grow.
        where: a condition without which nothing is told.
    """

    name: str
    sql: str
    labels: tuple[str, ...] = ()
    counters: frozenset[str] = frozenset()
    where: str = "true"


_PRIMARY = "not pg_is_in_recovery()"
_SINCE = "coalesce(extract(epoch from now() - {}), -1)"
_AT = "coalesce(extract(epoch from {}), -1)"
_DATABASE = [
    *("xact_commit", "xact_rollback", "blks_read", "blks_hit", "tup_returned", "tup_fetched", "tup_inserted"),
    *("tup_updated", "tup_deleted", "conflicts", "temp_files", "temp_bytes", "deadlocks"),
    *("blk_read_time", "blk_write_time"),
]

QUERIES = (
    Query(
        "backends",
        "select datname, usename, coalesce(application_name, '') as application_name, state, count(*) as total, "
        "coalesce(extract(epoch from max(now() - xact_start)), 0) as max_tx_duration_seconds "
        "from pg_stat_activity where usename is not null and state is not null "
        "group by datname, usename, application_name, state",
        ("datname", "usename", "application_name", "state"),
    ),
    Query("backends_waiting", "select count(*) as total from pg_locks where not granted"),
    Query(
        "pg_database",
        "select datname, pg_database_size(datname) as size_bytes, age(datfrozenxid) as xid_age, "
        "mxid_age(datminmxid) as mxid_age from pg_database where datallowconn",
        ("datname",),
    ),
    Query("pg_postmaster", "select extract(epoch from pg_postmaster_start_time()) as start_time"),
    Query(
        "pg_replication",
        # What is received and replayed has no lag, however long the primary hasn't been heard of.
        "select case when not pg_is_in_recovery() or pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0 "
        "else greatest(0, extract(epoch from now() - pg_last_xact_replay_timestamp())) end as lag, "
        "pg_is_in_recovery()::int as in_recovery, "
        "(select count(*) from pg_stat_wal_receiver) as is_wal_receiver_up, "
        "(select count(*) from pg_stat_replication) as streaming_replicas",
    ),
    Query(
        "pg_replication_slots",
        "select slot_name, slot_type, coalesce(database, '') as database, active::int as active, "
        "pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end, "
        "restart_lsn) as pg_wal_lsn_diff from pg_replication_slots where not temporary",
        ("slot_name", "slot_type", "database"),
    ),
    Query(
        "pg_stat_archiver",
        "select archived_count, failed_count, "
        f"{_SINCE.format('last_archived_time')} as seconds_since_last_archival, "
        f"{_SINCE.format('last_failed_time')} as seconds_since_last_failure, "
        f"{_AT.format('last_archived_time')} as last_archived_time, "
        f"{_AT.format('last_failed_time')} as last_failed_time, "
        "extract(epoch from stats_reset) as stats_reset_time from pg_stat_archiver",
        counters=frozenset({"archived_count", "failed_count"}),
        where=f"{_PRIMARY} or current_setting('archive_mode') = 'always'",
    ),
    Query(
        "pg_stat_database",
        f"select coalesce(datname, '') as datname, {', '.join(_DATABASE)} from pg_stat_database",
        ("datname",),
        frozenset(_DATABASE),
    ),
    Query(
        "pg_stat_replication",
        "select usename, coalesce(application_name, '') as application_name, "
        "coalesce(client_addr::text, '') as client_addr, coalesce(client_port::text, '') as client_port, "
        "extract(epoch from backend_start) as backend_start, coalesce(age(backend_xmin), 0) as backend_xmin_age, "
        "pg_wal_lsn_diff(pg_current_wal_lsn(), sent_lsn) as sent_diff_bytes, "
        "pg_wal_lsn_diff(pg_current_wal_lsn(), write_lsn) as write_diff_bytes, "
        "pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn) as flush_diff_bytes, "
        "coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0) as replay_diff_bytes, "
        "coalesce(extract(epoch from write_lag), 0) as write_lag_seconds, "
        "coalesce(extract(epoch from flush_lag), 0) as flush_lag_seconds, "
        "coalesce(extract(epoch from replay_lag), 0) as replay_lag_seconds from pg_stat_replication",
        ("usename", "application_name", "client_addr", "client_port"),
        frozenset({"backend_start", "backend_xmin_age"}),
        _PRIMARY,
    ),
)

_ROWS = (
    "'{name}', (select case when {where} then "
    "(select coalesce(jsonb_agg(to_jsonb(q)), '[]') from ({sql}) q) else '[]'::jsonb end)"
)
# jsonb is one line, json isn't. What fails on a standby isn't reached there: no branch of CASE runs that isn't taken.
ASK = (
    "select jsonb_build_object('synchronous', current_setting('synchronous_standby_names'), "
    "'segment_bytes', (select setting::bigint from pg_settings where name = 'wal_segment_size'), "
    "'settings', (select jsonb_object_agg(name, setting::bigint) from pg_settings "
    "where name in ('min_wal_size', 'max_wal_size', 'wal_keep_size', 'max_slot_wal_keep_size')), "
    + ", ".join(_ROWS.format(name=query.name, where=query.where, sql=query.sql) for query in QUERIES)
    + ");"
)
