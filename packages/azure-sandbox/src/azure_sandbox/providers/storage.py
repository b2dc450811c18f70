"""Microsoft.Storage: accounts, keys, names, SKUs, and the containers as ARM sees them.

Left out: what soft delete and versioning keep (both are settings only), queues, tables, files, SAS, encryption scopes,
private endpoints, restore of deleted accounts. The blob data plane is `azure_sandbox/core/blobs.py`,
leases and limits `storage_leases.py`, immutability policies and legal holds `storage_immutable.py`, lifecycle policies
`storage_lifecycle.py` (settings only, as nothing here gets older).

Shapes (202 without a body, Location only, 17 s):
https://github.com/Azure/azure-powershell (Storage.Management.Test recording TestNewAzureStorageAccount.json)
"""

from __future__ import annotations

import base64
import re
import secrets
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.blob_containers import (
    CONTAINER,
    container_blocked,
    make_container,
    valid_container_name,
)
from azure_sandbox.core.blob_contents import has_blobs
from azure_sandbox.core.call import Call, merge_patch
from azure_sandbox.core.operations import Operation, Polling
from azure_sandbox.core.provider import Provider
from azure_sandbox.core.regions import regions
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.core.words import as_written

if TYPE_CHECKING:
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

provider = Provider("Microsoft.Storage")

VERSIONS = (
    "2019-06-01",
    "2021-04-01",
    "2021-09-01",
    "2022-09-01",
    "2023-01-01",
    "2023-05-01",
    "2024-01-01",
    "2025-01-01",
    "2025-06-01",
    "2025-08-01",
    "2026-09-01",
)
for _type in (
    "storageAccounts/blobServices",
    "storageAccounts/blobServices/containers",
    "skus",
    "checkNameAvailability",
):
    provider.type(_type, api_versions=VERSIONS, tracked=False)
provider.type(
    "storageAccounts",
    api_versions=VERSIONS,
    delete_duration="storage_account_delete",
    group_delete_rank=1,
    # Its own deletion is refused meanwhile too: StorageAccountOperationInProgress.
    deletable_when_busy=False,
)

ACCOUNT_TYPE = "Microsoft.Storage/storageAccounts"
ACCOUNT = "storageAccounts/{account}"
SERVICE = f"{ACCOUNT}/blobServices/default"
KINDS = ("Storage", "StorageV2", "BlobStorage", "FileStorage", "BlockBlobStorage")
SKUS = {
    "Standard_LRS": "Standard",
    "Standard_GRS": "Standard",
    "Standard_RAGRS": "Standard",
    "Standard_ZRS": "Standard",
    "Standard_GZRS": "Standard",
    "Standard_RAGZRS": "Standard",
    "Premium_LRS": "Premium",
    "Premium_ZRS": "Premium",
}

CREATE = Polling(
    location_path="/subscriptions/{subscription}/providers/Microsoft.Storage/locations/{location}"
    "/asyncoperations/{id}?monitor=true",
    retry_after_s=17,
    empty_first_answer=True,
    new_url_each_poll=True,
)


# https://learn.microsoft.com/rest/api/storagerp/storage-accounts/create
WORDS = {
    "kind": KINDS,
    "sku.name": tuple(SKUS),
    "properties.accessTier": ("Hot", "Cool", "Cold", "Premium"),
    "properties.minimumTlsVersion": ("TLS1_0", "TLS1_1", "TLS1_2", "TLS1_3"),
    "properties.networkAcls.defaultAction": ("Allow", "Deny"),
    "properties.publicNetworkAccess": ("Enabled", "Disabled", "SecuredByPerimeter"),
}
ACCOUNT_SHAPE = {
    "sku": {"name": str},
    "kind": str,
    "properties": {
        "encryption": {"services": dict},
        "networkAcls": {"defaultAction": str, "ipRules": [{"value": str}]},
        "publicNetworkAccess": str,
        "allowSharedKeyAccess": bool,
    },
}


