"""Stopped clusters and node pools: how they get so, what they refuse, and how they run again.

- A stopped cluster takes nothing but start and delete, and its API server is away:
  https://learn.microsoft.com/azure/aks/start-stop-cluster
- Words of a refusal: https://github.com/MicrosoftDocs/azure-docs/issues/85161 (raw); that other writes are refused in
  the same words and with the same status is unverified.
- A pool is stopped and started by writing its `powerState`; stopped, its count is 0 and its state Succeeded:
  https://github.com/Azure/azure-cli (recording test_aks_nodepool_stop_and_start.yaml),
  https://learn.microsoft.com/azure/aks/start-stop-nodepools
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.providers import aks_api_server
from azure_sandbox.providers.aks_validation import at
from azure_sandbox.providers.container_service import (
    WITHOUT_RESULT,
    acted_on,
    check_deletion,
    check_not_busy,
    follow_cluster,
    pools_of,
    refusal,
    throttle_other,
)
from azure_sandbox.providers.container_service import provider as aks

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.core.responses import Response
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

RUNNING: Json = {"code": "Running"}
STOPPED: Json = {"code": "Stopped"}


def is_stopped(resource: Resource) -> bool:
    """Whether a cluster or a pool is stopped."""
    return bool(at(resource.properties, "powerState.code") == "Stopped")


def check_running(cluster: Resource, doing: str) -> None:
    """Refuse a write to a stopped cluster or to one of its pools."""
    if is_stopped(cluster):
        raise _refused(cluster, doing)


def _refused(cluster: Resource, doing: str) -> Exception:
    power = at(cluster.properties, "powerState.code")
    text = f"managed cluster is in Provisioning State({cluster.state}) and Power State({power}), "
    return refusal("BadRequest", f"{text}{doing} cannot be performed")


@aks.post("managedClusters/{cluster}/stop")
def managed_clusters_stop(call: Call) -> Response:
    """ManagedClusters_Stop: 202 and Stopping, then Succeeded with `powerState` Stopped.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/stop
    """
    return _switch(call, "stopping", "Stopping", "aks_cluster_stop", wanted=STOPPED)


@aks.post("managedClusters/{cluster}/start")
def managed_clusters_start(call: Call) -> Response:
    """ManagedClusters_Start: 202 and Starting, then Succeeded with `powerState` Running.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/start
    """
    return _switch(call, "starting", "Starting", "aks_cluster_start", wanted=RUNNING)


def _switch(call: Call, doing: str, state: str, duration: str, *, wanted: Json) -> Response:
    throttle_other(call)
    cluster, sandbox = acted_on(call), call.sandbox
    check_deletion(call, cluster, None, state)
    check_not_busy(call, cluster)
    if cluster.properties["powerState"] == wanted:
        raise _refused(cluster, doing)
    follow_cluster(sandbox, cluster, True)
    return call.begin(
        cluster,
        duration=duration,
        polling=WITHOUT_RESULT,
        status=202,
        state=state,
        effect=lambda _operation: _switched(sandbox, cluster, wanted),
        body=None,
    )


def _switched(sandbox: Sandbox, cluster: Resource, wanted: Json) -> None:
    cluster.properties["powerState"] = dict(wanted)
    for pool in pools_of(sandbox, cluster):
        if wanted == STOPPED:
            pool.notes["stopped_alone"] = is_stopped(pool)
        if not pool.notes.get("stopped_alone"):
            pool.properties["powerState"] = dict(wanted)
            switch_pool(pool)
    if wanted == RUNNING:
        aks_api_server.open_for_clients(sandbox, cluster)
    else:
        aks_api_server.sync_nodes(sandbox, cluster)
        aks_api_server.look_again(sandbox, cluster)


def check_pool_power(call: Call) -> None:
    """Refuse to stop a system pool, and anything but a start of a pool that is stopped.

    https://learn.microsoft.com/azure/aks/start-stop-nodepools; the words are unverified.
    """
    wanted = at(call.properties, "powerState.code")
    if wanted not in (None, "Running", "Stopped"):
        raise refusal("InvalidParameter", f"The value of parameter powerState.code '{wanted}' is invalid.")
    if call.live is None:
        return
    if wanted == "Stopped" and not is_stopped(call.live) and call.live.properties["mode"] == "System":
        raise refusal("BadRequest", "A system node pool can't be stopped.")
    if is_stopped(call.live) and wanted != "Running":
        text = f"agent pool '{call.live.name}' is in Power State(Stopped), updating cannot be performed"
        raise refusal("BadRequest", text)
    if is_stopped(call.live):
        # The client sends back what it read, a count of 0 below the minimum: the old count comes back.
        call.properties["count"] = call.live.notes.get("count_before") or call.live.properties["minCount"]


def switch_pool(pool: Resource) -> None:
    """Take a stopped pool's nodes away, or give a started one its nodes back."""
    if is_stopped(pool):
        pool.notes["count_before"] = pool.properties["count"] or pool.notes.get("count_before")
        pool.notes["has_nodes"] = False
        pool.properties["count"] = 0
    else:
        pool.notes["has_nodes"] = True
        if not pool.properties["count"] and pool.notes.get("count_before"):
            pool.properties["count"] = pool.notes["count_before"]
