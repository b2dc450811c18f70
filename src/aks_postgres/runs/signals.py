"""How a run ends when its process is told to: as by Ctrl-C, with its lock given back."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_runs: list[asyncio.Task[Any]] = []
_before: dict[signal.Signals, Any] = {}


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM (a cancelled run, an evicted pod) and SIGHUP (a closed terminal) cancel the flow that runs inside.

    Prefect's own handler of SIGTERM raises an exception wherever the process happens to be, which may be a task that
    loses it. A cancelled flow ends at its next await, and Prefect knows from its worker whether a person cancelled it.
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
