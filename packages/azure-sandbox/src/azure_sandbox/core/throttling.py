"""Token buckets, filled by the sandbox's clock.

ARM's buckets: https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
(per region, subscription and principal; a subscription's global bucket is 15 times as large).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass
class _Bucket:
    tokens: float
    at_s: float


@dataclass(frozen=True)
class Limit:
    """A bucket's size and its refill per sandbox second."""

    capacity: float
    per_s: float


READS = Limit(250, 25)
WRITES = Limit(200, 10)
DELETES = Limit(200, 10)
GLOBAL = 15


class Throttling:
    """Buckets by key; full when first used.

    Args:
        now_s: the sandbox's clock.
        enabled: whether anything is refused.
    """

    def __init__(self, now_s: Callable[[], float], enabled: Callable[[], bool]) -> None:
        self._now_s = now_s
        self._enabled = enabled
        self._buckets: dict[tuple[str, ...], _Bucket] = {}

    def reset(self) -> None:
        """Fill all buckets."""
        self._buckets.clear()

    def take(self, key: Iterable[str], capacity: float, per_s: float) -> float:
        """Take a token.

        Returns:
            0 when there was one, else the sandbox seconds until there is one. A refused request takes nothing
            and refills nothing.
        """
        now_s = self._now_s()
        bucket = self._buckets.setdefault(tuple(key), _Bucket(capacity, now_s))
        bucket.tokens = min(capacity, bucket.tokens + (now_s - bucket.at_s) * per_s)
        bucket.at_s = now_s
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0.0
        return (1 - bucket.tokens) / per_s if self._enabled() else 0.0

    def remaining(self, key: Iterable[str], capacity: float) -> int:
        """Whole tokens left in a bucket."""
        bucket = self._buckets.get(tuple(key))
        return int(capacity if bucket is None else bucket.tokens)
