"""What a step is called for people, beside its function's name."""

from __future__ import annotations

TITLES = {
    "preflight": "Checks before the first write",
    "register_providers": "Resource providers",
    "ensure_resource_group": "Resource group",
    "ensure_backup_group": "Backups: resource group",
    "ensure_managed_identity": "Managed identity",
    "ensure_backup_identity": "Backups: managed identity",
    "ensure_storage_account": "Backups: storage account",
    "ensure_backup_container": "Backups: container",
    "ensure_backup_protection": "Backups: protection",
    "ensure_backup_lifecycle": "Backups: lifecycle",
    "ensure_backup_immutability": "Backups: immutability",
    "ensure_blob_roles": "Backups: roles",
    "ensure_grafana": "Managed Grafana",
    "ensure_grafana_roles": "Managed Grafana: roles",
    "ensure_node_group_reader": "Managed Grafana: reads node group",
    "ensure_metrics_reader": "Managed Grafana: reads metrics",
    "ensure_grafana_link": "Managed Grafana: data source",
    "ensure_monitor_workspace": "Azure Monitor workspace",
    "ensure_log_workspace": "Log Analytics workspace",
    "ensure_metrics_endpoint": "Managed Prometheus: endpoint",
    "ensure_metrics_rule": "Managed Prometheus: collection rule",
    "ensure_metrics_association": "Managed Prometheus: association",
    "ensure_metrics_on": "Managed Prometheus: switched on",
    "ensure_rule_groups": "Managed Prometheus: rule groups",
    "ensure_logs_rule": "Container insights: collection rule",
    "ensure_logs_association": "Container insights: association",
    "ensure_container_insights": "Container insights: switched on",
    "request_cluster": "AKS cluster: one request",
    "ensure_cluster": "AKS cluster",
    "ensure_node_pool": "Node pool for PostgreSQL",
    "ensure_public_ip": "Public IP",
    "ensure_network_role": "Public IP: role of the cluster",
    "ensure_subnet_role": "Subnet: role of the cluster",
    "reach_api_server": "API server",
    "ensure_namespaces": "Namespaces",
    "ensure_cnpg_operator": "CloudNativePG operator",
    "restart_stuck_agents": "Monitoring agents",
    "verify_environment": "Look at everything again",
    "mark_generation": "Mark the generation as current",
    "ensure_operator_settings": "CloudNativePG operator: settings",
    "ensure_app_secret": "Database: secret of its owner",
    "ensure_database_storage_class": "Database: storage class",
    "ensure_database_credential": "Database: federated credential",
    "ensure_database_account": "Database: service account",
    "verify_database_credential": "Database: try the pods' credential",
    "ensure_cert_manager": "cert-manager",
    "ensure_barman_plugin": "Barman Cloud plugin",
    "ensure_object_store": "Database: where backups go",
    "ensure_postgres_cluster": "Postgres cluster",
    "wait_until_postgres_is_ready": "Postgres cluster: ready",
    "ensure_databases": "Database: more databases",
    "ensure_first_backup": "Database: first backup",
    "verify_archive": "Database: backups are there",
    "ensure_backup_schedule": "Database: schedule of backups",
    "ensure_database_monitor": "Database: metrics",
    "ensure_database_alerts": "Database: alert rules",
    "ensure_database_pooler": "Database: PgBouncer",
    "ensure_database_dashboard": "Database: dashboard in Grafana",
    "remember_generation": "Note the generation for later",
    "take_inventory": "What there is, and what stands against it",
    "delete_associations": "Delete data collection associations",
    "delete_rule_groups": "Delete rule groups",
    "end_cluster_operation": "End what AKS never finishes",
    "delete_cluster": "Delete the AKS cluster",
    "delete_grafana": "Delete Managed Grafana",
    "delete_grafana_roles": "Delete Managed Grafana's roles",
    "delete_data_collection": "Delete data collection rules",
    "delete_monitor_workspace": "Delete the Azure Monitor workspace",
    "delete_log_workspace": "Delete the Log Analytics workspace",
    "delete_managed_identities": "Delete managed identities",
    "delete_identity_roles": "Delete the identities' roles",
    "delete_resource_group": "Delete the resource group",
    "see_to_backups": "Backups",
}


def title_of_noun(noun: str) -> str:
    """The title of a step by what it is called in plans and summaries, its function's name without the verb."""
    verbs = ("ensure_", "register_", "restart_", "mark_", "")
    return title_of_step(next((verb + noun for verb in verbs if verb + noun in TITLES), noun))


def title_of_step(step: str) -> str:
    """The title of a step, by its name in the journal, which begins with its function's."""
    function = step.partition(" ")[0]
    return TITLES.get(function) or function.replace("_", " ").capitalize()
