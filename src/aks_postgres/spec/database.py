"""The database of an environment: PostgreSQL under CloudNativePG, its backups, and who reaches it.

Defaults are production settings on AKS; docs/differences.md says where they differ from the guide's and why.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from aks_postgres.spec.model import DNS_LABEL, SPEC_CONFIG, at, no_secret

# The newest minor of the newest major that CloudNativePG 1.30 supports (14 to 18), read 29 November 2026.
POSTGRES_VERSION = "18.6"
# "standard" has no Barman inside, which the plugin doesn't need: https://github.com/cloudnative-pg/postgres-containers
IMAGES = "ghcr.io/cloudnative-pg/postgresql"
_FLAVOUR = "standard-trixie"

# https://github.com/cloudnative-pg/plugin-barman-cloud, release 0.14.0 of 29 July 2026: the manifest in the project's
# own tree at that release's commit, in which the images are those of its tests (`plugin_objects` names the release's).
PLUGIN_VERSION = "0.14.0"
PLUGIN_MANIFEST_URL = (
    "https://raw.githubusercontent.com/cloudnative-pg/plugin-barman-cloud/"
    "1e13020fe5f09fd8fc29ea03828f7b61375b3721/manifest.yaml"
)
PLUGIN_MANIFEST_SHA256 = "691e598b4591e83e23586d3394a8fedef429586a01d1a1b56ab8b80e9fa6ccb0"

# The checksum is that of the copy in https://github.com/kubeflow/manifests (9efdaec3, downloaded from the release).
CERT_MANAGER_MANIFEST_URL = (
    "https://github.com/cert-manager/cert-manager/releases/download/v1.19.4/cert-manager.yaml"
)
CERT_MANAGER_MANIFEST_SHA256 = "abad40873bd9c63105bf1fc7c41354fe8ad716f01657762b5acb82977e707ef1"

# postgresql.synchronous.failoverQuorum came with 1.28 (https://cloudnative-pg.io/docs/1.28/release_notes/v1.28); what
# comes after 1.30 nobody has read here.
_OLDEST_OPERATOR, _NEWEST_OPERATOR = (1, 28), (1, 30)
# The first patch of each that gives PostgreSQL a role's verifier and not its password (CVE-2026-55765,
# https://cloudnative-pg.io/documentation/1.30/release_notes/v1.29): pg_stat_statements, which is on, keeps it.
_HIDES_PASSWORDS: dict[tuple[int, ...], int] = {(1, 28): 4, (1, 29): 2}

# What CloudNativePG sets itself and refuses to be given (v1.30.0, pkg/postgres/configuration.go).
_OPERATORS_OWN = frozenset(
    re.findall(
        r"\S+",
        """
    allow_system_table_mods archive_cleanup_command archive_command archive_mode bonjour bonjour_name cluster_name
    config_file data_directory data_sync_retry event_source external_pid_file hba_file hot_standby ident_file
    jit_provider listen_addresses log_destination log_directory log_file_mode log_filename log_rotation_age
    log_truncate_on_rotation logging_collector pg_failover_slots.primary_dsn pg_failover_slots.standby_slot_names port
    primary_conninfo primary_slot_name promote_trigger_file recovery_end_command recovery_min_apply_delay
    recovery_target recovery_target_action recovery_target_inclusive recovery_target_lsn recovery_target_name
    recovery_target_time recovery_target_timeline recovery_target_xid restart_after_crash restore_command
    shared_preload_libraries ssl ssl_ca_file ssl_cert_file ssl_crl_file ssl_dh_params_file ssl_ecdh_curve ssl_key_file
    ssl_passphrase_command ssl_passphrase_command_supports_reload ssl_prefer_server_ciphers stats_temp_directory
    synchronized_standby_slots synchronous_standby_names syslog_facility syslog_ident syslog_sequence_numbers
    syslog_split_messages temp_tablespaces unix_socket_directories unix_socket_group unix_socket_permissions
        """,
    )
)
# v1.30.0, internal/webhook/v1/pooler_webhook.go: AllowedPgbouncerGenericConfigurationParameters.
_POOLER_PARAMETERS = frozenset(
    re.findall(
        r"\S+",
        """
    application_name_add_host auth_type autodb_idle_timeout cancel_wait_timeout client_idle_timeout client_login_timeout
    client_tls13_ciphers client_tls_ciphers client_tls_sslmode default_pool_size disable_pqexec dns_max_ttl
    dns_nxdomain_ttl idle_transaction_timeout ignore_startup_parameters listen_backlog log_connections
    log_disconnections log_pooler_errors log_stats max_client_conn max_db_connections max_packet_size
    max_prepared_statements max_user_connections min_pool_size pkt_buf query_timeout query_wait_timeout
    reserve_pool_size reserve_pool_timeout sbuf_loopcnt server_check_delay server_check_query server_connect_timeout
    server_fast_close server_idle_timeout server_lifetime server_login_retry server_reset_query
    server_reset_query_always server_round_robin server_tls13_ciphers server_tls_ciphers server_tls_protocols
    server_tls_sslmode stats_period suspend_timeout tcp_defer_accept tcp_keepalive tcp_keepcnt tcp_keepidle
    tcp_keepintvl tcp_socket_buffer tcp_user_timeout track_extra_parameters verbose
        """,
    )
)
_POOLER_UNSAFE = frozenset({"auth_type", "client_tls_sslmode", "server_tls_sslmode", "server_tls_protocols"})
# What would lose acknowledged data, or hide that it is damaged.
_UNSAFE = frozenset(
    re.findall(
        r"\S+",
        """
    fsync full_page_writes synchronous_commit wal_level wal_log_hints zero_damaged_pages ignore_checksum_failure
    ignore_invalid_pages ignore_system_indexes
        """,
    )
)
# What another field says.
_ELSEWHERE = {"archive_timeout": "database.backup.archive_timeout_s"}
# The StorageClass of each kind of disk.
CLASS_NAMES = {
    "premium_ssd": "managed-csi-premium",
    "premium_ssd_v2": "premium2-disk-sc",
    "local_nvme": "acstor-ephemeraldisk-nvme-db",
}
_IDENTIFIER = r"^[a-z_][a-z0-9_]{0,62}$"
_RESERVED_NAMES = ("postgres", "template0", "template1", "streaming_replica")
# https://www.postgresql.org/docs/current/predefined-roles.html
_BEYOND_THE_DATABASE = ("pg_execute_server_program", "pg_read_server_files", "pg_write_server_files")
# github.com/robfig/cron with seconds, as CloudNativePG reads it.
_CRON = re.compile(r"[0-9*/,?LW#A-Za-z-]+( [0-9*/,?LW#A-Za-z-]+){5}")


class DatabaseModel(BaseModel):
    """A group of the database's fields."""

    model_config = SPEC_CONFIG
    _no_secret = field_validator("*")(no_secret)


