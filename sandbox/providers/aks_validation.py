"""What AKS refuses before it starts anything: one function per rule, the source of its text beside it.

Overview of the codes: https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/error-codes
"""

import ipaddress
import math
import re
from typing import Any

from sandbox.arm import ArmError, Call
from sandbox.instance import Sandbox
from sandbox.providers import vm_sizes
from sandbox.providers.container_service import CLUSTER, POOL, refusal
from sandbox.providers.vm_sizes import VmSize

Json = dict[str, Any]

NAMING = "Please see https://aka.ms/aks-naming-rules for more details."
ASSIGN = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
MAX_NODES = 1000
MAX_RANGES = 200

IMMUTABLE_CLUSTER = (
    "dnsPrefix",
    "nodeResourceGroup",
    "enableRBAC",
    "networkProfile.networkPlugin",
    "networkProfile.podCidr",
    "networkProfile.serviceCidr",
    "networkProfile.dnsServiceIP",
    "networkProfile.loadBalancerSku",
    "servicePrincipalProfile.clientId",
    "linuxProfile.adminUsername",
)
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


def invalid(parameter: str, details: str = "") -> ArmError:
    """400 InvalidParameter; the text is that of https://github.com/Azure/azure-cli/pull/22442."""
    more = f" Error details: {details}" if details else ""
    text = f"The value of parameter {parameter} is invalid.{more} {NAMING}"
    return refusal("InvalidParameter", text, target=parameter)


def missing(parameter: str) -> ArmError:
    """400 for a parameter that must be there; https://github.com/pulumi/pulumi-kubernetes/issues/2704."""
    text = f"Required parameter {parameter} is missing (null)."
    return refusal("InvalidParameter", text, target=parameter)


def at(value: Any, path: str) -> Any:
    """A value by its dotted path, None when there is none."""
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


# The cluster.


def check_cluster_name(name: str) -> None:
    """Names: https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update (URI parameters)."""
    if not re.fullmatch(r"[a-zA-Z0-9]|[a-zA-Z0-9][-_a-zA-Z0-9]{0,61}[a-zA-Z0-9]", name):
        raise invalid("resourceName")


def check_dns_prefix(prefix: Any) -> None:
    """Refuse a DNS prefix that isn't 1 to 54 characters.

    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/aks-common-issues-faq
    """
    if not prefix:
        raise missing("properties.dnsPrefix")
    if not re.fullmatch(r"[a-zA-Z0-9]([-a-zA-Z0-9]{0,52}[a-zA-Z0-9])?", str(prefix)):
        raise invalid("dnsPrefix")


def check_support_plan(properties: Json, tier: str) -> None:
    """Refuse long-term support without tier Premium.

    https://learn.microsoft.com/azure/aks/long-term-support (the text is ours)
    """
    if properties.get("supportPlan") == "AKSLongTermSupport" and tier.lower() != "premium":
        text = "Support plan AKSLongTermSupport requires sku.tier Premium. See https://aka.ms/aks/enable-lts."
        raise refusal("BadRequest", text, target="supportPlan")


def check_node_group(sandbox: Sandbox, name: Any, *, group: str) -> None:
    """The node resource group must be new, and another than the cluster's.

    Same: https://github.com/Azure/azure-cli/issues/27215. Known:
    https://github.com/hashicorp/terraform-provider-azurerm/issues/7562.

    Args:
        sandbox: where groups and clusters are.
        name: as sent; None lets AKS choose.
        group: the cluster's resource group.
    """
    if not name:
        return
    if len(name) > 80:
        # https://learn.microsoft.com/azure/aks/faq#can-i-provide-my-own-name-for-the-aks-node-resource-group
        raise invalid("nodeResourceGroup", "The length of the node resource group name must be at most 80.")
    if name.lower() == group.lower():
        raise refusal(
            "NodeResourceGroupSameAsResourceGroup",
            f"Node resource group '{name}' is the same as ResourceGroup '{group}', which is not allowed, "
            "please provide a different node resource group.",
        )
    reserved = {
        str(cluster.properties.get("nodeResourceGroup", "")).lower()
        for cluster in sandbox.store.of_type(CLUSTER)
    }
    exists = sandbox.store.get(f"{sandbox.subscription}/resourceGroups/{name}")
    if exists is not None or name.lower() in reserved:
        raise refusal(
            "NodeResourceGroupAlreadyExists",
            f"Node resource group '{name}' under subscription '{sandbox.subscription_id}' already exists, "
            "please provide a new one.",
        )


def check_identity(call: Call) -> None:
    """A user-assigned identity must exist, and the caller must be allowed to assign it.

    Right: https://github.com/Azure/aad-pod-identity/issues/585 (raw LinkedAuthorizationFailed). Missing
    identity: FailedIdentityOperation as the managed identity service reports it, unverified for AKS.
    """
    identity = call.body.get("identity") or {}
    if "userassigned" not in str(identity.get("type", "")).lower().replace(" ", ""):
        return
    for identity_id in identity.get("userAssignedIdentities") or {}:
        call.sandbox.rbac.check_linked(
            call.principal, ASSIGN, identity_id, of=call.route.permission, at=call.id
        )
        if call.sandbox.store.get(identity_id) is None:
            raise ArmError(
                400,
                "FailedIdentityOperation",
                f"Identity operation for resource '{call.id}' failed with error 'Failed to perform "
                "resource identity "
                f'operation. Status: \'BadRequest\'. Response: \'{{"error":{{"code":"BadRequest","message":'
                f"\"Resource '{identity_id}' was not found.\"}}}}'.'.",
            )


