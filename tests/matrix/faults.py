"""Which faults make sense for which call, and the cases that follow from the ledger of a clean run."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .databases import pattern
from .plain import Flow

Json = dict[str, Any]

_READ_ONLY_POSTS = (
    "StorageAccounts_CheckNameAvailability",
    "PolicyRestrictions_CheckAtSubscriptionScope",
    "PolicyRestrictions_CheckAtResourceGroupScope",
    "ManagedClusters_ListClusterUserCredentials",
)
_PAGE = "<html><body><h1>Bad Gateway</h1></body></html>"
# Sandbox seconds: a minute and a half more than our read time-out. ARM itself gives a request up after a minute.
_TOO_LATE_S = 800
_BUSY = (
    "Operation is not allowed: Another operation (Updating) is in progress, please wait for it to finish before "
    "starting a new operation. See https://aka.ms/aks-pending-operation for more details"
)


def _answer(status: int, code: str, message: str = "Try later.", **more: Any) -> Json:
    return {"status": status, "code": code, "message": message, **more}


REFUSED = "connection refused"
# Of any request.
COMMON: dict[str, Json] = {
    "429": _answer(429, "TooManyRequests"),
    "429 with Retry-After": _answer(429, "TooManyRequests", retry_after_s=30),
    "500": _answer(500, "InternalServerError"),
    "502 that isn't JSON": {"status": 502, "raw_body": _PAGE, "headers": {"content-type": "text/html"}},
    "503": _answer(503, "ServiceUnavailable"),
    "504": _answer(504, "GatewayTimeout"),
    REFUSED: {},
    "reset before": {"cut": "before"},
    "read time-out": {"delay_s": _TOO_LATE_S},
}
OF_ARM: dict[str, Json] = {"expired token": {"expire_tokens": True}}
OF_READS: dict[str, Json] = {
    "200 that isn't JSON": {"status": 200, "raw_body": _PAGE, "headers": {"content-type": "text/html"}}
}
OF_WRITES: dict[str, Json] = {
    "reset after": {"cut": "after"},
    "409 conflict": _answer(409, "Conflict", "Another operation on this resource is in progress."),
}
AFTER_A_WRITE: dict[str, Json] = {
    "404 after the write": _answer(404, "ResourceNotFound", "The Resource was not found.")
}
OF_AKS_WRITES: dict[str, Json] = {
    "409 busy": _answer(409, "OperationNotAllowed", _BUSY, bare=True),
    "412": _answer(412, "PreconditionFailed", "The condition set in the request header was not satisfied."),
}
OF_OPERATIONS: dict[str, Json] = {
    "Failed": {"operation_fails": {"code": "InternalOperationError", "message": "It failed."}},
    "Canceled": {"operation_canceled": True},
    "Failed, then Succeeded": {
        "operation_fails": {
            "code": "InternalOperationError",
            "message": "It failed.",
            "then": "Succeeded",
            "after_s": 30,
        }
    },
    "poll URL gone": {"poll": {"status": 404, "times": 1000}},
}
OF_AKS_OPERATIONS: dict[str, Json] = {
    "pre-empted": {"operation_preempted": {"after_s": 30}},
    "Succeeded, and lost": {
        "operation_error_but_succeeds": {
            "code": "NotLatestOperation",
            "message": "Overtaken.",
            "applied": False,
        }
    },
}
OF_KUBERNETES_WRITES: dict[str, Json] = {
    "reset after": {"cut": "after"},
    "409 conflict": _answer(409, "Conflict", "the object has been modified; please apply your changes"),
}


@dataclass(frozen=True)
class Hit:
    """One fault at one call.

    Args:
        name: of the fault.
        method: HTTP method.
        path: of the call.
        nth: which call of that method and path.
        service: arm, entra, blob or kubernetes.
        operation: REST operation id, or verb and resource.
        do: what the sandbox does; empty for a connection that is refused.
    """

    name: str
    method: str
    path: str
    nth: int
    service: str
    operation: str
    do: Json = field(hash=False)

    def order_at(self, speed: int) -> Json:
        """The order to a sandbox of that speed: what comes too late does so in real seconds."""
        late = {"delay_s": self.do["delay_s"] * speed / 1000} if "delay_s" in self.do else {}
        return {
            "service": self.service,
            "method": self.method,
            "path": f"^{pattern(self.path)}$",
            "nth": self.nth,
            "times": 1,
            "do": self.do | late,
        }

    @property
    def code(self) -> str:
        """The code that a refusal quotes; empty where there was no answer with one."""
        return str(self.do.get("code") or (self.do.get("operation_fails") or {}).get("code") or "")

    def __str__(self) -> str:
        return f"{self.name} at {self.method} {self.path} #{self.nth}"


@dataclass(frozen=True)
class Case:
    """A flow with one fault or several, and how much later answers come than usual; a drawn one has a name."""

    flow: Flow
    hits: tuple[Hit, ...]
    delays: tuple[Hit, ...] = ()
    name: str = ""

    @property
    def id(self) -> str:
        """What it is known by from one run of the matrix to the next."""
        return f"{self.flow}: {self.name or '; '.join(map(str, self.hits))}"


def cases(flow: Flow, ledger: list[Json], operations: set[str]) -> list[Case]:
    """Every call of a clean run with every fault that makes sense there; equal reads as first, middle and last.

    Args:
        flow: which flow's ledger it is.
        ledger: of the clean run.
        operations: ids of the writes that Azure goes on working on after its answer.
    """
    return [Case(flow, (hit,)) for hit in hits(ledger, operations)]


def seeded(flow: Flow, ledger: list[Json], operations: set[str], count: int, seed: int) -> Iterator[Case]:
    """Runs with one to three faults anywhere, and with answers that come late in random order."""
    every = sorted(hits(ledger, operations), key=str)
    for number in range(count):
        draw = random.Random(f"{seed} {flow} {number}")
        drawn = tuple(draw.sample(every, draw.randint(1, 3)))
        late = tuple(
            Hit(
                f"{delay_s} s late",
                one.method,
                one.path,
                one.nth,
                one.service,
                one.operation,
                {"delay_s": delay_s},
            )
            for one in draw.sample(every, 8)
            if one.path not in {hit.path for hit in drawn} and (delay_s := draw.randint(20, 400))
        )
        yield Case(flow, drawn, late, f"seed {seed}, run {number}")


def hits(ledger: Iterable[Json], operations: set[str]) -> Iterator[Hit]:
    """Every single fault."""
    calls: dict[tuple[str, str, str, str], list[bool]] = defaultdict(list)
    written: set[str] = set()
    for entry in ledger:
        path = str(entry["path"])
        key = (entry["service"], entry["method"], str(entry["operation"] or ""), path)
        calls[key].append(entry["method"] == "GET" and path.casefold() in written)
        if entry["method"] == "PUT" and entry["status"] == 201:
            written.add(path.casefold())
    for (service, method, operation, path), after_write in calls.items():
        count = len(after_write)
        chosen = range(1, count + 1) if method != "GET" or count < 4 else (1, (count + 1) // 2, count)
        for nth in chosen:
            for name, do in _faults(service, method, operation, operations).items():
                yield Hit(name, method, path, nth, service, operation, do)
        if service == "arm" and True in after_write:
            nth = after_write.index(True) + 1
            for name, do in AFTER_A_WRITE.items():
                yield Hit(name, method, path, nth, service, operation, do)


def _faults(service: str, method: str, operation: str, operations: set[str]) -> Json:
    is_write = method not in ("GET", "HEAD") and operation not in _READ_ONLY_POSTS
    if service == "kubernetes":
        return COMMON | (OF_KUBERNETES_WRITES if is_write else OF_READS)
    if service != "arm":
        return dict(COMMON)
    found = COMMON | OF_ARM
    if not is_write:
        return found | OF_READS
    found |= OF_WRITES
    is_aks = operation.startswith(("ManagedClusters_", "AgentPools_"))
    if is_aks:
        found |= OF_AKS_WRITES
    if operation in operations:
        found |= OF_OPERATIONS
        if is_aks:
            found |= OF_AKS_OPERATIONS
    return found
