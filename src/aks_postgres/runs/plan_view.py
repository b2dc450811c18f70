"""Makes the plan that people read of what the steps found: no network, data in and data out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from aks_postgres.arm.planned import UNKNOWN
from aks_postgres.reports.cost import Cost, CostLine, cost_of
from aks_postgres.reports.outputs import FieldChange
from aks_postgres.reports.plan import COMES_AFTER, Action, Plan, PlannedResource, PlannedStep
from aks_postgres.reports.plan_view import (
    Chapter,
    Deed,
    PlanItem,
    PlanView,
    Setting,
    SharedChange,
)
from aks_postgres.reports.step_titles import title_of_noun
from aks_postgres.resources import managed_cluster, role_assignments
from aks_postgres.resources.kinds import WORDS, brings, plan_words
from aks_postgres.runs.plan_database import STEPS as DATABASE_STEPS
from aks_postgres.runs.plan_database import database_items
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.ignore_changes import entry_for
from aks_postgres.spec.names import environment_key
from aks_postgres.spec.spec_paths import places, resource_type, spec_field, spec_value, system_pool_of

_CLUSTER, _ROLE = managed_cluster.KIND.type.casefold(), role_assignments.KIND.type.casefold()
_ON_CREATION = brings()
# What happens beside the write itself. Azure's doing first, ours after.
_ON_CHANGE = {
    "cluster.kubernetes_version": "AKS replaces the nodes one after another; it can't go back",
    "provisioningState": "the last operation failed, so everything is written again",
    "properties.powerState.code": "starts what is stopped; its nodes cost again",
}
# Later steps' writes to what an earlier one makes, by the step.
_FOLLOWS = {
    "ensure_metrics_on": "managed Prometheus is switched on by a separate write",
    "ensure_container_insights": "Container insights is switched on by a separate write",
    "ensure_grafana_link": "the Azure Monitor workspace is linked by a separate write",
    "mark_generation": "the tag aks-postgres-state says current once everything is verified",
}
# Fields that say how a run goes; the test of every field sees that each other one is named by a change.
_HOW = {
    "adopt": "lets this run take the resource group over",
    "network.add_worker_address": "whether the machine that runs may reach the API server",
    "network.worker_address": "the address of the machine that runs",
    "cluster.ssh_public_key": "for a new cluster only; nodes that are there keep their key",
    "cluster.if_stopped": "what a run does about a stopped cluster or pool",
    "ignore_changes": "what is there keeps its own values in these fields",
    "roles": "whether a run assigns the roles that are missing, or lists them",
    "cluster_requests": "how a new cluster is made; one that is there stays as it is",
    "operator.version": "what the file is said to hold; the file itself decides",
    "operator.manifest_url": "where the manifest comes from; its checksum says what it is",
    "operator.manifest_sha256": "the manifest's checksum; another file is refused",
    "operator.chart": "where the chart comes from; its checksum says what it is",
    "operator.chart_sha256": "the chart's checksum; another file is refused",
    "database.not_highly_available": "says that fewer than three instances are meant",
    "database.backup.data_may_be_lost": "says that no backups are meant",
    "database.components.cert_manager_manifest_url": "where cert-manager comes from; its checksum says what it is",
    "database.components.cert_manager_manifest_sha256": "its checksum; another file is refused",
    "database.components.plugin_version": "what the file is said to hold; the file itself decides",
    "database.components.plugin_manifest_url": "where the plugin comes from; its checksum says what it is",
    "database.components.plugin_manifest_sha256": "its checksum; another file is refused",
}


def plan_view(spec: EnvironmentSpec, plan: Plan) -> PlanView:
    """The plan for people."""
    items = [
        *_resources(spec, plan),
        *_without_id(spec, plan),
        *database_items(spec, plan),
        *_stopped(plan),
    ]
    shared = _shared(items)
    found = PlanView(
        environment=environment_key(spec),
        name=spec.name,
        region=spec.region,
        subscription=plan.subscription,
        subscription_id=spec.subscription_id,
        suffix=spec.suffix,
        generation=plan.generation,
        items=tuple(items),
        shared=tuple(shared),
        how=tuple(_how(spec, items)),
        warnings=plan.warnings,
    ).in_order(WORDS)
    if found.can_t:
        return found
    return found.model_copy(update={"cost": plan.cost, "cost_now": _cost_now(spec, items)})


def _resources(spec: EnvironmentSpec, plan: Plan) -> list[PlanItem]:
    """One item a resource, whatever number of steps write to it."""
    by_id: dict[str, list[PlannedResource]] = {}
    for resource in plan.resources:
        by_id.setdefault(resource.id.casefold(), []).append(resource)
    who = _principals(plan.resources)
    found: list[PlanItem] = []
    for same in by_id.values():
        item = _item(spec, same, who)
        parts = _cluster_parts(spec, item) if resource_type(item.id) == _CLUSTER else [item]
        found += [_with_way_to_leave_it(spec, part) for part in parts]
    return found


def _with_way_to_leave_it(spec: EnvironmentSpec, item: PlanItem) -> PlanItem:
    """The item with the entries of `ignore_changes` for what no field of the spec could make so, or no run."""
    kind = resource_type(item.id)
    entries = [
        entry
        for setting in item.settings
        if item.action in ("update", "can't") and setting.is_change
        if item.action == "can't" or spec_field(kind, setting.arm_path, spec) is None
        if (entry := entry_for(kind, setting.arm_path, spec))
    ]
    if not entries:
        return item
    text = f"to leave it as it is: ignore_changes: {json.dumps(entries)}"
    return item.model_copy(update={"also": (*item.also, text)})


def _item(spec: EnvironmentSpec, same: list[PlannedResource], who: Mapping[str, str]) -> PlanItem:
    first = next((planned_step for planned_step in same if planned_step.action == "create"), same[0])
    actions = {planned_step.action for planned_step in same}
    action: Action = next(
        (choice for choice in ("can't", "create", "update") if choice in actions), "nothing"
    )
    kind = _ROLE if "/.../" in first.id else resource_type(first.id)
    chapter, word = plan_words().get(kind, ("Other", first.label))
    name = first.id.rsplit("/", 1)[-1]
    also: list[str] = []
    if action == "create":
        settings = _wanted(spec, kind, first.body, name)
        if first.step == "ensure_resource_group":
            settings += [Setting(field=f"tags.{key}", new=value) for key, value in spec.tags.items()]
        if first.step == "ensure_storage_account":
            settings.append(Setting(field="storage.backups", new=spec.storage.backups))
        if first.step == "ensure_backup_identity":
            settings.append(Setting(field="storage.identity", new=spec.storage.identity))
        # In a subnet of one's own, AKS makes no network.
        also += [
            text.replace(" a virtual network,", "") if spec.network.subnet_id else text
            for text in _ON_CREATION.get(kind, ())
        ]
        also += [
            _FOLLOWS[planned_step.step]
            for planned_step in same
            if planned_step is not first and planned_step.step in _FOLLOWS
        ]
    elif action == "nothing":
        settings = _wanted(spec, kind, first.body, name)
    else:
        settings = _changed(spec, kind, [field for planned_step in same for field in planned_step.fields])
        also += [
            _FOLLOWS[planned_step.step]
            for planned_step in same
            if planned_step.action == "update" and planned_step.step in _FOLLOWS
        ]
        also += [_ON_CHANGE[setting.field] for setting in settings if setting.field in _ON_CHANGE]
    if kind == _ROLE:
        name = _role_name(spec, first, who)
        settings = _role_settings(spec, first)
    refused = next((planned_step for planned_step in same if planned_step.action == "can't"), None)
    return PlanItem(
        chapter=chapter,
        action=action,
        kind=word,
        name=name,
        id=first.id,
        settings=tuple(settings),
        also=tuple(dict.fromkeys(also)),
        reason="Azure can't change that in place." if refused else "",
        way_out=refused.way_out if refused else "",
    )


def _wanted(spec: EnvironmentSpec, kind: str, body: Mapping[str, Any], name: str) -> list[Setting]:
    """The settings of a resource that the spec decides, each field once."""
    found: dict[tuple[str, str], Setting] = {}
    for path, value in places({"name": name, **body}):
        field = spec_field(kind, path, spec)
        if field and not field.startswith("tags.") and field != "region":
            new = spec_value(path, value)
            found.setdefault(
                (system_pool_of(path) or "", field), Setting(field=field, arm_path=path, new=new)
            )
    return list(found.values())


def _changed(spec: EnvironmentSpec, kind: str, fields: Iterable[FieldChange]) -> list[Setting]:
    found: dict[tuple[str, str], Setting] = {}
    for change in fields:
        for path, old, new in _parts(change):
            named = spec_field(kind, path, spec)
            old, new = spec_value(path, old), spec_value(path, new)
            if named == "network.open_to_internet":
                old, new = False, True
            setting = Setting(field=named or path, arm_path=path, old=old, new=new, is_change=True)
            found.setdefault((str(system_pool_of(path)), setting.field), setting)
    return list(found.values())


def _parts(change: FieldChange) -> list[tuple[str, Any, Any]]:
    """A change, or each part of it where a whole list element or mapping is new."""
    if isinstance(change.new, dict) and change.new and change.old in (None, {}):
        return [(f"{change.field}.{path}", None, value) for path, value in places(change.new)]
    return [(change.field, change.old, change.new)]


def _cluster_parts(spec: EnvironmentSpec, item: PlanItem) -> list[PlanItem]:
    """The cluster, and as items of their own its system pool and who may reach its API server."""
    pool = tuple(
        setting for setting in item.settings if system_pool_of(setting.arm_path) == spec.system_pool.name
    )
    access = tuple(setting for setting in item.settings if setting.field.startswith("network."))
    # The PostgreSQL pool in the cluster's own answer is an item by itself.
    own = tuple(
        setting
        for setting in item.settings
        if setting not in (*pool, *access) and system_pool_of(setting.arm_path) is None
    )

    def part(chapter: Chapter, kind: str, name: str, settings: tuple[Setting, ...]) -> PlanItem:
        action = item.action if settings or item.action == "create" else "nothing"
        has_reason = bool(settings)
        return PlanItem(
            chapter=chapter,
            action=action,
            kind=kind,
            name=name,
            id=item.id,
            settings=settings,
            reason=item.reason if has_reason else "",
            way_out=item.way_out if has_reason else "",
        )

    action = item.action
    if action in ("update", "can't") and not own and (pool or access):
        action = "nothing"
    return [
        item.model_copy(update={"settings": own, "action": action}),
        part("Node pools", "node pool (system)", spec.system_pool.name, pool),
        part("Network", "API server access", item.name, access),
    ]


def _principals(resources: Iterable[PlannedResource]) -> dict[str, str]:
    """Names for object IDs, and by step for those that only Azure will know."""
    found: dict[str, str] = {}
    for resource in resources:
        name = resource.id.rsplit("/", 1)[-1]
        properties = resource.body.get("properties")
        ids = [
            part["principalId"]
            for part in (properties, resource.body.get("identity"))
            if isinstance(part, dict) and part.get("principalId")
        ]
        found |= {str(known).casefold(): name for known in ids if UNKNOWN not in str(known)}
        if resource.step == "ensure_managed_identity":
            found |= dict.fromkeys(("ensure_network_role", "ensure_subnet_role"), name)
            found.setdefault("ensure_blob_roles", name)
        elif resource.step == "ensure_backup_identity":
            found["ensure_blob_roles"] = name
        elif resource.step == "ensure_grafana":
            found |= dict.fromkeys(
                ("ensure_grafana_roles", "ensure_node_group_reader", "ensure_metrics_reader"),
                f"{name}'s own identity",
            )
    return found


def _role_name(spec: EnvironmentSpec, one: PlannedResource, who: Mapping[str, str]) -> str:
    found = re.fullmatch(r"role (?P<role>.+) for (?P<who>.+) on (?P<scope>.+)", one.label)
    if not found:
        return one.label
    is_unknown = UNKNOWN in found["who"]
    principal = who.get(one.step if is_unknown else found["who"].casefold(), found["who"])
    if found["role"] == "Grafana Admin" and not spec.monitoring.grafana_admins:
        principal = f"the caller ({principal})"
    return f"{found['role']} for {principal} on {found['scope']}"


def _role_settings(spec: EnvironmentSpec, one: PlannedResource) -> list[Setting]:
    principal = str((one.body.get("properties") or {}).get("principalId", ""))
    for role, field, has in (
        ("Storage Blob Data Owner", "storage.blob_owners", True),
        ("Grafana Admin", "monitoring.grafana_admins", bool(spec.monitoring.grafana_admins)),
    ):
        if has and f"role {role} " in one.label:
            return [Setting(field=field, new=principal)]
    if one.step == "ensure_subnet_role":
        return [Setting(field="network.subnet_id", new=spec.network.subnet_id)]
    if one.step == "ensure_grafana_roles" and "Monitoring Reader" in one.label:
        scope = spec.monitoring.monitoring_reader_scope
        return [Setting(field="monitoring.monitoring_reader_scope", new=scope)]
    return []


def _without_id(spec: EnvironmentSpec, plan: Plan) -> list[PlanItem]:
    """Return what isn't an ARM resource of ours: providers, namespaces, the operator, rules that nobody knows yet."""
    found: list[PlanItem] = []
    for step in plan.steps:
        if step.step == "cnpg_operator":
            found += _operator(spec, step)
        elif step.step == "namespaces" and step.action in ("create", "nothing"):
            new = {field.field.removeprefix("namespace ") for field in step.fields}
            for field in ("database", "operator"):
                name = getattr(spec.namespaces, field)
                found.append(
                    PlanItem(
                        chapter="Kubernetes",
                        action="create" if name in new else "nothing",
                        kind="namespace",
                        name=name,
                        settings=(Setting(field=f"namespaces.{field}", new=name),),
                    )
                )
        elif step.step == "providers":
            found += [
                PlanItem(
                    chapter="Subscription",
                    action="update",
                    kind="resource provider",
                    name=field.field,
                    settings=(
                        Setting(field="registrationState", old=field.old, new=field.new, is_change=True),
                    ),
                    also=("once for the whole subscription; it is never undone",),
                )
                for field in step.fields
            ]
        elif step.step == "rule_groups" and step.action == "create" and _are_unknown(plan):
            found.append(
                PlanItem(
                    chapter="Monitoring",
                    action="create",
                    kind="Prometheus rule groups",
                    name="what Azure recommends by then",
                )
            )
    return found


