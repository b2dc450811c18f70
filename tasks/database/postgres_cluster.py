"""Guide: Deploy, "Deploy the PostgreSQL cluster": the Cluster, what it stands on, and that it gets ready."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from aks_postgres.arm import clock
from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import LastingState, NotEffectiveYet, NotOurs
from aks_postgres.arm.planned import UNKNOWN
from aks_postgres.arm.responses import Json, clean
from aks_postgres.arm.retry import all_ended
from aks_postgres.database.limits import refuse_impossible
from aks_postgres.database.objects import (
    LINEAGE,
    image_catalog,
    lineage,
    more_databases,
    postgres_cluster,
    required,
    storage_class,
)
from aks_postgres.database.status import (
    ClusterState,
    Held,
    left_to_restart,
    used_archive,
    without_identity,
)
from aks_postgres.errors import ImmutableChange
from aks_postgres.kubernetes.client import DATABASE_S, KubernetesApi, kubernetes_api
from aks_postgres.kubernetes.cluster_events import cluster_troubles
from aks_postgres.kubernetes.objects import (
    bring,
    change_of,
    created,
    differing,
    is_going,
    name_of,
    new_objects,
    outputs_of,
)
from aks_postgres.reports.outputs import (
    UNCHANGED,
    Change,
    CheckedTarget,
    ClusterOutputs,
    IdentityOutputs,
    NamespacesOutputs,
    ObjectsOutputs,
    PostgresClusterOutputs,
    PostgresReadyOutputs,
    SecretsOutputs,
)
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec

# Three instances take about five minutes (the guide's sample output); a node for each may have to come first.
_READY_WITHIN_S = 1800
# A plugin that has just been installed is found after some seconds.
_PHASE_MAY_LAST_S = 300
_APPLIED_WITHIN_S = 300
# The instance manager comes to a changed role within seconds. Until then the status tells of the role as it was.
_ROLES_WITHIN_S = 60


def _planned_class(spec: EnvironmentSpec, *_: Any) -> ObjectsOutputs:
    wanted = storage_class(required(spec))
    return new_objects(*([wanted] if wanted else []))


@arm_task(
    "ensure_database_storage_class {spec.database.storage.class_name}",
    needs="cluster",
    planned=_planned_class,
)
async def ensure_database_storage_class(
    azure: Azure, spec: EnvironmentSpec, cluster: ClusterOutputs, namespaces: NamespacesOutputs
) -> ObjectsOutputs:
    """Make the storage class of the volumes, or see that AKS has brought it.

    Guide: Create infrastructure, "Create the AKS cluster ...", the three choices of storage.
    REST: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/storage-class-v1/

    Args:
        spec: the environment wanted.
        cluster: the cluster.
        namespaces: proof that its API server answers.

    Returns:
        Its name.

    Raises:
        ImmutableChange: the class is there and is another; Kubernetes can't change its parameters.
        LastingState: the class that AKS brings, or the driver of local disks, isn't there.
    """
    database = required(spec)
    name = database.storage.class_name
    names = (f"StorageClass {name}",)
    wanted = storage_class(database)
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        live = await api.get(f"/apis/storage.k8s.io/v1/storageclasses/{name}")
        if database.storage.storage_class == "local_nvme" and not await api.get(
            "/apis/storage.k8s.io/v1/csidrivers/localdisk.csi.acstor.io"
        ):
            raise LastingState(
                f"storage class {name}:",
                "the cluster has no Azure Container Storage, which serves local NVMe disks",
                f"Turn it on (az aks update --resource-group {cluster.resource_group} --name {cluster.name} "
                "--enable-azure-container-storage ephemeralDisk; the nodes need a size with NVMe disks), or set "
                "database.storage.storage_class to another; then run again.",
            )
        if wanted is None:
            if live is None:
                raise LastingState(
                    f"storage class {name}",
                    "isn't there, though AKS brings it",
                    "See that the disk driver is on (az aks update --enable-disk-driver), or set "
                    "database.storage.storage_class to premium_ssd_v2; then run again.",
                )
            return ObjectsOutputs(names=names, change=UNCHANGED)
        if live is not None and (fields := differing(live, wanted)):
            raise ImmutableChange(
                f"storage class {name}",
                fields,
                "Set database.storage.iops and throughput_mbps to what it has, or change the disks themselves; then "
                "run again.",
            )
        return ObjectsOutputs(names=names, change=await bring(api, [wanted]))


def _asked_for(spec: EnvironmentSpec, target: CheckedTarget, change: Change) -> PostgresClusterOutputs:
    return PostgresClusterOutputs(
        namespace=spec.namespaces.database,
        name=target.names.postgres_cluster,
        lineage=lineage(target),
        image=required(spec).image_name,
        change=change,
    )


def _wanted(
    spec: EnvironmentSpec, target: CheckedTarget, cluster: ClusterOutputs, identity: IdentityOutputs
) -> list[Json]:
    """The catalog first: a Cluster without one is refused."""
    return [
        image_catalog(spec, target),
        postgres_cluster(spec, target, identity.client_id, cluster.node_resource_group),
    ]


def _planned_cluster(
    spec: EnvironmentSpec, target: CheckedTarget, cluster: ClusterOutputs, identity: IdentityOutputs, *_: Any
) -> PostgresClusterOutputs:
    wanted = _wanted(spec, target, cluster, identity)
    return _asked_for(spec, target, change_of(created(item) for item in wanted))


@arm_task(
    "ensure_postgres_cluster {target.names.postgres_cluster}", needs="cluster", planned=_planned_cluster
)
async def ensure_postgres_cluster(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    cluster: ClusterOutputs,
    identity: IdentityOutputs,
    storage: ObjectsOutputs,
    secret: SecretsOutputs,
) -> PostgresClusterOutputs:
    """Create the Postgres cluster, or bring it to the spec; what would lose data, or can't be changed, is refused.

    Guide: Deploy, "Deploy the PostgreSQL cluster" (kubectl apply of a Cluster).
    REST: https://cloudnative-pg.io/documentation/1.30/cloudnative-pg.v1/#cluster

    Args:
        spec: the environment wanted.
        target: names and generation.
        cluster: the cluster.
        identity: that may write backups.
        storage: the storage class.
        secret: the owner's.

    Returns:
        Name, lineage and image.

    Raises:
        ImmutableChange: a volume would shrink, or the spec wants what only another cluster can have.
        LastingState: somebody is deleting it.
        NotOurs: a Cluster of that name is there that another made.
    """
    catalog, wanted = _wanted(spec, target, cluster, identity)
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        live = await live_cluster(api, spec, target)
        if live is not None:
            refuse_foreign(live, lineage(target))
            refuse_going(live)
            refuse_impossible(live, wanted)
        changes = [field for item in (catalog, wanted) for field in (await bring(api, [item])).fields]
    return _asked_for(spec, target, change_of(changes))


async def live_cluster(api: KubernetesApi, spec: EnvironmentSpec, target: CheckedTarget) -> Json | None:
    """The Cluster as its API shows it; None where it isn't there."""
    path = f"/apis/postgresql.cnpg.io/v1/namespaces/{spec.namespaces.database}/clusters"
    return await api.get(f"{path}/{target.names.postgres_cluster}")


