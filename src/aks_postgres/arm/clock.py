"""Azure's seconds: every interval, wait and deadline of ours goes through here.

Against Azure they are real seconds. Against a sandbox whose clock runs faster, `AKS_POSTGRES_TIME_SCALE` says
how much, and ours runs as fast; time-outs of TCP and TLS stay real.
"""

from __future__ import annotations

import asyncio
import math
import os
import time

from aks_postgres.arm.errors import WrongSetting

TIME_SCALE_VARIABLE = "AKS_POSTGRES_TIME_SCALE"
# Below this a waiting loop would only burn CPU; it matters at a scale of 100 and more.
_SHORTEST_SLEEP_S = 0.02
_FASTEST_LOCK = 5.0


def number_from(variable: str, default: float) -> float:
    """The number in an environment variable.

    Raises:
        WrongSetting: there is something else in it; names the variable.
    """
    given = os.environ.get(variable) or default
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise WrongSetting(
            f"environment variable {variable}: {given!r} was given; a number from 0 up is expected.",
            way_out="Correct or unset it, then run again.",
        )
    return number


def time_scale() -> float:
    """Azure seconds per real second; 1 outside a sandbox."""
    return max(1.0, number_from(TIME_SCALE_VARIABLE, 1))


def now_s() -> float:
    """Azure seconds since some fixed moment; only differences mean anything."""
    return time.monotonic() * time_scale()


def lock_scale() -> float:
    """Return how many times as fast as on Azure the lock on an environment is.

    A sandbox's clock, but no faster than this: below it a busy machine's pauses would count as a process that slept.
    """
    return min(time_scale(), _FASTEST_LOCK)


def lock_real_s(lock_s: float) -> float:
    """The real seconds of a duration of the lock's."""
    return lock_s / lock_scale()


def lock_azure_s(lock_s: float) -> float:
    """The seconds by Azure's clock of a duration of the lock's."""
    return lock_real_s(lock_s) * time_scale()


async def sleep(azure_s: float) -> None:
    """Sleep for that many of Azure's seconds."""
    await asyncio.sleep(max(_SHORTEST_SLEEP_S, azure_s / time_scale()))


def minutes(azure_s: float) -> str:
    """A duration for people, such as 45 s or 6 min 40 s."""
    whole = round(azure_s)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
