"""The verbs on resources: get, list, create, update, patch, delete and deletecollection.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from azure_sandbox.kubernetes import built_in_rules, errors, patches, selectors, structure
from azure_sandbox.kubernetes import request as requests
from azure_sandbox.kubernetes.objects import Objects
from azure_sandbox.kubernetes.request import ApiRequest
from azure_sandbox.kubernetes.resources import ResourceType
from azure_sandbox.kubernetes.service_account_tokens import Sign, token_request
from azure_sandbox.kubernetes.values import copied

Json = dict[str, Any]
Answer = tuple[int, Json]


class Verbs:
    """Answers to requests on resources, except `watch`."""

    def __init__(self, objects: Objects, sign: Sign | None = None) -> None:
        self.objects = objects
        self.store = objects.store
        self._sign = sign

    def find_type(self, request: ApiRequest) -> ResourceType:
        """The type that a request is about.

        Raises:
            ApiError: 404 for an unknown type or subresource, 405 for a verb that the type doesn't have.
        """
        type_ = self.objects.registry.find(request.group, request.version, request.resource)
        if type_ is None:
            raise errors.no_such_resource()
        if request.verb == "update" and not request.name:
            raise errors.method_not_allowed()
        if request.subresource and request.subresource.split("/")[0] not in type_.subresources:
            raise errors.no_such_resource()
        if type_.namespaced != bool(request.namespace) and (request.name or request.verb == "create"):
            raise errors.no_such_resource()
        if not request.subresource and request.verb not in type_.verbs:
            raise errors.method_not_allowed()
        return type_

    def answer(self, request: ApiRequest) -> Answer:
        """Handle a request.

        Raises:
            ApiError: the refusal.
        """
        type_ = self.find_type(request)
        if request.subresource not in ("", "status"):
            return self._subresource(type_, request)
        verbs: dict[str, Callable[[ResourceType, ApiRequest], Answer]] = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        verb = verbs.get(request.verb)
        if verb is None or (request.subresource and request.verb not in ("get", "update", "patch")):
            raise errors.method_not_allowed()
        return verb(type_, request)

    def live(self, type_: ResourceType, request: ApiRequest) -> Json:
        """The object that a request names.

        Raises:
            ApiError: 404.
        """
        found = self.store.get(type_.key, request.namespace, request.name)
        if found is None:
            raise errors.not_found(type_, request.name)
        return found

    def selected(self, type_: ResourceType, request: ApiRequest) -> Callable[[Json], bool]:
        """The test of a request's label and field selectors."""
        by_label = selectors.label_selector(request.query.get("labelSelector", ""))
        by_field = selectors.field_selector(request.query.get("fieldSelector", ""), type_.kind)
        return lambda obj: by_label(obj) and by_field(obj)

    def _get(self, type_: ResourceType, request: ApiRequest) -> Answer:
        return 200, shown(type_, self.live(type_, request))

    def _list(self, type_: ResourceType, request: ApiRequest) -> Answer:
        selected = self.selected(type_, request)
        wanted = request.number("resourceVersion") or 0
        if wanted > self.store.revision:
            text = f"Timeout: Too large resource version: {wanted}, current: {self.store.revision}"
            raise errors.ApiError(504, "Timeout", text, {"retryAfterSeconds": 1})
        namespace = request.namespace or None
        found = [obj for obj in self.store.all(type_.key, namespace) if selected(obj)]
        metadata: Json = {"resourceVersion": str(self.store.revision)}
        found = _page(found, request, metadata)
        return 200, {
            "kind": type_.list_kind,
            "apiVersion": type_.api_version,
            "metadata": metadata,
            "items": [listed(type_, obj) for obj in found],
        }

    def _create(self, type_: ResourceType, request: ApiRequest) -> Answer:
        if request.name:
            raise errors.method_not_allowed()
        obj = self._sent(type_, request, request.body())
        if type_.kind == "SelfSubjectAccessReview":
            return 201, {
                **obj,
                "status": {"allowed": True, "reason": "the sandbox's users are cluster admins"},
            }
        created = self.objects.create(type_, obj, request.field_manager, dry_run=request.dry_run)
        return 201, shown(type_, created)

    def _update(self, type_: ResourceType, request: ApiRequest) -> Answer:
        obj = self._sent(type_, request, request.body())
        self._check_name(request, obj)
        live = self.live(type_, request)
        unconditional = not type_.custom and type_.kind not in built_in_rules.UNCONDITIONAL_UPDATE_REFUSED
        if not unconditional and not obj["metadata"].get("resourceVersion"):
            text = "Invalid value: 0x0: must be specified for an update"
            why = errors.cause("metadata.resourceVersion", "FieldValueInvalid", text)
            raise errors.invalid(replace(type_, kind=type_.plural), request.name, [why])
        return 200, shown(
            type_,
            self.objects.update(
                type_,
                live,
                obj,
                request.field_manager,
                subresource=request.subresource,
                dry_run=request.dry_run,
            ),
        )

    def _patch(self, type_: ResourceType, request: ApiRequest) -> Answer:
        kind = request.content_type
        accepted = [item for item in requests.PATCHES if item != requests.STRATEGIC_PATCH or not type_.custom]
        if kind not in accepted:
            raise errors.unsupported_media_type(accepted)
        if kind == requests.APPLY_PATCH:
            return self._apply(type_, request)
        live = self.live(type_, request)
        patch = request.json()
        schema = self.objects.schema(type_)
        current = {**copied(live), "apiVersion": type_.api_version}
        if kind == requests.JSON_PATCH:
            patched = patches.json_patch(current, patch)
        elif kind == requests.MERGE_PATCH:
            patched = patches.merge_patch(current, patch)
        else:
            patched = patches.strategic_merge_patch(current, patch, schema)
        # Who patches metadata.managedFields away leaves that to the server.
        patched = self._sent(type_, request, patched)
        after = self.objects.update(
            type_,
            live,
            patched,
            request.field_manager,
            subresource=request.subresource,
            dry_run=request.dry_run,
        )
        return 200, shown(type_, after)

    def _apply(self, type_: ResourceType, request: ApiRequest) -> Answer:
        manager = request.query.get("fieldManager", "")
        if not manager:
            details = {
                "group": "meta.k8s.io",
                "kind": "PatchOptions",
                "causes": [errors.required("fieldManager", "is required for apply patch")],
            }
            why = "Required value: is required for apply patch"
            text = f'PatchOptions.meta.k8s.io "" is invalid: fieldManager: {why}'
            raise errors.ApiError(422, "Invalid", text, details)
        config = request.body()
        version = config.get("apiVersion") or ""
        if version != type_.api_version:
            text = f"Specified patch version: {version}, expected: {type_.api_version}"
            raise errors.bad_request(f"Incorrect version specified in apply patch. {text}")
        self._check_kind(type_, config)
        if "managedFields" in config.get("metadata", {}):
            raise errors.bad_request("metadata.managedFields must be nil")
        config.setdefault("metadata", {}).setdefault("name", request.name)
        self._check_name(request, config)
        self._set_namespace(type_, request, config)
        schema = self.objects.schema(type_)
        unknown = structure.unknown_fields(config, schema, keyed=True)
        problems = [f".{path}: field not declared in schema" for path in unknown]
        problems += structure.mistyped(config, schema)
        if problems:
            where = f"{request.namespace}/{request.name}; {type_.api_version}, Kind={type_.kind}"
            joined = problems[0] if len(problems) == 1 else "errors:\n  " + "\n  ".join(problems)
            raise errors.ApiError(500, "", f"failed to create typed patch object ({where}): {joined}")
        before = self.store.get(type_.key, request.namespace, request.name)
        if before is None and request.subresource:
            raise errors.not_found(type_, request.name)
        after = self.objects.apply(
            type_,
            before,
            config,
            manager,
            force=request.flag("force"),
            subresource=request.subresource,
            dry_run=request.dry_run,
        )
        return (201 if before is None else 200), shown(type_, after)

    def _delete(self, type_: ResourceType, request: ApiRequest) -> Answer:
        live = self.live(type_, request)
        options = self._delete_options(request)
        dry_run = request.dry_run or "All" in (options.get("dryRun") or [])
        remaining = self.objects.delete(type_, live, options, dry_run)
        if remaining is not None:
            return 200, shown(type_, remaining)
        if type_.kind in ("Pod", "Service", "ServiceAccount"):
            return 200, shown(type_, live)
        return 200, errors.success(type_, request.name, live["metadata"]["uid"])

    def _delete_collection(self, type_: ResourceType, request: ApiRequest) -> Answer:
        selected = self.selected(type_, request)
        options = self._delete_options(request)
        found = [obj for obj in self.store.all(type_.key, request.namespace or None) if selected(obj)]
        for obj in found:
            self.objects.delete(type_, obj, options, request.dry_run)
        return 200, {
            "kind": type_.list_kind,
            "apiVersion": type_.api_version,
            "metadata": {"resourceVersion": str(self.store.revision)},
            "items": [listed(type_, obj) for obj in found],
        }

    def _subresource(self, type_: ResourceType, request: ApiRequest) -> Answer:
        if type_.kind == "Namespace" and request.subresource == "finalize" and request.verb == "update":
            return self._finalize(type_, request)
        live = self.live(type_, request)
        if request.subresource == "scale":
            return self._scale(type_, request, live)
        if type_.kind == "ServiceAccount" and request.verb == "create" and self._sign is not None:
            return 201, token_request(live, request.body(), self._sign)
        raise errors.not_emulated(f"{request.verb} of {type_.qualified}/{request.subresource}")

    def _finalize(self, type_: ResourceType, request: ApiRequest) -> Answer:
        live = self.live(type_, request)
        after = copied(live)
        after["spec"] = {"finalizers": request.body().get("spec", {}).get("finalizers") or []}
        if not after["spec"]["finalizers"]:
            del after["spec"]["finalizers"]
        self.store.put(type_.key, after)
        if live["metadata"].get("deletionTimestamp") and not after["spec"]:
            self.store.remove(type_.key, "", request.name)
        return 200, shown(type_, after)

    def _scale(self, type_: ResourceType, request: ApiRequest, live: Json) -> Answer:
        if request.verb == "get":
            return 200, _scale_of(live)
        sent = _scale_of(live)
        if request.verb == "patch":
            sent = patches.merge_patch(sent, request.json())
        elif request.verb == "update":
            sent = request.body()
        else:
            raise errors.method_not_allowed()
        after = copied(live)
        after["spec"]["replicas"] = sent["spec"].get("replicas", 0)
        after["metadata"]["resourceVersion"] = sent["metadata"].get("resourceVersion", "")
        changed = self.objects.update(
            type_, live, after, request.field_manager, subresource="scale", dry_run=request.dry_run
        )
        return 200, _scale_of(changed)

    def _sent(self, type_: ResourceType, request: ApiRequest, obj: Json) -> Json:
        """Check the object sent; unknown fields warn, or are refused where the request says Strict."""
        self._check_kind(type_, obj)
        if not isinstance(obj.setdefault("metadata", {}), dict):
            raise errors.bad_request("metadata is no object")
        self._set_namespace(type_, request, obj)
        validation = request.query.get("fieldValidation", "Warn")
        unknown = [] if validation == "Ignore" else structure.unknown_fields(obj, self.objects.schema(type_))
        problems = [f'unknown field "{path}"' for path in unknown]
        if problems and validation == "Strict":
            text = f"strict decoding error: {', '.join(problems)}"
            if not type_.custom:
                text = (
                    f'{type_.kind} in version "{type_.version}" cannot be handled as a {type_.kind}: {text}'
                )
            raise errors.bad_request(text)
        request.warnings += problems
        return obj

    def _check_kind(self, type_: ResourceType, obj: Json) -> None:
        for field, wanted in (("kind", type_.kind), ("apiVersion", type_.api_version)):
            found = obj.get(field)
            if found in (None, "") and not type_.custom:
                obj[field] = wanted
            elif found != wanted and field == "kind" and found and type_.custom:
                causes = [errors.bad_value("kind", found, f"must be {wanted}")]
                raise errors.invalid(
                    replace(type_, kind=found), obj.get("metadata", {}).get("name", ""), causes
                )
            elif found != wanted:
                what = "kind" if field == "kind" else "API version"
                text = f"the {what} in the data ({found or ''}) does not match the expected {what} ({wanted})"
                raise errors.bad_request(text)

    def _check_name(self, request: ApiRequest, obj: Json) -> None:
        name = obj["metadata"].get("name")
        if name and name != request.name:
            text = f"the name of the object ({name}) does not match the name on the URL ({request.name})"
            raise errors.bad_request(text)

    def _set_namespace(self, type_: ResourceType, request: ApiRequest, obj: Json) -> None:
        metadata = obj["metadata"]
        if not type_.namespaced:
            metadata.pop("namespace", None)
            return
        if metadata.setdefault("namespace", request.namespace) != request.namespace:
            text = "the namespace of the provided object does not match the namespace sent on the request"
            raise errors.bad_request(text)

    def _delete_options(self, request: ApiRequest) -> Json:
        options = request.body() if request.content else {}
        for name in ("propagationPolicy", "gracePeriodSeconds", "orphanDependents"):
            if name in request.query:
                text = request.query[name]
                options.setdefault(name, json.loads(text) if name != "propagationPolicy" else text)
        return options


