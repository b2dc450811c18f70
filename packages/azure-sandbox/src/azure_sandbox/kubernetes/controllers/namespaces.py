"""Namespaces: what each gets when it is made, and how it ends.

https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
"""

from functools import partial
from typing import Any

from azure_sandbox.kubernetes.conditions import condition
from azure_sandbox.kubernetes.controllers.life import CONTROLLER_MANAGER, Controller, Life
from azure_sandbox.kubernetes.store import Event

Json = dict[str, Any]

FURNISH_S = 0.2
EMPTY_S = (4.0, 8.0)
"""How long a namespace is Terminating before its contents go; some 5 s on an idle cluster."""
RETRY_S = 2.0


class Namespaces(Controller):
    """Gives a namespace its service account and CA; empties it when it is deleted.

    Args:
        life: the cluster's.
        ca_pem: the cluster's certificate authority.
    """

    def __init__(self, life: Life, ca_pem: str) -> None:
        super().__init__(life)
        self._ca_pem = ca_pem

    def on_change(self, event: Event) -> None:
        """See to new and to ending namespaces, and to whoever deletes their furniture."""
        metadata = event.obj["metadata"]
        if event.key == "namespaces":
            name = metadata["name"]
            if event.change == "ADDED":
                self.life.after(FURNISH_S, partial(self._furnish, name), "furnish", name)
            elif event.change == "MODIFIED" and metadata.get("deletionTimestamp"):
                delay_s = self.life.between(*EMPTY_S, "namespace", name)
                self.life.after(delay_s, partial(self._empty, name), "empty", name)
        elif event.change == "DELETED" and (event.key, metadata["name"]) in (
            ("serviceaccounts", "default"),
            ("configmaps", "kube-root-ca.crt"),
        ):
            namespace = metadata["namespace"]
            self.life.after(FURNISH_S, partial(self._furnish, namespace), "furnish", namespace)

    def _furnish(self, name: str) -> None:
        if self.store.get("namespaces", "", name) is None:
            return
        account = {"metadata": {"name": "default", "namespace": name}}
        self.make("serviceaccounts", account)
        authority = {
            "metadata": {"name": "kube-root-ca.crt", "namespace": name},
            "data": {"ca.crt": self._ca_pem},
        }
        self.make("configmaps", authority)

    def _empty(self, name: str) -> None:
        namespace = self.store.get("namespaces", "", name)
        if namespace is None:
            return
        contents = [(key, obj) for key, obj in self.store.everything() if _inside(obj, name)]
        for key, obj in contents:
            self.remove(key, obj)
        left = [(key, obj) for key, obj in self.store.everything() if _inside(obj, name)]
        if left:
            self._report(namespace, left)
            self.life.after(RETRY_S, partial(self._empty, name), "empty", name)
            return

        self.store.remove("namespaces", "", name)

    def _report(self, namespace: Json, left: list[tuple[str, Json]]) -> None:
        now = self.objects.now()
        counts: dict[str, int] = {}
        finalizers: dict[str, int] = {}
        for key, obj in left:
            counts[key] = counts.get(key, 0) + 1
            for finalizer in obj["metadata"].get("finalizers") or []:
                finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
        listed = ", ".join(f"{key} has {count} resource instances" for key, count in sorted(counts.items()))
        blocking = ", ".join(
            f"{name} in {count} resource instances" for name, count in sorted(finalizers.items())
        )
        before = namespace.get("status")
        conditions = [
            condition(
                "NamespaceContentRemaining",
                "True",
                "SomeResourcesRemain",
                f"Some resources are remaining: {listed}",
                now,
                before,
            ),
            condition(
                "NamespaceFinalizersRemaining",
                "True" if finalizers else "False",
                "SomeFinalizersRemain" if finalizers else "ContentHasNoFinalizers",
                f"Some content in the namespace has finalizers remaining: {blocking}"
                if finalizers
                else "All content-preserving finalizers finished",
                now,
                before,
            ),
        ]
        status = {"phase": "Terminating", "conditions": conditions}
        self.set_status("namespaces", namespace, status, CONTROLLER_MANAGER)


def _inside(obj: Json, namespace: str) -> bool:
    return bool(obj["metadata"].get("namespace") == namespace)