def refuse_foreign(live: Json, wanted: str) -> None:
    """See that the Cluster is this generation's.

    Raises:
        NotOurs: it isn't.
    """
    has = (live["metadata"].get("labels") or {}).get(LINEAGE)
    if has != wanted:
        raise NotOurs(
            f"Postgres cluster {live['metadata'].get('namespace')}/{live['metadata']['name']} exists and "
            f"{f'archives as {has}' if has else 'was made by somebody else'}.",
            way_out="Set database.name to another name, or delete that cluster if nothing in it is needed; then run "
            "again.",
        )


def refuse_going(live: Json) -> None:
    """See that nobody has deleted the Cluster: its volumes go with it, and a new one would be empty.

    Raises:
        LastingState: it is being deleted.
    """
    if is_going(live):
        raise LastingState(
            f"Postgres cluster {live['metadata']['namespace']}/{live['metadata']['name']}",
            "is being deleted by somebody, and its volumes go with it",
            "Nothing stops that. When it is gone, set database.name to another name, as an archive has one cluster "
            "only, or rebuild; then run again. Its backups stay.",
        )


def refuse_held(live: Json) -> None:
    """See that nobody told the operator to leave the Cluster as it is.

    Raises:
        LastingState: it is hibernated, fenced or paused.
    """
    if (held := Held.of(live)) is not None:
        namespace, name = live["metadata"]["namespace"], live["metadata"]["name"]
        raise LastingState(f"Postgres cluster {namespace}/{name}", held.what, held.way_out(namespace, name))


