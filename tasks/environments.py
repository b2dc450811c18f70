"""Finding every environment that the credential sees, by the tags of the resource groups; two lists, no writes.

REST: https://learn.microsoft.com/rest/api/resources/resource-groups/list,
https://learn.microsoft.com/rest/api/aks/managed-clusters/list
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.responses import Json, wire_items
from aks_postgres.arm.retry import all_ended, read_list
from aks_postgres.preflight.kubernetes_versions import KUBERNETES_END
from aks_postgres.reports.cost import cost_of
from aks_postgres.reports.listing import FoundEnvironment, Pool
from aks_postgres.runs.session import run_session
from aks_postgres.runs.write_lock import HEARTBEAT
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import ENVIRONMENT, GENERATION, MANAGED_BY, PRODUCT, REGION, STATE
from aks_postgres.spec.versions import minor_of


async def find_environments(spec: EnvironmentSpec) -> tuple[FoundEnvironment, ...]:
    """Every environment of the subscription that the spec, or the worker, names."""
    async with run_session(spec, read_only=True) as run:
        return await list_environments(run.azure)


async def list_environments(azure: Azure) -> tuple[FoundEnvironment, ...]:
    """The environments of the subscription, by name, region and generation."""
    groups, clusters = await all_ended(
        [
            read_list("resource groups", lambda: wire_items(azure.resources.resource_groups.list())),
            read_list("AKS clusters", lambda: wire_items(azure.container_service.managed_clusters.list())),
        ]
    )
    return environments_in(groups, clusters, datetime.now(UTC))


def environments_in(
    groups: Iterable[Json], clusters: Iterable[Json], now: datetime
) -> tuple[FoundEnvironment, ...]:
    """The environments among a subscription's groups and clusters.

    Args:
        groups: every resource group.
        clusters: every AKS cluster.
        now: a heartbeat that ended before is nobody's.
    """
    by_group = {str(cluster["id"]).split("/")[4].casefold(): cluster for cluster in clusters}
    ours = [(group, _tags(group)) for group in groups if not group.get("managedBy")]
    ours = [
        (group, tags) for group, tags in ours if tags.get(MANAGED_BY) == PRODUCT and tags.get(ENVIRONMENT)
    ]
    writers = {tags[ENVIRONMENT]: who for _, tags in ours if (who := _writer(tags.get(HEARTBEAT), now))}
    found = [
        _environment(group, tags, by_group.get(str(group["name"]).casefold()), writers)
        for group, tags in ours
        if GENERATION in tags
    ]
    return tuple(sorted(found, key=lambda one: (one.name, one.region, one.generation)))


def _tags(group: Json) -> dict[str, str]:
    return {str(key).casefold(): str(value) for key, value in (group.get("tags") or {}).items()}


def _environment(
    group: Json, tags: Mapping[str, str], cluster: Json | None, writers: Mapping[str, str]
) -> FoundEnvironment:
    key, region = tags[ENVIRONMENT], tags.get(REGION) or str(group.get("location", ""))
    number = tags[GENERATION]
    properties = (cluster or {}).get("properties") or {}
    pools = tuple(_pool(profile) for profile in properties.get("agentPoolProfiles") or [])
    tier = ((cluster or {}).get("sku") or {}).get("tier")
    low, high = _cost(region, tier, properties.get("agentPoolProfiles") or [])
    version = properties.get("currentKubernetesVersion") or properties.get("kubernetesVersion")
    ends = KUBERNETES_END.get(minor_of(version)) if version else None
    created = ((cluster or {}).get("systemData") or {}).get("createdAt")
    return FoundEnvironment(
        name=key.removesuffix(f"-{region}"),
        region=region,
        generation=int(number) if number.isdecimal() else 0,
        state=tags.get(STATE, ""),
        resource_group=str(group["name"]),
        cluster=str(cluster["name"]) if cluster else None,
        cluster_state=properties.get("provisioningState"),
        power=(properties.get("powerState") or {}).get("code"),
        kubernetes_version=version,
        support_ends=ends.day if ends else None,
        tier=tier,
        created=created,
        pools=pools,
        writer=writers.get(key),
        cost_low_usd=low,
        cost_high_usd=high,
    )


def _pool(live: Json) -> Pool:
    return Pool(
        name=str(live.get("name")),
        state=str(live.get("provisioningState") or "Succeeded"),
        nodes=live.get("count"),
        vm_size=str(live.get("vmSize")),
    )


def _cost(region: str, tier: Any, pools: Iterable[Json]) -> tuple[float | None, float | None]:
    """Return what the pools that are there cost a day, with the rest by the defaults; None for what no spec can say."""
    given: dict[str, Any] = {"region": region, "cluster": {"tier": tier or "Standard"}}
    for pool in pools:
        field = "system_pool" if pool.get("mode") == "System" else "postgres_pool"
        given[field] = {
            "name": pool.get("name"),
            "vm_size": pool.get("vmSize"),
            "min_count": pool.get("minCount"),
            "max_count": pool.get("maxCount"),
        }
    if not {"system_pool", "postgres_pool"} <= set(given):
        return None, None
    try:
        cost = cost_of(EnvironmentSpec.model_validate(given))
    except ValueError:
        return None, None
    return cost.low_usd, cost.high_usd


def _writer(heartbeat: str | None, now: datetime) -> str | None:
    """The run that is writing by the heartbeat's tag (`<guid> <until> <who>`), unless it is overdue."""
    parts = (heartbeat or "").split(" ", 2)
    try:
        until = datetime.fromisoformat(parts[1])
    except (IndexError, ValueError):
        return None
    if until.tzinfo is None or until < now:
        return None
    return parts[2] if len(parts) > 2 else "a run"
