"""What `provision` would do, by the same steps behind a closed gate: they read, compare, and say what they would write.

On a schedule it finds drift: what the autoscaler, AKS and policies change by themselves isn't compared, so it is none.
"""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.artifacts import acreate_table_artifact
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed, Failed

from cloud.errors import PreflightFailed, is_permanent
from environment.names import environment_key
from environment.outputs import Place
from environment.plan import Action, Plan, PlannedStep
from environment.spec import EnvironmentSpec
from flows._session import run_session
from flows._steps import Step, Steps
from flows.provision import start_environment

DRIFT_EVENT = "aks-postgres.environment.drift"
_ACTIONS: dict[str, Action] = {"created": "create", "updated": "update", "unchanged": "nothing"}


@flow(flow_run_name="plan {spec.name} in {spec.region}")
async def plan(spec: EnvironmentSpec) -> State[Plan]:
    """Say what `provision` would create and change, field by field; write nothing.

    Ends Completed as `NothingToDo` or `Drift`, or Failed where something can't be done; a difference is also an event
    (`aks-postgres.environment.drift`) that an automation can act on.

    Guide: none. Reader rights are enough.

    Args:
        spec: the environment wanted.

    Returns:
        Every step with what it would do.
    """
    found = await make_plan(spec, recorded=True)
    key = environment_key(spec)
    await acreate_table_artifact(
        rows(found), key=f"plan-{key}", description=f"Plan of {spec.name} in {spec.region}"
    )
    text = headline(found)
    if found.is_empty:
        return Completed(name="NothingToDo", message=text, data=found)
    emit_event(
        DRIFT_EVENT,
        resource={"prefect.resource.id": f"aks-postgres.environment.{key}", "prefect.resource.name": key},
        payload={"summary": text, "steps": [step.step for step in (*found.changes, *found.refusals)]},
    )
    if found.refusals:
        return Failed(message=text, data=found)
    return Completed(name="Drift", message=text, data=found)


async def make_plan(spec: EnvironmentSpec, *, recorded: bool) -> Plan:
    """Run every step behind the closed gate.

    Args:
        spec: the environment wanted.
        recorded: whether the steps are Prefect task runs.
    """
    async with run_session(spec, planning=True):
        async with Steps(recorded=recorded, collects_failures=True) as steps:
            started = start_environment(steps, spec, verify=False)
        problem = await started.place.failure()
        if isinstance(problem, PreflightFailed):
            refused = [
                PlannedStep(step="preflight", action="can't", reason=text) for text in problem.problems
            ]
            return Plan(environment=environment_key(spec), subscription="", steps=tuple(refused), warnings=())
        if problem:
            raise problem
        place: Place = await started.place.result()
        stopped: dict[str, Exception] = {}
        looked = [await _planned(name, step, stopped) for name, step in started.by_name().items()]
        return Plan(
            environment=environment_key(spec),
            subscription=place.subscription_name,
            steps=tuple(looked),
            warnings=place.warnings,
        )


async def _planned(name: str, step: Step[Any], stopped: dict[str, Exception]) -> PlannedStep:
    failure = await step.failure()
    if failure is None:
        change = (await step.result()).change
        return PlannedStep(step=name, action=_ACTIONS[change.kind], fields=change.fields)
    earlier = [other for other, seen in stopped.items() if seen is failure]
    stopped[name] = failure
    if earlier:
        return PlannedStep(step=name, action="not looked at", reason=f"comes after {earlier[0]}")
    return PlannedStep(
        step=name, action="can't" if is_permanent(failure) else "not looked at", reason=str(failure)
    )


def headline(found: Plan) -> str:
    """The plan in one line."""
    if found.is_empty:
        return f"{found.environment}: nothing to do"
    parts = []
    for action, text in (
        ("create", "to create"),
        ("update", "to update"),
        ("can't", "can't be done"),
        ("not looked at", "not looked at"),
    ):
        if count := sum(step.action == action for step in found.steps):
            parts.append(f"{count} {text}")
    return f"{found.environment}: {', '.join(parts)}"


def rows(found: Plan) -> list[dict[str, Any]]:
    """The plan as a table: a row a field that differs, or a row a step."""
    table: list[dict[str, Any]] = []
    for step in found.steps:
        row = {"step": step.step, "action": step.action, "field": step.reason, "live": "", "wanted": ""}
        changed = [
            {**row, "field": f.field, "live": _cell(f.old), "wanted": _cell(f.new)} for f in step.fields
        ]
        table += changed or [row]
    return table


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