def _not_there_yet(spec: EnvironmentSpec, *_: Any) -> PostgresReadyOutputs:
    return PostgresReadyOutputs(primary=UNKNOWN, instances=required(spec).instances, change=UNCHANGED)


@arm_task(
    "wait_until_postgres_is_ready {postgres.name}", looks=True, needs="postgres", planned=_not_there_yet
)
async def wait_until_postgres_is_ready(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    cluster: ClusterOutputs,
    postgres: PostgresClusterOutputs,
) -> PostgresReadyOutputs:
    """Wait until every instance is ready and the operator says that it is done.

    Guide: Deploy, "Deploy the PostgreSQL cluster" (kubectl get pods, "be patient").
    REST: https://cloudnative-pg.io/documentation/1.30/cloudnative-pg.v1/#clusterstatus

    Args:
        spec: the environment wanted.
        target: names.
        cluster: the cluster.
        postgres: the Postgres cluster.

    Returns:
        The primary's name, and the number of instances.

    Raises:
        LastingState: the operator, or Kubernetes, says what only a person can mend; or a person stopped it.
        NotEffectiveYet: not ready in time, and nobody says why.
    """
    label = f"Postgres cluster {postgres.namespace}/{postgres.name}"
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        live = await live_cluster(api, spec, target) or {}
        refuse_held(live)
        refuse_going(live)
        state, left = ClusterState.of(live), await _left_to_restart(api, spec, target, live)
        if left or not state.is_ready:
            azure.gate.begin(f"{label} isn't ready: {left or state}")
            state = await _ready(api, spec, target, label)
        if required(spec).backup.engine == "plugin":
            await _see_identity(api, postgres)
    return PostgresReadyOutputs(primary=state.primary, instances=state.ready, change=UNCHANGED)


async def _ready(
    api: KubernetesApi, spec: EnvironmentSpec, target: CheckedTarget, label: str
) -> ClusterState:
    last, left = ClusterState.of({}), ""
    since_s = clock.now_s()

    async def look() -> ClusterState | None:
        nonlocal last, left, since_s
        live = await live_cluster(api, spec, target) or {}
        refuse_held(live)
        refuse_going(live)
        found = ClusterState.of(live)
        if found.phase != last.phase:
            since_s = clock.now_s()
        last = found
        lasts = last.lasting or (last.passing if clock.now_s() - since_s > _PHASE_MAY_LAST_S else None)
        if lasts is not None:
            raise LastingState(f"{label}:", str(last), f"{lasts}. Then run again.")
        left = await _left_to_restart(api, spec, target, live)
        return last if last.is_ready and not left else None

    try:
        return await api.wait(f"{label} isn't ready yet", look, deadline_s=_READY_WITHIN_S, real_s=DATABASE_S)
    except TimeoutError as error:
        said = await cluster_troubles(api, spec.namespaces.database, target.names.postgres_cluster)
        now = "; ".join(filter(None, (str(last), left)))
        if used_archive(said):
            raise LastingState(
                f"{label}:",
                f"{error}; {said}",
                "Another cluster archived under this name before. Set database.name to another name, or rebuild; then "
                "run again.",
            ) from None
        if said:
            raise LastingState(
                f"{label}:", f"{error}; the operator says: {now}", f"{said} Then run again."
            ) from None
        raise NotEffectiveYet(
            f"{label}: {error}; the operator says: {now}. More: "
            f"kubectl -n {spec.namespaces.database} describe cluster,pods"
        ) from None


async def _instances(api: KubernetesApi, namespace: str, name: str) -> list[Json]:
    """Pods of the instances of a Postgres cluster."""
    labels = f"cnpg.io/cluster={name},cnpg.io/podRole=instance"
    return await api.list_of(f"/api/v1/namespaces/{namespace}/pods", "Pod", labelSelector=labels) or []


async def _left_to_restart(
    api: KubernetesApi, spec: EnvironmentSpec, target: CheckedTarget, live: Json
) -> str:
    """Say which instances still run as they were before a change; empty where all run as the Cluster is now."""
    pods = await _instances(api, spec.namespaces.database, target.names.postgres_cluster)
    if not pods:
        return ""
    catalog = await api.get(await api.path_of(image_catalog(spec, target))) or {}
    left = left_to_restart(pods, live, catalog)
    return ", ".join(f"pod {pod} {why} until it is restarted" for pod, why in left.items())


