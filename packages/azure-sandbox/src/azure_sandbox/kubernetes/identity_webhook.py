"""AKS's workload identity webhook: new Pods with its label get variables and a token of their service account.

https://learn.microsoft.com/azure/aks/workload-identity-overview and, for what exactly it adds,
https://github.com/Azure/azure-workload-identity/blob/main/pkg/webhook/webhook.go; the volume is named as up to 1.5.
Left out: the proxy sidecar, token endpoints of one's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from azure_sandbox.kubernetes.errors import ApiError
from azure_sandbox.kubernetes.resources import ResourceType
from azure_sandbox.kubernetes.store import Store

Json = dict[str, Any]

_NAME = "mutation.azure-workload-identity.io"
_PREFIX = "azure.workload.identity"
USE = f"{_PREFIX}/use"
AUDIENCE = "api://AzureADTokenExchange"
VOLUME = "azure-identity-token"
FOLDER = "/var/run/secrets/azure/tokens"
_AUTHORITY = "https://login.microsoftonline.com/"
_SHORTEST_S, _LONGEST_S = 3600, 86400


class IdentityWebhook:
    """The webhook of one cluster.

    Args:
        store: has the service accounts.
        tenant: of the cluster; None while it has no workload identity.
    """

    def __init__(self, store: Store, tenant: Callable[[], str | None]) -> None:
        self._store = store
        self._tenant = tenant

    def review(self, type_: ResourceType, operation: str, obj: Json) -> None:
        """Add to a new Pod what its label asks for.

        Raises:
            ApiError: 400 for a service account that isn't there, or a token that would live too short or too long.
        """
        metadata = obj["metadata"]
        if type_.kind != "Pod" or operation != "CREATE" or (metadata.get("labels") or {}).get(USE) != "true":
            return
        tenant = self._tenant()
        if tenant is None:
            return
        spec, annotations = obj["spec"], metadata.get("annotations") or {}
        name = spec.get("serviceAccountName") or "default"
        account = self._store.get("serviceaccounts", metadata["namespace"], name)
        if account is None:
            raise _denied(f'serviceaccounts "{name}" not found')
        life_s = _life_s(annotations, account["metadata"].get("annotations") or {})
        skipped = {item.strip() for item in annotations.get(f"{_PREFIX}/skip-containers", "").split(";")}
        wanted = variables(account, tenant)
        for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
            if container["name"] not in skipped:
                _put(container, "env", wanted, keep=True)
                mount = {"name": VOLUME, "mountPath": FOLDER, "readOnly": True}
                _put(container, "volumeMounts", [mount])
        token = {"path": VOLUME, "expirationSeconds": life_s, "audience": AUDIENCE}
        projected = {"defaultMode": 420, "sources": [{"serviceAccountToken": token}]}
        _put(spec, "volumes", [{"name": VOLUME, "projected": projected}])


def variables(account: Json, tenant: str) -> list[Json]:
    """What a container's environment gets; nothing that would be empty."""
    annotations = account["metadata"].get("annotations") or {}
    values = {
        "AZURE_CLIENT_ID": annotations.get(f"{_PREFIX}/client-id", ""),
        "AZURE_TENANT_ID": annotations.get(f"{_PREFIX}/tenant-id", tenant),
        "AZURE_FEDERATED_TOKEN_FILE": f"{FOLDER}/{VOLUME}",
        "AZURE_AUTHORITY_HOST": _AUTHORITY,
    }
    return [{"name": name, "value": value} for name, value in values.items() if value]


def _put(owner: Json, field: str, wanted: list[Json], keep: bool = False) -> None:
    """Add items to a list that is keyed by name; those that are there stay, or are replaced."""
    items = {item["name"]: item for item in owner.get(field) or []}
    for item in wanted:
        if not (keep and item["name"] in items):
            items[item["name"]] = item
    owner[field] = list(items.values())


def _life_s(pod: Json, account: Json) -> int:
    name = f"{_PREFIX}/service-account-token-expiration"
    given = pod.get(name) or account.get(name) or str(_SHORTEST_S)
    try:
        life_s = int(given)
    except ValueError:
        raise _denied(f'strconv.ParseInt: parsing "{given}": invalid syntax') from None
    if not _SHORTEST_S <= life_s <= _LONGEST_S:
        limits = f"between {_SHORTEST_S} and {_LONGEST_S}"
        raise _denied(f"token expiration {life_s} not valid. Expected value to be {limits}")
    return life_s


def _denied(why: str) -> ApiError:
    return ApiError(400, "", f'admission webhook "{_NAME}" denied the request: {why}', {})
