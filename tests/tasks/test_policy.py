"""What every step has in common, whichever chapter it is in."""

import errno
import importlib
import inspect
import os
import pkgutil
import re
from functools import partial
from string import Formatter
from types import FunctionType
from typing import Any, get_args, get_type_hints

import pytest
from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.states import exception_to_failed_state

import aks_postgres.tasks
from aks_postgres.arm.errors import AzureRefused, ClusterBusy, OperationNotDone
from aks_postgres.errors import PermanentError, ProvisioningError
from aks_postgres.reports.outputs import Outputs
from aks_postgres.runs.step import understanding, worth_another_attempt

from .resources import STEPS


def discovered() -> dict[str, Task[..., object]]:
    """Every Prefect task in `tasks/`."""
    found: dict[str, Task[..., object]] = {}
    for module in pkgutil.walk_packages(aks_postgres.tasks.__path__, "aks_postgres.tasks."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Task) and value.fn.__module__ == module.name:
                found[f"{module.name}.{name}"] = value
    return found


def taken(task: Task[..., object]) -> dict[str, Any]:
    """What a step takes, by its name, beside the connection that the decorator puts in."""
    hints = get_type_hints(inspect.unwrap(task.fn))
    return {name: hints[name] for name in inspect.signature(task.fn).parameters}


def is_outputs(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Outputs)


TASKS = discovered()
each_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def test_every_step_of_the_guide_is_found_and_has_its_row_here() -> None:
    verbs = ("ensure", "reach", "request", "restart")
    found = {
        task
        for name, task in TASKS.items()
        if name.rpartition(".")[2].partition("_")[0] in verbs and ".database." not in name
    }
    assert found == {step.task for step in STEPS.values()}
    assert len(found) >= 30


@each_task
def test_two_retries_for_what_passes_and_nothing_kept(task: Task[..., object]) -> None:
    assert task.retries == 2
    assert task.cache_policy == NO_CACHE
    assert task.persist_result is False
    assert task.timeout_seconds is None, "a time-out would leave Azure's operation running unseen"


@each_task
def test_the_retry_condition_is_a_plain_function(task: Task[..., object]) -> None:
    """Prefect silently never retries with a partial or a callable object."""
    assert isinstance(task.retry_condition_fn, FunctionType)
    assert not isinstance(task.retry_condition_fn, partial)


@each_task
def test_retries_wait_and_not_all_equally_long(task: Task[..., object]) -> None:
    assert len(task.retry_delay_seconds) == task.retries
    assert 0 < task.retry_jitter_factor < 1


@each_task
def test_the_docstring_says_which_part_of_the_guide_and_which_operation(task: Task[..., object]) -> None:
    text, chapter = inspect.getdoc(task.fn) or "", inspect.getmodule(task.fn).__doc__ or ""
    # One command of the guide (az group delete) is a whole chapter of steps here.
    assert "Guide:" in text or (task.name.startswith(("delete_", "see_to_")) and "Guide:" in chapter)
    assert "REST:" in text
    assert text.splitlines()[0].endswith(".")


@each_task
def test_the_name_of_a_run_is_made_of_the_steps_own_arguments(task: Task[..., object]) -> None:
    title = task.task_run_name
    assert isinstance(title, str)
    assert title.startswith(task.name)
    fields = {field.split(".")[0] for _, field, _, _ in Formatter().parse(title) if field}
    assert fields <= set(inspect.signature(task.fn).parameters)


@each_task
def test_a_step_takes_no_client_and_no_secret(task: Task[..., object]) -> None:
    allowed = (
        "aks_postgres.spec.",
        "aks_postgres.reports.",
        "collections.abc",
        "typing",
        "types",
        "builtins",
    )
    for name, kind in taken(task).items():
        for one in get_args(kind) or [kind]:
            module = getattr(one, "__module__", "typing")
            assert module.startswith(allowed), f"{name}: {kind}"
        if not is_outputs(kind):  # which hold none
            assert not re.search("secret|token|password|credential|kubeconfig", name)


@each_task
def test_no_two_arguments_of_a_step_are_of_one_type_so_that_mypy_sees_them_swapped(
    task: Task[..., object],
) -> None:
    edges = [kind.__name__ for kind in taken(task).values() if is_outputs(kind)]
    assert edges == list(dict.fromkeys(edges))


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ClusterBusy("busy"), True),
        (OSError("broken pipe"), True),
        (AzureRefused("no", "AuthorizationFailed", way_out="Ask."), False),
        (OperationNotDone("still running"), False),
        (ProvisioningError("?"), False),
        (ValueError("a bug"), False),
    ],
)
async def test_only_what_is_temporary_is_worth_another_attempt(error: Exception, again: bool) -> None:
    state = await exception_to_failed_state(error)
    assert await worth_another_attempt(None, None, state) is again  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_worker_s_disk_that_takes_no_more_is_one_line_and_no_retry(number: int) -> None:
    with pytest.raises(PermanentError) as failed, understanding("ensure_x"):
        raise OSError(number, os.strerror(number), "/tmp/aks-postgres-helm")
    assert str(failed.value).startswith(
        f"ensure_x: /tmp/aks-postgres-helm can't be written: {os.strerror(number)}. "
    )
    assert failed.value.way_out.endswith(", then run again.")
    assert "\n" not in str(failed.value)
