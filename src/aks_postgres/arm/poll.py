"""Waiting: looking again and again until something is so. Every wait of ours is one of these; tenacity drives it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from aks_postgres.arm import clock

T = TypeVar("T")


class NotInTime(Exception):
    """It wasn't so at the deadline, or at the last look; the caller says what that means."""

    def __init__(self, elapsed_s: float) -> None:
        self.elapsed_s = elapsed_s
        super().__init__(f"not so after {clock.minutes(elapsed_s)}")


@dataclass(frozen=True)
class Timer:
    """Whose seconds a wait is counted in."""

    now_s: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]


AZURE = Timer(clock.now_s, clock.sleep)
# A lock runs out while the machine sleeps, too.
LOCK = Timer(
    lambda: time.clock_gettime(time.CLOCK_BOOTTIME) * clock.lock_scale(),
    lambda lock_s: asyncio.sleep(clock.lock_real_s(lock_s)),
)
REAL = Timer(time.monotonic, asyncio.sleep)


async def poll(
    look: Callable[[], Awaitable[T | None]],
    *,
    every_s: float | Callable[[float], float],
    deadline_s: float = math.inf,
    tries: float = math.inf,
    waiting: Callable[[float], None] = lambda _: None,
    timer: Timer = AZURE,
) -> T:
    """Look until there is something.

    Args:
        look: returns None while it isn't so; what it raises ends the wait.
        every_s: seconds between two looks, or what gives them by the seconds so far.
        deadline_s: seconds after which no look is followed by another.
        tries: looks after which there is no other.
        waiting: told the seconds so far, before each pause.
        timer: whose seconds.

    Raises:
        NotInTime: it wasn't so.
    """
    began_s = timer.now_s()

    def elapsed_s() -> float:
        return timer.now_s() - began_s

    def is_over(state: tenacity.RetryCallState) -> bool:
        return elapsed_s() > deadline_s or state.attempt_number >= tries

    looking = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_result(lambda found: found is None),
        stop=is_over,
        wait=lambda _: every_s(elapsed_s()) if callable(every_s) else every_s,
        before_sleep=lambda _: waiting(elapsed_s()),
        sleep=timer.sleep,
    )
    try:
        found: T | None = await looking(look)
    except tenacity.RetryError:
        raise NotInTime(elapsed_s()) from None
    assert found is not None
    return found


def poll_here(look: Callable[[], T | None], *, every_s: float, deadline_s: float) -> T:
    """The same where nothing else is to be done meanwhile, in real seconds.

    Raises:
        NotInTime: it wasn't so.
    """
    began_s = time.monotonic()
    looking = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda found: found is None),
        stop=lambda _: time.monotonic() - began_s > deadline_s,
        wait=tenacity.wait_fixed(every_s),
    )
    try:
        found: T | None = looking(look)
    except tenacity.RetryError:
        raise NotInTime(time.monotonic() - began_s) from None
    assert found is not None
    return found
