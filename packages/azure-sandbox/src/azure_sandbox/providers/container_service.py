"""Microsoft.ContainerService: what clusters and node pools share, and the operations that belong to neither.

How AKS answers, by source:

- polling: a PUT answers with `Azure-AsyncOperation` only, no `Location`, no `Retry-After`; the status URL
  has its own api-version (https://github.com/Azure/azure-powershell, recording
  TestAPI20250801WithMSI.json);
- errors have no `error` wrapper: `code`, `details`, `message`, `subcode`
  (https://github.com/apecloud/kubeblocks/pull/10136);
- throttling:
  https://learn.microsoft.com/azure/aks/quotas-skus-regions#throttling-limits-on-aks-resource-provider-apis
- etags: https://learn.microsoft.com/azure/aks/use-etags

Left out: snapshots, maintenance configurations, trusted access, run command, certificate
rotation, Windows pools, Entra integration of the Kubernetes API, private clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from azure_sandbox.core.operations import Operation, Polling
from azure_sandbox.core.provider import Provider
from azure_sandbox.core.resource import TERMINAL, Resource
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.providers import aks_versions

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.server.instance import Sandbox

CLUSTER = "Microsoft.ContainerService/managedClusters"
POOL = "Microsoft.ContainerService/managedClusters/agentPools"

# From the changelog of the REST API,
# https://learn.microsoft.com/azure/templates/microsoft.containerservice/managedclusters
API_VERSIONS = (
    "2024-02-01",
    "2024-05-01",
    "2024-07-01",
    "2024-08-01",
    "2024-09-01",
    "2024-10-01",
    "2025-01-01",
    "2025-02-01",
    "2025-03-01",
    "2025-04-01",
    "2025-05-01",
    "2025-06-01",
    "2025-07-01",
    "2025-08-01",
    "2025-09-01",
    "2025-10-01",
    "2026-01-01",
    "2026-02-01",
    "2026-03-01",
    "2026-04-01",
    "2026-05-01",
    "2026-06-01",
    "2026-07-01",
    "2026-08-01",
)
# Status documents are read with the version in the URL that was handed out, or with the client's own.
STATUS_API_VERSIONS = ("2016-03-30", "2017-08-31", *API_VERSIONS)


def progress(operation: Operation, share: float, sandbox: Sandbox) -> str:
    """What AKS calls the state of a write in its status document, beside InProgress.

    Recorded in https://github.com/Azure/azure-cli-extensions (aks-preview): `ProvisioningControlPlane`,
    `CreatingAgentPools: 1/3 nodes completed`, `ReconcilingAddons`. When each comes is ours.
    """
    resource = operation.resource
    if operation.state != "Creating" or operation.spontaneous or share < 0.1:
        return "InProgress"
    pools = [resource] if resource.type == POOL else pools_of(sandbox, resource)
    nodes = sum(int(pool.properties.get("count") or 0) for pool in pools)
    if resource.type == CLUSTER and share < 0.4:
        return "ProvisioningControlPlane"
    if resource.type == CLUSTER and share > 0.9:
        return "ReconcilingAddons"
    return f"CreatingAgentPools: {int(share * nodes)}/{nodes} nodes completed"


LOCATION_PATH = "/subscriptions/{subscription}/providers/Microsoft.ContainerService/locations/{location}"
WRITE = Polling(
    async_path=f"{LOCATION_PATH}/operations/{{id}}",
    name_swapped=True,
    api_version="2016-03-30",
    preempted="AKSOperationPreempted",
    progress=progress,
)
# Deletions and aborts send both headers; their Location ends in 204 (abort: recording
# Invoke-AzAksAbortManagedClusterLatestOperation.Recording.json).
WITHOUT_RESULT = Polling(
    async_path=f"{LOCATION_PATH}/operations/{{id}}",
    location_path=f"{LOCATION_PATH}/operationresults/{{id}}",
    location_done="no content",
    name_swapped=True,
    api_version="2016-03-30",
    preempted="AKSOperationPreempted",
)

SPONTANEOUS = "PutExtensionAddonHandler.PUT"
# A write in the first moments of an operation that AKS started itself meets a newer etag instead of a busy
# cluster: 409 EtagMismatch (https://github.com/Azure/terraform-azurerm-aks/issues/604). How long is
# unverified.
ETAG_RACE_S = 3.0

provider = Provider("Microsoft.ContainerService")
provider.type("locations/operations", api_versions=STATUS_API_VERSIONS, tracked=False)
provider.type("locations/operationresults", api_versions=STATUS_API_VERSIONS, tracked=False)
for _name in ("managedClusters/upgradeProfiles", "managedClusters/agentPools/upgradeProfiles"):
    provider.type(_name, api_versions=API_VERSIONS, tracked=False)
provider.type("locations/kubernetesVersions", api_versions=API_VERSIONS, tracked=False)
# What clients asked before kubernetesVersions, and Ansible's azure.azcollection still does.
provider.type("locations/orchestrators", api_versions=("2017-09-30", "2019-04-01"), tracked=False)


def refusal(
    code: str, message: str, *, status: int = 400, target: str | None = None, subcode: str = ""
) -> ArmError:
    """AKS's answer to a request that it doesn't start."""
    return ArmError(status, code, message, target=target, subcode=subcode, bare=True)


def throttle(call: Call, handler: str, key: str, *, capacity: float, per_s: float) -> None:
    """Take from one of AKS's own buckets.

    Text: https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/error-codes/throttled-error

    Args:
        call: the request.
        handler: AKS's name for what is limited, `PutManagedClusterHandler.PUT`.
        key: whose bucket: a resource or the subscription.
        capacity: burst.
        per_s: refill per second.
    """
    call.throttle(
        (handler, key.lower()),
        capacity=capacity,
        per_s=per_s,
        message=f"The {handler} request limit has been exceeded for SubID='{call.subscription}', please "
        "retry again in {wait} seconds. For more information, please visit aka.ms/aks/throttling",
        bare=True,
    )


def throttle_other(call: Call) -> None:
    """The bucket of everything that has none of its own: 60, then 1 per second, per subscription."""
    throttle(call, "AllOtherHandlers", call.subscription, capacity=60, per_s=1)


def pools_of(sandbox: Sandbox, cluster: Resource) -> list[Resource]:
    """The node pools of a cluster, in order of creation, each with its state brought up to date."""
    pools = sandbox.store.under(cluster.id, POOL)
    for pool in pools:
        if pool.notes.get("follows_cluster") and cluster.state is not None:
            pool.state = cluster.state
    return pools


def follow_cluster(sandbox: Sandbox, cluster: Resource, follow: bool) -> None:
    """Let the pools' states be the cluster's, while an operation of the cluster writes them too, or stop."""
    for pool in pools_of(sandbox, cluster):
        pool.notes["follows_cluster"] = follow


def lower_group(resource_id: str) -> str:
    """An id as AKS writes it: `resourcegroups` in lower case."""
    return resource_id.replace("/resourceGroups/", "/resourcegroups/", 1)


def acted_on(call: Call) -> Resource:
    """The cluster or node pool that an action or a profile belongs to, or 404 ResourceNotFound."""
    resource_id = f"{call.scope}/providers/{CLUSTER}/{call.names['cluster']}"
    kind = CLUSTER
    if "pool" in call.names:
        resource_id, kind = f"{resource_id}/agentPools/{call.names['pool']}", POOL
    resource = call.sandbox.store.get(resource_id)
    if resource is None:
        raise ArmError(
            404,
            "ResourceNotFound",
            f"The Resource '{kind}/{'/'.join(call.names.values())}' under resource group '{call.group}' "
            "was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
            headers={"x-ms-failure-cause": "gateway"},
        )
    return resource


def check_deletion(call: Call, cluster: Resource, target: Resource | None, verb: str) -> None:
    """Refuse everything but deletion once deletion was issued.

    Text:
    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/operationnotallowed

    Args:
        call: the request.
        cluster: the cluster.
        target: the pool that the request is about, if any.
        verb: `Updating`, `Scaling`, ...
    """
    for resource in (cluster, target):
        running = None if resource is None else call.sandbox.operations.running(resource.id)
        if resource is None or running is None or not running.deletes:
            continue
        clock = call.sandbox.clock
        elapsed = int(clock.now_s() - running.started_s)
        name = (target or cluster).name if target or resource is cluster else resource.name
        raise refusal(
            "OperationNotAllowed",
            f"Unable to perform '{verb}' operation on '{name}' since deletion was issued on "
            f"'{resource.name}'. The only allowed operation is deletion once deletion has started. The "
            f"delete operation started at '{clock.at(running.started_s).strftime('%Y-%m-%dT%H:%M:%SZ')}' "
            f"and elapsed time is: '{elapsed // 3600:02}:{elapsed // 60 % 60:02}:{elapsed % 60:02}' "
            "(RFC3339 format)",
            status=409,
        )


def check_not_busy(call: Call, cluster: Resource) -> None:
    """Refuse a write while an operation works on the cluster or on any of its pools.

    Texts: https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes, page operationnotallowed, and
    https://github.com/cilium/cilium/issues/25944, https://github.com/Azure/azure-workload-identity/issues/417.
    The status 409 is known from reports only.
    """
    if not call.sandbox.settings["busy_lock"]:
        return
    for operation in running_operations(call.sandbox, cluster):
        started_s = call.sandbox.clock.now_s() - operation.started_s
        if operation.spontaneous and started_s < ETAG_RACE_S:
            raise etag_mismatch()
        state = operation.resource.state or operation.state
        if operation.resource.type == POOL:
            what = f"agentpool operation ({operation.resource.name} - {state})"
            what = what if call.route.type_name != "managedClusters" else what.removeprefix("agentpool ")
        else:
            what = f"operation ({state})"
        raise refusal(
            "OperationNotAllowed",
            f"Operation is not allowed: Another {what} is in progress, please wait for it to finish "
            "before starting a new operation. See https://aka.ms/aks-pending-operation for more details",
            status=409,
        )


def etag_mismatch() -> ArmError:
    """AKS's 409 when two writes race inside the service.

    https://github.com/Azure/terraform-azurerm-aks/issues/604
    """
    error = refusal("EtagMismatch", "Operation is not allowed: Another operation is in progress", status=409)
    error.details = [
        {
            "code": "Unspecified",
            "message": "rpc error: code = FailedPrecondition desc = Etag mismatched",
        }
    ]
    return error


def running_operations(sandbox: Sandbox, cluster: Resource) -> Iterator[Operation]:
    """The operations that work on a cluster or its pools now; extension resources below it don't count."""
    for operation in sandbox.operations.running_under(cluster.id):
        if operation.resource.type in (CLUSTER, POOL) and operation.status not in TERMINAL:
            yield operation


