"""Guide: Create infrastructure, "Clean up resources" - one by one, in reverse order, and only what is ours.

The guide deletes the resource group with whatever is in it, and leaves behind role assignments elsewhere. Here each
resource is deleted by an ID that we compute, after a look at its tags, and read again until it is gone. Refusals come
before, in `inventory.py`; roles, backups and groups are in `clean_up_roles.py` and `clean_up_groups.py`.
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.deletion import Deletable, deletable, ensure_absent, wait_until_absent
from aks_postgres.arm.retry import all_ended
from aks_postgres.reports.outputs import Site
from aks_postgres.reports.receipt import Removals
from aks_postgres.resources.group_contents import contents_of
from aks_postgres.resources.managed_cluster import deletable_cluster
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import LOGS_ASSOCIATION, METRICS_ASSOCIATION
from aks_postgres.tear_down.ownership import RULE_GROUPS
from aks_postgres.tear_down.removal import is_there, removal, remove
from aks_postgres.tear_down.soft_delete import deleted_workspaces, soft_deleted

_RULE_GROUPS_API = "2023-03-01"


def _association(azure: Azure, site: Site, name: str) -> Deletable:
    operations = azure.monitor.data_collection_rule_associations
    scope = site.resource_id("Microsoft.ContainerService/managedClusters", site.names.cluster)
    return deletable(
        azure,
        "data collection rule association",
        f"{scope}/providers/Microsoft.Insights/dataCollectionRuleAssociations/{name}",
        operations.get,
        operations.delete,
        scope.lstrip("/"),
        name,
    )


@arm_task("delete_associations {site.names.cluster}")
async def delete_associations(azure: Azure, site: Site) -> Removals:
    """Delete the cluster's data collection rule associations: rules can't be deleted while they are there.

    REST: https://learn.microsoft.com/rest/api/monitor/data-collection-rule-associations/delete

    Args:
        site: the generation.

    Returns:
        What became of them.
    """
    found = [_association(azure, site, name) for name in (METRICS_ASSOCIATION, LOGS_ASSOCIATION)]
    outcomes = await all_ended(ensure_absent(one) for one in found)
    return Removals(items=tuple(map(removal, found, outcomes)))


@arm_task("delete_rule_groups {site.names.cluster}")
async def delete_rule_groups(azure: Azure, spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the Prometheus recording rule groups.

    REST: https://learn.microsoft.com/rest/api/monitor/prometheus-rule-groups/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of them.
    """
    operations = azure.resources.resources
    names = [
        str(resource["name"])
        for resource in await contents_of(azure, site.names.resource_group)
        if str(resource["type"]).casefold() == RULE_GROUPS.casefold()
        and site.names.is_rule_group(str(resource["name"]))
    ]
    found = []
    for name in names:
        resource_id = site.resource_id(RULE_GROUPS, name)
        found.append(
            deletable(
                azure,
                "Prometheus rule group",
                resource_id,
                operations.get_by_id,
                operations.begin_delete_by_id,
                resource_id.lstrip("/"),
                api_version=_RULE_GROUPS_API,
            )
        )
    removed = await all_ended(remove(spec, one) for one in found)
    return Removals(items=tuple(item for one in removed for item in one.items))


