"""The steps that make the database, as a graph: the end of `provision`, and all of `deploy_database`.

They take what the environment's steps report, whether those are under way or were read.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

from aks_postgres.database.objects import APP_SECRET, lineage, public_name
from aks_postgres.reports.outputs import (
    BackupOutputs,
    ClusterOutputs,
    DatabaseOutputs,
    FederatedCredentialOutputs,
    IdentityOutputs,
    NamespacesOutputs,
    ObjectsOutputs,
    OperatorOutputs,
    Place,
    PostgresClusterOutputs,
    PostgresReadyOutputs,
    ResourceOutputs,
    RoleOutputs,
    StepOutputs,
    StorageAccountOutputs,
    VerificationOutputs,
)
from aks_postgres.runs.steps import Step, Steps
from aks_postgres.spec.environment import EnvironmentSpec
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
from aks_postgres.tasks.database.monitoring import ensure_database_monitor
from aks_postgres.tasks.database.postgres_cluster import (
    ensure_database_storage_class,
    ensure_databases,
    ensure_postgres_cluster,
    wait_until_postgres_is_ready,
)
from aks_postgres.tasks.database.secret import ensure_app_secret

T = TypeVar("T")


@dataclass(frozen=True)
class Foundation:
    """What the database stands on: outputs of the environment's steps, or those steps under way."""

    place: Step[Place] | Place
    group: Step[ResourceOutputs] | ResourceOutputs
    backup_identity: Step[IdentityOutputs] | IdentityOutputs
    account: Step[StorageAccountOutputs] | StorageAccountOutputs
    container: Step[ResourceOutputs] | ResourceOutputs
    blob_roles: Step[RoleOutputs] | RoleOutputs
    cluster: Step[ClusterOutputs] | ClusterOutputs
    metrics_on: Step[StepOutputs] | StepOutputs
    namespaces: Step[NamespacesOutputs] | NamespacesOutputs
    operator: Step[OperatorOutputs] | OperatorOutputs


@dataclass(frozen=True)
class DatabaseSteps:
    """The steps of a database under way; those of backups are None where the spec has none."""

    place: Step[Place] | Place
    database_secret: Step[ObjectsOutputs]
    database_storage: Step[ObjectsOutputs]
    database_credential: Step[FederatedCredentialOutputs] | None
    database_account: Step[ObjectsOutputs] | None
    credential_proof: Step[VerificationOutputs] | None
    cert_manager: Step[ObjectsOutputs] | None
    barman_plugin: Step[ObjectsOutputs] | None
    object_store: Step[ObjectsOutputs] | None
    postgres_cluster: Step[PostgresClusterOutputs]
    postgres_ready: Step[PostgresReadyOutputs]
    databases: Step[ObjectsOutputs]
    first_backup: Step[BackupOutputs] | None
    archive_proof: Step[VerificationOutputs] | None
    backup_schedule: Step[ObjectsOutputs] | None
    database_monitor: Step[ObjectsOutputs]

    def by_name(self) -> dict[str, Step[Any]]:
        """Every step that may change something, by its name here."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        looks = ("place", "credential_proof", "postgres_ready", "archive_proof")
        return {name: step for name, step in found.items() if name not in looks and step is not None}

    @property
    def last(self) -> list[Step[Any]]:
        """The steps that nothing of the database waits for."""
        ends = (self.databases, self.archive_proof, self.backup_schedule, self.database_monitor)
        return [step for step in ends if step is not None]

    async def outputs(self, spec: EnvironmentSpec) -> DatabaseOutputs:
        """What the steps report, once all of them are done."""
        assert spec.database is not None
        place = await _value(self.place)
        postgres, ready = await self.postgres_cluster.result(), await self.postgres_ready.result()
        backup = await self.first_backup.result() if self.first_backup else None
        proofs = [step for step in (self.credential_proof, self.archive_proof) if step is not None]
        proven = [fact for step in proofs for fact in (await step.result()).facts]
        not_proven = ["that a backup can be restored: no copy was made of one"]
        if backup is None:
            not_proven = ["that anything can be got back: the spec has no backups"]
        host = f"{postgres.name}-{{}}.{postgres.namespace}.svc.cluster.local"
        return DatabaseOutputs(
            namespace=postgres.namespace,
            cluster=postgres.name,
            lineage=lineage(place),
            image=postgres.image,
            instances=ready.instances,
            primary=ready.primary,
            host=host.format("rw"),
            read_only_host=host.format("ro"),
            public_host=public_name(spec, place),
            databases=tuple(spec.database.databases),
            owner=spec.database.owner,
            password_secret=APP_SECRET,
            ca_secret=f"{postgres.name}-ca",
            backups=f"{backup.destination}/{lineage(place)}" if backup else None,
            recoverable_since=backup.recoverable_since if backup else "",
            proven=tuple(proven),
            not_proven=tuple(not_proven),
        )


async def _value(given: Step[T] | T) -> T:
    return await given.result() if isinstance(given, Step) else given


def start_database(steps: Steps, spec: EnvironmentSpec, on: Foundation) -> DatabaseSteps:
    """Start every step of the database; each waits for those whose results it takes.

    Args:
        steps: the run's steps.
        spec: the environment wanted, with a database.
        on: what the database stands on.
    """
    assert spec.database is not None
    start, place, cluster = steps.start, on.place, on.cluster
    identity, account, container = on.backup_identity, on.account, on.container
    secret = start(ensure_app_secret, spec, cluster, on.namespaces)
    storage = start(ensure_database_storage_class, spec, cluster, on.namespaces)
    credential = service_account = proof = cert_manager = plugin = store = None
    before: list[Step[Any]] = []
    if spec.database.backup.engine == "plugin":
        credential = start(ensure_database_credential, spec, place, on.group, identity, cluster)
        service_account = start(ensure_database_account, spec, place, cluster, on.namespaces, identity)
        proof = start(
            verify_database_credential,
            spec,
            place,
            cluster,
            identity,
            account,
            container,
            credential,
            service_account,
            on.blob_roles,
        )
        cert_manager = start(ensure_cert_manager, spec, cluster, on.namespaces)
        plugin = start(ensure_barman_plugin, spec, cluster, on.operator, cert_manager)
        store = start(ensure_object_store, spec, place, cluster, on.namespaces, plugin, account, container)
        # A Cluster that can't archive fills its volume; so it is made once the archive is known to be there.
        before = [proof, store]
    postgres = start(
        ensure_postgres_cluster, spec, place, cluster, identity, on.operator, storage, secret, after=before
    )
    ready = start(wait_until_postgres_is_ready, spec, place, cluster, postgres)
    databases = start(ensure_databases, spec, place, cluster, ready)
    backup = archive = schedule = None
    if spec.database.backup.engine == "plugin":
        backup = start(ensure_first_backup, spec, place, cluster, ready, account, container)
        archive = start(verify_archive, spec, place, cluster, identity, account, container, backup)
        schedule = start(ensure_backup_schedule, spec, place, cluster, backup)
    monitor = start(ensure_database_monitor, spec, place, cluster, on.namespaces, on.metrics_on)
    return DatabaseSteps(
        place=place,
        database_secret=secret,
        database_storage=storage,
        database_credential=credential,
        database_account=service_account,
        credential_proof=proof,
        cert_manager=cert_manager,
        barman_plugin=plugin,
        object_store=store,
        postgres_cluster=postgres,
        postgres_ready=ready,
        databases=databases,
        first_backup=backup,
        archive_proof=archive,
        backup_schedule=schedule,
        database_monitor=monitor,
    )
