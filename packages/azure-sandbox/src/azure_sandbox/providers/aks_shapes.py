"""What kind of JSON AKS expects where: a body of another shape is refused before any rule looks at it.

Types: https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update. The code is the one that
AKS's decoder is known by, `UnmarshalError`; its text names Go types, which isn't imitated.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from azure_sandbox.providers.container_service import refusal

Json = dict[str, Any]

CLUSTER: dict[str, type] = {
    "aadProfile": dict,
    "aadProfile.adminGroupObjectIDs": list,
    "aadProfile.enableAzureRBAC": bool,
    "aadProfile.managed": bool,
    "aadProfile.tenantID": str,
    "agentPoolProfiles": list,
    "addonProfiles": dict,
    "apiServerAccessProfile": dict,
    "apiServerAccessProfile.authorizedIPRanges": list,
    "autoUpgradeProfile": dict,
    "azureMonitorProfile": dict,
    "azureMonitorProfile.containerInsights": dict,
    "azureMonitorProfile.containerInsights.enabled": bool,
    "azureMonitorProfile.containerInsights.logAnalyticsWorkspaceResourceId": str,
    "azureMonitorProfile.metrics": dict,
    "azureMonitorProfile.metrics.enabled": bool,
    "bootstrapProfile": dict,
    "disableLocalAccounts": bool,
    "dnsPrefix": str,
    "enableRBAC": bool,
    "identityProfile": dict,
    "kubernetesVersion": str,
    "linuxProfile": dict,
    "metricsProfile": dict,
    "metricsProfile.costAnalysis": dict,
    "networkProfile": dict,
    "networkProfile.dnsServiceIP": str,
    "networkProfile.loadBalancerProfile": dict,
    "networkProfile.loadBalancerProfile.managedOutboundIPs": dict,
    "networkProfile.networkDataplane": str,
    "networkProfile.networkPlugin": str,
    "networkProfile.networkPluginMode": str,
    "networkProfile.outboundType": str,
    "networkProfile.podCidr": str,
    "networkProfile.serviceCidr": str,
    "nodeProvisioningProfile": dict,
    "nodeResourceGroup": str,
    "nodeResourceGroupProfile": dict,
    "oidcIssuerProfile": dict,
    "oidcIssuerProfile.enabled": bool,
    "securityProfile": dict,
    "servicePrincipalProfile": dict,
    "storageProfile": dict,
    "storageProfile.diskCSIDriver": dict,
    "storageProfile.fileCSIDriver": dict,
    "storageProfile.snapshotController": dict,
    "supportPlan": str,
    "workloadAutoScalerProfile": dict,
}
POOL: dict[str, type] = {
    "availabilityZones": list,
    "count": int,
    "enableAutoScaling": bool,
    "enableNodePublicIP": bool,
    "maxCount": int,
    "maxPods": int,
    "minCount": int,
    "mode": str,
    "nodeLabels": dict,
    "nodeTaints": list,
    "orchestratorVersion": str,
    "osDiskSizeGB": int,
    "osType": str,
    "powerState": dict,
    "securityProfile": dict,
    "upgradeSettings": dict,
    "upgradeSettings.maxSurge": str,
    "vmSize": str,
    "vnetSubnetID": str,
}
TOP: dict[str, type] = {
    "identity": dict,
    "identity.type": str,
    "identity.userAssignedIdentities": dict,
    "sku": dict,
}


def check_cluster(body: Json) -> None:
    """Refuse a cluster whose JSON has another shape than AKS's."""
    _check(body, TOP, "")
    properties = body.get("properties") or {}
    _check(properties, CLUSTER, "properties.")
    for name, profile in (properties.get("addonProfiles") or {}).items():
        _check({"profile": profile}, {"profile": dict, "profile.config": dict}, f"addonProfiles.{name}.")
    for number, pool in enumerate(properties.get("agentPoolProfiles") or []):
        if not isinstance(pool, dict):
            raise _wrong(f"agentPoolProfiles[{number}]", pool)
        check_pool(pool)
    _check_version(properties.get("kubernetesVersion"), "kubernetesVersion")
    _check_cidr(properties, "serviceCidr")
    _check_cidr(properties, "podCidr")


def check_pool(properties: Json) -> None:
    """Refuse a node pool whose JSON has another shape than AKS's."""
    _check(properties, POOL, "agentPoolProfile.")
    _check_version(properties.get("orchestratorVersion"), "agentPoolProfile.orchestratorVersion")
    mode = properties.get("mode")
    if mode is not None and mode.lower() not in ("system", "user", "gateway"):
        raise _invalid("agentPoolProfile.mode")
    surge = (properties.get("upgradeSettings") or {}).get("maxSurge")
    if surge is not None and not re.fullmatch(r"\d{1,3}%?", surge):
        raise _invalid("agentPoolProfile.upgradeSettings.maxSurge")


def _check(body: Json, shapes: dict[str, type], prefix: str) -> None:
    for path, kind in shapes.items():
        value: Any = body
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            continue
        # In JSON a truth value is no number, whatever Python thinks.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise _wrong(prefix + path, value)


def _wrong(path: str, value: Any) -> Exception:
    kind = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
    shown = kind.get(type(value), "null")
    text = f"UnmarshalEntity encountered error: json: cannot unmarshal {shown} into {path}."
    return refusal("UnmarshalError", text, target=path)


def _invalid(parameter: str) -> Exception:
    text = (
        f"The value of parameter {parameter} is invalid. Please see https://aka.ms/aks-naming-rules for more "
        "details."
    )
    return refusal("InvalidParameter", text, target=parameter)


def _check_version(version: str | None, parameter: str) -> None:
    if version and not re.fullmatch(r"\d{1,3}\.\d{1,3}(\.\d{1,3})?", version):
        raise _invalid(parameter)


def _check_cidr(properties: Json, name: str) -> None:
    value = (properties.get("networkProfile") or {}).get(name)
    if value is None:
        return
    try:
        if ipaddress.IPv4Network(value).num_addresses >= 16:
            return
    except ValueError:
        pass
    raise _invalid(f"networkProfile.{name}")
