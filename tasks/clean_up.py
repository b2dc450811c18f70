"""Guide: Create infrastructure, "Clean up resources" - one by one, in reverse order, and only what is ours.

The guide deletes the resource group with whatever is in it, and leaves behind role assignments elsewhere. Here each
resource is deleted by an ID that we compute, after a look at its tags, and read again until it is gone. Refusals come
before, in `inventory.py`; roles, backups and groups are in `clean_up_roles.py` and `clean_up_groups.py`.
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.deletion import ensure_absent, wait_until_absent
from aks_postgres.arm.resource import ArmResource
from aks_postgres.arm.retry import all_ended
from aks_postgres.reports.outputs import Target
from aks_postgres.reports.receipt import Removals
from aks_postgres.resources import (
    grafana,
    log_workspace,
    managed_cluster,
    managed_identity,
    monitor_workspace,
    public_ip,
    resource_group,
    rule_group,
)
from aks_postgres.resources.data_collection import ASSOCIATION, ENDPOINT, RULE, association_id
from aks_postgres.resources.group_contents import contents_of
from aks_postgres.resources.managed_cluster import gone_cluster
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import LOGS_ASSOCIATION, METRICS_ASSOCIATION
from aks_postgres.tear_down.removal import is_there, removal, remove
from aks_postgres.tear_down.soft_delete import deleted_workspaces, soft_deleted


def _association(azure: Azure, target: Target, name: str) -> ArmResource:
    cluster_id = target.resource_id(managed_cluster.KIND.type, target.names.cluster)
    return ASSOCIATION.gone(azure, association_id(cluster_id, name))


@arm_task("delete_associations {target.names.cluster}")
async def delete_associations(azure: Azure, target: Target) -> Removals:
    """Delete the cluster's data collection rule associations: rules can't be deleted while they are there.

    REST: https://learn.microsoft.com/rest/api/monitor/data-collection-rule-associations/delete

    Args:
        target: the generation.

    Returns:
        What became of them.
    """
    found = [_association(azure, target, name) for name in (METRICS_ASSOCIATION, LOGS_ASSOCIATION)]
    outcomes = await all_ended(ensure_absent(association) for association in found)
    return Removals(items=tuple(map(removal, found, outcomes)))


@arm_task("delete_rule_groups {target.names.cluster}")
async def delete_rule_groups(azure: Azure, spec: EnvironmentSpec, target: Target) -> Removals:
    """Delete the Prometheus recording rule groups.

    REST: https://learn.microsoft.com/rest/api/monitor/prometheus-rule-groups/delete

    Args:
        spec: the environment.
        target: the generation.

    Returns:
        What became of them.
    """
    names = [
        str(resource["name"])
        for resource in await contents_of(azure, target.names.resource_group)
        if str(resource["type"]).casefold() == rule_group.KIND.type.casefold()
        and target.names.is_rule_group(str(resource["name"]))
    ]
    found = [
        rule_group.KIND.gone(
            azure, target.resource_id(rule_group.KIND.type, name), word=rule_group.KIND.plan_word
        )
        for name in names
    ]
    removed = await all_ended(remove(spec, group) for group in found)
    return Removals(items=tuple(item for removals in removed for item in removals.items))


@arm_task("end_cluster_operation {target.names.cluster}")
async def end_cluster_operation(azure: Azure, spec: EnvironmentSpec, target: Target) -> None:
    """Have AKS end the creation of a cluster that goes on without an end, so that the cluster can be looked into.

    Guide: none; az aks operation-abort.
    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/abort-latest-operation

    Args:
        spec: the environment.
        target: the generation.

    Raises:
        NotOurs: the cluster has no tags of ours.
        OperationNotDone: AKS hasn't ended it at the deadline; run again.
    """
    await managed_cluster.end_operation(azure, spec, target)


@arm_task("delete_cluster {target.names.cluster}")
async def delete_cluster(azure: Azure, spec: EnvironmentSpec, target: Target) -> Removals:
    """Delete the AKS cluster; its node pools and its node resource group with the public IP go with it.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/delete

    Args:
        spec: the environment.
        target: the generation.

    Returns:
        What became of cluster, public IP and node resource group.

    Raises:
        OperationNotDone: still being deleted at the deadline; a rerun goes on waiting.
    """
    names = target.names
    address_id = target.resource_id(public_ip.KIND.type, names.public_ip, names.node_resource_group)
    goes_along = [
        public_ip.KIND.gone(azure, address_id),
        resource_group.AZURES_OWN.gone(
            azure, target.group_id(names.node_resource_group), word="node resource group"
        ),
    ]
    were_there = [await is_there(resource) for resource in goes_along]
    removed = await remove(spec, gone_cluster(azure, target))
    await all_ended(wait_until_absent(resource) for resource in goes_along)
    gone = [
        removal(resource, "deleted" if was_there else "not found")
        for resource, was_there in zip(goes_along, were_there, strict=True)
    ]
    return Removals(items=(*removed.items, *gone))


@arm_task("delete_grafana {target.names.grafana}")
async def delete_grafana(azure: Azure, spec: EnvironmentSpec, target: Target) -> Removals:
    """Delete the Managed Grafana instance; its own identity goes with it.

    REST: https://learn.microsoft.com/rest/api/managed-grafana/grafana/delete

    Args:
        spec: the environment.
        target: the generation.

    Returns:
        What became of it.
    """
    resource_id = target.resource_id(grafana.KIND.type, target.names.grafana)
    return await remove(spec, grafana.KIND.gone(azure, resource_id))


@arm_task("delete_data_collection {target.names.cluster}")
async def delete_data_collection(azure: Azure, spec: EnvironmentSpec, target: Target) -> Removals:
    """Delete the data collection rules of metrics and logs, then the endpoint that the first one uses.

    REST: https://learn.microsoft.com/rest/api/monitor/data-collection-rules/delete

    Args:
        spec: the environment.
        target: the generation.

    Returns:
        What became of them.
    """
    names = target.names
    rules = (names.metrics_rule(spec.region), names.logs_rule(spec.region))
    found = [RULE.gone(azure, target.resource_id(RULE.type, name)) for name in rules]
    removed = await all_ended(remove(spec, rule) for rule in found)
    endpoint_id = target.resource_id(ENDPOINT.type, names.metrics_endpoint(spec.region))
    removed.append(await remove(spec, ENDPOINT.gone(azure, endpoint_id)))
    return Removals(items=tuple(item for removals in removed for item in removals.items))


@arm_task("delete_monitor_workspace {target.names.monitor_workspace}")
async def delete_monitor_workspace(azure: Azure, spec: EnvironmentSpec, target: Target) -> Removals:
    """Delete the Azure Monitor workspace, and see that the group goes that Azure made for it.

    REST: https://learn.microsoft.com/rest/api/monitor/azure-monitor-workspaces/delete

    Args:
        spec: the environment.
        target: the generation.

    Returns:
        What became of workspace and group.

    Raises:
        OperationNotDone: Azure's group is still there at the deadline.
    """
    names = target.names
    group = resource_group.AZURES_OWN.gone(
        azure, target.group_id(names.monitor_group(spec.region)), word="managed resource group"
    )
    was_there = await is_there(group)
    workspace_id = target.resource_id(monitor_workspace.KIND.type, names.monitor_workspace)
    removed = await remove(spec, monitor_workspace.KIND.gone(azure, workspace_id))
    await wait_until_absent(group)
    return Removals(items=(*removed.items, removal(group, "deleted" if was_there else "not found")))


@arm_task("delete_log_workspace {target.names.log_workspace}")
async def delete_log_workspace(azure: Azure, spec: EnvironmentSpec, target: Target) -> Removals:
    """Delete the Log Analytics workspace; Azure keeps it for two weeks, and the receipt says until when.

    REST: https://learn.microsoft.com/rest/api/loganalytics/workspaces/delete

    Args:
        spec: the environment.
        target: the generation.

    Returns:
        What became of it.
    """
    resource = log_workspace.KIND.gone(
        azure, target.resource_id(log_workspace.KIND.type, target.names.log_workspace)
    )
    (removed,) = (await remove(spec, resource)).items
    held = {str(workspace["id"]).casefold() for workspace in await deleted_workspaces(azure)}
    if resource.id.casefold() in held:
        reason = "" if removed.outcome == "deleted" else "deleted before this run"
        return Removals(items=(soft_deleted(resource.id, reason),))
    return Removals(items=(removed,))


@arm_task("delete_managed_identities {target.names.identity}")
async def delete_managed_identities(azure: Azure, spec: EnvironmentSpec, target: Target) -> Removals:
    """Delete the managed identity, and the one for backups if there is one; nothing uses them any more.

    REST: https://learn.microsoft.com/rest/api/managedidentity/user-assigned-identities/delete

    Args:
        spec: the environment.
        target: the generation.

    Returns:
        What became of them.
    """

    def identity(word: str, name: str) -> ArmResource:
        return managed_identity.KIND.gone(
            azure, target.resource_id(managed_identity.KIND.type, name), word=word
        )

    removed = await remove(spec, identity("managed identity", target.names.identity))
    for_backups = identity("managed identity for backups", target.names.backup_identity)
    if spec.storage.identity == "separate" or await is_there(for_backups):
        removed = Removals(items=removed.items + (await remove(spec, for_backups)).items)
    return removed
