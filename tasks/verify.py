"""Guide: Create infrastructure, the checks between its steps ("verify", "validate") - not sent, but so.

Roles are verified by reading the assignments; when they take effect, Azure doesn't say.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress

from aks_postgres.arm import clock
from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import LastingState
from aks_postgres.arm.poll import NotInTime, poll
from aks_postgres.arm.resource import look_at
from aks_postgres.arm.responses import Json
from aks_postgres.arm.retry import all_ended, read
from aks_postgres.errors import PermanentError
from aks_postgres.kubernetes.client import KubernetesApi, kubernetes_api
from aks_postgres.kubernetes.pod_troubles import told, troubles_of
from aks_postgres.kubernetes.power_state import is_stopped, stopped_cluster, stopped_pool, stopped_pools
from aks_postgres.reports.outputs import (
    UNCHANGED,
    ClusterOutputs,
    IdentityOutputs,
    LogWorkspaceOutputs,
    OperatorOutputs,
    RoleOutputs,
    VerificationOutputs,
)
from aks_postgres.resources.links import identity_problem
from aks_postgres.resources.managed_cluster import UPDATE_S, cluster_resource, refuse_lost_node_group
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec, NodePoolSpec

METRICS_AGENT = "ama-metrics-node"
LOGS_AGENT = "ama-logs"
# Agents appear minutes after their profile is on (https://github.com/Azure/AKS/issues/4973); 15 min is the limit.
_AGENTS_WITHIN_S = 900
# A role assignment may be invisible for a moment after the write that made it, as any resource: 10 s between looks.
_LOOKS_FOR_ROLES = 6
# Azure seconds between two questions for the nodes' group, while nodes are missing.
_ASKS_FOR_GROUP_S = 60


class VerificationFailed(PermanentError):
    """The environment isn't what it should be after everything was sent."""


class RolesMissing(PermanentError):
    """Roles that `roles: verify` looked for and didn't find; `commands` are az's, one each."""

    def __init__(self, commands: Sequence[str]) -> None:
        self.commands = tuple(dict.fromkeys(commands))
        count = len(self.commands)
        lines = "".join(f"\n  {command}" for command in self.commands)
        super().__init__(
            f"roles: verify was given, and {count} {'role is' if count == 1 else 'roles are'} missing; everything "
            "else was made.",
            way_out=f"Let somebody who may assign roles carry this out, then run again:{lines}",
        )


def cluster_problems(spec: EnvironmentSpec, live: Json | None, workspace_id: str) -> list[str]:
    """Return what is wrong with the cluster as ARM shows it."""
    if live is None:
        return ["the AKS cluster doesn't exist"]
    properties = live["properties"]
    problems = []
    if properties.get("provisioningState") != "Succeeded":
        problems.append(f"the cluster's provisioningState is {properties.get('provisioningState')}")
    metrics = (properties.get("azureMonitorProfile") or {}).get("metrics") or {}
    if metrics.get("enabled") is not True:
        problems.append("managed Prometheus is off (azureMonitorProfile.metrics.enabled)")
    addon = (properties.get("addonProfiles") or {}).get("omsagent") or {}
    config = {key.casefold(): str(value) for key, value in (addon.get("config") or {}).items()}
    if addon.get("enabled") is not True:
        problems.append("Container insights is off (addonProfiles.omsagent.enabled)")
    elif config.get("loganalyticsworkspaceresourceid", "").casefold() != workspace_id.casefold():
        problems.append(
            f"Container insights writes to {config.get('loganalyticsworkspaceresourceid')}, not to {workspace_id}"
        )
    pools = {pool["name"]: pool for pool in properties.get("agentPoolProfiles") or []}
    for pool in (spec.system_pool, spec.postgres_pool):
        state = pools.get(pool.name, {}).get("provisioningState", "missing")
        if state != "Succeeded":
            problems.append(f"node pool {pool.name} is {state}")
    return problems