# Names: one registry for all customers.


def _reason(sandbox: Sandbox, name: str) -> tuple[str, str] | None:
    """Why a name can't be had: reason and message, None when it can."""
    if not re.fullmatch(r"[a-z0-9]{3,24}", name):
        text = (
            f"{name} is not a valid storage account name. Storage account name must be between 3 and 24 "
            "characters in length and use numbers and lower-case letters only."
        )
        return "AccountNameInvalid", text
    taken = any(fnmatchcase(name, pattern) for pattern in sandbox.settings["taken_storage_names"])
    if taken or any(account.name == name for account in sandbox.store.of_type(ACCOUNT_TYPE)):
        return "AlreadyExists", f"The storage account named {name} is already taken."
    return None


@provider.post(
    "checkNameAvailability", scope="subscription", permission="Microsoft.Storage/checknameavailability/read"
)
def storage_accounts_check_name_availability(call: Call) -> Response:
    """StorageAccounts_CheckNameAvailability: whether anyone has an account of that name.

    REST: https://learn.microsoft.com/rest/api/storagerp/storage-accounts/check-name-availability
    """
    found = _reason(call.sandbox, str(call.require("name")))
    if found is None:
        return Response(200, {"nameAvailable": True})
    return Response(200, {"nameAvailable": False, "reason": found[0], "message": found[1]})


# Accounts.


@provider.put(ACCOUNT)
def storage_accounts_create(call: Call) -> Response:
    """StorageAccounts_Create: 202 without a body, then 200 with the account at Location; 200 if known.

    REST: https://learn.microsoft.com/rest/api/storagerp/storage-accounts/create
    """
    call.check_shape(ACCOUNT_SHAPE)
    call.body = as_written(call.body, WORDS)
    name, live = call.names["account"], call.live
    sku, kind = str(call.require("sku", "name")), str(call.require("kind"))
    if live is None:
        _check_name(call, name)
    elif not live.settled:
        text = (
            f"The storage account '{name}' is being operated on: an operation is currently performing on "
            "this storage account that requires exclusive access."
        )
        raise ArmError(409, "StorageAccountOperationInProgress", text)
    if kind not in KINDS:
        raise ArmError(
            400, "InvalidValue", f"The kind '{kind}' isn't one of {', '.join(KINDS)}.", target="kind"
        )
    region = call.sandbox.region(call.body["location"])
    if region is None:
        raise _no_such_location(call)
    # https://github.com/Esri/arcgis-gitops/issues/160
    if sku not in SKUS or ("ZRS" in sku and not region.zrs):
        if sku not in SKUS:
            raise ArmError(400, "InvalidValue", f"The SKU '{sku}' isn't valid.", target="sku.name")
        text = (
            f"The redundancy configuration of account '{name}' of '{sku}' is not available in {region.name} "
            "region."
        )
        raise ArmError(400, "RedundancyConfigurationNotAvailableInRegion", text)
    if (
        live is not None
        and live.body["sku"]["name"] != sku
        and ("ZRS" in sku or "ZRS" in live.body["sku"]["name"])
    ):
        text = (
            f"Storage account '{name}' can't be changed from {live.body['sku']['name']} to {sku} by an "
            "update."
        )
        raise ArmError(400, "InvalidAccountUpdate", text)
    account = call.put({**call.body, "properties": _properties(call, name, region.name)})
    account.body["sku"] = {"name": sku, "tier": SKUS[sku]}
    if live is not None and not account.notes.get("nascent"):
        return Response(200, account)
    account.notes["keys"] = {key: _key() for key in ("key1", "key2")}
    account.notes["nascent"] = True

    def effect(_operation: Operation) -> None:
        account.notes["nascent"] = False

    return call.begin(account, duration="storage_account_create", polling=CREATE, status=202, effect=effect)


