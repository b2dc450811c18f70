"""Guide: Deploy, "Create the secret for the app user": made once, and never read back into a result."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import LastingState
from aks_postgres.database.objects import APP_SECRET, app_secret, required
from aks_postgres.foreign_text import keep_secret
from aks_postgres.kubernetes.client import kubernetes_api
from aks_postgres.kubernetes.objects import change_of, new_objects
from aks_postgres.reports.outputs import (
    UNCHANGED,
    ClusterOutputs,
    FieldChange,
    NamespacesOutputs,
    ObjectsOutputs,
)
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec

_TYPE = "kubernetes.io/basic-auth"
_RELOAD = "cnpg.io/reload"
_RELOADED = FieldChange(field=f"Secret {APP_SECRET}: metadata.labels.{_RELOAD}", old=None, new="true")


def _planned_secret(spec: EnvironmentSpec, *_: Any) -> ObjectsOutputs:
    return new_objects(app_secret(spec, ""))


@arm_task("ensure_app_secret {spec.namespaces.database}", needs="cluster", planned=_planned_secret)
async def ensure_app_secret(
    azure: Azure, spec: EnvironmentSpec, cluster: ClusterOutputs, namespaces: NamespacesOutputs
) -> ObjectsOutputs:
    """Make the Secret with the owner's name and a drawn password; one that is there stays as it is.

    Guide: Deploy, "Create the secret for the app user" (kubectl create secret generic). Here it has the type and the
    label that the operator asks for: it follows a changed password.
    REST: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/secret-v1/

    Args:
        spec: the environment wanted.
        cluster: the cluster.
        namespaces: both namespaces.

    Returns:
        The Secret's name.

    Raises:
        LastingState: a Secret of that name is there, and no cluster can be made with it.
    """
    namespace, owner = spec.namespaces.database, required(spec).owner
    name = f"Secret {APP_SECRET}"
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        live = await api.get(f"/api/v1/namespaces/{namespace}/secrets/{APP_SECRET}")
        if live is None:
            password = secrets.token_urlsafe(24)
            keep_secret(password)
            wanted = app_secret(spec, password)
            await api.create(f"/api/v1/namespaces/{namespace}/secrets", wanted)
            return new_objects(wanted)
    data = live.get("data")
    given = data if isinstance(data, dict) else {}
    keep_secret(_decoded(given.get("password")))
    label = f"Secret {namespace}/{APP_SECRET}"
    delete = f"kubectl -n {namespace} delete secret {APP_SECRET}, if nothing uses it"
    if live.get("type") != _TYPE:
        raise LastingState(
            label,
            f"is of type {live.get('type') or 'Opaque'}, and the operator takes {_TYPE} for a database's owner",
            f"A Secret's type can't be changed. Save its password, then {delete}; the next run makes a new one.",
        )
    if _decoded(given.get("username")) != owner or not given.get("password"):
        raise LastingState(
            label,
            f"doesn't hold a name and a password of database.owner, which is {owner}",
            f"Set database.owner to the name in it, or {delete}; then run again.",
        )
    if ((live["metadata"].get("labels") or {}).get(_RELOAD)) != "true":
        async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
            path = f"/api/v1/namespaces/{namespace}/secrets/{APP_SECRET}"
            await api.merge(label, path, {"metadata": {"labels": {_RELOAD: "true"}}})
        return ObjectsOutputs(names=(name,), change=change_of([_RELOADED]))
    return ObjectsOutputs(names=(name,), change=UNCHANGED)


def _decoded(text: object) -> str:
    try:
        return base64.b64decode(str(text or "")).decode()
    except ValueError:
        return ""
