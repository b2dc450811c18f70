"""Guide: Create infrastructure, "Before you begin" and "Set environment variables" - everything that can be known first.

Reads only: who we are, what the environment is called, which generation of it lives, and whether Azure would take
what the spec asks for. All problems come at once, before anything is written. Deciding is in the `_` modules beside
this one. Not done here: registering resource providers (`tasks/providers.py`).
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar

from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest

from cloud.answers import Answer, Json, answer_of, wire_items
from cloud.calls import persistently, read, read_list, read_path, send
from cloud.credentials import caller
from cloud.egress import EgressUnknown, egress_address
from cloud.errors import AzureRefused, PermanentError, PreflightFailed
from cloud.session import cloud
from environment.journal import journal
from environment.names import Names, is_ours
from environment.outputs import Place
from environment.spec import EnvironmentSpec
from tasks._access import access, needs_worker_address
from tasks._generation import find_generation
from tasks._kubernetes_version import choose_version, judge_ends, offered_versions, unasked_version
from tasks._policy import arm_task
from tasks._regions import REGIONAL_TYPES, ZONE_REDUNDANT_GRAFANA, ZONE_REDUNDANT_GRAFANA_READ
from tasks._requirements import PROVIDERS, judge_permissions, missing_providers
from tasks._verdict import FINE, Verdict, problem, warning
from tasks._vm_sizes import judge_quota, judge_sizes, live_pools, vm_sizes

T = TypeVar("T")

_SUBSCRIPTIONS = "2022-12-01"
_PERMISSIONS = "2022-04-01"
_COMPUTE_SKUS = "2021-07-01"
_COMPUTE_USAGES = "2024-07-01"
# The cluster's outbound address and the one that PostgreSQL is reached at.
_ADDRESSES_PER_ENVIRONMENT = 2


@arm_task("preflight {spec.name} in {spec.region}")
async def preflight(spec: EnvironmentSpec) -> Place:
    """Find out where the environment goes, and everything that would stop it; write nothing.

    Guide: Create infrastructure, "Before you begin", "Set environment variables", and the address lookup of "Create
    the AKS cluster ..." (dig).
    REST: https://learn.microsoft.com/rest/api/resources/resource-groups/list,
    https://learn.microsoft.com/rest/api/authorization/permissions, https://learn.microsoft.com/rest/api/compute/resource-skus,
    https://learn.microsoft.com/rest/api/aks/managed-clusters/list-kubernetes-versions,
    https://learn.microsoft.com/rest/api/storagerp/storage-accounts/check-name-availability

    Args:
        spec: the environment wanted.

    Returns:
        Names, generation, Kubernetes version, authorized ranges, unregistered providers, and warnings.

    Raises:
        PreflightFailed: with every problem found, each under the spec field to change.
        TemporaryError: Azure couldn't be asked for now.
    """
    subscription_id = cloud().subscription_id
    subscription = await _subscription(subscription_id)
    object_id, tenant_id, caller_type = await caller(cloud().credential, cloud().endpoint)

    async with _together() as together:
        asking_groups = together.create_task(_asked(_groups(), []))
        asking_deleted = together.create_task(_asked(_deleted_workspaces(), []))
        asking_providers = together.create_task(_asked(_providers(), []))
        asking_permissions = together.create_task(_asked(_permissions(subscription_id), None))
        asking_locations = together.create_task(_asked(_locations(subscription_id), []))
        asking_address = together.create_task(_worker_address(spec))
    groups, verdict = asking_groups.result()
    deleted, _ = asking_deleted.result()
    providers, more = asking_providers.result()
    verdict += more
    unregistered = missing_providers(providers)
    permissions, more = asking_permissions.result()
    verdict += more
    if permissions is not None:
        who = f"the caller ({caller_type} {object_id})"
        verdict += judge_permissions(who, f"/subscriptions/{subscription_id}", permissions, unregistered)
    locations, more = asking_locations.result()
    verdict += more + judge_region(spec, locations, providers)
    address, more = asking_address.result()
    ranges, worker_address, wrong = access(spec.network, address)
    verdict += more + wrong
    generation, more = find_generation(spec, subscription_id, groups, deleted)
    verdict += more
    names = generation.names
    if not any(location["name"] == spec.region for location in locations):
        raise PreflightFailed(verdict.problems)  # nothing else can be asked of a region that isn't there

    cluster = await _cluster(names) if generation.exists else None
    async with _together() as together:
        asking_versions = together.create_task(_asked(_kubernetes_versions(spec.region), None))
        asking_sizes = together.create_task(_asked(_compute_skus(subscription_id, spec.region), None))
        asking_vcpus = together.create_task(_asked(_compute_usages(subscription_id, spec.region), []))
        asking_addresses = together.create_task(_asked(_network_usages(spec.region), []))
        asking_storage = together.create_task(_asked(_storage_skus(), None))
        asking_account = together.create_task(_asked(_storage_name(names), None))
        asking_grafana = together.create_task(_has_grafana(spec, names))
    versions, more = asking_versions.result()
    verdict += more
    if versions is None:
        kubernetes_version = unasked_version(spec)
    else:
        live = (cluster or {}).get("properties") or {}
        kubernetes_version, more = choose_version(
            spec,
            offered_versions(versions),
            live.get("kubernetesVersion"),
            live.get("currentKubernetesVersion"),
        )
        verdict += more + judge_ends(spec, kubernetes_version, datetime.now(UTC).date())
    skus, more = asking_sizes.result()
    usages, more_usages = asking_vcpus.result()
    verdict += more + more_usages
    if skus is not None:
        sizes = vm_sizes(skus, spec.region)
        verdict += judge_sizes(spec, sizes) + judge_quota(spec, sizes, usages, live_pools(cluster))
    addresses, more = asking_addresses.result()
    verdict += more + judge_addresses(spec, addresses, has_cluster=cluster is not None)
    storage_skus, more = asking_storage.result()
    verdict += more
    if storage_skus is not None:
        verdict += judge_storage_sku(spec, storage_skus)
    storage_name, more = asking_account.result()
    verdict += more
    if storage_name is not None:
        verdict += judge_storage_name(spec, names, *storage_name)
    verdict += judge_grafana(spec, has_own=asking_grafana.result()) + judge_admins(spec, caller_type)

    if verdict.problems:
        raise PreflightFailed(verdict.problems)
    for text in verdict.warnings:
        journal().note(text)
    return Place(
        subscription_id=subscription_id,
        subscription_name=str(subscription.get("displayName", "")),
        tenant_id=tenant_id,
        caller_object_id=object_id,
        caller_type="User" if caller_type == "User" else "ServicePrincipal",
        generation=generation.number,
        names=names,
        kubernetes_version=kubernetes_version,
        authorized_ip_ranges=ranges,
        worker_address=worker_address,
        missing_providers=unregistered,
        warnings=verdict.warnings,
    )


# --- asking -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _together() -> AsyncIterator[asyncio.TaskGroup]:
    """Reads at the same time; the first error ends them all, as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _asked(asking: Awaitable[T], otherwise: T) -> tuple[T, Verdict]:
    """The answer; where Azure refuses to give it, `otherwise` and a problem that says so."""
    try:
        return await asking, FINE
    except AzureRefused as refused:
        if refused.code == "MissingSubscriptionRegistration":
            # Registered later in this run; Azure checks the rest itself then.
            return otherwise, Verdict(warnings=(f"not checked before its provider is registered: {refused}",))
        return otherwise, Verdict(problems=(str(refused),))


