"""What AKS refuses before it starts anything: one function per rule, the source of its text beside it.

Overview of the codes: https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/error-codes
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.responses import ArmError
from azure_sandbox.providers.container_service import CLUSTER, refusal

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

NAMING = "Please see https://aka.ms/aks-naming-rules for more details."
ASSIGN = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
MAX_RANGES = 200
# New Enterprise Agreement subscriptions, per region.
MAX_CLUSTERS = 100

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


def check_cluster_count(sandbox: Sandbox, location: str) -> None:
    """A region holds so many clusters of a subscription (setting `quota`, name `ManagedClusters`).

    Text and number: https://learn.microsoft.com/azure/aks/quotas-skus-regions
    """
    limit = int(sandbox.settings["quota"].get("ManagedClusters", MAX_CLUSTERS))
    here = [cluster for cluster in sandbox.store.of_type(CLUSTER) if cluster.location == location]
    if len(here) >= limit:
        raise refusal(
            "ManagedClusterCountExceedsQuotaLimit",
            f"Operation results in exceeding quota limits for managed clusters. Maximum allowed: {limit}, "
            f"Current usage: {len(here)}, Additional requested: 1. Consider deleting unused clusters or "
            "requesting a quota increase.",
        )


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
            ipaddress.IPv4Network(str(value), strict=False)
        except ValueError:
            raise invalid(parameter, f"'{value}' is not a valid IPv4 CIDR.") from None


def check_network(properties: Json, pools: list[Json]) -> None:
    """Refuse Cilium without what it needs, and overlay without Azure CNI.

    Without Azure CNI: https://learn.microsoft.com/azure/aks/azure-cni-powered-by-cilium (the text is ours). Without
    addresses for pods: https://github.com/Azure/AKS/issues/3484 (raw). With another policy:
    https://github.com/Azure/AKS-Construction/issues/535 (raw).

    Args:
        properties: the cluster's.
        pools: its node pools' properties.
    """
    network = properties.get("networkProfile") or {}
    plugin, mode, policy = (
        network.get(name) for name in ("networkPlugin", "networkPluginMode", "networkPolicy")
    )
    if mode == "overlay" and plugin not in ("azure", None):
        raise invalid("networkProfile.networkPluginMode", "overlay requires networkPlugin azure.")
    if network.get("networkDataplane") != "cilium":
        if policy == "cilium":
            text = "Network policy cilium requires cilium dataplane."
            raise refusal(
                "BadRequest",
                text,
                target="networkProfile.networkPolicy",
                subcode="NetworkPolicyCiliumRequiresCiliumDataplane",
            )
        return
    if plugin != "azure":
        raise invalid("networkProfile.networkDataplane", "cilium requires networkPlugin azure.")
    if mode != "overlay" and not any(pool.get("podSubnetID") for pool in pools):
        text = "Cilium dataplane requires either network plugin mode overlay or pod subnet"
        raise refusal("BadRequest", text, target="networkProfile.networkPluginMode")
    if policy not in (None, "cilium"):
        raise refusal(
            "BadRequest",
            "Cilium dataplane requires network policy cilium.",
            target="networkProfile.networkPolicy",
            subcode="CiliumDataplaneRequiresNetworkPolicyCilium",
        )


def check_workload_identity(properties: Json) -> None:
    """Refuse workload identity without the issuer of its tokens.

    https://learn.microsoft.com/azure/aks/workload-identity-deploy-cluster (code and text are ours)
    """
    wanted = at(properties, "securityProfile.workloadIdentity.enabled")
    if wanted and not at(properties, "oidcIssuerProfile.enabled"):
        text = "Workload identity requires the OIDC issuer: set oidcIssuerProfile.enabled to true."
        raise refusal("BadRequest", text, target="securityProfile.workloadIdentity")


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
