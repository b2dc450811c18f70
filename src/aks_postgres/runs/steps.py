"""Running steps as a graph: a step starts when the steps whose results it takes are done.

Steps are asyncio tasks that await the Prefect states of the steps before them and name these to Prefect, so
that the edges in its UI are exactly the values that pass. A failed step leaves its dependants NotReady and
lets its siblings finish: an operation on Azure that was started is worth waiting for.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar, cast, overload

from prefect import Task
from prefect.client.schemas.objects import State
from prefect.exceptions import UnfinishedRun
from prefect.states import Completed
from prefect.utilities.annotations import quote

from aks_postgres.reports.journal import journal
from aks_postgres.reports.outputs import Change, StepOutputs

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
A1 = TypeVar("A1")
A2 = TypeVar("A2")
A3 = TypeVar("A3")
A4 = TypeVar("A4")
A5 = TypeVar("A5")
A6 = TypeVar("A6")
Ended: TypeAlias = Coroutine[Any, Any, R]


class Step(Generic[R_co]):
    """A step under way; passed to another step it is an edge."""

    def __init__(self, task: Task[..., Any], before: Sequence[Step[Any]]) -> None:
        self.name = task.name
        """Its function's, as Prefect shows it."""
        self.title = task.name
        """With what it works on, once that is known: the name of its task run, and of its lines in the journal."""
        self.noun = task.name.partition("_")[2] or task.name
        """What it works on, as plans and summaries say it."""
        self.only_looks: bool = getattr(task.fn, "only_looks", False)
        self.before = tuple(before)
        """The steps that it waits for."""
        self._running: asyncio.Task[State[R_co]] | None = None

    def run(self, work: Coroutine[Any, Any, State[R_co]]) -> None:
        """Begin."""
        self._running = asyncio.create_task(work, name=self.name)

    @property
    def running(self) -> asyncio.Task[State[R_co]]:
        """What carries it out."""
        assert self._running is not None
        return self._running

    async def state(self) -> State[R_co]:
        """Its final state, whatever that is."""
        return await asyncio.shield(self.running)

    async def result(self) -> R_co:
        """Its outputs.

        Raises:
            Exception: what the step raised, after its retries.
        """
        return await (await self.state()).aresult(raise_on_failure=True)

    async def failure(self) -> Exception | None:
        """Return what it raised, after its retries; None if it did its work."""
        try:
            await self.result()
        except Exception as error:
            return error
        return None

    async def cause(self) -> Exception | None:
        """Return what it raised, or the one that kept it from starting raised; None if it did its work."""
        failure = await self.failure()
        if not isinstance(failure, UnfinishedRun):
            return failure
        causes = [await step.cause() for step in self.before]
        return next((cause for cause in causes if cause), failure)

    def cancel(self) -> None:
        """Stop it."""
        self.running.cancel()

    async def ended(self) -> None:
        """Wait for its end without asking how."""
        await asyncio.wait([self.running])


After: TypeAlias = Iterable[Step[Any]]


@dataclass(frozen=True)
class Every(Generic[R_co]):
    """Several steps as one argument: the step that takes it gets a tuple of their outputs."""

    steps: tuple[Step[R_co], ...]


def every(*steps: Step[R]) -> Step[tuple[R, ...]]:
    """Several steps as one argument, an edge from each."""
    return cast("Step[tuple[R, ...]]", Every(steps))


