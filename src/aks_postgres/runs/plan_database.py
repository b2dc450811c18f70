"""The database's part of the plan that people read: the Postgres cluster, and each thing beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from aks_postgres.reports.outputs import FieldChange
from aks_postgres.reports.plan import Plan, PlannedStep
from aks_postgres.reports.plan_view import PlanItem, Setting
from aks_postgres.runs.database_settings import changed_settings
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
    "database_pooler",
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


def database_items(spec: EnvironmentSpec, plan: Plan) -> list[PlanItem]:
    """Return what would happen to the database; nothing where the spec has none."""
    if spec.database is None:
        return []
    steps = {step.step: step for step in plan.steps if step.action in ("create", "update", "nothing")}
    found: list[PlanItem] = []
    for name in STEPS:
        if (step := steps.get(name)) is None:
            continue
        if name == "postgres_cluster":
            found.append(_cluster(spec, spec.database, step))
        elif name in _COMPONENTS and step.fields:
            found.append(_component(spec.database, name, step))
        elif name in _OBJECTS:
            found += _objects(spec, step)
    return found


def _cluster(spec: EnvironmentSpec, database: DatabaseSpec, step: PlannedStep) -> PlanItem:
    settings: list[Setting] = []
    also: tuple[str, ...] = ()
    if step.action == "create":
        settings = [Setting(field=f"database.{path}", new=value) for path, value in _said(database)]
        also = (
            "the operator also makes volumes, certificates, Services and disruption budgets; three instances take "
            "about five minutes",
        )
    elif step.action == "update":
        settings = changed_settings(spec, step.fields)
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


def _component(database: DatabaseSpec, step_name: str, step: PlannedStep) -> PlanItem:
    count = len({field.field.partition(":")[0] for field in step.fields})
    settings: list[Setting] = []
    if step_name == "barman_plugin":
        field, version = "database.components.plugin_version", database.components.plugin_version
        if step.action == "create":
            settings = [Setting(field=field, new=version)]
        elif old := next(
            (tag for field in step.fields if (tag := _tag(field.old)) and _tag(field.new) != tag), None
        ):
            settings = [Setting(field=field, old=old.removeprefix("v"), new=version, is_change=True)]
    return PlanItem(
        chapter="Database",
        action=step.action,
        kind=_COMPONENTS[step_name],
        # A new one is one line; its objects are its file's.
        name="" if count == 1 else f"{count} objects",
        settings=tuple(settings),
        also=("its pods are waited for",),
    )


def _tag(image: Any) -> str:
    """The tag of an image; empty where it is none."""
    return str(image).rpartition("/")[2].partition("@")[0].partition(":")[2]


def _objects(spec: EnvironmentSpec, step: PlannedStep) -> Iterator[PlanItem]:
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
            settings=tuple(_of_a_new_one(spec, kind) if is_new else changed_settings(spec, fields)),
        )


def _of_a_new_one(spec: EnvironmentSpec, kind: str) -> Iterator[Setting]:
    if kind == "Database" and spec.database:
        yield Setting(field="database.databases", new=spec.database.databases)
    if kind == "Pooler" and spec.database and spec.database.pooler:
        yield Setting(field="database.pooler.instances", new=spec.database.pooler.instances)
        yield Setting(field="database.pooler.pool_mode", new=spec.database.pooler.pool_mode)
        if spec.database.pooler.parameters:
            yield Setting(field="database.pooler.parameters", new=spec.database.pooler.parameters)


def _said(database: DatabaseSpec) -> Iterator[tuple[str, Any]]:
    """The fields that a person wants to see of a new database: the main ones, and whatever isn't the default."""
    for path, value, default in _leaves(database):
        # Where files come from is told with how the run goes.
        if path in _ALWAYS or (value != default and not path.startswith("components.")):
            yield path, value


def _leaves(group: BaseModel, above: str = "") -> Iterator[tuple[str, Any, Any]]:
    for name, info in type(group).model_fields.items():
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value, info.default