def _are_unknown(plan: Plan) -> bool:
    return not any(resource.step == "ensure_rule_groups" for resource in plan.resources)


def _operator(spec: EnvironmentSpec, step: PlannedStep) -> list[PlanItem]:
    if step.action not in ("create", "update", "nothing"):
        return []
    wanted = spec.operator
    settings: list[Setting] = []
    also: tuple[str, ...] = ()
    if step.action == "create":
        settings = [
            Setting(field="operator.version", new=wanted.version),
            Setting(field="operator.installer", new=wanted.installer),
        ]
        if wanted.installer == "helm":
            settings.append(Setting(field="operator.chart_version", new=wanted.chart_version))
        also = (
            "custom resource definitions, roles and webhooks come with it; "
            "its namespace's Pods are waited for",
        )
    elif step.action == "update":
        settings = [*_operator_changes(spec, step.fields)]
        also = ("the operator restarts; Postgres clusters may be restarted one instance at a time",)
    return [
        PlanItem(
            chapter="Kubernetes",
            action=step.action,
            kind="CloudNativePG operator",
            name=f"{wanted.version} in {spec.namespaces.operator}",
            settings=tuple(settings),
            also=also,
        )
    ]


def _operator_changes(spec: EnvironmentSpec, fields: Iterable[FieldChange]) -> list[Setting]:
    """Return what would change in the operator: its version if that is another, the rest counted by object."""
    found: list[Setting] = []
    counts: dict[str, int] = {}
    for field in fields:
        path = field.field
        if path == "chart":
            found.append(_move("operator.chart_version", path, field.old, field.new))
        elif path.startswith("chart "):
            found.append(_move("operator.chart_sha256", path, field.old, spec.operator.chart_sha256))
        elif path.startswith("values."):
            key = path.removeprefix("values.")
            found.append(
                _move(f"operator.chart_values.{key}", path, "another", spec.operator.chart_values.get(key))
            )
        elif (
            path.endswith(".image") and str(field.old).rpartition(":")[2] != str(field.new).rpartition(":")[2]
        ):
            old, new = (str(version).rpartition(":")[2] for version in (field.old, field.new))
            found.append(_move("operator.version", path, old, new))
        else:
            name = path.partition(":")[0]
            counts[name] = counts.get(name, 0) + 1
    for name, count in counts.items():
        what = "1 field" if count == 1 else f"{count} fields"
        found.append(_move(name, name, "", f"{what} as the file says"))
    return found


