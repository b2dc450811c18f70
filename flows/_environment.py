"""The steps that make one environment, as a graph: `provision` carries them out, `plan` only looks.

An argument is an edge; an order that no value carries is an `after` with its reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aks_postgres.flows._database import Foundation, start_database
from aks_postgres.reports.outputs import (
    CheckedTarget,
    ClusterRequestOutputs,
    EnvironmentOutputs,
    IdentityOutputs,
    ResourceOutputs,
)
from aks_postgres.runs.steps import Step, Steps, every
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
from aks_postgres.tasks.resource_group import (
    CURRENT,
    ensure_backup_group,
    ensure_resource_group,
    mark_generation,
)
from aks_postgres.tasks.storage import ensure_backup_container, ensure_blob_roles, ensure_storage_account
from aks_postgres.tasks.subnet import ensure_subnet_role
from aks_postgres.tasks.verify import verify_environment


@dataclass(frozen=True)
class Environment:
    """One environment under way."""

    target: Step[CheckedTarget]
    outputs: Callable[[], Awaitable[EnvironmentOutputs]]
    """What its steps report, once all of them are done."""
    foundation: Foundation
    """What a database stands on."""


def start_environment(
    steps: Steps,
    spec: EnvironmentSpec,
    *,
    generation: int | None = None,
    verify: bool = True,
    with_database: bool = True,
) -> Environment:
    """Start every step of an environment; each waits for those whose results it takes.

    Args:
        steps: the run's steps.
        spec: the environment wanted.
        generation: which one to work on; unset, the live one, or the next where there is none.
        verify: whether to look at everything again at the end; a plan has nothing to look at.
        with_database: whether to make the database that the spec has.
    """
    start = steps.start
    target = start(preflight, spec, generation)
    providers = start(register_providers, target)

    # Storage, monitoring and identity side by side, ahead of the cluster.
    resource_group = start(ensure_resource_group, spec, target, after=[providers])
    managed_identity = start(ensure_managed_identity, spec, target, resource_group)
    backup_identity: Step[IdentityOutputs] | None = None
    if spec.storage.identity == "separate":
        backup_identity = start(ensure_backup_identity, spec, target, resource_group, managed_identity)
    backup_group = start(ensure_backup_group, spec, target, resource_group)
    storage_account = start(ensure_storage_account, spec, target, backup_group)
    backup_protection = start(ensure_backup_protection, spec, storage_account)
    # Rules for versions, once there are versions.
    backup_lifecycle = start(ensure_backup_lifecycle, spec, storage_account, after=[backup_protection])
    immutable = spec.storage.immutability_days is not None
    backup_container = start(
        ensure_backup_container, spec, storage_account, after=[backup_protection] if immutable else []
    )
    backup_immutability = (
        start(ensure_backup_immutability, spec, storage_account, backup_container) if immutable else None
    )
    blob_roles = start(ensure_blob_roles, spec, backup_identity or managed_identity, storage_account)
    grafana = start(ensure_grafana, spec, target, resource_group)
    monitor_workspace = start(ensure_monitor_workspace, spec, target, resource_group)
    log_workspace = start(ensure_log_workspace, spec, target, resource_group)
    metrics_endpoint = start(ensure_metrics_endpoint, spec, target, resource_group, monitor_workspace)
    metrics_rule = start(
        ensure_metrics_rule, spec, target, resource_group, monitor_workspace, metrics_endpoint
    )
    logs_rule = start(ensure_logs_rule, spec, target, resource_group, log_workspace)

    # A fault in what is cheap costs no cluster. Grafana and the rules, which may wait, go on beside it.
    ahead: list[Step[Any]] = [
        backup_container,
        backup_protection,
        backup_lifecycle,
        blob_roles,
        monitor_workspace,
        log_workspace,
    ]
    if backup_immutability is not None:
        ahead.append(backup_immutability)
    # AKS looks at the subnet when it makes the cluster in it.
    subnet_role = start(ensure_subnet_role, spec, managed_identity) if spec.network.subnet_id else None
    if subnet_role is not None:
        ahead.append(subnet_role)
    requested: Step[ClusterRequestOutputs] | None = None
    associated: Step[ResourceOutputs]
    if spec.cluster_requests == "single":
        # The logs rule waits for its workspace's tables, up to a minute; nodes, and agents on them, come later.
        before = [*ahead, metrics_rule]
        requested = start(
            request_cluster, spec, target, resource_group, managed_identity, log_workspace, after=before
        )
        cluster = start(ensure_cluster, spec, target, resource_group, managed_identity, requested)
        associated = requested
    else:
        cluster = start(ensure_cluster, spec, target, resource_group, managed_identity, after=ahead)
        associated = cluster

    # The cluster's writes are one queue: AKS refuses a second operation while one is running. The guide has the pool
    # before the add-on; the other way round its agents get ready while the pool's nodes are being made.
    metrics_association = start(ensure_metrics_association, associated, metrics_rule)
    metrics_on = start(ensure_metrics_on, spec, cluster, after=[metrics_association])
    logs_association = start(ensure_logs_association, associated, logs_rule)
    queued: list[Step[Any]] = [logs_association, metrics_on]
    container_insights = start(ensure_container_insights, spec, cluster, log_workspace, after=queued)
    node_pool = start(ensure_node_pool, spec, target, cluster, after=[container_insights])

    # Outside the queue.
    rule_groups = start(ensure_rule_groups, spec, target, cluster, monitor_workspace)
    grafana_roles = start(ensure_grafana_roles, spec, target, resource_group, grafana)
    node_group_reader = start(ensure_node_group_reader, spec, cluster, grafana)
    metrics_reader = start(ensure_metrics_reader, grafana, monitor_workspace)
    # Linked once Grafana may read the workspace, as az does it.
    grafana_link = start(ensure_grafana_link, grafana, monitor_workspace, after=[metrics_reader])
    public_ip = start(ensure_public_ip, spec, target, cluster)
    network_role = start(ensure_network_role, cluster, managed_identity)

    api_server = start(reach_api_server, target, cluster)
    namespaces = start(ensure_namespaces, spec, cluster, api_server)
    has_database = with_database and spec.database is not None
    # An operator reads its settings when it starts.
    operator_settings = [start(ensure_operator_settings, spec, cluster, namespaces)] if has_database else []
    cnpg_operator = start(ensure_cnpg_operator, spec, cluster, namespaces, node_pool, after=operator_settings)
    foundation = Foundation(
        target=target,
        resource_group=resource_group,
        backup_identity=backup_identity or managed_identity,
        storage_account=storage_account,
        backup_container=backup_container,
        blob_roles=blob_roles,
        cluster=cluster,
        metrics_on=metrics_on,
        monitor_workspace=monitor_workspace,
        grafana=grafana,
        grafana_roles=grafana_roles,
        namespaces=namespaces,
        cnpg_operator=cnpg_operator,
    )
    database = start_database(steps, spec, foundation) if has_database else None
    stuck_agents = None
    if requested is not None:
        rules = [metrics_association, logs_association]
        stuck_agents = start(restart_stuck_agents, cluster, api_server, after=rules)

    roles = every(
        blob_roles,
        grafana_roles,
        node_group_reader,
        metrics_reader,
        network_role,
        *([subnet_role] if subnet_role else []),
    )
    last: list[Step[Any]] = [
        node_pool,
        rule_groups,
        grafana_link,
        public_ip,
        *([stuck_agents] if stuck_agents else []),
    ]
    verified = (
        start(
            verify_environment,
            spec,
            cluster,
            log_workspace,
            cnpg_operator,
            roles,
            managed_identity,
            after=last,
        )
        if verify
        else None
    )
    finished: list[Step[Any]] = [verified] if verified else [resource_group]
    if verified and database:
        finished += database.last
    start(mark_generation, spec, target, CURRENT, after=finished)

    async def outputs() -> EnvironmentOutputs:
        return EnvironmentOutputs(
            place=await target.result(),
            resource_group=await resource_group.result(),
            backup_group=await backup_group.result(),
            identity=await managed_identity.result(),
            backup_identity=await (backup_identity or managed_identity).result(),
            storage_account=await storage_account.result(),
            container=await backup_container.result(),
            backup_protection=await backup_protection.result(),
            grafana=await grafana.result(),
            monitor_workspace=await monitor_workspace.result(),
            log_workspace=await log_workspace.result(),
            cluster=await cluster.result(),
            postgres_pool=await node_pool.result(),
            public_ip=await public_ip.result(),
            operator=await cnpg_operator.result(),
            database=await database.outputs() if database else None,
            changes=await steps.changes(),
        )

    return Environment(target, outputs, foundation)