class DatabaseStorageSpec(DatabaseModel):
    """The volumes of each instance."""

    storage_class: Annotated[
        Literal["premium_ssd", "premium_ssd_v2", "local_nvme"],
        Field(
            description="Kind of disk: premium_ssd (managed-csi-premium, which AKS brings), premium_ssd_v2 (a class is "
            "made), or local_nvme (Azure Container Storage has to be on; data is gone when a node is). Can't be "
            "changed on a database that is there.",
            json_schema_extra=at(0),
        ),
    ] = "premium_ssd"
    size_gib: Annotated[
        int,
        Field(
            ge=1,
            le=32767,
            description="Size of each instance's data volume in GiB. It can grow and never shrink.",
            json_schema_extra=at(1),
        ),
    ] = 64
    wal_size_gib: Annotated[
        int | None,
        Field(
            ge=1,
            le=32767,
            description="Size in GiB of a volume of its own for the WAL. Unset: the WAL is on the data volume. Once "
            "set it can grow, and never shrink or go.",
            json_schema_extra=at(2),
        ),
    ] = None
    iops: Annotated[
        int | None,
        Field(
            ge=3000,
            le=80000,
            description="IOPS of a Premium SSD v2 disk, for a new storage class only. Unset: 3500, as in the guide.",
            json_schema_extra=at(3),
        ),
    ] = None
    throughput_mbps: Annotated[
        int | None,
        Field(
            ge=125,
            le=1200,
            description="MB/s of a Premium SSD v2 disk, for a new storage class only. Unset: 125, as in the guide.",
            json_schema_extra=at(4),
        ),
    ] = None

    @field_validator("iops", "throughput_mbps")
    @classmethod
    def _of_that_class(cls, value: int | None, info: ValidationInfo) -> int | None:
        kind = info.data.get("storage_class")
        if value is not None and kind not in (None, "premium_ssd_v2"):
            raise ValueError(f"it is for storage_class premium_ssd_v2 and contradicts {kind}; leave it out")
        return value

    @property
    def class_name(self) -> str:
        """The StorageClass that the volumes ask for."""
        return CLASS_NAMES[self.storage_class]


