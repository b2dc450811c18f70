"""The steps that make something, and the resources that the guide's commands make: what is sent, and who may do what.

Bodies are those of the real az, captured command by command, with our differences marked `#:`; their reasons are
in the table "Where we differ from the guide" of docs/explanation/guide.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from aks_postgres.tasks.aks_cluster import ensure_cluster, ensure_node_pool, reach_api_server, request_cluster
from aks_postgres.tasks.backup_immutability import ensure_backup_immutability
from aks_postgres.tasks.backup_lifecycle import ensure_backup_lifecycle
from aks_postgres.tasks.backup_protection import ensure_backup_protection
from aks_postgres.tasks.cnpg_operator import ensure_cnpg_operator
from aks_postgres.tasks.container_insights import (
    ensure_container_insights,
    ensure_logs_association,
    ensure_logs_rule,
)
from aks_postgres.tasks.grafana import (
    ensure_grafana,
    ensure_grafana_link,
    ensure_grafana_roles,
    ensure_metrics_reader,
    ensure_node_group_reader,
)
from aks_postgres.tasks.managed_identity import ensure_backup_identity, ensure_managed_identity
from aks_postgres.tasks.managed_prometheus import (
    ensure_metrics_association,
    ensure_metrics_endpoint,
    ensure_metrics_on,
    ensure_metrics_rule,
    ensure_rule_groups,
)
from aks_postgres.tasks.monitor_workspaces import ensure_log_workspace, ensure_monitor_workspace
from aks_postgres.tasks.monitoring_agents import restart_stuck_agents
from aks_postgres.tasks.namespaces import ensure_namespaces
from aks_postgres.tasks.public_ip import ensure_network_role, ensure_public_ip
from aks_postgres.tasks.resource_group import ensure_backup_group, ensure_resource_group
from aks_postgres.tasks.storage import ensure_backup_container, ensure_blob_roles, ensure_storage_account
from aks_postgres.tasks.subnet import ensure_subnet_role
from aks_postgres.version import product_version

from .world import Json, Step, World

# Every step of the guide that makes something: what it takes, in the order of its arguments, and what comes before.
STEPS = {
    "resource_group": Step(ensure_resource_group, ("spec", "place")),
    "identity": Step(ensure_managed_identity, ("spec", "place", "resource_group")),
    "backup_identity": Step(ensure_backup_identity, ("spec", "place", "resource_group", "identity")),
    "backup_group": Step(ensure_backup_group, ("spec", "place", "resource_group")),
    "storage_account": Step(ensure_storage_account, ("spec", "place", "backup_group")),
    "container": Step(ensure_backup_container, ("spec", "storage_account")),
    "backup_protection": Step(ensure_backup_protection, ("spec", "storage_account")),
    "backup_lifecycle": Step(ensure_backup_lifecycle, ("spec", "storage_account")),
    "backup_immutability": Step(
        ensure_backup_immutability, ("spec", "storage_account", "container"), after=("backup_protection",)
    ),
    "blob_roles": Step(ensure_blob_roles, ("spec", "identity", "storage_account")),
    "grafana": Step(ensure_grafana, ("spec", "place", "resource_group")),
    "monitor_workspace": Step(ensure_monitor_workspace, ("spec", "place", "resource_group")),
    "log_workspace": Step(ensure_log_workspace, ("spec", "place", "resource_group")),
    "metrics_endpoint": Step(
        ensure_metrics_endpoint, ("spec", "place", "resource_group", "monitor_workspace")
    ),
    "metrics_rule": Step(
        ensure_metrics_rule, ("spec", "place", "resource_group", "monitor_workspace", "metrics_endpoint")
    ),
    "logs_rule": Step(ensure_logs_rule, ("spec", "place", "resource_group", "log_workspace")),
    "subnet_role": Step(ensure_subnet_role, ("spec", "identity")),
    "cluster": Step(ensure_cluster, ("spec", "place", "resource_group", "identity")),
    "requested": Step(request_cluster, ("spec", "place", "resource_group", "identity", "log_workspace")),
    "metrics_association": Step(ensure_metrics_association, ("cluster", "metrics_rule")),
    "metrics_on": Step(ensure_metrics_on, ("spec", "cluster"), after=("metrics_association",)),
    "node_pool": Step(ensure_node_pool, ("spec", "place", "cluster")),
    "logs_association": Step(ensure_logs_association, ("cluster", "logs_rule")),
    "container_insights": Step(
        ensure_container_insights, ("spec", "cluster", "log_workspace"), after=("logs_association",)
    ),
    "rule_groups": Step(ensure_rule_groups, ("spec", "place", "cluster", "monitor_workspace")),
    "grafana_roles": Step(ensure_grafana_roles, ("spec", "place", "resource_group", "grafana")),
    "node_group_reader": Step(ensure_node_group_reader, ("spec", "cluster", "grafana")),
    "metrics_reader": Step(ensure_metrics_reader, ("grafana", "monitor_workspace")),
    "grafana_link": Step(ensure_grafana_link, ("grafana", "monitor_workspace")),
    "public_ip": Step(ensure_public_ip, ("spec", "place", "cluster")),
    "network_role": Step(ensure_network_role, ("cluster", "identity")),
    "api_server": Step(reach_api_server, ("place", "cluster")),
    "agents": Step(restart_stuck_agents, ("cluster", "api_server")),
    "namespaces": Step(ensure_namespaces, ("spec", "cluster", "api_server")),
    "operator": Step(ensure_cnpg_operator, ("spec", "cluster", "namespaces", "node_pool")),
}

# az's own command line is the source of every fact here:
# https://learn.microsoft.com/azure/aks/create-postgresql-ha and https://github.com/Azure/azure-cli.


@dataclass(frozen=True)
class Fixed:
    """A field that can't be changed in place: its path, another value, and what the refusal advises."""

    path: str
    other: object
    way_out: str


