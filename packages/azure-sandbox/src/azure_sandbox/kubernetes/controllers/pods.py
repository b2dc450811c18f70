"""Pods: scheduled on nodes that fit, then started by a kubelet, and ended by it.

Nothing runs: a container becomes ready after a while, whatever its image, unless it is told to be in trouble
(`pod_troubles.py`).
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from functools import partial
from typing import Any

from azure_sandbox.kubernetes.conditions import condition, is_true
from azure_sandbox.kubernetes.controllers import cnpg_operator, pod_troubles, spreading
from azure_sandbox.kubernetes.controllers.life import KUBELET, SCHEDULER, Controller, Life, owner_of
from azure_sandbox.kubernetes.selectors import matches_expression
from azure_sandbox.kubernetes.store import Event

Json = dict[str, Any]

SCHEDULE_S = 0.2
START_S = (5.0, 14.0)
"""Pulling the image, starting, passing the readiness probe. Unverified: an image of some 100 MB."""
END_S = (0.5, 2.0)
MOUNT_AGAIN_S = 2.0
"""Until a kubelet tries again to mount; its pauses grow up to two minutes."""


class Pods(Controller):
    """Scheduler and kubelets."""

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        self._address = self.store.revision

    def on_change(self, event: Event) -> None:
        """See to new and ending pods, and to waiting ones when nodes change."""
        metadata = event.obj["metadata"]
        if event.key == "nodes" and event.change != "DELETED":
            self.life.after(SCHEDULE_S, self._retry, "schedule-waiting")
        if event.key != "pods" or event.change == "DELETED":
            return
        at = (metadata["namespace"], metadata["name"])
        if _is_instance(event.obj):  # The PostgreSQL stand-in is its kubelet.
            if event.change == "ADDED":
                self.life.after(SCHEDULE_S, partial(self._schedule, *at), "schedule", *at)
            return
        if metadata.get("deletionTimestamp"):
            grace_s = float(metadata.get("deletionGracePeriodSeconds", 0))
            delay_s = min(grace_s, self.life.between(*END_S, "end", *at))
            self.life.after(delay_s, partial(self._end, *at), "end", *at, metadata["uid"])
        elif not event.obj["spec"].get("nodeName"):
            if event.change == "ADDED":
                self.life.after(SCHEDULE_S, partial(self._schedule, *at), "schedule", *at)
        elif not is_true(event.obj, "Ready") and not _has_failed(event.obj):
            delay_s = self.life.between(*START_S, "start", *at)
            self.life.after(delay_s, partial(self._start, *at), "start", *at)

    def _retry(self) -> None:
        for pod in self.store.all("pods"):
            at = (pod["metadata"]["namespace"], pod["metadata"]["name"])
            if not pod["spec"].get("nodeName"):
                self._schedule(*at)
            elif not is_true(pod, "Ready") and not _is_instance(pod):
                delay_s = self.life.between(*START_S, "start", *at)
                self.life.after(delay_s, partial(self._start, *at), "start", *at)

    def _schedule(self, namespace: str, name: str) -> None:
        pod = self.store.get("pods", namespace, name)
        if pod is None or pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp"):
            return
        nodes = self.store.all("nodes")
        allowed = [node for node in nodes if not misfit(pod["spec"], node)]
        fitting = [node for node in allowed if not spreading.why_not(pod, node, allowed, self.store)]
        now, before = self.objects.now(), pod.get("status")
        trouble = self._trouble(pod)
        replaces = trouble == "Evicted" and any(map(_has_failed, self._beside(pod)))
        refused = trouble == "Unschedulable" or replaces
        if refused:
            self.life.after(
                pod_troubles.AGAIN_S, partial(self._schedule, namespace, name), "schedule", namespace, name
            )
        if refused or not fitting:
            text = (
                pod_troubles.message_for(self.life.troubles, namespace, name)
                or pod_troubles.unschedulable(len(nodes))
                if refused and not replaces
                else pod_troubles.untolerated(len(nodes))
                if replaces
                else self._unschedulable(pod, nodes, allowed)
            )
            waiting = condition("PodScheduled", "False", "Unschedulable", text, now, before)
            self.set_status("pods", pod, {"phase": "Pending", "conditions": [waiting]}, SCHEDULER)
            return
        load = {node["metadata"]["name"]: 0 for node in fitting}
        for other in self.store.all("pods"):
            if other["spec"].get("nodeName") in load:
                load[other["spec"]["nodeName"]] += 1
        apart = {node["metadata"]["name"]: spreading.penalty(pod, node, self.store) for node in fitting}
        chosen = min(sorted(load), key=lambda node: (apart[node], load[node]))
        self._bind(pod, chosen)

    def _unschedulable(self, pod: Json, nodes: list[Json], allowed: list[Json]) -> str:
        if not nodes:
            return "no nodes available to schedule pods"
        reasons: dict[str, int] = {}
        for node in nodes:
            why = misfit(pod["spec"], node) or spreading.why_not(pod, node, allowed, self.store) or ""
            reasons[why] = reasons.get(why, 0) + 1
        listed = ", ".join(f"{count} {why}" for why, count in sorted(reasons.items()))
        return f"0/{len(nodes)} nodes are available: {listed}."

    def _bind(self, pod: Json, node: str) -> None:
        metadata = pod["metadata"]
        bound = {**pod, "spec": {**pod["spec"], "nodeName": node}}
        now = self.objects.now()
        scheduled = condition("PodScheduled", "True", "", "", now, pod.get("status"))
        bound["status"] = {"phase": "Pending", "conditions": [scheduled]}
        del metadata
        self.store.put("pods", bound)

    def _start(self, namespace: str, name: str) -> None:
        pod = self.store.get("pods", namespace, name)
        if (
            pod is None
            or is_true(pod, "Ready")
            or pod["metadata"].get("deletionTimestamp")
            or _has_failed(pod)
        ):
            return
        node = self.store.get("nodes", "", pod["spec"].get("nodeName", ""))
        if node is None or not is_true(node, "Ready"):
            return  # Tried again when the node changes.
        if reason := self._trouble(pod):
            self._struggle(pod, reason)
            if reason == "Evicted":
                return  # It stays so.
            self.life.after(
                pod_troubles.AGAIN_S, partial(self._start, namespace, name), "start", namespace, name
            )
            return
        if missing := self._missing_secret(pod):
            self._wait_for_secret(pod, *missing)
            return
        self._address += 1
        now, before = self.objects.now(), pod.get("status")
        address = f"10.244.{self._address // 250}.{self._address % 250 + 1}"
        addresses = node.get("status", {}).get("addresses") or []
        host = next((item["address"] for item in addresses if item["type"] == "InternalIP"), "")
        status = {
            "phase": "Running",
            "conditions": [
                condition(kind, "True", "", "", now, before)
                for kind in (
                    "PodReadyToStartContainers",
                    "Initialized",
                    "Ready",
                    "ContainersReady",
                    "PodScheduled",
                )
            ],
            "hostIP": host,
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": now,
            "qosClass": "BestEffort",
            "containerStatuses": [_running(item, now) for item in pod["spec"]["containers"]],
        }
        self.set_status("pods", pod, status, KUBELET)

    def _trouble(self, pod: Json) -> str | None:
        metadata = pod["metadata"]
        if reason := pod_troubles.reason_for(self.life.troubles, metadata["namespace"], metadata["name"]):
            return reason
        return "CrashLoopBackOff" if cnpg_operator.lacks_definitions(self.store, pod) else None

    def _beside(self, pod: Json) -> list[Json]:
        """The other pods of its ReplicaSet."""
        owner = owner_of(pod, "ReplicaSet")
        return [other for other in self.store.all("pods") if owner and owner_of(other, "ReplicaSet") == owner]

    def _missing_secret(self, pod: Json) -> tuple[str, str] | None:
        """A volume and its Secret that isn't there, which keeps containers from being created."""
        for volume in pod["spec"].get("volumes") or []:
            secret = volume.get("secret") or {}
            name = str(secret.get("secretName", ""))
            needed = name and not secret.get("optional")
            if needed and self.store.get("secrets", pod["metadata"]["namespace"], name) is None:
                return volume["name"], name
        return None

    def _wait_for_secret(self, pod: Json, volume: str, secret: str) -> None:
        metadata, now = pod["metadata"], self.objects.now()
        at = (metadata["namespace"], metadata["name"])
        before = pod.get("status") or {}
        status = {
            **before,
            "phase": "Pending",
            "startTime": before.get("startTime", now),
            "containerStatuses": waiting_containers(pod, {"reason": "ContainerCreating"}),
        }
        self.set_status("pods", pod, status, KUBELET)
        text = f'MountVolume.SetUp failed for volume "{volume}" : secret "{secret}" not found'
        self._warn(pod, "FailedMount", text)
        self.life.after(MOUNT_AGAIN_S, partial(self._start, *at), "start", *at)

    def _struggle(self, pod: Json, reason: str) -> None:
        metadata, now = pod["metadata"], self.objects.now()
        text = pod_troubles.message_for(self.life.troubles, metadata["namespace"], metadata["name"])
        self.set_status("pods", pod, pod_troubles.struggling(pod, reason, text, now), KUBELET)
        if event := pod_troubles.said(pod, reason, text):
            self._warn(pod, reason, event)

    def _warn(self, pod: Json, reason: str, message: str) -> None:
        self.make("events", pod_troubles.warning(pod, reason, message, self.objects.now()), KUBELET)

    def _end(self, namespace: str, name: str) -> None:
        pod = self.store.get("pods", namespace, name)
        if (
            pod is not None
            and pod["metadata"].get("deletionTimestamp")
            and not pod["metadata"].get("finalizers")
        ):
            self.store.remove("pods", namespace, name)


