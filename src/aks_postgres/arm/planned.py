"""What a resource would look like after a write that a plan doesn't send.

Everything that the body says is known; what only Azure knows (a principal ID, an address) reads as `UNKNOWN`, however
deep it is looked for.
"""

from __future__ import annotations

from typing import Any

from aks_postgres.arm.responses import Json

UNKNOWN = "(known after creation)"


class _Unknown(str):
    """`UNKNOWN`, also as anything looked up inside it."""

    def __getitem__(self, key: Any) -> Any:
        return self if isinstance(key, str) else super().__getitem__(key)


class PlannedBody(dict[str, Any]):
    """A body in which what isn't said is unknown."""

    def __missing__(self, key: str) -> Any:
        return _Unknown(UNKNOWN)


def planned(body: Json, resource_id: str) -> Json:
    """The resource as the write would leave it."""
    name = resource_id.rsplit("/", 1)[-1]
    found: Json = _known({**body, "id": resource_id, "name": name})
    return found


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return PlannedBody({key: _known(item) for key, item in value.items()})
    if isinstance(value, list):
        return [_known(item) for item in value]
    return value


def is_unknown(text: str) -> bool:
    """Return whether `text` is, or holds, what only Azure will know."""
    return UNKNOWN in text
