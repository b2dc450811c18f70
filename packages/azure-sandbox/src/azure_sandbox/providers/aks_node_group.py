"""The node resource group of a cluster: made by AKS when it makes the cluster, gone with it.

What is in it: https://learn.microsoft.com/azure/aks/concepts-clusters-workloads#node-resource-group (a scale
set for each pool, a virtual network, a load balancer with its outbound address, the kubelet's identity).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.core.policies import denying, policy_error
from azure_sandbox.core.responses import ArmError
from azure_sandbox.providers.aks_validation import addon_of
from azure_sandbox.providers.container_service import lower_group, pools_of
from azure_sandbox.providers.network import new_address
from azure_sandbox.providers.resources import make_group

if TYPE_CHECKING:
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

SCALE_SET = "Microsoft.Compute/virtualMachineScaleSets"
PUBLIC_IP = "Microsoft.Network/publicIPAddresses"
NETWORK = "Microsoft.Network/virtualNetworks"
SECURITY_GROUP = "Microsoft.Network/networkSecurityGroups"
BALANCER = "Microsoft.Network/loadBalancers"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"


def group_id(sandbox: Sandbox, cluster: Resource) -> str:
    """The id of a cluster's node resource group."""
    return f"{sandbox.subscription}/resourceGroups/{cluster.properties['nodeResourceGroup']}"


def make_node_group(sandbox: Sandbox, cluster: Resource) -> Resource:
    """Make the group itself, with the tags that AKS puts on it, and let the cluster's identity work in it."""
    known = sandbox.store.get(group_id(sandbox, cluster))
    if known is not None:
        return known
    group = make_group(
        sandbox,
        group_id(sandbox, cluster),
        cluster.location,
        managedBy=lower_group(cluster.id),
        tags={
            **(cluster.body.get("tags") or {}),
            "aks-managed-cluster-name": cluster.name,
            "aks-managed-cluster-rg": cluster.group_id.rsplit("/", 1)[-1],
        },
    )
    profile = cluster.properties.get("nodeResourceGroupProfile") or {}
    if profile.get("restrictionLevel") == "ReadOnly":
        # https://learn.microsoft.com/azure/aks/node-resource-group-lockdown
        group.notes["deny_assignment"] = "AKS node resource group lockdown"
    let_identity_in(sandbox, cluster)
    return group


def let_identity_in(sandbox: Sandbox, cluster: Resource) -> None:
    """Give the cluster's identity Contributor on the node resource group, as AKS does at each write that sets it.

    https://learn.microsoft.com/azure/aks/use-managed-identity
    """
    identity = cluster.body.get("identity") or {}
    principals = [value["principalId"] for value in (identity.get("userAssignedIdentities") or {}).values()]
    for principal_id in principals or [identity.get("principalId")]:
        if principal_id:
            sandbox.assign(CONTRIBUTOR, principal_id, group_id(sandbox, cluster))


def check_group(sandbox: Sandbox, cluster: Resource) -> None:
    """Without its node resource group a pool's operation fails: its scale set has no place to be.

    https://github.com/MicrosoftDocs/azure-docs/issues/14880: what was in the group can't be recovered.
    """
    if sandbox.store.get(group_id(sandbox, cluster)) is None:
        name = cluster.properties["nodeResourceGroup"]
        raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")


def check_identity(sandbox: Sandbox, cluster: Resource) -> None:
    """With its identity deleted, or made anew under its name since, AKS can do nothing in Azure any more.

    That clusters fail then, and that a later write with the identity mends it:
    https://github.com/Azure/AKS/issues/3833, https://github.com/Azure/azure-cli/issues/19733. The words are those of a
    scale set with a deleted identity (https://github.com/Azure/aad-pod-identity/issues/515, raw), for a cluster
    unverified.
    """
    for identity_id, about in (cluster.body.get("identity") or {}).get("userAssignedIdentities", {}).items():
        live = sandbox.store.get(identity_id)
        if live is None or live.properties["principalId"] != about["principalId"]:
            text = (
                f"Identity operation for resource '{cluster.id}' failed with error 'Failed to perform resource "
                f'identity operation. Status: \'BadRequest\'. Response: \'{{"error":{{"code":"BadRequest","message":'
                f"\"Resource '{identity_id}' was not found.\"}}}}'.'."
            )
            raise ArmError(400, "FailedIdentityOperation", text)


