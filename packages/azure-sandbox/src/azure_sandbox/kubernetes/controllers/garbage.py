"""Garbage collection: what an object owned goes with it, before it, or stays, as the deletion asked.

https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from functools import partial
from typing import Any

from azure_sandbox.kubernetes.controllers.life import Controller
from azure_sandbox.kubernetes.store import Event

Json = dict[str, Any]

REACT_S = 0.3
MANAGER = "kube-controller-manager"


class Garbage(Controller):
    """Follows ownerReferences."""

    def on_change(self, event: Event) -> None:
        """See to dependants of what is gone or going, and to owners whose dependants are gone."""
        metadata = event.obj["metadata"]
        uid = metadata["uid"]
        if event.change == "DELETED":
            self.life.after(REACT_S, partial(self._collect, uid), "collect", uid)
            for reference in metadata.get("ownerReferences") or []:
                owner = reference["uid"]
                self.life.after(REACT_S, partial(self._finish, owner), "owner", owner)
        elif metadata.get("deletionTimestamp") and metadata.get("finalizers"):
            self.life.after(REACT_S, partial(self._finish, uid), "owner", uid)

    def _dependants(self, uid: str) -> list[tuple[str, Json]]:
        return [
            (key, obj)
            for key, obj in self.store.everything()
            if any(item["uid"] == uid for item in obj["metadata"].get("ownerReferences") or [])
        ]

    def _collect(self, uid: str) -> None:
        for key, obj in self._dependants(uid):
            self.remove(key, obj)

    def _finish(self, uid: str) -> None:
        """End the wait of an owner that was deleted in the foreground, or with its dependants kept."""
        found = next(
            ((key, obj) for key, obj in self.store.everything() if obj["metadata"]["uid"] == uid), None
        )
        if found is None or not found[1]["metadata"].get("deletionTimestamp"):
            return
        key, owner = found
        finalizers = owner["metadata"].get("finalizers") or []
        if "orphan" in finalizers:
            for kind, obj in self._dependants(uid):
                self._release(kind, obj, uid)
            self._drop(key, owner, "orphan")
        elif "foregroundDeletion" in finalizers:
            dependants = self._dependants(uid)
            for kind, obj in dependants:
                self.remove(kind, obj)
            if not self._dependants(uid):
                self._drop(key, owner, "foregroundDeletion")

    def _release(self, key: str, obj: Json, uid: str) -> None:
        def change(copy: Json) -> None:
            references = [item for item in copy["metadata"]["ownerReferences"] if item["uid"] != uid]
            copy["metadata"]["ownerReferences"] = references
            if not references:
                del copy["metadata"]["ownerReferences"]

        metadata = obj["metadata"]
        self.objects.write(key, metadata.get("namespace", ""), metadata["name"], change, MANAGER)

    def _drop(self, key: str, obj: Json, finalizer: str) -> None:
        def change(copy: Json) -> None:
            kept = [item for item in copy["metadata"].get("finalizers") or [] if item != finalizer]
            copy["metadata"]["finalizers"] = kept
            if not kept:
                del copy["metadata"]["finalizers"]

        metadata = obj["metadata"]
        self.objects.write(key, metadata.get("namespace", ""), metadata["name"], change, MANAGER)
