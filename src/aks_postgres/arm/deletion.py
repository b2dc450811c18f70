"""Making sure that one ARM resource is gone: read, check whose it is, delete at most once, wait, look again.

The mirror image of `arm.reconcile.ensure`. A deletion that is in progress is waited for and never repeated, a lost
answer is looked up before anything is sent again, and only a 404 is believed: a resource that is back after its
deletion (a resource group does that) says why, and `arm.error_codes` decides what follows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

from aks_postgres.arm import clock
from aks_postgres.arm.diff import FINAL_STATES
from aks_postgres.arm.operation_status import fault_of_operation
from aks_postgres.arm.resource import ArmResource, is_being_deleted, look_once, unsettled, wait_for
from aks_postgres.arm.responses import Answer, ArmFault, Json
from aks_postgres.arm.retry import read_once, with_retries

Outcome = Literal["deleted", "not found"]
Check = Callable[[Json], Awaitable[None]]

# A resource may be visible for a moment after the request that deleted it.
_DISAPPEARS_WITHIN_S = 120


async def ensure_absent(resource: ArmResource, check: Check | None = None) -> Outcome:
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
        live = await _settled(resource) if resource.waits else await look_once(resource)
        if live is None:
            return
        was_there = True
        if is_being_deleted(live):
            await _gone(resource, None)
            return
        if check:
            await check(live)
        try:
            assert resource.delete is not None
            answer = await resource.delete(live)
        except ArmFault as fault:
            if fault.status == 404:
                return
            raise
        await _gone(resource, answer)

    await with_retries(resource.label, attempt)
    return "deleted" if was_there else "not found"


async def wait_until_absent(resource: ArmResource) -> Outcome:
    """See that a resource is gone which goes along with another one; never deletes it.

    Raises:
        OperationNotDone: still there at the deadline.
    """
    was_there = await with_retries(resource.label, lambda: look_once(resource)) is not None

    async def is_absent() -> bool | None:
        return True if await with_retries(resource.label, lambda: look_once(resource)) is None else None

    await _wait(resource, is_absent)
    return "deleted" if was_there else "not found"


async def settled(resource: ArmResource) -> Json | None:
    """The resource once nothing but its deletion runs on it; None when absent."""
    return await with_retries(resource.label, lambda: _settled(resource))


async def _settled(resource: ArmResource) -> Json | None:
    live: Json | None = None
    doing: str | None = None

    async def is_settled() -> bool | None:
        nonlocal live, doing
        live = await look_once(resource)
        doing = unsettled(live)
        return True if live is None or doing is None or is_being_deleted(live) else None

    await _wait(resource, is_settled, lambda: str(doing))
    return live


async def _gone(resource: ArmResource, answer: Answer | None) -> None:
    """Wait until the resource is gone.

    Args:
        resource: the resource, whose deletion has begun.
        answer: to the request that began it; None for a deletion that was found in progress.

    Raises:
        ArmFault: it is back, with Azure's reason where it gives one.
    """
    started_s = clock.now_s()

    async def is_gone() -> bool | None:
        live = await with_retries(resource.label, lambda: look_once(resource))
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


async def _runs(resource: ArmResource, answer: Answer) -> bool:
    """Return whether the operation that a request began is still running, by its own status.

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
    resource: ArmResource,
    so: Callable[[], Awaitable[bool | None]],
    doing: Callable[[], str] = lambda: "being deleted",
) -> None:
    every_s = 2 if resource.expected_s <= 60 else 8
    await wait_for(resource, so, every_s=every_s, doing=doing, late=lambda: f"still {doing()}")