async def _get(label: str, path_or_url: str, api_version: str | None = None, **query: str) -> Json:
    """Read what no SDK client of ours has an operation for."""
    url = path_or_url if path_or_url.startswith("https://") else f"{cloud().endpoint}{path_or_url}"
    params = {f"${key}": value for key, value in query.items()}
    if api_version:
        params["api-version"] = api_version

    async def once() -> Answer:
        response = await cloud().resources.send_request(HttpRequest("GET", url, params=params))
        if response.status_code != 200:
            raise HttpResponseError(response=response)
        return answer_of(response)

    return (await read_path(label, once)).body


async def _listed(label: str, path: str, api_version: str, **query: str) -> list[Json]:
    """All pages of a listing."""
    page = await _get(label, path, api_version, **query)
    found = list(page.get("value") or [])
    while url := page.get("nextLink"):
        page = await _get(label, str(url))
        found += page.get("value") or []
    return found


async def _subscription(subscription_id: str) -> Json:
    """The subscription, if the credential sees it and it takes writes."""
    path = f"/subscriptions/{subscription_id}"
    try:
        found = await _get(f"subscription {subscription_id}", path, _SUBSCRIPTIONS)
    except AzureRefused as refused:
        raise PreflightFailed(
            [
                f"subscription_id: {subscription_id} was given and this credential "
                f"({cloud().credential.source}) can't see it: {refused}"
            ]
        ) from refused
    state = str(found.get("state", "Enabled"))
    if state not in ("Enabled", "PastDue"):
        raise PreflightFailed(
            [
                f"subscription_id: {subscription_id} ({found.get('displayName')}) is {state} and takes no writes; "
                "have it enabled, or choose another subscription."
            ]
        )
    return found


