"""What a schema says about a value: unknown fields, defaults, types and limits.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
Not checked: CEL rules (`x-kubernetes-validations`), `allOf`, `anyOf`, `oneOf`, `not`, formats other than
int32/int64.
"""

import json
import re
from typing import Any

from azure_sandbox.kubernetes import errors, schemas
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


def violations(obj: Json, schema: Json) -> list[Json]:
    """What breaks the schema's rules, as causes of a 422; types are checked by `wrong_types`."""
    found: list[Json] = []
    _required(obj, schema, "", found)
    for key, value in obj.items():
        inner = object_child(schema, key)
        if inner is not None and key != "metadata":
            _violations(value, inner, key, found)
    return found


def _required(value: Json, schema: Json, path: str, found: list[Json]) -> None:
    for name in schema.get("required") or []:
        if value.get(name) is None:
            found.append(errors.required(f"{path}.{name}" if path else name))


def _violations(value: Any, schema: Json, path: str, found: list[Json]) -> None:
    allowed = schema.get("enum")
    if allowed is not None and value not in allowed:
        found.append(errors.unsupported(path, value, (str(item) for item in allowed)))
    if isinstance(value, dict):
        _required(value, schema, path, found)
        for key, item in value.items():
            inner = schemas.child(schema, key)
            if inner is not None:
                _violations(item, inner, f"{path}.{key}", found)
    elif isinstance(value, list):
        _size(len(value), schema, "Items", "items", path, found)
        _duplicates(value, schema, path, found)
        for index, item in enumerate(value):
            _violations(item, schemas.items(schema), f"{path}[{index}]", found)
    elif isinstance(value, str):
        _size(len(value), schema, "Length", "bytes", path, found, value)
        pattern = schema.get("pattern")
        if pattern and not re.search(pattern, value):
            found.append(errors.bad_value(path, value, f"{path} in body should match '{pattern}'"))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        low, high = schema.get("minimum"), schema.get("maximum")
        if low is not None and value < low:
            text = f"{path} in body should be greater than or equal to {low}"
            found.append(errors.bad_value(path, value, text))
        if high is not None and value > high:
            text = f"{path} in body should be less than or equal to {high}"
            found.append(errors.bad_value(path, value, text))


def _size(
    size: int, schema: Json, what: str, unit: str, path: str, found: list[Json], value: Any = None
) -> None:
    low, high = schema.get(f"min{what}"), schema.get(f"max{what}")
    shown = size if value is None else value
    if low is not None and size < low:
        found.append(errors.bad_value(path, shown, f"{path} in body should have at least {low} {unit}"))
    if high is not None and size > high:
        text = f"Too long: may not be more than {high} {unit}"
        found.append(errors.cause(path, "FieldValueTooLong", text))


def _duplicates(value: list[Any], schema: Json, path: str, found: list[Json]) -> None:
    keys = schemas.list_keys(schema)
    if (keys is None and not schemas.is_set(schema)) or "x-type" in schemas.items(schema):
        return  # Built-in types have rules of their own: a variable of the environment may come twice.
    seen = set()
    for index, item in enumerate(value):
        key = (json.dumps(item),) if keys is None else schemas.key_of(item, keys, schemas.items(schema))
        if key in seen:
            text = (
                f"Duplicate value: {json.dumps(item if keys is None else dict(zip(keys, key, strict=True)))}"
            )
            found.append(errors.cause(f"{path}[{index}]", "FieldValueDuplicate", text))
        seen.add(key)
