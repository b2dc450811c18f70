"""Microsoft.ContainerService: the status of operations, and how to abort them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_sandbox.providers.container_service import (
    WITHOUT_RESULT,
    acted_on,
    refusal,
    throttle,
    throttle_other,
)
from azure_sandbox.providers.container_service import provider as aks

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.operations import Operation
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.core.responses import Response


@aks.post("managedClusters/{cluster}/abort")
def managed_clusters_abort_latest_operation(call: Call) -> Response:
    """ManagedClusters_AbortLatestOperation: 202 and Canceling, then Canceled; 409 when nothing is running.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/abort-latest-operation
    """
    throttle_other(call)
    return _abort(call, acted_on(call))


@aks.post("managedClusters/{cluster}/agentPools/{pool}/abort")
def agent_pools_abort_latest_operation(call: Call) -> Response:
    """AgentPools_AbortLatestOperation: 202 and Canceling, then Canceled; 409 when nothing is running.

    REST: https://learn.microsoft.com/rest/api/aks/agent-pools/abort-latest-operation
    """
    throttle_other(call)
    return _abort(call, acted_on(call))


def _abort(call: Call, resource: Resource) -> Response:
    """End the operation that works on a cluster or a pool; the resource is Canceling, then Canceled."""
    operations = call.sandbox.operations
    running = operations.running(resource.id)
    if running is None or running.deletes:
        # "If the operation completes before cancellation can take place, a 409 error code is returned." Code and text:
        # https://github.com/VijayRod/demo/blob/main/container-storage/logs/k8s-aks-op-abort.md
        text = f"Cancel operation is not allowed when the ProvisioningState is {resource.state}"
        raise refusal("OperationNotAllowed", text, status=409)
    error = {"code": "Canceled", "message": "The operation was aborted by the user."}
    operations.end(running, "Canceled", error, touch=False)

    def canceled(operation: Operation) -> None:
        if operation.status == "Succeeded":
            resource.state = "Canceled"

    return call.begin(
        resource,
        duration="aks_cluster_abort",
        polling=WITHOUT_RESULT,
        status=202,
        state="Canceling",
        settled=canceled,
        body=None,
    )


def _poll(call: Call, *, is_location: bool) -> Response:
    throttle(call, "GetOperationStatusHandler.GET", call.subscription, capacity=200, per_s=2)
    operation = call.sandbox.operations.get(call.names["operation"])
    if operation is None:
        # AKS's own text isn't known.
        text = f"Operation '{call.names['operation']}' was not found."
        raise refusal("NotFound", text, status=404)
    return call.sandbox.operations.poll(operation, is_location=is_location, base_url=call.base_url)


@aks.get("locations/{location}/operations/{operation}", scope="subscription", operation="Operations_Poll")
def operations_get(call: Call) -> Response:
    """The status of an operation: always 200 with `status`, and `error` when it went wrong."""
    return _poll(call, is_location=False)


@aks.get(
    "locations/{location}/operationresults/{operation}", scope="subscription", operation="Operations_Poll"
)
def operation_results_get(call: Call) -> Response:
    """The result of a deletion or an abort: 202 until its end, then 204."""
    return _poll(call, is_location=True)
