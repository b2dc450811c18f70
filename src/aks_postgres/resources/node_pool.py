"""Node pools of an AKS cluster.

https://learn.microsoft.com/rest/api/aks/agent-pools
"""

from __future__ import annotations

from aks_postgres.arm.diff import Decision
from aks_postgres.arm.kind import Kind
from aks_postgres.arm.responses import Json
from aks_postgres.kubernetes.power_state import abort_command, is_stopped, stopped_pool
from aks_postgres.reports.outputs import CheckedTarget, ClusterOutputs
from aks_postgres.spec.environment import EnvironmentSpec, NodePoolSpec
from aks_postgres.spec.versions import is_covered

# AKS documents no limit of an operation on a cluster or its pools; terraform waits 90 minutes.
DEADLINE_S = 3600

# A pool takes 2 to 9 minutes: https://github.com/Azure/AKS/issues/1439
KIND = Kind(
    "Microsoft.ContainerService/managedClusters/agentPools",
    "node pool",
    "Node pools",
    lambda azure: azure.container_service.agent_pools,
    put="begin_create_or_update",
    create_s=325,
    create_deadline_s=DEADLINE_S,
    if_match=True,
    abort=abort_command,
    immutable=(
        "properties.vmSize",
        "properties.availabilityZones",
        "properties.osType",
        "properties.vnetSubnetID",
    ),
    way_out="Rename the pool in the spec to add a new one, then delete the old one.",
    brings=(
        "AKS also makes a virtual machine scale set, and takes no other change of the cluster meanwhile",
    ),
    step="postgres node pool",
)


def desired(spec: EnvironmentSpec, pool: NodePoolSpec, mode: str, target: CheckedTarget) -> Json:
    """The fields of a node pool that we own."""
    properties: Json = {
        "mode": mode,
        "vmSize": pool.vm_size,
        "osType": "Linux",
        "type": "VirtualMachineScaleSets",
        "enableAutoScaling": True,
        "minCount": pool.min_count,
        "maxCount": pool.max_count,
        "availabilityZones": list(pool.zones),
    }
    if spec.network.subnet_id:
        properties["vnetSubnetID"] = spec.network.subnet_id
    if pool.labels:
        properties["nodeLabels"] = dict(pool.labels)
    if spec.cluster.kubernetes_version:
        properties["orchestratorVersion"] = target.kubernetes_version
    return properties


def of_postgres(spec: EnvironmentSpec, target: CheckedTarget) -> tuple[Json, Json]:
    """The properties of PostgreSQL's node pool that we own, and those that are only said when it is created."""
    pool = spec.postgres_pool
    return desired(spec, pool, "User", target), {
        **at_creation(target, pool),
        "upgradeSettings": {"undrainableNodeBehavior": "Schedule"},
        "scaleDownMode": "Delete",
    }


def to_compare(spec: EnvironmentSpec, properties: Json, live: Json | None) -> Json:
    """The fields of a node pool that we own, without a version that the live pool has: AKS patches in its own time."""
    version = (live or {}).get("currentOrchestratorVersion") or (live or {}).get("orchestratorVersion")
    if spec.cluster.kubernetes_version and version and is_covered(spec.cluster.kubernetes_version, version):
        return {key: value for key, value in properties.items() if key != "orchestratorVersion"}
    return properties


def at_creation(target: CheckedTarget, pool: NodePoolSpec) -> Json:
    """Return what is said of a node pool only when it is created: the count is the autoscaler's later on."""
    return {
        "count": pool.first_count,
        "orchestratorVersion": target.kubernetes_version,
        "scaleSetPriority": "Regular",
        "enableNodePublicIP": False,
        "enableEncryptionAtHost": False,
        "enableUltraSSD": False,
        "enableFIPS": False,
    }


def decision(
    label: str, spec: EnvironmentSpec, target: CheckedTarget, cluster: ClusterOutputs, live: Json | None
) -> Decision:
    """Compare PostgreSQL's node pool with the spec.

    Raises:
        ImmutableChange: it has another VM size or zones.
        LastingState: it is stopped, and `cluster.if_stopped` is refuse.
    """
    properties, first = of_postgres(spec, target)
    compared = to_compare(spec, properties, live and live["properties"])
    if is_stopped(live):
        if spec.cluster.if_stopped == "refuse":
            raise stopped_pool(cluster.resource_group, cluster.name, spec.postgres_pool.name)
        compared = {**compared, "powerState": {"code": "Running"}}
    return KIND.decide(label, {"properties": compared}, live, only_at_creation={"properties": first})