def pool_problems(pool: NodePoolSpec, nodes: Sequence[Json]) -> list[str]:
    """Return what is wrong with a node pool as Kubernetes shows its nodes."""
    mine = [node for node in nodes if _label(node, "kubernetes.azure.com/agentpool") == pool.name]
    ready = [node for node in mine if _is_ready(node)]
    problems = []
    if len(ready) < pool.min_count:
        problems.append(f"node pool {pool.name}: {len(ready)} ready nodes, at least {pool.min_count} wanted")
    zones = {_label(node, "topology.kubernetes.io/zone").rpartition("-")[2] for node in ready}
    if pool.min_count >= len(pool.zones) and not set(pool.zones) <= zones:
        missing = ", ".join(sorted(set(pool.zones) - zones))
        problems.append(f"node pool {pool.name}: no ready node in zone {missing}")
    return problems


def agent_problem(name: str, daemon_set: Json | None, node_count: int | None) -> str | None:
    """What is wrong with a monitoring agent that must run on every node; None takes its own word for how many."""
    if daemon_set is None:
        return f"daemon set {name} doesn't exist"
    status = daemon_set.get("status") or {}
    ready, wanted = status.get("numberReady", 0), status.get("desiredNumberScheduled", 0)
    needed = max(wanted, 1) if node_count is None else node_count
    if ready < needed or wanted < needed:
        return f"daemon set {name}: ready on {ready} of {needed} nodes"
    return None


def _label(node: Json, key: str) -> str:
    return str((node["metadata"].get("labels") or {}).get(key, ""))


def _is_ready(node: Json) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


async def _agent_problems(
    api: KubernetesApi, names: Iterable[str], node_count: int | None = None
) -> dict[str, str]:
    """Return what is wrong with these agents, by name."""
    names = list(names)
    agents = "/apis/apps/v1/namespaces/kube-system/daemonsets"
    live = await asyncio.gather(*(api.get(f"{agents}/{name}") for name in names))
    problems = {name: agent_problem(name, found, node_count) for name, found in zip(names, live, strict=True)}
    return {name: problem for name, problem in problems.items() if problem}


async def _kubernetes_problems(
    api: KubernetesApi, spec: EnvironmentSpec, operator: OperatorOutputs
) -> tuple[list[str], list[str], dict[str, str]]:
    """Return what is wrong with the nodes, with the operator, and with the agents."""
    deployments = f"/apis/apps/v1/namespaces/{operator.namespace}/deployments"
    listed, deployment = await asyncio.gather(
        api.list_of("/api/v1/nodes", "Node"), api.get(f"{deployments}/{operator.deployment}")
    )
    nodes = listed or []
    of_nodes = [*pool_problems(spec.system_pool, nodes), *pool_problems(spec.postgres_pool, nodes)]
    problems = []
    if ((deployment or {}).get("status") or {}).get("availableReplicas", 0) < 1:
        problems.append(f"deployment {operator.namespace}/{operator.deployment} isn't available")
    return of_nodes, problems, await _agent_problems(api, (METRICS_AGENT, LOGS_AGENT), len(nodes))


async def _reasons(api: KubernetesApi, operator: OperatorOutputs) -> list[str]:
    """Return why operator and agents aren't ready, as far as their pods say it."""
    apps = "/apis/apps/v1/namespaces"
    paths = [f"{apps}/{operator.namespace}/deployments/{operator.deployment}"]
    paths += [f"{apps}/kube-system/daemonsets/{name}" for name in (METRICS_AGENT, LOGS_AGENT)]
    workloads = [found for found in await all_ended(map(api.get, paths)) if found]
    return [
        text
        for text in map(told, await all_ended(troubles_of(api, workload) for workload in workloads))
        if text
    ]


async def _lost(azure: Azure, role_ids: Sequence[str]) -> Sequence[str]:
    """Return which of these role assignments aren't there, at the first look nor later."""
    get = azure.authorization.role_assignments.get_by_id
    lost = role_ids

    async def are_there() -> bool | None:
        nonlocal lost
        live = await all_ended(read("role assignment", get, role_id.lstrip("/")) for role_id in lost)
        lost = [role_id for role_id, found in zip(lost, live, strict=True) if found is None]
        return None if lost else True

    with suppress(NotInTime):
        await poll(are_there, every_s=10, tries=_LOOKS_FOR_ROLES)
    return lost


