"""Which field of the spec a place in the database's objects comes from, so that a plan speaks the spec's language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from aks_postgres.reports.outputs import FieldChange
from aks_postgres.reports.plan_view import Setting
from aks_postgres.spec.database import IMAGES, DatabaseSpec
from aks_postgres.spec.environment import EnvironmentSpec

# Kind and path, as a change names them, and the field below `database.` whose value stands there.
_VALUES = {
    r"Cluster spec\.instances": "instances",
    r"Cluster spec\.resources\.(requests|limits)\.cpu": "cpu",
    r"Cluster spec\.resources\.(requests|limits)\.memory": "memory_gib",
    r"Cluster spec\.storage\.size": "storage.size_gib",
    r"Cluster spec\.walStorage\.size": "storage.wal_size_gib",
    r"Cluster spec\.postgresql\.synchronous\.number": "sync_replicas",
    r"Cluster spec\.postgresql\.synchronous\.dataDurability": "durability",
    r"Cluster spec\.postgresql\.synchronous\.failoverQuorum": "failover_quorum",
    r"Cluster spec\.postgresql\.parameters\.archive_timeout": "backup.archive_timeout_s",
    r"ImageCatalog spec\.images\[\d+\]\.major": "postgres_version",
    r"ObjectStore spec\.retentionPolicy": "backup.retention_days",
    r"Pooler spec\.instances": "pooler.instances",
    r"Pooler spec\.pgbouncer\.poolMode": "pooler.pool_mode",
    r"ScheduledBackup spec\.schedule": "backup.schedule",
}
# Places that are there or not by a field whose value they aren't: the value before is told from what was there.
_SWITCHES = {
    r"Cluster spec\.walStorage": "storage.wal_size_gib",
    r"Cluster spec\.postgresql\.synchronous": "durability",
    r"Cluster spec\.(plugins|serviceAccountTemplate|inheritedMetadata)\b.*": "backup.engine",
    r"Cluster spec\.managed\b.*loadBalancerSourceRanges.*": "access.source_ranges",
    r"Cluster spec\.(managed\b.*azure-dns-label-name|certificates\b.*)": "access.dns_label",
    r"Cluster spec\.managed\b.*": "access.kind",
    r"ObjectStore spec\.configuration\.(wal|data)\.compression": "backup.compression",
}
_IMAGE = re.compile(r"ImageCatalog spec\.images\[\d+\]\.image")
_OUR_IMAGE = re.compile(rf"{re.escape(IMAGES)}:(?P<version>[0-9]+\.[0-9]+)-.*")
_PARAMETER = re.compile(r"Cluster spec\.postgresql\.parameters\.(?P<name>.+)")
_POOLER_PARAMETER = re.compile(r"Pooler spec\.pgbouncer\.parameters\.(?P<name>.+)")
_SELECTOR = re.compile(r"Cluster spec\.affinity\.nodeSelector\.(?P<label>.+)")
# Computed by `database.parameters` from these fields, which are told in their place.
_FROM_MEMORY = ("effective_cache_size", "maintenance_work_mem", "shared_buffers", "work_mem")
_FROM_DISK = ("max_slot_wal_keep_size", "max_wal_size", "min_wal_size")
_COMPUTED = {
    **dict.fromkeys(_FROM_MEMORY, ("memory_gib",)),
    **dict.fromkeys(_FROM_DISK, ("storage.size_gib", "storage.wal_size_gib")),
}
_NUMBER = re.compile(r"(?P<number>[0-9]+)(Gi|d|s)?")


def changed_settings(spec: EnvironmentSpec, fields: Iterable[FieldChange]) -> list[Setting]:
    """Return what would change, by the spec's fields; each once.

    Args:
        spec: the environment wanted, with a database.
        fields: the changes of objects, each as `Kind name: path`.
    """
    if spec.database is None:
        return []
    found: dict[str, Setting] = {}
    for change in fields:
        for setting in _settings(spec, spec.database, change):
            found.setdefault(setting.field, setting)
    told = [
        setting
        for setting in found.values()
        if not any(f"database.{source}" in found for source in _sources(setting.field, spec.database))
    ]
    # Who reaches it is one decision: with its kind come the fields that say for whom.
    if "database.access.kind" in found:
        access = spec.database.access
        for name, value in (("source_ranges", access.source_ranges), ("dns_label", access.dns_label)):
            if value and f"database.access.{name}" not in found:
                told.append(Setting(field=f"database.access.{name}", new=value))
    return told


def _sources(field: str, database: DatabaseSpec) -> tuple[str, ...]:
    name = field.removeprefix("database.parameters.")
    return () if name in database.parameters else _COMPUTED.get(name, ())


def _settings(spec: EnvironmentSpec, database: DatabaseSpec, change: FieldChange) -> Iterator[Setting]:
    thing, _, path = change.field.partition(": ")
    place = f"{thing.partition(' ')[0]} {path or change.field}"

    def setting(field: str, old: Any, new: Any) -> Setting:
        return Setting(field=field, arm_path=path, old=old, new=new, is_change=True)

    if place.startswith("Cluster spec.managed"):
        # What is added or goes as a whole is text by now.
        before, after = str(change.old or ""), str(change.new or "")
        if "managed.roles" in place or "'inRoles'" in before + after:
            old = before or None if "managed.roles" in place else "others" if "'inRoles'" in before else None
            yield setting("database.roles", old, database.roles)
            if "'services'" not in before + after:
                return
    if _IMAGE.fullmatch(place):
        yield from _of_the_image(database, change, setting)
    elif field := _first(_VALUES, place):
        yield setting(f"database.{field}", _as_said(change.old), _as_said(change.new))
    elif match := _PARAMETER.fullmatch(place):
        yield setting(f"database.parameters.{match['name']}", change.old, change.new)
    elif match := _POOLER_PARAMETER.fullmatch(place):
        yield setting(f"database.pooler.parameters.{match['name']}", change.old, change.new)
    elif match := _SELECTOR.fullmatch(place):
        label = match["label"]
        is_ours = label in spec.postgres_pool.labels or change.new is None
        field = f"postgres_pool.labels.{label}" if is_ours else "postgres_pool.name"
        yield setting(field, change.old, change.new)
    elif field := _first(_SWITCHES, place):
        old, new = _before(field, change, _value(database, field)), _value(database, field)
        if old != new:
            yield setting(f"database.{field}", old, new)
        elif field == "access.dns_label":
            return  # its name comes with the kind
        else:
            yield setting(path, change.old, change.new)
    else:
        yield setting(path or change.field, change.old, change.new)


def _first(rules: dict[str, str], place: str) -> str | None:
    return next((field for pattern, field in rules.items() if re.fullmatch(pattern, place)), None)


def _as_said(value: Any) -> Any:
    """A number as the spec says it, whose unit is in the field's name."""
    match = _NUMBER.fullmatch(str(value))
    return int(match["number"]) if match and not isinstance(value, bool) else value


