import asyncio
import dataclasses
import re
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    DeserializationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)

from aks_postgres.arm import clock
from aks_postgres.arm.errors import (
    AzureRefused,
    AzureUnavailable,
    ClusterBusy,
    CredentialsRefused,
    NotEffectiveYet,
)
from aks_postgres.arm.responses import ArmFault
from aks_postgres.arm.retry import BUSY_BUDGET_VARIABLE, read_list, refusal, send, with_retries
from aks_postgres.errors import ProvisioningError, is_temporary
from aks_postgres.reports.journal import Journal, use_journal

BUSY = ArmFault(409, "OperationNotAllowed", "Another operation (Updating) is in progress.", "corr-1")
CONFLICT = ArmFault(409, "AnotherOperationInProgress", "try later")
CAPACITY = ArmFault(200, "ZonalAllocationFailed", "no room in zone 2")
REFUSED = ArmFault(400, "K8sVersionNotSupported", "1.29 is LTS only", "corr-2")


@pytest.fixture(autouse=True)
def book(monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """The run's journal, on a clock so fast that the shortest sleep is 40 of Azure's seconds."""
    monkeypatch.setenv(clock.TIME_SCALE_VARIABLE, "2000")
    monkeypatch.delenv(BUSY_BUDGET_VARIABLE, raising=False)
    with use_journal(Journal()) as opened:
        yield opened


class Attempts:
    """Something to attempt that fails in the given ways first, the last of them for ever if it never works."""

    def __init__(self, *faults: BaseException, works: bool = True) -> None:
        self._faults = list(faults)
        self._works = works
        self.made_at_s: list[float] = []

    async def __call__(self) -> str:
        self.made_at_s.append(time.monotonic())
        made = len(self.made_at_s)
        if made <= len(self._faults):
            raise self._faults[made - 1]
        if not self._works:
            raise self._faults[-1]
        return "done"


def conflicts(book: Journal) -> list[str]:
    return [event.text for event in book.events if event.kind == "conflict"]


async def test_what_works_at_once_is_done_once_and_not_worth_a_line(book: Journal) -> None:
    attempts = Attempts()
    assert await with_retries("AKS cluster", attempts) == "done"
    assert len(attempts.made_at_s) == 1
    assert book.events == []


async def test_what_passes_is_tried_again_and_every_pause_is_in_the_journal(book: Journal) -> None:
    attempts = Attempts(BUSY, CONFLICT)
    with book.step("ensure_cluster"):
        assert await with_retries("AKS cluster aks-1", attempts) == "done"
    assert len(attempts.made_at_s) == 3
    first, second = conflicts(book)
    assert first == (
        "AKS cluster aks-1: AKS is busy with another operation (HTTP 409 OperationNotAllowed: Another operation "
        "(Updating) is in progress. [correlation ID corr-1]); again in 10 s, waited 0 s so far"
    )
    assert "AnotherOperationInProgress: try later" in second
    assert {event.step for event in book.events} == {"ensure_cluster"}


async def test_what_a_person_must_mend_is_attempted_once(book: Journal) -> None:
    attempts = Attempts(REFUSED)
    with pytest.raises(AzureRefused) as caught:
        await with_retries("AKS cluster aks-1", attempts)
    assert len(attempts.made_at_s) == 1
    assert caught.value.code == "K8sVersionNotSupported"
    assert str(caught.value) == (
        "AKS cluster aks-1: HTTP 400 K8sVersionNotSupported: 1.29 is LTS only [correlation ID corr-2]. "
        "Leave cluster.kubernetes_version unset, or choose one that the region offers."
    )
    assert caught.value.__cause__ is REFUSED
    assert not is_temporary(caught.value)
    assert conflicts(book) == []


@pytest.mark.parametrize(
    ("fault", "gives_up_as", "budget"),
    [
        (BUSY, ClusterBusy, "30 min 0 s"),
        (CONFLICT, AzureUnavailable, "10 min 0 s"),
        (CAPACITY, NotEffectiveYet, "15 min 0 s"),
        (ArmFault(503, "HTTP503", "no message"), AzureUnavailable, "5 min 0 s"),
        (ArmFault(409, "OperationNotAllowed", "since deletion was issued"), ClusterBusy, "60 min 0 s"),
    ],
)
async def test_a_fault_that_stays_ends_the_step_when_its_budget_is_spent(
    fault: ArmFault, gives_up_as: type[ProvisioningError], budget: str, book: Journal
) -> None:
    attempts = Attempts(fault, works=False)
    began_s = clock.now_s()
    with pytest.raises(gives_up_as) as caught:
        await with_retries("AKS cluster aks-1", attempts)
    assert type(caught.value) is gives_up_as
    assert f"waited and tried again for {budget}. Run again to go on." in str(caught.value)
    assert is_temporary(caught.value)
    minutes, seconds = map(int, re.findall(r"\d+", budget))
    assert clock.now_s() - began_s >= minutes * 60 + seconds
    assert len(attempts.made_at_s) == len(conflicts(book)) + 1 >= 2


async def test_each_code_has_a_budget_of_its_own() -> None:
    busy = dataclasses.replace(BUSY, retry_after_s=0.12)
    unknown = ArmFault(400, "PrincipalNotFound", "")
    # Four times 240 of Azure's seconds: more than the others' budgets before they are first seen.
    attempts = Attempts(*[busy] * 4, CONFLICT, unknown)
    assert await with_retries("storage account", attempts) == "done"
    assert len(attempts.made_at_s) == 7


async def test_trouble_on_the_way_doesnt_count_what_the_attempt_in_between_waited_for() -> None:
    trouble = ArmFault(503, "ServiceUnavailable", "")
    seen: list[float] = []

    async def attempt() -> str:
        seen.append(clock.now_s())
        if len(seen) == 2:
            await clock.sleep(400)  # as for an operation of several minutes; the budget is 300
        if len(seen) < 3:
            raise trouble
        return "done"

    assert await with_retries("storage account", attempt) == "done"
    assert seen[2] - seen[0] > 400


async def test_a_stop_ends_what_began_with_a_fault_that_passes() -> None:
    attempts = Attempts(CONFLICT, REFUSED)
    with pytest.raises(AzureRefused):
        await with_retries("AKS cluster", attempts)
    assert len(attempts.made_at_s) == 2


async def test_the_environment_can_say_how_long_a_busy_cluster_is_worth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(BUSY_BUDGET_VARIABLE, "0")
    attempts = Attempts(BUSY, works=False)
    with pytest.raises(ClusterBusy, match="tried again for 0 s"):
        await with_retries("AKS cluster", attempts)
    assert len(attempts.made_at_s) == 1


async def test_pauses_grow_up_to_half_a_minute(book: Journal) -> None:
    attempts = Attempts(BUSY, works=False)
    with pytest.raises(ClusterBusy):
        await with_retries("AKS cluster", attempts)
    pauses = [re.search(r"again in (.+), waited", text) for text in conflicts(book)]
    assert [pause and pause.group(1) for pause in pauses][:5] == ["10 s", "15 s", "22 s", "30 s", "30 s"]


async def test_a_pause_that_a_rule_makes_longer_stays_as_it_is(book: Journal) -> None:
    with pytest.raises(NotEffectiveYet):
        await with_retries("AKS cluster", Attempts(CAPACITY, works=False))
    assert all("again in 5 min 0 s" in text for text in conflicts(book))


async def test_retry_after_is_waited_for_in_full_and_in_real_seconds(book: Journal) -> None:
    throttled = ArmFault(429, "TooManyRequests", "slow down", retry_after_s=0.15)
    attempts = Attempts(throttled)
    assert await with_retries("AKS cluster", attempts) == "done"
    first, second = attempts.made_at_s
    assert second - first >= 0.15
    assert "again in 5 min 0 s" in conflicts(book)[0]  # 0.15 s at 2,000 times Azure's speed


async def test_a_retry_after_of_zero_leaves_the_rules_own_pause(book: Journal) -> None:
    await with_retries("AKS cluster", Attempts(ArmFault(429, "TooManyRequests", "", retry_after_s=0.0)))
    assert "again in 15 s" in conflicts(book)[0]


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("name"), TimeoutError("late")])
async def test_what_is_no_answer_of_azures_passes_through_at_once(error: Exception) -> None:
    attempts = Attempts(error)
    with pytest.raises(type(error)) as caught:
        await with_retries("AKS cluster", attempts)
    assert caught.value is error
    assert len(attempts.made_at_s) == 1


