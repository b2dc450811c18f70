"""The sandbox's one clock: real seconds times the speed, plus the steps that tests order.

Everything that takes time on Azure (operations, replication, throttling buckets) is counted in *sandbox
seconds*. Callbacks are run in the order of their due time, each seeing its own due time as "now", so that a
step over an hour gives the same history as an hour of waiting.
"""

import asyncio
import heapq
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

logger = logging.getLogger(__name__)


@dataclass(order=True)
class Timer:
    """A callback that is due at a time; `cancel` takes it back."""

    at_s: float
    order: int
    callback: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        """Take the callback back; harmless when it has run."""
        self.cancelled = True


class Clock:
    """Sandbox seconds since the last reset.

    Args:
        speed: sandbox seconds per real second.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._timers: list[Timer] = []
        self._order = 0
        self._changed: asyncio.Event | None = None
        self._as_of: float | None = None
        self.reset()

    def reset(self, speed: float | None = None, *, at_s: float = 0.0) -> None:
        """Start again at `at_s`, without timers; sleepers are woken."""
        self.speed = speed if speed is not None else self.speed
        self._timers.clear()
        self._base_s = at_s
        self._real_base = time.monotonic()
        self.real_start = self._real_base
        self.epoch = datetime.now(UTC) - timedelta(seconds=at_s)
        self._wake()

    def now_s(self) -> float:
        """Sandbox seconds since the reset; inside a callback, the second that the callback was due."""
        if self._as_of is not None:
            return self._as_of
        return self._base_s + (time.monotonic() - self._real_base) * self.speed

    def real_s(self) -> float:
        """Real seconds since the reset."""
        return time.monotonic() - self.real_start

    def now(self) -> datetime:
        """The sandbox's date and time: that of the reset, plus `now_s`."""
        return self.at(self.now_s())

    def at(self, seconds: float) -> datetime:
        """The date and time of a sandbox second."""
        return self.epoch + timedelta(seconds=seconds)

    def http_date(self, seconds: float | None = None) -> str:
        """Now, or another sandbox second, as HTTP's headers write times."""
        at = self.now() if seconds is None else self.at(seconds)
        return format_datetime(at, usegmt=True)

    def iso(self, seconds: float | None = None) -> str:
        """Now, or another sandbox second, as Azure writes times."""
        at = self.now() if seconds is None else self.at(seconds)
        return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def real(self, seconds: float) -> float:
        """How many real seconds some sandbox seconds last."""
        return seconds / self.speed

    def call_at(self, at_s: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` (plain and quick) once the clock reaches `at_s`."""
        self._order += 1
        timer = Timer(at_s, self._order, callback)
        heapq.heappush(self._timers, timer)
        if self._timers[0] is timer:
            self._wake()
        return timer

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` that many sandbox seconds from now."""
        return self.call_at(self.now_s() + seconds, callback)

    def run_due(self) -> None:
        """Run everything that is due, in order of time; called before every request."""
        if self._as_of is not None:  # A callback that steps or reads must not start the others under it.
            return
        while self._timers and self._timers[0].at_s <= self.now_s():
            timer = heapq.heappop(self._timers)
            if timer.cancelled:
                continue
            self._as_of = timer.at_s
            try:
                timer.callback()
            except Exception:
                logger.exception("a callback of the sandbox's clock failed")
            finally:
                self._as_of = None

    def step(self, seconds: float) -> None:
        """Advance at once; everything due on the way happens before this returns."""
        self._base_s += max(seconds, 0.0)
        self.run_due()
        self._wake()

    def set_speed(self, speed: float) -> None:
        """Go on from now with another speed."""
        self._base_s = self.now_s()
        self._real_base = time.monotonic()
        self.speed = speed
        self._wake()

    async def sleep(self, seconds: float) -> None:
        """Sleep sandbox seconds; a step that covers them wakes the sleeper."""
        if seconds <= 0:
            return
        done = asyncio.Event()
        timer = self.call_later(seconds, done.set)
        try:
            await done.wait()
        finally:
            timer.cancel()

    async def run(self) -> None:
        """Run callbacks as their time comes, for ever: one task of the server."""
        while True:
            self.run_due()
            self._changed = asyncio.Event()
            wait_s: float | None = None
            if self._timers:
                wait_s = max(self.real(self._timers[0].at_s - self.now_s()), 0.0)
            try:
                await asyncio.wait_for(self._changed.wait(), wait_s)
            except TimeoutError:
                continue

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
