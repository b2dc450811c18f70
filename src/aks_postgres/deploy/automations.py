"""Automations on the Prefect server: it says when something needs a person, and ends what only seems to run.

They are about runs of deployments with the tag `aks-postgres`: other people's flows on the same server are never
touched, and a run from a terminal has somebody who watches it. (It has the tag as well, and Prefect's own pace of
heartbeats, by which it would be taken for dead.) States are told by their type, as flows give some of them names of
their own (`Drift`). docs/runs.md has every way in which a run can be lost, and who notices.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import TERMINAL_STATES, StateType
from prefect.events import Event, Resource
from prefect.events.actions import ActionTypes, ChangeFlowRunState, DoNothing, SendNotification
from prefect.events.clients import get_events_client
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from aks_postgres.arm.poll import REAL, NotInTime, poll
from aks_postgres.deploy.rendering import HEARTBEAT_S
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.spec.names import PRODUCT

# What flows/plan.py and `deployments test-notification` emit; Prefect's words for the rest.
_DRIFT = "aks-postgres.environment.drift"
TEST = "aks-postgres.notification.test"
TEST_NAME = f"{PRODUCT}: a test notification"
_RUNNING = "prefect.flow-run.Running"
_HEARTBEAT = "prefect.flow-run.heartbeat"
# Only what Prefect calls Scheduled gets Late; a run in one of the other states waits without another word.
_WAITS = {
    f"prefect.flow-run.{name}"
    for name in (
        "Late",
        "AwaitingConcurrencySlot",
        "AwaitingRetry",
        "Pending",
        "Submitting",
        "InfrastructurePending",
    )
}
_RESUMING = "prefect.flow-run.Resuming"
_CANCELLING = "prefect.flow-run.Cancelling"
_ANY_RUN_EVENT = "prefect.flow-run.*"
_RUN = "prefect.resource.id"

# Three heartbeats: fewer would end healthy runs.
_SILENT_S = 3 * HEARTBEAT_S
_LATE_MIN = 10
_SENT, _NOT_SENT = "prefect.automation.action.executed", "prefect.automation.action.failed"
_LOOK_S = 0.5
# Prefect itself ends a cancelling after 5 minutes, where that service runs.
_CANCELLING_MIN = 10

_OF_DEPLOYMENT = {"prefect.resource.role": "deployment"}
_OUR_RUN = [{"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{PRODUCT}"}, _OF_DEPLOYMENT]
# A run that has started, or that won't.
_STARTED = {
    f"prefect.flow-run.{name}"
    for name in (
        "Running",
        "Suspended",
        "Paused",
        "Completed",
        "Failed",
        "Crashed",
        "Cancelling",
        "Cancelled",
    )
}
_SILENT = " Nobody is told: name a notification block with aks-postgres deployments apply --notify TYPE/NAME."
# What means something to Slack (<!channel>, <url|text>), Teams ([text](url), <at>), Discord (@everyone) or mail (HTML).
# Each escapes in another way, and the block decides which it is: so these signs become others that look like them.
_NOT_SENT_AS_IS = {"<": "\u2039", ">": "\u203a", "[": "(", "]": ")", "@": "(at)", "`": "'"}


def _foreign(expression: str) -> str:
    """Template for what others may have written, which is text for whatever service it is sent with."""
    replaced = "".join(f' | replace("{sign}", "{instead}")' for sign, instead in _NOT_SENT_AS_IS.items())
    return "{{ " + f"({expression}) | string{replaced}" + " }}"


_NAME = _foreign("flow_run.name")
# The address is known where PREFECT_UI_URL is set on the server.
_RUN_TEXT = "{{ (flow_run|ui_url) or flow_run.id }}"


def automations(notify: UUID | None, slow_after_min: int) -> Iterator[AutomationCore]:
    """Yield what the server should have.

    Args:
        notify: the notification block to tell people with; without one an automation only leaves its event.
        slow_after_min: minutes after which a run is slow; `rebuild` and `provision_fleet` may take twice that.
    """

    def tell(subject: str, body: str) -> list[ActionTypes]:
        if notify is None:
            return [DoNothing()]
        return [SendNotification(block_document_id=notify, subject=f"{PRODUCT}: {subject}", body=body)]

    def _automation(
        name: str, description: str, trigger: EventTrigger, actions: list[ActionTypes]
    ) -> AutomationCore:
        silent = any(isinstance(action, DoNothing) for action in actions)
        return AutomationCore(
            name=f"{PRODUCT}: {name}",
            description=description + (_SILENT if silent else ""),
            trigger=trigger,
            actions=actions,
            tags=[PRODUCT],
        )

    yield _automation(
        "a run failed",
        "A run failed or crashed.",
        _of_states("FAILED", "CRASHED"),
        tell(
            f"{_NAME}: {_foreign('flow_run.state.name')}",
            _foreign("flow_run.state.message") + "\n\n" + _RUN_TEXT,
        ),
    )
    yield _automation(
        "an environment drifted",
        "plan found something to create or change.",
        EventTrigger(
            expect={_DRIFT},
            match={_RUN: "aks-postgres.environment.*"},
            match_related=_OF_DEPLOYMENT,
            for_each={_RUN},
            posture=Posture.Reactive,
        ),
        tell(
            "drift in " + _foreign("event.resource.name"),
            _foreign("event.payload.summary") + "\n\n" + _RUN_TEXT,
        ),
    )
    yield _automation(
        "a run waits for approval",
        "A run is suspended until somebody answers it in the UI.",
        _of_states("PAUSED"),
        tell(f"{_NAME} waits for approval", "Answer it here: " + _RUN_TEXT),
    )
    for flow, minutes in (
        ("plan", slow_after_min),
        ("provision", slow_after_min),
        ("provision-fleet", 2 * slow_after_min),
        ("deploy-database", slow_after_min),
        ("tear-down", slow_after_min),
        ("rebuild", 2 * slow_after_min),
    ):
        yield _automation(
            f"a run of {flow} is slow",
            f"A run of {flow} has been running for {minutes} minutes.",
            _slow(flow, timedelta(minutes=minutes)),
            tell(f"{_NAME} is slow", f"It has been running for {minutes} minutes.\n\n" + _RUN_TEXT),
        )
    yield _automation(
        "no worker takes a run",
        f"A run is late or about to start, and {_LATE_MIN} minutes later doesn't run.",
        _not_started_after(_WAITS),
        tell(
            f"{_NAME} waits for a worker",
            "Is one running, the work pool not paused, and room in the concurrency limits of pool, queue and "
            "deployment?\n\n" + _RUN_TEXT,
        ),
    )
    yield _automation(
        "an approved run doesn't go on",
        f"A run was resumed, and {_LATE_MIN} minutes later doesn't run.",
        _not_started_after({_RESUMING}),
        tell(
            f"{_NAME} was approved and waits for a worker",
            "Is one running, and the work pool not paused?\n\n" + _RUN_TEXT,
        ),
    )
    yield _automation(
        "a cancelled run doesn't end",
        f"A run is being cancelled, and {_CANCELLING_MIN} minutes later still is.",
        _ends_not_after(_CANCELLING, timedelta(minutes=_CANCELLING_MIN)),
        tell(
            f"{_NAME} doesn't end",
            "Does its worker run? See that its process is gone, then set the run to Cancelled.\n\n"
            + _RUN_TEXT,
        ),
    )
    yield _automation(
        "a run died",
        f"A run gave no sign of life for {_SILENT_S} seconds: it is marked as crashed, which notifies. Off on a server "
        "with SQLite, which loses events: a run that waits for approval would seem dead.",
        _nothing_after(_HEARTBEAT, timedelta(seconds=_SILENT_S)),
        [ChangeFlowRunState(state=StateType.CRASHED, message=f"no heartbeat for {_SILENT_S} seconds")],
    )
    yield _automation(
        TEST_NAME.removeprefix(f"{PRODUCT}: "),
        "Somebody ran aks-postgres deployments test-notification.",
        EventTrigger(expect={TEST}, match={_RUN: f"{TEST}.*"}, for_each={_RUN}, posture=Posture.Reactive),
        tell("a test notification", "Notifications of this server arrive where you read this."),
    )


def _of_states(*types: str) -> EventTrigger:
    return EventTrigger(
        expect={_ANY_RUN_EVENT},
        match={_RUN: "prefect.flow-run.*", "prefect.state-type": list(types)},
        match_related=_OUR_RUN,
        for_each={_RUN},
        posture=Posture.Reactive,
    )


def _slow(flow: str, within: timedelta) -> EventTrigger:
    """Running, and no other state within that time; heartbeats have no state and don't count."""
    live = [state.value for state in StateType if state not in (StateType.SCHEDULED, StateType.PENDING)]
    return EventTrigger(
        after={_RUNNING},
        expect={_ANY_RUN_EVENT},
        match={_RUN: "prefect.flow-run.*", "prefect.state-type": live},
        match_related=[*_OUR_RUN, {"prefect.resource.role": "flow", "prefect.resource.name": flow}],
        for_each={_RUN},
        posture=Posture.Proactive,
        within=within,
    )