@dataclass(frozen=True)
class Resource:
    """A resource of ARM's that one step makes.

    Args:
        step: the step's name in `STEPS`.
        operation: REST operation of the write.
        api_version: for the requests of other people.
        id: its resource ID.
        body: what the step must send when it is absent.
        drift: a field of ours and what a person changes it to.
        foreign: fields of other people's, with a value.
        fixed: fields that can't be changed in place.
        lasts: name of the duration of its long-running operation.
        owned: whether its tags say whose it is.
    """

    step: str
    operation: str
    api_version: str
    id: Callable[[World], str]
    body: Callable[[World], Json]
    drift: tuple[str, object] | None = None
    foreign: Json = field(default_factory=dict)
    fixed: tuple[Fixed, ...] = ()
    lasts: str | None = None
    owned: bool = True


def tags(w: World) -> Json:
    """The guide's owner=user and ours."""
    return {
        "owner": "user",
        "managed-by": "aks-postgres",
        "aks-postgres-environment": "cnpg-canadacentral",
        "aks-postgres-region": "canadacentral",
    }


def _in_group(kind: str, name: str) -> Callable[[World], str]:
    """The ID of what is in the environment's group, by an attribute of its names."""
    return lambda w: w.place.resource_id(kind, getattr(w.place.names, name))


def _id(w: World, step: str) -> str:
    made: str = w.made[step].id
    return made


# Groups, identity, storage.


def resource_group(w: World) -> Json:
    ours = {
        "aks-postgres-generation": "1",
        "aks-postgres-state": "building",
        "aks-postgres-version": product_version(),
        "aks-postgres-worker-address": "20.51.7.9",
    }
    return {"location": "canadacentral", "tags": tags(w) | ours}


def backup_group(w: World) -> Json:
    ours = {"aks-postgres-last-generation": "1", "aks-postgres-version": product_version()}
    return {"location": "canadacentral", "tags": tags(w) | ours}


def identity(w: World) -> Json:
    return {"location": "canadacentral", "tags": tags(w)}  #: tags


