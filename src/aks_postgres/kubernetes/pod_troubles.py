"""Why the pods of a Deployment or DaemonSet aren't ready: Kubernetes' words, and the way out for each reason.

Kubernetes says it in four places: a container's state or its last end, a condition of the pod, a condition of the
Deployment (where no pod could be made), or only an event.
https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aks_postgres.arm.responses import ArmFault, Json, clean
from aks_postgres.errors import ProvisioningError
from aks_postgres.kubernetes.client import KubernetesApi

_REFUSED, _NO_ACCOUNT = "FailedCreate, refused", "FailedCreate, no service account"
_PULL = (
    "Nodes can't pull the image: see that it exists, and that the cluster's outbound traffic (firewall, NAT, private "
    "registry) reaches its registry"
)
_ELSEWHERE = (
    "kubectl cordon that node, then kubectl -n {namespace} delete pod {pod}, so that another node tries; uncordon it "
    "later"
)
WAYS_OUT = {
    "ErrImagePull": _PULL,
    "ImagePullBackOff": _PULL,
    "InvalidImageName": "Mend the image's name in the manifest, or in operator.chart_values",
    "CreateContainerConfigError": "Make the ConfigMap or Secret that is named, or take it out of the manifest or chart",
    "ErrImageNeverPull": (
        "Nodes of AKS have no images but those they pull: set the container's imagePullPolicy to IfNotPresent in the "
        "manifest, or image.pullPolicy in operator.chart_values"
    ),
    "ImageInspectError": "Its node can't read the image: " + _ELSEWHERE,
    "CreateContainerError": (
        "Mend what is named of the container (command, user, mounts) in the manifest or chart. Where nothing is named, "
        "it is its node's: " + _ELSEWHERE
    ),
    "RunContainerError": (
        "Its command can't be started: mend command or image in the manifest, or in operator.chart_values; an image "
        "for other processors than the node's can't either"
    ),
    "CrashLoopBackOff": "Read why it ends: kubectl -n {namespace} logs {pod} --previous",
    "OOMKilled": (
        "It needs more memory than its limit: raise resources.limits.memory in operator.chart_values or in the manifest"
    ),
    "Unschedulable": (
        "Give the pools nodes that it fits on (max_count, vm_size), or take away the taint or quota in the way"
    ),
    "FailedCreate": "Raise or delete what forbids it: kubectl -n {namespace} get resourcequota,limitrange",
    _REFUSED: "A policy in the cluster refuses its pods: ask whoever owns it to exempt namespace {namespace}",
    _NO_ACCOUNT: "Make the service account that is named; provision makes the operator's anew",
    # https://learn.microsoft.com/azure/aks/azure-cni-overlay
    "FailedCreatePodSandBox": (
        "Its node gives pods no network: see that azure-cns and cilium run there (kubectl -n kube-system get pods -o "
        "wide). Where they don't, " + _ELSEWHERE
    ),
    # https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/storage/fail-to-mount-azure-disk-volume
    "FailedAttachVolume": (
        "If the disk is still at another node, AKS detaches it within six minutes; where that node is gone, delete its "
        "Pods. Else choose a vm_size or a storage class that has such disks"
    ),
    "FailedMount": (
        "Make the Secret, ConfigMap or volume that is named; certificates are cert-manager's to make "
        "(kubectl get certificates -A)"
    ),
    "Evicted": "The node had too little memory or disk: choose a larger vm_size",
    "Unhealthy": "It runs and doesn't get ready; read why: kubectl -n {namespace} logs {pod}",
}
# Of FailedCreate, by words of its message.
_CAUSES = {
    _REFUSED: ("denied the request", "denied request", "violates podsecurity"),
    _NO_ACCOUNT: ("error looking up service account",),
}
# A container that never began has no log; what its runtime said is where another's end is.
_NEVER_BEGAN = ("StartError", "ContainerCannotRun")
# Until a container is started; no trouble by itself, but an event may tell what holds it up.
_STARTING = ("ContainerCreating", "PodInitializing")


@dataclass(frozen=True)
class Trouble:
    """What keeps a pod, or all of a workload's, from being ready."""

    namespace: str
    pod: str
    reason: str
    words: str

    @property
    def way_out(self) -> str:
        """What a person can do."""
        said = self.words.casefold()
        causes = _CAUSES.items() if self.reason == "FailedCreate" else ()
        cause = next((cause for cause, words in causes if any(word in said for word in words)), self.reason)
        advice = WAYS_OUT.get(cause, "Read kubectl -n {namespace} describe pod {pod}")
        return advice.format(namespace=self.namespace, pod=self.pod)

    def __str__(self) -> str:
        return f"pod {self.namespace}/{self.pod}: {self.reason}: {self.words}"


