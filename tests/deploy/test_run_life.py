"""The life of a run on a Prefect server: for each way in which it can be lost, who notices, by Prefect's own triggers.

The triggers are evaluated in this process, by the functions that the server evaluates them with, on a clock of our own;
only their counts are kept in memory instead of a database. docs/runs.md says the same in a table.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from prefect import flow, get_client
from prefect.client.schemas.objects import TERMINAL_STATES, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Completed, Crashed, Running

from aks_postgres.deploy.automations import automations
from aks_postgres.deploy.rendering import HEARTBEAT_S
from aks_postgres.deploy.work_pools import IDENTITY_OF

from ..cases import shown

if TYPE_CHECKING:
    # It takes two seconds to load, which every process that collects tests would spend.
    from prefect.server.events.schemas.automations import Automation, Firing
    from prefect.server.events.schemas.events import ReceivedEvent

START = datetime(2026, 11, 29, 6, tzinfo=UTC)
MINUTE = 60.0
BEAT = "heartbeat"
# Prefect's states by name, with the type that each has: prefect/states.py, prefect/server/schemas/states.py.
TYPES = {
    "Scheduled": "SCHEDULED",
    "Late": "SCHEDULED",
    "Resuming": "SCHEDULED",
    "AwaitingRetry": "SCHEDULED",
    "AwaitingConcurrencySlot": "SCHEDULED",
    "Pending": "PENDING",
    "Submitting": "PENDING",
    "InfrastructurePending": "PENDING",
    "Running": "RUNNING",
    "Retrying": "RUNNING",
    "Paused": "PAUSED",
    "Suspended": "PAUSED",
    "Cancelling": "CANCELLING",
    "Cancelled": "CANCELLED",
    "Completed": "COMPLETED",
    "NothingToDo": "COMPLETED",
    "Drift": "COMPLETED",
    "Failed": "FAILED",
    "TimedOut": "FAILED",
    "Crashed": "CRASHED",
}

FAILED, WAITS, DIED = "a run failed", "no worker takes a run", "a run died"
RESUMED, APPROVAL, UNENDED = (
    "an approved run doesn't go on",
    "a run waits for approval",
    "a cancelled run doesn't end",
)


@dataclass
class Life:
    """What happens to a run: seconds and events, and how often heartbeats come in between."""

    events: tuple[tuple[float, str], ...]
    noticed: set[str] = field(default_factory=set)
    beats: tuple[tuple[float, float], ...] = ()
    until_s: float = 30 * MINUTE
    flow: str = "provision"


def started(at_s: float = 0) -> tuple[tuple[float, str], ...]:
    """A worker takes a run, and it runs."""
    return ((at_s, "Pending"), (at_s + 2, "Running"))


LIVES = {
    # It goes as it should.
    "done": Life((*started(), (20 * MINUTE, "Completed")), beats=((2, 1199),)),
    "done under another name": Life((*started(), (60, "NothingToDo")), beats=((2, 59),), flow="plan"),
    "late and then taken": Life(((0, "Late"), *started(120), (1200, "Completed")), beats=((122, 1199),)),
    "waits for a slot and gets one": Life(
        ((0, "AwaitingConcurrencySlot"), (30, "AwaitingConcurrencySlot"), *started(60), (900, "Completed")),
        beats=((62, 899),),
    ),
    "cancelled before it ran": Life(((0, "Late"), (300, "Cancelled"))),
    "cancelled in order": Life((*started(), (90, "Cancelling"), (95, "Cancelled")), beats=((2, 94),)),
    "approved and done": Life(
        (*started(), (30, "Suspended"), (7200, "Resuming"), *started(7210), (7800, "Completed")),
        {APPROVAL},
        beats=((2, 29), (7212, 7799)),
        until_s=9000,
        flow="rebuild",
    ),
    "the server is away for a minute": Life((*started(), (1200, "Completed")), beats=((2, 302), (365, 1199))),
    # It never starts.
    "no worker, or the pool is paused, or full": Life(((0, "Late"),), {WAITS}),
    "the limit never frees a slot": Life(
        tuple((30.0 * n, "AwaitingConcurrencySlot") for n in range(60)), {WAITS}
    ),
    "a retry that nobody takes": Life(((0, "AwaitingRetry"),), {WAITS}),
    "the worker dies before the run runs": Life(((0, "Late"), (20, "Pending")), {WAITS}),
    "the job is never scheduled": Life(
        ((0, "Pending"), (5, "Submitting"), (9, "InfrastructurePending")), {WAITS}
    ),
    "the infrastructure fails": Life(((0, "Pending"), (60, "Crashed")), {FAILED}),
    "an approved run that nobody takes": Life(
        (*started(), (30, "Suspended"), (60, "Resuming")),
        {APPROVAL, RESUMED},
        beats=((2, 29),),
        flow="rebuild",
    ),
    "an approval that nobody gives": Life(
        (*started(), (30, "Suspended"), (7200, "Failed")), {APPROVAL, FAILED}, beats=((2, 29),), until_s=8000
    ),
    # It is lost while it runs.
    "its process or machine dies": Life(started(), {DIED}, beats=((2, 300),)),
    "it dies at once": Life(started(), {DIED}, beats=((2, 3),)),
    "it crashes and says so": Life((*started(), (60, "Crashed")), {FAILED}, beats=((2, 59),)),
    "it fails": Life((*started(), (60, "Failed")), {FAILED}, beats=((2, 59),)),
    "it takes too long and says so": Life((*started(), (60, "TimedOut")), {FAILED}, beats=((2, 59),)),
    # It never ends.
    "a cancelling that never ends": Life((*started(), (60, "Cancelling")), {UNENDED}, beats=((2, 59),)),
    "a cancelling with its process alive": Life(
        (*started(), (60, "Cancelling")), {UNENDED}, beats=((2, 1800),)
    ),
    **{
        f"{name} hangs": Life(
            started(), {f"a run of {name} is slow"}, beats=((2, 7200),), until_s=7200, flow=name
        )
        # Every flow that is registered: rendering asks this table for its work pool.
        for name in (flow.replace("_", "-") for flow in IDENTITY_OF)
    },
}


@dataclass
class Bucket:
    """A count of a trigger's for a run, as Prefect's database has it."""

    automation_id: Any
    trigger_id: Any
    bucketing_key: tuple[str, ...]
    start: datetime
    end: datetime
    count: int
    last_event: Any
    last_operation: str = ""


class Buckets:
    """In the place of the statements that Prefect's triggers send to its database."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, tuple[str, ...]], Bucket] = {}

    async def ensure_bucket(
        self,
        _session: Any,
        trigger: Any,
        bucketing_key: Any,
        start: Any,
        end: Any,
        last_event: Any,
        initial_count: int = 0,
    ) -> Bucket:
        key = (trigger.id, tuple(bucketing_key))
        known = self._kept.get(key)
        if known is None:
            return await self.start_new_bucket(
                None, trigger, bucketing_key, start, end, initial_count, last_event=last_event
            )
        known.last_event = last_event or known.last_event
        return known

    async def start_new_bucket(
        self,
        _session: Any,
        trigger: Any,
        bucketing_key: Any,
        start: Any,
        end: Any,
        count: int,
        triggered_at: Any = None,
        last_event: Any = None,
    ) -> Bucket:
        key = tuple(bucketing_key)
        made = Bucket(trigger.automation.id, trigger.id, key, start, end, count, last_event)
        self._kept[(trigger.id, key)] = made
        return made

    async def increment_bucket(self, _session: Any, bucket: Bucket, count: int, last_event: Any) -> Bucket:
        bucket.count += count
        bucket.last_event = last_event or bucket.last_event
        return bucket

    async def remove_bucket(self, _session: Any, bucket: Bucket) -> None:
        self._kept.pop((bucket.trigger_id, bucket.bucketing_key), None)

    async def read_bucket(self, _session: Any, trigger: Any, bucketing_key: Any) -> Bucket | None:
        return self._kept.get((trigger.id, tuple(bucketing_key)))

    async def remove_buckets_exceeding_threshold(self, _session: Any, trigger: Any) -> None:
        for key, bucket in list(self._kept.items()):
            if key[0] == trigger.id and bucket.count >= trigger.threshold:
                del self._kept[key]

    async def read_buckets_for_automation(self, _session: Any, trigger: Any) -> AsyncIterator[Bucket]:
        for key, bucket in list(self._kept.items()):
            if key[0] == trigger.id:
                yield bucket

    @asynccontextmanager
    async def automations_session(self, **_options: Any) -> AsyncIterator[Any]:
        class Session:
            async def commit(self) -> None: ...

        yield Session()