def _move(field: str, path: str, old: Any, new: Any) -> Setting:
    return Setting(field=field, arm_path=path, old=old, new=new, is_change=True)


def _stopped(plan: Plan) -> list[PlanItem]:
    """Steps that can't be done or weren't looked at, but for those whose resource says it already."""
    told = {resource.label for resource in plan.resources if resource.action == "can't"}
    found: list[PlanItem] = []
    after: dict[tuple[str, Action], list[str]] = {}
    for step in plan.steps:
        if step.action not in ("can't", "not visible", "not looked at"):
            continue
        if step.in_place and any(step.reason.startswith(label) for label in told):
            continue
        if step.reason.startswith(COMES_AFTER):
            after.setdefault((step.reason, step.action), []).append(title_of_noun(step.step))
            continue
        found.append(
            PlanItem(
                chapter=_chapter(step.step),
                action=step.action,
                kind=step.step.replace("_", " "),
                name="",
                reason=step.reason,
            )
        )
    found += [
        PlanItem(
            chapter="Other",
            action=action,
            kind=", ".join(steps),
            name="",
            reason=f"{COMES_AFTER} {title_of_noun(reason.removeprefix(f'{COMES_AFTER} '))}",
        )
        for (reason, action), steps in after.items()
    ]
    return found


def _chapter(step: str) -> Chapter:
    if step in DATABASE_STEPS:
        return "Database"
    if step == "preflight":
        return "What stops it"
    return "Kubernetes" if step in ("namespaces", "cnpg_operator") else "Other"


