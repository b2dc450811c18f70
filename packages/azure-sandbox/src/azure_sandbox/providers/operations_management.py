"""Microsoft.OperationsManagement: solutions of a Log Analytics workspace, such as ContainerInsights(ala-1).

Older clients (the portal, az without AAD authentication for the agents) put one beside the workspace, and it stays when
the workspace goes: https://learn.microsoft.com/azure/azure-monitor/containers/kubernetes-monitoring-disable,
https://learn.microsoft.com/azure/templates/microsoft.operationsmanagement/solutions. Left out: management associations
and configurations, and what a solution does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_sandbox.core.provider import Provider
from azure_sandbox.core.responses import ArmError, Response

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call

provider = Provider("Microsoft.OperationsManagement")

SOLUTION = "solutions/{solution}"
SHAPE = {"plan": {"name": str, "product": str, "publisher": str}, "properties": {"workspaceResourceId": str}}

provider.type("solutions", api_versions=("2015-11-01-preview",))
provider.standard(
    SOLUTION,
    get="Solutions_Get",
    list_in_group="Solutions_ListByResourceGroup",
    list_in_subscription="Solutions_ListBySubscription",
)


@provider.put(SOLUTION)
def solutions_create_or_update(call: Call) -> Response:
    """Solutions_CreateOrUpdate: 201 new, 200 known; the workspace must be there.

    REST: https://learn.microsoft.com/rest/api/operationsmanagement/solutions/create-or-update. At once here; that the
    service takes a moment isn't emulated.
    """
    call.check_shape(SHAPE)
    workspace = call.sandbox.store.get(str(call.require("properties", "workspaceResourceId")))
    if workspace is None:
        raise ArmError(404, "ResourceNotFound", "The workspace of the solution could not be found.")
    new = call.live is None
    return Response(201 if new else 200, call.put(provisioningState="Succeeded"))


@provider.delete(SOLUTION)
def solutions_delete(call: Call) -> Response:
    """Solutions_Delete: 200, 204 when there is none."""
    return call.delete_now()
