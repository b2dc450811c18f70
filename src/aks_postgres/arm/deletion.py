"""Making sure that one ARM resource is gone: read, check whose it is, delete at most once, wait, look again.

The loop is `arm.reconcile`'s. A deletion that is in progress is waited for and never repeated, a lost
answer is looked up before anything is sent again, and only a 404 is believed: a resource that is back after its
deletion (a resource group does that) says why, and `arm.error_codes` decides what follows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

from aks_postgres.arm import clock
from aks_postgres.arm.diff import FINAL_STATES
from aks_postgres.arm.operation_status import fault_of_operation
from aks_postgres.arm.reconcile import reconcile
from aks_postgres.arm.resource import (
    DELETION,
    ArmResource,
    is_being_deleted,
    look_at,
    look_once,
    settled,
    unsettled,
)
from aks_postgres.arm.responses import Answer, ArmFault, Json
from aks_postgres.arm.retry import read_once

Outcome = Literal["deleted", "not found"]
Check = Callable[[Json], Awaitable[None]]

# A resource may be visible for a moment after the request that deleted it.
_DISAPPEARS_WITHIN_S = 120
# To a deletion that was found in progress.
_FOUND = Answer(202, {})


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

    async def act(live: Json | None) -> Answer | None:
        nonlocal was_there
        if live is None:
            return None
        was_there = True
        if is_being_deleted(live):
            return _FOUND
        if check:
            await check(live)
        assert resource.delete is not None
        try:
            return await resource.delete(live)
        except ArmFault as fault:
            if fault.status == 404:
                return None
            raise

    await reconcile(
        resource,
        lambda: settled_but_for_deletion(resource) if resource.waits else look_once(resource),
        act,
        lambda answer: _gone(resource, answer),
    )
    return "deleted" if was_there else "not found"


async def wait_until_absent(resource: ArmResource) -> Outcome:
    """See that a resource is gone which goes along with another one; never deletes it.

    Raises:
        OperationNotDone: still there at the deadline.
    """
    was_there = await look_at(resource) is not None
    await settled(resource, lambda: look_at(resource), doing=_being_deleted, whose=DELETION)
    return "deleted" if was_there else "not found"


async def settled_but_for_deletion(resource: ArmResource) -> Json | None:
    """The resource once nothing but its deletion runs on it; None when absent."""
    return await settled(
        resource, doing=lambda live: None if live and is_being_deleted(live) else unsettled(live)
    )


def _being_deleted(live: Json | None) -> str | None:
    return None if live is None else "being deleted"


async def _gone(resource: ArmResource, answer: Answer) -> Json | None:
    """Wait until the resource is gone, after the answer to what began its deletion.

    Raises:
        ArmFault: it is back, with Azure's reason where it gives one.
    """
    started_s = clock.now_s()

    async def look() -> Json | None:
        live = await look_at(resource)
        if live is None or is_being_deleted(live) or await _runs(resource, answer):
            return live
        if clock.now_s() - started_s > _DISAPPEARS_WITHIN_S:
            raise ArmFault(
                200, "NotLatestOperation", "its deletion has ended and the resource is still there"
            )
        return live

    return await settled(resource, look, doing=_being_deleted, whose=DELETION)


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