def listed(type_: ResourceType, obj: Json) -> Json:
    """An object as an item of a list: built-in types leave their name out there."""
    if type_.custom:
        return shown(type_, obj)
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


def shown(type_: ResourceType, obj: Json) -> Json:
    """A stored object in the version asked for."""
    head = {"kind": type_.kind, "apiVersion": type_.api_version, "metadata": obj["metadata"]}
    return {**head, **{key: value for key, value in obj.items() if key not in head}}


def _scale_of(obj: Json) -> Json:
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": obj["spec"]["replicas"]} if obj["spec"].get("replicas") else {},
        "status": {
            "replicas": obj.get("status", {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in labels.items()),
        },
    }


def _page(found: list[Json], request: ApiRequest, metadata: Json) -> list[Json]:
    """One page of a list, with the token of the next in its metadata."""
    token = request.query.get("continue")
    if token:
        try:
            start = json.loads(base64.urlsafe_b64decode(token))["start"]
        except (ValueError, KeyError, TypeError) as error:
            raise errors.bad_request(f"continue key is not valid: {error}") from error
        found = [obj for obj in found if _place(obj) > start]
    limit = request.number("limit")
    if limit and len(found) > limit:
        metadata["remainingItemCount"] = len(found) - limit
        found = found[:limit]
        state = {"rv": metadata["resourceVersion"], "start": _place(found[-1])}
        metadata["continue"] = base64.urlsafe_b64encode(json.dumps(state).encode()).decode()
    return found


def _place(obj: Json) -> list[str]:
    return [obj["metadata"].get("namespace", ""), obj["metadata"]["name"]]