def _check_name(call: Call, name: str) -> None:
    found = _reason(call.sandbox, name)
    if found is None:
        return
    code, text = found
    if code == "AccountNameInvalid":
        raise ArmError(400, code, text)
    own = next((item for item in call.sandbox.store.of_type(ACCOUNT_TYPE) if item.name == name), None)
    if own is not None:
        text = (
            f"The storage account named {name} already exists under the subscription, in the resource group "
            f"'{own.id.split('/')[4]}'."
        )
        raise ArmError(409, "StorageAccountInAnotherResourceGroup", text)
    raise ArmError(409, "StorageAccountAlreadyTaken", text)


def _no_such_location(call: Call) -> ArmError:
    text = (
        f"The provided location '{call.body['location']}' is not available for resource type "
        f"'{ACCOUNT_TYPE}'. List of available regions for the resource type is '{','.join(regions())}'."
    )
    return ArmError(400, "LocationNotAvailableForResourceType", text)


def _properties(call: Call, name: str, region: str) -> Json:
    """What an account shows: what was sent, over what it had, over the service's defaults.

    Defaults: https://learn.microsoft.com/rest/api/storagerp/storage-accounts/create; TLS 1.0 and 1.1 are
    retired since February 2026, so the floor is 1.2 whatever is left out.
    """
    now = call.sandbox.clock.iso()
    defaults: Json = {
        "allowBlobPublicAccess": False,
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": True,
        "accessTier": "Hot",
        "networkAcls": {
            "bypass": "AzureServices",
            "virtualNetworkRules": [],
            "ipRules": [],
            "defaultAction": "Allow",
        },
        "encryption": {
            "services": {
                "file": {"keyType": "Account", "enabled": True, "lastEnabledTime": now},
                "blob": {"keyType": "Account", "enabled": True, "lastEnabledTime": now},
            },
            "keySource": "Microsoft.Storage",
        },
        "creationTime": now,
    }
    live = call.live.properties if call.live is not None else {}
    sent = {key: value for key, value in call.properties.items() if value is not None}
    encryption = merge_patch(
        live.get("encryption") or defaults["encryption"],
        {key: value for key, value in (sent.get("encryption") or {}).items() if key != "services"},
    )
    fixed = {
        "encryption": encryption,
        "primaryEndpoints": _endpoints(call.base_url, name),
        "primaryLocation": region,
        "statusOfPrimary": "available",
        "privateEndpointConnections": [],
        "provisioningState": "Succeeded",
        "creationTime": live.get("creationTime", now),
    }
    return {**defaults, **live, **sent, **fixed}


def _endpoints(base_url: str, name: str) -> Json:
    """Where the account answers: path style on the sandbox's own port, by host in the public cloud."""
    if base_url == "https://management.azure.com":
        return {"blob": f"https://{name}.blob.core.windows.net/"}
    return {"blob": f"{base_url}/blob/{name}/"}


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()


provider.standard(
    ACCOUNT,
    get="StorageAccounts_GetProperties",
    list_in_group="StorageAccounts_ListByResourceGroup",
    list_in_subscription="StorageAccounts_List",
)


@provider.patch(ACCOUNT)
def storage_accounts_update(call: Call) -> Response:
    """StorageAccounts_Update: tags and properties, at once."""
    call.check_shape(ACCOUNT_SHAPE)
    live = call.found()
    if not live.settled:
        text = f"An operation is currently performing on the storage account '{live.name}'."
        raise ArmError(409, "StorageAccountOperationInProgress", text)
    changed = {key: value for key, value in call.body.items() if key in ("tags", "properties", "identity")}
    body = merge_patch(live.body, {key: value for key, value in changed.items() if key != "tags"})
    if "tags" in changed:
        body["tags"] = changed["tags"]
    return Response(200, call.sandbox.store.put(live.id, live.type, body))


@provider.delete(ACCOUNT)
def storage_accounts_delete(call: Call) -> Response:
    """StorageAccounts_Delete: 200 at once, 204 when there is none."""
    if call.live is not None and call.sandbox.operations.running(call.live.id):
        text = f"An operation is currently performing on the storage account '{call.live.name}'."
        raise ArmError(409, "StorageAccountOperationInProgress", text)
    if call.live is not None:
        _check_immutable(call, call.live)
    answer = call.delete_now()
    answer.latency_s = call.seconds("storage_account_delete") if answer.status == 200 else 0.0
    return answer


