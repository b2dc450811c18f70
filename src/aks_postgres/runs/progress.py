"""Progress artifacts for steps that wait long: how far, by what such an operation usually takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.context import TaskRunContext

from aks_postgres.arm.clock import minutes, time_scale
from aks_postgres.foreign_text import in_markdown
from aks_postgres.reports.journal import Event, journal

# Real seconds between looks, at the least; a wait shorter than that shows no bar.
_EVERY_S = 1.5
# Points of a hundred that it must have moved to be worth a request: at 3, bars were a quarter of a run's CPU seconds.
_STEP = 10.0
# Azure seconds; what usually takes less isn't worth a bar.
_WORTH_SHOWING_S = 60


@asynccontextmanager
async def progress_of(title: str) -> AsyncIterator[None]:
    """While inside, show what the step waits for as a progress artifact of its task run."""
    if TaskRunContext.get() is None:
        yield
        return
    reporter = asyncio.create_task(_report(title))
    try:
        yield
    finally:
        reporter.cancel()
        with suppress(asyncio.CancelledError):
            await reporter


async def _report(title: str) -> None:
    artifact: UUID | None = None
    shown: Event | None = None
    shown_percent = 0.0
    pause_s = _EVERY_S
    while True:
        await asyncio.sleep(pause_s)
        wait = journal().last_wait(title)
        if wait is None or wait is shown or wait.expected_s < _WORTH_SHOWING_S:
            continue
        # Twice a step of the bar.
        pause_s = max(_EVERY_S, wait.expected_s * _STEP / 200 / time_scale())
        percent = 100 * wait.elapsed_s / wait.expected_s
        same_wait = shown is not None and wait.text == shown.text
        if same_wait and 0 <= percent - shown_percent < _STEP:
            continue
        shown, shown_percent = wait, percent
        text = progress_text(title, wait)
        if artifact is None:
            found = await acreate_progress_artifact(min(99.0, percent), description=text)
            artifact = found if isinstance(found, UUID) else None
        else:
            await aupdate_progress_artifact(artifact, min(99.0, percent), description=text)


def progress_text(title: str, wait: Event) -> str:
    """What a step waits for, and how long that usually takes, as Markdown."""
    return (
        f"{title}: {in_markdown(wait.text)} for {minutes(wait.elapsed_s)}, usually {minutes(wait.expected_s)}"
    )
