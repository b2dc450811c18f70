"""Deployments and ReplicaSets: as many pods as wanted, and a status that says so.

A rollout starts all new pods at once and ends the old ones when the new are ready; `maxSurge` and
`maxUnavailable` don't slow it down. https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
"""

import hashlib
import json
from functools import partial
from typing import Any

from azure_sandbox.kubernetes.conditions import condition, is_true
from azure_sandbox.kubernetes.controllers import pod_troubles
from azure_sandbox.kubernetes.controllers.life import Controller, owner_of, owner_reference
from azure_sandbox.kubernetes.store import Event
from azure_sandbox.kubernetes.values import copied

Json = dict[str, Any]

DEPLOYMENTS = "deployments.apps"
REPLICA_SETS = "replicasets.apps"
REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"
REACT_S = 0.1


class Deployments(Controller):
    """Keeps one ReplicaSet up for each Deployment."""

    def on_change(self, event: Event) -> None:
        """See to a Deployment when it, or a ReplicaSet of it, changes."""
        metadata = event.obj["metadata"]
        if event.key == DEPLOYMENTS and event.change != "DELETED":
            self._soon(metadata["namespace"], metadata["name"])
        elif event.key == REPLICA_SETS:
            owner = owner_of(event.obj, "Deployment")
            if owner:
                self._soon(metadata["namespace"], owner)

    def _soon(self, namespace: str, name: str, delay_s: float = REACT_S) -> None:
        self.life.after(delay_s, partial(self._reconcile, namespace, name), "deployment", namespace, name)

    def _reconcile(self, namespace: str, name: str) -> None:
        deployment = self.store.get(DEPLOYMENTS, namespace, name)
        if deployment is None or deployment["metadata"].get("deletionTimestamp"):
            return
        sets = self.owned(REPLICA_SETS, deployment)
        digest = _digest(deployment["spec"]["template"])
        current = next((item for item in sets if item["metadata"]["labels"].get(HASH) == digest), None)
        wanted = deployment["spec"].get("replicas", 1)
        if not deployment["spec"].get("paused"):
            old = [item for item in sets if item is not current]
            recreate = deployment["spec"].get("strategy", {}).get("type") == "Recreate"
            if current is None and not (recreate and any(_pods(item) for item in old)):
                current = self._make_set(deployment, digest, sets)
            elif current is not None:
                self._scale(current, wanted)
                self._mark(current, deployment, old)
            ready = current is not None and current.get("status", {}).get("readyReplicas", 0) >= wanted
            if ready or recreate:
                for item in old:
                    self._scale(item, 0)
        self._report(namespace, name, digest)

    def _make_set(self, deployment: Json, digest: str, sets: list[Json]) -> Json | None:
        metadata = deployment["metadata"]
        template = copied(deployment["spec"]["template"])
        labels = {**(template.get("metadata", {}).get("labels") or {}), HASH: digest}
        template.setdefault("metadata", {})["labels"] = labels
        selector = copied(deployment["spec"]["selector"])
        selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH: digest}
        revision = 1 + max((int(item["metadata"]["annotations"][REVISION]) for item in sets), default=0)
        self._set_revision(deployment, revision)
        obj = {
            "metadata": {
                "name": f"{metadata['name']}-{digest}",
                "namespace": metadata["namespace"],
                "labels": labels,
                "annotations": {REVISION: str(revision)},
                "ownerReferences": [owner_reference(deployment)],
            },
            "spec": {
                "replicas": deployment["spec"].get("replicas", 1),
                "selector": selector,
                "template": template,
            },
        }
        return self.make(REPLICA_SETS, obj)

    def _mark(self, current: Json, deployment: Json, old: list[Json]) -> None:
        """A template that is back from an earlier revision becomes the newest again."""
        newest = max((int(item["metadata"]["annotations"][REVISION]) for item in old), default=0)
        revision = int(current["metadata"]["annotations"][REVISION])
        if revision < newest:
            revision = newest + 1

            def change(obj: Json) -> None:
                obj["metadata"]["annotations"][REVISION] = str(revision)

            metadata = current["metadata"]
            self.objects.write(
                REPLICA_SETS, metadata["namespace"], metadata["name"], change, "kube-controller-manager"
            )
        self._set_revision(deployment, revision)

    def _set_revision(self, deployment: Json, revision: int) -> None:
        def change(obj: Json) -> None:
            annotations = obj["metadata"].get("annotations") or {}
            obj["metadata"]["annotations"] = {**annotations, REVISION: str(revision)}

        metadata = deployment["metadata"]
        self.objects.write(
            DEPLOYMENTS, metadata["namespace"], metadata["name"], change, "kube-controller-manager"
        )

    def _scale(self, replica_set: Json, replicas: int) -> None:
        def change(obj: Json) -> None:
            obj["spec"]["replicas"] = replicas

        metadata = replica_set["metadata"]
        self.objects.write(
            REPLICA_SETS, metadata["namespace"], metadata["name"], change, "kube-controller-manager"
        )

    def _report(self, namespace: str, name: str, digest: str) -> None:
        deployment = self.store.get(DEPLOYMENTS, namespace, name)
        if deployment is None:
            return
        sets = self.owned(REPLICA_SETS, deployment)
        current = next((item for item in sets if item["metadata"]["labels"].get(HASH) == digest), None)
        wanted = deployment["spec"].get("replicas", 1)
        before, now = deployment.get("status") or {}, self.objects.now()
        total = sum(_pods(item) for item in sets)
        ready = sum(item.get("status", {}).get("readyReplicas", 0) for item in sets)
        updated = _pods(current) if current else 0
        updated_ready = (current or {}).get("status", {}).get("readyReplicas", 0)
        done = updated_ready >= wanted and total == updated == wanted
        status: Json = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": total,
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(wanted - ready, 0),
        }
        status = {key: value for key, value in status.items() if value}
        available = (
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
            if ready >= _least_available(deployment)
            else ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        )
        status["conditions"] = [
            condition("Available", *available, now, before),
            self._progress(deployment, current, done, before, now),
            *((current or {}).get("status", {}).get("conditions") or []),
        ]
        for item in status["conditions"]:
            item.setdefault("lastUpdateTime", item["lastTransitionTime"])
        self.set_status(DEPLOYMENTS, deployment, status)

    def _progress(self, deployment: Json, current: Json | None, done: bool, before: Json, now: str) -> Json:
        metadata = deployment["metadata"]
        name = current["metadata"]["name"] if current else ""
        if done:
            text = f'ReplicaSet "{name}" has successfully progressed.'
            return condition("Progressing", "True", "NewReplicaSetAvailable", text, now, before)
        deadline_s = deployment["spec"].get("progressDeadlineSeconds", 600)
        key = f"{metadata['uid']}/{metadata['generation']}/{name}"
        started_s = self._started.setdefault(key, self.life.clock.now_s())
        left_s = started_s + deadline_s - self.life.clock.now_s()
        if left_s <= 0:
            text = f'ReplicaSet "{name}" has timed out progressing.'
            return condition("Progressing", "False", "ProgressDeadlineExceeded", text, now, before)
        at = (metadata["namespace"], metadata["name"])
        self.life.after(left_s, partial(self._reconcile, *at), "deadline", *at)
        text = f'ReplicaSet "{name}" is progressing.'
        return condition("Progressing", "True", "ReplicaSetUpdated", text, now, before)

    @property
    def _started(self) -> dict[str, float]:
        found: dict[str, float] = self.__dict__.setdefault("_started_s", {})
        return found