class Steps:
    """The steps of one flow run.

    Leaving the block waits for all of them and raises the first failure in the order of the flow.
    """

    def __init__(self, *, recorded: bool = True, collects_failures: bool = False) -> None:
        """Begin.

        Args:
            recorded: whether the steps are Prefect task runs; else they are called plainly, without retries.
            collects_failures: whether failures are left to be asked for, instead of being raised at the end.
        """
        self._recorded = recorded
        self._collects_failures = collects_failures
        self._steps: list[Step[Any]] = []

    @property
    def edges(self) -> dict[str, tuple[str, ...]]:
        """For each step the steps that it waits for, by their titles."""
        return {step.title: tuple(before.title for before in step.before) for step in self._steps}

    @property
    def changing(self) -> tuple[Step[StepOutputs], ...]:
        """The steps that may change something, in the order of the flow."""
        return tuple(step for step in self._steps if not step.only_looks)

    async def changes(self) -> dict[str, Change]:
        """Return what each of them changed, by its noun."""
        return {step.noun: (await step.result()).change for step in self.changing}

    # One signature for each number of arguments, so that mypy refuses arguments that are swapped or of another type.
    @overload
    def start(self, step: Callable[[], Ended[R]], /, *, after: After = ()) -> Step[R]: ...
    @overload
    def start(
        self, step: Callable[[A1], Ended[R]], a1: A1 | Step[A1], /, *, after: After = ()
    ) -> Step[R]: ...
    @overload
    def start(
        self,
        step: Callable[[A1, A2], Ended[R]],
        a1: A1 | Step[A1],
        a2: A2 | Step[A2],
        /,
        *,
        after: After = (),
    ) -> Step[R]: ...
    @overload
    def start(
        self,
        step: Callable[[A1, A2, A3], Ended[R]],
        a1: A1 | Step[A1],
        a2: A2 | Step[A2],
        a3: A3 | Step[A3],
        /,
        *,
        after: After = (),
    ) -> Step[R]: ...
    @overload
    def start(
        self,
        step: Callable[[A1, A2, A3, A4], Ended[R]],
        a1: A1 | Step[A1],
        a2: A2 | Step[A2],
        a3: A3 | Step[A3],
        a4: A4 | Step[A4],
        /,
        *,
        after: After = (),
    ) -> Step[R]: ...
    @overload
    def start(
        self,
        step: Callable[[A1, A2, A3, A4, A5], Ended[R]],
        a1: A1 | Step[A1],
        a2: A2 | Step[A2],
        a3: A3 | Step[A3],
        a4: A4 | Step[A4],
        a5: A5 | Step[A5],
        /,
        *,
        after: After = (),
    ) -> Step[R]: ...
    @overload
    def start(
        self,
        step: Callable[[A1, A2, A3, A4, A5, A6], Ended[R]],
        a1: A1 | Step[A1],
        a2: A2 | Step[A2],
        a3: A3 | Step[A3],
        a4: A4 | Step[A4],
        a5: A5 | Step[A5],
        a6: A6 | Step[A6],
        /,
        *,
        after: After = (),
    ) -> Step[R]: ...
    def start(self, step: Callable[..., Ended[Any]], /, *arguments: Any, after: After = ()) -> Step[Any]:
        """Start a step as soon as the steps among its arguments, and those in `after`, are done.

        Args:
            step: a Prefect task.
            arguments: its arguments; a step stands for its outputs.
            after: steps that come first without passing a value, each for a reason worth a comment.
        """
        task = cast("Task[..., Any]", step)
        started = Step[Any](task, [*_steps_in(arguments), *after])

        async def run() -> State[Any]:
            if not self._recorded:
                values = [await _value(argument) for argument in arguments]
                for earlier in started.before:
                    await earlier.result()
                started.title = _title(task, values)
                return Completed(data=await task.fn(*values))
            states = [await earlier.state() for earlier in started.before]
            first = [_bare(state) for state in states] or None
            if not all(state.is_completed() for state in states):
                # Prefect makes it NotReady; its name can't be made of arguments that don't exist.
                unready = task.with_options(task_run_name=task.name)
                return await unready(*[None] * len(arguments), return_state=True, wait_for=first)  # type: ignore[no-any-return]
            values = [await _value(argument) for argument in arguments]
            started.title = _title(task, values)
            return await task(*map(quote, values), return_state=True, wait_for=first)  # type: ignore[no-any-return]

        started.run(run())
        self._steps.append(started)
        journal().expected_steps += 1
        return started

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                raise error
            for step in self._steps:
                await step.ended()
        except BaseException:
            # The run was cancelled, or the flow itself failed: nothing may go on behind its back.
            for step in self._steps:
                step.cancel()
            await asyncio.gather(*(step.ended() for step in self._steps))
            raise
        failures = await self.failures()
        if failures and not self._collects_failures:
            raise failures[0]

    async def failures(self) -> list[Exception]:
        """What steps raised, in the order of the flow; a step that another's failure kept from starting comes after."""
        return [failure for step in self._steps if (failure := await step.failure())]


def _title(task: Task[..., Any], values: Sequence[Any]) -> str:
    bound = inspect.signature(task.fn).bind(*values)
    bound.apply_defaults()
    return str(task.task_run_name).format(**bound.arguments)


def _steps_in(arguments: Iterable[Any]) -> Iterator[Step[Any]]:
    for argument in arguments:
        if isinstance(argument, Step):
            yield argument
        elif isinstance(argument, Every):
            yield from argument.steps


async def _value(argument: Any) -> Any:
    if isinstance(argument, Step):
        return await argument.result()
    if isinstance(argument, Every):
        return tuple([await step.result() for step in argument.steps])
    return argument


def _bare(state: State[Any]) -> State[Any]:
    """The state with nothing in it that Prefect could follow; a completed one needs some data: it gets True.

    Prefect looks for upstream runs inside everything that it is handed, by object identity, and would draw an
    edge to whichever step returned the same string last; quoted values and bare states leave the real edges.
    """
    return state.model_copy(update={"data": True}) if state.is_completed() else state
