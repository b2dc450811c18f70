"""Guide: Create infrastructure, "Set up monitoring" - Azure Managed Grafana, its roles, its link to the metrics.

`az grafana create` gives two roles on the side, one of them on the whole subscription; here they are steps of their
own, and Monitoring Reader reaches the environment's groups only, unless the spec says subscription.
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.reconcile import ensure
from aks_postgres.reports.outputs import (
    UNCHANGED,
    CheckedTarget,
    ClusterOutputs,
    GrafanaOutputs,
    MonitorWorkspaceOutputs,
    ResourceOutputs,
    RoleOutputs,
    StepOutputs,
)
from aks_postgres.resources import grafana as grafana_resource
from aks_postgres.resources.ensuring import ensure_ours
from aks_postgres.resources.managed_cluster import in_node_group
from aks_postgres.resources.role_assignments import (
    GRAFANA_ADMIN,
    MONITORING_DATA_READER,
    MONITORING_READER,
    Grant,
    ensure_grants,
)
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec


@arm_task("ensure_grafana {target.names.grafana}")
async def ensure_grafana(
    azure: Azure, spec: EnvironmentSpec, target: CheckedTarget, group: ResourceOutputs
) -> GrafanaOutputs:
    """Create the Managed Grafana instance, or bring it to the spec. Takes minutes, and holds up nothing else.

    Guide: Create infrastructure, "Set up monitoring ...", step 1 (az grafana create).
    REST: https://learn.microsoft.com/rest/api/managed-grafana/grafana/create

    Args:
        spec: the environment wanted.
        target: where it goes, as the preflight found.
        group: the environment's resource group.

    Returns:
        ID, name, endpoint and the principal ID of its own identity.

    Raises:
        NotOurs: an instance of that name exists without our tags.
        ImmutableChange: it has another zone redundancy.
    """
    resource_id = target.resource_id(grafana_resource.KIND.type, target.names.grafana)
    live, change = await ensure_ours(
        azure, grafana_resource.KIND, resource_id, spec, grafana_resource.desired(spec)
    )
    return GrafanaOutputs(
        id=resource_id,
        name=live["name"],
        endpoint=live["properties"]["endpoint"],
        principal_id=live["identity"]["principalId"],
        change=change,
    )


@arm_task("ensure_grafana_roles {grafana.name}")
async def ensure_grafana_roles(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    group: ResourceOutputs,
    grafana: GrafanaOutputs,
) -> RoleOutputs:
    """Give Grafana Admin to people and Monitoring Reader to Grafana.

    Guide: Create infrastructure, "Set up monitoring ...", step 1: what az grafana create does on the side.
    REST: https://learn.microsoft.com/rest/api/authorization/role-assignments/create

    Args:
        spec: the environment wanted; `monitoring.grafana_admins` are the people, by default the caller (a plan's
            caller needn't be a run's: then whoever has the role will do).
        target: who the caller is.
        group: the environment's resource group.
        grafana: the instance.

    Returns:
        IDs of the role assignments.
    """
    admins = [
        Grant(GRAFANA_ADMIN, grafana.id, admin.object_id, admin.type)
        for admin in spec.monitoring.grafana_admins
    ]
    if not admins:
        admins = [
            Grant(GRAFANA_ADMIN, grafana.id, target.caller_object_id, target.caller_type, or_anyone=True)
        ]
    whole_subscription = spec.monitoring.monitoring_reader_scope == "subscription"
    scope = f"/subscriptions/{target.subscription_id}" if whole_subscription else group.id
    reader = Grant(MONITORING_READER, scope, grafana.principal_id, "ServicePrincipal")
    return await ensure_grants(azure, [*admins, reader])


@arm_task("ensure_node_group_reader {grafana.name}")
async def ensure_node_group_reader(
    azure: Azure, spec: EnvironmentSpec, cluster: ClusterOutputs, grafana: GrafanaOutputs
) -> RoleOutputs:
    """Give Grafana Monitoring Reader on the node resource group too, which isn't inside the environment's group.

    Guide: none; the guide's role on the whole subscription covers it, and where the spec asks for that one, this step
    has nothing to do.
    REST: https://learn.microsoft.com/rest/api/authorization/role-assignments/create

    Args:
        spec: the environment wanted.
        cluster: the cluster that owns the node group.
        grafana: the instance.

    Returns:
        IDs of the role assignments.

    Raises:
        LastingState: the cluster has lost the group of its nodes.
    """
    if spec.monitoring.monitoring_reader_scope == "subscription":
        return RoleOutputs(ids=(), change=UNCHANGED)
    grant = Grant(MONITORING_READER, cluster.node_resource_group_id, grafana.principal_id, "ServicePrincipal")
    with in_node_group(azure, cluster):
        return await ensure_grants(azure, [grant])


@arm_task("ensure_metrics_reader {grafana.name}")
async def ensure_metrics_reader(
    azure: Azure, grafana: GrafanaOutputs, workspace: MonitorWorkspaceOutputs
) -> RoleOutputs:
    """Let Grafana read the Azure Monitor workspace (Monitoring Data Reader).

    Guide: Create infrastructure, "Create the AKS cluster ...": inside az aks create --grafana-resource-id.
    REST: https://learn.microsoft.com/rest/api/authorization/role-assignments/create

    Args:
        grafana: the instance, whose identity gets the role.
        workspace: the Azure Monitor workspace, the role's scope.

    Returns:
        IDs of the role assignments.
    """
    return await ensure_grants(
        azure, [Grant(MONITORING_DATA_READER, workspace.id, grafana.principal_id, "ServicePrincipal")]
    )


@arm_task("ensure_grafana_link {grafana.name}")
async def ensure_grafana_link(
    azure: Azure, grafana: GrafanaOutputs, workspace: MonitorWorkspaceOutputs
) -> StepOutputs:
    """Link the Azure Monitor workspace in Grafana, keeping every other link.

    Guide: Create infrastructure, "Create the AKS cluster ...": inside az aks create --grafana-resource-id.
    REST: https://learn.microsoft.com/rest/api/managed-grafana/grafana/update

    Args:
        grafana: the instance.
        workspace: the Azure Monitor workspace.

    Returns:
        The change made.
    """
    # Its links alone, as az does it.
    resource = grafana_resource.KIND.at(azure, grafana.id, update="", put="begin_update", expected_s=30)

    _, change = await ensure(resource, lambda live: grafana_resource.link_decision(workspace.id, live))
    return StepOutputs(change=change)
