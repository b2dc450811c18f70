"""The steps that make one environment, as a graph: `provision` carries them out, `plan` only looks.

An argument is an edge; an order that no value carries is an `after` with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from aks_postgres.flows._database import DatabaseSteps, Foundation, start_database
from aks_postgres.reports.outputs import (
    ApiServerOutputs,
    ClusterOutputs,
    ClusterRequestOutputs,
    EnvironmentOutputs,
    GrafanaOutputs,
    IdentityOutputs,
    LogWorkspaceOutputs,
    MonitorWorkspaceOutputs,
    NamespacesOutputs,
    NodePoolOutputs,
    ObjectsOutputs,
    OperatorOutputs,
    Place,
    ProvidersOutputs,
    PublicIpOutputs,
    ResourceOutputs,
    RoleOutputs,
    RuleGroupsOutputs,
    StepOutputs,
    StorageAccountOutputs,
    VerificationOutputs,
)
from aks_postgres.runs.steps import Step, Steps
from aks_postgres.spec.environment import EnvironmentSpec
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
from aks_postgres.tasks.database.components import ensure_operator_settings
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
from aks_postgres.tasks.preflight import preflight
from aks_postgres.tasks.providers import register_providers
from aks_postgres.tasks.public_ip import ensure_network_role, ensure_public_ip
from aks_postgres.tasks.resource_group import ensure_backup_group, ensure_resource_group, mark_generation
from aks_postgres.tasks.storage import ensure_backup_container, ensure_blob_roles, ensure_storage_account
from aks_postgres.tasks.verify import verify_environment


@dataclass(frozen=True)
class EnvironmentSteps:
    """The steps of one environment under way, in the order of the guide."""

    place: Step[Place]
    providers: Step[ProvidersOutputs]
    resource_group: Step[ResourceOutputs]
    backup_group: Step[ResourceOutputs]
    identity: Step[IdentityOutputs]
    backup_identity: Step[IdentityOutputs] | None
    storage_account: Step[StorageAccountOutputs]
    container: Step[ResourceOutputs]
    backup_protection: Step[ResourceOutputs]
    backup_lifecycle: Step[ResourceOutputs]
    backup_immutability: Step[ResourceOutputs] | None
    blob_roles: Step[RoleOutputs]
    grafana: Step[GrafanaOutputs]
    monitor_workspace: Step[MonitorWorkspaceOutputs]
    log_workspace: Step[LogWorkspaceOutputs]
    metrics_endpoint: Step[ResourceOutputs]
    metrics_rule: Step[ResourceOutputs]
    logs_rule: Step[ResourceOutputs]
    requested: Step[ClusterRequestOutputs] | None
    cluster: Step[ClusterOutputs]
    metrics_association: Step[ResourceOutputs]
    metrics_on: Step[StepOutputs]
    postgres_pool: Step[NodePoolOutputs]
    logs_association: Step[ResourceOutputs]
    container_insights: Step[StepOutputs]
    rule_groups: Step[RuleGroupsOutputs]
    grafana_roles: Step[RoleOutputs]
    node_group_reader: Step[RoleOutputs]
    metrics_reader: Step[RoleOutputs]
    grafana_link: Step[StepOutputs]
    public_ip: Step[PublicIpOutputs]
    network_role: Step[RoleOutputs]
    api_server: Step[ApiServerOutputs]
    namespaces: Step[NamespacesOutputs]
    operator_settings: Step[ObjectsOutputs] | None
    operator: Step[OperatorOutputs]
    database: DatabaseSteps | None
    agents: Step[StepOutputs] | None
    verified: Step[VerificationOutputs] | None
    generation: Step[ResourceOutputs]

    def by_name(self) -> dict[str, Step[Any]]:
        """Every step that may change something, by its name here."""
        found: dict[str, Any] = {}
        for field in fields(self):
            step = getattr(self, field.name)
            found |= step.by_name() if isinstance(step, DatabaseSteps) else {field.name: step}
        looks = ("place", "requested", "verified", "api_server")  # what is requested is the cluster's change
        return {name: step for name, step in found.items() if name not in looks and step is not None}

    async def outputs(self, spec: EnvironmentSpec) -> EnvironmentOutputs:
        """What the steps report, once all of them are done."""
        return EnvironmentOutputs(
            spec=spec,
            place=await self.place.result(),
            resource_group=await self.resource_group.result(),
            backup_group=await self.backup_group.result(),
            identity=await self.identity.result(),
            backup_identity=await (self.backup_identity or self.identity).result(),
            storage_account=await self.storage_account.result(),
            container=await self.container.result(),
            backup_protection=await self.backup_protection.result(),
            grafana=await self.grafana.result(),
            monitor_workspace=await self.monitor_workspace.result(),
            log_workspace=await self.log_workspace.result(),
            cluster=await self.cluster.result(),
            postgres_pool=await self.postgres_pool.result(),
            public_ip=await self.public_ip.result(),
            operator=await self.operator.result(),
            database=await self.database.outputs(spec) if self.database else None,
            changes={name: (await step.result()).change for name, step in self.by_name().items()},
        )


def start_environment(
    steps: Steps, spec: EnvironmentSpec, *, generation: int | None = None, verify: bool = True
) -> EnvironmentSteps:
    """Start every step of an environment; each waits for those whose results it takes.

    Args:
        steps: the run's steps.
        spec: the environment wanted.
        generation: which one to work on; unset, the live one, or the next where there is none.
        verify: whether to look at everything again at the end; a plan has nothing to look at.
    """
    start = steps.start
    place = start(preflight, spec, generation)
    providers = start(register_providers, place)

    # Storage, monitoring and identity side by side, ahead of the cluster.
    group = start(ensure_resource_group, spec, place, after=[providers])
    identity = start(ensure_managed_identity, spec, place, group)
    backup_identity: Step[IdentityOutputs] | None = None
    if spec.storage.identity == "separate":
        backup_identity = start(ensure_backup_identity, spec, place, group, identity)
    backup_group = start(ensure_backup_group, spec, place, group)
    account = start(ensure_storage_account, spec, place, backup_group)
    protection = start(ensure_backup_protection, spec, account)
    # Rules for versions, once there are versions.
    lifecycle = start(ensure_backup_lifecycle, spec, account, after=[protection])
    immutable = spec.storage.immutability_days is not None
    container = start(ensure_backup_container, spec, account, after=[protection] if immutable else [])
    immutability = start(ensure_backup_immutability, spec, account, container) if immutable else None
    blob_roles = start(ensure_blob_roles, spec, backup_identity or identity, account)
    grafana = start(ensure_grafana, spec, place, group)
    metrics_workspace = start(ensure_monitor_workspace, spec, place, group)
    log_workspace = start(ensure_log_workspace, spec, place, group)
    endpoint = start(ensure_metrics_endpoint, spec, place, group, metrics_workspace)
    metrics_rule = start(ensure_metrics_rule, spec, place, group, metrics_workspace, endpoint)
    logs_rule = start(ensure_logs_rule, spec, place, group, log_workspace)

    # A fault in what is cheap costs no cluster. Grafana and the rules, which may wait, go on beside it.
    ahead: list[Step[Any]] = [container, protection, lifecycle, blob_roles, metrics_workspace, log_workspace]
    if immutability is not None:
        ahead.append(immutability)
    requested: Step[ClusterRequestOutputs] | None = None
    associated: Step[Any]
    if spec.cluster_requests == "single":
        # The logs rule waits for its workspace's tables, up to a minute; nodes, and agents on them, come later.
        before = [*ahead, metrics_rule]
        requested = start(request_cluster, spec, place, group, identity, log_workspace, after=before)
        cluster = start(ensure_cluster, spec, place, group, identity, requested)
        associated = requested
    else:
        cluster = start(ensure_cluster, spec, place, group, identity, after=ahead)
        associated = cluster

    # The cluster's writes are one queue: AKS refuses a second operation while one is running. The guide has the pool
    # before the add-on; the other way round its agents get ready while the pool's nodes are being made.
    metrics_association = start(ensure_metrics_association, associated, metrics_rule)
    metrics_on = start(ensure_metrics_on, spec, cluster, after=[metrics_association])
    logs_association = start(ensure_logs_association, associated, logs_rule)
    queued: list[Step[Any]] = [logs_association, metrics_on]
    insights = start(ensure_container_insights, spec, cluster, log_workspace, after=queued)
    node_pool = start(ensure_node_pool, spec, place, cluster, after=[insights])

    # Outside the queue.
    rule_groups = start(ensure_rule_groups, spec, place, cluster, metrics_workspace)
    grafana_roles = start(ensure_grafana_roles, spec, place, group, grafana)
    node_group_reader = start(ensure_node_group_reader, spec, cluster, grafana)
    metrics_reader = start(ensure_metrics_reader, grafana, metrics_workspace)
    # Linked once Grafana may read the workspace, as az does it.
    grafana_link = start(ensure_grafana_link, grafana, metrics_workspace, after=[metrics_reader])
    public_ip = start(ensure_public_ip, spec, place, cluster)
    network_role = start(ensure_network_role, cluster, identity)

    api_server = start(reach_api_server, place, cluster)
    namespaces = start(ensure_namespaces, spec, cluster, api_server)
    operator_settings = None
    if spec.database is not None:
        # It reads them when it starts.
        operator_settings = start(ensure_operator_settings, spec, cluster, namespaces)
    operator = start(
        ensure_cnpg_operator,
        spec,
        cluster,
        namespaces,
        node_pool,
        after=[operator_settings] if operator_settings else [],
    )
    database = None
    if spec.database is not None:
        foundation = Foundation(
            place=place,
            group=group,
            backup_identity=backup_identity or identity,
            account=account,
            container=container,
            blob_roles=blob_roles,
            cluster=cluster,
            metrics_on=metrics_on,
            namespaces=namespaces,
            operator=operator,
        )
        database = start_database(steps, spec, foundation)
    agents = None
    if requested is not None:
        rules = [metrics_association, logs_association]
        agents = start(restart_stuck_agents, cluster, api_server, after=rules)

    roles = [blob_roles, grafana_roles, node_group_reader, metrics_reader, network_role]
    last: list[Step[Any]] = [node_pool, rule_groups, grafana_link, public_ip, *([agents] if agents else [])]
    verified = (
        start(verify_environment, spec, cluster, log_workspace, operator, roles, identity, after=last)
        if verify
        else None
    )
    finished: list[Step[Any]] = [verified] if verified else [group]
    if verified and database:
        finished += database.last
    current = start(mark_generation, spec, place, "current", after=finished)
    return EnvironmentSteps(
        place=place,
        providers=providers,
        resource_group=group,
        backup_group=backup_group,
        identity=identity,
        backup_identity=backup_identity,
        storage_account=account,
        container=container,
        backup_protection=protection,
        backup_lifecycle=lifecycle,
        backup_immutability=immutability,
        blob_roles=blob_roles,
        grafana=grafana,
        monitor_workspace=metrics_workspace,
        log_workspace=log_workspace,
        metrics_endpoint=endpoint,
        metrics_rule=metrics_rule,
        logs_rule=logs_rule,
        requested=requested,
        cluster=cluster,
        metrics_association=metrics_association,
        metrics_on=metrics_on,
        postgres_pool=node_pool,
        logs_association=logs_association,
        container_insights=insights,
        rule_groups=rule_groups,
        grafana_roles=grafana_roles,
        node_group_reader=node_group_reader,
        metrics_reader=metrics_reader,
        grafana_link=grafana_link,
        public_ip=public_ip,
        network_role=network_role,
        api_server=api_server,
        namespaces=namespaces,
        operator_settings=operator_settings,
        operator=operator,
        database=database,
        agents=agents,
        verified=verified,
        generation=current,
    )