async def _see_identity(api: KubernetesApi, postgres: PostgresClusterOutputs) -> None:
    """See that each instance can sign in to write its WAL: a pod is only given that when it is made.

    Raises:
        LastingState: a pod was made while the webhook of workload identity was down.
    """
    pods = await _instances(api, postgres.namespace, postgres.name)
    if lacking := without_identity(pods):
        texts = "; ".join(f"pod {pod} lacks {', '.join(names)}" for pod, names in lacking.items())
        raise LastingState(
            f"Postgres cluster {postgres.namespace}/{postgres.name}:",
            f"{texts}, so it can't archive",
            "The webhook of workload identity was down, or is off, when the pod was made (kubectl -n kube-system get "
            "deployment azure-wi-webhook-controller-manager). When it is up, delete those pods one by one, replicas "
            "first; then run again.",
        )


def _planned_databases(spec: EnvironmentSpec, target: CheckedTarget, *_: Any) -> ObjectsOutputs:
    return new_objects(*more_databases(spec, target))


@arm_task("ensure_databases {spec.database.owner}", needs="cluster", planned=_planned_databases)
async def ensure_databases(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    cluster: ClusterOutputs,
    ready: PostgresReadyOutputs,
) -> ObjectsOutputs:
    """Make the databases after the first, and wait until the operator has; removing one from the spec removes nothing.

    Guide: none; it has one database, which comes with the cluster.
    REST: https://cloudnative-pg.io/documentation/1.30/declarative_database_management/

    Args:
        spec: the environment wanted.
        target: names.
        cluster: the cluster.
        ready: the Postgres cluster, once it takes connections.

    Returns:
        The Database objects.

    Raises:
        LastingState: the operator can't make one; with its words.
    """
    objects = more_databases(spec, target)
    if not objects and not required(spec).roles:
        return ObjectsOutputs(names=(), change=UNCHANGED)
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        await _roles_made(api, spec, target)
        change = await bring(api, objects)
        await all_ended(_applied(api, item) for item in objects)
    return outputs_of(objects, change)


async def _roles_made(api: KubernetesApi, spec: EnvironmentSpec, target: CheckedTarget) -> None:
    """Wait until the operator says of no role that it can't make it; of roles still to be changed it isn't asked.

    Raises:
        LastingState: it goes on saying so.
    """
    said: LastingState | None = None

    async def look() -> bool | None:
        nonlocal said
        live, said = await live_cluster(api, spec, target) or {}, None
        try:
            if _has_roles(live, spec):
                refuse_unmade_roles(live, spec)
        except LastingState as refused:
            said = refused
            return None
        return True

    if not await look():
        with suppress(TimeoutError):
            await api.settle("the roles aren't all made yet", look, deadline_s=_ROLES_WITHIN_S)
    if said is not None:
        raise said


def _has_roles(live: Json, spec: EnvironmentSpec) -> bool:
    """Return whether the Cluster asks for the roles as the spec wants them."""
    managed = ((live.get("spec") or {}).get("managed") or {}).get("roles") or []
    has = {role.get("name"): role.get("inRoles") or [] for role in managed}
    return all(has.get(role.name) == list(role.in_roles) for role in required(spec).roles)


def refuse_unmade_roles(live: Json, spec: EnvironmentSpec) -> None:
    """See that the operator can make every role of the spec; while it hasn't yet, it says nothing.

    Raises:
        LastingState: it can't make one; with PostgreSQL's words.
    """
    said = ((live.get("status") or {}).get("managedRolesStatus") or {}).get("cannotReconcile") or {}
    for role in required(spec).roles:
        if why := said.get(role.name):
            text = "; ".join(map(str, why)) if isinstance(why, list) else str(why)
            raise LastingState(
                f"role {role.name}",
                f"can't be made: {clean(text)}",
                "Correct database.roles, then run again.",
            )


async def _applied(api: KubernetesApi, item: Json) -> None:
    said = "nothing yet"

    async def look() -> Json | None:
        nonlocal said
        live = await api.get(await api.path_of(item)) or {}
        status = live.get("status") or {}
        said = str(status.get("message") or said)
        is_current = status.get("observedGeneration", 0) >= (live.get("metadata") or {}).get("generation", 0)
        return live if is_current and status.get("applied") is True else None

    try:
        await api.settle(
            f"{name_of(item)} isn't applied yet", look, deadline_s=_APPLIED_WITHIN_S, real_s=DATABASE_S
        )
    except TimeoutError as error:
        raise LastingState(
            f"{name_of(item)}:",
            f"{error}; the operator says: {said}",
            "Do what it says, or take the database out of database.databases; then run again.",
        ) from None
