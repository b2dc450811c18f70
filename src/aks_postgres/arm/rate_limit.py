"""Staying within ARM's token buckets, all runs of a process together.

ARM counts for each subscription and caller: reads, writes and deletes have a bucket each, which refills
steadily. Whoever asks beyond it gets 429, and a crowd that comes back at once gets it again. So every request takes
a token of ours first, in order of arrival, and a fleet's intervals stretch by themselves.
https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
"""

from __future__ import annotations

from typing import Any

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy

from aks_postgres.arm import clock

# Tokens, and tokens a second of Azure's. ARM has 250 and 25, 200 and 10; what we send arrives in bunches some seconds
# later, while a full bucket of its takes no more.
LIMITS = {"reads": (150.0, 24.0), "writes": (150.0, 9.5), "deletes": (150.0, 9.5)}


class Bucket:
    """Tokens that come back with time; they can be owed, so that whoever came first goes first."""

    def __init__(self, capacity: float, per_s: float) -> None:
        self._capacity, self._per_s = capacity, per_s
        self._tokens, self._at_s = capacity, clock.now_s()

    def _refill(self) -> None:
        now_s = clock.now_s()
        since_s = max(0.0, now_s - self._at_s)  # a sandbox's clock may have got slower meanwhile
        self._tokens = min(self._capacity, self._tokens + since_s * self._per_s)
        self._at_s = now_s

    @property
    def queue_s(self) -> float:
        """Azure seconds until those who wait now have their token."""
        self._refill()
        return max(0.0, -self._tokens / self._per_s)

    async def take(self) -> None:
        """Take a token; wait for it where there is none."""
        self._refill()
        self._tokens -= 1
        if self._tokens < 0:
            await clock.sleep(-self._tokens / self._per_s)

    def told(self, remaining: float) -> None:
        """ARM says how many it has left: fewer than we thought, if others ask in the same name."""
        self._refill()
        self._tokens = min(self._tokens, remaining)

    def refused(self, retry_after_s: float) -> None:
        """ARM has none left: nobody here asks before it has, however many of us were refused."""
        self._refill()
        self._tokens = min(self._tokens, -retry_after_s * self._per_s)


_buckets: dict[tuple[str, str], Bucket] = {}


def bucket(account: str, kind: str) -> Bucket:
    """The bucket of this process for requests of a kind.

    Args:
        account: whatever ARM counts by: its endpoint, the subscription and the caller.
        kind: a key of `LIMITS`.
    """
    key = (account, kind)
    if key not in _buckets:
        _buckets[key] = Bucket(*LIMITS[kind])
    return _buckets[key]


class PacePolicy(AsyncHTTPPolicy[Any, Any]):
    """Takes a token before it sends, and learns from what ARM says of its own."""

    def __init__(self, account: str) -> None:
        super().__init__()
        self._account = account

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send when there is a token."""
        method = request.http_request.method
        kind = "reads" if method in ("GET", "HEAD") else "deletes" if method == "DELETE" else "writes"
        tokens = bucket(self._account, kind)
        await tokens.take()
        response = await self.next.send(request)
        headers = response.http_response.headers
        remaining = headers.get(f"x-ms-ratelimit-remaining-subscription-{kind}")
        if remaining and remaining.isdigit():
            if response.http_response.status_code == 429 and int(remaining) == 0:
                tokens.refused(1)
            else:
                tokens.told(int(remaining))
        return response
