"""OpenAPI v3 documents, made from the same schemas that the API server itself uses.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3. kubectl and Helm read them to
validate what they send and to compute strategic merge patches. v2 isn't served: clients that want it ask
for protobuf.
"""

from collections.abc import Callable
from typing import Any

from azure_sandbox.kubernetes import schemas
from azure_sandbox.kubernetes.resources import Registry, ResourceType

Json = dict[str, Any]

_QUERY = ("dryRun", "fieldManager", "fieldValidation", "force")


class OpenApi:
    """The documents of one cluster.

    Args:
        registry: the types served.
        schema: the schema of a type.
    """

    def __init__(self, registry: Registry, schema: Callable[[ResourceType], Json]) -> None:
        self._registry = registry
        self._schema = schema

    def document(self, path: str, accept: str) -> Json | None:
        """What is served at a path; None for other paths, and where only protobuf would do."""
        if path == "/openapi/v3":
            return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}"} for name in self._names()}}
        if path.startswith("/openapi/v3/"):
            return self._names().get(path.removeprefix("/openapi/v3/"), lambda: None)()
        return None

    def _names(self) -> dict[str, Callable[[], Json | None]]:
        names: dict[str, Callable[[], Json | None]] = {}
        for group, versions in self._registry.group_versions().items():
            for version in versions:
                name = f"apis/{group}/{version}" if group else "api/v1"
                names[name] = lambda group=group, version=version: self._group(group, version)  # type: ignore[misc]
        return names

    def _group(self, group: str, version: str) -> Json:
        found: Json = {}
        paths: Json = {}
        for type_ in self._registry.all():
            if (type_.group, type_.version) != (group, version) or type_.verbs == ("create",):
                continue
            root = self._schema(type_)
            kind = {"group": group, "version": version, "kind": type_.kind}
            name = _component(root, f"{_reversed(group)}.{version}.{type_.kind}")
            described = _described(root, found)
            described["properties"] = {
                **described.get("properties", {}),
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": _reference(schemas.OBJECT_META, found),
            }
            found[name] = {**described, "x-kubernetes-group-version-kind": [kind]}
            prefix = f"/apis/{group}/{version}" if group else "/api/v1"
            scope = "/namespaces/{namespace}" if type_.namespaced else ""
            path = f"{prefix}{scope}/{type_.plural}"
            paths[path] = {"post": _operation("post", kind, name)}
            paths[f"{path}/{{name}}"] = {
                method: _operation(method, kind, name) for method in ("get", "put", "patch", "delete")
            }
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "unversioned"},
            "paths": paths,
            "components": {"schemas": found},
        }


def _reversed(group: str) -> str:
    return ".".join(reversed(group.split("."))) if group else "io.k8s.api.core"


def _component(schema: Json, default: str) -> str:
    name = schema.get("x-type")
    return f"io.k8s.api.{name}" if name else default


def _operation(method: str, kind: Json, name: str) -> Json:
    action = {"get": "get", "put": "put", "patch": "patch", "post": "post", "delete": "delete"}[method]
    parameters = [{"name": item, "in": "query", "schema": {"type": "string"}} for item in _QUERY]
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return {
        "operationId": f"{action}{kind['kind']}",
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": content}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind,
    }


def _reference(schema: Json, found: Json) -> Json:
    """A named type by reference, after putting it among the components."""
    name = _component(schema, "")
    if name not in found:
        found[name] = {}  # A type may contain itself.
        found[name] = _described(schema, found)
    return {"allOf": [{"$ref": f"#/components/schemas/{name}"}], "default": {}}


def _described(schema: Json, found: Json) -> Json:
    described = {key: value for key, value in schema.items() if key not in ("x-type", "properties", "items")}
    if schema.get("x-kubernetes-int-or-string") and "type" not in schema:
        described = {"oneOf": [{"type": "integer"}, {"type": "string"}]}
    if "properties" in schema:
        described["properties"] = {
            key: _inner(value, found)
            for key, value in schema["properties"].items()
            if isinstance(value, dict)
        }
    if isinstance(schema.get("additionalProperties"), dict):
        described["additionalProperties"] = _inner(schema["additionalProperties"], found)
    if "items" in schema:
        described["items"] = _inner(schema["items"], found)
        keys = schemas.list_keys(schema)
        if keys or schemas.is_set(schema):
            described["x-kubernetes-patch-strategy"] = "merge"
        if keys:
            described["x-kubernetes-patch-merge-key"] = keys[0]
    return described


def _inner(schema: Json, found: Json) -> Json:
    return _reference(schema, found) if "x-type" in schema else _described(schema, found)
