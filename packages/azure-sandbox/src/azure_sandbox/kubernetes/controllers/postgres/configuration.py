"""What the operator writes into an instance's configuration: pkg/postgres/configuration.go of CloudNativePG.

One thing differs: memory settings are cut down to what a machine with many instances has.
"""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]

DEFAULTS = {
    "archive_timeout": "5min",
    "dynamic_shared_memory_type": "posix",
    "full_page_writes": "on",
    "max_parallel_workers": "32",
    "max_worker_processes": "32",
    "max_replication_slots": "32",
    "shared_memory_type": "mmap",
    "ssl_max_protocol_version": "TLSv1.3",
    "ssl_min_protocol_version": "TLSv1.3",
    "wal_keep_size": "512MB",
    "wal_level": "logical",
    "wal_log_hints": "on",
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
}
LIBRARIES = {"pg_stat_statements": True, "auto_explain": False, "pgaudit": True, "pg_failover_slots": False}
"""Extensions that their settings turn on, and whether they are created in databases."""
_FIXED = """
allow_system_table_mods archive_cleanup_command archive_command archive_mode bonjour bonjour_name cluster_name
config_file data_directory data_sync_retry event_source external_pid_file hba_file hot_standby ident_file jit_provider
listen_addresses log_destination log_directory log_file_mode log_filename log_rotation_age log_rotation_size
log_truncate_on_rotation logging_collector port primary_conninfo primary_slot_name promote_trigger_file
recovery_end_command recovery_min_apply_delay recovery_target recovery_target_action recovery_target_inclusive
recovery_target_lsn recovery_target_name recovery_target_time recovery_target_timeline recovery_target_xid
restart_after_crash restore_command shared_preload_libraries ssl ssl_ca_file ssl_cert_file ssl_crl_file
ssl_dh_params_file ssl_key_file ssl_passphrase_command ssl_passphrase_command_supports_reload
ssl_prefer_server_ciphers stats_temp_directory synchronous_standby_names synchronized_standby_slots syslog_facility
syslog_ident syslog_sequence_numbers syslog_split_messages temp_tablespaces unix_socket_directories unix_socket_group
unix_socket_permissions
"""
FIXED = frozenset(_FIXED.split())
"""Settings that only the operator makes."""
MOST_MEMORY = {"shared_buffers": 32, "maintenance_work_mem": 64, "min_wal_size": 80}
"""Megabytes: what a Cluster asks for beyond this, it doesn't get here."""
_SIZE = re.compile(r"\s*(\d+)\s*(kB|MB|GB|TB)?\s*")
_FACTORS = {"kB": 1 / 1024, "MB": 1, "GB": 1024, "TB": 1024 * 1024}

HBA = """\
local all all peer map=local
hostssl postgres streaming_replica all cert map=cnpg_streaming_replica
hostssl replication streaming_replica all cert map=cnpg_streaming_replica
hostssl all cnpg_pooler_pgbouncer all cert map=cnpg_pooler_pgbouncer
{rules}
host all all all scram-sha-256
"""


def problems(spec: Json) -> list[str]:
    """What the operator's validating webhook refuses, for what a mistake usually is."""
    found = []
    postgresql = spec.get("postgresql") or {}
    for name in postgresql.get("parameters") or {}:
        if name in FIXED:
            found.append(
                f'spec.postgresql.parameters.{name}: Invalid value: "": Can\'t set fixed configuration parameter'
            )
    synchronous = postgresql.get("synchronous") or {}
    if synchronous and int(synchronous.get("number", 0)) >= int(spec.get("instances", 1)):
        names = synchronous.get("standbyNamesPre") or synchronous.get("standbyNamesPost")
        if not names:
            found.append(
                f"spec.postgresql.synchronous: Invalid value: {synchronous.get('number')}: Invalid synchronous "
                "configuration: the number of synchronous replicas must be less than the total number of instances "
                "and the provided standby names."
            )
    if not (spec.get("storage") or {}).get("size") and not (spec.get("storage") or {}).get("pvcTemplate"):
        found.append(
            'spec.storage.size: Invalid value: "": Size not configured. Please add it, or a storage request '
            "in the pvcTemplate."
        )
    return found


