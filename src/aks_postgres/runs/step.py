"""What every step has in common: the connection to Azure, retries, no cache or kept result, a line in the journal.

A step's first parameter is `azure`. Whoever calls the step leaves it out: the run's own is put in here, and nowhere
else is it asked for.
"""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from aks_postgres.arm.client import Azure, current_azure
from aks_postgres.arm.clock import time_scale
from aks_postgres.arm.gate import PlanEnds
from aks_postgres.arm.responses import clean
from aks_postgres.errors import PermanentError, is_temporary
from aks_postgres.files.given_files import disk_problem
from aks_postgres.reports.journal import journal
from aks_postgres.reports.outputs import Planned, StepOutputs, planned_outputs
from aks_postgres.reports.receipt import Removals
from aks_postgres.runs.errors import NotUnderstood
from aks_postgres.runs.progress import progress_of
from aks_postgres.runs.session import run_log
from aks_postgres.spec.problems import SpecError

P = ParamSpec("P")
R = TypeVar("R")

_HOUSE = f"{Path(__file__).parents[1]}/"
RETRIES = 2
# Azure seconds between attempts. Waits that Azure makes normal happen inside a step (`arm.retry`); these are for
# what outlasts them, so they are minutes.
RETRY_DELAYS_S = (30.0, 120.0)
RETRY_JITTER = 0.3


async def worth_another_attempt(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Prefect's retry condition: only what `is_temporary` says.

    A plain function, as Prefect silently never retries with a partial or a callable object.
    """
    try:
        await state.aresult(raise_on_failure=True)
    except Exception as error:
        return is_temporary(error)
    return False


@contextmanager
def understanding(label: str) -> Iterator[None]:
    """Say in one sentence that something inside wasn't what its documentation says: no person can read a traceback.

    The pipeline looks at what every answer has (`arm.response_checks`); what is deep inside one shows where it is used.

    Raises:
        NotUnderstood: what and where, with the traceback as its cause.
        PermanentError: the disk takes no more; which, and the way out.
    """
    try:
        yield
    except SpecError:
        raise
    except OSError as error:
        if problem := disk_problem(error):
            way_out = f"{problem.way_out[0].upper()}{problem.way_out[1:]}, then run again."
            raise PermanentError(f"{label}: {problem.text}.", way_out=way_out) from error
        raise
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _HOUSE in frame.filename]
        where = (
            f"{frames[-1].filename.rpartition(_HOUSE)[2]}, line {frames[-1].lineno}" if frames else "unknown"
        )
        raise NotUnderstood(
            f"{label}: an answer of Azure's or Kubernetes' isn't what its documentation says ({clean(repr(error))}; "
            f"{where}). Run again; if it stays so, report it with this text."
        ) from error


def _without(
    bound: inspect.BoundArguments, needs: str, planned: Callable[..., StepOutputs | None] | None
) -> Any:
    """Return what a step reports of what it can't look at, because a plan would only create what it needs."""
    if planned is None or not isinstance(bound.arguments.get(needs), Planned):
        return None
    return planned(*bound.args, **bound.kwargs)


def arm_task(
    title: str,
    *,
    looks: bool = False,
    needs: str = "",
    planned: Callable[..., StepOutputs | None] | None = None,
) -> Callable[[Callable[Concatenate[Azure, P], Coroutine[Any, Any, R]]], Task[P, Coroutine[Any, Any, R]]]:
    """Make a step of a coroutine function that takes the connection to Azure first.

    Args:
        title: the task run's name, a sentence with fields of the arguments: `ensure_node_pool {pool.name}`.
        looks: whether it only looks, or its change is another step's, so that no plan and no summary counts it.
        needs: the argument that it can't do without. Where a plan would only create that, `planned` is called with the
            step's arguments instead.
        planned: what the step would do then, and where it comes to `gate.begin` in a plan; None for what it finds out
            all the same.
    """

    def make(
        function: Callable[Concatenate[Azure, P], Coroutine[Any, Any, R]],
    ) -> Task[P, Coroutine[Any, Any, R]]:
        _, *parameters = inspect.signature(function).parameters.values()
        signature = inspect.Signature(parameters)

        @functools.wraps(function)
        async def step(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            name = title.format(**bound.arguments)
            azure = current_azure()
            with journal().step(name, run_log()):
                async with progress_of(name):
                    with understanding(name):
                        try:
                            outputs = _without(bound, needs, planned) or await function(
                                azure, *args, **kwargs
                            )
                        except PlanEnds:
                            assert planned is not None, name
                            outputs = cast("R", planned(*bound.args, **bound.kwargs))
                if isinstance(outputs, StepOutputs):
                    fields = "; ".join(map(str, outputs.change.fields))
                    journal().ended(outputs.change.kind, fields, planned=not azure.gate.writes)
                    if azure.gate.plans and outputs.change.kind == "created":
                        return cast("R", planned_outputs(outputs))
                else:
                    text = str(outputs) if isinstance(outputs, Removals) else ""
                    journal().ended("done", text, planned=not azure.gate.writes)
                return outputs

        step.__signature__ = signature  # type: ignore[attr-defined]
        step.only_looks = looks  # type: ignore[attr-defined]
        return task(
            name=function.__name__,
            task_run_name=title,
            retries=RETRIES,
            retry_delay_seconds=[delay_s / time_scale() for delay_s in RETRY_DELAYS_S],
            retry_jitter_factor=RETRY_JITTER,
            retry_condition_fn=worth_another_attempt,
            cache_policy=NO_CACHE,
            persist_result=False,
        )(step)

    return make
