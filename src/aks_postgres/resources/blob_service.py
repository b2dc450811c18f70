"""The blob service of a storage account.

https://learn.microsoft.com/rest/api/storagerp/blob-services
"""

from __future__ import annotations

from typing import Any

from aks_postgres.arm.diff import Decision, decide
from aks_postgres.arm.kind import Kind, names_in
from aks_postgres.arm.responses import Json
from aks_postgres.spec.environment import EnvironmentSpec


def _account(resource_id: str) -> tuple[str, ...]:
    group, account, *_ = names_in(resource_id)
    return (group, account)


KIND = Kind(
    "Microsoft.Storage/storageAccounts/blobServices",
    "blob service",
    "Storage",
    lambda azure: azure.storage.blob_services,
    plan_word="blob protection",
    get="get_service_properties",
    put="set_service_properties",
    key=_account,
    step="protection of backups",
)


def desired(spec: EnvironmentSpec, live: Json | None = None) -> Json:
    """Return what the account's blob service is to keep; of two retentions the longer one."""
    properties = (live or {}).get("properties") or {}

    def kept(name: str) -> Json:
        return {"enabled": True, "days": max(spec.storage.soft_delete_days, _days(properties.get(name)))}

    return {
        "properties": {
            "isVersioningEnabled": True,
            "deleteRetentionPolicy": kept("deleteRetentionPolicy"),
            "containerDeleteRetentionPolicy": kept("containerDeleteRetentionPolicy"),
        }
    }


def decision(label: str, spec: EnvironmentSpec, live: Json | None) -> Decision:
    """Return whether it has to be written; the rest of what it shows isn't the caller's to write."""
    found = decide(label, desired(spec, live), live)
    return Decision(found.change, {"properties": found.body["properties"]} if found.body else {})


def _days(policy: Any) -> int:
    days = policy.get("days") if isinstance(policy, dict) and policy.get("enabled") else None
    return days if isinstance(days, int) else 0
