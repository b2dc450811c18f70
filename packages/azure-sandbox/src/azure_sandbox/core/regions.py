"""Azure's regions, from the dated table `azure_sandbox/data/regions.yaml`."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Region:
    """One region.

    Args:
        name: `canadacentral`.
        display_name: `Canada Central`.
        geography: `Canada`.
        location: city or state.
        paired: name of the paired region.
        zones: logical availability zones, `("1", "2", "3")` or none.
        zrs: whether Standard_ZRS storage is offered.
        grafana: whether Azure Managed Grafana is offered.
        grafana_zone_redundant: whether it is with zone redundancy.
    """

    name: str
    display_name: str
    geography: str
    location: str
    paired: str
    zones: tuple[str, ...]
    zrs: bool
    grafana: bool
    grafana_zone_redundant: bool


@cache
def regions() -> dict[str, Region]:
    """All regions by name."""
    table = yaml.safe_load((DATA / "regions.yaml").read_text(encoding="utf-8"))["regions"]
    return {
        name: Region(name=name, **{**entry, "zones": tuple(entry["zones"])}) for name, entry in table.items()
    }


def region_name(location: str) -> str:
    """A location as ARM normalizes it: `Canada Central` and `canadacentral` are the same."""
    return location.replace(" ", "").lower()


def find_region(location: str) -> Region | None:
    """A region by name or display name, or None when there's no such region."""
    return regions().get(region_name(location))
