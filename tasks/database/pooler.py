"""Guide: none; its database has no pool of connections."""

from __future__ import annotations

from typing import Any

from aks_postgres.arm import clock
from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import LastingState, NotEffectiveYet
from aks_postgres.arm.responses import Json, clean
from aks_postgres.database.objects import pooler, pooler_name, required
from aks_postgres.kubernetes.client import KubernetesApi, kubernetes_api
from aks_postgres.kubernetes.objects import bring, new_objects, outputs_of
from aks_postgres.reports.outputs import (
    UNCHANGED,
    CheckedTarget,
    ClusterOutputs,
    ObjectsOutputs,
    PostgresReadyOutputs,
)
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec

_READY_WITHIN_S = 600
# Of a Pooler that was corrected, the status tells of it as it was until the operator comes to it.
_FAILED_FOR_S = 60


def _planned_pooler(spec: EnvironmentSpec, target: CheckedTarget, *_: Any) -> ObjectsOutputs:
    wanted = pooler(spec, target)
    return new_objects(*([wanted] if wanted else []))


@arm_task("ensure_database_pooler {target.names.postgres_cluster}", needs="cluster", planned=_planned_pooler)
async def ensure_database_pooler(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    cluster: ClusterOutputs,
    ready: PostgresReadyOutputs,
) -> ObjectsOutputs:
    """Create PgBouncer before the primary, or bring it to the spec, and wait until its pods are ready.

    Guide: none.
    REST: https://cloudnative-pg.io/documentation/1.30/cloudnative-pg.v1/#pooler

    Args:
        spec: the environment wanted.
        target: names.
        cluster: the cluster.
        ready: the Postgres cluster, once it takes connections.

    Returns:
        The Pooler.

    Raises:
        LastingState: the operator can't make it; with its words.
        NotEffectiveYet: its pods aren't ready in time.
    """
    wanted = pooler(spec, target)
    if wanted is None:
        return ObjectsOutputs(names=(), change=UNCHANGED)
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        change = await bring(api, [wanted])
        await _wait_until_ready(api, spec, target, wanted)
    return outputs_of([wanted], change)


async def _wait_until_ready(
    api: KubernetesApi, spec: EnvironmentSpec, target: CheckedTarget, wanted: Json
) -> None:
    name, namespace = pooler_name(target), spec.namespaces.database
    database, count = required(spec), wanted["spec"]["instances"]
    assert database.pooler is not None
    said = "the operator hasn't said anything yet"
    since_s = clock.now_s()

    async def look() -> Json | None:
        nonlocal said
        live = await api.get(await api.path_of(wanted)) or {}
        status = live.get("status") or {}
        # `failed` is for what no waiting ends (v1.30.0, api/v1/pooler_types.go); `inactive` for what is missing yet.
        if status.get("phase") == "failed" and clock.now_s() - since_s > _FAILED_FOR_S:
            raise LastingState(
                f"Pooler {name}",
                f"can't be made: {clean(str(status.get('phaseReason') or 'no reason is given'))}",
                "Correct database.pooler, then run again.",
            )
        deployment = await api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}") or {}
        seen = deployment.get("status") or {}
        ready = seen.get("readyReplicas") or 0
        said = (
            f"{status.get('phaseReason') or status.get('phase') or said}; {ready} of {count} pods are ready"
        )
        is_current = seen.get("observedGeneration", 0) >= (deployment.get("metadata") or {}).get(
            "generation", 0
        )
        updated = seen.get("updatedReplicas") or 0
        return deployment if deployment and is_current and min(ready, updated) >= count else None

    try:
        await api.settle(f"Pooler {name} isn't ready yet", look, deadline_s=_READY_WITHIN_S)
    except TimeoutError as error:
        raise NotEffectiveYet(
            f"{error}: {said}. kubectl -n {namespace} get pods -l cnpg.io/poolerName={name} says more. Run again."
        ) from None
