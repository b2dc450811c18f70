"""The guide "Create infrastructure for deploying a highly available PostgreSQL database on AKS".

https://learn.microsoft.com/azure/aks/create-postgresql-ha - and the operator from
https://learn.microsoft.com/azure/aks/deploy-postgresql-ha.
"""

from __future__ import annotations

from prefect import flow, get_client
from prefect.artifacts import acreate_markdown_artifact
from prefect.runtime import flow_run

from aks_postgres.flows._environment import start_environment
from aks_postgres.flows.plan import make_view
from aks_postgres.reports.journal import Journal, use_journal
from aks_postgres.reports.outputs import (
    CheckedTarget,
    EnvironmentOutputs,
)
from aks_postgres.runs.one_writer import IfAnotherRun, one_writer
from aks_postgres.runs.plan_moves import refuse_moved
from aks_postgres.runs.run_name import environment_in, run_name
from aks_postgres.runs.session import run_session
from aks_postgres.runs.signals import cancelled_by_a_person
from aks_postgres.runs.steps import Step, Steps
from aks_postgres.runs.summary import summary
from aks_postgres.runs.timeline import bars, show_timeline, timeline_picture, timeline_table
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import environment_key

_NAME = environment_in("provision")


@flow(flow_run_name=run_name(_NAME))
@cancelled_by_a_person
async def provision(
    spec: EnvironmentSpec, if_another_run: IfAnotherRun = "wait", approved_plan: str | None = None
) -> EnvironmentOutputs:
    """Create one environment; run again, it changes only what differs, and a finished one not at all.

    It never deletes: an unfinished tear-down is a refusal that says how to finish it.

    Guide: Create infrastructure, and Deploy, "Install the CloudNativePG operator ...".

    Args:
        spec: the environment wanted.
        if_another_run: wait for another run that is writing to this environment, or refuse, naming it.
        approved_plan: the digest of the plan that was looked at; if another one would be carried out now, the run is
            refused.

    Returns:
        IDs, names and endpoints of everything that is there, and what this run changed.

    Raises:
        EnvironmentBusy: another run is writing to the environment.
        PreflightFailed: problems found before the first write, all at once.
        PlanMoved: something else than `approved_plan` would be done; nothing was written.
        ProvisioningError: the first step that failed; running again continues.
    """
    async with run_session(spec, command="provision") as run, one_writer(run.azure, spec, if_another_run):
        if approved_plan:
            with use_journal(Journal(), in_charge=True):  # looking again is no step of this run
                refuse_moved(await make_view(spec), approved_plan)
        return await make_environment(spec, run.journal)


async def make_environment(
    spec: EnvironmentSpec, journal: Journal, generation: int | None = None
) -> EnvironmentOutputs:
    """Carry out every step, and leave the summary and the timeline as artifacts of the run.

    Args:
        spec: the environment wanted.
        journal: the run's.
        generation: which one to work on; unset, the live one, or the next where there is none.
    """
    steps = Steps()
    try:
        async with steps:
            started = start_environment(steps, spec, generation=generation)
            await _name_run(spec, started.target)
    except Exception:
        await show_timeline(spec, bars(journal, steps.edges))
        raise
    outputs = await started.outputs()
    timeline = bars(journal, steps.edges)
    await show_timeline(spec, timeline)
    await acreate_markdown_artifact(
        summary(spec, outputs, journal.events, timeline_table(timeline), timeline_picture(spec, timeline)),
        key=f"environment-{environment_key(spec)}",
        description=f"Environment {spec.name} in {spec.region}",
    )
    return outputs


async def read_outputs(spec: EnvironmentSpec) -> EnvironmentOutputs:
    """Return what `provision` would return for a finished environment, by reading only; no Prefect run is made.

    Args:
        spec: the environment, as it was provisioned.

    Raises:
        WouldWrite: the environment isn't finished, or differs from the spec; says where.
    """
    async with run_session(spec, read_only=True):
        async with Steps(recorded=False) as steps:
            started = start_environment(steps, spec)
        return await started.outputs()


async def _name_run(spec: EnvironmentSpec, target: Step[CheckedTarget]) -> None:
    """Put the subscription's name into the run's; it isn't known before the preflight."""
    if (await target.state()).is_completed():
        subscription = (await target.result()).subscription_name
        # A name that a person typed stays.
        if flow_run.name == _NAME(spec):
            async with get_client() as client:
                await client.update_flow_run(flow_run.id, name=f"{flow_run.name}, {subscription}")