def storage_account(w: World) -> Json:
    return {
        "location": "canadacentral",
        "kind": "StorageV2",
        "sku": {"name": "Standard_ZRS"},
        "tags": tags(w),  #: tags
        "properties": {
            # az sends `blob: {}`, which means enabled.
            "encryption": {"keySource": "Microsoft.Storage", "services": {"blob": {"enabled": True}}},
            "minimumTlsVersion": "TLS1_2",  #: said out loud, and the two below
            "allowBlobPublicAccess": False,
            "supportsHttpsTrafficOnly": True,
        },
    }


def container(w: World) -> Json:
    return {}


def container_id(w: World) -> str:
    return f"{storage_account_id(w)}/blobServices/default/containers/backups"


def storage_account_id(w: World) -> str:
    names = w.place.names
    return w.place.resource_id(
        "Microsoft.Storage/storageAccounts", names.storage_account, names.backup_group
    )  #: in a group of its own


# Monitoring.


def grafana(w: World) -> Json:
    return {
        "location": "canadacentral",
        "tags": tags(w),
        "sku": {"name": "Standard"},
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "zoneRedundancy": "Enabled",
            "apiKey": "Disabled",
            "deterministicOutboundIP": "Disabled",
            "publicNetworkAccess": "Enabled",
        },
    }


def monitor_workspace(w: World) -> Json:
    return {"location": "canadacentral", "tags": tags(w)}


def log_workspace(w: World) -> Json:
    return {
        "location": "canadacentral",
        "tags": tags(w),  #: tags
        "properties": {
            "sku": {"name": "PerGB2018"},
            "retentionInDays": 30,
            "publicNetworkAccessForIngestion": "Enabled",
            "publicNetworkAccessForQuery": "Enabled",
        },
    }


def metrics_endpoint(w: World) -> Json:
    return {"location": "canadacentral", "kind": "Linux", "tags": tags(w), "properties": {}}  #: tags


def metrics_rule(w: World) -> Json:
    stream = "Microsoft-PrometheusMetrics"
    source = {"name": "PrometheusDataSource", "streams": [stream], "labelIncludeFilter": {}}
    account = {"accountResourceId": _id(w, "monitor_workspace"), "name": "MonitoringAccount1"}
    return {
        "location": "canadacentral",
        "kind": "Linux",
        "tags": tags(w),  #: tags
        "properties": {
            "description": "DCR description",
            "dataCollectionEndpointId": _id(w, "metrics_endpoint"),
            "dataSources": {"prometheusForwarder": [source]},
            "dataFlows": [{"streams": [stream], "destinations": ["MonitoringAccount1"]}],
            "destinations": {"monitoringAccounts": [account]},
        },
    }


def logs_rule(w: World) -> Json:
    stream = "Microsoft-ContainerInsights-Group-Default"
    source = {
        "name": "ContainerInsightsExtension",
        "extensionName": "ContainerInsights",
        "streams": [stream],
        "extensionSettings": {"dataCollectionSettings": {"enableContainerLogV2": True}},
    }
    workspace = {"workspaceResourceId": _id(w, "log_workspace"), "name": "la-workspace"}
    return {
        "location": "canadacentral",
        "kind": "Linux",
        "tags": tags(w),  #: tags
        "properties": {
            "dataSources": {"extensions": [source]},
            "dataFlows": [{"streams": [stream], "destinations": ["la-workspace"]}],
            "destinations": {"logAnalytics": [workspace]},
        },
    }


def metrics_association(w: World) -> Json:
    return {
        "properties": {
            "dataCollectionRuleId": _id(w, "metrics_rule"),
            "description": "Prometheus metrics of this AKS cluster.",  #: az's has a spelling mistake
        }
    }


def logs_association(w: World) -> Json:
    return {
        "properties": {
            "dataCollectionRuleId": _id(w, "logs_rule"),
            "description": "Container logs of this AKS cluster.",
        }
    }