def _has_failed(pod: Json) -> bool:
    """Whether a pod has ended for good."""
    return bool(pod.get("status", {}).get("phase") == "Failed")


def _is_instance(pod: Json) -> bool:
    """Whether a pod is an instance of a Cluster of CloudNativePG's."""
    return owner_of(pod, "Cluster") is not None and "cnpg.io/podRole" in (pod["metadata"].get("labels") or {})


def _running(container: Json, now: str) -> Json:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": container["image"],
        "containerID": "",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": now}},
    }


def misfit(spec: Json, node: Json, *, daemon: bool = False) -> str | None:
    """Why a pod can't go on a node, in the scheduler's words; None when it can.

    Args:
        spec: of the pod.
        node: the node.
        daemon: tolerate what every pod of a DaemonSet tolerates.
    """
    labels = node["metadata"].get("labels") or {}
    if node["spec"].get("unschedulable") and not daemon:
        return "node(s) were unschedulable"
    for taint in node["spec"].get("taints") or []:
        if taint["effect"] == "PreferNoSchedule" or (
            daemon and taint["key"].startswith("node.kubernetes.io/")
        ):
            continue
        if not any(_tolerates(item, taint) for item in spec.get("tolerations") or []):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return "node(s) didn't match Pod's node affinity/selector"
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required and not any(_term_matches(term, node) for term in required.get("nodeSelectorTerms") or []):
        return "node(s) didn't match Pod's node affinity/selector"
    return None


def _tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return bool(
        toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", "")
    )


def _term_matches(term: Json, node: Json) -> bool:
    labels = node["metadata"].get("labels") or {}
    fields = {"metadata.name": node["metadata"]["name"]}
    return all(matches_expression(item, labels) for item in term.get("matchExpressions") or []) and all(
        matches_expression(item, fields) for item in term.get("matchFields") or []
    )


def waiting_containers(pod: Json, why: Json) -> list[Json]:
    """Statuses of a Pod's containers that all wait for the same."""
    return [
        {
            "name": item["name"],
            "image": item["image"],
            "imageID": "",
            "ready": False,
            "started": False,
            "restartCount": 0,
            "state": {"waiting": why},
        }
        for item in pod["spec"]["containers"]
    ]
