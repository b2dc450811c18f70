"""What an environment costs a day, roughly: by the dated list prices in `prices.yaml`, from the spec alone.

A price or a volume that nobody knows makes an unknown line, never a free one. Traffic and operations on the backups
aren't part of it: they come with use.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import computed_field

from aks_postgres.files.yaml_text import yaml_documents
from aks_postgres.reports.outputs import Outputs
from aks_postgres.spec.environment import EnvironmentSpec, NodePoolSpec

# Assumptions of ours, said on the line that rests on them: nobody knows these before the environment works.
LOGS_GB_PER_NODE_AND_DAY = 0.5
BACKUPS_GB = 100

# https://learn.microsoft.com/azure/azure-monitor/logs/cost-logs (31 days are in the price of ingestion)
_FREE_LOG_DAYS = 31
# The cluster's outbound address, and the one that PostgreSQL is reached at.
_ADDRESSES = 2
# https://learn.microsoft.com/azure/managed-grafana/high-availability (two virtual machines by default)
_GRAFANA_NODES = 2
_HOURS_PER_DAY, _HOURS_PER_MONTH = 24, 730
_EVERYWHERE = "everywhere"


class CostLine(Outputs):
    """What one thing costs a day: with the fewest nodes and with the most; None where nobody knows.

    `assumes` is what the figure rests on, or why there is none; `read` is the day of the price.
    """

    what: str
    low_usd: float | None = None
    high_usd: float | None = None
    assumes: str = ""
    read: date | None = None
    per_generation: bool = True

    @property
    def is_known(self) -> bool:
        """Whether there is a figure."""
        return self.low_usd is not None


class Cost(Outputs):
    """What an environment costs a day in US dollars, line by line."""

    lines: tuple[CostLine, ...]

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def low_usd(self) -> float:
        """With the fewest nodes, as far as it is known."""
        return round(sum(line.low_usd or 0 for line in self.lines), 2)

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def high_usd(self) -> float:
        """With the most nodes, as far as it is known."""
        return round(sum(line.high_usd or 0 for line in self.lines), 2)

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def unknown(self) -> tuple[str, ...]:
        """What has no figure, and so is in neither sum."""
        return tuple(line.what for line in self.lines if not line.is_known)

    def doubled(self) -> Cost:
        """The cost while two generations run side by side; backups and Grafana's users are the same for both."""
        lines = [
            line.model_copy(update={"low_usd": 2 * line.low_usd, "high_usd": 2 * (line.high_usd or 0)})
            if line.per_generation and line.low_usd is not None
            else line
            for line in self.lines
        ]
        return Cost(lines=tuple(lines))


def cost_of(spec: EnvironmentSpec) -> Cost:
    """Return what this environment costs a day, by the dated list prices of its region."""
    region, monitoring = spec.region, spec.monitoring
    few = spec.system_pool.min_count + spec.postgres_pool.min_count
    most = spec.system_pool.max_count + spec.postgres_pool.max_count
    lines = [line for pool in (spec.system_pool, spec.postgres_pool) for line in _pool(region, pool)]
    if spec.cluster.tier == "Free":
        lines.append(
            CostLine(what="AKS tier Free", low_usd=0, high_usd=0, assumes="Azure asks nothing for it")
        )
    else:
        lines.append(_line(region, f"AKS tier {spec.cluster.tier}", f"aks_{spec.cluster.tier}"))
    lines.append(_line(region, f"{_ADDRESSES} public IP addresses", "public_ip", _ADDRESSES))
    lines.append(_line(region, "load balancer", "load_balancer"))
    lines.append(_line(region, "Managed Grafana", "grafana_node", _GRAFANA_NODES))
    if monitoring.grafana_zone_redundancy:
        lines.append(_line(region, "Grafana's zone redundancy", "grafana_zones"))
    users = len(monitoring.grafana_admins) or 1
    assumed = f"{users} active in a month"
    lines.append(
        _line(region, "Grafana's users", "grafana_user", users, assumes=assumed, per_generation=False)
    )
    logs = LOGS_GB_PER_NODE_AND_DAY
    assumed = f"{logs} GB a node and day"
    lines.append(_line(region, "logs", "logs_gb", few * logs, most * logs, assumes=assumed))
    if (days := monitoring.log_retention_days - _FREE_LOG_DAYS) > 0:
        kept = f"logs kept beyond {_FREE_LOG_DAYS} days"
        lines.append(
            _line(region, kept, "logs_kept_gb", few * logs * days, most * logs * days, assumes=assumed)
        )
    lines.append(CostLine(what="metrics", assumes="by their number, which nobody knows before"))
    lines.append(
        _line(
            region,
            "backups",
            f"backups_gb_{spec.storage.sku}",
            BACKUPS_GB,
            assumes=f"{BACKUPS_GB} GB",
            per_generation=spec.storage.backups == "in_environment_group",
        )
    )
    lines += _volumes(spec)
    return Cost(lines=tuple(lines))


