"""What `provision` would do, by the same steps behind a closed gate: they read, compare, and say what they would write.

On a schedule it finds drift: what the autoscaler, AKS and policies change by themselves isn't compared, so it is none.
"""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed, Failed

from aks_postgres.arm.errors import AzureRefused
from aks_postgres.errors import ImmutableChange, is_permanent
from aks_postgres.flows._environment import start_environment
from aks_postgres.foreign_text import in_markdown
from aks_postgres.preflight.errors import PreflightFailed, UnknownRegion
from aks_postgres.reports.cost import Cost, cost_of, cost_text
from aks_postgres.reports.outputs import CheckedTarget
from aks_postgres.reports.plan import COMES_AFTER, Action, Plan, PlannedStep
from aks_postgres.reports.plan_view import PlanView
from aks_postgres.runs.plan_lines import markdown, plan_lines
from aks_postgres.runs.plan_view import plan_view
from aks_postgres.runs.run_name import environment_in, run_name
from aks_postgres.runs.session import run_session
from aks_postgres.runs.signals import cancelled_by_a_person
from aks_postgres.runs.steps import Steps
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import environment_key

DRIFT_EVENT = "aks-postgres.environment.drift"
_ACTIONS: dict[str, Action] = {"created": "create", "updated": "update", "unchanged": "nothing"}


@flow(flow_run_name=run_name(environment_in("plan")))
@cancelled_by_a_person
async def plan(spec: EnvironmentSpec) -> State[Plan]:
    """Say what `provision` would create and change, field by field; write nothing.

    Ends Completed as `NothingToDo` or `Drift`, or Failed where something can't be done or Azure couldn't be asked; a
    difference is also an event (`aks-postgres.environment.drift`) that an automation can act on. What the environment
    wanted costs a day is said too, by dated list prices.

    Guide: none. Reader rights are enough for all but what is in the cluster: without the role Azure Kubernetes Service
    Cluster User, that isn't visible, and where there is nothing else to do the plan ends as `PartlySeen`.

    Args:
        spec: the environment wanted.

    Returns:
        Every step with what it would do.
    """
    found = await make_plan(spec, recorded=True)
    key = environment_key(spec)
    about = f"{spec.name} in {spec.region}"
    view = plan_view(spec, found)
    await acreate_markdown_artifact(
        markdown(plan_lines(view)), key=f"plan-{key}", description=f"Plan of {about}. {view.headline}"
    )
    if view.cost:
        await acreate_table_artifact(
            cost_rows(view.cost), key=f"cost-{key}", description=f"Cost of {about}. {cost_text(view.cost)}"
        )
    text = headline(found)
    if found.is_empty:
        return Completed(name="NothingToDo", message=text, data=found)
    if found.is_empty_as_far_as_seen:
        return Completed(name="PartlySeen", message=text, data=found)
    if found.changes or found.refusals:
        emit_event(
            DRIFT_EVENT,
            resource={
                "prefect.resource.id": f"aks-postgres.environment.{key}",
                "prefect.resource.name": key,
            },
            payload={"summary": text, "steps": [step.step for step in (*found.changes, *found.refusals)]},
        )
    if found.refusals or not found.changes:
        return Failed(message=text, data=found)
    return Completed(name="Drift", message=text, data=found)


async def make_view(spec: EnvironmentSpec) -> PlanView:
    """The plan of `provision` for people; no Prefect run is made."""
    return plan_view(spec, await make_plan(spec, recorded=False))


async def make_plan(spec: EnvironmentSpec, *, recorded: bool, generation: int | None = None) -> Plan:
    """Run every step behind the closed gate.

    Args:
        spec: the environment wanted.
        recorded: whether the steps are Prefect task runs.
        generation: which one to plan for; unset, the live one, or the next where there is none.
    """
    async with run_session(spec, planning=True, command="plan") as run:
        async with Steps(recorded=recorded, collects_failures=True) as steps:
            started = start_environment(steps, spec, generation=generation, verify=False)
        problem = await started.target.failure()
        if isinstance(problem, UnknownRegion) and not recorded:
            raise problem
        if isinstance(problem, PreflightFailed):
            refused = [
                PlannedStep(step="preflight", action="can't", reason=text) for text in problem.problems
            ]
            return Plan(
                environment=environment_key(spec),
                subscription="",
                steps=tuple(refused),
                warnings=(),
                cost=cost_of(spec),
            )
        if problem:
            raise problem
        target: CheckedTarget = await started.target.result()
        looked: dict[str, PlannedStep] = {}
        stopped: dict[str, PlannedStep] = {}
        for step in steps.changing:
            name = step.noun
            if failure := await step.cause():
                looked[name] = _stopped(name, failure, stopped)
            else:
                change = (await step.result()).change
                looked[name] = PlannedStep(step=name, action=_ACTIONS[change.kind], fields=change.fields)
        return Plan(
            environment=environment_key(spec),
            subscription=target.subscription_name,
            steps=tuple(looked.values()),
            warnings=target.warnings,
            cost=cost_of(spec),
            generation=target.generation,
            resources=tuple(run.azure.looked_at.values()),
        )


def _stopped(name: str, failure: Exception, stopped: dict[str, PlannedStep]) -> PlannedStep:
    """A step that couldn't say what it would do; what stopped an earlier one is told once, with that one."""
    text = str(failure)
    if earlier := stopped.get(text):
        after: Action = "not looked at" if earlier.action == "can't" else earlier.action
        reason = f"{COMES_AFTER} {earlier.step}"
        return PlannedStep(step=name, action=after, reason=reason, in_place=earlier.in_place)
    action: Action
    # Azure's word for a missing right, and Kubernetes'.
    if isinstance(failure, AzureRefused) and failure.code in ("AuthorizationFailed", "Forbidden"):
        action = "not visible"  # a plan only reads, and a run may have more rights
    else:
        action = "can't" if is_permanent(failure) else "not looked at"
    in_place = isinstance(failure, ImmutableChange)
    stopped[text] = PlannedStep(step=name, action=action, reason=text, in_place=in_place)
    return stopped[text]


def headline(found: Plan) -> str:
    """The plan in one line."""
    parts = []
    for action, text in (
        ("create", "to create"),
        ("update", "to update"),
        ("can't", "can't be done"),
        ("not visible", "not visible to the caller"),
        ("not looked at", "not looked at"),
    ):
        if count := sum(step.action == action for step in found.steps):
            parts.append(f"{count} {text}")
    if found.is_empty_as_far_as_seen:
        parts.insert(0, "nothing to do")
    return f"{found.environment}: {', '.join(parts)}"


def cost_rows(cost: Cost) -> list[dict[str, Any]]:
    """The cost as a table: a row a thing that is charged for; the Prefect UI shows its texts as Markdown."""
    return [
        {
            "what": in_markdown(line.what),
            "fewest nodes": _usd(line.low_usd),
            "most nodes": _usd(line.high_usd),
            "assumes": in_markdown(line.assumes),
            "price read": str(line.read or ""),
        }
        for line in cost.lines
    ]


def _usd(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:.2f}"
