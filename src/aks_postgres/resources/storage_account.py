"""Storage accounts.

https://learn.microsoft.com/rest/api/storagerp/storage-accounts
"""

from __future__ import annotations

from aks_postgres.arm.kind import Kind
from aks_postgres.arm.responses import Json
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import resource_tags

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