def _value(database: DatabaseSpec, field: str) -> Any:
    found: Any = database
    for name in field.split("."):
        found = getattr(found, name)
    return found


def _before(field: str, change: FieldChange, new: Any) -> Any:
    """Return what the spec would have said of what was there."""
    was = str(change.old or "")
    if field == "backup.engine":
        return "none" if new == "plugin" else "plugin"
    if field == "backup.compression":
        return change.old or "none"
    if field == "durability":
        return "asynchronous" if change.old is None else "synchronous"
    if field == "access.kind":
        text = f"{change.field} {was}"
        kinds = {
            "azure-load-balancer-internal": "internal_load_balancer",
            "azure-pip-name": "public_load_balancer",
        }
        if not was:
            return "none"
        return next((kind for mark, kind in kinds.items() if mark in text), "another")
    return _as_said(change.old)


def _of_the_image(database: DatabaseSpec, change: FieldChange, setting: Any) -> Iterator[Setting]:
    """The version where it is another, and the image where it is, or was, one of somebody's own."""
    old, new = (_OUR_IMAGE.fullmatch(str(image)) for image in (change.old, change.new))
    before = old["version"] if old else re.split(r"[-@]", str(change.old).rpartition(":")[2])[0]
    if before != database.postgres_version:
        yield setting("database.postgres_version", before, database.postgres_version)
    if not (old and new):
        yield setting("database.image", None if old else change.old, database.image)
