"""Blob containers.

https://learn.microsoft.com/rest/api/storagerp/blob-containers
"""

from __future__ import annotations

from typing import Any

from aks_postgres.arm.diff import Decision
from aks_postgres.arm.ignored import is_ignored
from aks_postgres.arm.kind import Kind, names_in
from aks_postgres.arm.responses import Json
from aks_postgres.errors import ImmutableChange
from aks_postgres.reports.outputs import CREATED, UNCHANGED, Change, FieldChange
from aks_postgres.spec.environment import EnvironmentSpec

_IMMUTABLE = "immutableStorageWithVersioning"
_DAYS = "immutabilityPeriodSinceCreationInDays"


def _names(resource_id: str) -> tuple[str, ...]:
    group, account, _, container, *_ = names_in(resource_id)
    return (group, account, container)


KIND = Kind(
    "Microsoft.Storage/storageAccounts/blobServices/containers",
    "blob container",
    "Storage",
    lambda azure: azure.storage.blob_containers,
    put="create",
    key=_names,
    is_foundation=True,
    step="backup container",
)
IMMUTABILITY_POLICY = Kind(
    f"{KIND.type}/immutabilityPolicies",
    "immutability policy",
    "Storage",
    lambda azure: azure.storage.blob_containers,
    option="immutability of backups",
    get="get_immutability_policy",
    put="create_or_update_immutability_policy",
    key=_names,
)


def decision(label: str, spec: EnvironmentSpec, live: Json | None) -> Decision:
    """Return whether the container has to be made.

    Raises:
        ImmutableChange: versions in it are to be immutable, and it was made without that.
    """
    wanted: Json = {"properties": {_IMMUTABLE: {"enabled": True}}} if spec.storage.immutability_days else {}
    if live is None:
        return Decision(CREATED, wanted)
    has = (live.get("properties") or {}).get(_IMMUTABLE)
    path = f"properties.{_IMMUTABLE}.enabled"
    if wanted and not (isinstance(has, dict) and has.get("enabled")) and not is_ignored(path):
        field = FieldChange(field=path, old=False, new=True)
        way_out = (
            "Give another storage.container (the backups in this one stay), migrate it yourself (az storage "
            "container-rm migrate-vlw), or leave storage.immutability_days out."
        )
        raise ImmutableChange(label, [field], way_out)
    return Decision(UNCHANGED)


def immutability_decision(label: str, days: int, live: Json | None) -> Decision:
    """Return whether a policy has to be written; a longer one stays.

    Args:
        label: what it is called in messages.
        days: how long versions are to be immutable, at least.
        live: the policy as Azure shows it; with 0 days there is none.

    Raises:
        ImmutableChange: it is locked, and for fewer days.
    """
    properties: Any = (live or {}).get("properties") or {}
    has = properties.get(_DAYS)
    has = has if isinstance(has, int) else 0
    if has >= days or (has and is_ignored(f"properties.{_DAYS}")):
        return Decision(UNCHANGED)
    field = FieldChange(field=f"properties.{_DAYS}", old=has, new=days)
    if properties.get("state") == "Locked":
        way_out = (
            "Extend it yourself (az storage container immutability-policy extend), or lower "
            "storage.immutability_days."
        )
        raise ImmutableChange(label, [field], way_out)
    change = Change(kind="updated", fields=(field,)) if has else CREATED
    return Decision(change, {"properties": {_DAYS: days}})
