"""Whether the region offers the pools' VM sizes in their zones, and whether the vCPU quota is enough.

Sizes: https://learn.microsoft.com/rest/api/compute/resource-skus/list
Quota: https://learn.microsoft.com/rest/api/compute/usage/list
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aks_postgres.arm.responses import Json
from aks_postgres.preflight.findings import FINE, Findings, problem, warning
from aks_postgres.spec.environment import EnvironmentSpec, NodePoolSpec

# https://learn.microsoft.com/azure/aks/use-system-pools
SYSTEM_POOL_VCPUS = 4
SYSTEM_POOL_GIB = 4
# AKS's default for pools that don't say otherwise: https://learn.microsoft.com/azure/aks/upgrade-aks-cluster
SURGE = 0.1
TOTAL_VCPUS = "cores"
_MOST_SUGGESTED = 4


@dataclass(frozen=True)
class VmSize:
    """A VM size as a region offers it to the subscription; `zones` are those that can be used."""

    name: str
    family: str
    vcpus: int
    memory_gib: float
    zones: frozenset[str]
    is_allowed: bool


def vm_sizes(skus: Sequence[Json], region: str) -> dict[str, VmSize]:
    """Read Compute's SKUs, by lower-case name."""
    found = {}
    for sku in skus:
        if sku.get("resourceType") != "virtualMachines":
            continue
        here = [
            location
            for location in sku.get("locationInfo") or []
            if str(location.get("location", "")).casefold() == region
        ]
        if not here:
            continue
        zones = {str(zone) for location in here for zone in location.get("zones") or []}
        is_allowed = True
        for restriction in sku.get("restrictions") or []:
            if restriction.get("type") == "Zone":
                zones -= set((restriction.get("restrictionInfo") or {}).get("zones") or [])
            elif restriction.get("type") == "Location":
                is_allowed = False
        can = {entry.get("name"): entry.get("value") for entry in sku.get("capabilities") or []}
        name = str(sku["name"])
        found[name.casefold()] = VmSize(
            name,
            str(sku.get("family", "")),
            int(can.get("vCPUs") or 0),
            float(can.get("MemoryGB") or 0),
            frozenset(zones),
            is_allowed,
        )
    return found


def _pools(spec: EnvironmentSpec) -> tuple[tuple[str, NodePoolSpec], tuple[str, NodePoolSpec]]:
    return ("system_pool", spec.system_pool), ("postgres_pool", spec.postgres_pool)


def _fits_system_pool(size: VmSize) -> bool:
    is_burstable = size.name.casefold().startswith("standard_b")
    return size.vcpus >= SYSTEM_POOL_VCPUS and size.memory_gib >= SYSTEM_POOL_GIB and not is_burstable


def judge_sizes(spec: EnvironmentSpec, sizes: Mapping[str, VmSize]) -> Findings:
    """Return whether both pools' sizes can be had."""
    findings = FINE
    for field, pool in _pools(spec):
        size = sizes.get(pool.vm_size.casefold())
        where = f"{field}.vm_size"
        others = _way_out(field, pool, size, sizes)
        if size is None:
            findings += problem(
                where, f"{pool.vm_size} was given and {spec.region} doesn't offer it.", others
            )
        elif not size.is_allowed:
            findings += problem(
                where,
                f"{size.name} was given and this subscription may not use it in {spec.region}.",
                others,
            )
        elif lacking := [zone for zone in pool.zones if zone not in size.zones]:
            have = ", ".join(sorted(size.zones)) or "none"
            findings += problem(
                f"{field}.zones",
                f"{', '.join(pool.zones)} were given and {size.name} can't be had in zone "
                f"{', '.join(lacking)} of {spec.region} (can: {have}).",
                others,
            )
        if size is not None and field == "system_pool" and not _fits_system_pool(size):
            findings += problem(
                where,
                f"{size.name} was given, with {size.vcpus} vCPUs and {size.memory_gib:g} GiB; a system pool "
                f"needs at least {SYSTEM_POOL_VCPUS} vCPUs, {SYSTEM_POOL_GIB} GiB and no B series.",
                others,
            )
    return findings


