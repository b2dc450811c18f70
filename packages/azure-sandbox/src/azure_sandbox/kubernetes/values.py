"""JSON values."""

from typing import Any, TypeVar, cast

T = TypeVar("T")


def copied(value: T) -> T:
    """A copy of a JSON value, all the way down: several times faster than `copy.deepcopy`."""
    return cast(T, _copied(value))


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    if type(value) is list:
        return [_copied(item) for item in value]
    return value