class DatabaseBackupSpec(DatabaseModel):
    """Where backups go, how often, and how long they stay; the container is the environment's."""

    engine: Annotated[
        Literal["plugin", "none"],
        Field(
            description="What archives: the Barman Cloud plugin, or none (data_may_be_lost has to be said).",
            json_schema_extra=at(0),
        ),
    ] = "plugin"
    data_may_be_lost: Annotated[
        bool,
        Field(description="Needed with engine: none, and only there.", json_schema_extra=at(1)),
    ] = False
    schedule: Annotated[
        str,
        Field(
            description="When a base backup is taken, as six cron fields, seconds first: 0 15 2 * * * is 02:15 UTC "
            "each day.",
            json_schema_extra=at(2),
        ),
    ] = "0 15 2 * * *"
    retention_days: Annotated[
        int,
        Field(
            ge=1,
            le=3650,
            description="Days that can be gone back to; older backups are deleted.",
            json_schema_extra=at(3),
        ),
    ] = 7
    compression: Annotated[
        Literal["gzip", "none"],
        Field(description="Compression of WAL files and base backups.", json_schema_extra=at(4)),
    ] = "gzip"
    archive_timeout_s: Annotated[
        int,
        Field(
            ge=30,
            le=3600,
            description="Seconds after which a WAL file that isn't full is archived all the same: what the loss of a "
            "region may cost.",
            json_schema_extra=at(5),
        ),
    ] = 300

    @field_validator("data_may_be_lost")
    @classmethod
    def _said(cls, is_said: bool, info: ValidationInfo) -> bool:
        engine = info.data.get("engine")
        if engine == "none" and not is_said:
            raise ValueError("true is needed with engine: none; without backups a lost disk is lost data")
        if engine not in (None, "none") and is_said:
            raise ValueError(f"it is for engine: none and contradicts engine: {engine}; leave it out")
        return is_said

    @field_validator("schedule")
    @classmethod
    def _six_fields(cls, schedule: str) -> str:
        if not _CRON.fullmatch(schedule):
            raise ValueError(
                f"{schedule!r} isn't six cron fields, seconds first, such as 0 15 2 * * * (02:15 UTC each day)"
            )
        return schedule


