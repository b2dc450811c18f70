"""Whether the region has what the environment is made of: services, storage, Grafana, public addresses."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from aks_postgres.arm.responses import Json
from aks_postgres.kubernetes.helm import MISSING_EXTRA, WITHOUT_EXTRA
from aks_postgres.preflight.findings import FINE, Findings, problem, warning
from aks_postgres.resources.kinds import regional_types
from aks_postgres.resources.ownership import to_adopt
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names, is_ours

# Named by the service itself in the error ZoneRedundancyNotSupported, February 2026; no API says it:
# https://github.com/MicrosoftDocs/azure-docs/pull/128186
ZONE_REDUNDANT_GRAFANA_AS_OF = "February 2026"
ZONE_REDUNDANT_GRAFANA = frozenset(
    {
        "australiaeast",
        "canadacentral",
        "centralindia",
        "eastasia",
        "eastus",
        "eastus2euap",
        "francecentral",
        "koreacentral",
        "northeurope",
        "norwayeast",
        "southcentralus",
        "uksouth",
        "westus3",
    }
)

# What an environment makes in its region, as ARM names the types.
REGIONAL_TYPES = regional_types()

# The cluster's outbound address, and the one that PostgreSQL is reached at.
ADDRESSES_PER_ENVIRONMENT = 2
_ADDRESS_QUOTAS = ("publicipaddresses", "standardskupublicipaddresses")


def _as_name(region: object) -> str:
    """canadacentral, of Canada Central too."""
    return str(region).replace(" ", "").casefold()


def knows_region(spec: EnvironmentSpec, locations: Sequence[Json]) -> bool:
    """Return whether the subscription has the region."""
    return spec.region in (_as_name(location["name"]) for location in locations)


def judge_region(
    spec: EnvironmentSpec,
    locations: Sequence[Json],
    providers: Sequence[Json],
    types: Sequence[str] = REGIONAL_TYPES,
) -> Findings:
    """Return whether the region exists for this subscription and has every service.

    Args:
        spec: the environment wanted.
        locations: the subscription's regions.
        providers: resource providers with their types, and the regions of each.
        types: those that it must have.
    """
    if not knows_region(spec, locations):
        known = sorted(_as_name(location["name"]) for location in locations)
        close = difflib.get_close_matches(spec.region, known, n=4, cutoff=0.5)
        advice = (
            f"Did you mean {' or '.join(close)}? "
            if close
            else f"There are {', '.join(known[:8])} and more. "
        )
        return problem(
            "region",
            f"{spec.region} was given and the subscription has no such region.",
            f"{advice}az account list-locations lists all.",
        )
    shown = {_as_name(location["name"]): _as_name(location.get("displayName", "")) for location in locations}
    offered = {
        f"{provider['namespace']}/{kind.get('resourceType')}".casefold(): {
            _as_name(location) for location in kind.get("locations") or []
        }
        for provider in providers
        for kind in provider.get("resourceTypes") or []
    }
    findings = FINE
    for kind in types:
        places = offered.get(kind.casefold())
        if places and not places & {spec.region, shown[spec.region]}:
            findings += problem(
                "region", f"{spec.region} was given and has no {kind}.", "Choose another region."
            )
    return findings


def judge_storage_sku(spec: EnvironmentSpec, skus: Sequence[Json]) -> Findings:
    """Return whether the region has the storage redundancy wanted."""
    here = {
        str(sku["name"])
        for sku in skus
        if sku.get("resourceType") == "storageAccounts"
        and sku.get("kind") == "StorageV2"
        and spec.region in map(_as_name, sku.get("locations") or [])
        and not any(_as_name(limit.get("type")) == "location" for limit in sku.get("restrictions") or [])
    }
    if spec.storage.sku in here:
        return FINE
    return problem(
        "storage.sku",
        f"{spec.storage.sku} was given and {spec.region} offers {', '.join(sorted(here)) or 'none'}.",
        "Choose one of these, or another region.",
    )


def judge_storage_name(
    spec: EnvironmentSpec, names: Names, availability: Json, account: Json | None
) -> Findings:
    """Return whether the storage account's name is free, or taken by our own account.

    Args:
        spec: the environment wanted.
        names: its names.
        availability: the answer of checkNameAvailability.
        account: the account of that name in the group for backups, if there is one.
    """
    if availability.get("nameAvailable"):
        return FINE
    name, group = names.storage_account, names.backup_group
    if account is None:
        return problem(
            "suffix",
            f"the storage account name {name} is taken, and there is no such account in {group}; Azure says: "
            f"{availability.get('message') or availability.get('reason')}",
            "Set another suffix.",
        )
    if is_ours(account.get("tags"), spec) or group in spec.adopt:
        return FINE
    return problem(
        "adopt",
        f"the storage account {name} in {group} exists without this environment's tags, so it isn't ours to "
        "change.",
        f"If it is yours, type {to_adopt(spec, group)}; otherwise set another suffix.",
    )


def judge_grafana(spec: EnvironmentSpec, *, has_own: bool) -> Findings:
    """Return whether a new Grafana can be spread over zones; one that is there already proves that it can."""
    if not spec.monitoring.grafana_zone_redundancy or spec.region in ZONE_REDUNDANT_GRAFANA or has_own:
        return FINE
    return problem(
        "monitoring.grafana_zone_redundancy",
        f"true was given, and {spec.region} has no zone-redundant Grafana (as of "
        f"{ZONE_REDUNDANT_GRAFANA_AS_OF}, these have it: {', '.join(sorted(ZONE_REDUNDANT_GRAFANA))}).",
        "Set it to false, or choose another region.",
    )


def judge_closed_account(spec: EnvironmentSpec) -> Findings:
    """Return whether a database's backups need private endpoints, which nobody but their maker can see to work."""
    if spec.database is None or spec.storage.public_network_access == "enabled":
        return FINE
    return warning(
        "storage.public_network_access",
        "disabled was given, so the database's backups reach the account through private endpoints only, from the "
        "cluster's network and from this worker's. No run makes them; without them the run fails at its first backup.",
    )


def judge_addresses(spec: EnvironmentSpec, usages: Sequence[Json], *, has_cluster: bool) -> Findings:
    """Return whether the quota has room for the public addresses of a new environment."""
    if has_cluster:
        return FINE
    free = {
        str(usage["name"]["value"]): int(usage["limit"]) - int(usage["currentValue"])
        for usage in usages
        if str(usage["name"]["value"]).casefold() in _ADDRESS_QUOTAS
    }
    if not free or min(free.values()) >= ADDRESSES_PER_ENVIRONMENT:
        return FINE
    name = min(free, key=lambda quota: free[quota])
    return problem(
        "region",
        f"{ADDRESSES_PER_ENVIRONMENT} public IP addresses are needed in {spec.region} and the quota {name} "
        f"leaves {max(0, free[name])}.",
        "Ask for more (https://aka.ms/AzureQuota), or choose another region.",
    )


def judge_admins(spec: EnvironmentSpec, caller_type: str) -> Findings:
    """Return whether a person will be able to administer Grafana."""
    if caller_type == "User" or spec.monitoring.grafana_admins:
        return FINE
    return warning(
        "monitoring.grafana_admins",
        "empty, and the run signs in as an application, so no person gets access to the dashboards. Give object IDs of "
        "people or groups.",
    )


def judge_installer(spec: EnvironmentSpec, *, has_helm: bool) -> Findings:
    """Return whether this worker has what the operator's installer needs."""
    if spec.operator.installer != "helm" or has_helm:
        return FINE
    return problem("operator.installer", f"helm was given and {MISSING_EXTRA}.", WITHOUT_EXTRA)