def _not_started_after(waiting: set[str]) -> EventTrigger:
    """One of these states of a run, and no later one that says that it runs or won't."""
    return EventTrigger(
        after=waiting,
        expect=_STARTED,
        match={_RUN: "prefect.flow-run.*"},
        match_related=_OUR_RUN,
        for_each={_RUN},
        posture=Posture.Proactive,
        within=timedelta(minutes=_LATE_MIN),
    )


def _ends_not_after(event: str, within: timedelta) -> EventTrigger:
    """That state of a run, and no end within that time; its heartbeats don't count."""
    # In order, as a set's is another one in each process, and another list would be a change.
    types = sorted(["CANCELLING", *(state.value for state in TERMINAL_STATES)])
    return EventTrigger(
        after={event},
        expect={_ANY_RUN_EVENT},
        match={_RUN: "prefect.flow-run.*", "prefect.state-type": types},
        match_related=_OUR_RUN,
        for_each={_RUN},
        posture=Posture.Proactive,
        within=within,
    )


def _nothing_after(event: str, within: timedelta) -> EventTrigger:
    """That event of a run, and nothing more within that time: not the same again, nor any change of state.

    A run that waits for approval is suspended after its last heartbeat, and so isn't silent.
    """
    return EventTrigger(
        after={event},
        expect={_ANY_RUN_EVENT},
        match={_RUN: "prefect.flow-run.*"},
        match_related=_OUR_RUN,
        for_each={_RUN},
        posture=Posture.Proactive,
        within=within,
    )


