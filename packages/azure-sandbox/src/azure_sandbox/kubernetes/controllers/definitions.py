"""CustomResourceDefinitions: their types are served a moment later, and end with their objects."""

from functools import partial
from typing import Any

from azure_sandbox.kubernetes import custom_resources
from azure_sandbox.kubernetes.controllers.life import Controller
from azure_sandbox.kubernetes.store import Event

Json = dict[str, Any]

KEY = "customresourcedefinitions.apiextensions.k8s.io"
# Seen on a real API server: well below a second when idle.
ESTABLISH_S = (0.3, 1.5)
MANAGER = "kube-apiserver"


class Definitions(Controller):
    """Establishes definitions, serves their types, and clears up after them."""

    def on_change(self, event: Event) -> None:
        """See to new, changed and deleted definitions, and to deleted custom objects."""
        if event.key == KEY:
            name = event.obj["metadata"]["name"]
            if event.change == "DELETED":
                spec = event.obj["spec"]
                self.objects.registry.remove_custom(spec["group"], spec["names"]["plural"])
            elif event.obj["metadata"].get("deletionTimestamp"):
                self.life.after(0.5, partial(self._finish, name), "definition-end", name)
            elif not custom_resources.established(event.obj):
                delay_s = self.life.between(*ESTABLISH_S, "definition", name)
                self.life.after(delay_s, partial(self._establish, name), "definition", name)
            else:
                self._serve(event.obj)
        elif event.change == "DELETED" and self.store.get(KEY, "", event.key) is not None:
            name = event.key
            self.life.after(0.2, partial(self._finish, name), "definition-end", name)

    def serve_all(self) -> None:
        """Serve the types of every definition there is."""
        for definition in self.store.all(KEY):
            if custom_resources.established(definition):
                self._serve(definition)

    def _establish(self, name: str) -> None:
        definition = self.store.get(KEY, "", name)
        if definition is not None and not definition["metadata"].get("deletionTimestamp"):
            self._serve(definition)
            status = custom_resources.accepted(definition, self.objects.now())
            self.set_status(KEY, definition, status, MANAGER)

            def change(copy: Json) -> None:
                finalizers = copy["metadata"].get("finalizers") or []
                if custom_resources.CLEANUP not in finalizers:
                    copy["metadata"]["finalizers"] = [*finalizers, custom_resources.CLEANUP]

            self.objects.write(KEY, "", name, change, MANAGER)

    def _serve(self, definition: Json) -> None:
        spec = definition["spec"]
        self.objects.registry.remove_custom(spec["group"], spec["names"]["plural"])
        for type_ in custom_resources.types(definition):
            self.objects.registry.add(type_)

    def _finish(self, name: str) -> None:
        definition = self.store.get(KEY, "", name)
        if definition is None or not definition["metadata"].get("deletionTimestamp"):
            return
        for obj in self.store.all(name):
            self.remove(name, obj)
        if self.store.all(name):  # They have finalizers of their own.
            return

        def change(copy: Json) -> None:
            finalizers = copy["metadata"].get("finalizers") or []
            copy["metadata"]["finalizers"] = [item for item in finalizers if item != custom_resources.CLEANUP]

        self.objects.write(KEY, "", name, change, MANAGER)
