"""Which field of the spec a place in an Azure resource comes from, so that a plan speaks the spec's language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aks_postgres.spec.environment import EnvironmentSpec

_CLUSTER = "microsoft.containerservice/managedclusters"
_POOL = f"{_CLUSTER}/agentpools"
_GROUP = "microsoft.resources/resourcegroups"

# Of a node pool, below `properties.` or in the cluster's list of pools.
_POOL_FIELDS = {
    "name": "name",
    "vmSize": "vm_size",
    "minCount": "min_count",
    "maxCount": "max_count",
    "availabilityZones": "zones",
}
_SUBNET = "vnetSubnetID"
_FIELDS: dict[str, dict[str, str]] = {
    _CLUSTER: {
        "properties.kubernetesVersion": "cluster.kubernetes_version",
        "sku.tier": "cluster.tier",
        "properties.supportPlan": "cluster.tier",
        "properties.aadProfile.managed": "cluster.access",
        "properties.aadProfile.enableAzureRBAC": "cluster.access",
        "properties.disableLocalAccounts": "cluster.access",
        "properties.apiServerAccessProfile.authorizedIPRanges": "network.authorized_ip_ranges",
        "properties.linuxProfile.ssh.publicKeys": "cluster.ssh_public_key",
    },
    "microsoft.storage/storageaccounts": {
        "sku.name": "storage.sku",
        "properties.allowSharedKeyAccess": "storage.shared_keys",
        "properties.publicNetworkAccess": "storage.public_network_access",
    },
    "microsoft.storage/storageaccounts/blobservices": {
        "properties.deleteRetentionPolicy.days": "storage.soft_delete_days",
        "properties.containerDeleteRetentionPolicy.days": "storage.soft_delete_days",
    },
    "microsoft.storage/storageaccounts/blobservices/containers": {"name": "storage.container"},
    "microsoft.dashboard/grafana": {
        "properties.zoneRedundancy": "monitoring.grafana_zone_redundancy",
        "properties.publicNetworkAccess": "monitoring.grafana_public_network_access",
    },
    "microsoft.operationalinsights/workspaces": {
        "properties.retentionInDays": "monitoring.log_retention_days",
    },
}
_SYSTEM_POOL = re.compile(r"^properties\.agentPoolProfiles\[(?P<name>[^\]]+)\](\.(?P<rest>.*))?$")


def resource_type(resource_id: str) -> str:
    """The type in lower case, such as `microsoft.network/publicipaddresses`; a resource group's like ARM's own."""
    _, provider, after = resource_id.rpartition("/providers/")
    if not provider:
        return _GROUP
    namespace, *rest = after.split("/")
    return "/".join([namespace, *rest[::2]]).casefold()


def system_pool_of(path: str) -> str | None:
    """The name of the pool that a path inside a cluster is about; None for the cluster's own."""
    found = _SYSTEM_POOL.match(path)
    return found["name"] if found else None


def spec_field(kind: str, path: str, spec: EnvironmentSpec) -> str | None:
    """The field of the spec that decides this place; None for what the guide or Azure decides.

    Args:
        kind: of the resource, by `resource_type`.
        path: ARM's, such as `properties.maxCount`.
        spec: the environment wanted.
    """
    if path.startswith("tags."):
        tag = path.removeprefix("tags.")
        return path if tag in spec.tags else None
    if path == "location":
        return "region"
    if kind == _POOL:
        return _pool_field("postgres_pool", path.removeprefix("properties."))
    if kind == _CLUSTER and (pool := _SYSTEM_POOL.match(path)):
        return _pool_field("system_pool", pool["rest"] or "name")
    if path.endswith("authorizedIPRanges") and spec.network.open_to_internet:
        return "network.open_to_internet"
    if path.startswith("storage."):  # a refusal that speaks of the spec already
        return path
    return _FIELDS.get(kind, {}).get(path)


def _pool_field(pool: str, rest: str) -> str | None:
    if rest.startswith("nodeLabels."):
        return f"{pool}.labels.{rest.removeprefix('nodeLabels.')}"
    if rest == _SUBNET:
        return "network.subnet_id"
    if rest == "orchestratorVersion":
        return "cluster.kubernetes_version"
    return f"{pool}.{_POOL_FIELDS[rest]}" if rest in _POOL_FIELDS else None


def spec_value(path: str, value: Any) -> Any:
    """An Azure value as the spec says it."""
    if path.endswith(".zoneRedundancy"):
        return None if value is None else value == "Enabled"
    if path.endswith((".aadProfile.managed", ".enableAzureRBAC", ".disableLocalAccounts")):
        return "entra" if value is True else "local_accounts"
    if path.endswith(".allowSharedKeyAccess"):
        return "denied" if value is False else "allowed"
    if path.endswith(".publicNetworkAccess"):
        return str(value or "Enabled").lower()
    if path.endswith("ssh.publicKeys") and isinstance(value, list) and value:
        return value[0].get("keyData")
    return value


def places(body: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every place in a body with its value, as `aks_postgres.arm.diff` writes paths."""
    if isinstance(body, dict):
        for key, value in body.items():
            yield from places(value, f"{path}.{key}" if path else str(key))
    elif isinstance(body, list) and body and all(isinstance(item, dict) and "name" in item for item in body):
        for item in body:
            yield from places(item, f"{path}[{item['name']}]")
    else:
        yield path, body
