"""Running steps as a graph: a step starts when the steps whose results it takes are done.

Steps are asyncio tasks that await the Prefect states of the steps before them and name these to Prefect, so
that the edges in its UI are exactly the values that pass. A failed step leaves its dependants NotReady and
lets its siblings finish: an operation on Azure that was started is worth waiting for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast

from prefect import Task
from prefect.client.schemas.objects import State
from prefect.exceptions import UnfinishedRun
from prefect.states import Completed
from prefect.utilities.annotations import quote

P = ParamSpec("P")
R = TypeVar("R")


class Step(Generic[R]):
    """A step under way; passed to another step it is an edge."""

    def __init__(self, running: asyncio.Task[State[R]], name: str) -> None:
        self._running = running
        self.name = name

    async def state(self) -> State[R]:
        """Its final state, whatever that is."""
        return await asyncio.shield(self._running)

    async def result(self) -> R:
        """Its outputs.

        Raises:
            Exception: what the step raised, after its retries.
        """
        return await (await self.state()).aresult(raise_on_failure=True)

    async def failure(self) -> Exception | None:
        """What it raised, after its retries; None if it did its work."""
        try:
            await self.result()
        except Exception as error:
            return error
        return None

    def cancel(self) -> None:
        """Stop it."""
        self._running.cancel()

    async def ended(self) -> None:
        """Wait for its end without asking how."""
        await asyncio.wait([self._running])


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
        self.edges: dict[str, tuple[str, ...]] = {}
        """Names of the steps that each step waits for."""

    def start(
        self, step: Callable[..., Awaitable[R]], *arguments: Any, after: Iterable[Step[Any]] = ()
    ) -> Step[R]:
        """Start a step as soon as the steps among its arguments, and those in `after`, are done.

        Args:
            step: a Prefect task.
            arguments: its arguments; steps, and lists of steps, stand for their outputs.
            after: steps that come first without passing a value, each for a reason worth a comment.
        """
        task = cast("Task[..., R]", step)
        waits = list(after)
        self.edges[task.name] = tuple(step.name for step in [*_steps_in(arguments), *waits])

        async def run() -> State[R]:
            if not self._recorded:
                values = [await _value(argument) for argument in arguments]
                for earlier in waits:
                    await earlier.result()
                return Completed(data=await task.fn(*values))  # type: ignore[misc]
            needed = [*_steps_in(arguments), *waits]
            states = [await earlier.state() for earlier in needed]
            first = [_bare(state) for state in states] or None
            if not all(state.is_completed() for state in states):
                # Prefect makes it NotReady; its name can't be made of arguments that don't exist.
                unready = task.with_options(task_run_name=task.name)
                return await unready(*[None] * len(arguments), return_state=True, wait_for=first)  # type: ignore[no-any-return,misc]
            given = [quote(await _value(argument)) for argument in arguments]
            return await task(*given, return_state=True, wait_for=first)  # type: ignore[no-any-return,misc]

        started: Step[R] = Step(asyncio.create_task(run(), name=task.name), task.name)
        self._steps.append(started)
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

    async def cause(self, step: Step[Any]) -> Exception | None:
        """What a step raised, or the one that kept it from starting raised; None if it did its work."""
        failure = await step.failure()
        if not isinstance(failure, UnfinishedRun):
            return failure
        before = [one for one in self._steps if one.name in self.edges[step.name]]
        causes = [await self.cause(one) for one in before]
        return next((cause for cause in causes if cause), failure)

    async def failures(self) -> list[Exception]:
        """What steps raised, in the order of the flow; a step that another's failure kept from starting comes after."""
        return [failure for step in self._steps if (failure := await step.failure())]


def _steps_in(arguments: Iterable[Any]) -> Iterator[Step[Any]]:
    for argument in arguments:
        if isinstance(argument, Step):
            yield argument
        elif isinstance(argument, list):
            yield from _steps_in(argument)


async def _value(argument: Any) -> Any:
    if isinstance(argument, Step):
        return await argument.result()
    if isinstance(argument, list):
        return [await _value(item) for item in argument]
    return argument


def _bare(state: State[Any]) -> State[Any]:
    """The state with nothing in it that Prefect could follow; a completed one needs some data: it gets True.

    Prefect looks for upstream runs inside everything that it is handed, by object identity, and would draw an
    edge to whichever step returned the same string last; quoted values and bare states leave the real edges.
    """
    return state.model_copy(update={"data": True}) if state.is_completed() else state