class DatabaseAccessSpec(DatabaseModel):
    """Who reaches the database from outside the cluster."""

    kind: Annotated[
        Literal["none", "internal_load_balancer", "public_load_balancer"],
        Field(
            description="none: only pods, and `aks-postgres psql`. internal_load_balancer: an address of the virtual "
            "network. public_load_balancer: the environment's static public IP, for source_ranges only.",
            json_schema_extra=at(0),
        ),
    ] = "none"
    source_ranges: Annotated[
        list[str],
        Field(
            max_length=200,
            description="IPv4 CIDR ranges that the load balancer lets through, such as 20.51.0.0/24.",
            json_schema_extra=at(1),
        ),
    ] = []
    dns_label: Annotated[
        str | None,
        Field(
            pattern=r"^[a-z][a-z0-9-]{1,61}[a-z0-9]$",
            description="First part of the public name; the region and the cloud's own suffix follow. Unset: computed, "
            "and another after a rebuild.",
            json_schema_extra=at(2),
        ),
    ] = None

    @field_validator("source_ranges")
    @classmethod
    def _ranges(cls, ranges: list[str], info: ValidationInfo) -> list[str]:
        kind = info.data.get("kind")
        for given in ranges:
            try:
                network = ipaddress.IPv4Network(given)
            except ValueError:
                raise ValueError(f"{given!r} is no IPv4 CIDR range such as 20.51.0.0/24") from None
            if network.prefixlen == 0:
                raise ValueError(f"{given!r} is the whole internet; name the ranges that need the database")
        if kind == "none" and ranges:
            raise ValueError("it contradicts kind: none; leave it out, or choose a load balancer")
        if kind == "public_load_balancer" and not ranges:
            raise ValueError(
                "a range is needed with kind: public_load_balancer; without one the whole internet may knock"
            )
        return ranges

    @field_validator("dns_label")
    @classmethod
    def _of_a_public_address(cls, label: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("kind")
        if label is not None and kind not in (None, "public_load_balancer"):
            raise ValueError(
                f"it is for kind: public_load_balancer and contradicts kind: {kind}; leave it out"
            )
        return label


class DatabasePoolerSpec(DatabaseModel):
    """PgBouncer before the primary: many clients share few connections."""

    instances: Annotated[
        int,
        Field(ge=1, le=20, description="Pods of PgBouncer; two, as one may go.", json_schema_extra=at(0)),
    ] = 2
    pool_mode: Annotated[
        Literal["session", "transaction"],
        Field(
            description="session: a client keeps its connection until it leaves. transaction: for one transaction, so "
            "that a session's settings, advisory locks and LISTEN don't stay.",
            json_schema_extra=at(1),
        ),
    ] = "session"
    parameters: Annotated[
        dict[str, str],
        Field(
            max_length=100,
            description="PgBouncer's parameters, such as max_client_conn: '500' and default_pool_size: '20'; those "
            "that CloudNativePG allows.",
            json_schema_extra=at(2),
        ),
    ] = {}

    @field_validator("parameters")
    @classmethod
    def _allowed_parameters(cls, parameters: dict[str, str]) -> dict[str, str]:
        problems = [problem for name in parameters if (problem := pooler_parameter_problem(name))]
        if problems:
            raise ValueError("; ".join(problems))
        return parameters


class DatabaseComponentsSpec(DatabaseModel):
    """What backups need in the cluster: cert-manager and the Barman Cloud plugin, pinned by their checksums."""

    cert_manager_manifest_url: Annotated[
        str,
        Field(
            pattern=r"^(https://|/|\./).+",
            description="Release manifest of cert-manager, an https URL or a path on the worker. One that is in the "
            "cluster already is used as it is.",
            json_schema_extra=at(0),
        ),
    ] = CERT_MANAGER_MANIFEST_URL
    cert_manager_manifest_sha256: Annotated[
        str,
        Field(
            pattern=r"^[0-9a-f]{64}$",
            description="SHA-256 of that file; another is refused.",
            json_schema_extra=at(1),
        ),
    ] = CERT_MANAGER_MANIFEST_SHA256
    plugin_version: Annotated[
        str,
        Field(
            pattern=r"^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$",
            description="Version of the Barman Cloud plugin.",
            json_schema_extra=at(2),
        ),
    ] = PLUGIN_VERSION
    plugin_manifest_url: Annotated[
        str,
        Field(
            pattern=r"^(https://|/|\./).+",
            description="Manifest of that version, an https URL or a path on the worker.",
            json_schema_extra=at(3),
        ),
    ] = PLUGIN_MANIFEST_URL
    plugin_manifest_sha256: Annotated[
        str,
        Field(
            pattern=r"^[0-9a-f]{64}$",
            description="SHA-256 of that file; another is refused.",
            json_schema_extra=at(4),
        ),
    ] = PLUGIN_MANIFEST_SHA256

    @field_validator("plugin_manifest_sha256")
    @classmethod
    def _of_that_version(cls, sha256: str, info: ValidationInfo) -> str:
        version = info.data.get("plugin_version", PLUGIN_VERSION)
        if sha256 == PLUGIN_MANIFEST_SHA256 and version != PLUGIN_VERSION:
            raise ValueError(
                f"is the checksum of version {PLUGIN_VERSION} and contradicts plugin_version {version}; give "
                f"plugin_manifest_url and plugin_manifest_sha256 of {version}"
            )
        return sha256


class DatabaseRoleSpec(DatabaseModel):
    """A role of the database beside the owner."""

    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z]([a-z0-9_]{0,61}[a-z0-9])?$",
            description="Name of the role. Its password is made once, into the Secret db-role-{name}.",
            json_schema_extra=at(0),
        ),
    ]
    in_roles: Annotated[
        list[str],
        Field(
            max_length=20,
            description="Roles that it is a member of, such as pg_read_all_data.",
            json_schema_extra=at(1),
        ),
    ] = []

    @field_validator("name")
    @classmethod
    def _name_of_its_own(cls, name: str) -> str:
        return _own_role(name)

    @field_validator("in_roles")
    @classmethod
    def _harmless(cls, roles: list[str]) -> list[str]:
        for role in roles:
            if not re.fullmatch(_IDENTIFIER, role) or role in _RESERVED_NAMES:
                raise ValueError(f"{role!r} is no role that another can be a member of here")
            if role in _BEYOND_THE_DATABASE:
                raise ValueError(f"{role!r} reaches files and programs of the server's pod; leave it out")
        return roles