async def apply_automations(
    client: PrefectClient, notify: UUID | None, slow_after_min: int, *, loses_events: bool = False
) -> list[tuple[str, str]]:
    """Create or update the automations by name; others are left alone, and so is one that a person switched off.

    Args:
        client: of the server.
        notify: the block to tell people with; None keeps the one that an automation has.
        slow_after_min: see `automations`.
        loses_events: whether the server may lose events, as one on SQLite does: what ends silent runs is then made
            switched off, as a run that waits for approval would seem to be one.

    Returns:
        Names, each with `created`, `updated` or `unchanged`.
    """
    there: dict[str, Any] = {}
    for name in [wanted.name for wanted in automations(None, slow_after_min)]:
        there[name] = next(iter(await client.read_automations_by_name(name)), None)
    told_by = [
        action.block_document_id
        for live in there.values()
        if live
        for action in live.actions
        if isinstance(action, SendNotification)
    ]
    changes = []
    for wanted in automations(notify or next(iter(told_by), None), slow_after_min):
        live = there[wanted.name]
        if live is None:
            wanted.enabled = not (loses_events and _ends_runs(wanted))
            await client.create_automation(wanted)
            changes.append((wanted.name, "created"))
            continue
        wanted.enabled = live.enabled
        if _comparable(wanted) == _comparable(live):
            changes.append((wanted.name, "unchanged"))
        else:
            await client.update_automation(live.id, wanted)
            changes.append((wanted.name, "updated"))
    return changes


