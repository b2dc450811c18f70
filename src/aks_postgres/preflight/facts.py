"""What the preflight asks Azure. Reads only; POST checkNameAvailability is a read too.

Facts are ARM's JSON as it came; None where Azure wouldn't tell, which is then in `refused`. Judging them is
done in the modules beside this one, without a network.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import AzureRefused
from aks_postgres.arm.responses import Answer, ArmFault, Json, Turned, listing, wire_items
from aks_postgres.arm.retry import read, read_list, read_path, refusal, send, with_retries
from aks_postgres.errors import Finding
from aks_postgres.preflight.findings import FINE, Findings
from aks_postgres.preflight.permissions import PROVIDERS
from aks_postgres.resources import storage_account
from aks_postgres.spec.names import Names

T = TypeVar("T")

# The second is Microsoft.Network's own: https://github.com/MicrosoftDocs/azure-docs/issues/38591
_NOT_REGISTERED = ("MissingSubscriptionRegistration", "SubscriptionNotRegistered")

_SUBSCRIPTIONS = "2022-12-01"
PERMISSIONS_VERSION = "2022-04-01"
_COMPUTE_SKUS = "2021-07-01"
_COMPUTE_USAGES = "2024-07-01"
# As the SDK's default; its package takes half a second to import.
_NETWORK_USAGES = "2026-03-01"


@dataclass(frozen=True)
class SubscriptionFacts:
    """What holds for the whole subscription."""

    groups: list[Json]
    deleted_workspaces: list[str]
    providers: list[Json]
    permissions: list[Json] | None
    locations: list[Json] | None
    refused: Findings


@dataclass(frozen=True)
class RegionFacts:
    """What holds for the environment's region and for what it has there already."""

    cluster: Json | None
    beside: tuple[Json, ...]
    has_grafana: bool
    storage_name: Json | None
    storage_account: Json | None
    storage_skus: list[Json] | None
    kubernetes_versions: Json | None
    compute_skus: list[Json] | None
    compute_usages: list[Json] | None
    network_usages: list[Json] | None
    refused: Findings


async def ask_subscription(azure: Azure, subscription_id: str) -> SubscriptionFacts:
    """Ask what holds for the subscription, all at once."""
    asked = _Asked()
    path = f"/subscriptions/{subscription_id}"
    groups, workspaces = azure.resources.resource_groups, azure.log_analytics.deleted_workspaces
    async with together() as group:
        listed = group.create_task(asked(_list("resource groups", lambda: wire_items(groups.list()))))
        deleted = group.create_task(
            asked(_list("deleted Log Analytics workspaces", lambda: wire_items(workspaces.list())))
        )
        providers = group.create_task(asked(_providers(azure)))
        permissions = group.create_task(
            asked(
                pages(
                    azure,
                    "the caller's permissions",
                    f"{path}/providers/Microsoft.Authorization/permissions",
                    PERMISSIONS_VERSION,
                )
            )
        )
        locations = group.create_task(asked(pages(azure, "regions", f"{path}/locations", _SUBSCRIPTIONS)))
    return SubscriptionFacts(
        groups=listed.result() or [],
        deleted_workspaces=[str(workspace["name"]) for workspace in deleted.result() or []],
        providers=providers.result() or [],
        permissions=permissions.result(),
        locations=locations.result(),
        refused=asked.refused,
    )


async def ask_region(
    azure: Azure, subscription_id: str, region: str, names: Names, others: Sequence[Names] = ()
) -> RegionFacts:
    """Ask what holds for the region and the environment's names, all at once."""
    asked = _Asked()
    compute = f"/subscriptions/{subscription_id}/providers/Microsoft.Compute"
    network = f"/subscriptions/{subscription_id}/providers/Microsoft.Network"
    skus = azure.storage.skus
    async with together() as group:
        cluster = group.create_task(asked(_cluster(azure, names)))
        beside = [group.create_task(asked(_cluster(azure, other))) for other in others]
        grafana = group.create_task(asked(_grafana(azure, names)))
        storage = group.create_task(asked(_storage_name(azure, names)))
        storage_skus = group.create_task(asked(_list("storage SKUs", lambda: wire_items(skus.list()))))
        versions = group.create_task(asked(_kubernetes_versions(azure, region)))
        sizes = group.create_task(
            asked(
                pages(
                    azure,
                    f"VM sizes of {region}",
                    f"{compute}/skus",
                    _COMPUTE_SKUS,
                    filter=f"location eq '{region}'",
                )
            )
        )
        vcpus = group.create_task(
            asked(
                pages(
                    azure, f"vCPU quota of {region}", f"{compute}/locations/{region}/usages", _COMPUTE_USAGES
                )
            )
        )
        addresses = group.create_task(
            asked(
                pages(
                    azure,
                    f"network quota of {region}",
                    f"{network}/locations/{region}/usages",
                    _NETWORK_USAGES,
                )
            )
        )
    storage_name, storage_account = storage.result() or (None, None)
    return RegionFacts(
        cluster=cluster.result(),
        beside=tuple(found for task in beside if (found := task.result())),
        has_grafana=grafana.result() is not None,
        storage_name=storage_name,
        storage_account=storage_account,
        storage_skus=storage_skus.result(),
        kubernetes_versions=versions.result(),
        compute_skus=sizes.result(),
        compute_usages=vcpus.result(),
        network_usages=addresses.result(),
        refused=asked.refused,
    )


