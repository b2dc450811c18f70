"""Objects in a cluster, brought to what is wanted: read, compared, applied on the server's side where they differ.

What `arm.reconcile` is for Azure's resources. An object says its own kind and name, so its body is its description.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import AzureRefused, NotEffectiveYet
from aks_postgres.arm.responses import Json, clean
from aks_postgres.arm.retry import all_ended
from aks_postgres.kubernetes.client import FIELD_MANAGER, KubernetesApi, kubernetes_api
from aks_postgres.reports.outputs import UNCHANGED, Change, ClusterOutputs, FieldChange, ObjectsOutputs

_ESTABLISHED_WITHIN_S = 120
_GONE_WITHIN_S = 300
_QUANTITIES = re.compile(r"(^|\.)resources\.|\.size$")


async def ensure_objects(azure: Azure, cluster: ClusterOutputs, *objects: Json) -> ObjectsOutputs:
    """Apply those that differ, side by side; what we applied earlier and is wanted no more goes from them.

    Args:
        azure: the run's connection.
        cluster: the cluster.
        objects: what is wanted.
    """
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        return outputs_of(objects, await bring(api, objects))


async def bring(api: KubernetesApi, objects: Iterable[Json]) -> Change:
    """The same over a connection that is there; what was changed."""
    done = await all_ended(_bring(api, item) for item in objects)
    return change_of(field for fields in done for field in fields)


async def _bring(api: KubernetesApi, item: Json) -> list[FieldChange]:
    try:
        return await apply_object(api, item, is_whole=True)
    except AzureRefused as refused:
        # A plan comes to kinds whose definitions an earlier step would bring.
        if refused.code in ("NotFound", "KindUnknown") and not api.azure.gate.lets(
            f"{name_of(item)} would be created"
        ):
            return [created(item)]
        raise


def new_objects(*objects: Json) -> ObjectsOutputs:
    """Return what a step reports of objects that a plan would create, the cluster with them."""
    return outputs_of(objects, change_of(created(item) for item in objects))


def outputs_of(objects: Sequence[Json], change: Change) -> ObjectsOutputs:
    """Return what a step reports of objects."""
    return ObjectsOutputs(names=tuple(name_of(item) for item in objects), change=change)


def name_of(item: Json) -> str:
    """Kind and name."""
    return f"{item['kind']} {item['metadata']['name']}"


def created(item: Json) -> FieldChange:
    """The line of an object that is made."""
    return FieldChange(field=name_of(item), old=None, new="created")


def change_of(fields: Iterable[FieldChange]) -> Change:
    """The change that these lines are."""
    found = tuple(fields)
    if not found:
        return UNCHANGED
    is_new = any(field.new == "created" for field in found)
    return Change(kind="created" if is_new else "updated", fields=found)


async def apply_object(api: KubernetesApi, item: Json, *, is_whole: bool = False) -> list[FieldChange]:
    """Apply one object if it differs; what was done.

    Args:
        api: the cluster's API.
        item: the object.
        is_whole: whether what we applied earlier, and isn't in it any more, is a difference, too.

    Raises:
        NotEffectiveYet: an object of that name is being deleted, and its finalizers keep it.
    """
    path = await api.path_of(item)
    live = await _unless_it_goes(api, path, name_of(item))
    found = [] if live is None else differing(live, item) + (left_over(live, item) if is_whole else [])
    if live is not None and not found:
        return []
    name = name_of(item)
    compared = [live]

    async def attempt() -> Json:
        # After a conflict it is applied to what is there then.
        return await api.apply(item, compared.pop() if compared else await api.get(path))

    await api.write(name, attempt)
    if live is None:
        return [created(item)]
    if item["kind"] == "Secret":
        return [FieldChange(field=name, old=None, new="updated")]
    return [change.model_copy(update={"field": f"{name}: {change.field}"}) for change in found]


async def _unless_it_goes(api: KubernetesApi, path: str, name: str) -> Json | None:
    """An object that stays; one that is being deleted is waited for until it isn't there, and counts as none.

    What is applied to such an object goes with it.
    https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/

    Raises:
        NotEffectiveYet: its finalizers keep it.
    """
    live = await api.get(path)
    if live is None or not is_going(live):
        return live

    async def look() -> list[Json | None] | None:
        nonlocal live
        live = await api.get(path)
        return None if live is not None and is_going(live) else [live]

    try:
        found = await api.settle(f"{name} is being deleted", look, deadline_s=_GONE_WITHIN_S)
    except TimeoutError as error:
        metadata = (live or {}).get("metadata") or {}
        held = ", ".join(map(str, metadata.get("finalizers") or [])) or "none is named"
        raise NotEffectiveYet(
            f"{error}. Finalizers keep it ({clean(held)}): whoever serves them has to run, or a person who knows what "
            f"they protect takes them away. Then run again. kubectl get --raw {path} shows it."
        ) from None
    return found[0] if found else None


def is_going(live: Json) -> bool:
    """Return whether an object is being deleted."""
    return bool((live.get("metadata") or {}).get("deletionTimestamp"))


def served(definition: Json | None) -> Json | None:
    """Return a custom resource definition once the API server serves what it defines; None until then."""
    conditions = ((definition or {}).get("status") or {}).get("conditions") or []
    is_so = any((item["type"], item["status"]) == ("Established", "True") for item in conditions)
    return definition if is_so else None


async def established(api: KubernetesApi, definition: Json) -> None:
    """Wait until the API server serves what a custom resource definition defines.

    Raises:
        NotEffectiveYet: not in time.
    """
    path = await api.path_of(definition)

    async def look() -> Json | None:
        return served(await api.get(path))

    name = definition["metadata"]["name"]
    try:
        await api.settle(f"CRD {name} is being established", look, deadline_s=_ESTABLISHED_WITHIN_S)
    except TimeoutError as error:
        raise NotEffectiveYet(f"{error}. kubectl describe crd {name} says why.") from None


def differing(live: Any, wanted: Any, path: str = "") -> list[FieldChange]:
    """Return where an object isn't what the manifest says, to the letter: case and order mean something here.

    List elements with names are looked up by them; what the API server leaves out when it is empty or zero may lack.
    """
    if isinstance(wanted, dict) and isinstance(live, dict):
        pairs = [(f"{path}.{key}" if path else key, live.get(key), value) for key, value in wanted.items()]
    elif isinstance(wanted, list) and isinstance(live, list) and _named(wanted) and _named(live):
        by_name = {item["name"]: item for item in live}
        pairs = [(f"{path}[{item['name']}]", by_name.get(item["name"]), item) for item in wanted]
    elif isinstance(wanted, list) and isinstance(live, list) and len(live) == len(wanted):
        pairs = [(f"{path}[{i}]", *pair) for i, pair in enumerate(zip(live, wanted, strict=True))]
    elif live == wanted or (live is None and not wanted) or _same_quantity(live, wanted, path):
        return []
    else:
        return [FieldChange(field=path, old=_shown(live), new=_shown(wanted))]
    return [change for where, has, says in pairs for change in differing(has, says, where)]


def _same_quantity(live: Any, wanted: Any, path: str) -> bool:
    """Return whether both are one quantity, written otherwise: the operator writes 1024Gi of a resource back as 1Ti.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    if not _QUANTITIES.search(path):
        return False
    from kubernetes.utils.quantity import parse_quantity

    try:
        # The library has no types for it.
        return bool(parse_quantity(live) == parse_quantity(wanted))  # type: ignore[no-untyped-call]
    except ValueError:
        return False


