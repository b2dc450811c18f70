"""Guide: Create infrastructure, "Before you begin" and "Set environment variables" - what can be known first.

Reads only: who we are, what the environment is called, which generation of it lives, and whether Azure would
take what the spec asks for. All problems come at once, before anything is written. `_facts.py` asks; the
other `_` modules judge. Not done here: registering resource providers (`providers.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from aks_postgres.arm.client import Azure
from aks_postgres.arm.credentials import caller
from aks_postgres.arm.errors import AzureRefused
from aks_postgres.arm.responses import Json
from aks_postgres.errors import Finding
from aks_postgres.kubernetes.helm import is_installed
from aks_postgres.preflight.authorized_ranges import (
    address_that_counts,
    authorized_ranges,
    needs_worker_address,
)
from aks_postgres.preflight.components_check import judge_components
from aks_postgres.preflight.database_check import judge_database
from aks_postgres.preflight.egress import EgressUnknown, egress_address
from aks_postgres.preflight.errors import PreflightFailed, UnknownRegion
from aks_postgres.preflight.facts import (
    RegionFacts,
    ask_about_subscription,
    ask_region,
    ask_subscription,
    together,
)
from aks_postgres.preflight.findings import FINE, Findings, about_rights, problem, warning
from aks_postgres.preflight.generations import find_generation, is_retired
from aks_postgres.preflight.kubernetes_versions import (
    choose_version,
    judge_ends,
    offered_versions,
    unasked_version,
)
from aks_postgres.preflight.operator_check import judge_operator
from aks_postgres.preflight.permissions import judge_entra, judge_permissions, missing_providers
from aks_postgres.preflight.region import (
    judge_addresses,
    judge_admins,
    judge_closed_account,
    judge_grafana,
    judge_installer,
    judge_region,
    judge_storage_name,
    judge_storage_sku,
    knows_region,
)
from aks_postgres.preflight.standing import judge_standing, subscription_problem
from aks_postgres.preflight.subnet import SubnetFacts, ask_subnet, judge_subnet, judge_subnet_rights
from aks_postgres.preflight.tenant_rules import judge_tenant_rules, of_what_is_missing
from aks_postgres.preflight.vm_sizes import judge_quota, judge_sizes, live_pools, vm_sizes
from aks_postgres.reports.journal import journal
from aks_postgres.reports.outputs import CheckedTarget
from aks_postgres.resources import storage_account
from aks_postgres.resources.group_contents import contents_of
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import STATE, Names, environment_key

# What findings are about, for whoever shows them in a table (`doctor`).
Area = Literal[
    "Azure",
    "subscription",
    "rights",
    "region",
    "network",
    "names",
    "cluster",
    "versions",
    "quota",
    "operator",
    "policies",
]


@arm_task("preflight {spec.name} in {spec.region}", looks=True)
async def preflight(
    azure: Azure, spec: EnvironmentSpec, wanted_generation: int | None = None
) -> CheckedTarget:
    """Find out where the environment goes, and everything that would stop it; write nothing.

    Guide: Create infrastructure, "Before you begin", "Set environment variables", and the address lookup of
    "Create the AKS cluster ..." (dig).
    REST: https://learn.microsoft.com/rest/api/resources/resource-groups/list,
    https://learn.microsoft.com/rest/api/authorization/permissions,
    https://learn.microsoft.com/rest/api/compute/resource-skus/list,
    https://learn.microsoft.com/rest/api/aks/managed-clusters/list-kubernetes-versions,
    https://learn.microsoft.com/rest/api/storagerp/storage-accounts/check-name-availability

    Args:
        spec: the environment wanted.
        wanted_generation: the generation to work on; unset, the live one, or the next where there is none.

    Returns:
        Names, generation, Kubernetes version, authorized ranges, unregistered providers, and warnings.

    Raises:
        PreflightFailed: with every problem found, each under the spec field to change.
        TemporaryError: Azure couldn't be asked for now.
    """
    looked = await look(azure, spec, wanted_generation)
    findings = looked.whole
    if looked.target is None:
        raise UnknownRegion(findings.problems)  # a region that isn't there can't be asked anything
    if findings.problems:
        raise PreflightFailed(findings.problems)
    for text in findings.warnings:
        journal().note(text)
    return looked.target.model_copy(update={"warnings": findings.warnings})


@dataclass(frozen=True)
class Looked:
    """What the preflight found: verdicts by what they are about, in its order, and where the environment goes.

    There is no target where the subscription has no such region.
    """

    findings: tuple[tuple[Area, Findings], ...]
    target: CheckedTarget | None

    @property
    def whole(self) -> Findings:
        """All of it."""
        return sum((findings for _, findings in self.findings), FINE)


async def look(azure: Azure, spec: EnvironmentSpec, wanted_generation: int | None = None) -> Looked:
    """Judge everything that can be known ahead, as `preflight` does, and raise nothing for what is wrong.

    Args:
        spec: the environment wanted.
        wanted_generation: as `preflight` takes it.

    Raises:
        PreflightFailed: the subscription can't be seen, so nothing else can be asked.
        TemporaryError: Azure couldn't be asked for now.
    """
    found: list[tuple[Area, Findings]] = []
    subscription_id = azure.subscription_id
    subscription_name, more = await _subscription(azure, subscription_id)
    found.append(("subscription", more))
    object_id, tenant_id, caller_type = await caller(azure.credential, azure.facts.audience)

    async with together() as group:
        asking_address = group.create_task(_worker_address(azure, spec))
        asking_operator = group.create_task(judge_operator(azure, spec))
        asking_components = group.create_task(judge_components(azure, spec))
        asking_subnet = group.create_task(_subnet_facts(azure, spec))
        facts = await ask_subscription(azure, subscription_id)
    address, more = asking_address.result()
    operator = asking_operator.result() + asking_components.result()
    found += [("network", more), ("operator", operator), ("Azure", facts.refused)]
    unregistered = missing_providers(facts.providers)
    if facts.permissions is not None:
        who, scope = f"the caller ({caller_type} {object_id})", f"/subscriptions/{subscription_id}"
        more = judge_permissions(
            who,
            scope,
            facts.permissions,
            unregistered,
            has_database=spec.database is not None and spec.database.backup.engine == "plugin",
            assigns_roles=spec.roles == "create",
        )
        if spec.cluster.access == "entra":
            more += judge_entra(object_id, caller_type, scope, facts.permissions)
        if (subnet := asking_subnet.result()) is not None:
            more += judge_subnet_rights(spec, who, subnet)
        found.append(("rights", about_rights(azure.gate, more)))
    generation, more = find_generation(
        spec, subscription_id, facts.groups, facts.deleted_workspaces, wanted_generation
    )
    found.append(("names", more + await _judge_retired(azure, spec, facts.groups)))
    address = address_that_counts(azure.gate, address, facts.groups, generation.names)
    ranges, worker_address, more = authorized_ranges(spec.network, address)
    found.append(("network", more))
    if facts.locations is not None:
        found.append(("region", judge_region(spec, facts.locations, facts.providers)))
        if not knows_region(spec, facts.locations):
            return Looked(tuple(found), None)

    target = CheckedTarget(
        subscription_id=subscription_id,
        subscription_name=subscription_name,
        tenant_id=tenant_id,
        caller_object_id=object_id,
        caller_type="User" if caller_type == "User" else "ServicePrincipal",
        generation=generation.number,
        names=generation.names,
        storage_suffix=azure.facts.storage_suffix,
        dns_suffix=azure.facts.dns_suffix,
        kubernetes_version=unasked_version(spec),
        authorized_ip_ranges=ranges,
        worker_address=worker_address,
        missing_providers=unregistered,
        warnings=(),
    )
    async with together() as group:
        asking_rules = group.create_task(judge_tenant_rules(azure, spec, target, facts.groups))
        region = await ask_region(azure, subscription_id, spec.region, generation.names, generation.others)
    kubernetes_version, by_area = judge_region_facts(
        spec, generation.names, region, unregistered, today=datetime.now(UTC).date()
    )
    target = target.model_copy(update={"kubernetes_version": kubernetes_version})
    if (subnet := asking_subnet.result()) is not None:
        found.append(("network", judge_subnet(spec, subscription_id, subnet, region.cluster)))
    found += [
        ("cluster", judge_standing(spec, generation.names, region.cluster, facts.groups)),
        *by_area,
        ("network", judge_closed_account(spec)),
        ("rights", judge_admins(spec, caller_type)),
        ("operator", judge_installer(spec, has_helm=is_installed())),
    ]
    found.append(("cluster", await judge_database(azure, spec, target, region.cluster)))
    found.append(("policies", of_what_is_missing(asking_rules.result(), region)))
    return Looked(tuple(found), target)


async def locate(azure: Azure, spec: EnvironmentSpec) -> Names:
    """The names of the environment that is there, without judging what a run would need.

    Raises:
        PreflightFailed: the names belong to something that isn't ours.
    """
    facts = await ask_subscription(azure, azure.subscription_id)
    generation, findings = find_generation(
        spec, azure.subscription_id, facts.groups, facts.deleted_workspaces
    )
    if findings.problems:
        raise PreflightFailed(findings.problems)
    return generation.names


async def _judge_retired(azure: Azure, spec: EnvironmentSpec, groups: Sequence[Json]) -> Findings:
    """A group that is tagged as torn down holds nothing but backups; anything else says that the tag is wrong."""
    findings = FINE
    for name in (str(group["name"]) for group in groups if is_retired(group, spec)):
        listed = await contents_of(azure, name)
        others = [
            resource
            for resource in listed
            if str(resource.get("type")).casefold() != storage_account.KIND.type.casefold()
        ]
        if others:
            findings += problem(
                "name",
                f"resource group {name} is tagged {STATE}: retired, and {len(others)} resources are in it, such as "
                f"{others[0].get('name')} ({others[0].get('type')}).",
                "Set the tag back to current if the environment "
                f"lives, or take it away with tear_down and confirm {environment_key(spec)}; then run again.",
            )
    return findings


async def _subscription(azure: Azure, subscription_id: str) -> tuple[str, Findings]:
    """The subscription's name, if the credential sees it, and whether it takes writes."""
    try:
        found = await ask_about_subscription(azure, subscription_id)
    except AzureRefused as refused:
        raise PreflightFailed(
            [
                Finding(
                    f"subscription_id: {subscription_id} was given, and this credential "
                    f"({azure.credential.source}) can't see it. {str(refused).removesuffix(refused.way_out).strip()}",
                    refused.way_out,
                )
            ]
        ) from refused
    text = subscription_problem(found)
    return str(found.get("displayName", "")), problem(
        "subscription_id", text.text, text.way_out
    ) if text else FINE


