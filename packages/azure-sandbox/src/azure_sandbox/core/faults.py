"""Faults to order: which request they hit, and what then happens to it.

Chance has no memory of its own: whether an order with a `rate` hits a call follows from its seed, the operation,
the resource and how many-th call of the two it is, in whatever order the calls of other resources come between.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

KINDS = {
    "status": "answer with a status instead of handling (code, message, headers, bare, raw_body)",
    "cut": "drop the connection before or after the write acted",
    "delay_s": "wait that many sandbox seconds before handling",
    "operation_fails": "the long-running operation ends Failed (code, message, details; then, after_s)",
    "operation_canceled": "it ends Canceled",
    "operation_preempted": "it ends Failed, preempted by an operation that nobody asked for",
    "operation_error_but_succeeds": "it ends Succeeded, with an error; applied: false loses the write",
    "operation_error_meanwhile": "it ends well and tells of an error until then (code, message; stays: afterwards too)",
    "never_ends": "it stays in progress",
    "poll": "its status URL answers with a status that many times",
    "expire_tokens": "every token handed out until now is void from this request on",
    "assigned_before": "the same role assignment is there already, under another name (RoleAssignments_Create)",
    "terminating": "the namespace is there already and being deleted (create namespaces)",
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


LONGEST_S = 315_360_000
"""Ten years of sandbox seconds."""
ORDER: dict[str, Any] = {
    "operation": str,
    "path": str,
    "service": str,
    "method": str,
    "nth": int,
    "times": int,
    "rate": (int, float),
    "seed": (int, str),
    "per": str,
    "do": dict,
}
"""What an order may hold."""


@dataclass
class Fault:
    """One order.

    Args:
        id: its name in the control API.
        do: what happens.
        operation: regex of the whole REST operation id.
        path: regex, searched in the path.
        service: arm, entra, graph, blob or kubernetes.
        method: HTTP method.
        nth: the first call that is hit, counted from the order.
        times: how many calls are hit; None is all of them.
        rate: share of the calls that are hit, instead of `nth`.
        seed: of the rate.
        per_resource: whether `nth` and `times` count for each operation and resource by itself.
    """

    id: str
    do: Json
    operation: str | None = None
    path: re.Pattern[str] | None = None
    service: str | None = None
    method: str | None = None
    nth: int = 1
    times: int | None = 1
    rate: float | None = None
    seed: int | str = 1
    per_resource: bool = False
    seen: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)

    def matches(self, service: str, method: str, operation: str | None, path: str) -> bool:
        """Whether a request is one of those that the order counts."""
        if self.service is not None and self.service != service:
            return False
        if self.method is not None and self.method != method:
            return False
        if self.operation is not None and not re.fullmatch(self.operation, operation or "", re.I):
            return False
        return self.path is None or self.path.search(path) is not None

    def strikes(self, call: str) -> bool:
        """Count a matching request; whether this one is hit.

        Args:
            call: operation and resource.
        """
        counted = call if self.per_resource else ""
        self.seen[counted] += 1
        if self.times is not None and self.hits[counted] >= self.times:
            return False
        if self.rate is None:
            hit = self.seen[counted] >= self.nth
        else:
            key = f"{self.seed}\x1f{call}\x1f{self.seen[counted]}"
            hit = random.Random(key).random() < self.rate
        self.hits[counted] += hit
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
            "seed": self.seed if self.rate is not None else None,
            "per": "resource" if self.per_resource else "order",
            "do": self.do,
            "seen": self.seen.total(),
            "hits": self.hits.total(),
        }


class Faults:
    """The orders in force.

    Args:
        seed: of rates whose order names none.
    """

    def __init__(self, seed: Callable[[], int] = lambda: 1) -> None:
        self._seed = seed
        self._orders: list[Fault] = []
        self._count = 0

    def order(self, wanted: Json) -> Fault:
        """Take an order.

        Args:
            wanted: `operation` (regex of the whole operation id) and/or `path` (regex), `method`, `service`;
                `nth` or `rate` with `seed`; `times`; `per` (`order` or `resource`); `do`.

        Raises:
            ValueError: the order makes no sense; the text says why.
        """
        fault = self.read(wanted)
        self.add(fault)
        return fault

    def add(self, fault: Fault) -> None:
        """Put an order in force."""
        self._count += 1
        fault.id = f"fault-{self._count}"
        self._orders.append(fault)

    def read(self, wanted: Json) -> Fault:
        """An order that isn't in force yet; arguments and errors as for `order`."""
        check_order(wanted)
        rate = wanted.get("rate")
        times = wanted.get("times", None if rate is not None else 1)
        path = re.compile(wanted["path"], re.I) if wanted.get("path") else None
        return Fault(
            id="",
            do=wanted["do"],
            operation=wanted.get("operation"),
            path=path,
            service=wanted.get("service"),
            method=wanted["method"].upper() if wanted.get("method") else None,
            nth=wanted.get("nth") or 1,
            times=times,
            rate=None if rate is None else float(rate),
            seed=self._seed() if wanted.get("seed") is None else wanted["seed"],
            per_resource=wanted.get("per", "order" if rate is None else "resource") == "resource",
        )

    def take(
        self, service: str, method: str, operation: str | None, path: str, cluster: str = ""
    ) -> Json | None:
        """What is ordered for a request: the first order that hits it; every matching order counts it.

        Args:
            service: arm, entra, graph, blob or kubernetes.
            method: HTTP method.
            operation: REST operation id, if there is one.
            path: without the query.
            cluster: whose Kubernetes API it is.
        """
        taken: Json | None = None
        call = f"{operation or method} {cluster}{path}".lower()
        for fault in self._orders:
            if fault.matches(service, method, operation, path) and fault.strikes(call) and taken is None:
                taken = fault.do
        return taken

    def all(self) -> list[Json]:
        """All orders."""
        return [fault.shown() for fault in self._orders]

    def clear(self) -> None:
        """Cancel all orders."""
        self._orders.clear()


