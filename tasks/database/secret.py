"""Guide: Deploy, "Create the secret for the app user": made once, and never read back into a result."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import LastingState
from aks_postgres.database.objects import APP_SECRET, login_secret, required, role_secret
from aks_postgres.foreign_text import keep_secret
from aks_postgres.kubernetes.client import kubernetes_api
from aks_postgres.kubernetes.objects import change_of, created, new_objects
from aks_postgres.reports.outputs import (
    UNCHANGED,
    Change,
    ClusterOutputs,
    FieldChange,
    NamespacesOutputs,
    SecretsOutputs,
)
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec

_TYPE = "kubernetes.io/basic-auth"
_RELOAD = "cnpg.io/reload"


def _planned_secrets(spec: EnvironmentSpec, *_: Any) -> SecretsOutputs:
    new = (login_secret(spec, name, role, "") for name, role, _ in _wanted(spec))
    return SecretsOutputs(**dict(new_objects(*new)))


def _wanted(spec: EnvironmentSpec) -> list[tuple[str, str, str]]:
    """Each Secret's name, the role in it, and the field that says so."""
    database = required(spec)
    return [
        (APP_SECRET, database.owner, "database.owner"),
        *((role_secret(role.name), role.name, "database.roles") for role in database.roles),
    ]


@arm_task("ensure_app_secret {spec.namespaces.database}", needs="cluster", planned=_planned_secrets)
async def ensure_app_secret(
    azure: Azure, spec: EnvironmentSpec, cluster: ClusterOutputs, namespaces: NamespacesOutputs
) -> SecretsOutputs:
    """Make a Secret with the name and a drawn password of each role; one that is there stays as it is.

    Guide: Deploy, "Create the secret for the app user" (kubectl create secret generic). Here it has the type and the
    label that the operator asks for: it follows a changed password.
    REST: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/secret-v1/

    Args:
        spec: the environment wanted.
        cluster: the cluster.
        namespaces: both namespaces.

    Returns:
        The Secrets' names.

    Raises:
        LastingState: a Secret of that name is there, and no cluster can be made with it.
    """
    found = [await _made_once(azure, spec, cluster, *one) for one in _wanted(spec)]
    return SecretsOutputs(
        names=tuple(f"Secret {name}" for name, _, _ in _wanted(spec)),
        change=change_of([field for change in found for field in change.fields]),
    )


async def _made_once(
    azure: Azure, spec: EnvironmentSpec, cluster: ClusterOutputs, name: str, role: str, field: str
) -> Change:
    namespace = spec.namespaces.database
    path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        live = await api.get(path)
        if live is None:
            password = secrets.token_urlsafe(24)
            keep_secret(password)
            wanted = login_secret(spec, name, role, password)
            await api.create(f"/api/v1/namespaces/{namespace}/secrets", wanted)
            return change_of([created(wanted)])
        data = live.get("data")
        given = data if isinstance(data, dict) else {}
        keep_secret(_decoded(given.get("password")))
        label = f"Secret {namespace}/{name}"
        delete = f"kubectl -n {namespace} delete secret {name}, if nothing uses it"
        if live.get("type") != _TYPE:
            raise LastingState(
                label,
                f"is of type {live.get('type') or 'Opaque'}, and the operator takes {_TYPE} for a role",
                f"A Secret's type can't be changed. Save its password, then {delete}; the next run makes a new one.",
            )
        if _decoded(given.get("username")) != role or not given.get("password"):
            raise LastingState(
                label,
                f"doesn't hold the name and a password of {role}, which {field} says",
                f"Set {field} to the name in it, or {delete}; then run again.",
            )
        if ((live["metadata"].get("labels") or {}).get(_RELOAD)) != "true":
            await api.merge(label, path, {"metadata": {"labels": {_RELOAD: "true"}}})
            reloaded = FieldChange(field=f"Secret {name}: metadata.labels.{_RELOAD}", old=None, new="true")
            return change_of([reloaded])
    return UNCHANGED


def _decoded(text: object) -> str:
    try:
        return base64.b64decode(str(text or "")).decode()
    except ValueError:
        return ""
