"""The lifecycle policy of a storage account.

https://learn.microsoft.com/rest/api/storagerp/management-policies
"""

from __future__ import annotations

from aks_postgres.arm.kind import Kind

KIND = Kind(
    "Microsoft.Storage/storageAccounts/managementPolicies",
    "lifecycle policy",
    "Storage",
    lambda azure: azure.storage.management_policies,
    step="lifecycle of backups",
)