class Server:
    """Prefect's triggers with our automations loaded; what fired, by the automation's name."""

    def __init__(self) -> None:
        self.fired: list[str] = []
        self.loaded: list[Automation] = []

    async def act(self, firing: Firing) -> None:
        self.fired.append(firing.trigger.automation.name.removeprefix("aks-postgres: "))

    async def live(self, life: Life, related: Iterable[dict[str, str]]) -> set[str]:
        """Let a run live, and return what fired."""
        from prefect.server.events import triggers
        from prefect.server.events.schemas.automations import EventTrigger, Posture

        self.fired.clear()
        run = f"prefect.flow-run.{uuid4()}"
        of_flow = {
            "prefect.resource.id": f"prefect.flow.{uuid4()}",
            "prefect.resource.role": "flow",
            "prefect.resource.name": life.flow,
        }
        timeline = [(at_s, event) for at_s, event in life.events]
        for first_s, last_s in life.beats:
            timeline += [(at_s, BEAT) for at_s in _steps(first_s, last_s, HEARTBEAT_S)]
        looks = [(at_s, "") for at_s in _steps(0, life.until_s + 30, 30)]
        for at_s, event in sorted([*timeline, *looks], key=lambda item: item[0]):
            now = START + timedelta(seconds=at_s)
            if event:
                await triggers.reactive_evaluation(_event(run, event, now, [of_flow, *related]))
                continue
            for loaded in self.loaded:
                assert isinstance(loaded.trigger, EventTrigger)
                if loaded.trigger.posture == Posture.Proactive:
                    await triggers.proactive_evaluation(loaded.trigger, now)  # type: ignore[arg-type]
        return set(self.fired)


