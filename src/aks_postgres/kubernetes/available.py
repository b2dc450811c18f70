"""Waiting until a deployment is available, and saying why it isn't."""

from __future__ import annotations

from aks_postgres.arm.errors import LastingState, NotEffectiveYet
from aks_postgres.arm.responses import Json, clean
from aks_postgres.kubernetes.client import KubernetesApi
from aks_postgres.kubernetes.pod_troubles import told, troubles_of

# The image is pulled and the start probe takes 30 s: https://github.com/cloudnative-pg/charts (values.yaml).
_AVAILABLE_WITHIN_S = 600


async def available(api: KubernetesApi, namespace: str, name: str) -> Json | None:
    """The deployment once all its replicas are updated and available; a plan doesn't wait for it.

    Raises:
        LastingState: not in time, for a reason that Kubernetes names.
        NotEffectiveYet: not in time, and Kubernetes names none.
    """
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    seen = "it doesn't exist"
    last: Json | None = None

    async def look() -> Json | None:
        nonlocal seen, last
        live = last = await api.get(path)
        if live is None:
            return None
        status, wanted = live.get("status") or {}, (live.get("spec") or {}).get("replicas", 1)
        seen = "; ".join(
            f"{c['type']}={c['status']} {clean(c.get('message', ''))}" for c in status.get("conditions") or []
        )
        is_current = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
        return (
            live
            if is_current
            and wanted <= min(status.get("updatedReplicas", 0), status.get("availableReplicas", 0))
            else None
        )

    try:
        return await api.settle(
            f"deployment {name} isn't available yet", look, deadline_s=_AVAILABLE_WITHIN_S
        )
    except TimeoutError as error:
        if last is not None and (troubles := await troubles_of(api, last)):
            raise LastingState(
                f"deployment {namespace}/{name}:",
                f"{error}; Kubernetes says: {seen}",
                f"{told(troubles)} Then run again.",
            ) from None
        raise NotEffectiveYet(
            f"deployment {namespace}/{name}: {error}; Kubernetes says: {seen}. "
            f"kubectl -n {namespace} describe pods says more."
        ) from None
