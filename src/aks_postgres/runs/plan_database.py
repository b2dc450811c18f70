"""The database's part of the plan that people read: the Postgres cluster, and each thing beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from aks_postgres.reports.outputs import FieldChange
from aks_postgres.reports.plan import Plan, PlannedStep
from aks_postgres.reports.plan_view import PlanItem, Setting
from aks_postgres.spec.database import DatabaseSpec
from aks_postgres.spec.environment import EnvironmentSpec

# What is installed of a file: its many objects are one line.
_COMPONENTS = {"cert_manager": "cert-manager", "barman_plugin": "Barman Cloud plugin"}
_OBJECTS = (
    "operator_settings",
    "app_secret",
    "database_storage_class",
    "database_account",
    "object_store",
    "databases",
    "first_backup",
    "backup_schedule",
    "database_monitor",
)
STEPS = ("postgres_cluster", *_COMPONENTS, *_OBJECTS)
# Said of every new database, whether somebody asked for it or not.
_ALWAYS = (
    "postgres_version",
    "instances",
    "storage.storage_class",
    "storage.size_gib",
    "backup.engine",
    "backup.schedule",
    "access.kind",
)
_FIELDS = {
    "spec.instances": "database.instances",
    "spec.storage.size": "database.storage.size_gib",
    "spec.walStorage.size": "database.storage.wal_size_gib",
    "spec.schedule": "database.backup.schedule",
    "spec.retentionPolicy": "database.backup.retention_days",
}
_PARAMETER = re.compile(r"spec\.postgresql\.parameters\.(?P<name>.+)")


def database_items(spec: EnvironmentSpec, plan: Plan) -> list[PlanItem]:
    """What would happen to the database; nothing where the spec has none."""
    if spec.database is None:
        return []
    steps = {step.step: step for step in plan.steps if step.action in ("create", "update", "nothing")}
    found: list[PlanItem] = []
    for name in STEPS:
        if (step := steps.get(name)) is None:
            continue
        if name == "postgres_cluster":
            found.append(_cluster(spec.database, step))
        elif name in _COMPONENTS and step.fields:
            found.append(_component(_COMPONENTS[name], step))
        elif name in _OBJECTS:
            found += _objects(step)
    return found


def _cluster(database: DatabaseSpec, step: PlannedStep) -> PlanItem:
    settings: list[Setting] = []
    also: tuple[str, ...] = ()
    if step.action == "create":
        settings = [Setting(field=f"database.{path}", new=value) for path, value in _said(database)]
        also = (
            "the operator also makes volumes, certificates, Services and disruption budgets; three instances take "
            "about five minutes",
        )
    elif step.action == "update":
        settings = [_setting(field) for field in step.fields]
        also = ("the operator rolls it out, replicas first; some settings restart the instances",)
    return PlanItem(
        chapter="Database",
        action=step.action,
        kind="Postgres cluster",
        name=next(
            (field.field.partition(" ")[2].partition(":")[0] for field in step.fields), database.name or ""
        ),
        settings=tuple(settings),
        also=also,
    )


def _component(kind: str, step: PlannedStep) -> PlanItem:
    count = len({field.field.partition(":")[0] for field in step.fields})
    return PlanItem(
        chapter="Database",
        action=step.action,
        kind=kind,
        # A new one is one line; its objects are its file's.
        name="" if count == 1 else f"{count} objects",
        also=("its pods are waited for",),
    )


def _objects(step: PlannedStep) -> Iterator[PlanItem]:
    """One line an object, with its changes."""
    by_object: dict[str, list[FieldChange]] = {}
    for field in step.fields:
        by_object.setdefault(field.field.partition(":")[0], []).append(field)
    for thing, fields in by_object.items():
        kind, _, name = thing.partition(" ")
        is_new = any(field.new == "created" for field in fields)
        yield PlanItem(
            chapter="Database",
            action="create" if is_new else "update",
            kind=kind,
            name=name,
            settings=() if is_new else tuple(_setting(field) for field in fields),
        )


def _setting(field: FieldChange) -> Setting:
    path = field.field.partition(": ")[2] or field.field
    match = _PARAMETER.fullmatch(path)
    name = f"database.parameters.{match['name']}" if match else _FIELDS.get(path, path)
    return Setting(field=name, arm_path=path, old=field.old, new=field.new, is_change=True)


def _said(database: DatabaseSpec) -> Iterator[tuple[str, Any]]:
    """The fields that a person wants to see of a new database: the main ones, and whatever isn't the default."""
    for path, value, default in _leaves(database):
        if path in _ALWAYS or value != default:
            yield path, value


def _leaves(group: BaseModel, above: str = "") -> Iterator[tuple[str, Any, Any]]:
    for name, info in type(group).model_fields.items():
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value, info.default