def scale_set_removed(scale_set: Resource, sandbox: Sandbox) -> None:
    """Somebody deleted the machines of a pool: its nodes go, and AKS goes on calling cluster and pool Succeeded.

    The cloud's node controller deletes nodes without a machine:
    https://kubernetes.io/docs/concepts/architecture/cloud-controller/#node-controller. That nothing of it shows in the
    cluster's state: https://github.com/MicrosoftDocs/azure-docs/issues/14880.
    """
    for cluster in sandbox.store.of_type("Microsoft.ContainerService/managedClusters"):
        if group_id(sandbox, cluster).lower() != scale_set.group_id.lower() or cluster.state == "Deleting":
            continue
        for pool in pools_of(sandbox, cluster):
            if scale_set_name(sandbox, cluster, pool) == scale_set.name:
                pool.notes["has_nodes"] = False


def fill_node_group(sandbox: Sandbox, cluster: Resource) -> None:
    """Make what a working cluster has in its node resource group; again changes nothing."""
    group = make_node_group(sandbox, cluster)
    number = sandbox.rng("agentpool number", cluster.id).randint(10_000_000, 99_999_999)
    location = cluster.location

    def make(full_type: str, name: str, properties: Json, **body: Any) -> Resource:
        resource_id = f"{group.id}/providers/{full_type}/{name}"
        known = sandbox.store.get(resource_id)
        if known is not None:
            return known
        state = {"provisioningState": "Succeeded"}
        content = {"location": location, **body, "properties": {**properties, **state}}
        check_policies(sandbox, full_type, resource_id, content)
        return sandbox.store.put(resource_id, full_type, content)

    _kubelet_identity(sandbox, cluster, group, make)
    _agent_identity(sandbox, cluster, group, make)
    make(SECURITY_GROUP, f"aks-agentpool-{number}-nsg", {"securityRules": []})
    if not any(pool.properties.get("vnetSubnetID") for pool in pools_of(sandbox, cluster)):
        space = {"addressSpace": {"addressPrefixes": ["10.224.0.0/12"]}}
        make(NETWORK, f"aks-vnet-{number}", space)
    if cluster.properties["networkProfile"].get("outboundType") == "loadBalancer":
        _outbound_address(sandbox, cluster, make)
    sync_scale_sets(sandbox, cluster)


def check_policies(sandbox: Sandbox, full_type: str, resource_id: str, body: Json) -> None:
    """A policy that denies what AKS makes lets AKS's operation fail.

    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes (error code RequestDisallowedByPolicy)
    """
    for policy in denying(sandbox, full_type, body, resource_id):
        raise policy_error(sandbox, policy, resource_id)


def _kubelet_identity(sandbox: Sandbox, cluster: Resource, group: Resource, make: Any) -> None:
    if (cluster.properties.get("identityProfile") or {}).get("kubeletidentity"):
        return
    name = f"{cluster.name}-agentpool"
    identity_id = f"{group.id}/providers/{IDENTITY}/{name}"
    principal = sandbox.entra.add_managed_identity(identity_id, name)
    properties = {
        "tenantId": sandbox.tenant_id,
        "principalId": principal.object_id,
        "clientId": principal.client_id,
    }
    make(IDENTITY, name, properties, tags={})
    cluster.properties["identityProfile"] = {
        "kubeletidentity": {
            "resourceId": lower_group(identity_id),
            "clientId": principal.client_id,
            "objectId": principal.object_id,
        }
    }