@provider.get("locations/{location}/kubernetesVersions", scope="subscription")
def managed_clusters_list_kubernetes_versions(call: Call) -> Response:
    """ManagedClusters_ListKubernetesVersions: the minor versions with their patches, plans and upgrades.

    REST: https://learn.microsoft.com/rest/api/aks/managed-clusters/list-kubernetes-versions
    """
    throttle_other(call)
    return Response(200, aks_versions.listing())


@provider.get("locations/{location}/orchestrators", scope="subscription")
def container_services_list_orchestrators(call: Call) -> Response:
    """ContainerServices_ListOrchestrators: every patch version with its upgrades, in the form of 2019-04-01.

    REST: https://github.com/Azure/azure-rest-api-specs, containerservice, location.json of 2019-04-01
    """
    throttle_other(call)
    orchestrators = [
        {
            "orchestratorType": "Kubernetes",
            "orchestratorVersion": patch,
            **({"default": True} if minor.default and patch == minor.patches[-1] else {}),
            **({"isPreview": True} if minor.preview else {}),
            "upgrades": [
                {"orchestratorType": "Kubernetes", "orchestratorVersion": after}
                for after in aks_versions.upgrades_from(patch)
            ],
        }
        for minor in aks_versions.minors().values()
        for patch in minor.patches
    ]
    return Response(
        200,
        {
            "id": call.id,
            "name": "default",
            "type": "Microsoft.ContainerService/locations/orchestrators",
            "properties": {"orchestrators": orchestrators},
        },
    )