async def _groups() -> list[Json]:
    groups = cloud().resources.resource_groups
    return await read_list("resource groups", lambda: wire_items(groups.list()))


async def _deleted_workspaces() -> list[str]:
    workspaces = cloud().log_analytics.deleted_workspaces
    found = await read_list("deleted Log Analytics workspaces", lambda: wire_items(workspaces.list()))
    return [str(workspace["name"]) for workspace in found if workspace.get("name")]


async def _providers() -> list[Json]:
    operations = cloud().resources.providers

    async def one(namespace: str) -> Json:
        found = await read(f"resource provider {namespace}", operations.get, namespace)
        return {**(found or {}), "namespace": namespace}

    return list(await asyncio.gather(*map(one, PROVIDERS)))


async def _permissions(subscription_id: str) -> list[Json]:
    path = f"/subscriptions/{subscription_id}/providers/Microsoft.Authorization/permissions"
    return await _listed("the caller's permissions", path, _PERMISSIONS)


async def _locations(subscription_id: str) -> list[Json]:
    return await _listed("regions", f"/subscriptions/{subscription_id}/locations", _SUBSCRIPTIONS)


async def _worker_address(spec: EnvironmentSpec) -> tuple[str | None, Verdict]:
    if not needs_worker_address(spec.network):
        return None, FINE
    if spec.network.worker_address:
        return spec.network.worker_address, FINE
    try:
        return await egress_address(), FINE
    except EgressUnknown as unknown:
        return None, problem(
            "network.worker_address",
            f"unset, and this worker's egress address couldn't be found: {unknown}. Set network.worker_address, or give "
            "network.authorized_ip_ranges and network.add_worker_address: false.",
        )


async def _cluster(names: Names) -> Json | None:
    clusters = cloud().container_service.managed_clusters
    try:
        return await read(f"AKS cluster {names.cluster}", clusters.get, names.resource_group, names.cluster)
    except AzureRefused as refused:
        if refused.code == "MissingSubscriptionRegistration":
            return None
        raise


async def _kubernetes_versions(region: str) -> Json | None:
    clusters = cloud().container_service.managed_clusters
    answer: Answer = await persistently(
        f"Kubernetes versions of {region}", lambda: send(clusters.list_kubernetes_versions, region)
    )
    return answer.body


async def _compute_skus(subscription_id: str, region: str) -> list[Json] | None:
    path = f"/subscriptions/{subscription_id}/providers/Microsoft.Compute/skus"
    return await _listed(f"VM sizes of {region}", path, _COMPUTE_SKUS, filter=f"location eq '{region}'")


async def _compute_usages(subscription_id: str, region: str) -> list[Json]:
    path = f"/subscriptions/{subscription_id}/providers/Microsoft.Compute/locations/{region}/usages"
    return await _listed(f"vCPU quota of {region}", path, _COMPUTE_USAGES)


async def _network_usages(region: str) -> list[Json]:
    usages = cloud().network.usages
    return await read_list(f"network quota of {region}", lambda: wire_items(usages.list(region)))


async def _storage_skus() -> list[Json] | None:
    skus = cloud().storage.skus
    return await read_list("storage SKUs", lambda: wire_items(skus.list()))


async def _storage_name(names: Names) -> tuple[Json, Json | None] | None:
    """Whether the storage account's name is free, and the account if it is in the group for backups."""
    accounts, name = cloud().storage.storage_accounts, names.storage_account
    body = json.dumps({"name": name, "type": "Microsoft.Storage/storageAccounts"}).encode()
    free = await persistently(
        f"storage account name {name}", lambda: send(accounts.check_name_availability, body)
    )
    live = None
    if not free.body.get("nameAvailable"):
        live = await read(f"storage account {name}", accounts.get_properties, names.backup_group, name)
    return free.body, live


async def _has_grafana(spec: EnvironmentSpec, names: Names) -> bool:
    """Whether the environment's Grafana is there; asked only where its region would stop a new one."""
    if not spec.monitoring.grafana_zone_redundancy or spec.region in ZONE_REDUNDANT_GRAFANA:
        return False
    grafana = cloud().dashboard.grafana
    try:
        return (
            await read(f"Managed Grafana {names.grafana}", grafana.get, names.resource_group, names.grafana)
            is not None
        )
    except PermanentError:
        return False


# --- judging ------------------------------------------------------------------------------------------------------


