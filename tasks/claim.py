"""The claim of a run that writes: a tag with an end time on the environment's group.

Prefect's lock (`flows/_one_writer.py`) holds among the runs of one Prefect server. A run from another server, such
as the temporary one of a terminal, sees this tag. It is put there just before the first write, so that a run that
writes nothing leaves no trace, and is renewed until the run ends. Tags know no compare-and-swap: two runs that claim
within the same second aren't kept apart by it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from cloud.answers import Answer, ArmFault, FirstAnswer, Json, wire_items
from cloud.calls import persistently, read_list, send
from cloud.deletion import is_being_deleted
from cloud.errors import EnvironmentBusy, ProvisioningError
from cloud.session import cloud
from environment.journal import journal
from environment.names import environment_key, is_ours
from environment.spec import EnvironmentSpec

WRITER = "aks-postgres-writer"
# Real seconds: the clock of the claim's end is the machines', not a sandbox's.
CLAIM_S = 120.0
RENEW_S = 40.0
LOOK_S = 5.0
LONGEST_WAIT_S = 4 * 3600.0


@asynccontextmanager
async def claimed(spec: EnvironmentSpec, server: str, writer: str, *, waits: bool) -> AsyncIterator[None]:
    """Claim the environment before the first write inside, and give it back at the end.

    Args:
        spec: the environment.
        server: which Prefect server keeps this run's lock; claims of its other runs are left to that lock.
        writer: which run this is, for whoever is refused.
        waits: whether to wait for another's claim to end, or to refuse.

    Raises:
        EnvironmentBusy: another run has claimed the environment; says which, and until when.
    """
    claim = _Claim(spec, f"{server} {writer}"[:200], server, waits=waits)
    cloud().before_first_write = claim
    try:
        yield
    finally:
        cloud().before_first_write = None
        await claim.give_back()


class _Claim:
    def __init__(self, spec: EnvironmentSpec, text: str, server: str, *, waits: bool) -> None:
        self._spec = spec
        self._text = text
        self._server = server
        self._waits = waits
        self._one_at_a_time = asyncio.Lock()
        self._group: str | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Claim, unless that is done; while the environment has no group there is nothing to claim."""
        async with self._one_at_a_time:
            if self._group is not None:
                return
            groups = await self._free_groups()
            if not groups:
                return
            # The backup group outlives the others.
            group = min(groups, key=lambda one: ("-backup-" not in str(one["name"]), str(one["name"])))
            self._group = str(group["id"])
            await persistently(f"claim on {group['name']}", self._write)
            self._renewing = asyncio.create_task(self._renew(), name=f"renew the claim on {group['name']}")

    async def give_back(self) -> None:
        """Take the tag away; what can't be reached runs out by itself."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        if self._group is not None:
            try:
                await self._send("Delete", self._text)
            except (ArmFault, ProvisioningError):
                return  # the group is gone, or Azure doesn't answer

    async def _free_groups(self) -> list[Json]:
        """The environment's groups, once nobody else claims any of them."""
        began = asyncio.get_running_loop().time()
        said = ""
        while True:
            every = await _all_groups()
            ours = [
                one for one in every if is_ours(one.get("tags"), self._spec) and not is_being_deleted(one)
            ]
            # AKS copies a cluster's tags to the group of its nodes, and manages that.
            groups = [one for one in ours if not one.get("managedBy")]
            holder = next((text for one in groups if (text := self._foreign(one))), None)
            if holder is None:
                return groups
            text = f"{environment_key(self._spec)}: {holder} is writing to it"
            if not self._waits or asyncio.get_running_loop().time() - began > LONGEST_WAIT_S:
                raise EnvironmentBusy(
                    f"{text}, by the tag {WRITER} on its resource group. Nothing was written. Run again when it has "
                    "ended."
                )
            if holder != said:
                said = holder
                journal().note(f"{text}; waiting for its end")
            await asyncio.sleep(LOOK_S)

    def _foreign(self, group: Json) -> str | None:
        """Who else claims this group now."""
        tags = {key.casefold(): str(value) for key, value in (group.get("tags") or {}).items()}
        until, _, text = tags.get(WRITER, "").partition(" ")
        server, _, writer = text.partition(" ")
        try:
            is_over = datetime.fromisoformat(until) <= datetime.now(UTC)
        except (ValueError, TypeError):
            return None  # written by hand, or long ago by another version
        return None if is_over or server == self._server else f"{writer or 'another run'} (until {until})"

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self._write()
            except (ArmFault, ProvisioningError) as error:
                journal().note(f"the claim on the environment couldn't be renewed: {error}")

    async def _write(self) -> Answer:
        until = datetime.now(UTC) + timedelta(seconds=CLAIM_S)
        return await self._send("Merge", f"{until.isoformat(timespec='seconds')} {self._text}")

    async def _send(self, operation: str, value: str) -> Answer:
        """REST: https://learn.microsoft.com/rest/api/resources/tags/update-at-scope."""
        body = {"operation": operation, "properties": {"tags": {WRITER: value}}}
        return await send(_begin, self._group, json.dumps(body).encode())


async def _all_groups() -> list[Json]:
    operations = cloud().resources.resource_groups
    return await read_list("resource groups", lambda: wire_items(operations.list()))


async def _begin(scope: str, body: bytes, *, cls: Any) -> Answer:
    begin: Any = cloud().resources.tags.begin_update_at_scope
    poller = await begin(scope, body, content_type="application/json", polling=FirstAnswer())
    answer: Answer = await poller.result()
    return answer
