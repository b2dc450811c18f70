"""The models that Microsoft publishes in its SDKs, where these take a body as ARM has it and lose nothing of it.

Those of azure-mgmt-msi, -monitor and -authorization are of an older generation: they have names of their own for the
fields, and drop what they don't know. Rule groups have no stable client.
"""

from typing import Any

from azure.core.serialization import attribute_list, is_generated_model
from azure.mgmt.containerservice.models import AgentPool, ManagedCluster
from azure.mgmt.dashboard.models import ManagedGrafana
from azure.mgmt.loganalytics.models import Workspace
from azure.mgmt.network.models import PublicIPAddress
from azure.mgmt.resource.resources.models import ResourceGroup
from azure.mgmt.storage.models import (
    BlobContainer,
    BlobServiceProperties,
    ImmutabilityPolicy,
    ManagementPolicy,
    StorageAccountCreateParameters,
)

# By the operation that writes the whole resource.
MODELS: dict[str, Any] = {
    "AgentPools_CreateOrUpdate": AgentPool,
    "BlobContainers_Create": BlobContainer,
    "BlobContainers_CreateOrUpdateImmutabilityPolicy": ImmutabilityPolicy,
    "BlobServices_SetServiceProperties": BlobServiceProperties,
    "Grafana_Create": ManagedGrafana,
    "ManagedClusters_CreateOrUpdate": ManagedCluster,
    "ManagementPolicies_CreateOrUpdate": ManagementPolicy,
    "PublicIPAddresses_CreateOrUpdate": PublicIPAddress,
    "ResourceGroups_CreateOrUpdate": ResourceGroup,
    "StorageAccounts_Create": StorageAccountCreateParameters,
    "Workspaces_CreateOrUpdate": Workspace,
}


def as_modelled(operation: str, body: Any) -> Any:
    """The body with what the operation's model has fields for; all of it where there is no such model."""
    return _again(MODELS[operation](body)).as_dict() if operation in MODELS else body


def _again(value: Any) -> Any:
    if is_generated_model(value):
        fields = {name: getattr(value, name) for name in attribute_list(value)}
        return type(value)(**{name: _again(field) for name, field in fields.items() if field is not None})
    if isinstance(value, list):
        return [_again(item) for item in value]
    return {key: _again(item) for key, item in value.items()} if isinstance(value, dict) else value
