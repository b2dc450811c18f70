"""The steps that make the database, as a graph: the end of `provision`, and all of `deploy_database`.

They take what the environment's steps report, whether those are under way or were read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

from aks_postgres.database.objects import APP_SECRET, lineage, pooler_hosts, public_name
from aks_postgres.reports.outputs import (
    BackupOutputs,
    CheckedTarget,
    ClusterOutputs,
    DatabaseOutputs,
    GrafanaOutputs,
    IdentityOutputs,
    MonitorWorkspaceOutputs,
    NamespacesOutputs,
    OperatorOutputs,
    ResourceOutputs,
    RoleOutputs,
    StepOutputs,
    StorageAccountOutputs,
    VerificationOutputs,
)
from aks_postgres.runs.steps import Step, Steps
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.tasks.database.alerts import ensure_database_alerts
from aks_postgres.tasks.database.backups import (
    ensure_backup_schedule,
    ensure_first_backup,
    ensure_object_store,
    verify_archive,
)
from aks_postgres.tasks.database.components import ensure_barman_plugin, ensure_cert_manager
from aks_postgres.tasks.database.credential import (
    ensure_database_account,
    ensure_database_credential,
    verify_database_credential,
)
from aks_postgres.tasks.database.dashboard import ensure_database_dashboard
from aks_postgres.tasks.database.monitoring import ensure_database_monitor
from aks_postgres.tasks.database.pooler import ensure_database_pooler
from aks_postgres.tasks.database.postgres_cluster import (
    ensure_database_storage_class,
    ensure_databases,
    ensure_postgres_cluster,
    wait_until_postgres_is_ready,
)
from aks_postgres.tasks.database.secret import ensure_app_secret


@dataclass(frozen=True)
class Foundation:
    """What the database stands on: outputs of the environment's steps, or those steps under way."""

    target: Step[CheckedTarget] | CheckedTarget
    resource_group: Step[ResourceOutputs] | ResourceOutputs
    backup_identity: Step[IdentityOutputs] | IdentityOutputs
    storage_account: Step[StorageAccountOutputs] | StorageAccountOutputs
    backup_container: Step[ResourceOutputs] | ResourceOutputs
    blob_roles: Step[RoleOutputs] | RoleOutputs
    cluster: Step[ClusterOutputs] | ClusterOutputs
    metrics_on: Step[StepOutputs] | StepOutputs
    monitor_workspace: Step[MonitorWorkspaceOutputs] | MonitorWorkspaceOutputs
    grafana: Step[GrafanaOutputs] | GrafanaOutputs
    grafana_roles: Step[RoleOutputs] | RoleOutputs
    namespaces: Step[NamespacesOutputs] | NamespacesOutputs
    cnpg_operator: Step[OperatorOutputs] | OperatorOutputs

    async def done(self) -> Foundation:
        """The same once all of those steps are done, as what they report."""
        return Foundation(**{field.name: await _value(getattr(self, field.name)) for field in fields(self)})


async def _value(given: Any) -> Any:
    return await given.result() if isinstance(given, Step) else given


def _steps(*given: Any) -> list[Step[Any]]:
    """Those that are under way; what was read is done."""
    return [step for step in given if isinstance(step, Step)]


@dataclass(frozen=True)
class Database:
    """A database under way."""

    outputs: Callable[[], Awaitable[DatabaseOutputs]]
    """What its steps report, once all of them are done."""
    last: list[Step[Any]]
    """The steps that nothing of it waits for."""


def start_database(
    steps: Steps, spec: EnvironmentSpec, on: Foundation, *, after: Iterable[Step[Any]] = ()
) -> Database:
    """Start every step of the database; each waits for those whose results it takes.

    Args:
        steps: the run's steps.
        spec: the environment wanted, with a database.
        on: what the database stands on.
        after: what comes before the Postgres cluster besides, as the settings of an operator that runs already.
    """
    wanted = spec.database
    assert wanted is not None
    start, target, cluster = steps.start, on.target, on.cluster
    identity, account = on.backup_identity, on.storage_account
    secret = start(ensure_app_secret, spec, cluster, on.namespaces)
    storage = start(ensure_database_storage_class, spec, cluster, on.namespaces)
    # The Cluster's kind comes with the operator.
    before = [*after, *_steps(on.cnpg_operator)]
    credential = proof = None
    if wanted.backup.engine == "plugin":
        credential = start(ensure_database_credential, spec, target, on.resource_group, identity, cluster)
        own_account = start(ensure_database_account, spec, target, cluster, on.namespaces, identity)
        # The pods' token is of that account, and its identity has to have the role on the container.
        granted = [own_account, *_steps(on.blob_roles, on.backup_container)]
        proof = start(verify_database_credential, spec, target, cluster, credential, account, after=granted)
        cert_manager = start(ensure_cert_manager, spec, cluster, on.namespaces)
        plugin = start(ensure_barman_plugin, spec, cluster, on.cnpg_operator, cert_manager)
        store = start(ensure_object_store, spec, target, cluster, plugin, account)
        # A Cluster that can't archive fills its volume; so it is made once the archive is known to be there.
        before += [proof, store]
    postgres = start(ensure_postgres_cluster, spec, target, cluster, identity, storage, secret, after=before)
    ready = start(wait_until_postgres_is_ready, spec, target, cluster, postgres)
    databases = start(ensure_databases, spec, target, cluster, ready)
    pool = start(ensure_database_pooler, spec, target, cluster, ready) if wanted.pooler else None
    monitor = start(ensure_database_monitor, spec, target, cluster, on.namespaces, on.metrics_on)
    alerts = start(ensure_database_alerts, spec, target, cluster, on.monitor_workspace)
    pictures = start(
        ensure_database_dashboard, spec, target, on.grafana, on.grafana_roles, on.monitor_workspace
    )
    last: list[Step[Any]] = [databases, monitor, alerts, pictures, *([pool] if pool else [])]
    first: Step[BackupOutputs] | None = None
    proofs: list[Step[VerificationOutputs]] = []
    if credential is not None and proof is not None:
        first = start(ensure_first_backup, spec, target, cluster, ready, account)
        archive = start(verify_archive, spec, target, cluster, credential, account, first)
        last += [archive, start(ensure_backup_schedule, spec, target, cluster, first)]
        proofs = [proof, archive]

    async def outputs() -> DatabaseOutputs:
        checked = await _value(target)
        made, live = await postgres.result(), await ready.result()
        backup = await first.result() if first else None
        drawn = await pictures.result()
        host = f"{made.name}-{{}}.{made.namespace}.svc.cluster.local"
        return DatabaseOutputs(
            namespace=made.namespace,
            cluster=made.name,
            lineage=made.lineage,
            image=made.image,
            instances=live.instances,
            primary=live.primary,
            host=host.format("rw"),
            read_only_host=host.format("ro"),
            public_host=public_name(spec, checked),
            databases=tuple(wanted.databases),
            owner=wanted.owner,
            password_secret=APP_SECRET,
            ca_secret=f"{made.name}-ca",
            backups=f"{backup.destination}/{lineage(checked)}" if backup else None,
            recoverable_since=backup.recoverable_since if backup else "",
            dashboard=drawn.url,
            pooler_host=next(iter(pooler_hosts(spec, checked)), None),
            proven=tuple([fact for step in proofs for fact in (await step.result()).facts]),
            not_proven=(
                "that a backup can be restored: no copy was made of one"
                if backup
                else "that anything can be got back: the spec has no backups",
                *([f"that Grafana shows it: no dashboard was made, as {drawn.why}"] if drawn.why else []),
            ),
        )

    return Database(outputs, last)
