"""Microsoft.Storage: immutability policies and legal holds of containers, and what they forbid.

https://learn.microsoft.com/azure/storage/blobs/immutable-container-level-worm-policies

What they forbid on the data plane is in `azure_sandbox/core/blob_contents.py`. Left out: policies of single versions,
and making a container one with versions that are immutable. The codes with which deletion of an account, immutable
versions without versioning, and what an extension can't be are refused are unverified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.core.blob_containers import CONTAINER
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.providers.storage import ACCOUNT_TYPE, SERVICE, VERSIONS, provider

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource

Json = dict[str, Any]

CONTAINER_PATH = f"{SERVICE}/containers/{{container}}"
POLICY = f"{CONTAINER_PATH}/immutabilityPolicies/default"

provider.type(
    "storageAccounts/blobServices/containers/immutabilityPolicies", api_versions=VERSIONS, tracked=False
)


def _container(call: Call) -> Resource:
    account = f"{call.scope}/providers/{ACCOUNT_TYPE}/{call.names['account']}"
    found = call.sandbox.store.get(f"{account}/blobServices/default/containers/{call.names['container']}")
    if found is None:
        raise ArmError(404, "ContainerNotFound", "The specified container does not exist.")
    return found


def _policy(container: Resource) -> Json:
    policy: Json = container.properties.get("immutabilityPolicy") or {}
    inner = policy.get("properties") or {"immutabilityPeriodSinceCreationInDays": 0, "state": "Unlocked"}
    return {
        "id": f"{container.id}/immutabilityPolicies/default",
        "name": "default",
        "type": f"{CONTAINER}/immutabilityPolicies",
        "etag": container.etag,
        "properties": inner,
    }


@provider.put(POLICY)
def blob_containers_create_or_update_immutability_policy(call: Call) -> Response:
    """BlobContainers_CreateOrUpdateImmutabilityPolicy: an unlocked policy of 1 to 146,000 days.

    REST: https://learn.microsoft.com/rest/api/storagerp/blob-containers/create-or-update-immutability-policy
    """
    call.check_shape({"properties": {"immutabilityPeriodSinceCreationInDays": int}})
    container = _container(call)
    days = int(call.require("properties", "immutabilityPeriodSinceCreationInDays"))
    if not 1 <= days <= 146_000:
        text = "The immutability period must be between 1 and 146000 days."
        raise ArmError(400, "InvalidImmutabilityPeriod", text)
    _check_unlocked(container)
    policy = {"properties": {**call.properties, "state": "Unlocked"}}
    container.properties.update(hasImmutabilityPolicy=True, immutabilityPolicy=policy)
    call.sandbox.store.touch(container)
    return Response(200, _policy(container))


@provider.get(POLICY)
def blob_containers_get_immutability_policy(call: Call) -> Response:
    """BlobContainers_GetImmutabilityPolicy: of a container without one, 0 days."""
    return Response(200, _policy(_container(call)))


@provider.delete(POLICY)
def blob_containers_delete_immutability_policy(call: Call) -> Response:
    """BlobContainers_DeleteImmutabilityPolicy: of an unlocked one; a locked one stays."""
    container = _container(call)
    _check_unlocked(container)
    container.properties.pop("immutabilityPolicy", None)
    container.properties["hasImmutabilityPolicy"] = False
    call.sandbox.store.touch(container)
    return Response(200, _policy(container))


@provider.post(f"{POLICY}/lock")
def blob_containers_lock_immutability_policy(call: Call) -> Response:
    """BlobContainers_LockImmutabilityPolicy: for good."""
    container = _container(call)
    policy = container.properties.get("immutabilityPolicy")
    if not policy:
        raise ArmError(404, "ImmutabilityPolicyNotFound", "There is no immutability policy on the container.")
    policy["properties"]["state"] = "Locked"
    call.sandbox.store.touch(container)
    return Response(200, _policy(container))


@provider.post(f"{POLICY}/extend")
def blob_containers_extend_immutability_policy(call: Call) -> Response:
    """BlobContainers_ExtendImmutabilityPolicy: more days, which is all that a locked policy lets change.

    REST: https://learn.microsoft.com/rest/api/storagerp/blob-containers/extend-immutability-policy
    """
    call.check_shape({"properties": {"immutabilityPeriodSinceCreationInDays": int}})
    container = _container(call)
    days = int(call.require("properties", "immutabilityPeriodSinceCreationInDays"))
    policy = (container.properties.get("immutabilityPolicy") or {}).get("properties") or {}
    if policy.get("state") != "Locked" or days < policy["immutabilityPeriodSinceCreationInDays"]:
        text = "Only a locked immutability policy can be extended, and only to more days."
        raise ArmError(409, "ImmutabilityPolicyExtendNotAllowed", text)
    policy["immutabilityPeriodSinceCreationInDays"] = days
    call.sandbox.store.touch(container)
    return Response(200, _policy(container))


def _check_unlocked(container: Resource) -> None:
    policy = container.properties.get("immutabilityPolicy") or {}
    if (policy.get("properties") or {}).get("state") == "Locked":
        text = "Operation not allowed on immutability policy with current state: Locked."
        raise ArmError(409, "ImmutabilityPolicyLocked", text)


@provider.post(f"{CONTAINER_PATH}/setLegalHold")
def blob_containers_set_legal_hold(call: Call) -> Response:
    """BlobContainers_SetLegalHold: tags are added to those that hold already."""
    return _hold(call, lambda live, given: [*live, *(tag for tag in given if tag not in live)])


@provider.post(f"{CONTAINER_PATH}/clearLegalHold")
def blob_containers_clear_legal_hold(call: Call) -> Response:
    """BlobContainers_ClearLegalHold: without tags left nothing holds any more."""
    return _hold(call, lambda live, given: [tag for tag in live if tag not in given])


def _hold(call: Call, change: Any) -> Response:
    call.check_shape({"tags": [str]})
    container = _container(call)
    live = [tag["tag"] for tag in (container.properties.get("legalHold") or {}).get("tags") or []]
    tags = change(live, [str(tag).lower() for tag in call.require("tags")])
    hold = {"hasLegalHold": bool(tags), "tags": [{"tag": tag} for tag in tags]}
    container.properties.update(hasLegalHold=bool(tags), legalHold=hold)
    call.sandbox.store.touch(container)
    return Response(200, {"hasLegalHold": bool(tags), "tags": tags})