def _way_out(field: str, pool: NodePoolSpec, wanted: VmSize | None, sizes: Mapping[str, VmSize]) -> str:
    """Sizes that would do, the most similar first."""
    vcpus = max(wanted.vcpus if wanted else 4, SYSTEM_POOL_VCPUS if field == "system_pool" else 2)
    memory_gib = wanted.memory_gib if wanted else 16

    def distance(size: VmSize) -> tuple[bool, float, float, str]:
        is_general = size.name.casefold().startswith("standard_d")
        return (not is_general, abs(size.vcpus - vcpus), abs(size.memory_gib - memory_gib), size.name)

    usable = [
        size
        for size in sizes.values()
        if size.is_allowed
        and set(pool.zones) <= size.zones
        and size.vcpus >= vcpus
        and (field != "system_pool" or _fits_system_pool(size))
    ]
    names = [size.name for size in sorted(usable, key=distance)[:_MOST_SUGGESTED]]
    if not names:
        return "No size of that kind is on offer in these zones; choose another region."
    return f"Choose another, for example {', '.join(names)}, or another region."


@dataclass(frozen=True)
class LivePool:
    """A node pool that exists already: its nodes are counted in the usage that Azure reports."""

    name: str
    vm_size: str
    count: int
    max_count: int


def live_pools(cluster: Json | None) -> list[LivePool]:
    """The pools of a live cluster."""
    profiles = ((cluster or {}).get("properties") or {}).get("agentPoolProfiles") or []
    return [
        LivePool(
            str(pool.get("name")),
            str(pool.get("vmSize")),
            int(pool.get("count") or 0),
            int(pool.get("maxCount") or pool.get("count") or 0),
        )
        for pool in profiles
    ]


def surge(max_count: int) -> int:
    """Extra nodes while a pool is upgraded."""
    return max(1, math.ceil(max_count * SURGE))


def judge_quota(
    spec: EnvironmentSpec,
    sizes: Mapping[str, VmSize],
    usages: Sequence[Json],
    live: Sequence[LivePool],
    beside: Sequence[LivePool] = (),
) -> Findings:
    """Return whether the quota lets both pools grow to their `max_count` and be upgraded at that size.

    What live pools of this environment use already isn't counted twice. Where they could grow as far before,
    a shortage is only a warning: this run asks for nothing new. The pools of another generation `beside` it keep the
    room that they may grow into.
    """
    needed: dict[str, int] = {}
    sums: dict[str, list[str]] = {}
    for field, pool in _pools(spec):
        size = sizes.get(pool.vm_size.casefold())
        if size is None:
            return FINE  # said elsewhere, and nothing to count with
        nodes = pool.max_count + surge(pool.max_count)
        for family in (size.family.casefold(), TOTAL_VCPUS):
            needed[family] = needed.get(family, 0) + nodes * size.vcpus
            text = (
                f"{field}: ({pool.max_count} nodes and {surge(pool.max_count)} for upgrades) x {size.vcpus}"
            )
            sums.setdefault(family, []).append(text)
    for other_pool in beside:
        if size := sizes.get(other_pool.vm_size.casefold()):
            for family in (size.family.casefold(), TOTAL_VCPUS):
                room = max(0, other_pool.max_count - other_pool.count)
                needed[family] = needed.get(family, 0) + room * size.vcpus
                if family in sums:
                    sums[family].append(
                        f"{other_pool.name} of the old generation: {room} more nodes x {size.vcpus}"
                    )
    ours: dict[str, int] = {}
    for live_pool in live:
        if size := sizes.get(live_pool.vm_size.casefold()):
            for family in (size.family.casefold(), TOTAL_VCPUS):
                ours[family] = ours.get(family, 0) + live_pool.count * size.vcpus
    asks_nothing_new = all(
        any(
            live_pool.name == pool.name
            and live_pool.vm_size.casefold() == pool.vm_size.casefold()
            and live_pool.max_count >= pool.max_count
            for live_pool in live
        )
        for _, pool in _pools(spec)
    )
    findings = FINE
    for usage in usages:
        name = str((usage.get("name") or {}).get("value", ""))
        wanted = needed.get(name.casefold())
        if wanted is None:
            continue
        limit, used = int(usage.get("limit", 0)), int(usage.get("currentValue", 0))
        by_others = max(0, used - ours.get(name.casefold(), 0))
        if wanted > limit - by_others:
            what = "vCPUs in all" if name.casefold() == TOTAL_VCPUS else f"vCPUs of {name}"
            asked = [text.split(":")[0] for text in sums[name.casefold()]]
            fields = " and ".join(f"{field}.max_count" for field, _ in _pools(spec) if field in asked)
            text = (
                f"up to {wanted} {what} are needed in {spec.region} ({'; '.join(sums[name.casefold()])}) "
                f"and {limit - by_others} can be had (quota {limit}, used by others {by_others})."
            )
            way_out = "Ask for more quota (https://aka.ms/AzureQuota), or choose fewer or smaller nodes."
            findings += (
                warning(fields, f"{text} {way_out}") if asks_nothing_new else problem(fields, text, way_out)
            )
    return findings