def check_order(wanted: Json) -> None:
    """Refuse an order that makes no sense, with a ValueError that says why."""
    unknown = set(wanted) - set(ORDER)
    if unknown:
        raise ValueError(
            f"an order doesn't know {', '.join(sorted(map(str, unknown)))}; it may hold {', '.join(ORDER)}"
        )
    for name, value in wanted.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, ORDER[name])):
            raise ValueError(f"`{name}` can't be {value!r}")
    do = wanted.get("do")
    if not isinstance(do, dict) or not any(kind in KINDS for kind in do):
        raise ValueError(f"`do` must hold one of: {', '.join(KINDS)}")
    unknown = set(do) - set(KINDS) - MODIFIERS
    if unknown:
        raise ValueError(f"`do` doesn't know {', '.join(sorted(map(str, unknown)))}")
    _check_headers(do.get("headers", {}))
    for kind, members in _MEMBERS.items():
        _check_members(kind, do.get(kind), members)
    if do.get("cut") not in (None, "before", "after"):
        raise ValueError("`cut` is before or after")
    for name in ("status", "delay_s", "retry_after_s"):
        if name in do and not _is_number(do[name], 0, LONGEST_S):
            raise ValueError(f"`{name}` can't be {do[name]!r}")
    if "status" in do and not 200 <= int(do["status"]) <= 599:
        raise ValueError("`status` is a final HTTP status, 200 to 599")
    if not (wanted.get("operation") or wanted.get("path")):
        raise ValueError("`operation` or `path` must say which requests are meant")
    if wanted.get("per", "order") not in ("order", "resource"):
        raise ValueError("`per` is order or resource")
    try:
        re.compile(wanted.get("path") or "")
        re.compile(wanted.get("operation") or "")
    except re.error as error:
        raise ValueError(f"a pattern is no regular expression: {error}") from error


_MEMBERS: dict[str, dict[str, Any]] = {
    "operation_fails": {"code": str, "message": str, "details": list, "then": str, "after_s": (int, float)},
    "operation_preempted": {"after_s": (int, float)},
    "operation_error_meanwhile": {"code": str, "message": str, "stays": bool},
    "operation_error_but_succeeds": {"code": str, "message": str, "applied": bool},
    "poll": {"status": int, "times": int},
}


def _check_members(kind: str, value: Any, members: dict[str, Any]) -> None:
    if value is None or value is True:
        return
    if not isinstance(value, dict) or set(value) - set(members):
        raise ValueError(f"`{kind}` is true, or a mapping of {', '.join(members)}")
    for name, item in value.items():
        wanted = members[name]
        fits = isinstance(item, wanted) if wanted in (str, bool, list) else _is_number(item, 0, LONGEST_S)
        if not fits:
            raise ValueError(f"`{kind}.{name}` can't be {item!r}")
    if value.get("then", "Succeeded") != "Succeeded":
        raise ValueError(f"`{kind}.then` can be Succeeded only")


def _check_headers(headers: Any) -> None:
    if not isinstance(headers, dict):
        raise ValueError("`headers` is a mapping")
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", str(name)) or not re.fullmatch(
            r"[\x20-\x7e]*", str(value)
        ):
            raise ValueError(f"`headers` can't hold {name!r}: {value!r}")


def _is_number(value: Any, least: float, most: float) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and least <= value <= most


def filled(text: str, path: str) -> str:
    """A text of an order with `{path}`, `{name}` and `{group}` of the request in it."""
    segments = path.strip("/").split("/")
    lowered = [segment.lower() for segment in segments]
    at = lowered.index("resourcegroups") + 1 if "resourcegroups" in lowered else len(segments)
    group = segments[at] if at < len(segments) else ""
    return text.replace("{path}", path).replace("{name}", segments[-1]).replace("{group}", group)