def _ends_runs(automation: AutomationCore) -> bool:
    return any(isinstance(action, ChangeFlowRunState) for action in automation.actions)


def _comparable(automation: AutomationCore) -> Any:
    return AutomationCore(**automation.model_dump(exclude={"id"})).model_dump(exclude={"owner_resource"})


async def send_test_notification(client: PrefectClient, within_s: float) -> str:
    """Let the server send a test notification, as it sends all others.

    Args:
        client: of the server.
        within_s: real seconds to wait for it.

    Returns:
        The block that it was sent with, such as slack-webhook/on-call.

    Raises:
        CommandFailed: no block is named, the server couldn't send it, or didn't in time; says what to do.
    """
    live = next(iter(await client.read_automations_by_name(TEST_NAME)), None)
    sends = [action for action in live.actions if isinstance(action, SendNotification)] if live else []
    if live is None or not sends:
        raise CommandFailed(
            "no notification block is named, so nobody would be told: make one in the UI under Blocks, then "
            "`aks-postgres deployments apply --notify TYPE/NAME`",
            ExitCode.BAD_INPUT,
        )
    if not live.enabled:
        raise CommandFailed(f"the automation {TEST_NAME!r} is switched off in the UI", ExitCode.BAD_INPUT)
    block = await client.read_block_document(sends[0].block_document_id, include_secrets=False)
    name = f"{block.block_type.slug if block.block_type else 'block'}/{block.name}"
    test = Event(event=TEST, resource=Resource({_RUN: f"{TEST}.{uuid4()}"}))
    async with get_events_client() as events:
        await events.emit(test)
    answer = await _answer(client, live.id, test.occurred, within_s)
    if answer is None:
        raise CommandFailed(
            f"the server sent nothing with {name} within {within_s:.0f} s: look at its log",
            ExitCode.NOT_RUNNING,
        )
    event, why = answer
    if event != _SENT:
        raise CommandFailed(f"the server couldn't send with {name}: {why}. Look at the block in the UI.")
    return name


async def _answer(
    client: PrefectClient, automation: UUID, since: datetime, within_s: float
) -> tuple[str, str] | None:
    """Return what the server says of an automation's action since then: the event's name, and the reason it has."""
    wanted = {
        "filter": {
            "occurred": {"since": since.isoformat()},
            "event": {"name": [_SENT, _NOT_SENT]},
            "resource": {"id": [f"prefect.automation.{automation}"]},
        }
    }

    async def events() -> list[dict[str, Any]] | None:
        return (await client.request("POST", "/events/filter", json=wanted)).json()["events"] or None

    try:
        found = await poll(events, every_s=_LOOK_S, deadline_s=within_s, timer=REAL)
    except NotInTime:
        return None
    return str(found[0]["event"]), str(found[0]["payload"].get("reason", ""))


async def notification_block(client: PrefectClient, reference: str) -> UUID:
    """The ID of the notification block that a person names, such as slack-webhook/on-call.

    Raises:
        CommandFailed: there is no such block, or it can't notify.
    """
    kind, _, name = reference.partition("/")
    try:
        found = await client.read_block_document_by_name(name, kind, include_secrets=False)
    except ObjectNotFound:
        raise CommandFailed(
            f"--notify {reference}: the server has no such block; TYPE/NAME of a notification block is expected, "
            "such as slack-webhook/on-call. Make one in the UI under Blocks.",
            ExitCode.BAD_INPUT,
        ) from None
    if found.block_schema is None or "notify" not in found.block_schema.capabilities:
        raise CommandFailed(
            f"--notify {reference}: a block of type {kind} can't notify; choose one of Slack, Teams, e-mail, "
            "PagerDuty or another notification block.",
            ExitCode.BAD_INPUT,
        )
    return found.id
