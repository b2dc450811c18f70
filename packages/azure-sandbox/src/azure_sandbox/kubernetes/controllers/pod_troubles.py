"""Pods that never get ready, as Kubernetes shows each reason.

Where the reason stands differs: in a container's state, in a condition of the pod, in a condition of the ReplicaSet
and the Deployment (no pod is made), or only in an event (a failing probe).

- States of containers: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-states
- ImagePullBackOff: https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff
- CrashLoopBackOff: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
- OOMKilled, exit code 137: https://kubernetes.io/docs/tasks/configure-pod-container/assign-memory-resource/
- CreateContainerConfigError: https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/
- ErrImageNeverPull, ImageInspectError: pkg/kubelet/images/types.go of https://github.com/kubernetes/kubernetes
- CreateContainerError: pkg/kubelet/kuberuntime/kuberuntime_container.go there
- RunContainerError, soon a CrashLoopBackOff after StartError with exit code 128:
  https://github.com/argoproj/argo-workflows/issues/11212
- Evicted, with its container's ContainerStatusUnknown: keps/sig-apps/3329-retriable-and-non-retriable-failures of
  https://github.com/kubernetes/enhancements; the ReplicaSet makes another pod, which the node's taint keeps away:
  https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
- FailedCreatePodSandBox: https://github.com/Azure/AKS/issues/4342
- Unschedulable: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/
- FailedCreate, ReplicaFailure: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#failed-deployment,
  with a quota: https://kubernetes.io/docs/concepts/policy/resource-quotas/, refused by a policy:
  https://github.com/open-policy-agent/gatekeeper/issues/2578
- FailedAttachVolume, FailedMount:
  https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/storage/fail-to-mount-azure-disk-volume
- Unhealthy: https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from azure_sandbox.kubernetes.conditions import condition

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


def message_for(troubles: Troubles, namespace: str, name: str) -> str:
    """What is said of it, where that isn't the reason's usual text."""
    where = f"{namespace}/{name}"
    found = (trouble for trouble in troubles() if re.search(trouble.get("pod", ""), where))
    return str(next(found, {}).get("message", ""))


# Until a container is made, the pod only waits, and an event says why.
ONLY_EVENTS = {
    "FailedAttachVolume": 'AttachVolume.Attach failed for volume "pvc-1" : rpc error: code = Internal',
    "FailedMount": 'MountVolume.SetUp failed for volume "data" : secret "missing" not found',
    "FailedCreatePodSandBox": (
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "
        "'3e16c561e9d5': plugin type='azure-vnet' failed (add): IPAM Invoker Add failed with error: Failed to get IP "
        "address from CNS with error: http request failed: Post 'http://localhost:10090/network/requestipconfig': dial "
        "tcp 127.0.0.1:10090: connect: connection refused"
    ),
}
# How a container ended that is started again and again: exit code, reason, and what the runtime said.
_ENDS = {
    "CrashLoopBackOff": (1, "Error", ""),
    "OOMKilled": (137, "OOMKilled", ""),
    "RunContainerError": (
        128,
        "StartError",
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
        'unable to start container process: exec: "/manager": stat /manager: no such file or directory: unknown',
    ),
}
EVICTED = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 52Mi."


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


def untolerated(nodes: int) -> str:
    """Why the scheduler finds no node for the pod that is made in place of an evicted one."""
    return f"0/{nodes} nodes are available: {nodes} node(s) had untolerated taint(s)."


def unhealthy(container: Json) -> str:
    """What a kubelet's event says of a readiness probe."""
    probe = (container.get("readinessProbe") or {}).get("httpGet") or {}
    where = f"https://10.244.0.9:{probe.get('port', 9443)}{probe.get('path', '/readyz')}"
    return f'Readiness probe failed: Get "{where}": dial tcp 10.244.0.9:9443: connect: connection refused'


