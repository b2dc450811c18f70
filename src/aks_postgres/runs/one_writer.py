"""One writer per environment, whichever flow, deployment, machine or terminal it comes from.

The lock is Azure's own, a lease and a heartbeat (`runs.write_lock`), so it holds among runs of any Prefect server and
of none. It is taken just before the first write that needs it, so that a run that writes nothing leaves no trace;
whoever comes later waits at the start, or is refused. Runs of different environments never wait for each other.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Literal

from prefect.runtime import flow_run

from aks_postgres.arm.client import Azure
from aks_postgres.arm.responses import Json, wire_items
from aks_postgres.arm.retry import read_list
from aks_postgres.preflight.generations import live_groups
from aks_postgres.reports.outputs import Target
from aks_postgres.runs.session import subscription_of
from aks_postgres.runs.write_lock import Home, WriteLock
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names, environment_key, is_ours

IfAnotherRun = Literal["wait", "refuse"]

held_locks: ContextVar[Mapping[str, WriteLock]] = ContextVar("held", default=MappingProxyType({}))


@asynccontextmanager
async def one_writer(
    azure: Azure, spec: EnvironmentSpec, if_another_run: IfAnotherRun = "wait"
) -> AsyncIterator[WriteLock]:
    """Be the only run that writes to this environment; a flow inside another one shares its lock.

    Needs the run's connection to Azure.

    Args:
        spec: the environment.
        if_another_run: what to do while another run holds the lock: wait for its end, or refuse.

    Raises:
        EnvironmentBusy: another run holds the lock, or took it over; says who.
    """
    key = f"{subscription_of(spec).casefold()} {environment_key(spec)}"
    if key in held_locks.get():
        lock = held_locks.get()[key]
        azure.gate.fence = lock
        yield lock
        return
    lock = lock_of(
        azure, spec, f"the run {flow_run.name} ({flow_run.id}) on {socket.gethostname()}", if_another_run
    )
    token = held_locks.set({**held_locks.get(), key: lock})
    try:
        async with lock.kept():
            await lock.wait_for_turn()
            azure.gate.fence = lock
            yield lock
    finally:
        held_locks.reset(token)


def lock_of(
    azure: Azure, spec: EnvironmentSpec, writer: str, if_another_run: IfAnotherRun = "wait"
) -> WriteLock:
    """The lock on an environment, not taken yet.

    Args:
        spec: the environment.
        writer: which run this is, for whoever has to wait for it.
        if_another_run: whether to wait for another run's end, or to refuse.
    """
    subscription_id = subscription_of(spec)
    target = Target(subscription_id=subscription_id, generation=1, names=Names.of(spec, subscription_id, 1))

    async def homes() -> Sequence[Home]:
        names = target.names
        if spec.storage.backups == "in_environment_group":
            groups = await _groups(azure)
            every = [live.names for live in live_groups(spec, subscription_id, groups, []) if live.is_ours]
        else:
            every = [names]
        return [
            Home(
                generation_names.backup_group,
                target.group_id(generation_names.backup_group),
                generation_names.storage_account,
            )
            for generation_names in every
        ]

    async def groups_of_ours() -> Sequence[Home]:
        return [
            Home(str(group["name"]), target.group_id(str(group["name"])))
            for group in await _groups(azure)
            # AKS copies a cluster's tags to the group of its nodes, and manages that.
            if is_ours(group.get("tags"), spec) and not group.get("managedBy")
        ]

    waits = if_another_run == "wait"
    return WriteLock(azure, environment_key(spec), writer, homes, groups_of_ours, waits=waits)


async def _groups(azure: Azure) -> list[Json]:
    operations = azure.resources.resource_groups
    return await read_list("resource groups", lambda: wire_items(operations.list()))
