"""Schemas of the built-in types, read from `azure_sandbox/data/kubernetes-types.yaml`, and how to walk any schema.

A schema is what a CustomResourceDefinition writes under `openAPIV3Schema`, for built-in types too: so
defaults, pruning, validation and field ownership have one implementation. A node without `type` and
`properties` knows nothing about its value: fields below it are kept, lists are replaced as a whole.
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

_FILE = Path(__file__).parent.parent / "data" / "kubernetes-types.yaml"

UNKNOWN: Json = {"x-kubernetes-preserve-unknown-fields": True}

_SCALARS: dict[str, Json] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
    "quantity": {"x-kubernetes-int-or-string": True, "format": "quantity"},
    "intstr": {"x-kubernetes-int-or-string": True},
    "any": UNKNOWN,
}


@cache
def notation() -> dict[str, tuple[bool, dict[str, str]]]:
    """Whether each type is atomic, and the types of its fields."""
    # libyaml's loader is ten times faster, where it is there.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    raw = yaml.load(_FILE.read_text(), Loader=loader)
    return {key.split()[0]: (key.endswith(" atomic"), fields) for key, fields in raw.items()}


@cache
def built_in(name: str) -> Json:
    """The schema of a built-in type, such as `Deployment` or `PodSpec`.

    Types that contain themselves refer to the same object.

    Raises:
        KeyError: no such type.
    """
    atomic, fields = notation()[name]
    properties: Json = {}
    schema: Json = {"type": "object", "properties": properties, "x-type": name}
    if atomic:
        schema["x-kubernetes-map-type"] = "atomic"
    required = [field.rstrip("!") for field in fields if field.endswith("!")]
    if required:
        schema["required"] = required
    if "metadata" in fields and name != "PodTemplateSpec":
        properties["apiVersion"] = {"type": "string"}
        properties["kind"] = {"type": "string"}
    for field, written in fields.items():
        properties[field.rstrip("!")] = _parse(str(written))
    return schema


def _parse(written: str) -> Json:
    text, has_default, default = written.partition(" = ")
    words = text.split()
    if words[0] == "list":
        schema: Json = {"type": "array", "items": _parse(words[1]), "x-kubernetes-list-type": "atomic"}
        if words[2:3] == ["by"]:
            schema["x-kubernetes-list-type"] = "map"
            schema["x-kubernetes-list-map-keys"] = words[3:]
        elif words[2:3] == ["set"]:
            schema["x-kubernetes-list-type"] = "set"
    elif words[0] == "map":
        schema = {"type": "object", "additionalProperties": _parse(words[1])}
        if words[2:3] == ["atomic"]:
            schema["x-kubernetes-map-type"] = "atomic"
    elif words[0] in _SCALARS:
        schema = dict(_SCALARS[words[0]])
    else:
        schema = dict(built_in(words[0]))
    if has_default:
        schema["default"] = {} if default == "empty" else yaml.safe_load(default)
    return schema


OBJECT_META = built_in("ObjectMeta")


def child(schema: Json, name: str) -> Json | None:
    """The schema of a field; None when the schema doesn't declare it."""
    properties = schema.get("properties")
    if properties and name in properties:
        found: Json = properties[name]
        return found
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        return additional
    if additional is True or keeps_unknown(schema) or (properties is None and "type" not in schema):
        return UNKNOWN
    return None


def keeps_unknown(schema: Json) -> bool:
    """Whether fields that the schema doesn't declare stay."""
    return bool(schema.get("x-kubernetes-preserve-unknown-fields"))


def items(schema: Json) -> Json:
    """The schema of a list's items."""
    found: Json = schema.get("items") or UNKNOWN
    return found


def list_keys(schema: Json) -> list[str] | None:
    """The fields that tell a list's items apart; None unless items are merged one by one."""
    if schema.get("x-kubernetes-list-type") == "map":
        keys: list[str] = schema["x-kubernetes-list-map-keys"]
        return keys
    return None


def is_set(schema: Json) -> bool:
    """Whether a list is a set of scalars."""
    return schema.get("x-kubernetes-list-type") == "set"


def is_atomic_map(schema: Json) -> bool:
    """Whether a map or struct is owned and replaced as a whole."""
    return schema.get("x-kubernetes-map-type") == "atomic"


def key_of(item: Any, keys: list[str], schema: Json) -> tuple[Any, ...]:
    """What tells a list item apart, with the keys' defaults (a port's protocol is TCP)."""
    values = item if isinstance(item, dict) else {}
    properties = schema.get("properties", {})
    return tuple(values.get(key, properties.get(key, {}).get("default")) for key in keys)