def _check_immutable(call: Call, resource: Resource) -> None:
    """Refuse to delete a container, or an account with one, that is held or has a locked policy."""
    for container in [resource, *call.sandbox.store.under(resource.id, CONTAINER)]:
        policy = container.properties.get("immutabilityPolicy") or {}
        locked = (policy.get("properties") or {}).get("state") == "Locked"
        # A container with version-level immutability goes once it is empty:
        # https://learn.microsoft.com/azure/storage/blobs/immutable-version-level-worm-policies#scenarios
        versioned = (container.properties.get("immutableStorageWithVersioning") or {}).get("enabled")
        keeps = bool(versioned) and has_blobs(container)
        if container.properties.get("hasLegalHold") or locked or keeps:
            text = f"The operation is not permitted: container {container.name} is protected by an immutability policy."
            raise ArmError(409, "ContainerImmutableStorageProtected", text)


@provider.post(f"{ACCOUNT}/listKeys")
def storage_accounts_list_keys(call: Call) -> Response:
    """StorageAccounts_ListKeys: both keys; a read-only lock forbids it, as it is a POST.

    REST: https://learn.microsoft.com/rest/api/storagerp/storage-accounts/list-keys
    """
    account = account_of(call)
    keys = [
        {
            "creationTime": account.properties["creationTime"],
            "keyName": name,
            "value": value,
            "permissions": "FULL",
        }
        for name, value in account.notes["keys"].items()
    ]
    return Response(200, {"keys": keys})


def account_of(call: Call) -> Resource:
    """The account of a path that names something of it."""
    account = call.sandbox.store.get(f"{call.scope}/providers/{ACCOUNT_TYPE}/{call.names['account']}")
    if account is None:
        text = (
            f"The Resource '{ACCOUNT_TYPE}/{call.names['account']}' under resource group '{call.group}' was "
            "not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
        )
        raise ArmError(404, "ResourceNotFound", text, headers={"x-ms-failure-cause": "gateway"})
    return account


# SKUs.


@provider.list("skus", scope="subscription")
def skus_list(call: Call) -> Response:
    """Skus_List: SKUs by region; a ZRS entry only where the region has it.

    REST: https://learn.microsoft.com/rest/api/storagerp/skus/list
    """
    value = []
    for region in call.sandbox.regions().values():
        for name, tier in SKUS.items():
            if "ZRS" in name and not region.zrs:
                continue
            value.append(
                {
                    "resourceType": "storageAccounts",
                    "name": name,
                    "tier": tier,
                    "kind": "StorageV2",
                    "locations": [region.name],
                    "locationInfo": [{"location": region.name, "zones": list(region.zones)}],
                    "capabilities": [],
                    "restrictions": [],
                }
            )
    return Response(200, {"value": value})


# Blob service and containers.


@provider.get(SERVICE)
def blob_services_get_service_properties(call: Call) -> Response:
    """BlobServices_GetServiceProperties: the settings of the blob service."""
    return Response(200, _service(account_of(call)))


@provider.put(SERVICE)
def blob_services_set_service_properties(call: Call) -> Response:
    """BlobServices_SetServiceProperties: replace the settings of the blob service.

    REST: https://learn.microsoft.com/rest/api/storagerp/blob-services/set-service-properties (1 to 365 days)
    """
    policy = {"enabled": bool, "days": int}
    policies = ("deleteRetentionPolicy", "containerDeleteRetentionPolicy")
    call.check_shape({"properties": {"isVersioningEnabled": bool, **dict.fromkeys(policies, policy)}})
    account = account_of(call)
    for name in policies:
        sent = call.properties.get(name) or {}
        if sent.get("enabled") and not 1 <= sent.get("days", 0) <= 365:
            text = f"The value for {name}.days is out of range: it must be from 1 to 365."
            raise ArmError(400, "InvalidValuesForRequestParameters", text, target=f"{name}.days")
    account.notes["blob service"] = dict(call.properties)
    return Response(200, _service(account))


