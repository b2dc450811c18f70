"""One ARM resource as a step describes it, and how it is looked at and waited for, to be written or to be deleted."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from azure.core import MatchConditions

from aks_postgres.arm import clock
from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import FINAL_STATES, state_of
from aks_postgres.arm.errors import OperationNotDone
from aks_postgres.arm.gate import purpose
from aks_postgres.arm.if_match import send_if_unchanged
from aks_postgres.arm.poll import NotInTime, poll
from aks_postgres.arm.responses import Answer, ArmFault, FirstAnswer, Json
from aks_postgres.arm.retry import send, with_retries
from aks_postgres.arm.writable import patch_of, without_read_only
from aks_postgres.reports.journal import journal

_DELETING = ("deleting", "deprovisioning")
# Whose operation is waited for: one found running (AKS starts some of its own), the one just started, or a deletion.
EARLIER = "an operation that this step didn't start"
OURS = "our operation"
DELETION = "it"
# Azure seconds: https://github.com/Azure/telescope/pull/1213 (PutExtensionAddonHandler).
_FOREIGN_S = 30
# Azure seconds between two looks at what an operation needs, once it takes longer than usual.
_ASKS_S = 60


@dataclass(frozen=True)
class ArmResource:
    """One ARM resource: how to read, write and delete it, and how long its operation takes in Azure seconds."""

    azure: Azure = field(repr=False)
    label: str
    id: str
    get: Callable[[], Awaitable[Answer]]
    put: Callable[[Json, Json | None], Awaitable[Answer]]
    expected_s: float
    deadline_s: float
    guards: Sequence[ArmResource] = field(default=())
    is_busy: Callable[[], Awaitable[bool]] | None = None
    word: str = ""
    delete: Callable[[Json], Awaitable[Answer]] | None = None
    waits: bool = True
    abort: Callable[[str], str] | None = None
    refuse_lasting: Callable[[Json], Awaitable[None]] | None = None

    @property
    def name(self) -> str:
        """The last part of its ID."""
        return self.id.rsplit("/", 1)[-1]


def arm_resource(
    azure: Azure,
    label: str,
    resource_id: str,
    get: Callable[..., Awaitable[Any]],
    put: Callable[..., Awaitable[Any]],
    *key: str,
    update: Callable[..., Awaitable[Any]] | None = None,
    retag: Callable[..., Awaitable[Any]] | None = None,
    model_of: Callable[[], Callable[..., Awaitable[Any]]] | None = None,
    expected_s: float = 2,
    deadline_s: float = 600,
    if_match: bool = False,
    is_foundation: bool = False,
    guards: Sequence[ArmResource] = (),
    is_busy: Callable[[], Awaitable[bool]] | None = None,
    word: str = "",
    delete: Callable[..., Awaitable[Any]] | None = None,
    waits: bool = True,
    abort: Callable[[str], str] | None = None,
    refuse_lasting: Callable[[Json], Awaitable[None]] | None = None,
    **options: Any,
) -> ArmResource:
    """Describe a resource by operations of an SDK client.

    A `begin_` operation is started, and waited for by reading the resource.

    Args:
        label: what it is called in log and messages, such as `AKS cluster aks-1`.
        resource_id: its ARM ID.
        get: the operation that reads it.
        put: the operation that writes it.
        key: what all operations take first (resource group, name).
        update: the operation that changes single fields (PATCH), where the type has one for all that is ours; others
            get the whole resource again, without what only Azure writes.
        retag: the operation that changes tags only (PATCH), where these alone differ.
        model_of: gives the operation that reads it, where `get` is another; its model says what only Azure writes.
        expected_s: how long writing it, or deleting it, usually takes.
        deadline_s: when to stop waiting for it.
        if_match: send If-Match with the ETag that was read, so that nothing else is overwritten or deleted, and
            If-None-Match for a new one.
        is_foundation: whether it may be made before there is a lock on the environment.
        guards: resources that must be settled before this one is written (a node pool's cluster).
        is_busy: a read that is asked in place of `get` while an operation runs, where Azure lets that one be asked
            more often.
        word: what kind of thing it is, such as `AKS cluster`.
        delete: the operation that deletes it.
        waits: whether another operation on it has to end before it is deleted; AKS deletes a busy cluster, too.
        abort: the command with which a person ends what it is doing, given that, where Azure has one.
        refuse_lasting: raises if what it shows can't end well; asked where its operation takes longer than usual.
        options: passed to all operations (`api_version`).
    """

    async def write(body: Json, live: Json | None) -> Answer:
        azure.gate.require(f"{label}: {'would be updated' if live else 'does not exist yet'}")
        conditions: dict[str, Any] = {}
        if if_match and live is None:
            conditions = {"etag": "*", "match_condition": MatchConditions.IfMissing}
        operation = put
        if live is not None:
            patch = patch_of(body, live)
            smaller = update or (retag if patch.keys() == {"tags"} else None)
            # What failed is mended by the whole resource only. Where there is a PATCH, the model may call read-only
            # what a PUT must have, such as an account's SKU.
            if smaller is not None and state_of(live) not in ("Failed", "Canceled"):
                operation, body = smaller, patch
            elif update is None:
                body = without_read_only(model_of() if model_of else get, body, live)
        content = json.dumps(body).encode()

        async def request(headers: Json) -> Answer:
            also = {**conditions, **({"headers": headers} if headers else {}), **options}
            if operation.__name__.startswith("begin_"):
                also["content_type"] = "application/json"
            return await sent(operation, *key, content, **also)

        with purpose("foundation" if live is None and is_foundation else "write"):
            if if_match and live is not None:
                return await send_if_unchanged(azure, request, look, live)
            return await request({})

    async def look() -> Answer:
        answer = await send(get, *key, **options)
        if not answer.body:
            # Taken for a resource without any property, it would be overwritten.
            raise ArmFault(None, "UnreadableAnswer", f"status {answer.status} with an empty body")
        return answer

    async def remove(live: Json) -> Answer:
        azure.gate.require(f"{label}: would be deleted")
        assert delete is not None
        operation = delete

        async def request(headers: Json) -> Answer:
            return await sent(operation, *key, **({"headers": headers} if headers else {}), **options)

        return await send_if_unchanged(azure, request, look, live) if if_match else await request({})

    return ArmResource(
        azure,
        label,
        resource_id,
        look,
        write,
        expected_s,
        deadline_s,
        guards,
        is_busy,
        word,
        remove if delete else None,
        waits,
        abort,
        refuse_lasting,
    )


async def sent(operation: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Answer:
    """The answer to an operation; to one that begins something, without waiting for its end."""
    if operation.__name__.startswith("begin_"):
        return await send(functools.partial(_begun, operation), *arguments, polling=FirstAnswer(), **options)
    return await send(operation, *arguments, **options)


async def _begun(begin: Callable[..., Awaitable[Any]], *arguments: Any, cls: Any, **options: Any) -> Answer:
    poller = await begin(*arguments, **options)
    answer: Answer = await poller.result()
    return answer


async def look_at(resource: ArmResource) -> Json | None:
    """Read a resource, with retries; None when it isn't there."""

    async def attempt() -> Json | None:
        return await look_once(resource)

    return await with_retries(resource.label, attempt)


async def look_once(resource: ArmResource) -> Json | None:
    """Read a resource; None when it isn't there."""
    try:
        return (await resource.get()).body
    except ArmFault as fault:
        # A missing parent or group means the same: not there.
        if fault.status == 404:
            return None
        raise


def unsettled(live: Json | None) -> str | None:
    """Return what the resource, or one of a cluster's node pools, is doing; None when it has settled."""
    if live is None:
        return None
    state = state_of(live)
    if state.casefold() not in FINAL_STATES:
        return state
    properties = live.get("properties")
    pools = properties.get("agentPoolProfiles") if isinstance(properties, dict) else None
    for pool in pools if isinstance(pools, list) else []:
        pool_state = str((isinstance(pool, dict) and pool.get("provisioningState")) or "Succeeded")
        if pool_state.casefold() not in FINAL_STATES:
            return f"node pool {pool.get('name')} {pool_state}"
    return None


def is_being_deleted(live: Json) -> bool:
    """Return whether its deletion has begun."""
    return state_of(live).casefold() in _DELETING


async def settled(
    resource: ArmResource,
    look: Callable[[], Awaitable[Json | None]] | None = None,
    *,
    doing: Callable[[Json | None], str | None] = unsettled,
    whose: str = EARLIER,
) -> Json | None:
    """Wait until nothing runs on a resource, and return it; None when absent.

    Args:
        resource: the resource.
        look: reads it, if not once.
        doing: what it is doing; None ends the wait.
        whose: the operation that is waited for, as messages call it.

    Raises:
        LastingState: it takes longer than usual, and can't end well.
        OperationNotDone: it still runs at the deadline.
    """
    states: list[str] = []
    now: str | None = None
    live: Json | None = None
    # How long somebody else's operation takes isn't known; AKS's own take half a minute.
    expected_s = _FOREIGN_S if whose == EARLIER else resource.expected_s

    began_s = clock.now_s()
    asks_s = began_s + max(_ASKS_S, expected_s)

    async def is_settled() -> bool | None:
        nonlocal now, live, asks_s
        if now is None or resource.is_busy is None or not await resource.is_busy():
            live = await (look() if look else look_once(resource))
            now = doing(live)
        if now is not None and live is not None and resource.refuse_lasting and clock.now_s() > asks_s:
            asks_s = clock.now_s() + _ASKS_S
            await resource.refuse_lasting(live)
        return True if now is None else None

    def waiting(elapsed_s: float) -> None:
        assert now is not None
        if now not in states and not (states and now.startswith("node pool")):
            states.append(now)
        journal().waiting(f"{resource.label} is {now}", elapsed_s=elapsed_s, expected_s=resource.expected_s)

    try:
        await poll(
            is_settled,
            # In a crowd, whoever only looks leaves room for those who have something to do.
            every_s=lambda elapsed_s: max(_interval_s(elapsed_s, expected_s), 4 * resource.azure.queue_s),
            deadline_s=resource.deadline_s,
            waiting=waiting,
        )
    except NotInTime as end:
        assert now is not None
        told = (
            f"{resource.label}: {whose} is still {now} after {clock.minutes(end.elapsed_s)}. Azure goes on with it; "
            "run again to go on waiting, and if that doesn't help, look at the resource's activity log."
        )
        if resource.abort and whose != DELETION:
            told += f" To have Azure end it: {resource.abort(now)}; then run again."
        raise OperationNotDone(told) from None
    if foreign := states if whose == EARLIER else states[1:]:
        waited = clock.minutes(clock.now_s() - began_s)
        told = f"{resource.label}: waited {waited}, also for {EARLIER} ({', '.join(foreign)})"
        journal().note(told, logging.INFO)
    return live


def _interval_s(elapsed_s: float, expected_s: float) -> float:
    """Azure seconds to the next look: often when the end is near, within AKS's one read a second and cluster.

    An end is noticed after one or two seconds on average, unless it comes far from when it is expected.
    https://learn.microsoft.com/azure/aks/quotas-skus-regions (60 reads at once, then one a second).
    """
    if elapsed_s > max(120, 2 * expected_s) or (expected_s > 60 and elapsed_s < 0.6 * expected_s):
        return 8
    return 4 if expected_s > 60 and elapsed_s < 0.85 * expected_s else 2
