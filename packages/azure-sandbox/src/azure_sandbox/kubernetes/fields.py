"""Sets of fields, as `managedFields` writes them (FieldsV1), and how two objects differ in them.

A path is a tuple of elements in FieldsV1's own spelling: `f:spec`, `k:{"name":"manager"}`, `v:"x"`.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from azure_sandbox.kubernetes import schemas

Json = dict[str, Any]
Path = tuple[str, ...]

ITEM = object()
"""Leaf that stands for "this list item exists"."""

MAP = object()
"""Leaf that stands for "this map, or keyed list, exists": an applied configuration doesn't own it."""

# Written by the server itself, or naming the object: owned by nobody.
_UNOWNED = {
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    ("f:metadata", "f:name"),
    ("f:metadata", "f:namespace"),
    ("f:metadata", "f:uid"),
    ("f:metadata", "f:resourceVersion"),
    ("f:metadata", "f:generation"),
    ("f:metadata", "f:creationTimestamp"),
    ("f:metadata", "f:deletionTimestamp"),
    ("f:metadata", "f:deletionGracePeriodSeconds"),
    ("f:metadata", "f:managedFields"),
    ("f:metadata", "f:selfLink"),
    ("f:metadata", "f:generateName"),
}


def leaves(obj: Json, schema: Json) -> dict[Path, Any]:
    """Every field that somebody can own, with its value.

    A map counts beside its entries (`f:labels: {".": {}, ...}`), for whoever writes its first entry.
    """
    found: dict[Path, Any] = {}
    # A built-in object's structs are there from the start, a custom one's only once somebody writes them.
    structs = "x-type" not in schema
    for key, value in obj.items():
        if key != "metadata":
            _collect(value, schemas.child(schema, key) or schemas.UNKNOWN, (_field(key),), found, structs)
    _collect(obj.get("metadata", {}), schemas.OBJECT_META, ("f:metadata",), found)
    return {path: value for path, value in found.items() if path not in _UNOWNED and path[:2] not in _UNOWNED}


def _field(name: str) -> str:
    """The path element of a field; the same few names come again in every object, so they are kept once."""
    return sys.intern(f"f:{name}")


def _collect(value: Any, schema: Json, path: Path, found: dict[Path, Any], structs: bool = False) -> None:
    if isinstance(value, dict) and value and not schemas.is_atomic_map(schema):
        if structs or schema.get("properties") is None:
            found[path] = MAP
        for key, item in value.items():
            inner = schemas.child(schema, key) or schemas.UNKNOWN
            _collect(item, inner, (*path, _field(key)), found, structs)
        return
    if isinstance(value, list):
        keys = schemas.list_keys(schema)
        if keys is not None:
            inner = schemas.items(schema)
            if value and path[-1] != "f:containers":  # Which every pod has from the start.
                found[path] = MAP
            for item in value:
                item_path = (*path, map_key(item, keys, inner))
                found[item_path] = ITEM
                if isinstance(item, dict):
                    for key, field in item.items():
                        field_schema = schemas.child(inner, key) or schemas.UNKNOWN
                        _collect(field, field_schema, (*item_path, _field(key)), found, structs)
            return
        if schemas.is_set(schema):
            for item in value:
                found[(*path, f"v:{json.dumps(item)}")] = ITEM
            return
    found[path] = value


def map_key(item: Any, keys: list[str], schema: Json) -> str:
    """The path element of an item of a keyed list."""
    values = schemas.key_of(item, keys, schema)
    named = {key: value for key, value in sorted(zip(keys, values, strict=True)) if value is not None}
    return "k:" + json.dumps(named, separators=(",", ":"))


def applied(config: Json, schema: Json) -> set[Path]:
    """The fields that a manager owns by applying a configuration."""
    return {path for path, value in leaves(config, schema).items() if value is not MAP}


def changed(before: dict[Path, Any], after: dict[Path, Any]) -> tuple[set[Path], set[Path]]:
    """Which fields were added or have another value now, and which are gone."""
    missing = object()
    written = {path for path, value in after.items() if not _same(before.get(path, missing), value)}
    return written, set(before) - set(after)


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def encode(paths: set[Path]) -> Json:
    """A set of paths as FieldsV1: members that also have members below them carry a `.`."""
    root: Json = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _without_dots(root)


def _without_dots(node: Json) -> Json:
    if set(node) == {"."}:
        return {}
    return {key: ({} if key == "." else _without_dots(value)) for key, value in node.items()}


def decode(encoded: Json) -> set[Path]:
    """The opposite of `encode`."""
    return set(_decoded(encoded, ()))


def _decoded(node: Json, path: Path) -> Iterator[Path]:
    for key, below in node.items():
        if key == ".":
            yield path
        elif not below:
            yield (*path, key)
        else:
            yield from _decoded(below, (*path, key))


def shown(path: Path) -> str:
    """A path as messages show it: `.spec.containers[name="manager"].image`."""
    text = ""
    for element in path:
        kind, content = element[:2], element[2:]
        if kind == "f:":
            text += f".{content}"
        elif kind == "k:":
            keys = json.loads(content)
            text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in keys.items()) + "]"
        else:
            text += f"[={content}]"
    return text


def remove(obj: Json, path: Path) -> None:
    """Take a field, list item or set member out of an object, if it is there."""
    node: Any = obj
    for element in path[:-1]:
        node = _descend(node, element)
        if node is None:
            return
    last = path[-1]
    if isinstance(node, dict) and last.startswith("f:"):
        node.pop(last[2:], None)
    elif isinstance(node, list):
        found = _descend(node, last)
        if found is not None:
            node[:] = [item for item in node if item is not found]


def _descend(node: Any, element: str) -> Any:
    kind, content = element[:2], element[2:]
    if kind == "f:":
        return node.get(content) if isinstance(node, dict) else None
    if not isinstance(node, list):
        return None
    wanted = json.loads(content)
    if kind == "v:":
        return next((item for item in node if item == wanted), None)
    for item in node:
        # A key that has its default may be missing in the item itself.
        if isinstance(item, dict) and all(item.get(key, value) == value for key, value in wanted.items()):
            return item
    return None
