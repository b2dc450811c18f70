"""Words that AKS takes in any case and writes in its own; other words are refused.

Values: https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update and
https://learn.microsoft.com/rest/api/aks/agent-pools/create-or-update. That case doesn't count is what clients rely on:
https://github.com/hashicorp/terraform-provider-azurerm (`network_plugin_mode` was `Overlay` there, and came back as
`overlay`). Which word is refused with which code is known for some only; the others get the one of those.
"""

from __future__ import annotations

from typing import Any

from azure_sandbox.core.words import Words, as_written
from azure_sandbox.providers.aks_validation import invalid

Json = dict[str, Any]

SKU = {"sku.name": ("Base", "Automatic"), "sku.tier": ("Free", "Standard", "Premium")}
IDENTITY = {"identity.type": ("SystemAssigned", "UserAssigned", "SystemAssigned,UserAssigned", "None")}
CLUSTER = {
    "autoUpgradeProfile.nodeOSUpgradeChannel": ("None", "Unmanaged", "NodeImage", "SecurityPatch"),
    "autoUpgradeProfile.upgradeChannel": ("rapid", "stable", "patch", "node-image", "none"),
    "bootstrapProfile.artifactSource": ("Cache", "Direct"),
    "networkProfile.loadBalancerSku": ("standard", "basic"),
    "networkProfile.networkDataplane": ("azure", "cilium"),
    "networkProfile.networkPlugin": ("azure", "kubenet", "none"),
    "networkProfile.networkPluginMode": ("overlay",),
    "networkProfile.networkPolicy": ("none", "azure", "calico", "cilium"),
    "networkProfile.outboundType": (
        "loadBalancer",
        "userDefinedRouting",
        "managedNATGateway",
        "userAssignedNATGateway",
        "none",
        "block",
    ),
    "nodeProvisioningProfile.mode": ("Manual", "Auto"),
    "nodeResourceGroupProfile.restrictionLevel": ("Unrestricted", "ReadOnly"),
    "supportPlan": ("KubernetesOfficial", "AKSLongTermSupport"),
}
POOL = {
    "kubeletDiskType": ("OS", "Temporary"),
    "mode": ("System", "User", "Gateway"),
    "osDiskType": ("Managed", "Ephemeral"),
    "osType": ("Linux", "Windows"),
    "powerState.code": ("Running", "Stopped"),
    "scaleDownMode": ("Delete", "Deallocate"),
    "scaleSetEvictionPolicy": ("Delete", "Deallocate"),
    "scaleSetPriority": ("Regular", "Spot"),
    "type": ("VirtualMachineScaleSets", "AvailabilitySet", "VirtualMachines"),
}


def cluster_as_written(body: Json) -> Json:
    """A cluster's body with AKS's own spelling, or 400 InvalidParameter."""
    body = _as_written(body, {**SKU, **IDENTITY}, "")
    properties = body.get("properties")
    if isinstance(properties, dict):
        body["properties"] = _as_written(properties, CLUSTER, "")
        pools = properties.get("agentPoolProfiles")
        if isinstance(pools, list):
            body["properties"]["agentPoolProfiles"] = [pool_as_written(pool) for pool in pools]
    return body


def pool_as_written(properties: Json) -> Json:
    """A node pool's properties with AKS's own spelling, or 400 InvalidParameter."""
    return _as_written(properties, POOL, "agentPoolProfile.")


def _as_written(body: Json, words: Words, prefix: str) -> Json:
    def refused(path: str, given: str, allowed: tuple[str, ...]) -> Exception:
        return invalid(prefix + path, f"'{given}' isn't one of {', '.join(allowed)}.")

    return as_written(body, words, refused)
