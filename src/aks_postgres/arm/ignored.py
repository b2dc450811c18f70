"""Fields that a spec's `ignore_changes` names, for whoever decides about a resource: not compared, and not written."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

_covers: ContextVar[Callable[[str], bool] | None] = ContextVar("covers", default=None)


def ignoring(covers: Callable[[str], bool], decide: Callable[..., Any]) -> Callable[..., Any]:
    """A decision about one resource that leaves alone what `covers` says of ARM's paths."""

    @wraps(decide)
    def decision(*arguments: Any) -> Any:
        token = _covers.set(covers)
        try:
            return decide(*arguments)
        finally:
            _covers.reset(token)

    return decision


def is_ignored(path: str) -> bool:
    """Return whether the resource that is being decided about keeps what it has there."""
    covers = _covers.get()
    return covers is not None and covers(path)


def without_ignored(wanted: Any, path: str = "") -> Any:
    """Return what is wanted, but for what the live resource keeps; paths are those of `arm.diff.differences`."""
    if _covers.get() is None:
        return wanted
    if isinstance(wanted, dict):
        places = {key: f"{path}.{key}" if path else str(key) for key in wanted}
        return {
            key: without_ignored(value, places[key])
            for key, value in wanted.items()
            if not is_ignored(places[key])
        }
    if isinstance(wanted, list) and all(isinstance(item, dict) and "name" in item for item in wanted):
        return [
            {"name": item["name"], **without_ignored(item, f"{path}[{item['name']}]")}
            for item in wanted
            if not is_ignored(f"{path}[{item['name']}]")
        ]
    return wanted
