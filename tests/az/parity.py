"""Compare two states of a sandbox, resource by resource."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from .differences import ABSENT, ANY, EACH_RUN, ROLE, Difference, Starts

Json = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """A property with two values; the empty path is the whole resource."""

    type: str
    key: str
    path: str
    ours: Any
    theirs: Any

    def __str__(self) -> str:
        return f"{self.key}\n  {self.path or '(the resource)'}: ours {self.ours!r:.200}, theirs {self.theirs!r:.200}"


def differences(ours: Sequence[Json], theirs: Sequence[Json]) -> list[Found]:
    """Everything in which two states differ, but for what no two runs have alike.

    Case of resource IDs doesn't count, order of named things neither; a role assignment is known by scope, role and
    principal, since its own name may be drawn.
    """
    left, right = _by_key(ours), _by_key(theirs)
    found = []
    for key in sorted(set(left) | set(right)):
        body = left.get(key) or right[key]
        kind = str(body["type"]).casefold()
        if key in left and key in right:
            found += [Found(kind, key, *values) for values in _unlike(left[key], right[key], "")]
        else:
            found.append(Found(kind, key, "", left.get(key, ABSENT), right.get(key, ABSENT)))
    return [one for one in found if not _is_of_each_run(one)]


def explained(found: Found, by: Iterable[Difference]) -> list[Difference]:
    """The entries that allow for a difference."""
    return [
        entry
        for entry in by
        if ("*" in entry.types or found.type in entry.types)
        and fnmatchcase(found.path, entry.path)
        and _is_as_said(found.ours, entry.ours)
        and _is_as_said(found.theirs, entry.guides)
    ]


def _is_as_said(value: Any, said: Any) -> bool:
    if isinstance(said, Starts):
        return str(value).startswith(said)
    return value is not ABSENT if said is ANY else bool(value == said)


def _is_of_each_run(found: Found) -> bool:
    return type(found.ours) is type(found.theirs) and any(
        found.type == kind and fnmatchcase(found.path, path) for kind, path in EACH_RUN
    )


def _by_key(resources: Iterable[Json]) -> dict[str, Json]:
    bodies = {_key(resource): _folded(resource) for resource in resources}
    for body in bodies.values():
        # Some providers leave `tags` out where there are none.
        body["tags"] = body.get("tags") or {}
    return bodies


def _key(resource: Json) -> str:
    if str(resource["type"]).casefold() != ROLE:
        return str(resource["id"]).casefold()
    about = resource["properties"]
    role = str(about["roleDefinitionId"]).rpartition("/")[2]
    return f"{str(about['scope']).casefold()} role {role} principal {about['principalId']}"


def _folded(value: Any) -> Any:
    """With resource IDs, as keys too, in one case, and lists of named things by their names."""
    if isinstance(value, str):
        return value.casefold() if value.startswith("/") else value
    if isinstance(value, list):
        if value and all(isinstance(item, dict) and "name" in item for item in value):
            return {item["name"]: _folded(item) for item in value}
        return [_folded(item) for item in value]
    if isinstance(value, dict):
        return {_folded(key): _folded(item) for key, item in value.items()}
    return value


def _unlike(left: Any, right: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(set(left) | set(right)):
            below = f"{path}.{key}" if path else str(key)
            yield from _unlike(left.get(key, ABSENT), right.get(key, ABSENT), below)
    elif left != right:
        yield path, left, right
