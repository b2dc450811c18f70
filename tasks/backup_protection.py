"""Guide: Create infrastructure keeps Azure's defaults for the backups; here what is deleted can be brought back.

Blob soft delete, container soft delete and versioning are on from the start. A longer retention that somebody set
stays. Previous versions go by a rule of their own (`backup_lifecycle.py`).
"""

from __future__ import annotations

from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision, decide
from aks_postgres.arm.reconcile import arm_resource, ensure
from aks_postgres.arm.responses import Json
from aks_postgres.reports.outputs import ResourceOutputs, StorageAccountOutputs
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec


def protection_body(spec: EnvironmentSpec, live: Json | None = None) -> Json:
    """What the account's blob service is to keep; of two retentions the longer one."""
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


def _days(policy: Any) -> int:
    days = policy.get("days") if isinstance(policy, dict) and policy.get("enabled") else None
    return days if isinstance(days, int) else 0


@arm_task("ensure_backup_protection {account.name}")
async def ensure_backup_protection(
    azure: Azure, spec: EnvironmentSpec, account: StorageAccountOutputs
) -> ResourceOutputs:
    """Let Azure keep deleted and overwritten backups for some days.

    Guide: not in it; it keeps Azure's defaults, which bring nothing back.
    REST: https://learn.microsoft.com/rest/api/storagerp/blob-services/set-service-properties

    Args:
        spec: the environment wanted; `storage.soft_delete_days` says how long.
        account: the storage account.

    Returns:
        ID and name of the account's blob service.
    """
    label = f"blob service of storage account {account.name}"
    services = azure.storage.blob_services
    resource = arm_resource(
        azure,
        label,
        f"{account.id}/blobServices/default",
        services.get_service_properties,
        services.set_service_properties,
        account.resource_group,
        account.name,
    )

    def decision(live: Json | None) -> Decision:
        found = decide(label, protection_body(spec, live), live)
        # The rest of what it shows isn't the caller's to write.
        return Decision(found.change, {"properties": found.body["properties"]} if found.body else {})

    _, change = await ensure(resource, decision)
    return ResourceOutputs(id=resource.id, name="default", change=change)
