"""How objects come to be, change and go: the one way for the API's verbs and for the controllers.

Every write passes the same stations: unknown fields, defaults, rules, admission webhooks, field ownership,
store.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from azure_sandbox.kubernetes import (
    built_in_rules,
    checks,
    custom_resources,
    errors,
    ownership,
    schemas,
    structure,
)
from azure_sandbox.kubernetes.ownership import Writer
from azure_sandbox.kubernetes.resources import Registry, ResourceType
from azure_sandbox.kubernetes.store import Store
from azure_sandbox.kubernetes.times import Clock, stamp
from azure_sandbox.kubernetes.values import copied

Json = dict[str, Any]

_SERVER_FIELDS = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
_RANDOM_NAME = (
    "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' alphabet for generated names: no vowels, no 0, 1, 3
)


class Admission(Protocol):
    """What may refuse a write, or change it."""

    def review(self, type_: ResourceType, operation: str, obj: Json) -> None:
        """Let the write pass or raise an `ApiError`."""


class Objects:
    """Writes on one cluster's objects.

    Args:
        store: where they are.
        registry: the types served.
        clock: for time stamps.
        seed: of uids and generated names.
    """

    def __init__(self, store: Store, registry: Registry, clock: Clock, seed: str) -> None:
        self.store = store
        self.registry = registry
        self.clock = clock
        self.admission: list[Admission] = []
        # AKS's own, which also see what controllers write.
        self.platform_admission: list[Admission] = []
        # A store that was kept has used the names and addresses up to its revision.
        self._random = random.Random(f"{seed}/objects/{store.revision}")
        self._addresses = 10 + store.revision

    def schema(self, type_: ResourceType) -> Json:
        """The schema of a type."""
        return type_.schema if type_.schema is not None else schemas.built_in(type_.kind)

    def now(self) -> str:
        """The time, as metadata has it."""
        return stamp(self.clock)

    def suffix(self, length: int = 5) -> str:
        """A random end of a generated name."""
        return "".join(self._random.choices(_RANDOM_NAME, k=length))

    def writer(self, manager: str, type_: ResourceType, subresource: str = "") -> Writer:
        """A field manager that writes now."""
        return Writer(manager, type_.api_version, self.now(), subresource)

    def create(
        self, type_: ResourceType, obj: Json, manager: str, *, dry_run: bool = False, admit: bool = True
    ) -> Json:
        """Create an object.

        Raises:
            ApiError: AlreadyExists, Invalid, Forbidden in a namespace that is going away, or from admission.
        """
        obj = self._prepared(type_, obj)
        metadata = obj["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + self.suffix()
        self._check_namespace(type_, metadata)
        obj = self._settled(type_, obj, None, "CREATE", admit)
        ownership.record_update({"metadata": {}}, obj, self.schema(type_), self.writer(manager, type_))
        return self._stored(type_, obj, dry_run)

    def update(
        self,
        type_: ResourceType,
        before: Json,
        after: Json,
        manager: str,
        *,
        subresource: str = "",
        dry_run: bool = False,
        admit: bool = True,
    ) -> Json:
        """Replace an object; what only the server writes stays.

        Raises:
            ApiError: Conflict when `after` names another resourceVersion, Invalid, or from admission.
        """
        self._check_versions(type_, before, after)
        after = self._with_server_fields(type_, before, after, subresource)
        after = self._settled(type_, after, before, "UPDATE", admit and not subresource)
        ownership.record_update(before, after, self.schema(type_), self.writer(manager, type_, subresource))
        return self._changed(type_, before, after, dry_run)

    def apply(
        self,
        type_: ResourceType,
        before: Json | None,
        config: Json,
        manager: str,
        *,
        force: bool = False,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Json:
        """Server-side apply.

        Raises:
            ApiError: Conflict with the fields that others own, and as `create` and `update`.
        """
        schema = self.schema(type_)
        config = {**config, "metadata": {**config.get("metadata", {})}}
        config["metadata"].pop("managedFields", None)
        writer = self.writer(manager, type_, subresource)
        if before is None:
            self._check_namespace(type_, config["metadata"])
            live = self._prepared(type_, {**config, "metadata": {}})
            live = {key: live[key] for key in ("apiVersion", "kind", "metadata")}
        else:
            self._check_versions(type_, before, config)
            live = before

        def complete(merged: Json) -> Json:
            if before is None:
                merged = {**merged, "metadata": {**merged["metadata"], **live["metadata"]}}
                merged["metadata"].pop("resourceVersion", None)
                return self._settled(type_, merged, None, "CREATE", True)
            merged = self._with_server_fields(type_, before, merged, subresource)
            return self._settled(type_, merged, before, "UPDATE", not subresource)

        if subresource != "status" and "status" in type_.subresources:
            config.pop("status", None)
        after = ownership.apply(live, config, schema, writer, force, complete)
        if before is None:
            return self._stored(type_, after, dry_run)
        return self._changed(type_, before, after, dry_run)

    def write(
        self,
        key: str,
        namespace: str,
        name: str,
        change: Callable[[Json], None],
        manager: str,
        subresource: str = "",
    ) -> Json | None:
        """Change an object, if it is there, as a controller does: `change` gets a copy, and is trusted."""
        live = self.store.get(key, namespace, name)
        if live is None:
            return None
        type_ = self.registry.named(key)
        after = copied(live)
        change(after)
        if after == live:
            return live
        if type_.generation and _without_status(type_, after) != _without_status(type_, live):
            after["metadata"]["generation"] = live["metadata"].get("generation", 1) + 1
        writer = self.writer(manager, type_, subresource)
        ownership.record_update(live, after, self.schema(type_), writer)
        return self._changed(type_, live, after, dry_run=False)

    def delete(
        self, type_: ResourceType, obj: Json, options: Json | None = None, dry_run: bool = False
    ) -> Json | None:
        """Delete an object.

        Returns:
            The object as it waits for its finalizers or its end; None when it is gone.

        Raises:
            ApiError: Conflict when a precondition isn't met.
        """
        options = options or {}
        metadata = obj["metadata"]
        checks.check_preconditions(type_, obj, options.get("preconditions") or {})
        finalizers = list(metadata.get("finalizers") or [])
        policy = options.get("propagationPolicy")
        if options.get("orphanDependents") and policy is None:
            policy = "Orphan"
        for name, wanted in (("foregroundDeletion", "Foreground"), ("orphan", "Orphan")):
            if policy == wanted and name not in finalizers:
                finalizers.append(name)
        grace = self._grace(type_, obj, options)
        waits = bool(finalizers) or grace > 0 or (type_.kind == "Namespace" and obj["spec"].get("finalizers"))
        if not waits:
            if not dry_run:
                self.store.remove(type_.key, metadata.get("namespace", ""), metadata["name"])
            return None
        if metadata.get("deletionTimestamp"):
            return obj
        after = copied(obj)
        after["metadata"]["deletionTimestamp"] = stamp(self.clock, grace)
        if type_.kind != "Namespace":
            after["metadata"]["deletionGracePeriodSeconds"] = grace
        if finalizers:
            after["metadata"]["finalizers"] = finalizers
        if type_.generation and type_.kind != "CustomResourceDefinition":
            after["metadata"]["generation"] = metadata.get("generation", 1) + 1
        if type_.kind == "Namespace":
            after["status"] = {**after.get("status", {}), "phase": "Terminating"}
        return after if dry_run else self.store.put(type_.key, after)

    def _grace(self, type_: ResourceType, obj: Json, options: Json) -> int:
        """Seconds that a running Pod gets to end; a Pod on no node goes at once, as everything else does."""
        if type_.kind != "Pod" or not obj["spec"].get("nodeName"):
            return 0
        asked = options.get("gracePeriodSeconds")
        grace = obj["spec"].get("terminationGracePeriodSeconds", 30) if asked is None else asked
        return int(grace)

    def _prepared(self, type_: ResourceType, obj: Json) -> Json:
        """A new object: pruned, with what the server gives it, without what it doesn't take."""
        obj = structure.pruned(obj, self.schema(type_))
        metadata = obj.setdefault("metadata", {})
        for field in (*_SERVER_FIELDS, "resourceVersion", "selfLink", "managedFields"):
            metadata.pop(field, None)
        metadata["uid"] = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        metadata["creationTimestamp"] = self.now()
        if type_.generation:
            metadata["generation"] = 1
        if "status" in type_.subresources:
            obj.pop("status", None)
        return obj

    def _check_namespace(self, type_: ResourceType, metadata: Json) -> None:
        namespace = metadata.get("namespace", "")
        if type_.namespaced:
            parent = self.store.get("namespaces", "", namespace)
            if parent is None:
                raise errors.not_found(self.registry.named("namespaces"), namespace)
            if parent["metadata"].get("deletionTimestamp"):
                why = f"unable to create new content in namespace {namespace} because it is being terminated"
                terminating = errors.cause(
                    "metadata.namespace", "NamespaceTerminating", f"namespace {namespace} is being terminated"
                )
                raise errors.forbidden(type_, metadata.get("name", ""), why, [terminating])

    def _check_versions(self, type_: ResourceType, before: Json, after: Json) -> None:
        old, new = before["metadata"], after.get("metadata", {})
        if new.get("resourceVersion") not in (None, "", old["resourceVersion"]):
            raise errors.conflict(type_, old["name"])
        if new.get("uid") not in (None, "", old["uid"]):
            why = f"Precondition failed: UID in precondition: {new['uid']}, UID in object meta: {old['uid']}"
            raise errors.conflict(type_, old["name"], why)

    def _with_server_fields(self, type_: ResourceType, before: Json, after: Json, subresource: str) -> Json:
        after = structure.pruned(after, self.schema(type_))
        old = before["metadata"]
        metadata = {
            key: value for key, value in after.get("metadata", {}).items() if key not in _SERVER_FIELDS
        }
        metadata.update({key: old[key] for key in _SERVER_FIELDS if key in old})
        metadata["resourceVersion"] = old["resourceVersion"]
        metadata["name"] = old["name"]
        metadata["managedFields"] = old.get("managedFields", [])
        if subresource == "status":
            kept = {key: value for key, value in before.items() if key not in ("status", "apiVersion")}
            kept["metadata"] = {**old}
            result = {"apiVersion": after.get("apiVersion", before["apiVersion"]), **copied(kept)}
            if "status" in after:
                result["status"] = after["status"]
            return result
        after = {**after, "metadata": metadata}
        if "status" in type_.subresources:
            after.pop("status", None)
            if "status" in before:
                after["status"] = copied(before["status"])
        return after

    def _settled(
        self, type_: ResourceType, obj: Json, before: Json | None, operation: str, admit: bool
    ) -> Json:
        """Defaults, admission and rules."""
        schema = self.schema(type_)
        obj = {"apiVersion": type_.api_version, "kind": type_.kind, **obj}
        obj = {**structure.defaulted(obj, schema), "metadata": obj["metadata"]}
        if type_.kind == "CustomResourceDefinition":
            custom_resources.complete(obj)
        elif not type_.custom:
            obj = copied(obj)
            built_in_rules.complete(obj)
            self._keep_allocated(type_, obj, before)
        for admission in [*self.platform_admission, *(self.admission if admit else ())]:
            admission.review(type_, operation, obj)
        checks.check(type_, schema, obj, before)
        if (
            before is not None
            and type_.generation
            and _without_status(type_, obj) != _without_status(type_, before)
        ):
            obj["metadata"]["generation"] = before["metadata"].get("generation", 1) + 1
        return obj

    def _keep_allocated(self, type_: ResourceType, obj: Json, before: Json | None) -> None:
        """What the API server handed out stays, whatever a client sends."""
        if before is None:
            return
        if type_.kind == "Namespace":
            obj["spec"] = copied(before.get("spec", {}))
        elif type_.kind == "Service" and obj["spec"].get("type") != "ExternalName":
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if field in before["spec"]:
                    obj["spec"].setdefault(field, before["spec"][field])

    def _stored(self, type_: ResourceType, obj: Json, dry_run: bool) -> Json:
        """Store a new object, with what the API server hands out by itself and nobody owns."""
        self._allocate(type_, obj)
        metadata = obj["metadata"]
        existing = self.store.get(type_.key, metadata.get("namespace", ""), metadata["name"])
        if existing is not None:
            if existing["metadata"].get("deletionTimestamp"):
                raise errors.being_deleted(type_, metadata["name"])
            raise errors.already_exists(type_, metadata["name"])
        return obj if dry_run else self.store.put(type_.key, obj)

    def _allocate(self, type_: ResourceType, obj: Json) -> None:
        status = built_in_rules.first_status(type_.kind) if not type_.custom else None
        if status is not None:
            obj["status"] = status
        if type_.kind == "Namespace":
            obj["spec"] = {"finalizers": ["kubernetes"]}
        elif type_.kind == "CustomResourceDefinition":
            obj["status"] = custom_resources.first_status(obj)
        elif type_.kind == "Service" and obj["spec"].get("type") != "ExternalName":
            spec = obj["spec"]
            if not spec.get("clusterIP"):
                self._addresses += 1
                spec["clusterIP"] = f"10.0.{self._addresses // 250}.{self._addresses % 250 + 1}"
            spec.setdefault("clusterIPs", [spec["clusterIP"]])
            spec.setdefault("ipFamilies", ["IPv4"])
            spec.setdefault("ipFamilyPolicy", "SingleStack")

    def _changed(self, type_: ResourceType, before: Json, after: Json, dry_run: bool) -> Json:
        if _comparable(after) == _comparable(before):
            return before
        if dry_run:
            return after
        metadata = after["metadata"]
        stored = self.store.put(type_.key, after)
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            if type_.kind == "Namespace" and after["spec"].get("finalizers"):
                return stored
            if metadata.get("deletionGracePeriodSeconds"):
                return stored
            self.store.remove(type_.key, metadata.get("namespace", ""), metadata["name"])
        return stored


def _without_status(type_: ResourceType, obj: Json) -> Json:
    """What `metadata.generation` counts the changes of."""
    ignored = {"metadata", "apiVersion"} | ({"status"} if "status" in type_.subresources else set())
    return {key: value for key, value in obj.items() if key not in ignored}


def _comparable(obj: Json) -> Json:
    """An object without what changes with every write."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    metadata["managedFields"] = [
        {key: value for key, value in entry.items() if key != "time"}
        for entry in metadata.get("managedFields") or []
    ]
    return {**{key: value for key, value in obj.items() if key != "apiVersion"}, "metadata": metadata}
