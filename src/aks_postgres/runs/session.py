"""Opening what a run needs, the connection to Azure and the journal: the outermost flow does it for all."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aks_postgres.arm.client import Azure, open_azure
from aks_postgres.reports.journal import Journal, Log, use_journal
from aks_postgres.reports.recordings import own_words, repeatable
from aks_postgres.runs.signals import ended_by_signals
from aks_postgres.spec.environment import EnvironmentSpec, as_one_guid
from aks_postgres.spec.ignore_changes import IgnoredChanges
from aks_postgres.spec.problems import SpecError, SpecProblem


def subscription_of(spec: EnvironmentSpec) -> str:
    """The subscription that the spec or the worker names.

    Raises:
        SpecError: neither does.
    """
    found = as_one_guid(spec.subscription_id or os.environ.get("AZURE_SUBSCRIPTION_ID"))
    if not found:
        raise SpecError(
            [
                SpecProblem(
                    field="subscription_id",
                    given="nothing",
                    allowed="a subscription's GUID is needed, here or in the worker's AZURE_SUBSCRIPTION_ID",
                )
            ]
        )
    return found


def run_log() -> Log:
    """Return where a run's lines go: the log of the task or flow run, or Python's outside one."""
    if (
        "prefect" not in sys.modules
    ):  # nothing runs, and a command that only reads needn't wait for its import
        return logging.getLogger("aks_postgres").log
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        return get_run_logger().log
    except MissingContextError:
        return logging.getLogger("aks_postgres").log


@dataclass(frozen=True)
class Run:
    """What one run has: its connection to Azure, and its journal."""

    azure: Azure
    journal: Journal


@asynccontextmanager
async def run_session(
    spec: EnvironmentSpec, *, read_only: bool = False, planning: bool = False, command: str = ""
) -> AsyncIterator[Run]:
    """Connect to Azure for one run, and end it as by Ctrl-C when the process is told to; yields what it has.

    Args:
        spec: the environment wanted.
        read_only: whether nothing is written.
        planning: whether it is only planned.
        command: what a recording calls it, where the same can be run on a sandbox.
    """
    subscription_id = subscription_of(spec)
    with use_journal(Journal()) as journal, ended_by_signals():
        journal.log = journal.log or run_log()
        async with open_azure(subscription_id, read_only=read_only, planning=planning) as opened:
            opened.ignored = IgnoredChanges(spec)
            opened.assigns_roles = spec.roles == "create"
            if opened.recording is not None:
                opened.recording.run(command, repeatable(spec), own_words(spec))
            yield Run(opened, journal)
