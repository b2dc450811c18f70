"""The database that is there, compared with the spec before anything is written."""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import state_of
from aks_postgres.arm.responses import ArmFault, Json
from aks_postgres.database.limits import impossible
from aks_postgres.database.objects import POSTGRES_API, postgres_cluster
from aks_postgres.errors import ProvisioningError
from aks_postgres.kubernetes.client import kubernetes_api, object_problem
from aks_postgres.kubernetes.power_state import is_stopped
from aks_postgres.preflight.findings import FINE, Findings, problem, warning
from aks_postgres.reports.outputs import Target
from aks_postgres.spec.environment import EnvironmentSpec


async def judge_database(
    azure: Azure, spec: EnvironmentSpec, target: Target, cluster: Json | None
) -> Findings:
    """Return whether the live Postgres cluster can become what the spec wants; asked once.

    What can't be asked now is told, and refused by the step itself, before it writes.

    Args:
        azure: the run's connection.
        spec: the environment wanted.
        target: the generation.
        cluster: the AKS cluster as ARM shows it; None when there is none.
    """
    if spec.database is None or cluster is None or is_stopped(cluster):
        return FINE
    if state_of(cluster).casefold() in ("creating", "deleting"):
        return FINE
    names, namespace = target.names, spec.namespaces.database
    path = f"/apis/{POSTGRES_API}/namespaces/{namespace}/clusters/{names.postgres_cluster}"
    try:
        async with kubernetes_api(azure, names.resource_group, names.cluster) as api:
            live = await api.request("GET", path)
    except (ArmFault, ProvisioningError) as error:
        return warning(
            "database", f"what is there wasn't compared with it: {str(error).partition(chr(10))[0]}"
        )
    if object_problem(live, path):
        return FINE
    findings = FINE
    for found in impossible(live, postgres_cluster(spec, target, "", "")):
        findings += problem(
            found.field,
            f"{found.new} is wanted, and the Postgres cluster {names.postgres_cluster} has {found.old}; that can't be "
            "changed in place.",
            "Set it back, or make another cluster (another database.name) and move the data.",
        )
    return findings
