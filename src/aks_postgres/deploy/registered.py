"""What the Prefect server has of us: the work pool, and deployments that prefect.yaml no longer has."""

from __future__ import annotations

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from aks_postgres.deploy.rendering import WORK_POOL
from aks_postgres.spec.names import PRODUCT


async def ensure_work_pool(client: PrefectClient) -> tuple[WorkPool, str]:
    """The work pool, and whether it was `created` or `unchanged`: one that is there keeps its type and settings."""
    try:
        return await client.read_work_pool(WORK_POOL), "unchanged"
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        wanted = WorkPoolCreate(name=WORK_POOL, type="process", base_job_template=template)
        return await client.create_work_pool(wanted), "created"


async def left_over(client: PrefectClient, names: set[str]) -> dict[str, DeploymentResponse]:
    """Deployments with our tag on our work pool that aren't among these names, by name.

    `prefect deploy` registers what a file has and never takes away what it no longer has.

    Args:
        client: of the server.
        names: what prefect.yaml has, such as provision/canadacentral.
    """
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[PRODUCT]))
    found: dict[str, DeploymentResponse] = {}
    # A server answers with 200 at most.
    while page := await client.read_deployments(deployment_filter=ours, limit=200, offset=len(found)):
        for deployment in page:
            flow = await client.read_flow(deployment.flow_id)
            found[f"{flow.name}/{deployment.name}"] = deployment
    return {
        name: deployment
        for name, deployment in found.items()
        if name not in names and deployment.work_pool_name == WORK_POOL
    }