def _service(account: Resource) -> Json:
    defaults: Json = {
        "cors": {"corsRules": []},
        "deleteRetentionPolicy": {"enabled": False, "allowPermanentDelete": False},
    }
    return {
        "sku": account.body["sku"],
        "id": f"{account.id}/blobServices/default",
        "name": "default",
        "type": f"{ACCOUNT_TYPE}/blobServices",
        "properties": {**defaults, **account.notes.get("blob service", {})},
    }


@provider.put(f"{SERVICE}/containers/{{container}}")
def blob_containers_create(call: Call) -> Response:
    """BlobContainers_Create: 201 for a new container, 200 for a known one; needs no data role.

    REST: https://learn.microsoft.com/rest/api/storagerp/blob-containers/create
    """
    call.check_shape({"properties": {"immutableStorageWithVersioning": {"enabled": bool}}})
    account, name = account_of(call), call.names["container"]
    if account.notes.get("nascent"):
        text = f"An operation is currently performing on the storage account '{account.name}'."
        raise ArmError(409, "StorageAccountOperationInProgress", text)
    if not valid_container_name(name):
        raise ArmError(
            400, "ContainerOperationFailure", "The specified resource name contains invalid characters."
        )
    if container_blocked(call.sandbox, call.id):
        text = "The specified container is being deleted. Try operation later."
        raise ArmError(409, "ContainerBeingDeleted", text)
    if call.live is not None:
        call.live.properties.update(call.properties)
        return Response(200, call.live)
    # The code is unverified; what it stands for is said on the page of version-level WORM policies:
    # https://learn.microsoft.com/azure/storage/blobs/immutable-version-level-worm-policies#version-dependency
    immutable = call.properties.get("immutableStorageWithVersioning") or {}
    if immutable.get("enabled") and not account.notes.get("blob service", {}).get("isVersioningEnabled"):
        text = "Version-level immutability requires that blob versioning is enabled for the storage account."
        raise ArmError(409, "FeatureNotSupportedForAccount", text)
    return Response(201, make_container(call.sandbox, call.id, call.properties))


@provider.get(f"{SERVICE}/containers/{{container}}")
def blob_containers_get(call: Call) -> Response:
    """BlobContainers_Get: one container, or 404 ContainerNotFound."""
    account_of(call)
    if call.live is None:
        raise ArmError(404, "ContainerNotFound", "The specified container does not exist.")
    return Response(200, call.live)


@provider.list(f"{SERVICE}/containers")
def blob_containers_list(call: Call) -> Response:
    """BlobContainers_List: the account's containers."""
    account = account_of(call)
    return Response(200, {"value": [item.body for item in call.sandbox.store.under(account.id, CONTAINER)]})


@provider.delete(f"{SERVICE}/containers/{{container}}")
def blob_containers_delete(call: Call) -> Response:
    """BlobContainers_Delete: 200, 204 when there is none; the name stays blocked for half a minute.

    A lease keeps a container from being deleted: https://learn.microsoft.com/rest/api/storageservices/lease-container
    """
    account_of(call)
    if call.live is not None and call.live.properties["leaseStatus"] == "Locked":
        text = "There is currently a lease on the container and no lease ID was specified in the request."
        raise ArmError(412, "LeaseIdMissing", text)
    if call.live is not None:
        _check_immutable(call, call.live)
    return call.delete_now()


@provider.removed("storageAccounts/blobServices/containers")
def _container_removed(container: Resource, sandbox: Sandbox) -> None:
    until_s = sandbox.clock.now_s() + sandbox.durations.seconds("container_name_blocked", container.id)
    sandbox.state("blocked containers")[container.id.lower()] = until_s