def check_authorized_ranges(properties: Json) -> None:
    """At most 200 IPv4 ranges: https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges."""
    ranges = at(properties, "apiServerAccessProfile.authorizedIPRanges") or []
    parameter = "apiServerAccessProfile.authorizedIPRanges"
    if len(ranges) > MAX_RANGES:
        raise invalid(parameter, f"At most {MAX_RANGES} ranges are allowed.")
    for value in ranges:
        try:
            ipaddress.IPv4Network(value, strict=False)
        except ValueError:
            raise invalid(parameter, f"'{value}' is not a valid IPv4 CIDR.") from None


def check_network(properties: Json) -> None:
    """Refuse Cilium without Azure CNI.

    https://learn.microsoft.com/azure/aks/azure-cni-powered-by-cilium (the text is ours)
    """
    network = properties.get("networkProfile") or {}
    if network.get("networkDataplane") == "cilium" and network.get("networkPlugin") != "azure":
        raise invalid("networkProfile.networkDataplane", "cilium requires networkPlugin azure.")


def check_workspace(sandbox: Sandbox, properties: Json) -> None:
    """The Log Analytics workspace of the monitoring add-on must exist.

    Text: https://github.com/Azure/arm-template-whatif/issues/321 and
    https://github.com/Azure/bicep/issues/11835.
    """
    addon = addon_of(properties, "omsagent")
    if not addon or not addon.get("enabled"):
        return
    config = {str(key).lower(): value for key, value in (addon.get("config") or {}).items()}
    workspace_id = config.get("loganalyticsworkspaceresourceid")
    if not workspace_id:
        raise missing("addonProfiles.omsagent.config.logAnalyticsWorkspaceResourceID")
    if sandbox.store.get(str(workspace_id)) is None:
        raise refusal(
            "GetLogAnalyticsWorkspaceError",
            f"Unable to get log analytics workspace info. Resource ID: {workspace_id}. Details: Category: "
            "ClientError; Code: GetLogAnalyticsWorkspaceError; SubCode: ResourceNotFound; Message: Unable "
            "to retrieve log analytics workspace. Please resolve the issue below and try again. If "
            "resource is intentionally deleted to stop monitoring, please also disable monitoring addon "
            "by following doc: https://aka.ms/aks-disable-monitoring-addon. If resource is deleted by "
            "mistake, please re-create it by following doc: https://aka.ms/new-log-analytics, and enable "
            "new workspace resource id by following doc: https://aka.ms/aks-enable-addons. Resource ID: "
            f"{workspace_id}",
            subcode="ResourceNotFound",
        )


def addon_of(properties: Json, name: str) -> Json | None:
    """An add-on's profile; AKS takes the names of add-ons in any case."""
    for key, profile in (properties.get("addonProfiles") or {}).items():
        if key.lower() == name.lower() and isinstance(profile, dict):
            return profile
    return None


def check_cluster_change(live: Json, sent: Json) -> None:
    """Refuse a change of what can't be changed.

    Text: https://github.com/kubernetes/autoscaler/issues/1051,
    https://github.com/Azure/azure-cli/issues/24764.
    """
    for path in IMMUTABLE_CLUSTER:
        wanted = at(sent, path)
        if wanted is not None and str(wanted).lower() != str(at(live, path)).lower():
            raise property_change(path)
    issuer = at(sent, "oidcIssuerProfile.enabled")
    if issuer is False and at(live, "oidcIssuerProfile.enabled"):
        # https://learn.microsoft.com/azure/aks/use-oidc-issuer: "Once ... enabled, it can't be disabled".
        text = "OIDC issuer feature cannot be disabled."
        raise refusal("OIDCIssuerFeatureCannotBeDisabled", text, target="oidcIssuerProfile.enabled")


def property_change(path: str) -> ArmError:
    """400 PropertyChangeNotAllowed."""
    return refusal("PropertyChangeNotAllowed", f"Changing property '{path}' is not allowed.", target=path)


# Node pools.


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
        check_zones(name, sent.get("availabilityZones") or [], size, location)
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
    usable = ",".join(size.name.lower() for size in vm_sizes.usable_sizes(location))
    size = vm_sizes.find_size(str(name))
    if size is None:
        raise refusal(
            "VMSizeNotSupported",
            f"Virtual Machine size: '{name}' is not supported for subscription {call.subscription} in "
            f"location '{location}'. The available VM sizes are '{usable}'. For more details, please visit "
            "https://aka.ms/aks/quotas-skus-regions",
        )
    if not vm_sizes.offer(location, size).allowed:
        raise refusal(
            "BadRequest",
            f"The VM size of {name} is not allowed in your subscription in location '{location}'. The "
            f"available VM sizes are '{usable}'. For more details, please visit "
            "https://aka.ms/aks/quotas-skus-regions",
        )
    return size


def check_zones(name: str, wanted: list[str], size: VmSize, location: str) -> None:
    """Zones that the size has in the region.

    Text:
    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/error-codes/availabilityzonenotsupported-error
    """
    open_zones = vm_sizes.offer(location, size).open_zones
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
    if size.vcpus < int(sandbox.settings.get("system_pool_min_vcpus", 4)) or size.memory_gb < 4:
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
        if size is not None and vm_sizes.same_region(pool.notes["location"], location):
            used[size.family] = used.get(size.family, 0) + size.vcpus * int(pool.properties["count"])
    return used


def surge_nodes(pool: Json) -> int:
    """How many nodes an upgrade adds for its time: `maxSurge`, a number or a share rounded up."""
    surge = str(at(pool, "upgradeSettings.maxSurge") or "10%")
    if surge.endswith("%"):
        return math.ceil(int(pool["count"]) * int(surge[:-1]) / 100)
    return int(surge)