def _association_id(name: str) -> Callable[[World], str]:
    return lambda w: f"{_id(w, 'cluster')}/providers/Microsoft.Insights/dataCollectionRuleAssociations/{name}"


# Cluster, node pool, address.


def cluster(w: World) -> Json:
    names = w.place.names
    pool = {
        "name": "systempool",
        "mode": "System",
        "count": 3,
        "minCount": 2,
        "maxCount": 3,
        "enableAutoScaling": True,
        "vmSize": "Standard_D4s_v5",  #: the guide's size has too few CPUs for a system pool today
        "osType": "Linux",
        "type": "VirtualMachineScaleSets",
        "availabilityZones": ["1", "2", "3"],
        "orchestratorVersion": "1.35.2",
        "scaleSetPriority": "Regular",
        "enableNodePublicIP": False,
        "enableEncryptionAtHost": False,
        "enableUltraSSD": False,
        "enableFIPS": False,
    }
    return {
        "location": "canadacentral",
        "tags": tags(w),
        "sku": {"name": "Base", "tier": "Standard"},
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {_id(w, "identity"): {}}},
        "properties": {
            "kubernetesVersion": "1.35.2",  #: the guide's version can't be created any more
            "dnsPrefix": f"aks-primar-rg-cnpg-{names.suffix}-{w.place.subscription_id[:6]}",
            "nodeResourceGroup": names.node_resource_group,
            "enableRBAC": True,
            "disableLocalAccounts": False,
            "addonProfiles": {},
            "storageProfile": {},
            "bootstrapProfile": {"artifactSource": "Direct"},
            "networkProfile": {
                "networkPlugin": "azure",
                "networkPluginMode": "overlay",
                "networkDataplane": "cilium",
                "loadBalancerSku": "standard",
                "outboundType": "loadBalancer",
            },
            "oidcIssuerProfile": {"enabled": True},
            "securityProfile": {"workloadIdentity": {"enabled": True}},
            "apiServerAccessProfile": {"authorizedIPRanges": ["20.51.7.9/32"]},
            "azureMonitorProfile": {
                "metrics": {
                    "enabled": False,
                    "kubeStateMetrics": {"metricLabelsAllowlist": "", "metricAnnotationsAllowList": ""},
                }
            },
            "agentPoolProfiles": [pool],
        },
    }  #: no linuxProfile: no SSH key unless the spec has one


def node_pool(w: World) -> Json:
    return {
        "properties": {
            "mode": "User",
            "count": 3,
            "minCount": 3,
            "maxCount": 6,
            "enableAutoScaling": True,
            "vmSize": "Standard_D4s_v5",  #: the guide's family is an old generation
            "osType": "Linux",
            "type": "VirtualMachineScaleSets",
            "availabilityZones": ["1", "2", "3"],
            "nodeLabels": {"workload": "postgres"},
            "orchestratorVersion": "1.35.2",  #: said out loud
            "scaleSetPriority": "Regular",
            "scaleDownMode": "Delete",
            "upgradeSettings": {"undrainableNodeBehavior": "Schedule"},
            "enableNodePublicIP": False,
            "enableEncryptionAtHost": False,
            "enableUltraSSD": False,
            "enableFIPS": False,
        }
    }


def public_ip(w: World) -> Json:
    return {
        "location": "canadacentral",
        "sku": {"name": "Standard"},
        "zones": ["1", "2", "3"],
        "properties": {"publicIPAllocationMethod": "Static", "idleTimeoutInMinutes": 4},
    }


def public_ip_id(w: World) -> str:
    names = w.place.names
    return w.place.resource_id(
        "Microsoft.Network/publicIPAddresses", names.public_ip, names.node_resource_group
    )


# The table.

COST_CENTER = {"tags.cost-center": "42"}
ANOTHER_REGION = "westus3"
REGION = Fixed("location", ANOTHER_REGION, "")

