"""DaemonSets: one pod on every node that fits.

https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/
"""

import hashlib
import json
from functools import partial
from typing import Any

from azure_sandbox.kubernetes.conditions import is_true
from azure_sandbox.kubernetes.controllers.deployments import REACT_S, pod_of
from azure_sandbox.kubernetes.controllers.life import Controller, owner_of
from azure_sandbox.kubernetes.controllers.pods import misfit
from azure_sandbox.kubernetes.store import Event

Json = dict[str, Any]

KEY = "daemonsets.apps"
HASH = "controller-revision-hash"


class DaemonSets(Controller):
    """Keeps a pod of each DaemonSet on each node that fits, and replaces outdated ones one at a time."""

    def on_change(self, event: Event) -> None:
        """See to a DaemonSet when it, a pod of it, or any node changes."""
        metadata = event.obj["metadata"]
        if event.key == KEY and event.change != "DELETED":
            self._soon(metadata["namespace"], metadata["name"])
        elif event.key == "pods":
            owner = owner_of(event.obj, "DaemonSet")
            if owner:
                self._soon(metadata["namespace"], owner)
        elif event.key == "nodes":
            for obj in self.store.all(KEY):
                self._soon(obj["metadata"]["namespace"], obj["metadata"]["name"])

    def _soon(self, namespace: str, name: str) -> None:
        self.life.after(REACT_S, partial(self._reconcile, namespace, name), "daemonset", namespace, name)

    def _reconcile(self, namespace: str, name: str) -> None:
        daemon_set = self.store.get(KEY, namespace, name)
        if daemon_set is None or daemon_set["metadata"].get("deletionTimestamp"):
            return
        template = daemon_set["spec"]["template"]
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        nodes = [item for item in self.store.all("nodes") if not misfit(template["spec"], item, daemon=True)]
        wanted = {item["metadata"]["name"] for item in nodes}
        pods = {pod["spec"].get("nodeName", ""): pod for pod in self._pods(daemon_set)}
        for node, pod in pods.items():
            if node not in wanted:
                self.remove("pods", pod)
        for node in sorted(wanted - set(pods)):
            pod = pod_of(daemon_set, f"{name}-")
            pod["metadata"]["labels"][HASH] = digest
            pod["spec"]["nodeName"] = node
            self.make("pods", pod)
        outdated = [pod for pod in pods.values() if pod["metadata"]["labels"].get(HASH) != digest]
        if outdated and all(is_true(pod, "Ready") for pod in pods.values()) and wanted == set(pods):
            self.remove("pods", outdated[0])
        self._report(daemon_set, wanted, digest)

    def _pods(self, daemon_set: Json) -> list[Json]:
        return [pod for pod in self.owned("pods", daemon_set) if not pod["metadata"].get("deletionTimestamp")]

    def _report(self, daemon_set: Json, wanted: set[str], digest: str) -> None:
        pods = [pod for pod in self._pods(daemon_set) if pod["spec"].get("nodeName") in wanted]
        ready = sum(is_true(pod, "Ready") for pod in pods)
        updated = sum(pod["metadata"]["labels"].get(HASH) == digest for pod in pods)
        status: Json = {
            "currentNumberScheduled": len(pods),
            "desiredNumberScheduled": len(wanted),
            "numberMisscheduled": 0,
            "numberReady": ready,
            "observedGeneration": daemon_set["metadata"]["generation"],
        }
        optional = {
            "numberAvailable": ready,
            "numberUnavailable": len(wanted) - ready,
            "updatedNumberScheduled": updated,
        }
        status |= {key: value for key, value in optional.items() if value}
        self.set_status(KEY, daemon_set, status)
