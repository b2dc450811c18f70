"""What AKS fills in: the body of a cluster or a node pool, made of what was sent and what the service adds.

Defaults: the recording TestAPI20250801WithMSI.json of https://github.com/Azure/azure-powershell
(December 2025);
overlay networks and 250 pods: https://learn.microsoft.com/azure/aks/azure-cni-overlay.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from azure_sandbox.providers import aks_entra_access, aks_versions
from azure_sandbox.providers.aks_versions import COMMUNITY

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

# Written by the service only; ignored in what clients send.
CLUSTER_READ_ONLY = (
    "provisioningState",
    "powerState",
    "currentKubernetesVersion",
    "fqdn",
    "azurePortalFQDN",
    "privateFQDN",
    "maxAgentPools",
    "resourceUID",
    "status",
)
POOL_READ_ONLY = (
    "provisioningState",
    "currentOrchestratorVersion",
    "nodeImageVersion",
    "eTag",
    "status",
    "name",
)
# Properties that can't change: kept when a later PUT leaves them out.
KEPT = (
    "dnsPrefix",
    "nodeResourceGroup",
    "networkProfile",
    "linuxProfile",
    "servicePrincipalProfile",
    "identityProfile",
    "windowsProfile",
    "enableRBAC",
    "oidcIssuerProfile",
    "supportPlan",
    # "You can't disable Microsoft Entra integration": https://learn.microsoft.com/azure/aks/enable-authentication-microsoft-entra-id
    "aadProfile",
)
NODE_IMAGE = "AKSUbuntu-2404gen2containerd-202611.03.0"


def defaulted(sent: Any, defaults: Json) -> Json:
    """What was sent, with defaults for what is missing or null; nested objects are completed too."""
    result = {name: value for name, value in (sent or {}).items() if value is not None}
    for name, default in defaults.items():
        if isinstance(default, dict) and isinstance(result.get(name), dict):
            result[name] = defaulted(result[name], default)
        else:
            result.setdefault(name, default)
    return result


def network_profile(sent: Json | None) -> Json:
    """The network profile of a new cluster, without the outbound address, which is made later."""
    profile = defaulted(sent, {"networkPlugin": "kubenet", "loadBalancerSku": "standard"})
    plugin = profile["networkPlugin"]
    overlay = plugin == "azure" and profile.get("networkPluginMode") == "overlay"
    if overlay or plugin == "kubenet":
        profile.setdefault("podCidr", "10.244.0.0/16")
        profile.setdefault("podCidrs", [profile["podCidr"]])
    if plugin == "azure":
        profile.setdefault("networkDataplane", "azure")
    dataplane = profile.get("networkDataplane")
    profile.setdefault("networkPolicy", "cilium" if dataplane == "cilium" else "none")
    profile.setdefault("serviceCidr", "10.0.0.0/16")
    profile.setdefault("serviceCidrs", [profile["serviceCidr"]])
    profile.setdefault("dnsServiceIP", str(ipaddress.ip_network(profile["serviceCidr"])[10]))
    profile.setdefault("outboundType", "loadBalancer")
    profile.setdefault("ipFamilies", ["IPv4"])
    if profile["outboundType"] == "loadBalancer":
        balancer = {"managedOutboundIPs": {"count": 1}, "backendPoolType": "nodeIPConfiguration"}
        profile["loadBalancerProfile"] = defaulted(profile.get("loadBalancerProfile"), balancer)
    return profile


def authorized_ranges(sent: list[str]) -> list[str]:
    """Ranges as AKS stores them: a single address becomes a /32.

    https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges
    """
    return [value if "/" in value else f"{value}/32" for value in sent]


def cluster_properties(
    sandbox: Sandbox, *, sent: Json, live: Json | None, name: str, group: str, location: str, version: str
) -> Json:
    """The properties of a cluster as AKS stores them, node pools left out: those are resources of their own.

    Args:
        sandbox: for ids that are drawn.
        sent: the properties in the request.
        live: the stored properties, None for a new cluster.
        name: cluster name.
        group: resource group name.
        location: region name.
        version: the Kubernetes version asked for, or the default.
    """
    properties = {
        key: value for key, value in sent.items() if value is not None and key not in CLUSTER_READ_ONLY
    }
    properties.pop("agentPoolProfiles", None)
    if live is None:
        properties |= _new_cluster(sandbox, properties, name=name, group=group, location=location)
    else:
        for key in CLUSTER_READ_ONLY + KEPT:
            if key in live and (key in CLUSTER_READ_ONLY or key not in properties):
                properties[key] = live[key]
        properties["networkProfile"] = defaulted(properties["networkProfile"], live["networkProfile"])
    properties["kubernetesVersion"] = version
    properties = defaulted(
        properties,
        {
            "disableLocalAccounts": False,
            "autoUpgradeProfile": {"nodeOSUpgradeChannel": "NodeImage"},
            "securityProfile": {},
            "storageProfile": {
                "diskCSIDriver": {"enabled": True},
                "fileCSIDriver": {"enabled": True},
                "snapshotController": {"enabled": True},
            },
            "oidcIssuerProfile": {"enabled": False},
            "workloadAutoScalerProfile": {},
            "metricsProfile": {"costAnalysis": {"enabled": False}},
            "nodeProvisioningProfile": {"mode": "Manual", "defaultNodePools": "Auto"},
            "bootstrapProfile": {"artifactSource": "Direct"},
            "supportPlan": COMMUNITY,
        },
    )
    _issuer(sandbox, properties, live, location)
    if properties.get("aadProfile") is not None:
        properties["aadProfile"] = aks_entra_access.profile(properties["aadProfile"], sandbox.tenant_id)
    access = properties.get("apiServerAccessProfile")
    if isinstance(access, dict) and access.get("authorizedIPRanges") is not None:
        ranges = authorized_ranges(access["authorizedIPRanges"])
        properties["apiServerAccessProfile"] = {**access, "authorizedIPRanges": ranges}
    return properties


def _new_cluster(sandbox: Sandbox, sent: Json, *, name: str, group: str, location: str) -> Json:
    prefix = sent["dnsPrefix"]
    unique = "".join(sandbox.rng("fqdn", group, name).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=8))
    full = aks_versions.newest_patch(sent.get("kubernetesVersion") or aks_versions.default_minor())
    return {
        "powerState": {"code": "Running"},
        "currentKubernetesVersion": full,
        "fqdn": f"{prefix}-{unique}.hcp.{location}.azmk8s.io",
        "azurePortalFQDN": f"{prefix}-{unique}.portal.hcp.{location}.azmk8s.io",
        "maxAgentPools": 100,
        "resourceUID": f"{sandbox.rng('resourceUID', group, name).getrandbits(96):024x}",
        "enableRBAC": sent.get("enableRBAC", True),
        "nodeResourceGroup": sent.get("nodeResourceGroup") or f"MC_{group}_{name}_{location}",
        # A cluster with a managed identity says so in the place of a service principal.
        "servicePrincipalProfile": {"clientId": "msi"},
        "networkProfile": network_profile(sent.get("networkProfile")),
        "windowsProfile": {"adminUsername": "azureuser", "enableCSIProxy": True},
    }


def _issuer(sandbox: Sandbox, properties: Json, live: Json | None, location: str) -> None:
    """The issuer's URL, which only AKS writes: https://learn.microsoft.com/rest/api/aks/managed-clusters."""
    profile = properties["oidcIssuerProfile"]
    url = ((live or {}).get("oidcIssuerProfile") or {}).get("issuerURL")
    if profile.get("enabled") and not url:
        unique = sandbox.uuid("issuer", properties["resourceUID"])
        url = f"https://{location}.oic.prod-aks.azure.com/{sandbox.tenant_id}/{unique}/"
    if url:
        properties["oidcIssuerProfile"] = {**profile, "issuerURL": url}