def _steps(first_s: float, last_s: float, step_s: float) -> list[float]:
    return [first_s + n * step_s for n in range(int((last_s - first_s) // step_s) + 1)]


def _event(run: str, name: str, now: datetime, related: list[dict[str, str]]) -> ReceivedEvent:
    from prefect.server.events.schemas.events import ReceivedEvent

    resource = {"prefect.resource.id": run, "prefect.resource.name": "a run"}
    if name != BEAT:
        resource |= {"prefect.state-name": name, "prefect.state-type": TYPES[name]}
    return ReceivedEvent.model_validate(
        {
            "id": uuid4(),
            "occurred": now,
            "received": now,
            "event": f"prefect.flow-run.{name}",
            "resource": resource,
            "related": related,
        }
    )


def of_tags(*tags: str) -> list[dict[str, str]]:
    return [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in tags]


DEPLOYMENT = {"prefect.resource.id": f"prefect.deployment.{uuid4()}", "prefect.resource.role": "deployment"}
OURS = [*of_tags("aks-postgres", "canadacentral"), DEPLOYMENT]
# What isn't told of: Prefect's tags are the same for a run from a terminal (src/aks_postgres/cli/environment.py).
OTHERS = {
    "from a terminal": of_tags("aks-postgres", "cnpg", "canadacentral"),
    "somebody else's": [*of_tags("theirs"), DEPLOYMENT],
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Prefect's triggers, without a server."""
    from prefect.server.events import triggers
    from prefect.server.events.schemas.automations import Automation

    server, buckets = Server(), Buckets()
    monkeypatch.setattr(triggers, "act", server.act)
    for name in vars(Buckets):
        if not name.startswith("_"):
            monkeypatch.setattr(triggers, name, getattr(buckets, name))

    async def no_offset() -> float:
        return 0.0

    monkeypatch.setattr(triggers, "get_events_clock_offset", no_offset)
    for wanted in automations(None, 45):
        loaded = Automation.model_validate(wanted.model_dump(mode="json"))
        triggers.load_automation(loaded)
        server.loaded.append(loaded)
    yield server
    triggers.clear_loaded_automations()


def test_every_state_of_prefect_is_lived_through() -> None:
    assert {state.value for state in StateType} == set(TYPES.values())
    lived = {name for life in LIVES.values() for _, name in life.events}
    # Nobody waits for these: they are before, or beside, what the table is about.
    assert set(TYPES) - lived == {"Scheduled", "Retrying", "Paused", "Drift"}


SHOWN = (
    "done",
    "its process or machine dies",
    "the limit never frees a slot",
    "an approved run that nobody takes",
    "a cancelling that never ends",
)


@pytest.mark.parametrize(
    "name", shown([*SHOWN, *(name for name in LIVES if name not in SHOWN)], first=len(SHOWN))
)
async def test_whoever_should_notice_does_and_nobody_else(server: Server, name: str) -> None:
    assert await server.live(LIVES[name], OURS) == LIVES[name].noticed


@pytest.mark.parametrize("whose", shown(OTHERS, first=0))
@pytest.mark.parametrize("name", LIVES)
async def test_a_run_that_isnt_of_our_deployments_is_never_told_of(
    server: Server, name: str, whose: str
) -> None:
    assert await server.live(LIVES[name], OTHERS[whose]) == set()


async def test_a_terminals_run_with_prefects_own_pace_of_heartbeats_isnt_taken_for_dead(
    server: Server,
) -> None:
    """A heartbeat each 180 s, PREFECT_FLOWS_HEARTBEAT_FREQUENCY being unset."""
    life = Life(started(), beats=tuple((at_s, at_s) for at_s in _steps(2, 1800, 180)))
    assert await server.live(life, OTHERS["from a terminal"]) == set()
    assert DIED in await server.live(life, OURS)


def test_the_table_of_the_docs_names_every_automation() -> None:
    table = (Path(__file__).parents[2] / "docs" / "runs.md").read_text()
    told = {wanted.name.removeprefix("aks-postgres: ") for wanted in automations(None, 45)}
    named = set(re.findall(r"\*(a[n]? [^*|]+|no worker[^*|]+)\*", table))
    assert {name for name in told if " is slow" not in name} <= named
    assert "a run of ... is slow" in named


@flow
def _nothing() -> None:
    """A flow whose runs are set to states."""


@pytest.mark.thorough
@pytest.mark.parametrize("type_", sorted(TERMINAL_STATES, key=str))
async def test_a_finished_run_isnt_marked_dead(prefect_api: None, type_: StateType) -> None:
    """Its last heartbeat may arrive after its end; Prefect refuses what the automation then does."""
    (died,) = [wanted for wanted in automations(None, 45) if wanted.name.endswith(DIED)]
    (action,) = died.actions
    assert not action.force  # type: ignore[union-attr]
    async with get_client() as client:
        run = await client.create_flow_run(_nothing, state=Running())
        await client.set_flow_run_state(run.id, State(type=type_), force=True)
        answer = await client.set_flow_run_state(run.id, Crashed(message="no heartbeat"))
        assert answer.status == SetStateStatus.ABORT
        assert (await client.read_flow_run(run.id)).state_type == type_


@pytest.mark.thorough
async def test_a_run_that_was_marked_dead_by_mistake_ends_as_what_it_was(prefect_api: None) -> None:
    """The server was away for longer than the heartbeats' time; the run goes on meanwhile."""
    async with get_client() as client:
        run = await client.create_flow_run(_nothing, state=Running())
        await client.set_flow_run_state(run.id, Crashed(message="no heartbeat"))
        answer: Any = await client.set_flow_run_state(run.id, Completed())
        assert answer.status == SetStateStatus.ACCEPT
