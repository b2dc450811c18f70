"""Long-running operations: how long they run, how they end, and how each service lets clients follow them.

Contract: https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/async-api-reference.md. What
services really answer (which header, whether there is a Retry-After) is data: one `Polling` each, next to its
source.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from azure_sandbox.core.resource import TERMINAL, Resource
from azure_sandbox.core.responses import ArmError, Response

if TYPE_CHECKING:
    from azure_sandbox.core.clock import Timer
    from azure_sandbox.core.resource import Principal
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]


@dataclass(frozen=True)
class Polling:
    """How a service lets clients follow an operation.

    Args:
        async_path: path of the `Azure-AsyncOperation` URL with `{subscription}`, `{location}` and `{id}`;
            None when the header isn't sent.
        location_path: the same for `Location`.
        retry_after_s: seconds of Retry-After; None when the service sends none.
        pending: status word of a running operation.
        location_done: what the Location URL answers at the end: the resource (200), nothing (200), or 204.
        retry_after_at_end: whether the final answer carries Retry-After too.
        empty_first_answer: whether the first answer has no body (storage).
        new_url_each_poll: whether each 202 hands out another Location (storage).
        id_form: `guid`, `guid*hash` (Grafana) or `region-guid`.
        name_swapped: whether the status document's name is the GUID with its first groups byte-swapped (AKS).
        api_version: of the URLs handed out; None means that of the request.
        preempted: code of the error when a later operation takes over.
        progress: what a running operation's status is instead of `pending`, given the share of its time that is over.
        pending_http: HTTP status of a running operation's document.
        hollow_success: whether the document says `"error": {}` and `"properties": null` at a good end (Grafana).
    """

    async_path: str | None = None
    location_path: str | None = None
    retry_after_s: float | None = None
    pending: str = "InProgress"
    location_done: Literal["resource", "empty", "no content"] = "resource"
    retry_after_at_end: bool = False
    empty_first_answer: bool = False
    new_url_each_poll: bool = False
    id_form: Literal["guid", "guid*hash"] = "guid"
    name_swapped: bool = False
    api_version: str | None = None
    preempted: str = "OperationPreempted"
    progress: Callable[[Operation, float, Sandbox], str] | None = None
    pending_http: int = 200
    hollow_success: bool = False

    def headers(self, operation: Operation, base_url: str) -> dict[str, str]:
        """The polling headers of an answer."""
        headers: dict[str, str] = {}
        if self.async_path is not None:
            headers["Azure-AsyncOperation"] = self.url(self.async_path, operation, base_url)
        if self.location_path is not None:
            headers["Location"] = self.url(self.location_path, operation, base_url)
        return headers

    def url(self, path: str, operation: Operation, base_url: str) -> str:
        """A status URL, signed as ARM signs them since 2024: to be used as it is."""
        filled = path.format(
            subscription=operation.subscription, location=operation.location, id=operation.id
        )
        operation.handed_out += 1 if self.new_url_each_poll else 0
        ticks = 638_000_000_000_000_000 + int(operation.started_s * 10_000_000) + operation.handed_out
        signature = hashlib.sha256(f"{operation.id}{ticks}".encode()).hexdigest()
        version = self.api_version or operation.api_version
        separator = "&" if "?" in filled else "?"
        signed = f"t={ticks}&c=sandbox&s={signature}&h={signature[:43]}"
        return f"{base_url}{filled}{separator}api-version={version}&{signed}"


# Body-only polling: clients read the resource's provisioningState (Log Analytics).
BODY = Polling()


@dataclass
class Operation:
    """One long-running operation."""

    id: str
    name: str
    resource: Resource
    polling: Polling
    state: str
    started_s: float
    ends_s: float | None
    subscription: str
    location: str
    api_version: str
    effect: Callable[[Operation], None] | None = None
    settled: Callable[[Operation], None] | None = None
    spontaneous: bool = False
    deletes: bool = False
    fault: Json | None = None
    principal: Principal | None = None
    status: str = "InProgress"
    error: Json | None = None
    ended_s: float | None = None
    final_status: int = 409
    timer: Timer | None = None
    handed_out: int = 0
    poll_fault: Json | None = None
    output: Any = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def resource_id(self) -> str:
        """The resource that the operation works on."""
        return self.resource.id

    @property
    def done(self) -> bool:
        """Whether the status is final."""
        return self.status in TERMINAL


class Operations:
    """All long-running operations of a sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._by_id: dict[str, Operation] = {}
        self._running: dict[str, Operation] = {}
        self._counts: Counter[str] = Counter()

    def reset(self) -> None:
        """Forget them all."""
        self._by_id.clear()
        self._running.clear()
        self._counts.clear()

    def all(self) -> list[Operation]:
        """Every operation since the reset, oldest first."""
        return list(self._by_id.values())

    def get(self, operation_id: str) -> Operation | None:
        """An operation by the id in its URL."""
        return self._by_id.get(operation_id.lower())

    def count(self, resource_id: str) -> int:
        """How many operations a resource has had since the reset."""
        return self._counts[resource_id.lower()]

    def running(self, resource_id: str) -> Operation | None:
        """The operation that works on a resource now, if any."""
        return self._running.get(resource_id.lower())

    def running_under(self, resource_id: str) -> list[Operation]:
        """The operations that work on a resource or on anything below it now."""
        key = resource_id.lower()
        return [
            operation
            for running, operation in self._running.items()
            if running == key or running.startswith(key + "/")
        ]

    def start(
        self,
        resource: Resource,
        *,
        name: str,
        duration_s: float,
        polling: Polling,
        state: str | None = "Updating",
        effect: Callable[[Operation], None] | None = None,
        settled: Callable[[Operation], None] | None = None,
        spontaneous: bool = False,
        deletes: bool = False,
        fault: Json | None = None,
        api_version: str = "",
        principal: Principal | None = None,
        location: str | None = None,
    ) -> Operation:
        """Start an operation; one that works on the same resource already is preempted.

        Args:
            resource: what it works on.
            name: REST operation id, or a name for what the service does of itself.
            duration_s: sandbox seconds until its end.
            polling: how it is followed.
            state: the resource's provisioning state meanwhile; None leaves it alone.
            effect: what happens at a good end, before the state changes; may raise `ArmError`.
            settled: called once the status is final, whatever it is.
            spontaneous: whether the service started it of itself.
            deletes: whether the resource is removed at a good end.
            fault: an ordered fault's `do`.
            api_version: of the request, for the URLs.
            principal: who asked.
            location: region in the URLs; default the resource's.
        """
        clock = self._sandbox.clock
        now_s = clock.now_s()
        before = self.running(resource.id)
        if before is not None:
            word = "PreemptedByDelete" if deletes else "Preempted"
            code = before.polling.preempted.replace("Preempted", word)
            self.end(before, "Failed", _error(code, f"The operation was preempted by {name}."), touch=False)
        guid = str(self._sandbox.uuid("operation", resource.id))
        operation = Operation(
            id=guid if polling.id_form == "guid" else f"{guid}*{_hash(guid)}",
            name=name,
            resource=resource,
            polling=polling,
            state=state or "",
            started_s=now_s,
            ends_s=now_s + duration_s,
            subscription=[*resource.id.split("/"), "", "", ""][2],
            location=(location or resource.location or "global").replace(" ", "").lower(),
            api_version=api_version,
            effect=effect,
            settled=settled,
            spontaneous=spontaneous,
            deletes=deletes,
            fault=fault,
            principal=principal,
        )
        if state is not None:
            resource.state = state
        self._sandbox.store.touch(resource)
        self._by_id[operation.id.lower()] = operation
        self._running[resource.id.lower()] = operation
        self._counts[resource.id.lower()] += 1
        if fault and "poll" in fault:
            operation.poll_fault = dict(fault["poll"]) if isinstance(fault["poll"], dict) else {"times": 1}
        if fault and "operation_error_meanwhile" in fault:
            operation.error = _passing(fault["operation_error_meanwhile"])
        if fault and fault.get("never_ends"):
            operation.ends_s = None
        else:
            operation.timer = clock.call_at(now_s + duration_s, lambda: self._finish(operation))
        return operation

    def end(
        self, operation: Operation, status: str, error: Json | None = None, *, touch: bool = True
    ) -> None:
        """End an operation now.

        Args:
            operation: a running one; a finished one stays as it is.
            status: Succeeded, Failed or Canceled.
            error: for its status document.
            touch: whether the resource's provisioning state follows.
        """
        if operation.done:
            return
        if operation.timer is not None:
            operation.timer.cancel()
        operation.status, operation.error = status, error
        operation.ended_s = operation.ends_s = self._sandbox.clock.now_s()
        resource = operation.resource
        if self._running.get(resource.id.lower()) is operation:
            del self._running[resource.id.lower()]
        if touch and operation.state:
            resource.state = status
        self._sandbox.store.touch(resource)
        if operation.settled is not None:
            operation.settled(operation)

    def interval(self, operation: Operation) -> float | None:
        """Sandbox seconds for the Retry-After of a pending answer: the service's, or a principal's setting.

        The real az polls every 30 s where Azure sends no header and can't be told otherwise; the setting
        `poll_interval_s` (client id to seconds) sends it a header so that comparisons at speed are fair.
        """
        if operation.polling.retry_after_s is not None:
            return operation.polling.retry_after_s
        intervals: dict[str, float] = self._sandbox.settings["poll_interval_s"]
        caller = operation.principal.client_id if operation.principal else ""
        return intervals.get(caller, intervals.get("*"))

    def poll(self, operation: Operation, *, is_location: bool, base_url: str) -> Response:
        """Answer a GET on a status URL."""
        if operation.poll_fault and operation.poll_fault.get("times", 1) > 0:
            operation.poll_fault["times"] = operation.poll_fault.get("times", 1) - 1
            status = int(operation.poll_fault.get("status", 503))
            codes = {404: "OperationNotFound", 502: "BadGatewayConnection", 503: "ServiceUnavailable"}
            code = codes.get(status, "InternalServerError")
            raise ArmError(status, code, "The status of the operation can't be read at the moment.")
        polling = operation.polling
        retry = self.interval(operation) if not operation.done or polling.retry_after_at_end else None
        if is_location:
            return self._poll_location(operation, base_url, retry)
        document: Json = {
            "id": polling.url(polling.async_path or "", operation, "").split("?")[0],
            "name": _swapped(operation.id) if polling.name_swapped else operation.id,
            "status": operation.status if operation.done else self._pending(operation),
            "startTime": self._sandbox.clock.iso(operation.started_s),
        }
        if operation.ended_s is not None:
            document["endTime"] = self._sandbox.clock.iso(operation.ended_s)
        if operation.error is not None:
            document["error"] = operation.error
        elif polling.hollow_success and operation.status == "Succeeded":
            document |= {"error": {}, "properties": None}
        return Response(200 if operation.done else polling.pending_http, document, retry_after_s=retry)

    def _pending(self, operation: Operation) -> str:
        """The status word of a running operation."""
        polling = operation.polling
        if polling.progress is None or operation.ends_s is None:
            return polling.pending
        lasts_s = operation.ends_s - operation.started_s
        passed_s = self._sandbox.clock.now_s() - operation.started_s
        return polling.progress(operation, passed_s / lasts_s if lasts_s else 1.0, self._sandbox)

    def _poll_location(self, operation: Operation, base_url: str, retry: float | None) -> Response:

        polling = operation.polling
        if not operation.done:
            location = {"Location": polling.url(polling.location_path or "", operation, base_url)}
            return Response(202, headers=location, retry_after_s=retry)
        if operation.status != "Succeeded":
            error = operation.error or _error("OperationFailed", "The operation failed.")
            raise ArmError(
                operation.final_status, error["code"], error["message"], details=error.get("details")
            )
        if operation.deletes or polling.location_done != "resource":
            return Response(204 if polling.location_done == "no content" else 200, retry_after_s=retry)
        return Response(
            200, operation.output if operation.output is not None else operation.resource, retry_after_s=retry
        )

    def _finish(self, operation: Operation) -> None:

        fault = operation.fault or {}
        if "operation_fails" in fault:
            order = fault["operation_fails"]
            self._fail_as_ordered(operation, order if isinstance(order, dict) else {})
        elif fault.get("operation_canceled"):
            # Azure's own spelling: https://github.com/Azure/AKS/issues/1913
            message = "The operation was overriden and canceled by a later operation."  # codespell:ignore
            self.end(operation, "Canceled", _error("Canceled", message))
        elif fault.get("operation_preempted"):
            self._preempt_as_ordered(operation)
        elif "operation_error_but_succeeds" in fault:
            order = fault["operation_error_but_succeeds"]
            order = order if isinstance(order, dict) else {}
            if order.get("applied", True):
                self._succeed(operation)
            else:
                self._lose(operation)
            message = order.get("message", "Operation is not the latest operation of the resource.")
            operation.error = _error(order.get("code", "NotLatestOperation"), message)
        else:
            passing = operation.error
            try:
                self._succeed(operation)
                operation.error = (
                    passing if _stays(fault.get("operation_error_meanwhile")) else operation.error
                )
            except ArmError as error:
                operation.final_status = error.status
                self.end(operation, "Failed", error.error())

    def _succeed(self, operation: Operation) -> None:
        if operation.effect is not None:
            operation.effect(operation)
        if operation.done:  # The effect ended it otherwise.
            return
        if operation.deletes:
            self.end(operation, "Succeeded", touch=False)
            self._sandbox.remove(operation.resource)
        else:
            self.end(operation, "Succeeded")

    def _fail_as_ordered(self, operation: Operation, order: Json) -> None:
        error = _error(
            order.get("code", "InternalOperationError"), order.get("message", "An internal error occurred.")
        )
        if "details" in order:
            error["details"] = order["details"]
        self.end(operation, "Failed", error)
        if order.get("then") != "Succeeded":
            return

        def heal() -> None:
            resource = self._sandbox.store.get(operation.resource_id)
            if resource is not operation.resource or resource.state != "Failed":
                return
            if operation.effect is not None:
                operation.effect(operation)
            resource.state = "Succeeded"
            self._sandbox.store.touch(resource)

        self._sandbox.clock.call_later(float(order.get("after_s", 120)), heal)

    def _preempt_as_ordered(self, operation: Operation) -> None:
        order = operation.fault["operation_preempted"] if operation.fault else {}
        after_s = float(order.get("after_s", 30)) if isinstance(order, dict) else 30.0
        self._revert(operation)
        code = operation.polling.preempted
        self.end(operation, "Failed", _error(code, "The operation was preempted by another operation."))
        self.start(
            operation.resource,
            name="PutExtensionAddonHandler.PUT",
            duration_s=after_s,
            polling=operation.polling,
            spontaneous=True,
            effect=operation.effect if operation.state == "Creating" else None,
        )

    def _lose(self, operation: Operation) -> None:
        """End it as Succeeded without what it was to do; what it was to make isn't there."""
        is_new = operation.state == "Creating"
        if not is_new:
            self._revert(operation)
        self.end(operation, "Succeeded", touch=not is_new)
        if is_new:
            self._sandbox.remove(operation.resource)

    def _revert(self, operation: Operation) -> None:
        """Put the body back that the write had replaced: the write is lost."""
        if operation.resource.previous is not None:
            operation.resource.body = operation.resource.previous


def _error(code: str, message: str) -> Json:
    return {"code": code, "message": message}


def _passing(order: Any) -> Json:
    """An error that AKS tells of while it goes on (test_aks_create_update_fips_flow.yaml of azure-cli-extensions)."""
    order = order if isinstance(order, dict) else {}
    text = "AKS will continuously retry the requested operation until successful or a retry timeout is hit."
    return _error(order.get("code", "ReconcilePortalDNSError"), order.get("message", text))


def _stays(order: Any) -> bool:
    return order is not None and (not isinstance(order, dict) or bool(order.get("stays", True)))


def _hash(guid: str) -> str:
    return hashlib.sha256(guid.encode()).hexdigest().upper()


def _swapped(guid: str) -> str:
    """A GUID with its first three groups byte-swapped, as AKS's status documents name themselves."""
    try:
        return str(uuid.UUID(bytes=uuid.UUID(guid).bytes_le))
    except ValueError:
        return guid
