"""Requests that are repeated where that makes sense: the one loop around everything we ask of Azure.

tenacity drives it, `arm.error_codes` decides: the fault's code says whether to go round again, how long to pause
and for how long at most. Every pause is an entry in the run's journal, with Azure's words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import aiohttp
import tenacity
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DeserializationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)

from aks_postgres.arm import clock
from aks_postgres.arm.credentials import SignInRefused
from aks_postgres.arm.entra_codes import entra_advice
from aks_postgres.arm.error_codes import Rule, rule_for
from aks_postgres.arm.errors import AzureRefused, ClusterBusy, CredentialsRefused
from aks_postgres.arm.responses import Answer, ArmFault, Json, as_answer, clean, unreadable
from aks_postgres.arm.way_to_azure import fault_on_the_way
from aks_postgres.errors import ProvisioningError, TemporaryError
from aks_postgres.reports.journal import journal

T = TypeVar("T")

_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
# Pauses grow to this; longer ones, which rules ask for themselves, stay.
_LONGEST_PAUSE_S = 30
# What one request may take; an attempt is one or many.
_REQUEST_S = 60

# What is asked before a fault is waited for.
_ask: ContextVar[Callable[[ArmFault], Awaitable[None]] | None] = ContextVar("ask", default=None)

BUSY_BUDGET_VARIABLE = "AKS_POSTGRES_BUSY_BUDGET_S"


def budget_s(rule: Rule) -> float:
    """Azure seconds to go round for; the environment can say how long a busy cluster is worth."""
    if rule.gives_up_as is ClusterBusy:
        return clock.number_from(BUSY_BUDGET_VARIABLE, rule.budget_s)
    return rule.budget_s


async def send(operation: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Answer:
    """One request through an SDK operation, once.

    Raises:
        ArmFault: for every kind of failure, network included.
    """
    answer: Answer = await once(lambda: operation(*arguments, cls=as_answer, **options))
    return answer


async def once(call: Callable[[], Awaitable[Any]]) -> Any:
    """The call's result, once; what the SDK raises becomes an ArmFault."""
    try:
        return await call()
    # `from None`: tracebacks are logged, and the SDK's errors hold Azure's text as it came, with whatever is in it.
    except ClientAuthenticationError as error:
        if error.response is None or isinstance(error, SignInRefused):
            status = error.status_code or 0
            if status == 429 or status >= 500:
                raise ArmFault(None, "NoAnswer", clean(error.message), reached=False) from None
            raise CredentialsRefused(
                f"no access token could be had any more: {clean(error.message)}",
                way_out=entra_advice(error.message, "Sign in again, then run again."),
            ) from None
        raise ArmFault.of(error) from None
    except HttpResponseError as error:
        raise ArmFault.of(error) from None
    except ServiceRequestError as error:
        if fault := fault_on_the_way(error.inner_exception):
            raise fault from None
        # azure-core says this of connections that broke after the request was sent, too.
        if not isinstance(error.inner_exception, _NEVER_SENT):
            raise ArmFault(None, "NoAnswer", clean(str(error))) from error
        raise ArmFault(None, "NotSent", clean(str(error)), reached=False) from error
    except ServiceResponseTimeoutError as error:
        raise ArmFault(None, "NoAnswerInTime", clean(str(error))) from error
    except ServiceResponseError as error:
        raise ArmFault(None, "NoAnswer", clean(str(error))) from error
    except AzureError as error:
        raise ArmFault(None, type(error).__name__, clean(str(error))) from None
    except (
        DeserializationError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        # JSON that isn't what the SDK client expects, or an empty body where there must be one: each of the three
        # generations of clients stumbles in another way.
        raise unreadable(f"{type(error).__name__}: {error}") from None


@contextmanager
def asked_before_waiting(ask: Callable[[ArmFault], Awaitable[None]]) -> Iterator[None]:
    """Have each fault inside shown to `ask`, which raises where waiting would be of no use; its own faults aren't."""
    token = _ask.set(ask)
    try:
        yield
    finally:
        _ask.reset(token)


async def _asked(fault: ArmFault) -> None:
    ask = _ask.get()
    if ask is not None:
        token = _ask.set(None)
        try:
            await ask(fault)
        finally:
            _ask.reset(token)


async def with_retries(label: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """Run `attempt` until it works, its fault says stop, or the fault's budget is spent.

    Args:
        label: what it is about, for log and messages.
        attempt: reads before it writes, so that going round is safe.

    Raises:
        AzureRefused: a person must act.
        TemporaryError: the budget for this fault is spent.
    """
    # By the fault's code. An attempt in between may have got far, and worked for minutes: only waiting counts, which
    # a request without an answer is too.
    waited_s: dict[str, float] = {}
    began_s = clock.now_s()

    def rule_of(state: tenacity.RetryCallState) -> tuple[ArmFault, Rule]:
        fault = state.outcome.exception() if state.outcome else None
        assert isinstance(fault, ArmFault)
        return fault, rule_for(fault)

    def pause_s(state: tenacity.RetryCallState) -> float:
        fault, rule = rule_of(state)
        if fault.retry_after_s:
            # In real seconds, waited for in full: coming back earlier only makes Azure's answer longer.
            return fault.retry_after_s * clock.time_scale()
        grown_s = rule.pause_s * 1.5 ** min(state.attempt_number - 1, 20)
        return min(grown_s, max(rule.pause_s, _LONGEST_PAUSE_S))

    def is_spent(state: tenacity.RetryCallState) -> bool:
        fault, rule = rule_of(state)
        if fault.status is None:
            took_s = min(clock.now_s() - began_s, _REQUEST_S)
            waited_s[fault.code] = waited_s.get(fault.code, 0) + took_s
        return waited_s.get(fault.code, 0) >= budget_s(rule)

    def note(state: tenacity.RetryCallState) -> None:
        fault, rule = rule_of(state)
        wait_s = state.next_action.sleep if state.next_action else 0
        journal().conflict(
            f"{label}: {rule.advice} ({fault}); again in {clock.minutes(wait_s)}, "
            f"waited {clock.minutes(waited_s.get(fault.code, 0))} so far"
        )
        waited_s[fault.code] = waited_s.get(fault.code, 0) + wait_s

    try:
        async for go in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(
                lambda e: isinstance(e, ArmFault) and rule_for(e).reaction == "again"
            ),
            wait=pause_s,
            stop=is_spent,
            sleep=clock.sleep,
            before_sleep=note,
            reraise=True,
        ):
            with go:
                began_s = clock.now_s()
                try:
                    return await attempt()
                except ArmFault as fault:
                    await _asked(fault)
                    raise
    except ArmFault as fault:
        raise refusal(label, fault) from fault
    raise AssertionError("unreachable: tenacity either returns or raises")


def refusal(label: str, fault: ArmFault) -> ProvisioningError:
    """The error that ends a step: which resource, Azure's words, what we did about it, what to do."""
    rule = rule_for(fault)
    if rule.reaction == "again":
        why = rule.advice[:1].upper() + rule.advice[1:]
        done = f"{why}; waited and tried again for {clock.minutes(budget_s(rule))}. Run again to go on."
        error: type[TemporaryError] = rule.gives_up_as
        return error(f"{label}: {fault}. {done}")
    return AzureRefused(f"{label}: {fault}.", fault.code, way_out=rule.advice)


async def all_ended(calls: Iterable[Awaitable[T]]) -> list[T]:
    """The results of calls that run side by side; the first error is raised once all of them have ended.

    A write left running by a step that has failed would meet that step's next attempt.
    """
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


async def read(
    label: str, operation: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any
) -> Json | None:
    """Read a resource, with retries; None when it isn't there."""

    async def attempt() -> Json | None:
        try:
            answer = await send(operation, *arguments, **options)
            if not answer.body:
                raise unreadable(f"status {answer.status} with an empty body")
            return answer.body
        except ArmFault as fault:
            if fault.status == 404:
                return None
            raise

    return await with_retries(label, attempt)


async def read_path(label: str, get: Callable[[], Awaitable[Answer]]) -> Answer:
    """Run a read that no SDK operation has (`Azure.get`), with retries."""
    return await with_retries(label, lambda: once(get))


async def read_once(get: Callable[[], Awaitable[Answer]]) -> Answer:
    """The same, once.

    Raises:
        ArmFault: for every kind of failure.
    """
    answer: Answer = await once(get)
    return answer


async def read_list(label: str, fetch: Callable[[], Awaitable[T]]) -> T:
    """Run a listing, with retries."""
    return await with_retries(label, lambda: once(fetch))