def _agent_identity(sandbox: Sandbox, cluster: Resource, group: Resource, make: Any) -> None:
    """Container insights signs in with an identity of its own, `omsagent-<cluster>`, once it is on.

    https://learn.microsoft.com/azure/aks/use-managed-identity#summary-of-managed-identities-used-by-aks
    """
    addon = addon_of(cluster.properties, "omsagent") or {}
    if not addon.get("enabled") or addon.get("identity"):
        return
    name = f"omsagent-{cluster.name.lower()}"
    identity_id = f"{group.id}/providers/{IDENTITY}/{name}"
    principal = sandbox.entra.add_managed_identity(identity_id, name)
    ids = {"principalId": principal.object_id, "clientId": principal.client_id}
    made = make(IDENTITY, name, {"tenantId": sandbox.tenant_id, **ids}, tags={})
    addon["identity"] = {
        "resourceId": lower_group(made.id),
        "clientId": made.properties["clientId"],
        "objectId": made.properties["principalId"],
    }


def _outbound_address(sandbox: Sandbox, cluster: Resource, make: Any) -> None:
    profile = cluster.properties["networkProfile"]["loadBalancerProfile"]
    if profile.get("effectiveOutboundIPs"):
        return
    address = make(
        PUBLIC_IP,
        str(sandbox.uuid("outbound", cluster.id)),
        {
            "ipAddress": new_address(sandbox, cluster.id),
            "publicIPAddressVersion": "IPv4",
            "publicIPAllocationMethod": "Static",
            "idleTimeoutInMinutes": 30,
        },
        sku={"name": "Standard", "tier": "Regional"},
        tags={"aks-managed-type": "aks-slb-managed-outbound-ip"},
    )
    make(
        BALANCER, "kubernetes", {"frontendIPConfigurations": []}, sku={"name": "Standard", "tier": "Regional"}
    )
    cluster.properties["networkProfile"] = {
        **cluster.properties["networkProfile"],
        "loadBalancerProfile": {**profile, "effectiveOutboundIPs": [{"id": address.id}]},
    }


def outbound_address(sandbox: Sandbox, cluster: Resource) -> str | None:
    """The address that a cluster's own nodes come from, None before it has one."""
    profile = cluster.properties["networkProfile"].get("loadBalancerProfile") or {}
    for reference in profile.get("effectiveOutboundIPs") or ():
        address = sandbox.store.get(reference["id"])
        if address is not None:
            return str(address.properties["ipAddress"])
    return None


def scale_set_name(sandbox: Sandbox, cluster: Resource, pool: Resource) -> str:
    """`aks-systempool-12345678-vmss`."""
    number = sandbox.rng("agentpool number", cluster.id).randint(10_000_000, 99_999_999)
    return f"aks-{pool.name}-{number}-vmss"


def sync_scale_sets(sandbox: Sandbox, cluster: Resource) -> None:
    """Let each pool have its scale set with its node count, and no pool that is gone."""
    group = group_id(sandbox, cluster)
    wanted = set()
    for pool in pools_of(sandbox, cluster):
        name = scale_set_name(sandbox, cluster, pool)
        resource_id = f"{group}/providers/{SCALE_SET}/{name}"
        wanted.add(resource_id.lower())
        properties = pool.properties
        body = {
            "location": cluster.location,
            "sku": {"name": properties["vmSize"], "tier": "Standard", "capacity": properties["count"]},
            "zones": properties.get("availabilityZones") or [],
            "tags": {"aks-managed-poolName": pool.name},
            "properties": {"provisioningState": "Succeeded", "orchestrationMode": "Uniform"},
        }
        if sandbox.store.get(resource_id) is None:
            check_policies(sandbox, SCALE_SET, resource_id, body)
        sandbox.store.put(resource_id, SCALE_SET, body)
    for scale_set in sandbox.store.under(group, SCALE_SET):
        if scale_set.id.lower() not in wanted:
            sandbox.remove(scale_set)


def remove_node_group(sandbox: Sandbox, cluster: Resource) -> None:
    """Remove the group and everything in it, whoever made it."""
    group = sandbox.store.get(group_id(sandbox, cluster))
    if group is not None:
        sandbox.remove(group)
