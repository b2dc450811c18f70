"""What AKS refuses of a node pool before it starts anything, and the quota, with the source of each text."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from azure_sandbox.providers import vm_sizes
from azure_sandbox.providers.aks_validation import at, invalid, missing, property_change
from azure_sandbox.providers.container_service import POOL, refusal

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.providers.vm_sizes import VmSize
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

MAX_NODES = 1000

IMMUTABLE_POOL = (
    "vmSize",
    "availabilityZones",
    "osType",
    "osDiskSizeGB",
    "osDiskType",
    "kubeletDiskType",
    "maxPods",
    "type",
    "enableNodePublicIP",
    "vnetSubnetID",
)


def check_pool_name(name: Any) -> None:
    """Refuse a pool name that isn't 1 to 12 lower-case letters and digits.

    https://learn.microsoft.com/rest/api/aks/agent-pools/create-or-update
    """
    if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", str(name or "")):
        raise invalid("agentPoolProfile.name")


def check_pool(call: Call, *, name: str, sent: Json, stored: Json, live: Json | None, location: str) -> None:
    """All rules for one pool of a cluster or for a pool of its own.

    Args:
        call: the request.
        name: the pool's.
        sent: its properties in the request.
        stored: the properties with AKS's defaults.
        live: the properties it has, None for a new pool.
        location: the cluster's region.
    """
    if live is None:
        check_pool_name(name)
        size = check_size(call, sent.get("vmSize"), location)
        check_zones(call.sandbox, name, sent.get("availabilityZones") or [], size, location)
    else:
        check_pool_change(live, sent, call.api_version)
        found = vm_sizes.find_size(live["vmSize"])
        if found is None:  # Sizes don't vanish while a cluster lives.
            raise AssertionError(live["vmSize"])
        size = found
    if stored["mode"] == "System":
        check_system_size(call.sandbox, name, size)
    check_counts(sent, stored, live)
    check_labels(sent.get("nodeLabels") or {})


def check_size(call: Call, name: Any, location: str) -> VmSize:
    """A size that exists and that the subscription may use in the region.

    Unknown: https://github.com/Azure/azure-cli/pull/30887. Not allowed:
    https://github.com/dotnet/core/issues/8181 and
    https://github.com/hashicorp-education/learn-terraform-provision-aks-cluster/issues/15.
    """
    if not name:
        raise missing("properties.vmSize")
    exceptions = call.sandbox.settings["vm_sizes"]
    usable = ",".join(size.name.lower() for size in vm_sizes.usable_sizes(location, exceptions))
    size = vm_sizes.find_size(str(name))
    if size is None:
        raise refusal(
            "VMSizeNotSupported",
            f"Virtual Machine size: '{name}' is not supported for subscription {call.subscription} in "
            f"location '{location}'. The available VM sizes are '{usable}'. For more details, please visit "
            "https://aka.ms/aks/quotas-skus-regions",
        )
    if not vm_sizes.offer(location, size, exceptions).allowed:
        raise refusal(
            "BadRequest",
            f"The VM size of {name} is not allowed in your subscription in location '{location}'. The "
            f"available VM sizes are '{usable}'. For more details, please visit "
            "https://aka.ms/aks/quotas-skus-regions",
        )
    return size


def check_zones(sandbox: Sandbox, name: str, wanted: list[str], size: VmSize, location: str) -> None:
    """Zones that the size has in the region.

    Text:
    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/error-codes/availabilityzonenotsupported-error
    """
    open_zones = vm_sizes.offer(location, size, sandbox.settings["vm_sizes"]).open_zones
    closed = [zone for zone in wanted if str(zone) not in open_zones]
    if closed:
        raise refusal(
            "AvailabilityZoneNotSupported",
            f"The zone(s) '{','.join(map(str, closed))}' for resource '{name}' is not supported. The "
            f"supported zones for location '{location}' are '{','.join(open_zones)}'",
            target="agentPoolProfile.availabilityZone",
        )


def check_system_size(sandbox: Sandbox, name: str, size: VmSize) -> None:
    """System pools need 4 vCPU and 4 GB: https://learn.microsoft.com/azure/aks/use-system-pools.

    The text is older than the rule: https://github.com/MicrosoftDocs/azure-dev-docs/issues/216. Whether the
    API holds users to 4 isn't proved (https://github.com/MicrosoftDocs/azure-docs/issues/121181): setting
    `system_pool_min_vcpus`.
    """
    if size.vcpus < int(sandbox.settings["system_pool_min_vcpus"]) or size.memory_gb < 4:
        raise refusal(
            "SystemPoolSkuTooLow",
            f"System node pool must use VM sku with more than 2 cores and 4GB memory. Nodepool name: {name}.",
        )


def check_counts(sent: Json, stored: Json, live: Json | None) -> None:
    """Node counts and the autoscaler's bounds.

    Text: https://github.com/kubernetes-sigs/cluster-api-provider-azure/issues/5947; bounds:
    https://learn.microsoft.com/azure/aks/cluster-autoscaler; the minimum may exceed the live count
    (https://github.com/Azure/azure-cli-extensions/pull/1606).
    """
    scaling = stored["enableAutoScaling"]
    if live is None and scaling and sent.get("count") is None:
        raise missing("properties.count")
    least = 1 if stored["mode"] == "System" else 0
    low, high = least, MAX_NODES
    if scaling:
        if stored.get("minCount") is None or stored.get("maxCount") is None:
            raise missing("properties.minCount" if stored.get("minCount") is None else "properties.maxCount")
        if not least <= stored["minCount"] <= stored["maxCount"] <= MAX_NODES:
            raise invalid("agentPoolProfile.minCount")
        if live is None or stored["count"] != live["count"]:
            low, high = stored["minCount"], stored["maxCount"]
    elif sent.get("minCount") is not None or sent.get("maxCount") is not None:
        raise invalid("agentPoolProfile.minCount", "minCount and maxCount need enableAutoScaling.")
    if not low <= stored["count"] <= high:
        raise refusal(
            "InvalidParameter",
            f"agentPoolProfile.count was {stored['count']}. It must be greater or equal to minCount:{low} "
            f"and less than or equal to maxCount:{high}. If allowedMinCount was expected to be 0 but is "
            "1: 1) The nodepool is a VMAS pool. 2) api Version is less than 2020-03-01. 3) The node is a "
            "system pool.",
            target="agentPoolProfile.count",
        )


def check_labels(labels: Json) -> None:
    """Kubernetes' syntax, and no labels of AKS's own: https://learn.microsoft.com/azure/aks/use-labels."""
    for key, value in labels.items():
        prefix, _, name = str(key).rpartition("/")
        if prefix == "kubernetes.azure.com" or prefix.endswith(".kubernetes.azure.com"):
            raise invalid("agentPoolProfile.nodeLabels", f"Label prefix {prefix} is reserved for AKS.")
        good = re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", name)
        good_value = re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", str(value))
        if not good or not good_value:
            raise invalid("agentPoolProfile.nodeLabels", f"'{key}={value}' is not a valid Kubernetes label.")


def check_pool_change(live: Json, sent: Json, api_version: str) -> None:
    """Refuse a change of what can't be changed in a pool.

    vmSize: https://github.com/Azure/bicep-registry-modules/issues/7130; zones and the others:
    https://github.com/hashicorp/terraform-provider-azurerm/issues/10951 (the form of the name).
    """
    for name in IMMUTABLE_POOL:
        wanted, has = sent.get(name), live.get(name)
        if wanted is None or _same(wanted, has):
            continue
        if name == "vmSize" and api_version < "2026-01-02-preview":
            raise refusal(
                "PropertyChangeNotAllowed",
                'Changing property "agentPoolProfile.vmSize" is not allowed in an api-version before '
                '"2026-01-02-preview".',
                target="agentPoolProfile.vmSize",
            )
        raise property_change(f"agentPoolProfile.{name}")


def _same(wanted: Any, has: Any) -> bool:
    if isinstance(wanted, list):
        return sorted(map(str, wanted)) == sorted(map(str, has or []))
    return str(wanted).lower() == str(has).lower()


def check_quota(sandbox: Sandbox, location: str, wanted: list[tuple[str, int]]) -> None:
    """The vCPU quota of each family, and of the region, must hold what is wanted on top of what is used.

    Text: raw in reports of node pools that didn't fit, such as
    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/quota-exceeded-during-creation-upgrade.
    The nodes of a creation or a scaling count; the surge of an upgrade too.

    Args:
        sandbox: where the pools in use are.
        location: region.
        wanted: (size name, nodes) to be added.
    """
    used = used_vcpus(sandbox, location)
    limits = sandbox.settings["quota"]
    needed: dict[str, int] = {}
    for name, nodes in wanted:
        size = vm_sizes.find_size(name)
        if size is not None and nodes > 0:
            needed[size.family] = needed.get(size.family, 0) + nodes * size.vcpus
    for family, vcpus in needed.items():
        remaining = max(vm_sizes.quota(family, limits) - used.get(family, 0), 0)
        if vcpus > remaining:
            raise refusal(
                "ErrCode_InsufficientVCPUQuota",
                f"Insufficient vcpu quota requested {vcpus}, remaining {remaining} for family {family} "
                f"for region {location}. If you want to increase the quota, please follow this instruction: "
                "https://learn.microsoft.com/en-us/azure/quotas/view-quotas. Surge nodes would also "
                "consume vcpu quota, please consider use smaller maxSurge or use maxUnavailable to "
                "proceed upgrade without surge nodes, details: aka.ms/aks/maxUnavailable.",
            )
    total, limit = sum(used.values()), vm_sizes.quota("cores", limits)
    if needed and total + sum(needed.values()) > limit:
        # https://github.com/Azure/Mission-Critical-Online/pull/251
        raise refusal(
            "QuotaExceeded",
            "Operation could not be completed as it results in exceeding approved Total Regional Cores "
            f"quota. Additional details - Deployment Model: Resource Manager, Location: {location}, "
            f"Current Limit: {limit}, Current Usage: {total}, Additional Required: "
            f"{sum(needed.values())}, (Minimum) New Limit Required: {total + sum(needed.values())}.",
        )


def used_vcpus(sandbox: Sandbox, location: str) -> dict[str, int]:
    """How many vCPU are in use in a region, by family: those of all node pools there."""
    used: dict[str, int] = {}
    for pool in sandbox.store.of_type(POOL):
        size = vm_sizes.find_size(pool.properties["vmSize"])
        if size is not None and vm_sizes.same_region(pool.location, location):
            used[size.family] = used.get(size.family, 0) + size.vcpus * int(pool.properties["count"])
    return used


def surge_nodes(pool: Json) -> int:
    """How many nodes an upgrade adds for its time: `maxSurge`, a number or a share rounded up."""
    surge = str(at(pool, "upgradeSettings.maxSurge") or "10%")
    if surge.endswith("%"):
        return math.ceil(int(pool["count"]) * int(surge[:-1]) / 100)
    return int(surge)