def left_over(live: Json, wanted: Json) -> list[FieldChange]:
    """Return what we applied earlier and don't want any more; the next apply takes it away.

    https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management (a list counts as a whole)
    """
    return [
        change for entry in _applied(live) for change in _unwanted(entry.get("fieldsV1"), live, wanted, "")
    ]


def is_applied_by_us(live: Json) -> bool:
    """Return whether we applied the object, and not somebody else under the same name."""
    return bool(_applied(live))


def _applied(live: Json) -> list[Json]:
    """Return what the object's record of writers has about us."""
    entries = (live.get("metadata") or {}).get("managedFields")
    return [
        entry
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
        and (entry.get("manager"), entry.get("operation")) == (FIELD_MANAGER, "Apply")
    ]


def _unwanted(owned: Any, live: Any, wanted: Any, path: str) -> list[FieldChange]:
    found: list[FieldChange] = []
    for key, below in owned.items() if isinstance(owned, dict) else ():
        name = key.removeprefix("f:")
        if name == key or not isinstance(live, dict) or name not in live:
            continue
        where = f"{path}.{name}" if path else name
        if not isinstance(wanted, dict) or name not in wanted:
            found.append(FieldChange(field=where, old=_shown(live[name]), new=None))
        else:
            found += _unwanted(below, live[name], wanted[name], where)
    return found


def _named(items: list[Any]) -> bool:
    return all(isinstance(item, dict) and "name" in item for item in items)


def _shown(value: Any) -> Any:
    """A value as a person wants to read it: whole definitions are cut."""
    return clean(str(value)) if isinstance(value, dict | list) else value