def _volumes(spec: EnvironmentSpec) -> Iterator[CostLine]:
    """The volumes of the database's instances; local disks come with the nodes."""
    if spec.database is None or spec.database.storage.storage_class == "local_nvme":
        return
    storage = spec.database.storage
    for size, name in ((storage.size_gib, "volumes"), (storage.wal_size_gib, "volumes for the WAL")):
        if size:
            yield CostLine(
                what=f"{spec.database.instances} {name} of {size} GiB ({storage.storage_class})",
                assumes=f"none was read in {spec.region}",
            )


def cost_text(cost: Cost, *, doubled: bool = False) -> str:
    """The cost in one sentence for people.

    Args:
        cost: of one environment.
        doubled: whether a second generation will run beside it for a while.
    """
    text = f"Cost a day, roughly: {_range(cost)}"
    if doubled:
        text += f"; while both generations run: {_range(cost.doubled())}"
    if cost.unknown:
        text += f"; plus unknown: {', '.join(cost.unknown)}"
    days = sorted(line.read for line in cost.lines if line.read)
    return f"{text}. Azure's list prices in US dollars, read {days[0]} to {days[-1]}." if days else f"{text}."


def _range(cost: Cost) -> str:
    at_least = "at least " if cost.unknown else ""
    if cost.low_usd == cost.high_usd:
        return f"{at_least}{cost.low_usd:.2f} USD"
    return f"{at_least}{cost.low_usd:.2f} USD with the fewest nodes, {cost.high_usd:.2f} with the most"


def _pool(region: str, pool: NodePoolSpec) -> Iterator[CostLine]:
    """A node pool's nodes, and their OS disks where these cost extra."""
    counts = (
        str(pool.min_count) if pool.min_count == pool.max_count else f"{pool.min_count} to {pool.max_count}"
    )
    what = f"{counts} nodes {pool.vm_size} ({pool.name})"
    nodes = _prices()["nodes"]
    sizes = {size.casefold(): index for index, size in enumerate(nodes["os_disks"])}
    index = sizes.get(pool.vm_size.casefold())
    row = nodes["usd_per_hour"].get(region)
    if index is None or row is None:
        yield CostLine(what=what, assumes="none was read for this size in this region")
    else:
        usd = row[index] * _HOURS_PER_DAY
        yield CostLine(
            what=what, low_usd=usd * pool.min_count, high_usd=usd * pool.max_count, read=nodes["read"]
        )
    disk = "unknown" if index is None else list(nodes["os_disks"].values())[index]
    disks = f"OS disks of the nodes ({pool.name})"
    if disk == "unknown":
        yield CostLine(what=disks, assumes="which disk AKS gives this size")
    elif disk != "none":
        meter = f"os_disk_{disk}"
        yield _line(region, disks, meter, pool.min_count, pool.max_count, assumes=f"{disk}, AKS's default")


def _line(
    region: str,
    what: str,
    meter: str,
    low: float = 1,
    high: float | None = None,
    *,
    assumes: str = "",
    per_generation: bool = True,
) -> CostLine:
    """So many of a meter a day, or for a day."""
    line = CostLine(what=what, assumes=assumes, per_generation=per_generation)
    readings = [
        reading
        for reading in _prices()["readings"]
        if reading["region"] in (region, _EVERYWHERE) and meter in reading["usd"]
    ]
    if not readings:
        missing = f"none was read in {region}"
        return line.model_copy(update={"assumes": f"{assumes}; {missing}" if assumes else missing})
    # The region's own before the one for everywhere, and the newest of them.
    reading = max(readings, key=lambda one: (one["region"] == region, one["read"]))
    hours = {"hour": 1, "month": _HOURS_PER_MONTH, "GB": _HOURS_PER_DAY}[_prices()["meters"][meter]]
    usd = reading["usd"][meter] * _HOURS_PER_DAY / hours
    figures = {
        "low_usd": usd * low,
        "high_usd": usd * (low if high is None else high),
        "read": reading["read"],
    }
    return line.model_copy(update=figures)


@functools.cache
def _prices() -> dict[str, Any]:
    found: dict[str, Any] = yaml_documents((Path(__file__).parent / "prices.yaml").read_text())[0]
    return found