def settings(
    spec: Json, name: str, major: int, address: str, sockets: str, tls: str, log: str
) -> dict[str, str]:
    """The settings of an instance that don't change with its role."""
    wanted = {**DEFAULTS, **{key: str(value) for key, value in parameters(spec).items()}}
    for key, most in MOST_MEMORY.items():
        if _megabytes(wanted.get(key, f"{most}MB")) >= most or key == "shared_buffers":
            wanted[key] = f"{most}MB"
    if major >= 17:
        wanted["allow_alter_system"] = (
            "on" if (spec.get("postgresql") or {}).get("enableAlterSystem") else "off"
        )
    libraries = [*(spec.get("postgresql") or {}).get("shared_preload_libraries", []), *used_libraries(spec)]
    return {
        **wanted,
        "shared_preload_libraries": ",".join(dict.fromkeys(libraries)),
        "archive_mode": "on",
        "cluster_name": name,
        "hot_standby": "true",
        "listen_addresses": address,
        "port": "5432",
        "restart_after_crash": "false",
        "ssl": "on",
        "ssl_cert_file": f"{tls}/server.crt",
        "ssl_key_file": f"{tls}/server.key",
        "ssl_ca_file": f"{tls}/client-ca.crt",
        "unix_socket_directories": sockets,
        "logging_collector": "on",
        "log_destination": "jsonlog",
        "log_directory": log,
        "log_filename": "postgres",
        "log_rotation_age": "0",
        "log_rotation_size": "0",
        "log_truncate_on_rotation": "false",
    }


def parameters(spec: Json) -> Json:
    """What a Cluster sets."""
    found: Json = (spec.get("postgresql") or {}).get("parameters") or {}
    return found


def used_libraries(spec: Json) -> list[str]:
    """Libraries that settings turn on, of those that are there."""
    names = {key.partition(".")[0] for key in parameters(spec) if "." in key}
    return [name for name in LIBRARIES if name in names and name != "pgaudit"]


def _megabytes(text: str) -> float:
    found = _SIZE.fullmatch(text)
    return float(found[1]) * _FACTORS[found[2] or "MB"] if found else 0.0


def host_based(spec: Json) -> str:
    """pg_hba.conf."""
    return HBA.format(rules="\n".join((spec.get("postgresql") or {}).get("pg_hba") or []))


def identities(accounts: list[str], spec: Json) -> str:
    """pg_ident.conf: who is the superuser over the socket."""
    lines = [f"local {account} postgres" for account in accounts]
    lines.append("cnpg_streaming_replica streaming_replica streaming_replica")
    lines.append("cnpg_pooler_pgbouncer cnpg_pooler_pgbouncer cnpg_pooler_pgbouncer")
    return "\n".join([*lines, *((spec.get("postgresql") or {}).get("pg_ident") or [])]) + "\n"


def synchronous_replicas(spec: Json) -> Json:
    """What a Cluster says of its synchronous replicas; nothing where it has none."""
    return (spec.get("postgresql") or {}).get("synchronous") or {}


def wants_quorum(cluster: Json) -> bool:
    """Whether failover is to keep to a quorum; by the spec, or by the annotation of releases before."""
    annotations = cluster["metadata"].get("annotations") or {}
    named = synchronous_replicas(cluster["spec"]).get("failoverQuorum")
    return bool(named) or annotations.get("alpha.cnpg.io/failoverQuorum") == "true"


def synchronous(spec: Json, instances: list[str], primary: str, ready: list[str], cluster: str) -> str:
    """synchronous_standby_names: pkg/postgres/replication/explicit.go and legacy.go.

    Args:
        spec: of the Cluster.
        instances: the names of all that were made.
        primary: which of them is the primary.
        ready: those that are ready.
        cluster: its name.
    """
    wanted = (spec.get("postgresql") or {}).get("synchronous")
    if not wanted:
        most, least = int(spec.get("maxSyncReplicas") or 0), int(spec.get("minSyncReplicas") or 0)
        replicas = [name for name in ready if name != primary]
        number = min(max(least, len(replicas)), most, len(replicas))
        return _names("ANY", number, replicas) if number else ""
    method, number = str(wanted["method"]).upper(), int(wanted["number"])
    if wanted.get("dataDurability") == "preferred":
        replicas = [name for name in ready if name != primary]
        return _names(method, min(number, len(replicas)), replicas) if replicas else ""
    # The primary comes last: it counts only once it is another's standby.
    names = [
        *(name for name in instances if name != primary),
        *(name for name in instances if name == primary),
    ]
    names = [*(wanted.get("standbyNamesPre") or []), *names, *(wanted.get("standbyNamesPost") or [])]
    return _names(method, number, names or [f"{cluster}-placeholder"])


def _names(method: str, number: int, names: list[str]) -> str:
    listed = ",".join(f'"{name}"' for name in names)
    return f"{method} {number} ({listed})"


def slot(instance: str) -> str:
    """The replication slot of an instance."""
    return f"_cnpg_{instance.replace('-', '_').replace('.', '_')}"


_TAG = re.compile(r":(\d+)(?:\.(\d+))?(?:[-.@]|$)")


def version_of(image: str) -> str | None:
    """The version that an image's tag says, such as 18 or 18.4; None when it says none."""
    found = _TAG.search(image.rpartition("/")[2])
    return None if found is None else found[1] + (f".{found[2]}" if found[2] else "")
