"""Storage accounts.

https://learn.microsoft.com/rest/api/storagerp/storage-accounts
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aks_postgres.arm.error_codes import RULES
from aks_postgres.arm.errors import AzureRefused
from aks_postgres.arm.kind import Kind
from aks_postgres.arm.planned import UNKNOWN
from aks_postgres.arm.responses import Json, clean
from aks_postgres.spec.clouds import ZONE_SUFFIX
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import resource_tags

if TYPE_CHECKING:
    from aks_postgres.arm.client import Azure

KIND = Kind(
    "Microsoft.Storage/storageAccounts",
    "storage account",
    "Storage",
    lambda azure: azure.storage.storage_accounts,
    get="get_properties",
    put="begin_create",
    update="update",
    delete="delete",
    create_s=20,
    delete_s=5,
    immutable=("location", "kind", "sku.name"),
    way_out="Convert the account's redundancy in the portal first, or change storage.sku back.",
    is_foundation=True,
    is_regional=True,
    brings=("the container aks-postgres-lock is made too, for the lease that lets one run write at a time",),
    owned=lambda names, _: (names.storage_account,) if names.backup_group == names.resource_group else (),
    step="storage account",
)


def blob_endpoint(azure: Azure, live: Json) -> str:
    """Return where ARM says that an account's blobs are; the backups, and tokens for them, go there.

    https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-endpoints

    Raises:
        AzureRefused: that isn't Azure Storage, nor the host of ARM itself, as a sandbox's is.
    """
    given = live["properties"]["primaryEndpoints"]["blob"]
    if given == UNKNOWN:  # of an account that is only planned
        return UNKNOWN
    url, name = urlsplit(str(given)), str(live["name"])
    host = (url.hostname or "").casefold()
    is_azures = (
        host == f"{name}.blob.{azure.facts.storage_suffix}"
        or (host.startswith(f"{name}.z") and host.endswith(f".blob.{ZONE_SUFFIX}"))
        or host == urlsplit(azure.endpoint).hostname
    )
    if url.scheme != "https" or not is_azures:
        label, code = f"storage account {name}", "ForeignHost"
        message = f"{label}: ARM says that its blobs are at {clean(str(given))}, which isn't Azure Storage."
        raise AzureRefused(message, code, way_out=RULES[code].advice)
    return str(given)


def desired(spec: EnvironmentSpec, live: Json | None = None) -> Json:
    """The guide's account, with what Azure's old defaults leave open said out loud.

    A live one may ask its clients for a newer TLS, as policies want it.
    """
    tls = ((live or {}).get("properties") or {}).get("minimumTlsVersion")
    return {
        "location": spec.region,
        "kind": "StorageV2",
        "sku": {"name": spec.storage.sku},
        "tags": resource_tags(spec),
        "properties": {
            "encryption": {"keySource": "Microsoft.Storage", "services": {"blob": {"enabled": True}}},
            "minimumTlsVersion": "TLS1_3" if tls == "TLS1_3" else "TLS1_2",
            "allowBlobPublicAccess": False,
            "supportsHttpsTrafficOnly": True,
            **({"allowSharedKeyAccess": False} if spec.storage.shared_keys == "denied" else {}),
            **(
                {"publicNetworkAccess": "Disabled"}
                if spec.storage.public_network_access == "disabled"
                else {}
            ),
        },
    }
