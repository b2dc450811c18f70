"""What a Helm release is, and what brings it to the chart wanted. Pure; `kubernetes.helm` does it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from aks_postgres.arm.responses import Json
from aks_postgres.reports.outputs import FieldChange

# Label of a revision made here: when its installer is dead for sure, in Unix seconds.
UNTIL_LABEL = "aks-postgres-until"
CHECKSUM_WORDS = "aks-postgres: chart with SHA-256 "

# Somebody else's `helm upgrade --timeout` can be anything; three times Helm's default of 5 min has to do.
_FOREIGN_TIMEOUT = timedelta(minutes=15)
# Clocks of installers' machines may be off by this; a revision from further ahead was edited by hand.
_CLOCKS_DIFFER = timedelta(minutes=5)

_ABSENT = object()

Action = Literal["nothing", "install", "upgrade", "reinstall", "rollback", "wait"]


@dataclass(frozen=True)
class Chart:
    """A chart and the values wanted for it."""

    name: str
    version: str
    archive: bytes
    values: Mapping[str, Any]

    @property
    def description(self) -> str:
        """What `helm history` shows of a revision made here; another file with the same version is a change."""
        return CHECKSUM_WORDS + hashlib.sha256(self.archive).hexdigest()


@dataclass(frozen=True)
class Release:
    """The newest revision of a release, as Helm has stored it in the cluster."""

    revision: int
    status: str
    chart_name: str
    chart_version: str
    deployed_at: str
    labels: Mapping[str, str]
    description: str
    values: Mapping[str, Any]
    objects: tuple[Json, ...]

    @property
    def given_up_at(self) -> datetime:
        """When a pending revision has no live installer any more."""
        # What can't be read is long ago; a date without a zone is taken as UTC.
        deployed, ours = datetime.fromtimestamp(0, UTC), None
        with suppress(ValueError):
            found = datetime.fromisoformat(self.deployed_at)
            deployed = found.replace(tzinfo=found.tzinfo or UTC)
        with suppress(ValueError, OverflowError, OSError):
            ours = datetime.fromtimestamp(int(self.labels.get(UNTIL_LABEL, "")), UTC)
        # Helm hands labels on to later revisions, which may be somebody else's.
        if ours is not None and deployed <= ours:
            return ours
        with suppress(OverflowError):
            return deployed + _FOREIGN_TIMEOUT
        return deployed


def changes(chart: Chart, live: Release) -> tuple[FieldChange, ...]:
    """Return what differs between a release and the chart wanted; values by their first keys only."""
    found = []
    if live.chart_version != chart.version:
        found.append(FieldChange(field="chart", old=live.chart_version, new=chart.version))
    elif live.description.startswith(CHECKSUM_WORDS) and live.description != chart.description:
        found.append(FieldChange(field=f"chart {chart.version}", old=None, new="another file"))
    found += [
        FieldChange(field=f"values.{key}", old=None, new="updated")
        for key in sorted({*chart.values, *live.values})
        if chart.values.get(key, _ABSENT) != live.values.get(key, _ABSENT)
    ]
    if not found and live.status != "deployed":
        found.append(FieldChange(field="status", old=live.status, new="deployed"))
    return tuple(found)


def next_action(chart: Chart, live: Release | None, now: datetime) -> Action:
    """Return what brings a release one step nearer to the chart wanted.

    A pending revision is an installer at work, or what is left of one that was killed; Helm refuses everything but
    rollback and uninstall until somebody decides. `helm upgrade` works on a failed revision, even the first.
    """
    if live is None:
        return "install"
    if live.status.startswith("pending-") or live.status == "uninstalling":
        # An end in 2099 is nobody's: it is neither waited for nor believed.
        if now < live.given_up_at <= now + _FOREIGN_TIMEOUT + _CLOCKS_DIFFER:
            return "wait"
        return (
            "rollback" if live.status != "pending-install" and live.status != "uninstalling" else "reinstall"
        )
    if live.status == "uninstalled":  # with --keep-history: the name isn't free
        return "reinstall"
    return "upgrade" if changes(chart, live) else "nothing"


def rollback_target(history: Sequence[Json]) -> int | None:
    """The revision to go back to: the newest that worked, else the newest that isn't pending; None without one."""
    worked = [item["revision"] for item in history if item["status"] in ("deployed", "superseded")]
    ended = [item["revision"] for item in history if item["status"] == "failed"]
    return max(worked, default=max(ended, default=None))