@arm_task("verify_environment {cluster.name}", looks=True)
async def verify_environment(
    azure: Azure,
    spec: EnvironmentSpec,
    cluster: ClusterOutputs,
    log_workspace: LogWorkspaceOutputs,
    operator: OperatorOutputs,
    roles: Sequence[RoleOutputs],
    identity: IdentityOutputs,
) -> VerificationOutputs:
    """Look at everything again, in Azure and in the cluster, and wait for what comes up late.

    Guide: Create infrastructure, "Create the AKS cluster ...", steps 6 and 7 (kubectl get daemonset, az aks show), and
    Deploy, "Install the CloudNativePG operator ..." (kubectl get deployment).
    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/get, and
    https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/daemon-set-v1/

    Args:
        spec: the environment wanted.
        cluster: the cluster.
        log_workspace: the workspace that Container insights must write to.
        operator: the operator's deployment.
        roles: the role assignments that must be there.
        identity: the identity that the control plane must have, by its principal.

    Returns:
        What was found to be so.

    Raises:
        RolesMissing: `roles: verify`, and some aren't given; told before anything is waited for.
        VerificationFailed: names everything that isn't so after 15 minutes.
        LastingState: the cluster or a pool is stopped, its nodes' group is gone, or its identity is an earlier one;
            told at once.
    """
    if missing := [command for role in roles for command in role.missing]:
        raise RolesMissing(missing)
    resource = cluster_resource(azure, cluster.id, UPDATE_S)
    found: list[str] = []
    late: dict[str, str] = {}
    asked_s = -math.inf

    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:

        async def all_so() -> bool | None:
            nonlocal late, asked_s
            if late and found == [*late.values()]:
                # Agents take minutes: while nothing else is missing, nothing else is asked for, not even the
                # nodes, of which the autoscaler may take some away meanwhile.
                late = await _agent_problems(api, late)
                found[:] = late.values()
                if late:
                    return None
            live = await look_at(resource)
            if is_stopped(live):
                raise stopped_cluster(cluster.resource_group, cluster.name)
            for pool in stopped_pools(spec, live):
                raise stopped_pool(cluster.resource_group, cluster.name, pool)
            if stale := identity_problem(live, identity):
                raise LastingState(resource.label, stale, "Run again: that assigns the one of now.")
            of_nodes, inside, late = await _kubernetes_problems(api, spec, operator)
            if of_nodes and clock.now_s() - asked_s > _ASKS_FOR_GROUP_S:
                asked_s = clock.now_s()
                await refuse_lost_node_group(azure, cluster)
            found[:] = [*cluster_problems(spec, live, log_workspace.id), *of_nodes, *inside, *late.values()]
            return True if not found else None

        try:
            await api.wait(
                "agents, nodes and operator aren't all ready yet", all_so, deadline_s=_AGENTS_WITHIN_S
            )
        except TimeoutError:
            await refuse_lost_node_group(azure, cluster)
            found += await _reasons(api, operator)
            lines = "".join(f"\n  - {problem}" for problem in found)
            raise VerificationFailed(
                f"AKS cluster {cluster.name}: after 15 minutes not everything is as it should be:{lines}\n",
                way_out="Everything was sent; run again to look once more, and see kubectl describe for what is named.",
            ) from None
    ids = [role_id for role in roles for role_id in role.ids]
    lost = await _lost(azure, ids)
    if lost:
        raise VerificationFailed(
            f"role assignments are gone that this run made or found: {', '.join(lost)}. Somebody removed them.",
            way_out="Run again to make them anew.",
        )
    facts = (
        f"{METRICS_AGENT} and {LOGS_AGENT} are ready on every node",
        f"Container insights writes to {log_workspace.name}",
        f"operator deployment {operator.namespace}/{operator.deployment} is available",
        f"node pools {spec.system_pool.name} and {spec.postgres_pool.name} are healthy in zones "
        f"{', '.join(spec.postgres_pool.zones)}",
        f"{len(ids)} role assignments are there",
    )
    return VerificationOutputs(facts=facts, change=UNCHANGED)
