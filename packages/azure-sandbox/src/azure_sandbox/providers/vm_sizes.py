"""Virtual machine sizes, where a subscription may use them, and the quota of their families.

Facts: `azure_sandbox/data/vm_sizes.yaml`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from azure_sandbox.core.regions import find_region, region_name

DATA = Path(__file__).parent.parent / "data"


@dataclass(frozen=True)
class VmSize:
    """One size.

    Args:
        name: `Standard_D4s_v5`; clients may write it in any case.
        family: the quota family, `standardDSv5Family`.
        vcpus: vCPU of one machine.
        memory_gb: its memory.
    """

    name: str
    family: str
    vcpus: int
    memory_gb: int


@dataclass(frozen=True)
class Offer:
    """What a region offers of a size to the subscription.

    Args:
        offered: whether the region has it at all.
        allowed: whether the subscription may use it there.
        zones: zones of the region that have it.
        closed_zones: those of them that the subscription may not use.
    """

    offered: bool
    allowed: bool
    zones: tuple[str, ...]
    closed_zones: tuple[str, ...] = ()

    @property
    def open_zones(self) -> tuple[str, ...]:
        """The zones that can be used."""
        return tuple(zone for zone in self.zones if zone not in self.closed_zones)


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load((DATA / "vm_sizes.yaml").read_text(encoding="utf-8"))
    return table


@cache
def sizes() -> dict[str, VmSize]:
    """All sizes by lower-case name."""
    return {name.lower(): VmSize(name, **entry) for name, entry in _table()["sizes"].items()}


def find_size(name: str) -> VmSize | None:
    """A size by its name in any case."""
    return sizes().get(name.lower())


def offer(location: str, size: VmSize, exceptions: list[dict[str, Any]]) -> Offer:
    """What a region offers of a size.

    Args:
        location: region.
        size: the size.
        exceptions: over the table's, in the same form, where "*" is any region or family: the setting `vm_sizes`.
    """
    region = find_region(location)
    if region is None:
        return Offer(offered=False, allowed=False, zones=())
    for exception in [*exceptions, *_table()["exceptions"]]:
        if exception["region"] in (region.name, "*") and exception["family"] in (size.family, "*"):
            if exception.get("offered", True) is False:
                return Offer(offered=False, allowed=False, zones=())
            if exception["restricted"] == "location":
                return Offer(offered=True, allowed=False, zones=region.zones)
            closed = tuple(zone for zone in region.zones if zone not in exception["zones"])
            return Offer(offered=True, allowed=True, zones=region.zones, closed_zones=closed)
    return Offer(offered=True, allowed=True, zones=region.zones)


def usable_sizes(location: str, exceptions: list[dict[str, Any]]) -> list[VmSize]:
    """The sizes that the subscription may use in a region, by name."""
    found = [size for size in sizes().values() if offer(location, size, exceptions).allowed]
    return sorted(found, key=lambda size: size.name.lower())


def families() -> dict[str, str]:
    """Quota families and how Azure shows them."""
    return {name: entry["display_name"] for name, entry in _table()["families"].items()}


def quota(family: str, changed: dict[str, int]) -> int:
    """The vCPU limit of a family in a region.

    Args:
        family: its name in any case; `cores` is the limit over all families.
        changed: the setting `quota`, family to limit; `*` is every family.
    """
    if "*" in changed and family.lower() != "cores":
        changed = {**changed, family: changed.get(family, changed["*"])}
    for name, limit in changed.items():
        if name.lower() == family.lower():
            return int(limit)
    if family.lower() == "cores":
        return int(_table()["regional_quota"])
    return next(
        int(entry["quota"]) for name, entry in _table()["families"].items() if name.lower() == family.lower()
    )


def same_region(one: str, other: str) -> bool:
    """Whether two locations are the same region."""
    return region_name(one) == region_name(other)