def struggling(pod: Json, reason: str, message: str, now: str) -> Json:
    """A pod's status, as the kubelet writes it for that reason."""
    metadata, containers = pod["metadata"], pod["spec"]["containers"]
    where = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
    before = pod.get("status") or {}
    since = before.get("startTime", now)
    if reason == "Evicted":
        return _evicted(pod, message, since, now)
    lacking = f"containers with unready status: [{' '.join(item['name'] for item in containers)}]"
    return {
        "phase": "Running" if reason in (*_ENDS, "Unhealthy") else "Pending",
        "conditions": [
            condition("Initialized", "True", "", "", now, before),
            condition("Ready", "False", "ContainersNotReady", lacking, now, before),
            condition("ContainersReady", "False", "ContainersNotReady", lacking, now, before),
            condition("PodScheduled", "True", "", "", now, before),
        ],
        "startTime": since,
        "qosClass": "BestEffort",
        "containerStatuses": [container_status(item, where, reason, since, message) for item in containers],
    }


def _evicted(pod: Json, message: str, since: str, now: str) -> Json:
    before = pod.get("status") or {}
    terminated = {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None, "finishedAt": None}
    text = "The container could not be located when the pod was terminated"
    ended = {"ready": False, "started": False, "restartCount": 0, "imageID": ""}
    return {
        "phase": "Failed",
        "reason": "Evicted",
        "message": message or EVICTED,
        "conditions": [
            condition("DisruptionTarget", "True", "TerminationByKubelet", message or EVICTED, now, before),
            condition("Ready", "False", "PodFailed", "", now, before),
            condition("ContainersReady", "False", "PodFailed", "", now, before),
            condition("PodScheduled", "True", "", "", now, before),
        ],
        "startTime": since,
        "qosClass": "BestEffort",
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                **ended,
                "state": {"terminated": {**terminated, "message": text}},
            }
            for container in pod["spec"]["containers"]
        ],
    }


def warning(pod: Json, reason: str, message: str, now: str) -> Json:
    """The event that a kubelet or a volume's controller writes about a pod."""
    metadata = pod["metadata"]
    about = {key: metadata[key] for key in ("name", "namespace", "uid")}
    return {
        "metadata": {"name": f"{metadata['name']}.{metadata['uid'][:8]}", "namespace": metadata["namespace"]},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", **about},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "source": {"component": "kubelet"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def said(pod: Json, reason: str, message: str) -> str:
    """What an event says of a pod's trouble; empty where its status says everything."""
    if reason == "Unhealthy":
        return message or unhealthy(pod["spec"]["containers"][0])
    return message or ONLY_EVENTS[reason] if reason in ONLY_EVENTS else ""


def container_status(container: Json, pod: str, reason: str, now: str, message: str = "") -> Json:
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
    if reason in ONLY_EVENTS:
        return {**status, "state": {"waiting": {"reason": "ContainerCreating"}}}
    pull = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
    backing_off = f"back-off 5m0s restarting failed container={container['name']} pod={pod}"
    messages = {
        "ErrImagePull": pull,
        "ImagePullBackOff": f'Back-off pulling image "{image}": ErrImagePull: {pull}',
        "InvalidImageName": f'Failed to apply default image tag "{image}": invalid reference format',
        "CreateContainerConfigError": 'secret "registry-settings" not found',
        "CrashLoopBackOff": backing_off,
        "OOMKilled": backing_off,
        "RunContainerError": backing_off,
        "ErrImageNeverPull": f'Container image "{image}" is not present with pull policy of Never',
        "ImageInspectError": f'Failed to inspect image "{image}": rpc error: code = DeadlineExceeded desc = context '
        "deadline exceeded",
        "CreateContainerError": "context deadline exceeded",
    }
    waiting = "CrashLoopBackOff" if reason in _ENDS else reason
    status["state"] = {"waiting": {"reason": waiting, "message": message or messages[reason]}}
    if waiting == "CrashLoopBackOff":
        status["restartCount"] = 6
        code, why, said = _ENDS[reason]
        ended = {"exitCode": code, "reason": why, "startedAt": now, "finishedAt": now}
        status["lastState"] = {"terminated": {**ended, "message": said} if said else ended}
    return status
