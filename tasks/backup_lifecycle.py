"""Guide: Create infrastructure has no versions of backups; here they are kept, and don't pile up for ever.

A rule of the account's lifecycle policy deletes previous versions of backups that are older than
`storage.soft_delete_days`; soft delete then keeps each for as many days again. A version's age counts from when it was
written, so what is deleted or overwritten today stays for those days at least.
The policy is one for the whole account: rules of others stay, and where one of them deletes versions, ours isn't added.
https://learn.microsoft.com/azure/storage/blobs/lifecycle-management-policy-structure
"""

from __future__ import annotations

from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision, decide
from aks_postgres.arm.reconcile import ensure
from aks_postgres.arm.responses import Json
from aks_postgres.reports.outputs import UNCHANGED, ResourceOutputs, StorageAccountOutputs
from aks_postgres.resources import lifecycle_policy
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import PRODUCT

RULE = f"{PRODUCT}-previous-versions"


def lifecycle_decision(label: str, spec: EnvironmentSpec, live: Json | None) -> Decision:
    """Whether the account's policy needs our rule; of two numbers of days the larger one."""
    rules = _dicts(_inside(live, "properties", "policy", "rules"))
    others = [rule for rule in rules if str(rule.get("name")).casefold() != RULE]
    ours = next((rule for rule in rules if str(rule.get("name")).casefold() == RULE), {})
    if any(
        rule.get("enabled", True) and _inside(rule, "definition", "actions", "version", "delete")
        for rule in others
    ):
        return Decision(UNCHANGED)
    days = _inside(ours, "definition", "actions", "version", "delete", "daysAfterCreationGreaterThan")
    before = _inside(ours, "definition", "filters", "prefixMatch")
    # A container that the spec named before keeps its rule.
    prefixes = {f"{spec.storage.container}/", *(one for one in before or [] if isinstance(one, str))}
    rule = {
        "name": RULE,
        "enabled": True,
        "type": "Lifecycle",
        "definition": {
            "filters": {"blobTypes": ["blockBlob"], "prefixMatch": sorted(prefixes)},
            "actions": {
                "version": {
                    "delete": {
                        "daysAfterCreationGreaterThan": max(
                            spec.storage.soft_delete_days, int(days) if isinstance(days, int | float) else 0
                        )
                    }
                }
            },
        },
    }
    found = decide(label, {"properties": {"policy": {"rules": [rule]}}}, live)
    # The rest of what it shows isn't the caller's to write.
    return Decision(
        found.change, {"properties": {"policy": {"rules": [*others, rule]}}} if found.body else {}
    )


def _inside(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _dicts(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


@arm_task("ensure_backup_lifecycle {account.name}")
async def ensure_backup_lifecycle(
    azure: Azure, spec: EnvironmentSpec, account: StorageAccountOutputs
) -> ResourceOutputs:
    """Let Azure delete previous versions of backups once their days are over.

    Guide: not in it; it keeps no versions.
    REST: https://learn.microsoft.com/rest/api/storagerp/management-policies/create-or-update

    Args:
        spec: the environment wanted; `storage.soft_delete_days` says after how many days.
        account: the storage account.

    Returns:
        ID and name of the account's lifecycle policy.
    """
    label = f"lifecycle policy of storage account {account.name}"
    resource = lifecycle_policy.KIND.at(azure, f"{account.id}/managementPolicies/default", label=label)
    _, change = await ensure(resource, lambda live: lifecycle_decision(label, spec, live))
    return ResourceOutputs(id=resource.id, name="default", change=change)
