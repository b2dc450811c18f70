"""Pods that never get ready, as Kubernetes shows each reason.

Where the reason stands differs: in a container's state, in a condition of the pod, in a condition of the ReplicaSet
and the Deployment (no pod is made), or only in an event (a failing probe).

- States of containers: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-states
- ImagePullBackOff: https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff
- CrashLoopBackOff: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
- OOMKilled, exit code 137: https://kubernetes.io/docs/tasks/configure-pod-container/assign-memory-resource/
- CreateContainerConfigError: https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/
- Unschedulable: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/
- FailedCreate, ReplicaFailure: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#failed-deployment,
  with a quota: https://kubernetes.io/docs/concepts/policy/resource-quotas/
- Unhealthy: https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

Json = dict[str, Any]
Troubles = Callable[[], Iterable[Json]]
"""The troubles in force: `pod`, a pattern of namespace/name, and `reason`."""

# Until a kubelet, or a controller, tries again; its pauses grow up to five minutes.
AGAIN_S = 20.0


def reason_for(troubles: Troubles, namespace: str, name: str) -> str | None:
    """What a pod of that name suffers from."""
    where = f"{namespace}/{name}"
    return next(
        (str(trouble["reason"]) for trouble in troubles() if re.search(trouble.get("pod", ""), where)), None
    )


def quota_exceeded(name: str) -> str:
    """Why no pod of a ReplicaSet is made."""
    return (
        f'pods "{name}" is forbidden: exceeded quota: compute, requested: limits.memory=200Mi, '
        "used: limits.memory=2Gi, limited: limits.memory=2Gi"
    )


def unschedulable(nodes: int) -> str:
    """Why the scheduler finds no node."""
    return (
        f"0/{nodes} nodes are available: {nodes} Insufficient memory. preemption: 0/{nodes} nodes are available: "
        f"{nodes} No preemption victims found for incoming pod."
    )


def unhealthy(container: Json) -> str:
    """What a kubelet's event says of a readiness probe."""
    probe = (container.get("readinessProbe") or {}).get("httpGet") or {}
    where = f"https://10.244.0.9:{probe.get('port', 9443)}{probe.get('path', '/readyz')}"
    return f'Readiness probe failed: Get "{where}": dial tcp 10.244.0.9:9443: connect: connection refused'


def container_status(container: Json, pod: str, reason: str, now: str) -> Json:
    """A container's status, as the kubelet writes it for that reason."""
    image = container["image"]
    status: Json = {
        "name": container["name"],
        "image": image,
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
    }
    if reason == "Unhealthy":
        return {**status, "started": True, "state": {"running": {"startedAt": now}}}
    pull = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
    backing_off = f"back-off 5m0s restarting failed container={container['name']} pod={pod}"
    messages = {
        "ErrImagePull": pull,
        "ImagePullBackOff": f'Back-off pulling image "{image}": ErrImagePull: {pull}',
        "InvalidImageName": f'Failed to apply default image tag "{image}": invalid reference format',
        "CreateContainerConfigError": 'secret "registry-settings" not found',
        "CrashLoopBackOff": backing_off,
        "OOMKilled": backing_off,
    }
    waiting = "CrashLoopBackOff" if reason == "OOMKilled" else reason
    status["state"] = {"waiting": {"reason": waiting, "message": messages[reason]}}
    if waiting == "CrashLoopBackOff":
        status["restartCount"] = 6
        code, why = (137, "OOMKilled") if reason == "OOMKilled" else (1, "Error")
        status["lastState"] = {
            "terminated": {"exitCode": code, "reason": why, "startedAt": now, "finishedAt": now}
        }
    return status
