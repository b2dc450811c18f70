"""Every step of the guide that makes something: how to call it, what it writes, and what may happen to it."""

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

from .world import Step

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
