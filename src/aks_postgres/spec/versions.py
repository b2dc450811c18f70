"""Versions as text, compared."""

from __future__ import annotations


def order(version: str) -> tuple[int, ...]:
    """A version to compare."""
    return tuple(int(part) for part in version.split("."))


def minor_of(version: str) -> str:
    """1.35 of 1.35.2."""
    return ".".join(version.split(".")[:2])


def is_covered(wanted: str, live: str) -> bool:
    """Return whether a live version is what was asked for: of that minor, and of that patch or a later one."""
    return minor_of(wanted) == minor_of(live) and order(live) >= order(wanted)
