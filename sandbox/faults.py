"""Faults to order: which request they hit, and what then happens to it."""

import random
import re
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

KINDS = {
    "status": "answer with a status instead of handling (code, message, headers, bare, raw_body)",
    "cut": "drop the connection before or after the write acted",
    "delay_s": "wait that many sandbox seconds before handling",
    "operation_fails": "the long-running operation ends Failed (code, message; then, after_s)",
    "operation_canceled": "it ends Canceled",
    "operation_preempted": "it ends Failed, preempted by an operation that nobody asked for",
    "operation_error_but_succeeds": "it ends Succeeded, with an error; applied: false loses the write",
    "never_ends": "it stays in progress",
    "poll": "its status URL answers with a status that many times",
    "expire_tokens": "every token handed out until now is void from this request on",
}
MODIFIERS = {
    "code",
    "message",
    "headers",
    "bare",
    "raw_body",
    "applied",
    "details",
    "target",
    "retry_after_s",
}


@dataclass
class Fault:
    """One order."""

    id: str
    do: Json
    operation: str | None = None
    path: re.Pattern[str] | None = None
    service: str | None = None
    method: str | None = None
    nth: int = 1
    times: int | None = 1
    rate: float | None = None
    source: random.Random = field(default_factory=random.Random)
    seen: int = 0
    hits: int = 0

    def matches(self, service: str, method: str, operation: str | None, path: str) -> bool:
        """Whether a request is one of those that the order counts."""
        if self.service is not None and self.service != service:
            return False
        if self.method is not None and self.method != method:
            return False
        if self.operation is not None and not re.fullmatch(self.operation, operation or "", re.I):
            return False
        return self.path is None or self.path.search(path) is not None

    def strikes(self) -> bool:
        """Count a matching request; whether this one is hit."""
        self.seen += 1
        if self.times is not None and self.hits >= self.times:
            return False
        hit = self.source.random() < self.rate if self.rate is not None else self.seen >= self.nth
        self.hits += hit
        return hit

    def shown(self) -> Json:
        """The order, as the control API lists it."""
        return {
            "id": self.id,
            "operation": self.operation,
            "path": self.path.pattern if self.path else None,
            "service": self.service,
            "method": self.method,
            "nth": self.nth,
            "times": self.times,
            "rate": self.rate,
            "do": self.do,
            "seen": self.seen,
            "hits": self.hits,
        }


class Faults:
    """The orders in force."""

    def __init__(self) -> None:
        self._orders: list[Fault] = []
        self._count = 0

    def order(self, wanted: Json) -> Fault:
        """Take an order.

        Args:
            wanted: `operation` (regex of the whole operation id) and/or `path` (regex), `method`, `service`;
                `nth` or `rate` with `seed`; `times`; `do`.

        Raises:
            ValueError: the order makes no sense; the text says why.
        """
        do = wanted.get("do")
        if not isinstance(do, dict) or not any(kind in KINDS for kind in do):
            raise ValueError(f"`do` must hold one of: {', '.join(KINDS)}")
        unknown = set(do) - set(KINDS) - MODIFIERS
        if unknown:
            raise ValueError(f"`do` doesn't know {', '.join(sorted(unknown))}")
        if do.get("cut") not in (None, "before", "after"):
            raise ValueError("`cut` is before or after")
        if not (wanted.get("operation") or wanted.get("path")):
            raise ValueError("`operation` or `path` must say which requests are meant")
        try:
            path = re.compile(wanted["path"], re.I) if wanted.get("path") else None
            re.compile(wanted.get("operation") or "")
        except re.error as error:
            raise ValueError(f"a pattern is no regular expression: {error}") from error
        rate = wanted.get("rate")
        self._count += 1
        times = wanted.get("times", None if rate is not None else 1)
        fault = Fault(
            id=f"fault-{self._count}",
            do=do,
            operation=wanted.get("operation"),
            path=path,
            service=wanted.get("service"),
            method=wanted["method"].upper() if wanted.get("method") else None,
            nth=int(wanted.get("nth", 1)),
            times=None if times is None else int(times),
            rate=None if rate is None else float(rate),
            source=random.Random(wanted.get("seed", 1)),
        )
        self._orders.append(fault)
        return fault

    def take(self, service: str, method: str, operation: str | None, path: str) -> Json | None:
        """What is ordered for a request: the first order that hits it; every matching order counts it."""
        taken: Json | None = None
        for fault in self._orders:
            if fault.matches(service, method, operation, path) and fault.strikes() and taken is None:
                taken = fault.do
        return taken

    def all(self) -> list[Json]:
        """All orders."""
        return [fault.shown() for fault in self._orders]

    def clear(self) -> None:
        """Cancel all orders."""
        self._orders.clear()
