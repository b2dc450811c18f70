"""How a run ends when its process is told to: as by Ctrl-C, with its lock given back."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

# Real seconds. A worker kills the process thirty seconds after it told it to end.
_ASKED_S = 5

_runs: list[asyncio.Task[Any]] = []
_before: dict[signal.Signals, Any] = {}


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM (a cancelled run, an evicted pod) and SIGHUP (a closed terminal) cancel the flow that runs inside.

    Prefect's own handler of SIGTERM raises an exception wherever the process happens to be, which may be a task that
    loses it. A cancelled flow ends at its next await; `cancelled_by_a_person` finds out whether a person cancelled it.
    A SIGHUP that is ignored, as under nohup, stays ignored, and one that the command handles is left to it.
    """
    task = asyncio.current_task()
    if task is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    if not _runs:
        _before.clear()
        _before[signal.SIGTERM] = signal.getsignal(signal.SIGTERM)
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            _before[signal.SIGHUP] = signal.SIG_DFL
    for number in _before:
        loop.add_signal_handler(number, _end_runs)
    _runs.append(task)
    try:
        yield
    finally:
        _runs.remove(task)
        if not _runs:
            for number, handler in _before.items():
                loop.remove_signal_handler(number)
                with suppress(TypeError):  # a handler that wasn't set from Python
                    signal.signal(number, handler)


def _end_runs() -> None:
    for run in set(_runs):
        run.cancel()


def cancelled_by_a_person(
    function: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Let a flow that a person cancelled end as Cancelled.

    A worker tells a process why it ends it, but only one that still has Prefect's own handler of SIGTERM
    (`commit_control_intent_and_ack` in prefect/utilities/engine). Without it Prefect takes the end for a crash, which
    the automation about failed runs acts on. So the server is asked: a run that a person cancelled is Cancelling.
    """

    @wraps(function)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await function(*args, **kwargs)
        except asyncio.CancelledError:
            if not await _is_cancelling():
                raise
        from prefect.states import Cancelled

        task = asyncio.current_task()
        while task is not None and task.cancelling():
            task.uncancel()
        # A flow that returns a state ends in it: https://docs.prefect.io/v3/concepts/states
        return cast(
            "T", Cancelled(message="Cancelled. What Azure was doing goes on; run again to go on from there.")
        )

    # Prefect looks up the names of types where the function stands that it is given, which is here.
    run.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    return run


async def _is_cancelling() -> bool:
    from prefect.client.orchestration import get_client
    from prefect.runtime import flow_run

    with suppress(Exception):  # whoever can't be asked says nothing
        async with asyncio.timeout(_ASKED_S), get_client() as client:
            state = (await client.read_flow_run(flow_run.id)).state
        return state is not None and state.is_cancelling()
    return False
