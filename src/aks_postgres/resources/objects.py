"""Bringing objects in the cluster to what is wanted, as every chapter of the database does it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import AzureRefused
from aks_postgres.arm.responses import Json
from aks_postgres.arm.retry import all_ended
from aks_postgres.kubernetes.client import KubernetesApi, kubernetes_api
from aks_postgres.kubernetes.operator_manifest import apply_object
from aks_postgres.reports.outputs import UNCHANGED, Change, ClusterOutputs, FieldChange, ObjectsOutputs


async def ensure_objects(azure: Azure, cluster: ClusterOutputs, *objects: Json) -> ObjectsOutputs:
    """Apply those that differ, side by side; what we applied earlier and is wanted no more goes from them.

    Args:
        azure: the run's connection.
        cluster: the cluster.
        objects: what is wanted.
    """
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        return outputs_of(objects, await bring(api, objects))


async def bring(api: KubernetesApi, objects: Iterable[Json]) -> Change:
    """The same over a connection that is there; what was changed."""
    done = await all_ended(_bring(api, item) for item in objects)
    return change_of(field for fields in done for field in fields)


async def _bring(api: KubernetesApi, item: Json) -> list[FieldChange]:
    try:
        return await apply_object(api, item, is_whole=True)
    except AzureRefused as refused:
        # A plan comes to kinds whose definitions an earlier step would bring.
        if refused.code == "NotFound" and not api.azure.gate.lets(f"{name_of(item)} would be created"):
            return [created(item)]
        raise


def new_objects(*objects: Json) -> ObjectsOutputs:
    """What a step reports of objects that a plan would create, the cluster with them."""
    return outputs_of(objects, change_of(created(item) for item in objects))


def outputs_of(objects: Sequence[Json], change: Change) -> ObjectsOutputs:
    """What a step reports of objects."""
    return ObjectsOutputs(names=tuple(name_of(item) for item in objects), change=change)


def name_of(item: Json) -> str:
    """Kind and name."""
    return f"{item['kind']} {item['metadata']['name']}"


def created(item: Json) -> FieldChange:
    """The line of an object that is made."""
    return FieldChange(field=name_of(item), old=None, new="created")


def change_of(fields: Iterable[FieldChange]) -> Change:
    """The change that these lines are."""
    found = tuple(fields)
    if not found:
        return UNCHANGED
    is_new = any(field.new == "created" for field in found)
    return Change(kind="created" if is_new else "updated", fields=found)
