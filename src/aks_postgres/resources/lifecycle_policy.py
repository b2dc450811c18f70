"""The lifecycle policy of a storage account.

https://learn.microsoft.com/rest/api/storagerp/management-policies
"""

from __future__ import annotations

from typing import Any

from aks_postgres.arm.diff import Decision, decide
from aks_postgres.arm.kind import Kind
from aks_postgres.arm.responses import Json
from aks_postgres.reports.outputs import UNCHANGED
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import PRODUCT

RULE = f"{PRODUCT}-previous-versions"

KIND = Kind(
    "Microsoft.Storage/storageAccounts/managementPolicies",
    "lifecycle policy",
    "Storage",
    lambda azure: azure.storage.management_policies,
    step="lifecycle of backups",
)


def decision(label: str, spec: EnvironmentSpec, live: Json | None) -> Decision:
    """Return whether the account's policy needs our rule; of two numbers of days the larger one."""
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
    prefixes = {f"{spec.storage.container}/", *(prefix for prefix in before or [] if isinstance(prefix, str))}
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
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
