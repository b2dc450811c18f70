"""What of a resource may be sent back: nothing that the SDK's model says only Azure writes, nothing that isn't changed.

The read-only fields are those of the models, of both generations: `rest_field(visibility=["read"])`, and the older
`_validation` with `_attribute_map`.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from typing import Any

from aks_postgres.arm.responses import Json


def patch_of(body: Json, live: Json) -> Json:
    """The fields of `body` that aren't so in `live`, one level of `properties` deep."""
    changed = {key: value for key, value in body.items() if key != "location" and value != live.get(key)}
    if isinstance(properties := changed.get("properties"), dict):
        have = live.get("properties") or {}
        changed["properties"] = {key: value for key, value in properties.items() if value != have.get(key)}
    return changed


def without_read_only(get: Callable[..., Any], body: Json, live: Json) -> Json:
    """`body` without the values that are Azure's own, as the model says of what `get` returns; ours stay.

    Args:
        get: the SDK operation that reads the resource.
        body: the whole resource as it would be sent.
        live: the resource as Azure answered it.
    """
    model = _model_of(getattr(get, "__func__", get))
    return body if model is None else _stripped(model, body, live)


@functools.cache
def _model_of(operation: Callable[..., Any]) -> type | None:
    found = inspect.signature(operation).return_annotation
    if isinstance(found, str):
        scope, _, name = found.rpartition(".")
        found = getattr(inspect.unwrap(operation).__globals__.get(scope), name, None)
    return found if isinstance(found, type) else None


def _stripped(model: type | _Each, body: Any, live: Any) -> Any:
    if isinstance(model, _Each):
        if not isinstance(body, dict) or not isinstance(live, dict):
            return body
        return {key: _stripped(model.of, value, live.get(key)) for key, value in body.items()}
    if isinstance(body, list):
        by_name = {item["name"]: item for item in live or [] if isinstance(item, dict) and "name" in item}
        return [
            _stripped(model, item, by_name.get(item.get("name"), {})) if isinstance(item, dict) else item
            for item in body
        ]
    if not isinstance(body, dict) or not isinstance(live, dict):
        return body
    fields = _fields(model)
    kept = {}
    for key, value in body.items():
        read_only, inside = fields.get(key, (False, None))
        if read_only and key != "name" and value == live.get(key):
            continue
        kept[key] = value if inside is None else _stripped(inside, value, live.get(key))
    return kept


class _Each:
    """A model of each value of an object whose keys are names, such as a cluster's `userAssignedIdentities`."""

    def __init__(self, of: type) -> None:
        self.of = of


@functools.cache
def _fields(model: type) -> dict[str, tuple[bool, Any]]:
    """By key in JSON: whether only Azure writes it, and the model of what is in it."""
    return dict(_new_fields(model) if hasattr(model, "_is_model") else _old_fields(model))


def _new_fields(model: Any) -> Iterator[tuple[str, tuple[bool, Any]]]:
    made = model.__new__(model)  # the first one fills the table
    hints = _hints(model)
    for name, field in made._attr_to_rest_field.items():
        yield field._rest_name, (field._visibility == ["read"], _model_in(hints.get(name)))


def _hints(model: type) -> dict[str, Any]:
    package = sys.modules[model.__module__.rpartition(".")[0]]
    hints = {}
    for kind in reversed(model.__mro__):
        for name, hint in vars(kind).get("__annotations__", {}).items():
            hints[name] = (hint, package)
    return hints


def _model_in(hint: Any) -> Any:
    """The first model that a type names, such as in `Optional[List["_models.Pool"]]`."""
    if hint is None:
        return None
    annotation, package = hint
    text = annotation if isinstance(annotation, str) else repr(annotation)
    for name in re.findall(r"_models\.(\w+)", text):
        found = getattr(package, name, None)
        if isinstance(found, type) and hasattr(found, "_is_model"):
            return _Each(found) if re.search(r"\b[Dd]ict\[", text) else found
    return None


class _Group:
    """What older models flatten: the keys below `properties`."""

    def __init__(self) -> None:
        self.fields: dict[str, tuple[bool, Any]] = {}


def _old_fields(model: Any) -> Iterator[tuple[str, tuple[bool, Any]]]:
    if isinstance(model, _Group):
        yield from model.fields.items()
        return
    package = sys.modules[model.__module__.rpartition(".")[0]]
    groups: dict[str, _Group] = {}
    for name, about in getattr(model, "_attribute_map", {}).items():
        key, _, below = re.sub(r"\\\.", "\0", about["key"]).partition(".")
        inside = getattr(package, about["type"].strip("[]{}"), None)
        inside = inside if isinstance(inside, type) and hasattr(inside, "_attribute_map") else None
        read_only = bool(model._validation.get(name, {}).get("readonly"))
        if below:
            groups.setdefault(key, _Group()).fields[below.replace("\0", ".")] = (read_only, inside)
        else:
            yield key.replace("\0", "."), (read_only, inside)
    for key, group in groups.items():
        yield key, (False, typing.cast(Any, group))
