"""What controllers share: the clock, the seed, and work that is due soon."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from azure_sandbox.kubernetes.controllers.pod_troubles import Troubles
from azure_sandbox.kubernetes.objects import Objects
from azure_sandbox.kubernetes.store import Event
from azure_sandbox.kubernetes.times import Clock

Json = dict[str, Any]

CONTROLLER_MANAGER = "kube-controller-manager"
KUBELET = "kubelet"
SCHEDULER = "kube-scheduler"


class Life:
    """The clock of one cluster's controllers.

    Args:
        objects: what they write through.
        clock: the sandbox's.
        seed: of every delay.
        troubles: what pods suffer from.
    """

    def __init__(self, objects: Objects, clock: Clock, seed: str, troubles: Troubles = tuple) -> None:
        self.objects = objects
        self.store = objects.store
        self.clock = clock
        self.seed = seed
        self.troubles = troubles
        self.stopped = False
        self._pending: dict[tuple[str, ...], float] = {}

    def between(self, low: float, high: float, *key: str) -> float:
        """A delay in sandbox seconds, always the same for the same seed and key."""
        return random.Random("/".join((self.seed, *key))).uniform(low, high)

    def after(self, delay_s: float, work: Callable[[], None], *key: str) -> None:
        """Do some work later; work of the same key that is due earlier already stands for it."""
        due_s = self.clock.now_s() + delay_s
        if key and self._pending.get(key, float("inf")) <= due_s:
            return
        if key:
            self._pending[key] = due_s

        def run() -> None:
            if self.stopped:
                return
            if key:
                if self._pending.get(key) != due_s:
                    return
                del self._pending[key]
            work()

        self.clock.call_at(due_s, run)


class Controller:
    """One controller: is told every change and notes what to do on the clock."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.objects = life.objects
        self.store = life.store

    def on_change(self, event: Event) -> None:
        """React to a change by `life.after`; nothing is written here."""

    def remove(self, key: str, obj: Json) -> None:
        """Delete an object, as a client would."""
        metadata = obj["metadata"]
        live = self.store.get(key, metadata.get("namespace", ""), metadata["name"])
        if live is not None and live["metadata"]["uid"] == metadata["uid"]:
            self.objects.delete(self.objects.registry.named(key), live)

    def make(self, key: str, obj: Json, manager: str = CONTROLLER_MANAGER) -> Json | None:
        """Create an object unless it exists, or its namespace is going away."""
        metadata = obj["metadata"]
        namespace = metadata.get("namespace", "")
        if metadata.get("name") and self.store.get(key, namespace, metadata["name"]):
            return None
        if namespace:
            parent = self.store.get("namespaces", "", namespace)
            if parent is None or parent["metadata"].get("deletionTimestamp"):
                return None
        type_ = self.objects.registry.named(key)
        return self.objects.create(type_, obj, manager, admit=False)

    def set_status(self, key: str, obj: Json, status: Json, manager: str = CONTROLLER_MANAGER) -> None:
        """Replace an object's status, unless it is that already."""
        metadata = obj["metadata"]

        def change(copy: Json) -> None:
            copy["status"] = status

        subresource = "status" if "status" in self.objects.registry.named(key).subresources else ""
        self.objects.write(key, metadata.get("namespace", ""), metadata["name"], change, manager, subresource)

    def owned(self, key: str, owner: Json) -> list[Json]:
        """Objects of a type that an object controls, in its namespace."""
        uid = owner["metadata"]["uid"]
        return [
            obj
            for obj in self.store.all(key, owner["metadata"].get("namespace", ""))
            if any(
                reference["uid"] == uid and reference.get("controller")
                for reference in obj["metadata"].get("ownerReferences") or []
            )
        ]


def owner_reference(owner: Json) -> Json:
    """The reference by which an object is controlled."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owner_of(obj: Json, kind: str) -> str | None:
    """The name of an object's owner of a kind."""
    for reference in obj["metadata"].get("ownerReferences") or []:
        if reference["kind"] == kind:
            name: str = reference["name"]
            return name
    return None
