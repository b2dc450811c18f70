"""Whether an object holds the types that Kubernetes takes, by the client's own models of its API.

The API server refuses `60` where a text belongs ("cannot unmarshal number into Go struct field"), whatever YAML means.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

from aks_postgres.arm.responses import Json

# The groups whose kinds the models are of; another group may have a kind of the same name.
_GROUPS = ("", "apps", "batch", "autoscaling", "policy")
# Written as numbers, too: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITIES = {
    "averageValue",
    "capacity",
    "default",
    "defaultRequest",
    "divisor",
    "hard",
    "limits",
    "max",
    "maxLimitRequestRatio",
    "min",
    "overhead",
    "requests",
    "sizeLimit",
}
_SCALARS: dict[str, tuple[str, tuple[type, ...]]] = {
    "str": ("text", (str,)),
    "bytes": ("text", (str,)),
    "datetime": ("a time as text", (str,)),
    "int": ("a whole number", (int,)),
    "float": ("a number", (int, float)),
    "bool": ("true or false", (bool,)),
}


@dataclass(frozen=True)
class WrongType:
    """A value that Kubernetes wouldn't take: of which object, where, and what it takes there."""

    thing: str
    path: tuple[str, ...]
    value: Any
    wanted: str

    @property
    def key(self) -> str:
        """The last part of the path, without its index."""
        return re.sub(r"\[\d+\]$", "", self.path[-1])


def wrong_types(item: Json) -> list[WrongType]:
    """Return where an object isn't what Kubernetes takes; of a kind of somebody's own, its metadata only."""
    metadata = item.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    thing = f"{item.get('kind')} {name}"
    model = _model_of(str(item.get("apiVersion")), str(item.get("kind")))
    found = _walk("V1ObjectMeta", metadata, ("metadata",)) if model is None else _walk(model, item, ())
    return [WrongType(thing, path, value, wanted) for path, value, wanted in found]


@functools.cache
def _models() -> Any:
    from kubernetes.aio.client import models

    return models


def _model_of(api_version: str, kind: str) -> str | None:
    group, _, version = api_version.rpartition("/")
    if group not in _GROUPS and not group.endswith(".k8s.io"):
        return None
    name = f"{version[:1].upper()}{version[1:]}{kind}"
    return name if hasattr(_models(), name) else None


def _walk(kind: str, value: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any, str]]:
    """Paths, values and what is wanted there."""
    if value is None or kind == "object":
        return []
    if kind in _SCALARS:
        return [] if _is_scalar(kind, value) else [(path, value, _SCALARS[kind][0])]
    if match := re.fullmatch(r"List\[(.+)\]", kind):
        if not isinstance(value, list):
            return [(path, value, "a list")]
        items = ((item, (*path[:-1], f"{path[-1]}[{at}]")) for at, item in enumerate(value))
        return [wrong for item, where in items for wrong in _walk(match[1], item, where)]
    if not isinstance(value, dict):
        return [(path, value, "a mapping")]
    if match := re.fullmatch(r"Dict\[str, (.+)\]", kind):
        return [wrong for key, item in value.items() for wrong in _walk(match[1], item, (*path, str(key)))]
    model = getattr(_models(), kind)
    kinds = {json_name: model.openapi_types[name] for name, json_name in model.attribute_map.items()}
    return [
        wrong
        for key, item in value.items()
        if key in kinds and not (key in _QUANTITIES and _is_quantity(item))
        for wrong in _walk(kinds[key], item, (*path, key))
    ]


def _is_scalar(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "bool"
    if kind == "int" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _SCALARS[kind][1])


def _is_quantity(value: Any) -> bool:
    values = value.values() if isinstance(value, dict) else [value]
    return all(isinstance(amount, str | int | float) and not isinstance(amount, bool) for amount in values)
