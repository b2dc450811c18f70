"""The flows as they are, without Prefect: no server, no task runs, no retries of steps; what ends a run, a rerun mends.

Five times as fast as recorded runs. The lock on the environment is as it is.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Literal
from unittest import mock

from aks_postgres.arm.client import Azure
from aks_postgres.runs.one_writer import lock_of
from aks_postgres.runs.steps import Steps
from aks_postgres.runs.write_lock import WriteLock
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import environment_key
from aks_postgres.tasks import inventory

Flow = Literal["provision", "tear_down", "rebuild blue_green", "rebuild replace", "deploy_database"]
FLOWS: tuple[Flow, ...] = ("provision", "tear_down", "rebuild blue_green", "rebuild replace")
# Needs PostgreSQL behind the sandbox, whose seconds are real ones; so it has a world, and parts, of its own.
DATABASE: Flow = "deploy_database"

_MODULES = (
    "aks_postgres.flows._environment",
    "aks_postgres.flows.provision",
    "aks_postgres.flows.tear_down",
    "aks_postgres.flows.rebuild",
    "aks_postgres.flows._retirement",
    "aks_postgres.flows.deploy_database",
)


async def _nothing(*_: Any, **__: Any) -> None:
    pass


@contextmanager
def without_prefect(run: str = "a run") -> Iterator[None]:
    """Let the flows' own functions run plainly.

    Args:
        run: what the heartbeat calls the run.
    """

    @asynccontextmanager
    async def one_writer(
        azure: Azure, spec: EnvironmentSpec, _if_another_run: str = "wait"
    ) -> AsyncIterator[WriteLock]:
        lock = lock_of(azure, spec, run)
        async with lock.kept():
            await lock.wait_for_turn()
            azure.gate.fence = lock
            yield lock

    stand_ins = {
        "one_writer": one_writer,
        "Steps": partial(Steps, recorded=False),
        "take_inventory": inventory.take_inventory.fn,
        "show_timeline": _nothing,
        "acreate_markdown_artifact": _nothing,
        "emit_event": lambda *_, **__: None,
        "_name_run": _nothing,
    }
    with ExitStack() as stack:
        for module in map(importlib.import_module, _MODULES):
            for name, stand_in in stand_ins.items():
                # `rebuild` calls `take_inventory.fn` itself, while it plans.
                is_plain = name == "take_inventory" and module.__name__ == "aks_postgres.flows.rebuild"
                if hasattr(module, name) and not is_plain:
                    stack.enter_context(mock.patch.object(module, name, stand_in))
        yield


async def run_flow(flow: Flow, spec: EnvironmentSpec) -> None:
    """Run one flow to its end, as a person would start it; inside `without_prefect`.

    Raises:
        ProvisioningError: as the flow raises it.
    """
    # By name, as the package's attribute of that name may be the flow itself.
    name, _, strategy = flow.partition(" ")
    function = getattr(importlib.import_module(f"aks_postgres.flows.{name}"), name).fn
    if name in ("provision", DATABASE):
        await function(spec)
    elif name == "tear_down":
        await function(spec, environment_key(spec))
    else:
        await function(spec, environment_key(spec), strategy)
