"""Bringing one ARM resource to what is wanted: read, compare, write at most once, wait, look again.

A step describes its resource (`arm_resource`) and decides (`arm.diff.decide`); everything that Azure
makes normal happens here: an operation still in progress is waited for and never repeated, a lost answer is
looked up before anything is sent again, a Failed state is written again, and a status is believed only when
the resource agrees.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, Sequence

from aks_postgres.arm import clock
from aks_postgres.arm.diff import Decision, merged, state_of
from aks_postgres.arm.errors import LastingState, NotOurs, OperationNotDone
from aks_postgres.arm.ignored import ignoring
from aks_postgres.arm.operation_status import fault_of_operation, has_error
from aks_postgres.arm.plan_record import decide_in_plan
from aks_postgres.arm.planned import planned
from aks_postgres.arm.resource import OURS, ArmResource, look_once, settled, unsettled
from aks_postgres.arm.responses import Answer, ArmFault, Json, clean
from aks_postgres.arm.retry import read_once, read_path, with_retries
from aks_postgres.errors import PermanentError, ProvisioningError
from aks_postgres.reports.journal import journal
from aks_postgres.reports.outputs import CREATED, UNCHANGED, Change, FieldChange

# Writes of one step: the first, and again after Failed, Canceled or an overtaking operation; more is a loop.
_MOST_WRITES = 4
# A resource may be invisible for a moment after the write that made it (storage: about a second).
_APPEARS_WITHIN_S = 120
# A write that got no answer in time may be carried out later, and would undo what came in between.
ARRIVES_WITHIN_S = 120


async def ensure(
    resource: ArmResource,
    decision_for: Callable[[Json | None], Decision],
    begun: Answer | None = None,
    *,
    creates: bool = True,
) -> tuple[Json, Change]:
    """Bring a resource to what is wanted.

    Args:
        resource: the resource.
        decision_for: compares the live resource (None when absent) with what is wanted.
        begun: how Azure took this run's write that is making it (`begin`).
        creates: whether it is made where it isn't there. If not, an earlier step has it, and a plan compares with
            nothing.

    Returns:
        The resource as Azure reports it at the end, and the change made.

    Raises:
        AzureRefused, ImmutableChange, NotOurs: a person must act.
        LastingState: likewise; two writes were answered with other values than were sent.
        TemporaryError: what is normal took longer than its budget.
        OperationNotDone: still in progress at the deadline; a rerun goes on waiting.
    """
    intended: list[Change] = []
    accepted = 0
    overruled: list[FieldChange] = []
    if ignored := resource.azure.ignored:
        decision_for = ignoring(functools.partial(ignored.covers, resource.id), decision_for)

    async def act(live: Json | None) -> Answer | None:
        nonlocal accepted
        if live is None and not creates:
            raise ArmFault(
                404, "ResourceNotFound", f"the {resource.label} isn't there, and this step never makes it"
            )
        decision = decision_for(live)
        if live is not None and not decision.needs_write:
            return None
        for guard in resource.guards:
            await settled(guard)
        if accepted >= _MOST_WRITES:
            raise PermanentError(
                f"{resource.label}: Azure took {accepted} writes and it still differs from the spec: "
                f"{decision.change}.",
                way_out=f"Set the spec to what Azure reports, {_leave_alone(resource, decision.change.fields)}or ask: "
                "a policy with the effect Modify may set it (its owner can exempt), or Azure's support knows why.",
            )
        answer = await _put(resource, decision, live, intended)
        accepted += 1
        return answer

    async def ended_well(answer: Answer) -> Json:
        try:
            live = await _finished(resource, answer)
        finally:
            journal().operation_ended(resource.label)
        try:
            again = decision_for(live)
        except NotOurs:
            raise _overruled(resource, "doesn't show the tags that it was just written with") from None
        if again.needs_write:
            before, overruled[:] = overruled.copy(), _answered(decision_for, answer, again)
            if stays := [field for field in overruled if field in before]:
                values = "; ".join(
                    f"{field.field} is {field.old!r} and {field.new!r} was sent" for field in stays
                )
                raise _overruled(resource, f"answered two writes with another value: {values}", stays)
            raise ArmFault(
                200, "NotLatestOperation", f"the operation ended but the resource differs: {again.change}"
            )
        return live

    if resource.azure.gate.plans:
        live = await with_retries(resource.label, lambda: settled(resource))
        decision = decide_in_plan(resource, decision_for, live)
        if live is None or decision.needs_write:
            live = planned(merged(live, decision.body) if live else decision.body, resource.id)
        return live, decision.change
    if begun is not None:
        intended.append(CREATED)
    live = await reconcile(resource, lambda: settled(resource), act, ended_well, begun)
    assert live is not None
    return live, intended[0] if intended else UNCHANGED


async def reconcile(
    resource: ArmResource,
    look: Callable[[], Awaitable[Json | None]],
    act: Callable[[Json | None], Awaitable[Answer | None]],
    ended: Callable[[Answer], Awaitable[Json | None]],
    begun: Answer | None = None,
) -> Json | None:
    """Look, send at most one request, and see its operation end; once more where a fault says so.

    Args:
        resource: the resource.
        look: reads it, once it may be decided about.
        act: sends what is to be sent; None where that is nothing.
        ended: waits for the operation that a request began, and judges its end.
        begun: the answer to a request that was sent before.

    Returns:
        The resource at the end; None when absent.
    """

    async def attempt() -> Json | None:
        nonlocal begun
        answer, begun, live = begun, None, None
        if answer is None:
            live = await look()
            answer = await act(live)
        return live if answer is None else await ended(answer)

    return await with_retries(resource.label, attempt)


def _answered(
    decision_for: Callable[[Json | None], Decision], answer: Answer, found: Decision
) -> list[FieldChange]:
    """The differences that a write's own answer had already: nobody was faster, the write itself was changed."""
    if "properties" not in answer.body:
        return []
    told = decision_for(answer.body).change.fields
    return [field for field in found.change.fields if field in told]


