"""Guide: Create infrastructure, "Create the AKS cluster ..." - the namespaces of operator and database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import NotEffectiveYet
from aks_postgres.arm.responses import Json
from aks_postgres.kubernetes.client import KubernetesApi, kubernetes_api
from aks_postgres.reports.outputs import (
    UNCHANGED,
    ApiServerOutputs,
    Change,
    ClusterOutputs,
    FieldChange,
    NamespacesOutputs,
)
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec

_GONE_WITHIN_S = 300
# Somebody who deletes it each time would keep the run for ever.
_TIMES_MADE = 3


def _outputs(names: tuple[str, ...], created: Iterable[str]) -> NamespacesOutputs:
    fields = tuple(FieldChange(field=f"namespace {name}", old=None, new="Active") for name in created)
    return NamespacesOutputs(
        namespaces=names, change=Change(kind="created", fields=fields) if fields else UNCHANGED
    )


def _planned_namespaces(spec: EnvironmentSpec, *_: Any) -> NamespacesOutputs:
    return _outputs(names := (spec.namespaces.database, spec.namespaces.operator), names)


@arm_task(
    "ensure_namespaces {spec.namespaces.database} and {spec.namespaces.operator}",
    needs="cluster",
    planned=_planned_namespaces,
)
async def ensure_namespaces(
    azure: Azure, spec: EnvironmentSpec, cluster: ClusterOutputs, api_server: ApiServerOutputs
) -> NamespacesOutputs:
    """Create both namespaces; one that is being deleted is waited for and created anew.

    Guide: Create infrastructure, "Create the AKS cluster ...", step 5 (kubectl create namespace).
    REST: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/namespace-v1/

    Args:
        spec: the environment wanted.
        cluster: the cluster.
        api_server: proof that its API server answers.

    Returns:
        Names of both namespaces.

    Raises:
        NotEffectiveYet: a namespace stays Terminating; the message names it.
    """
    names = (spec.namespaces.database, spec.namespaces.operator)
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        return _outputs(names, [name for name in names if await ensure_namespace(api, name)])


async def ensure_namespace(api: KubernetesApi, name: str) -> bool:
    """Make sure of one namespace; whether it had to be created.

    Raises:
        NotEffectiveYet: it stays Terminating, or is Terminating each time that it was created.
    """
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    for _ in range(_TIMES_MADE):
        if await _is_active(api, name):
            return False
        made = await api.create("/api/v1/namespaces", body)
        # Somebody may have made and deleted one of that name since we looked.
        if (made.get("status") or {}).get("phase") != "Terminating":
            return True
    raise NotEffectiveYet(
        f"namespace {name} was created {_TIMES_MADE} times, and was being deleted each time. "
        "Find out who deletes it (the cluster's audit log names them), then run again."
    )


async def _is_active(api: KubernetesApi, name: str) -> bool:
    """Return whether the namespace is there; one that is being deleted is waited for until it isn't.

    Raises:
        NotEffectiveYet: it stays Terminating.
    """
    path = f"/api/v1/namespaces/{name}"

    async def not_terminating() -> Json | None:
        live = await api.get(path)
        if live is None:
            return {}
        return None if (live.get("status") or {}).get("phase") == "Terminating" else live

    try:
        live = await api.wait(f"namespace {name} is Terminating", not_terminating, deadline_s=_GONE_WITHIN_S)
    except TimeoutError as error:
        raise NotEffectiveYet(
            f"{error}. Something in it has a finalizer that nobody serves: "
            f"kubectl get namespace {name} -o yaml names it under status.conditions."
        ) from None
    return bool(live)
