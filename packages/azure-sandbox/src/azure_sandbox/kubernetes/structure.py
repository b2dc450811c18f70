"""What a schema says about a value: unknown fields, defaults, and types. Its rules: `schema_rules`.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

import json
from typing import Any

from azure_sandbox.kubernetes import schemas
from azure_sandbox.kubernetes.values import copied

Json = dict[str, Any]

_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


def object_child(schema: Json, name: str) -> Json | None:
    """The schema of a top-level field; what every object has comes from Kubernetes."""
    if name == "metadata":
        return schemas.OBJECT_META
    if name in ("apiVersion", "kind"):
        return {"type": "string"}
    return schemas.child(schema, name)


def pruned(obj: Json, schema: Json) -> Json:
    """A copy without unknown fields and without nulls (except where the schema allows them)."""
    kept = {}
    for key, value in obj.items():
        inner = object_child(schema, key)
        if inner is not None and value is not None:
            kept[key] = _pruned(value, inner)
    return kept


def _pruned(value: Any, schema: Json) -> Any:
    if isinstance(value, dict):
        kept = {}
        for key, item in value.items():
            inner = schemas.child(schema, key)
            if inner is None or (item is None and not inner.get("nullable")):
                continue
            kept[key] = _pruned(item, inner)
        return kept
    if isinstance(value, list):
        inner = schemas.items(schema)
        return [_pruned(item, inner) for item in value]
    if schema.get("format") == "quantity" and isinstance(value, int | float):
        return str(value)
    return value


def unknown_fields(obj: Json, schema: Json, keyed: bool = False) -> list[str]:
    """Fields that the schema doesn't declare, such as `spec.containers[0].img`.

    Args:
        obj: the whole object.
        schema: of its type.
        keyed: name list items by their keys, as server-side apply does.
    """
    found: list[str] = []
    for key, value in obj.items():
        inner = object_child(schema, key)
        if inner is None:
            found.append(key)
        else:
            _unknown(value, inner, key, keyed, found)
    return found


def _unknown(value: Any, schema: Json, path: str, keyed: bool, found: list[str]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            inner = schemas.child(schema, key)
            if inner is None:
                found.append(f"{path}.{key}")
            else:
                _unknown(item, inner, f"{path}.{key}", keyed, found)
    elif isinstance(value, list):
        inner = schemas.items(schema)
        keys = schemas.list_keys(schema) if keyed else None
        for index, item in enumerate(value):
            name = str(index)
            if keys is not None:
                values = zip(sorted(keys), schemas.key_of(item, sorted(keys), inner), strict=True)
                name = ",".join(f"{key}={json.dumps(part)}" for key, part in values)
            _unknown(item, inner, f"{path}[{name}]", keyed, found)


def defaulted(value: Any, schema: Json) -> Any:
    """A copy in which fields that are missing have the schema's defaults."""
    if isinstance(value, dict):
        result = {}
        for key, item in value.items():
            inner = schemas.child(schema, key)
            result[key] = item if inner is None else defaulted(item, inner)
        for key, inner in (schema.get("properties") or {}).items():
            if key not in result and "default" in inner:
                result[key] = defaulted(copied(inner["default"]), inner)
        return result
    if isinstance(value, list):
        inner = schemas.items(schema)
        return [defaulted(item, inner) for item in value]
    return value


def wrong_types(obj: Json, schema: Json) -> list[tuple[str, str, Any]]:
    """Values of another type than the schema's: path, type wanted, value."""
    found: list[tuple[str, str, Any]] = []
    for key, value in obj.items():
        inner = object_child(schema, key)
        if inner is not None:
            _wrong(value, inner, key, found)
    return found


def _wrong(value: Any, schema: Json, path: str, found: list[tuple[str, str, Any]]) -> None:
    if value is None:
        return
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            found.append((path, "integer,string", value))
        return
    wanted = schema.get("type")
    if wanted and not _is(value, wanted):
        found.append((path, wanted, value))
        return
    if isinstance(value, dict):
        for key, item in value.items():
            inner = schemas.child(schema, key)
            if inner is not None:
                _wrong(item, inner, f"{path}.{key}", found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _wrong(item, schemas.items(schema), f"{path}[{index}]", found)


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted == "boolean"
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[wanted])  # type: ignore[arg-type]  # a table of types and tuples of types


_GO_NAMES = {
    "integer": "numeric (int or float)",
    "number": "numeric (int or float)",
    "object": "map",
    "array": "list",
}


def mistyped(obj: Json, schema: Json) -> list[str]:
    """Values of a wrong type, as server-side apply complains of them."""
    return [
        f".{path}: expected {_GO_NAMES.get(wanted, wanted)}, got {_go_type(value)}"
        for path, wanted, value in wrong_types(obj, schema)
    ]


def _go_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return {str: "string", int: "int", float: "float", list: "list", dict: "map"}.get(type(value), "null")