async def _subnet_facts(azure: Azure, spec: EnvironmentSpec) -> SubnetFacts | None:
    return await ask_subnet(azure, spec.network.subnet_id) if spec.network.subnet_id else None


async def _worker_address(azure: Azure, spec: EnvironmentSpec) -> tuple[str | None, Findings]:
    if not needs_worker_address(spec.network):
        return None, FINE
    if spec.network.worker_address:
        return spec.network.worker_address, FINE
    try:
        return await egress_address(azure), FINE
    except EgressUnknown as unknown:
        return None, problem(
            "network.worker_address",
            f"unset, and this worker's egress address couldn't be found: {unknown}.",
            "Set network.worker_address, or give network.authorized_ip_ranges and network.add_worker_address: "
            "false.",
        )


def judge_region_facts(
    spec: EnvironmentSpec, names: Names, facts: RegionFacts, unregistered: tuple[str, ...], *, today: date
) -> tuple[str, list[tuple[Area, Findings]]]:
    """Judge what the region offers.

    Args:
        spec: the environment wanted.
        names: its names.
        facts: what Azure said.
        unregistered: resource providers that this run has to register.
        today: for the ends of support.

    Returns:
        The Kubernetes version to ask for, and what is wrong, by what it is about.
    """
    found: list[tuple[Area, Findings]] = [("Azure", facts.refused)]
    cluster = facts.cluster or {}
    if facts.kubernetes_versions is None:
        version = unasked_version(spec)
        if "Microsoft.ContainerService" in unregistered:
            more = warning(
                "cluster.kubernetes_version",
                f"{version} is taken unchecked: AKS doesn't say what it offers before "
                "Microsoft.ContainerService is registered, which this run does.",
            )
            found.append(("versions", more))
    else:
        live = cluster.get("properties") or {}
        offered = offered_versions(facts.kubernetes_versions)
        version, more = choose_version(
            spec, offered, live.get("kubernetesVersion"), live.get("currentKubernetesVersion")
        )
        found.append(("versions", more))
    found.append(("versions", judge_ends(spec, version, today)))
    if facts.compute_skus is not None:
        sizes = vm_sizes(facts.compute_skus, spec.region)
        found.append(("region", judge_sizes(spec, sizes)))
        more = judge_quota(
            spec,
            sizes,
            facts.compute_usages or [],
            live_pools(facts.cluster),
            [pool for cluster in facts.beside for pool in live_pools(cluster)],
        )
        found.append(("quota", more))
    elif "Microsoft.Compute" in unregistered:
        more = warning(
            "system_pool.vm_size and postgres_pool.vm_size",
            "VM sizes and quota aren't checked: Azure doesn't tell before Microsoft.Compute is registered, "
            "which this run does.",
        )
        found.append(("quota", more))
    if facts.network_usages is not None:
        more = judge_addresses(spec, facts.network_usages, has_cluster=facts.cluster is not None)
        found.append(("quota", more))
    if facts.storage_skus is not None:
        found.append(("region", judge_storage_sku(spec, facts.storage_skus)))
    if facts.storage_name is not None:
        more = judge_storage_name(spec, names, facts.storage_name, facts.storage_account)
        found.append(("names", more))
    return version, [*found, ("region", judge_grafana(spec, has_own=facts.has_grafana))]