def pool_properties(sent: Json, *, live: Json | None, cluster: Json) -> Json:
    """The properties of a node pool as AKS stores them.

    Args:
        sent: the properties in the request, or the cluster's entry in `agentPoolProfiles`.
        live: the stored properties, None for a new pool.
        cluster: the cluster's properties.
    """
    properties = {
        key: value for key, value in sent.items() if value is not None and key not in POOL_READ_ONLY
    }
    if live is not None:
        # What can't change, and what the service writes.
        for key in (
            "vmSize",
            "osDiskSizeGB",
            "osDiskType",
            "kubeletDiskType",
            "maxPods",
            "type",
            "osType",
            "osSKU",
            "availabilityZones",
            "enableNodePublicIP",
            "vnetSubnetID",
            "orchestratorVersion",
            "count",
            "mode",
            "powerState",
        ):
            if key in live:
                properties.setdefault(key, live[key])
        properties["nodeImageVersion"] = live["nodeImageVersion"]
        properties["currentOrchestratorVersion"] = live["currentOrchestratorVersion"]
    network = cluster["networkProfile"]
    flat = network["networkPlugin"] == "azure" and network.get("networkPluginMode") != "overlay"
    properties = defaulted(
        properties,
        {
            "count": 1,
            "osDiskSizeGB": 128,
            "osDiskType": "Managed",
            "kubeletDiskType": "OS",
            "maxPods": 30 if flat else 110 if network["networkPlugin"] == "kubenet" else 250,
            "type": "VirtualMachineScaleSets",
            "enableAutoScaling": False,
            "scaleDownMode": "Delete",
            "powerState": {"code": "Running"},
            "orchestratorVersion": cluster["kubernetesVersion"],
            "enableNodePublicIP": False,
            "enableEncryptionAtHost": False,
            "enableUltraSSD": False,
            "mode": "User",
            "osType": "Linux",
            "osSKU": "Ubuntu",
            "nodeImageVersion": NODE_IMAGE,
            "upgradeSettings": {"maxSurge": "10%", "maxUnavailable": "0"},
            "enableFIPS": False,
            "securityProfile": {
                "sshAccess": "LocalUser",
                "enableVTPM": False,
                "enableSecureBoot": False,
            },
        },
    )
    version = properties["orchestratorVersion"]
    if live is None or version != live["orchestratorVersion"]:
        current = (live or {}).get("currentOrchestratorVersion", "")
        if live is None or aks_versions.minor_of(current) != version:
            properties["currentOrchestratorVersion"] = (
                cluster["currentKubernetesVersion"]
                if version == aks_versions.minor_of(cluster["currentKubernetesVersion"])
                else aks_versions.newest_patch(version)
            )
    return properties