def judge_region(spec: EnvironmentSpec, locations: Sequence[Json], providers: Sequence[Json]) -> Verdict:
    """Whether the region exists for this subscription and has every service."""
    shown = {str(location["name"]): str(location.get("displayName", "")) for location in locations}
    if spec.region not in shown:
        close = difflib.get_close_matches(spec.region, shown, n=4, cutoff=0.5) or sorted(shown)[:8]
        return problem(
            "region",
            f"{spec.region} was given and the subscription has no such region; did you mean {', '.join(close)}?",
        )
    verdict = FINE
    offered = {
        f"{provider['namespace']}/{kind.get('resourceType')}".casefold(): [
            str(place).replace(" ", "").casefold() for place in kind.get("locations") or []
        ]
        for provider in providers
        for kind in provider.get("resourceTypes") or []
    }
    names = {spec.region, shown[spec.region].replace(" ", "").casefold()}
    for kind in REGIONAL_TYPES:
        places = offered.get(kind.casefold())
        if places and not names & set(places):
            verdict += problem("region", f"{spec.region} was given and has no {kind}; choose another region.")
    return verdict


def judge_storage_sku(spec: EnvironmentSpec, skus: Sequence[Json]) -> Verdict:
    """Whether the region has the storage redundancy wanted."""
    here = sorted(
        {
            str(sku["name"])
            for sku in skus
            if sku.get("resourceType") == "storageAccounts"
            and sku.get("kind") == "StorageV2"
            and spec.region in [str(place).casefold() for place in sku.get("locations") or []]
            and not any(
                restriction.get("type") == "location"
                for restriction in map(_folded, sku.get("restrictions") or [])
            )
        }
    )
    if spec.storage.sku in here:
        return FINE
    return problem(
        "storage.sku",
        f"{spec.storage.sku} was given and {spec.region} offers {', '.join(here) or 'none'}. Choose one of these, or "
        "another region.",
    )


def _folded(restriction: Json) -> Json:
    return {**restriction, "type": str(restriction.get("type", "")).casefold()}


def judge_storage_name(spec: EnvironmentSpec, names: Names, availability: Json, live: Json | None) -> Verdict:
    """Whether the storage account's name is free or taken by our own account."""
    if availability.get("nameAvailable"):
        return FINE
    name, group = names.storage_account, names.backup_group
    if live is None:
        return problem(
            "suffix",
            f"the storage account name {name} is taken and no such account is in {group}: "
            f"{availability.get('message') or availability.get('reason')} Set another suffix.",
        )
    if is_ours(live.get("tags"), spec) or spec.adopt == group:
        return FINE
    return problem(
        "adopt",
        f"the storage account {name} in {group} lacks this environment's tags, so it isn't ours to change. If it is "
        f"yours, set adopt: {group}; otherwise set another suffix.",
    )


def judge_grafana(spec: EnvironmentSpec, *, has_own: bool) -> Verdict:
    """Whether a new Grafana can be spread over zones."""
    if not spec.monitoring.grafana_zone_redundancy or spec.region in ZONE_REDUNDANT_GRAFANA or has_own:
        return FINE
    return problem(
        "monitoring.grafana_zone_redundancy",
        f"true was given and {spec.region} has no zone-redundant Grafana (as of {ZONE_REDUNDANT_GRAFANA_READ} these have "
        f"it: {', '.join(sorted(ZONE_REDUNDANT_GRAFANA))}). Set it to false, or choose another region.",
    )


def judge_addresses(spec: EnvironmentSpec, usages: Sequence[Json], *, has_cluster: bool) -> Verdict:
    """Whether the quota has room for the environment's public IP addresses."""
    if has_cluster:
        return FINE
    for usage in usages:
        name = str((usage.get("name") or {}).get("value", ""))
        free = int(usage.get("limit", 0)) - int(usage.get("currentValue", 0))
        if (
            name.casefold() in ("publicipaddresses", "standardskupublicipaddresses")
            and free < _ADDRESSES_PER_ENVIRONMENT
        ):
            return problem(
                "region",
                f"{_ADDRESSES_PER_ENVIRONMENT} public IP addresses are needed in {spec.region} and {max(0, free)} can be had "
                f"(quota {usage.get('limit')}). Ask for more quota (https://aka.ms/AzureQuota), or choose another region.",
            )
    return FINE


def judge_admins(spec: EnvironmentSpec, caller_type: str) -> Verdict:
    """Whether a person will be able to administer Grafana."""
    if caller_type == "User" or spec.monitoring.grafana_admins:
        return FINE
    return warning(
        "monitoring.grafana_admins",
        "empty, and the run's identity is no person, so nobody will see the dashboards; give object IDs of people or "
        "groups.",
    )