async def test_a_cancelled_run_doesnt_wait_for_its_pause(
    monkeypatch: pytest.MonkeyPatch, book: Journal
) -> None:
    async def for_ever(_: float) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(clock, "sleep", for_ever)
    pausing = asyncio.Event()
    book.subscribe(lambda event: pausing.set())
    run = asyncio.create_task(with_retries("AKS cluster", Attempts(BUSY)))
    await pausing.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


def test_a_refusal_is_permanent_only_where_the_rule_says_stop() -> None:
    assert isinstance(refusal("x", REFUSED), AzureRefused)
    assert isinstance(refusal("x", BUSY), ClusterBusy)


def raising(error: Exception) -> Callable[..., Awaitable[None]]:
    async def operation(*_: object, **__: object) -> None:
        raise error

    return operation


NEVER_SENT = aiohttp.ConnectionTimeoutError("connect")


@pytest.mark.parametrize(
    ("error", "code", "reached"),
    [
        (ServiceRequestError("no route", error=NEVER_SENT), "NotSent", False),
        (ServiceRequestError("broken off", error=aiohttp.ServerDisconnectedError()), "NoAnswer", True),
        (ServiceResponseError("connection reset"), "NoAnswer", True),
        (ServiceResponseTimeoutError("a minute"), "NoAnswerInTime", True),
        (HttpResponseError("odd"), "HttpResponseError", True),
        (DeserializationError("not a ManagedCluster"), "UnreadableAnswer", True),
    ],
)
async def test_every_failure_of_a_request_is_a_fault_that_passes(
    error: Exception, code: str, reached: bool
) -> None:
    with pytest.raises(ArmFault) as caught:
        await send(raising(error))
    assert (caught.value.status, caught.value.code, caught.value.reached) == (None, code, reached)
    with pytest.raises(AzureUnavailable, match=code):
        await read_list("node pools", raising(error))


