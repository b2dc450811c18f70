"""The guide "Deploy a highly available PostgreSQL database on AKS", on an environment that is there.

https://learn.microsoft.com/azure/aks/deploy-postgresql-ha
"""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact

from aks_postgres.arm.errors import WouldWrite
from aks_postgres.flows._database import Foundation, start_database
from aks_postgres.flows._environment import start_environment
from aks_postgres.flows._errors import NotThere
from aks_postgres.reports.outputs import DatabaseOutputs
from aks_postgres.runs.one_writer import IfAnotherRun, one_writer
from aks_postgres.runs.session import run_session
from aks_postgres.runs.signals import cancelled_by_a_person
from aks_postgres.runs.steps import Steps
from aks_postgres.runs.summary import database_lines
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import environment_key
from aks_postgres.spec.problems import SpecError, SpecProblem
from aks_postgres.tasks.database.components import ensure_operator_settings


@flow(flow_run_name="deploy database of {spec.name} in {spec.region}")
@cancelled_by_a_person
async def deploy_database(spec: EnvironmentSpec, if_another_run: IfAnotherRun = "wait") -> DatabaseOutputs:
    """Make the database of a finished environment, or bring it to the spec.

    On Azure it writes the pods' credential and the alert rules; the rest is in the cluster.

    `provision` does the same at its end, and brings the environment to the spec first.

    Guide: Deploy, and Validate, "Set up on-demand and scheduled PostgreSQL backups".

    Args:
        spec: the environment as it was provisioned, with a database.
        if_another_run: wait for another run that is writing to this environment, or refuse, naming it.

    Returns:
        How to connect, where backups are, what is shown and what isn't.

    Raises:
        SpecError: the spec has no database.
        NotThere: the environment isn't finished, or differs from the spec.
        EnvironmentBusy: another run is writing to the environment.
        ProvisioningError: the first step that failed; running again continues.
    """
    if spec.database is None:
        raise SpecError(
            [
                SpecProblem(
                    field="database",
                    given="nothing",
                    allowed="the group is needed, as database: {} for one with all its defaults",
                )
            ]
        )
    async with run_session(spec) as run, one_writer(run.azure, spec, if_another_run):
        on = await _foundation(spec)
        async with Steps() as steps:
            settings = steps.start(ensure_operator_settings, spec, on.cluster, on.namespaces)
            started = start_database(steps, spec, on, after=[settings])
        outputs = await started.outputs()
        await acreate_markdown_artifact(
            database_lines(outputs),
            key=f"database-{environment_key(spec)}",
            description=f"Database of {spec.name} in {spec.region}",
        )
        return outputs


async def _foundation(spec: EnvironmentSpec) -> Foundation:
    """Return what the environment's steps report, by reading only.

    Raises:
        NotThere: one of them would have to write.
    """
    try:
        async with run_session(spec, read_only=True):
            async with Steps(recorded=False) as steps:
                started = start_environment(steps, spec, with_database=False)
            return await started.foundation.done()
    except WouldWrite as unfinished:
        raise NotThere(
            f"{environment_key(spec)} isn't finished, or differs from the spec ({unfinished}). Nothing was written.",
            way_out="Run provision, which makes the database too.",
        ) from None
