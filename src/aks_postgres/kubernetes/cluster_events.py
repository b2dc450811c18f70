"""Why a Postgres cluster doesn't get ready: what its pods say, and the latest warnings about it and them."""

from __future__ import annotations

from aks_postgres.arm.responses import ArmFault, Json, clean
from aks_postgres.errors import ProvisioningError
from aks_postgres.kubernetes.client import KubernetesApi
from aks_postgres.kubernetes.pod_troubles import told, trouble_of

_MOST_WARNINGS = 3
# By what a warning says, the first that fits.
# https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/storage/fail-to-mount-azure-disk-volume
_WAYS_OUT = (
    (
        ("does not support storage account type", "does not support ultrassd", "premiumv2_lrs"),
        "Choose a postgres_pool.vm_size that has such disks, or another database.storage.storage_class",
    ),
    (
        ('-tls" not found',),
        "See that cert-manager is there and has made the Secret (kubectl get certificates -A)",
    ),
)
_QUOTA = "Raise the quota for disks, or ask for a smaller database.storage.size_gib"
WAYS_OUT_OF_WARNINGS = (*(way_out for _, way_out in _WAYS_OUT), _QUOTA)


async def cluster_troubles(api: KubernetesApi, namespace: str, cluster: str) -> str:
    """The troubles of the pods with their ways out, and the latest warnings; empty where nothing is said.

    Args:
        api: the cluster's API.
        namespace: of the database.
        cluster: name of the Cluster.
    """
    try:
        pods = await api.list_of(
            f"/api/v1/namespaces/{namespace}/pods", "Pod", labelSelector=f"cnpg.io/cluster={cluster}"
        )
        events = await api.list_of(f"/api/v1/namespaces/{namespace}/events", "Event")
    except (ArmFault, ProvisioningError):
        return ""  # What went wrong is told all the same, only without its reason.
    troubles = {trouble.reason: trouble for pod in pods or [] if (trouble := trouble_of(pod))}
    words = told(list(troubles.values()))
    warnings = latest_warnings(events or [], cluster)
    if warnings:
        words += f" Warnings: {'; '.join(warnings).rstrip('.')}."
        words += "".join(f" {way_out}." for way_out in _ways_out(warnings))
    return words.strip()


def _ways_out(warnings: list[str]) -> list[str]:
    found = []
    for text in map(str.casefold, warnings):
        if "quota" in text:
            found.append(_QUOTA)
            continue
        found += [way_out for signs, way_out in _WAYS_OUT if any(sign in text for sign in signs)][:1]
    return list(dict.fromkeys(found))


def latest_warnings(events: list[Json], cluster: str) -> list[str]:
    """The latest warnings about a Cluster, its pods and volumes, the newest first, each text once."""
    about = [
        event
        for event in events
        if event.get("type") == "Warning"
        and _is_of(str((event.get("involvedObject") or {}).get("name") or ""), cluster)
    ]
    about.sort(
        key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""), reverse=True
    )
    texts = [
        clean(
            f"{(event.get('involvedObject') or {}).get('kind')} "
            f"{(event.get('involvedObject') or {}).get('name')}: {event.get('reason')}: {event.get('message')}"
        )
        for event in about
    ]
    return list(dict.fromkeys(texts))[:_MOST_WARNINGS]


def _is_of(name: str, cluster: str) -> bool:
    return name == cluster or name.startswith(f"{cluster}-")