@arm_task("delete_cluster {site.names.cluster}")
async def delete_cluster(azure: Azure, spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the AKS cluster; its node pools and its node resource group with the public IP go with it.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of cluster, public IP and node resource group.

    Raises:
        OperationNotDone: still being deleted at the deadline; a rerun goes on waiting.
    """
    names = site.names
    groups, addresses = azure.resources.resource_groups, azure.network.public_ip_addresses
    goes_along = [
        deletable(
            azure,
            "public IP",
            site.resource_id(
                "Microsoft.Network/publicIPAddresses", names.public_ip, names.node_resource_group
            ),
            addresses.get,
            addresses.begin_delete,
            names.node_resource_group,
            names.public_ip,
        ),
        deletable(
            azure,
            "node resource group",
            site.group_id(names.node_resource_group),
            groups.get,
            groups.begin_delete,
            names.node_resource_group,
        ),
    ]
    were_there = [await is_there(one) for one in goes_along]
    removed = await remove(spec, deletable_cluster(azure, site))
    await all_ended(wait_until_absent(one) for one in goes_along)
    gone = [
        removal(one, "deleted" if was_there else "not found")
        for one, was_there in zip(goes_along, were_there, strict=True)
    ]
    return Removals(items=(*removed.items, *gone))


@arm_task("delete_grafana {site.names.grafana}")
async def delete_grafana(azure: Azure, spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the Managed Grafana instance; its own identity goes with it.

    REST: https://learn.microsoft.com/rest/api/managed-grafana/grafana/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of it.
    """
    operations = azure.dashboard.grafana
    return await remove(
        spec,
        deletable(
            azure,
            "Managed Grafana",
            site.resource_id("Microsoft.Dashboard/grafana", site.names.grafana),
            operations.get,
            operations.begin_delete,
            site.names.resource_group,
            site.names.grafana,
            expected_s=330,
            deadline_s=1800,
        ),
    )


@arm_task("delete_data_collection {site.names.cluster}")
async def delete_data_collection(azure: Azure, spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the data collection rules of metrics and logs, then the endpoint that the first one uses.

    REST: https://learn.microsoft.com/rest/api/monitor/data-collection-rules/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of them.
    """
    names, group = site.names, site.names.resource_group
    rules, endpoints = azure.monitor.data_collection_rules, azure.monitor.data_collection_endpoints
    found = [
        deletable(
            azure,
            "data collection rule",
            site.resource_id("Microsoft.Insights/dataCollectionRules", name),
            rules.get,
            rules.delete,
            group,
            name,
        )
        for name in (names.metrics_rule(spec.region), names.logs_rule(spec.region))
    ]
    removed = await all_ended(remove(spec, one) for one in found)
    name = names.metrics_endpoint(spec.region)
    endpoint = deletable(
        azure,
        "data collection endpoint",
        site.resource_id("Microsoft.Insights/dataCollectionEndpoints", name),
        endpoints.get,
        endpoints.delete,
        group,
        name,
    )
    removed.append(await remove(spec, endpoint))
    return Removals(items=tuple(item for one in removed for item in one.items))


@arm_task("delete_monitor_workspace {site.names.monitor_workspace}")
async def delete_monitor_workspace(azure: Azure, spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the Azure Monitor workspace, and see that the group goes that Azure made for it.

    REST: https://learn.microsoft.com/rest/api/monitor/azure-monitor-workspaces/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of workspace and group.

    Raises:
        OperationNotDone: Azure's group is still there at the deadline.
    """
    names, groups = site.names, azure.resources.resource_groups
    operations = azure.monitor.azure_monitor_workspaces
    managed = names.monitor_group(spec.region)
    group = deletable(
        azure, "managed resource group", site.group_id(managed), groups.get, groups.begin_delete, managed
    )
    was_there = await is_there(group)
    removed = await remove(
        spec,
        deletable(
            azure,
            "Azure Monitor workspace",
            site.resource_id("Microsoft.Monitor/accounts", names.monitor_workspace),
            operations.get,
            operations.begin_delete,
            names.resource_group,
            names.monitor_workspace,
            expected_s=93,
            deadline_s=1800,
        ),
    )
    await wait_until_absent(group)
    return Removals(items=(*removed.items, removal(group, "deleted" if was_there else "not found")))


@arm_task("delete_log_workspace {site.names.log_workspace}")
async def delete_log_workspace(azure: Azure, spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the Log Analytics workspace; Azure keeps it for two weeks, and the receipt says until when.

    REST: https://learn.microsoft.com/rest/api/loganalytics/workspaces/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of it.
    """
    operations = azure.log_analytics.workspaces
    resource = deletable(
        azure,
        "Log Analytics workspace",
        site.resource_id("Microsoft.OperationalInsights/workspaces", site.names.log_workspace),
        operations.get,
        operations.begin_delete,
        site.names.resource_group,
        site.names.log_workspace,
        expected_s=10,
    )
    (removed,) = (await remove(spec, resource)).items
    held = {str(workspace["id"]).casefold() for workspace in await deleted_workspaces(azure)}
    if resource.id.casefold() in held:
        reason = "" if removed.outcome == "deleted" else "deleted before this run"
        return Removals(items=(soft_deleted(resource.id, reason),))
    return Removals(items=(removed,))


@arm_task("delete_managed_identities {site.names.identity}")
async def delete_managed_identities(azure: Azure, spec: EnvironmentSpec, site: Site) -> Removals:
    """Delete the managed identity, and the one for backups if there is one; nothing uses them any more.

    REST: https://learn.microsoft.com/rest/api/managedidentity/user-assigned-identities/delete

    Args:
        spec: the environment.
        site: the generation.

    Returns:
        What became of them.
    """
    operations = azure.identities.user_assigned_identities

    def identity(what: str, name: str) -> Deletable:
        return deletable(
            azure,
            what,
            site.resource_id("Microsoft.ManagedIdentity/userAssignedIdentities", name),
            operations.get,
            operations.delete,
            site.names.resource_group,
            name,
        )

    removed = await remove(spec, identity("managed identity", site.names.identity))
    for_backups = identity("managed identity for backups", site.names.backup_identity)
    if spec.storage.identity == "separate" or await is_there(for_backups):
        removed = Removals(items=removed.items + (await remove(spec, for_backups)).items)
    return removed
