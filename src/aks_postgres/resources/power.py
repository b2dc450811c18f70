"""Starting a stopped cluster, where the spec says so: in the cluster's own queue of writes, and waited for.

REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/start
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision
from aks_postgres.arm.planned import PlannedBody
from aks_postgres.arm.reconcile import ArmResource, arm_resource, ensure, look_at
from aks_postgres.arm.responses import Answer, Json
from aks_postgres.errors import ProvisioningError
from aks_postgres.reports.outputs import UNCHANGED, Change, ClusterOutputs, FieldChange
from aks_postgres.resources.lasting_states import is_stopped, stopped_cluster
from aks_postgres.resources.managed_cluster import existing
from aks_postgres.resources.node_pool import DEADLINE_S

# Azure seconds; unverified: AKS documents neither a usual time nor a limit. A start brings all nodes up again.
START_S = 240
_POWER = "properties.powerState.code"
_RUNNING: Json = {"properties": {"powerState": {"code": "Running"}}}


async def start_if_stopped(
    azure: Azure, whole: ArmResource, group: str, name: str
) -> tuple[ArmResource, Change]:
    """Start the cluster if it is stopped, or once it is.

    Args:
        whole: the cluster as its writers describe it.
        group: its resource group.
        name: its name.

    Returns:
        The cluster, in a plan as it would be started; and the change.
    """
    if await look_at(whole) is None:
        return whole, UNCHANGED

    async def begin_start(group: str, name: str, _body: bytes, *, content_type: str, **options: Any) -> Any:
        return await azure.container_service.managed_clusters.begin_start(group, name, **options)

    resource = replace(
        arm_resource(
            azure,
            whole.label,
            whole.id,
            _unused,
            begin_start,
            group,
            name,
            expected_s=START_S,
            deadline_s=DEADLINE_S,
        ),
        get=whole.get,
    )

    def decision(live: Json | None) -> Decision:
        if not is_stopped(existing(azure, whole.label, live)):
            return Decision(UNCHANGED)
        field = FieldChange(field=_POWER, old="Stopped", new="Running")
        return Decision(Change(kind="updated", fields=(field,)), _RUNNING)

    live, change = await ensure(resource, decision)
    if not isinstance(live, PlannedBody):
        return whole, change

    async def get() -> Answer:
        return Answer(200, live)

    return replace(whole, get=get), change


async def _unused(*_: Any, **__: Any) -> Any:
    raise NotImplementedError("the cluster is read as its writers read it")


def together(first: Change, second: Change) -> Change:
    """Two changes of one resource as one."""
    if second.kind == "unchanged":
        return first
    return second.model_copy(update={"fields": first.fields + second.fields})


def refuse_unstarted(azure: Azure, cluster: ClusterOutputs) -> None:
    """See that the cluster runs: a plan doesn't start it.

    Raises:
        ProvisioningError: nothing in it can be asked.
    """
    if azure.gate.plans and any(field.field == _POWER for field in cluster.change.fields):
        raise ProvisioningError(f"AKS cluster {cluster.name} is stopped: what is in it shows once it runs.")


async def refuse_stopped(whole: ArmResource, group: str, name: str) -> None:
    """Look whether a cluster that doesn't answer was stopped meanwhile.

    Raises:
        LastingState: it was.
    """
    if is_stopped(await look_at(whole)):
        raise stopped_cluster(group, name)