class DatabaseSpec(DatabaseModel):
    """A highly available PostgreSQL cluster; an environment without this group has none."""

    name: Annotated[
        str | None,
        Field(
            pattern=DNS_LABEL,
            max_length=50,
            description="Name of the Postgres cluster, at most 50 characters. Unset: pg-primary-{name}-{suffix}, as "
            "in the guide.",
            json_schema_extra=at(0),
        ),
    ] = None
    postgres_version: Annotated[
        str,
        Field(
            pattern=r"^(14|15|16|17|18)\.[0-9]{1,2}$",
            description="PostgreSQL major and minor. A higher minor is rolled out, replicas first; another major is "
            "refused on a database that is there.",
            json_schema_extra=at(1),
        ),
    ] = POSTGRES_VERSION
    image: Annotated[
        str | None,
        Field(
            pattern=r"^[a-z0-9][a-z0-9./_:-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*(@sha256:[0-9a-f]{64})?$",
            description=f"Image with a tag that begins with postgres_version. Unset: {IMAGES}:"
            "{postgres_version}-standard-trixie.",
            json_schema_extra=at(2),
        ),
    ] = None
    instances: Annotated[
        int,
        Field(
            ge=1,
            le=15,
            description="A primary and its replicas, each on a node of its own.",
            json_schema_extra=at(3),
        ),
    ] = 3
    not_highly_available: Annotated[
        bool,
        Field(
            description="Needed for fewer than three instances: one is no cluster, and of two neither can be lost "
            "without writes that wait or data that may be lost.",
            json_schema_extra=at(4),
        ),
    ] = False
    storage: Annotated[DatabaseStorageSpec, Field(json_schema_extra=at(5))] = DatabaseStorageSpec()
    cpu: Annotated[
        int,
        Field(
            ge=1, le=128, description="CPUs of each instance, requested and limited.", json_schema_extra=at(6)
        ),
    ] = 2
    memory_gib: Annotated[
        int,
        Field(
            ge=1,
            le=1024,
            description="Memory of each instance in GiB, requested and limited. shared_buffers, effective_cache_size, "
            "work_mem and maintenance_work_mem are computed from it.",
            json_schema_extra=at(7),
        ),
    ] = 8
    parameters: Annotated[
        dict[str, str],
        Field(
            max_length=200,
            description="PostgreSQL parameters over the computed ones, such as max_connections: '200'. Those that the "
            "operator sets, and those that could lose data, are refused.",
            json_schema_extra=at(8),
        ),
    ] = {}
    durability: Annotated[
        Literal["required", "preferred", "asynchronous"],
        Field(
            description="required: a commit waits for sync_replicas replicas, always. preferred: as long as there are "
            "such. asynchronous: never, and a failover may lose commits.",
            json_schema_extra=at(9),
        ),
    ] = "required"
    sync_replicas: Annotated[
        int,
        Field(ge=1, le=14, description="Replicas that a commit waits for.", json_schema_extra=at(10)),
    ] = 1
    failover_quorum: Annotated[
        bool,
        Field(
            description="Promote a replica only where it is certain that it has every acknowledged commit.",
            json_schema_extra=at(11),
        ),
    ] = True
    databases: Annotated[
        list[str],
        Field(
            min_length=1,
            max_length=50,
            description="Databases, each owned by owner. The first comes with the cluster and stays the first.",
            json_schema_extra=at(12),
        ),
    ] = ["appdb"]
    owner: Annotated[
        str,
        Field(
            pattern=_IDENTIFIER,
            description="Role that owns the databases; its password is made once.",
            json_schema_extra=at(13),
        ),
    ] = "app"
    roles: Annotated[
        list[DatabaseRoleSpec],
        Field(
            max_length=50,
            description="Roles beside the owner that may log in. One that is taken out of the spec stays in "
            "PostgreSQL.",
            json_schema_extra=at(14),
        ),
    ] = []
    backup: Annotated[DatabaseBackupSpec, Field(json_schema_extra=at(15))] = DatabaseBackupSpec()
    access: Annotated[DatabaseAccessSpec, Field(json_schema_extra=at(16))] = DatabaseAccessSpec()
    components: Annotated[DatabaseComponentsSpec, Field(json_schema_extra=at(17))] = DatabaseComponentsSpec()
    pooler: Annotated[
        DatabasePoolerSpec | None,
        Field(
            description="PgBouncer before the primary. Unset: none is made, and one that is there stays.",
            json_schema_extra=at(18),
        ),
    ] = None

    @field_validator("image")
    @classmethod
    def _image_of_that_version(cls, image: str | None, info: ValidationInfo) -> str | None:
        version = info.data.get("postgres_version")
        tag = (image or "").partition("@")[0].rpartition(":")[2]
        if image and version and not re.match(rf"{re.escape(version)}(?![0-9.])", tag):
            raise ValueError(f"tag {tag!r} contradicts postgres_version {version}; they must begin alike")
        return image

    @field_validator("not_highly_available")
    @classmethod
    def _enough_instances(cls, is_said: bool, info: ValidationInfo) -> bool:
        instances = info.data.get("instances")
        if instances is not None and instances < 3 and not is_said:
            raise ValueError(
                f"true is needed with instances: {instances}; a highly available database has at least 3"
            )
        if instances is not None and instances >= 3 and is_said:
            raise ValueError(f"it contradicts instances: {instances}; leave it out")
        return is_said

    @field_validator("parameters")
    @classmethod
    def _allowed_parameters(cls, parameters: dict[str, str]) -> dict[str, str]:
        problems = [problem for name in parameters if (problem := parameter_problem(name))]
        if problems:
            raise ValueError("; ".join(problems))
        return parameters

    @field_validator("sync_replicas")
    @classmethod
    def _enough_replicas(cls, count: int, info: ValidationInfo) -> int:
        instances, durability = info.data.get("instances"), info.data.get("durability")
        if instances is None or durability is None or durability == "asynchronous" or instances == 1:
            return count
        if count >= instances:
            raise ValueError(
                f"{count} replicas can't be waited for with instances: {instances}; at most {instances - 1}"
            )
        if durability == "required" and instances >= 3 and count > instances - 2:
            raise ValueError(
                f"with {count} of {instances - 1} replicas waited for, one lost replica stops every write; at most "
                f"{instances - 2}, or more instances, or durability: preferred"
            )
        return count

    @field_validator("failover_quorum")
    @classmethod
    def _quorum_of_synchronous(cls, wanted: bool, info: ValidationInfo) -> bool:
        if wanted and info.data.get("durability") == "asynchronous":
            raise ValueError("it contradicts durability: asynchronous; set it to false")
        return wanted

    @field_validator("databases")
    @classmethod
    def _database_names(cls, names: list[str]) -> list[str]:
        for name in names:
            if not re.fullmatch(_IDENTIFIER, name) or name.startswith("pg_") or name in _RESERVED_NAMES:
                raise ValueError(
                    f"{name!r}: a small letter or _ first, then at most 62 small letters, digits and _; not one of "
                    f"PostgreSQL's own ({', '.join(_RESERVED_NAMES)}, pg_...)"
                )
        if len(set(names)) < len(names):
            raise ValueError("each database once")
        return names

    @field_validator("owner")
    @classmethod
    def _owner_of_its_own(cls, owner: str) -> str:
        return _own_role(owner)

    @field_validator("roles")
    @classmethod
    def _roles_once(cls, roles: list[DatabaseRoleSpec], info: ValidationInfo) -> list[DatabaseRoleSpec]:
        names = [role.name for role in roles]
        if len(set(names)) < len(names):
            raise ValueError("each role once")
        if info.data.get("owner") in names:
            raise ValueError(f"{info.data['owner']!r} is database.owner; leave it out")
        return roles

    @property
    def is_synchronous(self) -> bool:
        """Whether a commit waits for a replica."""
        return self.instances > 1 and self.durability != "asynchronous"

    @property
    def image_name(self) -> str:
        """The image that instances run."""
        return self.image or f"{IMAGES}:{self.postgres_version}-{_FLAVOUR}"

    @property
    def major(self) -> int:
        """PostgreSQL's major version."""
        return int(self.postgres_version.partition(".")[0])


