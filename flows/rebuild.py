"""Makes an environment anew: a new generation in place of the old one, or beside it until it is verified."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Annotated, Literal

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run, suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import deployment
from prefect.states import Completed
from pydantic import Field

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import OperationNotDone, WouldWrite
from aks_postgres.errors import ProvisioningError
from aks_postgres.flows._errors import RebuildFailed, RebuildRefused
from aks_postgres.flows._retirement import BACKUP_AGE_MIN, finish_tear_down, retire
from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import make_environment, read_outputs
from aks_postgres.foreign_text import in_markdown
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.reports.cost import cost_of
from aks_postgres.reports.rebuild import Addresses, Generations, RebuildPlan, Rebuilt, Strategy
from aks_postgres.reports.receipt import Receipt
from aks_postgres.runs.confirmation import not_confirmed
from aks_postgres.runs.one_writer import IfAnotherRun, one_writer
from aks_postgres.runs.plan_view import plan_view
from aks_postgres.runs.rebuild_text import plan_text, rebuild_view, rebuilt_text
from aks_postgres.runs.run_name import rebuild_name, run_name
from aks_postgres.runs.session import Run, run_session
from aks_postgres.runs.signals import cancelled_by_a_person
from aks_postgres.runs.write_lock import WriteLock
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import environment_key
from aks_postgres.tasks.inventory import look_at_generations, read_addresses, take_inventory
from aks_postgres.tasks.removal_plan import what_would_go
from aks_postgres.tasks.verify import RolesMissing
from aks_postgres.tear_down.errors import TearDownRefused

_EMPTY_DATABASE = (
    "database: the new generation's database would be empty, as a rebuild doesn't carry data yet. Type {} as "
    "discard_data to let the old data go (backups stay), or change what differs in place with provision."
)
REBUILT_EVENT = "aks-postgres.environment.rebuilt"


class Approval(RunInput):
    """What whoever approves a rebuild answers."""

    confirm: Annotated[
        str,
        Field(
            description="The environment's name and region, typed, such as cnpg-canadacentral. Anything else refuses.",
            json_schema_extra={"position": 0},
        ),
    ]
    plan: Annotated[
        str,
        Field(description="The plan that is approved; leave it as it is.", json_schema_extra={"position": 1}),
    ]


@flow(flow_run_name=run_name(rebuild_name))
@cancelled_by_a_person
async def rebuild(
    spec: EnvironmentSpec,
    confirm: str,
    strategy: Strategy = "blue_green",
    approval: bool = False,
    approval_hours: Annotated[int, Field(ge=1, le=168)] = 24,
    if_it_fails: Literal["remove", "keep"] = "remove",
    discard_data: str | None = None,
    backup_age_min: Annotated[int, Field(ge=1, le=10080)] = BACKUP_AGE_MIN,
    if_another_run: IfAnotherRun = "wait",
    again: bool = False,
    approved_plan: str | None = None,
) -> State[Rebuilt]:
    """Make the environment anew; backups survive. Interrupted anywhere, it goes on when it is run again.

    Guide: Create infrastructure, and "Clean up resources".

    Args:
        spec: the environment wanted; it may differ from the old one, also in what can't be changed in place.
        confirm: the environment's name and region, typed, such as cnpg-canadacentral.
        strategy: blue_green makes and verifies the new generation beside the old one, and only then tears that down;
            replace tears down first, and asks for half the quota.
        approval: pause with the plan until a person approves it in the UI, by typing the name and region again.
        approval_hours: how long that is waited for; then the run fails, and nothing was changed.
        if_it_fails: with blue_green, what becomes of a new generation that couldn't be made: the old one stays in
            either case. One that only lacks roles, which somebody else gives, stays.
        discard_data: the environment's name and region, typed, to delete databases and volumes without a proven backup.
        backup_age_min: how old the newest backup of each Postgres cluster may be, in minutes.
        if_another_run: wait for another run that is writing to this environment, or refuse, naming it.
        again: rebuild also where another run has made a new generation since this one started.
        approved_plan: the digest of the plan that was looked at; another plan is refused.

    Returns:
        The new generation's outputs, the receipt of the old one's, and the addresses of both. Cancelled as
        `NotConfirmed`, with Azure not even asked, if a word is typed wrong. Completed as `AlreadyRebuilt`, with
        nothing written, if another run made a new generation meanwhile.

    Raises:
        RebuildFailed: the new generation couldn't be made; the old one stays.
        RebuildRefused: it wasn't approved, or something stands against it; nothing was written.
        EnvironmentBusy: another run is writing to the environment.
        TearDownRefused: data without a backup came meanwhile; the new generation is there, and so is the old.
        ProvisioningError: the first step that failed; running again continues.
    """
    if refused := not_confirmed("rebuild", spec, confirm, discard_data=discard_data):
        return refused
    words = (confirm, discard_data, backup_age_min)
    approved = approved_plan
    async with run_session(spec, planning=True) as run:
        found_first = _current(await look_at_generations(run.azure, spec))
    if approval:
        # Before the lock: whoever waits for a person keeps nobody from writing.
        approved = await _approved(await make_rebuild_plan(spec, strategy, *words), approval_hours)
    async with (
        run_session(spec, command=f"rebuild --strategy {strategy}") as run,
        one_writer(run.azure, spec, if_another_run) as lock,
    ):
        if not again and (done := await _rebuilt_meanwhile(run.azure, spec, strategy, found_first)):
            return done
        _refuse(await make_rebuild_plan(spec, strategy, *words), approved)
        # What was refused left no trace; what goes on is planned again once nobody else can write.
        await lock.secure()
        if not again and (done := await _rebuilt_meanwhile(run.azure, spec, strategy, found_first)):
            return done
        plan = await make_rebuild_plan(spec, strategy, *words)
        _refuse(plan, approved)
        rebuilt = await _rebuild(spec, run, lock, plan, words, if_it_fails)
        await _tell(spec, rebuilt)
    return Completed(message=f"{plan.headline}: done", data=rebuilt)


async def make_rebuild_plan(
    spec: EnvironmentSpec, strategy: Strategy, confirm: str, discard_data: str | None, backup_age_min: int
) -> RebuildPlan:
    """Find out what a rebuild would do, and everything that stands against it; write nothing.

    An interrupted rebuild is finished: what is there decides how, whatever the strategy.
    """
    async with run_session(spec, planning=True) as run:
        found = await look_at_generations(run.azure, spec)
        target, old, first = _choose(found, strategy)
        going = (*old, *(standing.generation for standing in found.live if standing.state == "retiring"))
        subscription = ""
        refusals: list[str] = []
        try:
            inventory = await take_inventory.fn(spec, confirm, None, discard_data, backup_age_min, going)
            subscription = inventory.subscription
        except TearDownRefused as refused:
            refusals += refused.problems
        if spec.database is not None and going and discard_data is None:
            refusals.append(_EMPTY_DATABASE.format(environment_key(spec)))
        shown = next((standing for standing in reversed(found.alive) if standing.state == "current"), None)
        addresses = await read_addresses(run.azure, shown) if shown else None
        # What goes first leaves its quota, and what can't be changed in it is made anew.
        gone = await what_would_go(
            run.azure, [standing for standing in found.live if standing.generation in going]
        )
    replaces = bool(first and old)
    planned = await make_plan(spec, recorded=False, generation=old[-1] if replaces else target)
    # What the new generation gets, where the old one is still in its place.
    shown_plan = await make_plan(spec, recorded=False, generation=target) if replaces else planned
    refusals += [
        f"{step.step}: {step.action}: {step.reason}"
        for step in planned.unknown
        if not (step.in_place and first and old)
    ]
    return RebuildPlan(
        environment=environment_key(spec),
        subscription=subscription or planned.subscription,
        strategy=strategy,
        target=target,
        is_there=any(standing.generation == target for standing in found.live),
        old=old,
        first=first,
        addresses=addresses,
        refusals=tuple(refusals),
        warnings=planned.warnings,
        cost=cost_of(spec),
        view=rebuild_view(plan_view(spec, shown_plan), gone, refusals, planned.warnings),
    )


def _current(found: Generations) -> int:
    """The newest generation that is finished; 0 where there is none."""
    return max((target.generation for target in found.alive if target.state == "current"), default=0)


async def _rebuilt_meanwhile(
    azure: Azure, spec: EnvironmentSpec, strategy: Strategy, found_first: int
) -> State[Rebuilt] | None:
    """The state to end in if another run has made a generation since this one started."""
    now = _current(await look_at_generations(azure, spec))
    if now <= found_first:
        return None
    what = f"{environment_key(spec)}: generation {now} was made by another run after this one had started"
    try:
        outputs = await read_outputs(spec)
    except WouldWrite as different:
        raise RebuildRefused(
            f"{what}, and isn't what this run's spec says ({different}). Nothing was written.",
            way_out="Run provision to change it in place, or rebuild again.",
        ) from None
    rebuilt = Rebuilt(strategy=strategy, outputs=outputs, receipts=(), old=None, new=Addresses.of(outputs))
    message = f"{what}, so nothing was written. Say again: true to make another one all the same."
    return Completed(name="AlreadyRebuilt", message=message, data=rebuilt)


def _choose(found: Generations, strategy: Strategy) -> tuple[int, tuple[int, ...], bool]:
    """The generation to have at the end, those that go, and whether they go first."""
    alive = found.alive
    if not alive:
        return found.next, (), False
    newest = alive[-1]
    if len(alive) > 1:
        # Interrupted while two were there: the newer one is finished.
        return newest.generation, tuple(candidate.generation for candidate in alive[:-1]), False
    is_interrupted = any(
        candidate.generation < newest.generation for candidate in found.live if candidate.state == "retiring"
    )
    if newest.state == "building" or is_interrupted:
        return newest.generation, (), False
    return found.next, (newest.generation,), strategy == "replace"


def _refuse(plan: RebuildPlan, approved: str | None) -> None:
    if plan.refusals:
        problems = "\n".join(f"  - {problem}" for problem in plan.refusals)
        count = "1 problem" if len(plan.refusals) == 1 else f"{len(plan.refusals)} problems"
        raise RebuildRefused(
            f"rebuild of {plan.environment} is refused for {count}; nothing was written:\n{problems}\n",
            way_out="Do what each line says, then run again.",
        )
    if approved is not None and approved != plan.digest:
        raise RebuildRefused(
            f"rebuild of {plan.environment}: plan {approved} was approved, and what would be done now is another "
            f"({plan.digest}: {plan.headline}). Nothing was written.",
            way_out="Look at the new plan and approve that.",
        )


async def _approved(plan: RebuildPlan, hours: int) -> str:
    """The digest of the plan that a person has approved.

    A suspended run starts again from the top; then the answer is there, and names the plan that was shown.
    """
    _refuse(plan, None)
    text = plan_text(plan)
    await acreate_markdown_artifact(
        text, key=f"rebuild-plan-{plan.environment}", description=in_markdown(plan.headline)
    )
    # Prefect drops what a field says about itself when it gets a value to begin with.
    shown = Field(plan.digest, description=Approval.model_fields["plan"].description)
    # The dialog is low and the plan is long, so nobody sees at first that something is to be typed.
    how = f"To approve, type `{plan.environment}` below this plan, then choose Resume."
    form = Approval.with_initial_data(description=f"{how}\n\n{text}", plan=shown)
    # A worker's run frees its process meanwhile; one from the terminal has nobody to start it again.
    try:
        answer: Approval
        if deployment.id:
            answer = await suspend_flow_run(wait_for_input=form, timeout=hours * 3600)  # type: ignore[arg-type]
        else:
            answer = await pause_flow_run(wait_for_input=form, timeout=hours * 3600, poll_interval=2)  # type: ignore[arg-type]
    except FlowPauseTimeout:
        raise RebuildRefused(
            f"rebuild of {plan.environment}: nobody approved it within {hours} hours. Nothing was written.",
            way_out="Run it again, or give approval_hours more.",
        ) from None
    if answer.confirm != plan.environment:
        raise RebuildRefused(
            f"rebuild of {plan.environment} wasn't approved: {answer.confirm!r} was typed, and {plan.environment} "
            "would have approved it. Nothing was written.",
            way_out=f"Run it again, and type {plan.environment} if it is to go.",
        )
    return str(answer.plan)


async def _rebuild(
    spec: EnvironmentSpec,
    run: Run,
    lock: WriteLock,
    plan: RebuildPlan,
    words: tuple[str, str | None, int],
    if_it_fails: str,
) -> Rebuilt:
    confirm, discard_data, backup_age_min = words
    run.journal.note(plan.headline, logging.INFO)
    receipts: list[Receipt] = []
    await finish_tear_down(run.azure, spec, discard_data=discard_data, backup_age_min=backup_age_min)
    if plan.first and plan.old:
        receipts.append(await retire(spec, plan.old, confirm, discard_data, backup_age_min))
    try:
        outputs = await make_environment(spec, run.journal, plan.target)
    except ProvisioningError as error:
        if plan.first and plan.old:
            raise RebuildFailed(_after_deletion(plan, error)) from error
        if isinstance(error, (PreflightFailed, OperationNotDone)) or not plan.old:
            raise  # nothing was made, or Azure is still making it: running again goes on
        kept = f"generation {plan.old[-1]} stays as it was"
        if isinstance(error, RolesMissing):
            stays = f"Generation {plan.target} stays, as the roles are for its identities, and {kept}."
            raise RebuildFailed(f"{error}\n{stays} Running again goes on with it.") from error
        if if_it_fails == "keep":
            raise RebuildFailed(
                f"{error}\nGeneration {plan.target} is kept for a look, and {kept}. Running again goes on with it."
            ) from error
        try:
            await retire(spec, (plan.target,), confirm, None, backup_age_min)
        except ProvisioningError as second:
            raise RebuildFailed(
                f"{error}\nGeneration {plan.target} couldn't be removed, and {kept}. {second}"
            ) from error
        raise RebuildFailed(f"{error}\nGeneration {plan.target} was removed, and {kept}.") from error
    await lock.secure_new_homes()
    if plan.old and not plan.first:
        try:
            receipts.append(await retire(spec, plan.old, confirm, discard_data, backup_age_min))
        except RebuildFailed as error:
            raise RebuildFailed(
                f"{error}\nGeneration {plan.target} is made and verified, and stays."
            ) from error
    return Rebuilt(
        strategy=plan.strategy,
        outputs=outputs,
        receipts=tuple(receipts),
        old=plan.addresses if plan.addresses and plan.addresses.generation != plan.target else None,
        new=Addresses.of(outputs),
    )


def _after_deletion(plan: RebuildPlan, error: ProvisioningError) -> str:
    """Return what is gone, what is left, and how to go on, where the old generation went first."""
    gone = ", ".join(map(str, plan.old))
    return (
        f"{error}\nGeneration {gone} of {plan.environment} is deleted, as strategy replace does it first; its backups "
        f"are kept. Generation {plan.target} is missing or unfinished. Mend what is said above, then run provision, or "
        "rebuild again with the same words: either goes on with it and deletes nothing more."
    )


async def _tell(spec: EnvironmentSpec, rebuilt: Rebuilt) -> None:
    key = environment_key(spec)
    await acreate_markdown_artifact(
        rebuilt_text(spec, rebuilt),
        key=f"rebuild-{key}",
        description=f"Rebuild of {key}: old and new addresses",
    )
    emit_event(
        REBUILT_EVENT,
        occurred=datetime.now(UTC),
        resource={"prefect.resource.id": f"aks-postgres.environment.{key}", "prefect.resource.name": key},
        payload={
            "strategy": rebuilt.strategy,
            "old": rebuilt.old.model_dump() if rebuilt.old else None,
            "new": rebuilt.new.model_dump(),
        },
    )