async def ask_about_subscription(azure: Azure, subscription_id: str) -> Json:
    """The subscription itself.

    Raises:
        AzureRefused: the caller can't see it.
    """
    return await _get(
        azure, f"subscription {subscription_id}", f"/subscriptions/{subscription_id}", _SUBSCRIPTIONS
    )


class _Asked:
    """Waits for an answer; where Azure refuses to give it, None, and a problem for the report."""

    def __init__(self) -> None:
        self.refused = FINE

    async def __call__(self, answer: Awaitable[T]) -> T | None:
        try:
            return await answer
        except AzureRefused as refused:
            # Of a provider that isn't registered there is nothing yet; this run registers it, and the report
            # says which checks that leaves to Azure.
            if refused.code not in _NOT_REGISTERED:
                self.refused += Findings(
                    problems=(Finding(str(refused).removesuffix(refused.way_out).strip(), refused.way_out),)
                )
            return None


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """Reads at the same time; the first error ends them all, as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _list(label: str, fetch: Callable[[], Awaitable[list[Json]]]) -> list[Json]:
    return await read_list(label, fetch)


async def _get(
    azure: Azure, label: str, path_or_url: str, api_version: str | None = None, **query: str
) -> Json:
    """Read what no SDK client of ours has an operation for."""
    return (await read_path(label, lambda: azure.get(path_or_url, api_version, **query))).body


async def pages(azure: Azure, label: str, path: str, api_version: str, **query: str) -> list[Json]:
    """All pages of a listing that no SDK client of ours has."""
    turned = Turned()
    with listing():
        page = await _get(azure, label, path, api_version, **query)
        found = list(page["value"])
        while url := page.get("nextLink"):
            try:
                turned.to(str(url))
            except ArmFault as fault:
                raise refusal(label, fault) from None
            page = await _get(azure, label, str(url))
            found += page["value"]
    return found


async def _providers(azure: Azure) -> list[Json]:
    operations = azure.resources.providers

    async def one(namespace: str) -> Json:
        found = await read(f"resource provider {namespace}", operations.get, namespace)
        return {**(found or {}), "namespace": namespace}

    async with together() as group:
        asking = [group.create_task(one(namespace)) for namespace in PROVIDERS]
    return [each.result() for each in asking]


async def _cluster(azure: Azure, names: Names) -> Json | None:
    clusters = azure.container_service.managed_clusters
    return await read(f"AKS cluster {names.cluster}", clusters.get, names.resource_group, names.cluster)


async def _grafana(azure: Azure, names: Names) -> Json | None:
    grafana = azure.dashboard.grafana
    return await read(f"Managed Grafana {names.grafana}", grafana.get, names.resource_group, names.grafana)


async def _kubernetes_versions(azure: Azure, region: str) -> Json:
    clusters = azure.container_service.managed_clusters
    answer: Answer = await with_retries(
        f"Kubernetes versions of {region}", lambda: send(clusters.list_kubernetes_versions, region)
    )
    return answer.body


async def _storage_name(azure: Azure, names: Names) -> tuple[Json, Json | None]:
    """Return whether the storage account's name is free, and the account if it is in the group for backups."""
    accounts, name = azure.storage.storage_accounts, names.storage_account
    body = json.dumps({"name": name, "type": storage_account.KIND.type}).encode()
    label = f"storage account name {name}"
    answer = await with_retries(label, lambda: send(accounts.check_name_availability, body))
    if answer.body.get("nameAvailable"):
        return answer.body, None
    return answer.body, await read(
        f"storage account {name}", accounts.get_properties, names.backup_group, name
    )