class ReplicaSets(Controller):
    """Keeps as many pods as a ReplicaSet wants."""

    def on_change(self, event: Event) -> None:
        """See to a ReplicaSet when it, or a pod of it, changes."""
        metadata = event.obj["metadata"]
        if event.key == REPLICA_SETS and event.change != "DELETED":
            self._soon(metadata["namespace"], metadata["name"])
        elif event.key == "pods":
            owner = owner_of(event.obj, "ReplicaSet")
            if owner:
                self._soon(metadata["namespace"], owner)

    def _soon(self, namespace: str, name: str) -> None:
        self.life.after(REACT_S, partial(self._reconcile, namespace, name), "replicaset", namespace, name)

    def _reconcile(self, namespace: str, name: str) -> None:
        replica_set = self.store.get(REPLICA_SETS, namespace, name)
        if replica_set is None or replica_set["metadata"].get("deletionTimestamp"):
            return
        pods = [
            pod for pod in self.owned("pods", replica_set) if not pod["metadata"].get("deletionTimestamp")
        ]
        wanted = replica_set["spec"].get("replicas", 1)
        # One that ended, as an evicted one, stays and is replaced.
        active = [pod for pod in pods if pod.get("status", {}).get("phase") != "Failed"]
        refused = pod_troubles.reason_for(self.life.troubles, namespace, f"{name}-") == "FailedCreate"
        if refused and len(active) < wanted:
            at = (namespace, name)
            self.life.after(pod_troubles.AGAIN_S, partial(self._reconcile, *at), "replicaset", *at)
        else:
            for _ in range(wanted - len(active)):
                self.make("pods", pod_of(replica_set, f"{name}-"))
        # The youngest that aren't ready go first.
        doomed = sorted(active, key=lambda pod: (is_true(pod, "Ready"), pod["metadata"]["name"]))
        for pod in doomed[: max(len(active) - wanted, 0)]:
            self.remove("pods", pod)
        left = [
            pod
            for pod in self.owned("pods", replica_set)
            if not pod["metadata"].get("deletionTimestamp") and pod.get("status", {}).get("phase") != "Failed"
        ]
        ready = sum(is_true(pod, "Ready") for pod in left)
        status: Json = {
            "replicas": len(left),
            "fullyLabeledReplicas": len(left),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "observedGeneration": replica_set["metadata"]["generation"],
        }
        status = {key: value for key, value in status.items() if value or key == "replicas"}
        if refused and len(left) < wanted:
            before = replica_set.get("status") or {}
            said = pod_troubles.message_for(self.life.troubles, namespace, f"{name}-")
            text = said or pod_troubles.quota_exceeded(f"{name}-{replica_set['metadata']['uid'][:5]}")
            failure = condition("ReplicaFailure", "True", "FailedCreate", text, self.objects.now(), before)
            status["conditions"] = [failure]
        self.set_status(REPLICA_SETS, replica_set, status)


def pod_of(owner: Json, prefix: str) -> Json:
    """A pod made from its owner's template."""
    template = copied(owner["spec"]["template"])
    metadata = template.get("metadata") or {}
    return {
        "metadata": {
            "generateName": prefix,
            "namespace": owner["metadata"]["namespace"],
            "labels": metadata.get("labels") or {},
            "annotations": metadata.get("annotations") or {},
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": template["spec"],
    }


def _digest(template: Json) -> str:
    text = json.dumps(template, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _pods(replica_set: Json) -> int:
    count: int = replica_set.get("status", {}).get("replicas", 0)
    return count


def _least_available(deployment: Json) -> int:
    wanted: int = deployment["spec"].get("replicas", 1)
    strategy = deployment["spec"].get("strategy", {})
    if strategy.get("type") == "Recreate":
        return wanted
    allowed = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%")
    if isinstance(allowed, str):
        allowed = wanted * int(allowed.rstrip("%")) // 100
    return max(wanted - int(allowed), 0)
