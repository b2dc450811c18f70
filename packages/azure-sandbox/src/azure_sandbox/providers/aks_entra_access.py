"""Microsoft Entra ID in front of a cluster's API: AKS's managed integration, with Azure RBAC for Kubernetes.

A token for AKS's server application is good on a cluster whose `aadProfile` is managed; what its principal may do, the
data actions of its roles on the cluster or above say. Local accounts that were handed out stay good, as on AKS until
the certificates are rotated.

Left out: admin groups and Kubernetes' own bindings for Entra's users (without Azure RBAC nobody gets in), conditional
access. Kubernetes sees the cluster's administrator in the place of whoever got in.

https://learn.microsoft.com/azure/aks/entra-id-authorization, https://learn.microsoft.com/azure/aks/manage-local-accounts-managed-azure-ad
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from azure_sandbox.core.responses import ArmError
from azure_sandbox.kubernetes import errors
from azure_sandbox.kubernetes.exchange import ledger_entry, refuse_upgrade, send_json
from azure_sandbox.kubernetes.request import ApiRequest, parse

if TYPE_CHECKING:
    from azure_sandbox.kubernetes import KubernetesApi
    from azure_sandbox.kubernetes.exchange import Receive, Scope, Send
    from azure_sandbox.kubernetes.real import RealKubernetesApi
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

# https://learn.microsoft.com/azure/aks/kubelogin-authentication: the same in every tenant.
SERVER_APPLICATION = "6dae42f8-4368-4678-94ff-3960e28e3630"
CLIENT_APPLICATION = "80faf920-1908-4b52-b5ef-a8e7bedfc67a"
_READS = ("get", "list", "watch")
_DELETES = ("delete", "deletecollection")


def is_entra(properties: Json) -> bool:
    """Whether a cluster takes tokens of Microsoft Entra ID."""
    return bool((properties.get("aadProfile") or {}).get("managed"))


def profile(sent: Json, tenant_id: str) -> Json:
    """An `aadProfile` as AKS shows it."""
    return {"adminGroupObjectIDs": None, "enableAzureRBAC": False, "tenantID": tenant_id, **sent}


def user(tenant_id: str) -> Json:
    """The user of a kubeconfig that lets kubelogin sign in (`format=exec`, AKS's own since Kubernetes 1.24)."""
    arguments = {
        "environment": "AzurePublicCloud",
        "server-id": SERVER_APPLICATION,
        "client-id": CLIENT_APPLICATION,
        "tenant-id": tenant_id,
        "login": "devicecode",
    }
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "args": [
                "get-token",
                *(word for key, value in arguments.items() for word in (f"--{key}", value)),
            ],
            "command": "kubelogin",
            "env": None,
            "provideClusterInfo": False,
        }
    }


class WithEntra:
    """Lets those in who may, in the name of the cluster's administrator, and hands all other requests on.

    Args:
        sandbox: for tokens and roles.
        cluster_id: whose API it is.
        api: the API server.
        to_ledger: takes the entry of a request that is refused here.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        cluster_id: str,
        api: KubernetesApi | RealKubernetesApi,
        to_ledger: Callable[[Json], None],
    ) -> None:
        self._sandbox = sandbox
        self._cluster_id = cluster_id
        self._api = api
        self._to_ledger = to_ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        cluster = self._sandbox.store.get(self._cluster_id)
        token = _bearer(scope) if scope["type"] in ("http", "websocket") else ""
        known = token and self._sandbox.entra.claims(token) is not None
        if not known or cluster is None or not is_entra(cluster.properties):
            await self._api.app(scope, receive, send)
            return
        started = time.monotonic()
        is_stream = scope["type"] == "websocket"
        # A stream to a pod is one more than a look: Kubernetes asks for `create` on pods/exec and pods/portforward
        # (feature gate AuthorizePodWebsocketUpgradeCreatePermission).
        method = "POST" if is_stream else scope["method"]
        request = parse(method, scope["path"], _query(scope), {}, b"")
        try:
            self._let_in(request, token, cluster.properties)
        except errors.ApiError as refusal:
            self._to_ledger(ledger_entry(cluster.name, request, refusal.code, refusal.reason, started))
            if is_stream:
                await receive()  # The client's wish to connect.
                await refuse_upgrade(scope, send, refusal)
            else:
                await send_json(send, refusal.code, refusal.status(), [])
            return
        headers = [pair for pair in scope["headers"] if pair[0].lower() != b"authorization"]
        as_admin = (b"authorization", f"Bearer {self._api.token}".encode())
        await self._api.app({**scope, "headers": [*headers, as_admin]}, receive, send)

    def _let_in(self, request: ApiRequest, token: str, properties: Json) -> None:
        try:
            caller = self._sandbox.entra.caller(f"Bearer {token}", lambda aud: aud == SERVER_APPLICATION)
        except ArmError:
            raise errors.unauthorized() from None
        request.user = caller.object_id
        if not request.resource:
            return  # Discovery is everybody's who is authenticated: system:discovery.
        verb = "read" if request.verb in _READS else "delete" if request.verb in _DELETES else "write"
        group = f"{request.group}/" if request.group else ""
        action = f"Microsoft.ContainerService/managedClusters/{group}{request.resource}/{verb}"
        if (properties.get("aadProfile") or {}).get("enableAzureRBAC") and self._sandbox.rbac.allows(
            caller.object_id, action, self._cluster_id, data=True
        ):
            return
        raise _forbidden(request, caller.object_id)


def _forbidden(request: ApiRequest, object_id: str) -> errors.ApiError:
    """403 in the words of AKS's authorization webhook: https://learn.microsoft.com/azure/aks/manage-azure-rbac."""
    resource = f"{request.resource}.{request.group}" if request.group else request.resource
    name = f' "{request.name}"' if request.name else ""
    where = f'in the namespace "{request.namespace}"' if request.namespace else "at the cluster scope"
    text = (
        f'{resource}{name} is forbidden: User "{object_id}" cannot {request.verb} resource "{request.resource}" in API '
        f'group "{request.group}" {where}: User does not have access to the resource in Azure. Update role assignment '
        "to allow access."
    )
    details = {"name": request.name, "group": request.group, "kind": request.resource}
    return errors.ApiError(403, "Forbidden", text, {key: value for key, value in details.items() if value})


def _bearer(scope: Scope) -> str:
    found = next((value for key, value in scope["headers"] if key.lower() == b"authorization"), b"")
    kind, _, token = found.decode("latin-1").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.count(".") == 2 else ""


def _query(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
