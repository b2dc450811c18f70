"""How a fleet of regions ended."""

from __future__ import annotations

from typing import Any

from aks_postgres.foreign_text import in_markdown
from aks_postgres.reports.outputs import Outputs


class RegionResult(Outputs):
    """One region's run; `failure` is empty where it went well."""

    region: str
    state: str
    minutes: float
    failure: str = ""


class Fleet(Outputs):
    """Every region's run."""

    environment: str
    regions: tuple[RegionResult, ...]

    @property
    def failed(self) -> tuple[RegionResult, ...]:
        """The regions that didn't end well."""
        return tuple(region for region in self.regions if region.state != "Completed")

    @property
    def headline(self) -> str:
        """How it ended, in one line."""
        done = len(self.regions) - len(self.failed)
        failed = f"; failed: {', '.join(region.region for region in self.failed)}" if self.failed else ""
        return f"{self.environment}: {done} of {len(self.regions)} regions done{failed}"

    def rows(self) -> list[dict[str, Any]]:
        """A table, a row a region; the Prefect UI shows its texts as Markdown."""
        return [
            {
                "region": in_markdown(r.region),
                "state": in_markdown(r.state),
                "minutes": r.minutes,
                "what failed": in_markdown(r.failure),
            }
            for r in self.regions
        ]
