"""Making sure that one ARM resource is gone: read, check whose it is, delete at most once, wait, look again.

The mirror image of `arm.reconcile.ensure`. A deletion that is in progress is waited for and never repeated, a lost
answer is looked up before anything is sent again, and only a 404 is believed: a resource that is back after its
deletion (a resource group does that) says why, and `arm.error_codes` decides what follows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from aks_postgres.arm import clock
from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import FINAL_STATES, state_of
from aks_postgres.arm.errors import OperationNotDone
from aks_postgres.arm.if_match import send_if_unchanged
from aks_postgres.arm.operation_status import fault_of_operation
from aks_postgres.arm.poll import NotInTime, poll
from aks_postgres.arm.reconcile import unsettled
from aks_postgres.arm.responses import Answer, ArmFault, FirstAnswer, Json
from aks_postgres.arm.retry import read_once, send, with_retries
from aks_postgres.reports.journal import journal

Outcome = Literal["deleted", "not found"]
Check = Callable[[Json], Awaitable[None]]

_DELETING = ("deleting", "deprovisioning")
# A resource may be visible for a moment after the request that deleted it.
_DISAPPEARS_WITHIN_S = 120


@dataclass(frozen=True)
class Deletable:
    """One ARM resource: how to read and delete it, and how long that takes in Azure seconds."""

    azure: Azure = field(repr=False)
    what: str
    id: str
    get: Callable[[], Awaitable[Answer]]
    delete: Callable[[Json], Awaitable[Answer]]
    expected_s: float
    deadline_s: float
    waits: bool

    @property
    def name(self) -> str:
        """The last part of its ID."""
        return self.id.rsplit("/", 1)[-1]

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"{self.what} {self.name}"


def deletable(
    azure: Azure,
    what: str,
    resource_id: str,
    get: Callable[..., Awaitable[Any]],
    delete: Callable[..., Awaitable[Any]],
    *key: str,
    expected_s: float = 2,
    deadline_s: float = 600,
    waits: bool = True,
    if_match: bool = False,
    **options: Any,
) -> Deletable:
    """Describe a resource by two operations of an SDK client.

    Args:
        what: what kind of thing it is, such as `AKS cluster`.
        resource_id: its ARM ID.
        get: the operation that reads it.
        delete: the operation that deletes it; a `begin_` operation is started, and waited for by reading the
            resource.
        key: what both operations take first (resource group, name).
        expected_s: how long the deletion usually takes.
        deadline_s: when to stop waiting for it.
        waits: whether another operation on it has to end first; AKS deletes a busy cluster, too.
        if_match: send If-Match with the ETag of the resource that was checked, so that nothing else is deleted.
        options: passed to both operations (`api_version`).
    """

    async def look() -> Answer:
        return await send(get, *key, **options)

    async def remove(live: Json) -> Answer:
        azure.gate.require(f"{what} {resource_id.rsplit('/', 1)[-1]}: would be deleted")

        async def request(headers: Json) -> Answer:
            also = {**({"headers": headers} if headers else {}), **options}
            if delete.__name__.startswith("begin_"):
                return await send(_started, delete, *key, **also)
            return await send(delete, *key, **also)

        return await send_if_unchanged(azure, request, look, live) if if_match else await request({})

    return Deletable(azure, what, resource_id, look, remove, expected_s, deadline_s, waits)


async def _started(begin: Callable[..., Awaitable[Any]], *key: str, cls: Any, **options: Any) -> Answer:
    poller = await begin(*key, polling=FirstAnswer(), **options)
    answer: Answer = await poller.result()
    return answer


async def ensure_absent(resource: Deletable, check: Check | None = None) -> Outcome:
    """Delete a resource if it is there, and see that it is gone.

    Args:
        resource: the resource.
        check: called with the live resource before every request to delete it; raises where it must stay.

    Returns:
        Whether it was there.

    Raises:
        AzureRefused, NotOurs: a person must act.
        TemporaryError: what is normal took longer than its budget.
        OperationNotDone: still being deleted at the deadline; a rerun goes on waiting.
    """
    was_there = False

    async def attempt() -> None:
        nonlocal was_there
        live = await _settled(resource) if resource.waits else await _look(resource)
        if live is None:
            return
        was_there = True
        if is_being_deleted(live):
            await _gone(resource, None)
            return
        if check:
            await check(live)
        try:
            answer = await resource.delete(live)
        except ArmFault as fault:
            if fault.status == 404:
                return
            raise
        await _gone(resource, answer)

    await with_retries(resource.label, attempt)
    return "deleted" if was_there else "not found"


async def wait_until_absent(resource: Deletable) -> Outcome:
    """See that a resource is gone which goes along with another one; never deletes it.

    Raises:
        OperationNotDone: still there at the deadline.
    """
    was_there = await with_retries(resource.label, lambda: _look(resource)) is not None

    async def is_absent() -> bool | None:
        return True if await with_retries(resource.label, lambda: _look(resource)) is None else None

    await _wait(resource, is_absent)
    return "deleted" if was_there else "not found"


def is_being_deleted(live: Json) -> bool:
    """Whether its deletion has begun."""
    return state_of(live).casefold() in _DELETING


async def settled(resource: Deletable) -> Json | None:
    """The resource once nothing but its deletion runs on it; None when absent."""
    return await with_retries(resource.label, lambda: _settled(resource))


async def _look(resource: Deletable) -> Json | None:
    try:
        return (await resource.get()).body
    except ArmFault as fault:
        # A missing parent, scope or group means the same: not there.
        if fault.status == 404:
            return None
        raise


async def _settled(resource: Deletable) -> Json | None:
    live: Json | None = None
    doing: str | None = None

    async def is_settled() -> bool | None:
        nonlocal live, doing
        live = await _look(resource)
        doing = unsettled(live)
        return True if live is None or doing is None or is_being_deleted(live) else None

    await _wait(resource, is_settled, lambda: str(doing))
    return live


async def _gone(resource: Deletable, answer: Answer | None) -> None:
    """Wait until the resource is gone.

    Args:
        resource: the resource, whose deletion has begun.
        answer: to the request that began it; None for a deletion that was found in progress.

    Raises:
        ArmFault: it is back, with Azure's reason where it gives one.
    """
    started_s = clock.now_s()

    async def is_gone() -> bool | None:
        live = await with_retries(resource.label, lambda: _look(resource))
        if live is None:
            return True
        if not is_being_deleted(live):
            still_runs = answer is not None and await _runs(resource, answer)
            if not still_runs and clock.now_s() - started_s > _DISAPPEARS_WITHIN_S:
                raise ArmFault(
                    200, "NotLatestOperation", "its deletion has ended and the resource is still there"
                )
        return None

    await _wait(resource, is_gone)


async def _runs(resource: Deletable, answer: Answer) -> bool:
    """Whether the operation that a request began is still running, by its own status.

    Raises:
        ArmFault: it failed.
    """
    url = answer.operation_url or answer.headers.get("location")
    if not url:
        return False
    try:
        status = await read_once(lambda: resource.azure.get(url))
    except ArmFault as fault:
        if fault.status == 404:  # the status is gone; the resource tells
            return False
        if fault.status is None or fault.status == 429 or fault.status >= 500:
            return True
        raise
    went_wrong = fault_of_operation(status.body, resource.id)
    if went_wrong is not None:
        raise went_wrong
    said = str(status.body.get("status") or "")
    return status.status == 202 or (bool(said) and said.casefold() not in FINAL_STATES)


async def _wait(
    resource: Deletable,
    look: Callable[[], Awaitable[bool | None]],
    doing: Callable[[], str] = lambda: "being deleted",
) -> None:
    """Look until it is so.

    Raises:
        OperationNotDone: not at the deadline.
    """
    expected_s = resource.expected_s
    try:
        await poll(
            look,
            every_s=2 if expected_s <= 60 else 8,
            deadline_s=resource.deadline_s,
            waiting=lambda elapsed_s: journal().waiting(
                f"{resource.label} is {doing()}", elapsed_s=elapsed_s, expected_s=expected_s
            ),
        )
    except NotInTime as late:
        raise OperationNotDone(
            f"{resource.label}: still {doing()} after {clock.minutes(late.elapsed_s)}. Azure goes on with it; run "
            "again to go on waiting, and if that doesn't help, look at the resource's activity log."
        ) from None