async def test_a_credential_that_gives_no_token_any_more_stops_the_run() -> None:
    error = ClientAuthenticationError(
        "AADSTS700024: the assertion has expired. client_assertion=eyJ0eXAi.x.y"
    )
    with pytest.raises(CredentialsRefused, match="AADSTS700024") as caught:
        await with_retries("AKS cluster", lambda: send(raising(error)))
    assert "AZURE_FEDERATED_TOKEN_FILE renewed" in str(caught.value)
    assert "eyJ0eXAi" not in str(caught.value)


async def test_no_traceback_holds_azures_text_as_it_came() -> None:
    """Prefect logs tracebacks with all that an error was raised from."""
    told = HttpResponseError("AccountKey=Zm9yZWlnbiB0ZXh0; refused")
    with pytest.raises(AzureUnavailable, match="refused") as caught:
        await read_list("node pools", raising(told))
    assert "Zm9yZWlnbiB0ZXh0" not in "".join(traceback.format_exception(caught.value))


async def test_a_budget_counts_waiting_and_not_what_an_attempt_takes(
    monkeypatch: pytest.MonkeyPatch, book: Journal
) -> None:
    """An attempt may get far, and work for minutes, before it meets the same refusal again."""
    monkeypatch.setenv(BUSY_BUDGET_VARIABLE, "60")
    now_s = [0.0]
    monkeypatch.setattr(clock, "now_s", lambda: now_s[0])

    class Slow(Attempts):
        async def __call__(self) -> str:
            now_s[0] += 3600
            return await super().__call__()

    assert await with_retries("AKS cluster", Slow(BUSY, BUSY, BUSY)) == "done"


async def test_a_request_that_nobody_answers_is_waiting_too(
    monkeypatch: pytest.MonkeyPatch, book: Journal
) -> None:
    """Else an API server behind a firewall, which takes a connection's whole time-out, would outlast the bound."""
    now_s, asked = [0.0], 0
    monkeypatch.setattr(clock, "now_s", lambda: now_s[0])

    async def unanswered() -> str:
        nonlocal asked
        asked += 1
        now_s[0] += 3600
        raise ArmFault(None, "NoAnswer", "timed out")

    with pytest.raises(AzureUnavailable, match="5 min"):
        await with_retries("API server", unanswered)
    # A minute each, and the pauses between: 300 s.
    assert asked == 5
