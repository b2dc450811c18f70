"""How long Azure takes, from the dated tables `azure_sandbox/data/durations*.yaml`."""

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parents[1] / "data"


@cache
def table() -> dict[str, dict[str, Any]]:
    """All durations by name."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(DATA.glob("durations*.yaml")):
        found.update(yaml.safe_load(path.read_text())["durations"])
    return found


def names() -> set[str]:
    """The names of all durations."""
    return set(table())


class Durations:
    """Durations by name, in sandbox seconds, with a spread drawn from the seed.

    Args:
        rng: gives a random source for a key, always the same for the same seed and key.
        overrides: name to seconds, from the settings; those are exact.
    """

    def __init__(self, rng: Callable[..., random.Random], overrides: Callable[[], dict[str, float]]) -> None:
        self._rng = rng
        self._overrides = overrides
        self.table = table()

    def seconds(self, name: str, key: str = "") -> float:
        """How long something takes for one resource: `seconds` plus or minus `spread` (a fraction).

        Args:
            name: an entry of the table, such as `storage_account_create`.
            key: the resource id.

        Raises:
            KeyError: no such entry.
        """
        overrides = self._overrides()
        if name in overrides:
            return float(overrides[name])
        entry = self.table[name]
        seconds, spread = float(entry["seconds"]), float(entry.get("spread", 0))
        return seconds * (1 + spread * self._rng("duration", name, key.lower()).uniform(-1, 1))
