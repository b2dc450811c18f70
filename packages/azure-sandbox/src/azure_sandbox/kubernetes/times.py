"""Time, as the API writes it, and what is asked of the sandbox's clock."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol


class Clock(Protocol):
    """The part of `azure_sandbox.core.clock.Clock` that a cluster lives by."""

    def now_s(self) -> float:
        """Sandbox seconds since the last reset."""

    def now(self) -> datetime:
        """The sandbox's date and time."""

    def call_at(self, at_s: float, callback: Callable[[], None]) -> Any:
        """Run a callback once the clock reaches a second."""

    def run_due(self) -> None:
        """Run everything that is due."""

    def real(self, seconds: float) -> float:
        """How many real seconds some sandbox seconds last."""

    async def sleep(self, seconds: float) -> None:
        """Sleep sandbox seconds."""


def stamp(clock: Clock, later_s: float = 0.0) -> str:
    """The time, some seconds from now, as `metadata` has it."""
    return (clock.now() + timedelta(seconds=later_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_stamp(clock: Clock) -> str:
    """The time with microseconds, as Leases have it."""
    return clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