def _shared(items: Iterable[PlanItem]) -> list[SharedChange]:
    """Changes that are the same on several resources."""
    found: dict[tuple[str, str, str], list[tuple[PlanItem, Setting]]] = {}
    for item in items:
        if item.action == "update" and item.kind != "resource provider":
            for setting in item.settings:
                found.setdefault((setting.field, repr(setting.old), repr(setting.new)), []).append(
                    (item, setting)
                )
    return [
        SharedChange(setting=same[0][1], resources=tuple(f"{item.kind} {item.name}" for item, _ in same))
        for same in found.values()
        if len(same) > 1
    ]


def _how(spec: EnvironmentSpec, items: Iterable[PlanItem]) -> Iterable[Deed]:
    told = {setting.field for item in items if item.action != "nothing" for setting in item.settings}
    for field, meaning in _HOW.items():
        *groups, name = field.split(".")
        holder: Any = spec
        for group in groups:
            holder = holder and getattr(holder, group)
        if holder is None or field in told:
            continue
        value = getattr(holder, name)
        if value != type(holder).model_fields[name].default:
            yield Deed(field=field, value=value, meaning=meaning)


def _cost_now(spec: EnvironmentSpec, items: list[PlanItem]) -> Cost:
    """Return what is there costs a day: the spec with the settings as they are, without what isn't there yet."""
    old: dict[str, Any] = {}
    for item in items:
        if item.action == "update":
            old |= {setting.field: setting.old for setting in item.settings if setting.is_change}
    given = spec.model_dump()
    for field in ("cluster.tier", "storage.sku", "monitoring.log_retention_days"):
        _put(given, field, old)
    for pool in ("system_pool", "postgres_pool"):
        for name in ("min_count", "max_count"):
            _put(given, f"{pool}.{name}", old)
    try:
        before = EnvironmentSpec.model_validate(given)
    except ValueError:  # as somebody else has set it, it is no spec
        before = spec
    new = {item.kind for item in items if item.action == "create"}
    return Cost(lines=tuple(line for line in cost_of(before).lines if _kind_of(line, before) not in new))


def _put(given: dict[str, Any], field: str, old: Mapping[str, Any]) -> None:
    if old.get(field) is not None:
        group, _, name = field.partition(".")
        given[group][name] = old[field]


def _kind_of(line: CostLine, spec: EnvironmentSpec) -> str:
    """The kind of resource that a line of the cost is about."""
    if line.what.endswith(f"({spec.postgres_pool.name})"):
        return "node pool"
    for word, kind in (
        ("Grafana", "Managed Grafana"),
        ("logs", "Log Analytics workspace"),
        ("metrics", "Azure Monitor workspace"),
        ("backups", "storage account"),
        ("volumes", "Postgres cluster"),
    ):
        if word in line.what:
            return kind
    return "AKS cluster"
