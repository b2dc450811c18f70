"""Scenarios: orders and settings that together make one thing go wrong, as Azure does.

The ones that ship are `azure_sandbox/data/scenarios/*.yaml`, each with its source and what a good client does about it.
A file of one's own has the same form: `orders` (as `POST /sandbox/faults` takes them), `settings`, or both.
`python -m azure_sandbox.core.scenarios` prints them as JSON, with `--markdown` as a table for people.
"""

from __future__ import annotations

import difflib
import json
import sys
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from azure_sandbox.core.faults import check_order
from azure_sandbox.core.settings import check

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

FOLDER = Path(__file__).parents[1] / "data" / "scenarios"


@dataclass(frozen=True)
class Scenario:
    """One scenario.

    Args:
        name: of its file, without the ending.
        title: what goes wrong, in a line.
        source: URL of who saw it, or of the documentation.
        reaction: what a good client does.
        orders: faults to order.
        settings: settings to change.
    """

    name: str
    title: str = ""
    source: str = ""
    reaction: str = ""
    orders: tuple[Json, ...] = ()
    settings: Json = field(default_factory=dict)

    def shown(self) -> Json:
        """As the control API lists it."""
        return asdict(self) | {"orders": list(self.orders)}


@cache
def catalogue() -> dict[str, Scenario]:
    """The scenarios that ship, by name."""
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.yaml"))}


def find(name: str) -> Scenario:
    """A scenario that ships.

    Raises:
        ValueError: none has that name; names similar ones.
    """
    found = catalogue().get(name)
    if found is None:
        near = difflib.get_close_matches(name, catalogue(), n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"there is no scenario called {name}{hint}")
    return found


def find_or_read(name_or_file: str) -> Scenario:
    """A scenario that ships, by its name, or one of one's own, by its file.

    Raises:
        ValueError: there is no such name and no such file, or the file holds no scenario.
    """
    path = Path(name_or_file)
    is_file = path.suffix in (".yaml", ".yml", ".json") or len(path.parts) > 1
    return read(path) if is_file else find(name_or_file)


def read(path: Path) -> Scenario:
    """The scenario in a file.

    Raises:
        ValueError: it can't be read, or isn't one.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
    try:
        return parse(path.stem, content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def parse(name: str, content: Any) -> Scenario:
    """A scenario from what a file or a request holds: a mapping, or just a list of orders.

    Raises:
        ValueError: it isn't one; says why.
    """
    if isinstance(content, list):
        content = {"orders": content}
    if not isinstance(content, dict) or not (content.get("orders") or content.get("settings")):
        raise ValueError("a scenario holds `orders`, `settings` or both")
    unknown = set(content) - {"title", "source", "reaction", "orders", "settings"}
    if unknown:
        raise ValueError(f"a scenario doesn't know {', '.join(sorted(map(str, unknown)))}")
    orders, settings = content.get("orders") or [], content.get("settings") or {}
    if not isinstance(orders, list) or not all(isinstance(order, dict) for order in orders):
        raise ValueError("`orders` is a list of mappings")
    if not isinstance(settings, dict):
        raise ValueError("`settings` is a mapping")
    for order in orders:
        check_order(order)
    check(settings)
    texts = {key: " ".join(str(content.get(key) or "").split()) for key in ("title", "source", "reaction")}
    return Scenario(name, orders=tuple(orders), settings=settings, **texts)


class Scenarios:
    """The scenarios in force in one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._names: list[str] = []
        # Setting -> its value before the first scenario, and the one that scenarios gave it.
        self._changed: dict[str, tuple[Any, Any]] = {}

    def names(self) -> list[str]:
        """Those in force, oldest first."""
        return list(self._names)

    def apply(self, scenario: Scenario) -> list[str]:
        """Put a scenario in force, all of it or nothing; the ids of its orders.

        Raises:
            ValueError: an order makes no sense.
        """
        faults = [self._sandbox.faults.read(order) for order in scenario.orders]
        settings, before = self._sandbox.settings, self._sandbox.settings.all()
        settings.update(scenario.settings)
        for name in scenario.settings:
            original = self._changed[name][0] if name in self._changed else before[name]
            self._changed[name] = (original, settings.all()[name])
        for fault in faults:
            self._sandbox.faults.add(fault)
        self._names.append(scenario.name)
        return [fault.id for fault in faults]

    def clear(self) -> None:
        """Cancel all orders and take the scenarios' settings back; what was set since then stays."""
        self._sandbox.faults.clear()
        for name, (original, given) in self._changed.items():
            if self._sandbox.settings[name] == given:
                self._sandbox.settings.put_back(name, original)
        self.forget()

    def forget(self) -> None:
        """Know of no scenario, after a reset."""
        self._names.clear()
        self._changed.clear()


HEAD = """\
# The scenarios that ship

Made from `azure_sandbox/data/scenarios/` by `python -m azure_sandbox.core.scenarios --markdown`. Put one in force with
`aks-postgres sandbox faults order NAME`; a test in `packages/azure-sandbox/tests/scenarios/` shows each to a plain
client.

| scenario | what goes wrong | what a good client does |
| --- | --- | --- |
"""


def document() -> str:
    """The catalogue as a table, for people."""
    rows = [
        f"| `{item.name}` | [{item.title}]({item.source}) | {item.reaction} |"
        for item in catalogue().values()
    ]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    if "--markdown" in sys.argv[1:]:
        print(document(), end="")
    else:
        print(json.dumps([scenario.shown() for scenario in catalogue().values()], indent=2))
