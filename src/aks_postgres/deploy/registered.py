"""What the Prefect server has of us: the work pools, and deployments that prefect.yaml no longer has."""

from __future__ import annotations

from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from aks_postgres.deploy.work_pools import POOLS, Identity, PoolType, base_job_template
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.spec.names import PRODUCT

# Prefect's services without which a run is lost and nobody hears of it, with what each is for.
SERVICES = {
    "scheduler": "schedules make no runs",
    "late_runs": "a run that no worker takes is never late",
    "triggers": "automations never act",
    "task_run_recorder": "runs show no steps",
    "pause_expirations": "an approval never expires",
    "cancellation_cleanup": "a cancelling without its process never ends",
    "repossessor": "a concurrency slot that a dead run held is never free again",
}


async def missing_services(client: PrefectClient) -> list[str]:
    """Return what the server was told not to do, a line each with the variable that says so.

    A server whose services are a process of their own says what its settings say; Prefect Cloud says nothing.
    """
    try:
        answer = await client.request("GET", "/admin/settings")
    except PrefectHTTPStatusError as error:
        if error.response.status_code == 404:
            return []
        raise
    services = answer.json().get("server", {}).get("services", {})
    return [
        f"{why}: set PREFECT_SERVER_SERVICES_{name.upper()}_ENABLED=true on the server"
        for name, why in SERVICES.items()
        if services.get(name, {}).get("enabled") is False
    ]


async def ensure_work_pool(
    client: PrefectClient, identity: Identity, pool_type: PoolType | None = None
) -> tuple[WorkPool, str]:
    """A work pool, and whether it was `created`, `updated` or `unchanged`.

    Args:
        client: of the server.
        identity: whose pool.
        pool_type: None leaves a pool that is there as it is, and makes a new one of type process. With a type, a
            pool of that type gets our template, whatever it had.

    Raises:
        CommandFailed: the pool is of another type, which Prefect can't change.
    """
    name = POOLS[identity]
    try:
        live = await client.read_work_pool(name)
    except ObjectNotFound:
        made = pool_type or "process"
        template = base_job_template(made, identity)
        return await client.create_work_pool(
            WorkPoolCreate(name=name, type=made, base_job_template=template)
        ), "created"
    if pool_type is None:
        return live, "unchanged"
    if live.type != pool_type:
        raise CommandFailed(
            f"work pool {name}: it is of type {live.type}, {pool_type} was given, and Prefect can't change that. "
            "Delete it, or leave --type out",
            ExitCode.BAD_INPUT,
        )
    template = base_job_template(pool_type, identity)
    if live.base_job_template == template:
        return live, "unchanged"
    await client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))
    return await client.read_work_pool(name), "updated"


async def compare(
    client: PrefectClient, wanted: dict[str, dict[str, Any]]
) -> dict[str, tuple[str, str] | None]:
    """Return how the server's deployments differ from a prefect.yaml's, by name; None where they don't.

    The word is `missing`, `differs` or `left over`, and what follows it says in what.

    Args:
        client: of the server.
        wanted: the deployments, by name.
    """
    live = await _ours(client)
    found: dict[str, tuple[str, str] | None] = {}
    for name, deployment in wanted.items():
        if name not in live:
            found[name] = ("missing", "")
            continue
        parts = _differing(live[name], deployment)
        found[name] = ("differs", f": {', '.join(parts)}") if parts else None
    for name in sorted(live.keys() - wanted.keys()):
        found[name] = ("left over", ", which the regions file no longer has")
    return found


def _differing(live: DeploymentResponse, wanted: dict[str, Any]) -> list[str]:
    """The parts in which a registered deployment isn't what is wanted, with old and new where that helps."""
    pairs: dict[str, tuple[Any, Any]] = {
        "entrypoint": (live.entrypoint, wanted["entrypoint"]),
        "work pool": (live.work_pool_name, wanted["work_pool"]["name"]),
        "pull steps": (live.pull_steps or [], []),
        "parameters": (live.parameters, wanted["parameters"]),
        "tags": (sorted(live.tags), sorted(wanted["tags"])),
        "description": (live.description, wanted["description"]),
        "schedules": (
            {
                item.slug: (
                    getattr(item.schedule, "cron", None),
                    getattr(item.schedule, "timezone", None),
                    item.active,
                    item.parameters or {},
                )
                for item in live.schedules
            },
            {
                item["slug"]: (item["cron"], item["timezone"], item["active"], item.get("parameters", {}))
                for item in wanted.get("schedules", [])
            },
        ),
    }
    if "form" in wanted:
        pairs["form"] = (live.parameter_openapi_schema, wanted["form"])
    shown = ("entrypoint", "work pool")
    return [
        f"{part} {was} -> {now}" if part in shown else part
        for part, (was, now) in pairs.items()
        if was != now
    ] + [f"schedule {slug} is off on the server" for slug in switched_off(wanted, live)]


async def set_forms(client: PrefectClient, wanted: dict[str, dict[str, Any]]) -> None:
    """Give deployments that are registered their forms, and values for all that these require.

    Args:
        client: of the server.
        wanted: the deployments, by name, with their forms.
    """
    for name, deployment in wanted.items():
        live = await client.read_deployment_by_name(name)
        update = DeploymentUpdate(
            parameters=deployment["parameters"], parameter_openapi_schema=deployment["form"]
        )
        await client.update_deployment(live.id, update)


async def left_over(client: PrefectClient, names: set[str]) -> dict[str, DeploymentResponse]:
    """Deployments with our tag on our work pools that aren't among these names, by name.

    `prefect deploy` registers what a file has and never takes away what it no longer has.

    Args:
        client: of the server.
        names: what prefect.yaml has, such as provision/canadacentral.
    """
    return {name: deployment for name, deployment in (await _ours(client)).items() if name not in names}


async def _ours(client: PrefectClient) -> dict[str, DeploymentResponse]:
    """Deployments with our tag on our work pools, by name."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[PRODUCT]))
    found: dict[str, DeploymentResponse] = {}
    # A server answers with 200 at most.
    while page := await client.read_deployments(deployment_filter=ours, limit=200, offset=len(found)):
        for deployment in page:
            flow = await client.read_flow(deployment.flow_id)
            found[f"{flow.name}/{deployment.name}"] = deployment
    return {
        name: deployment for name, deployment in found.items() if deployment.work_pool_name in POOLS.values()
    }


def switched_off(wanted: dict[str, Any], live: DeploymentResponse) -> list[str]:
    """Schedules that the file has on and that make no runs: nothing late comes of them, so no automation tells."""
    on = [schedule["slug"] for schedule in wanted.get("schedules", []) if schedule["active"]]
    active = {schedule.slug for schedule in live.schedules if schedule.active}
    return on if live.paused else [slug for slug in on if slug not in active]