def _own_role(name: str) -> str:
    if name.startswith(("pg_", "cnpg_")) or name in _RESERVED_NAMES:
        raise ValueError(f"{name!r} belongs to PostgreSQL or the operator; choose another name")
    return name


def parameter_problem(name: str) -> str | None:
    """Return why a PostgreSQL parameter can't be given, or None if it can."""
    folded = name.casefold()
    if folded != name or not re.fullmatch(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?", name):
        return f"{name!r} is no parameter's name: small letters, digits and _, such as max_connections"
    if name in _OPERATORS_OWN:
        return f"{name} is set by the operator; leave it out"
    if name in _UNSAFE:
        return f"{name} could lose acknowledged data or hide damage; leave it out"
    if name in _ELSEWHERE:
        return f"{name} is {_ELSEWHERE[name]}; set that"
    return None


def pooler_parameter_problem(name: str) -> str | None:
    """Return why a parameter of PgBouncer can't be given, or None if it can."""
    if name in _POOLER_UNSAFE:
        return f"{name} would let clients in without TLS or without a password; leave it out"
    if name not in _POOLER_PARAMETERS:
        near = difflib.get_close_matches(name, _POOLER_PARAMETERS, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{name!r} is none that CloudNativePG lets PgBouncer be given{hint}"
    return None


def operator_problem(version: str) -> str | None:
    """Why an operator of this version isn't one for the database, or None if it is."""
    found = tuple(int(part) for part in version.split(".")[:2])
    if found < _OLDEST_OPERATOR:
        return (
            f"operator.version {version} is too old: it doesn't know postgresql.synchronous.failoverQuorum; 1.28 does. "
            "Set a newer operator.version, one minor after the other where databases are there"
        )
    if found > _NEWEST_OPERATOR:
        return (
            f"operator.version {version} is too new: the database's objects were held against definitions up to 1.30. "
            "Set operator.version to 1.30, or use a newer aks-postgres"
        )
    patch, first = int(version.split(".")[2]), _HIDES_PASSWORDS.get(found, 0)
    if patch < first:
        return (
            f"operator.version {version} gives PostgreSQL roles' passwords in clear text, and pg_stat_statements shows "
            f"them (CVE-2026-55765). Set operator.version to {version.rpartition('.')[0]}.{first} or newer"
        )
    return None


def database_problem(database: DatabaseSpec, *, most_nodes: int, zones: int) -> str | None:
    """Return what of the database doesn't fit the node pool that runs it, or None if it fits.

    Args:
        database: the group.
        most_nodes: most nodes of the pool.
        zones: how many zones it is spread over.
    """
    if database.instances > most_nodes:
        return (
            f"instances: {database.instances} need a node each, and postgres_pool.max_count is {most_nodes}; raise "
            "that, or ask for fewer"
        )
    if zones < 2 and not database.not_highly_available:
        return (
            "postgres_pool.zones names one zone, and its loss would be the loss of every instance; name at least two, "
            "or ask for fewer instances with not_highly_available: true"
        )
    return None