def _overruled(resource: ArmResource, what: str, stays: Sequence[FieldChange] = ()) -> LastingState:
    """https://learn.microsoft.com/azure/governance/policy/concepts/effect-modify."""
    return LastingState(
        resource.label,
        what,
        "A policy with the effect Modify does that, or the service itself; those that apply: az policy assignment list "
        f"--disable-scope-strict-match --scope {resource.id}. Set the spec to that value if it has the field (as tags "
        f"have), {_leave_alone(resource, stays)}or ask whoever owns the policy for an exemption; then run again.",
    )


def _leave_alone(resource: ArmResource, fields: Sequence[FieldChange]) -> str:
    """The entries of `ignore_changes` that would let these fields be, as part of a sentence."""
    ignored = resource.azure.ignored
    found = [entry for field in fields if ignored and (entry := ignored.entry(resource.id, field.field))]
    return (
        f"let Azure's value be with ignore_changes: {json.dumps(list(dict.fromkeys(found)))}, "
        if found
        else ""
    )


async def begin(
    resource: ArmResource, decision_for: Callable[[Json | None], Decision]
) -> tuple[Change, Answer | None]:
    """Start making a resource that isn't there, without waiting for the end; `ensure` waits, given the answer.

    Args:
        resource: the resource.
        decision_for: what to send, given None.

    Returns:
        The change, and Azure's answer; unchanged and None where the resource is there, whatever it is doing.

    Raises:
        AzureRefused, NotOurs: a person must act.
        TemporaryError: what is normal took longer than its budget.
    """
    intended: list[Change] = []

    async def attempt() -> Answer | None:
        live = await look_once(resource)
        decision = decision_for(live)
        if live is not None:
            # There all the same, after a write that got no answer: only the look can tell how it is doing.
            return Answer(202, {}) if intended else None
        if resource.azure.gate.plans:
            intended.append(decision.change)
            return None
        return await _put(resource, decision, None, intended)

    answer = await with_retries(resource.label, attempt)
    return intended[0] if intended else UNCHANGED, answer


async def _put(
    resource: ArmResource, decision: Decision, live: Json | None, intended: list[Change]
) -> Answer:
    """Send the write; `intended` gets the change, unless it is certain that Azure didn't act on it."""
    journal().operation_began(resource.label)
    try:
        answer = await resource.put(decision.body, live)
    except ArmFault as fault:
        journal().operation_ended(resource.label)
        # A write without an answer may have been acted on: the next look tells, and the change is ours.
        if (fault.reached and fault.status is None) or (fault.status or 0) >= 500:
            intended.append(decision.change)
        if fault.code == "NoAnswerInTime":
            waited = clock.minutes(ARRIVES_WITHIN_S)
            journal().note(
                f"{resource.label}: a write got no answer in time ({fault}); looking again in {waited}"
            )
            await clock.sleep(ARRIVES_WITHIN_S)
        raise
    intended.append(decision.change)
    return answer


async def _finished(resource: ArmResource, answer: Answer) -> Json:
    """The resource once the operation that a write started has ended well."""
    if answer.status in (200, 201) and answer.operation_url is None and unsettled(answer.body) is None:
        return answer.body
    started_s = clock.now_s()

    async def look() -> Json | None:
        live = await look_once(resource)
        if live is None and clock.now_s() - started_s < _APPEARS_WITHIN_S:
            return {"properties": {"provisioningState": "Accepted"}}
        return live

    try:
        live = await settled(resource, lambda: with_retries(resource.label, look), whose=OURS)
    except OperationNotDone as late:
        raise OperationNotDone(f"{late}{await _said_of(resource, answer)}") from None
    if live is None:
        raise ArmFault(404, "ResourceNotFound", "the write was accepted and the resource is gone")
    if state_of(live).casefold() in ("failed", "canceled"):
        raise await _failure(resource, answer, live)
    return live


async def _failure(resource: ArmResource, answer: Answer, live: Json) -> ArmFault:
    """Return why an operation failed: its status document says it, or its Location; the resource only that it did."""
    if answer.operation_url:
        url = answer.operation_url
        try:
            status = (await read_path(resource.label, lambda: resource.azure.get(url))).body
        except PermanentError:  # the status may be gone; the resource's state isn't
            status = {}
        if fault := fault_of_operation(status, resource.id, fallback=state_of(live)):
            return fault
    elif location := answer.headers.get("location"):
        try:
            await read_once(lambda: resource.azure.get(location))
        except ArmFault as fault:
            return fault
    return ArmFault(200, state_of(live), f"the operation ended as {state_of(live)} and Azure gave no reason")


async def _said_of(resource: ArmResource, answer: Answer) -> str:
    """Return what the status document says of an operation that isn't done, if it can be read."""
    url = answer.operation_url
    if not url:
        return ""
    try:
        status = (await read_once(lambda: resource.azure.get(url))).body
    except (ArmFault, ProvisioningError):
        return ""
    reason = f", {ArmFault.of_body(status, status=None)}" if has_error(status) else ""
    return f" Azure says of the operation: {clean(str(status.get('status') or 'nothing'))}{reason}."