RESOURCES = (
    Resource(
        "resource_group",
        "ResourceGroups_CreateOrUpdate",
        "2024-11-01",
        lambda w: w.place.group_id(w.place.names.resource_group),
        resource_group,
        drift=("tags.owner", "somebody"),
        # The state and the generation are other steps' and other runs' to change.
        foreign=COST_CENTER | {"tags.aks-postgres-state": "current", "tags.aks-postgres-generation": "7"},
        fixed=(Fixed("location", ANOTHER_REGION, "Choose another name or suffix"),),
    ),
    Resource(
        "backup_group",
        "ResourceGroups_CreateOrUpdate",
        "2024-11-01",
        lambda w: w.place.group_id(w.place.names.backup_group),
        backup_group,
        drift=("tags.owner", "somebody"),
        foreign=COST_CENTER | {"tags.aks-postgres-last-generation": "7"},
        fixed=(Fixed("location", ANOTHER_REGION, "Choose another name or suffix"),),
    ),
    *(
        Resource(
            name,
            "UserAssignedIdentities_CreateOrUpdate",
            "2024-11-30",
            _in_group("Microsoft.ManagedIdentity/userAssignedIdentities", name),
            identity,
            drift=("tags.owner", "somebody"),
            foreign=COST_CENTER,
            fixed=(REGION,),
        )
        for name in ("identity", "backup_identity")
    ),
    Resource(
        "storage_account",
        "StorageAccounts_Create",
        "2025-08-01",
        storage_account_id,
        storage_account,
        drift=("properties.minimumTlsVersion", "TLS1_0"),
        foreign=COST_CENTER | {"properties.accessTier": "Cool", "properties.allowSharedKeyAccess": False},
        fixed=(
            REGION,
            Fixed("sku.name", "Standard_LRS", "Convert the account's redundancy in the portal first"),
            Fixed("kind", "BlobStorage", "in place"),
        ),
        lasts="storage_account_create",
    ),
    Resource(
        "container",
        "BlobContainers_Create",
        "2025-08-01",
        container_id,
        container,
        foreign={"properties.metadata": {"keep": "this"}},
        owned=False,
    ),
    Resource(
        "grafana",
        "Grafana_Create",
        "2025-08-01",
        _in_group("Microsoft.Dashboard/grafana", "grafana"),
        grafana,
        drift=("properties.apiKey", "Enabled"),
        foreign=COST_CENTER | {"properties.grafanaConfigurations": {"smtp": {"enabled": True}}},
        fixed=(
            REGION,
            Fixed("properties.zoneRedundancy", "Disabled", "Set monitoring.grafana_zone_redundancy back"),
        ),
        lasts="grafana_create",
    ),
    Resource(
        "monitor_workspace",
        "AzureMonitorWorkspaces_CreateOrUpdate",
        "2023-04-03",
        _in_group("Microsoft.Monitor/accounts", "monitor_workspace"),
        monitor_workspace,
        drift=("tags.owner", "somebody"),
        foreign=COST_CENTER,
        fixed=(REGION,),
    ),
    Resource(
        "log_workspace",
        "Workspaces_CreateOrUpdate",
        "2025-02-01",
        _in_group("Microsoft.OperationalInsights/workspaces", "log_workspace"),
        log_workspace,
        drift=("properties.retentionInDays", 90),
        foreign=COST_CENTER | {"properties.workspaceCapping.dailyQuotaGb": 5.0},
        fixed=(REGION,),
        lasts="log_workspace_create",
    ),
    Resource(
        "metrics_endpoint",
        "DataCollectionEndpoints_Create",
        "2022-06-01",
        lambda w: w.place.resource_id(
            "Microsoft.Insights/dataCollectionEndpoints",
            f"MSProm-canadacentral-aks-primary-cnpg-{w.place.names.suffix[:6]}",
        ),
        metrics_endpoint,
        drift=("tags.owner", "somebody"),
        foreign=COST_CENTER | {"properties.networkAcls": {"publicNetworkAccess": "Disabled"}},
        fixed=(REGION,),
        owned=False,
    ),
    Resource(
        "metrics_rule",
        "DataCollectionRules_Create",
        "2022-06-01",
        lambda w: w.place.resource_id(
            "Microsoft.Insights/dataCollectionRules",
            f"MSProm-canadacentral-aks-primary-cnpg-{w.place.names.suffix}",
        ),
        metrics_rule,
        drift=(
            "properties.dataSources.prometheusForwarder[PrometheusDataSource].streams",
            ["Custom-Metrics"],
        ),
        foreign=COST_CENTER | {"properties.streamDeclarations": {"Custom-X": {"columns": []}}},
        fixed=(REGION,),
        owned=False,
    ),
    Resource(
        "logs_rule",
        "DataCollectionRules_Create",
        "2022-06-01",
        lambda w: w.place.resource_id(
            "Microsoft.Insights/dataCollectionRules",
            f"MSCI-canadacentral-aks-primary-cnpg-{w.place.names.suffix}",
        ),
        logs_rule,
        drift=(
            "properties.dataSources.extensions[ContainerInsightsExtension].extensionSettings."
            "dataCollectionSettings.enableContainerLogV2",
            False,
        ),
        foreign=COST_CENTER
        | {
            "properties.dataSources.extensions[ContainerInsightsExtension].extensionSettings."
            "dataCollectionSettings.interval": "5m"
        },
        fixed=(REGION,),
        owned=False,
    ),
    Resource(
        "cluster",
        "ManagedClusters_CreateOrUpdate",
        "2026-06-01",
        _in_group("Microsoft.ContainerService/managedClusters", "cluster"),
        cluster,
        drift=("sku.tier", "Free"),
        foreign=COST_CENTER
        | {
            "properties.autoUpgradeProfile": {"nodeOSUpgradeChannel": "SecurityPatch"},
            "properties.agentPoolProfiles[systempool].count": 2,
            "properties.agentPoolProfiles[systempool].nodeLabels": {"their": "label"},
        },
        fixed=(
            REGION,
            Fixed("properties.nodeResourceGroup", "rg-other-nodes", "Rebuild the environment"),
            Fixed("properties.networkProfile.networkDataplane", "azure", "Rebuild the environment"),
            Fixed("properties.agentPoolProfiles[systempool].vmSize", "Standard_D8s_v5", "Rebuild"),
            Fixed("properties.agentPoolProfiles[systempool].availabilityZones", ["1"], "Rebuild"),
        ),
        lasts="aks_cluster_create",
    ),
    Resource(
        "node_pool",
        "AgentPools_CreateOrUpdate",
        "2026-06-01",
        lambda w: f"{_id(w, 'cluster')}/agentPools/postgres",
        node_pool,
        drift=("properties.maxCount", 9),
        foreign={"properties.count": 4, "properties.nodeTaints": ["their=taint:NoSchedule"]},
        fixed=(
            Fixed("properties.vmSize", "Standard_D8s_v5", "Rename the pool in the spec"),
            Fixed("properties.availabilityZones", ["1", "2"], "Rename the pool in the spec"),
        ),
        lasts="aks_pool_add",
        owned=False,
    ),
    Resource(
        "metrics_association",
        "DataCollectionRuleAssociations_Create",
        "2022-06-01",
        _association_id("ContainerInsightsMetricsExtension"),
        metrics_association,
        foreign={"properties.description": "their words"},
        owned=False,
    ),
    Resource(
        "logs_association",
        "DataCollectionRuleAssociations_Create",
        "2022-06-01",
        _association_id("ContainerInsightsExtension"),
        logs_association,
        foreign={"properties.description": "their words"},
        owned=False,
    ),
    Resource(
        "public_ip",
        "PublicIPAddresses_CreateOrUpdate",
        "2025-09-01",
        public_ip_id,
        public_ip,
        foreign={
            "tags": {"k8s-azure-service": "cnpg-database/pg"},
            "properties.dnsSettings": {"domainNameLabel": "a0123456789"},
            "properties.idleTimeoutInMinutes": 30,
        },
        lasts="public_ip_write",
        owned=False,
    ),
)