def trouble_of(pod: Json) -> Trouble | None:
    """Return what a pod says of itself; None where it is ready, or only starting."""
    status = pod.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or []}
    if conditions.get("Ready", {}).get("status") == "True" or pod["metadata"].get("deletionTimestamp"):
        return None
    name, namespace = pod["metadata"]["name"], pod["metadata"].get("namespace", "default")
    if status.get("phase") == "Failed" and status.get(
        "reason"
    ):  # what its containers say is only that they ended
        return Trouble(
            namespace, name, clean(str(status["reason"])), clean(str(status.get("message") or "no message"))
        )
    for container, state in _states(status):
        ended = _part(container, "lastState", "terminated")
        if ended.get("reason") == "OOMKilled" or state.get("reason") == "OOMKilled":
            words = f"container {container.get('name')} was killed for its memory (exit code 137)"
            return Trouble(namespace, name, "OOMKilled", clean(words))
        if ended.get("reason") in _NEVER_BEGAN:
            words = f"container {container.get('name')}: {ended.get('message') or 'no message'}"
            return Trouble(namespace, name, "RunContainerError", clean(words))
        reason = state.get("reason")
        if reason and reason not in _STARTING:
            words = f"container {container.get('name')}: {state.get('message') or 'no message'}"
            if ended:
                words += f"; it ended with exit code {ended.get('exitCode')} ({ended.get('reason')})"
            return Trouble(namespace, name, clean(str(reason)), clean(words))
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        reason = clean(str(scheduled.get("reason") or "Unschedulable"))
        return Trouble(namespace, name, reason, clean(str(scheduled.get("message") or "no message")))
    if status.get("phase") == "Failed":
        return Trouble(namespace, name, "Failed", clean(str(status.get("message") or "no message")))
    return None


def _states(status: Json) -> Iterator[tuple[Json, Json]]:
    """Each container that isn't ready, with its waiting or ended state."""
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or []:
            if isinstance(container, dict) and not container.get("ready"):
                yield (
                    container,
                    _part(container, "state", "waiting") or _part(container, "state", "terminated"),
                )


def _part(container: Json, which: str, key: str) -> Json:
    state = container.get(which)
    found: Any = state.get(key) if isinstance(state, dict) else None
    return found if isinstance(found, dict) else {}


async def troubles_of(api: KubernetesApi, workload: Json) -> list[Trouble]:
    """What keeps a Deployment's or a DaemonSet's pods from being ready, once for each reason; empty if it isn't said.

    Args:
        api: the cluster's API.
        workload: as the API shows it.
    """
    namespace, name = workload["metadata"]["namespace"], workload["metadata"]["name"]
    for condition in (workload.get("status") or {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            reason = clean(str(condition.get("reason") or "FailedCreate"))
            words = clean(str(condition.get("message") or "no message"))
            return [Trouble(namespace, f"{name}-...", reason, words)]
    labels = (((workload.get("spec") or {}).get("selector") or {}).get("matchLabels")) or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    try:
        pods = await api.list_of(f"/api/v1/namespaces/{namespace}/pods", "Pod", labelSelector=selector) or []
        found = [trouble for pod in pods if (trouble := trouble_of(pod))]
        if not found:
            found = await _from_events(api, namespace, [pod for pod in pods if not _is_ready(pod)])
    except (ArmFault, ProvisioningError):
        return []  # What went wrong is told all the same, only without its reason.
    return list({trouble.reason: trouble for trouble in reversed(found)}.values())


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


async def _from_events(api: KubernetesApi, namespace: str, pods: list[Json]) -> list[Trouble]:
    """The latest warning about each of these pods: a failing probe or mount is said nowhere else."""
    names = {pod["metadata"]["name"] for pod in pods}
    if not names:
        return []
    events = await api.list_of(f"/api/v1/namespaces/{namespace}/events", "Event") or []
    warnings = [event for event in events if event.get("type") == "Warning"]
    warnings.sort(key=lambda event: str(event.get("lastTimestamp") or ""))
    return [
        Trouble(namespace, pod, clean(str(event.get("reason"))), clean(str(event.get("message"))))
        for event in warnings
        if (pod := str((event.get("involvedObject") or {}).get("name"))) in names
    ]


def told(troubles: list[Trouble]) -> str:
    """The troubles and their ways out, as one sentence after another."""
    return " ".join(f"{trouble}. {trouble.way_out}." for trouble in troubles)
