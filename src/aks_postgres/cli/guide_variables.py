"""The guide's own variables, for going on with its next article in a shell.

Every variable that "Create infrastructure" exports or echoes, in its order; last, the one that
"Deploy" exports.
https://learn.microsoft.com/azure/aks/create-postgresql-ha
https://learn.microsoft.com/azure/aks/deploy-postgresql-ha
"""

from __future__ import annotations

import json
from collections.abc import Callable

from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.spec.environment import EnvironmentSpec

VARIABLES: dict[str, Callable[[EnvironmentSpec, EnvironmentOutputs], str]] = {
    # Set environment variables
    "SUFFIX": lambda _, o: o.place.names.suffix,
    "LOCAL_NAME": lambda spec, o: spec.name,
    "TAGS": lambda spec, o: " ".join(f"{key}={value}" for key, value in spec.tags.items()),
    "RESOURCE_GROUP_NAME": lambda _, o: o.place.names.resource_group,
    "PRIMARY_CLUSTER_REGION": lambda spec, o: spec.region,
    "AKS_PRIMARY_CLUSTER_NAME": lambda _, o: o.cluster.name,
    "AKS_PRIMARY_MANAGED_RG_NAME": lambda _, o: o.place.names.node_resource_group,
    "AKS_PRIMARY_CLUSTER_FED_CREDENTIAL_NAME": lambda _, o: o.place.names.federated_credential,
    "AKS_PRIMARY_CLUSTER_PG_DNSPREFIX": lambda _, o: o.place.names.postgres_dns_prefix,
    # Of the guide's one identity, the next article uses the right to write backups.
    "AKS_UAMI_CLUSTER_IDENTITY_NAME": lambda _, o: o.backup_identity.name,
    "AKS_CLUSTER_VERSION": lambda _, o: o.cluster.kubernetes_version,
    "PG_NAMESPACE": lambda spec, o: spec.namespaces.database,
    "PG_SYSTEM_NAMESPACE": lambda spec, o: spec.namespaces.operator,
    "PG_PRIMARY_CLUSTER_NAME": lambda _, o: o.place.names.postgres_cluster,
    "PG_PRIMARY_STORAGE_ACCOUNT_NAME": lambda _, o: o.storage_account.name,
    "PG_STORAGE_BACKUP_CONTAINER_NAME": lambda _, o: o.container.name,
    "ENABLE_AZURE_PVC_UPDATES": lambda _spec, _o: "true",
    # A list of ranges where the guide has one address: az takes both for --api-server-authorized-ip-ranges.
    "MY_PUBLIC_CLIENT_IP": lambda _, o: o.place.worker_address or ",".join(o.place.authorized_ip_ranges),
    # Create a user-assigned managed identity
    "AKS_UAMI_WI_IDENTITY": lambda spec, o: json.dumps(
        {
            "clientId": o.backup_identity.client_id,
            "id": o.backup_identity.id,
            "location": spec.region,
            "name": o.backup_identity.name,
            "principalId": o.backup_identity.principal_id,
            "resourceGroup": o.place.names.resource_group,
            "tenantId": o.place.tenant_id,
        }
    ),
    "AKS_UAMI_WORKLOAD_OBJECTID": lambda _, o: o.backup_identity.principal_id,
    "AKS_UAMI_WORKLOAD_RESOURCEID": lambda _, o: o.backup_identity.id,
    "AKS_UAMI_WORKLOAD_CLIENTID": lambda _, o: o.backup_identity.client_id,
    # Create a storage account in the primary region
    "USER_ID": lambda _, o: o.place.caller_object_id,
    "STORAGE_ACCOUNT_PRIMARY_RESOURCE_ID": lambda _, o: o.storage_account.id,
    # Set up monitoring infrastructure
    "GRAFANA_PRIMARY": lambda _, o: o.grafana.name,
    "GRAFANA_RESOURCE_ID": lambda _, o: o.grafana.id,
    "AMW_PRIMARY": lambda _, o: o.monitor_workspace.name,
    "AMW_RESOURCE_ID": lambda _, o: o.monitor_workspace.id,
    "ALA_PRIMARY": lambda _, o: o.log_workspace.name,
    "ALA_RESOURCE_ID": lambda _, o: o.log_workspace.id,
    # Create the AKS cluster to host the PostgreSQL cluster
    "SYSTEM_NODE_POOL_VMSKU": lambda spec, o: spec.system_pool.vm_size,
    "USER_NODE_POOL_NAME": lambda _, o: o.postgres_pool.name,
    "USER_NODE_POOL_VMSKU": lambda spec, o: spec.postgres_pool.vm_size,
    # Storage considerations; the class that AKS brings along, of the guide's three choices
    "POSTGRES_STORAGE_CLASS": lambda _spec, _o: "managed-csi-premium",
    # Create a public static IP for PostgreSQL cluster ingress
    "AKS_PRIMARY_CLUSTER_NODERG_NAME": lambda _, o: o.cluster.node_resource_group,
    "AKS_PRIMARY_CLUSTER_PUBLICIP_NAME": lambda _, o: o.public_ip.name,
    "AKS_PRIMARY_CLUSTER_PUBLICIP_ADDRESS": lambda _, o: o.public_ip.ip_address,
    "AKS_PRIMARY_CLUSTER_NODERG_NAME_SCOPE": lambda _, o: o.cluster.node_resource_group_id,
    # Deploy, "Create a federated credential"
    "AKS_PRIMARY_CLUSTER_OIDC_ISSUER": lambda _, o: o.cluster.oidc_issuer_url,
}


def guide_variables(spec: EnvironmentSpec, outputs: EnvironmentOutputs) -> dict[str, str]:
    """Every variable with its value in this environment."""
    return {name: value_of(spec, outputs) for name, value_of in VARIABLES.items()}
