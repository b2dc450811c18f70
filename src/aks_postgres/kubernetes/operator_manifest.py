"""The operator by its pinned release manifest, checked by its SHA-256 and applied on the server's side.

Two of its CRDs exceed the annotation limit of client-side apply. An object that already is as the manifest says isn't
written.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import AzureRefused, NotEffectiveYet
from aks_postgres.arm.responses import Json, clean
from aks_postgres.arm.retry import all_ended
from aks_postgres.files.yaml_text import NotYaml, yaml_documents
from aks_postgres.kubernetes.client import FIELD_MANAGER, KubernetesApi
from aks_postgres.kubernetes.download import fetch_pinned
from aks_postgres.reports.outputs import ClusterOutputs, FieldChange
from aks_postgres.spec.environment import EnvironmentSpec

_NAMESPACE = "cnpg-system"
_ESTABLISHED_WITHIN_S = 120


@dataclass(frozen=True)
class ManifestWay:
    """The way of the release manifest."""

    objects: list[Json]
    deployment: ClassVar[str] = "cnpg-controller-manager"

    @property
    def count(self) -> int:
        """Objects, as far as they are known before the installation."""
        return len(self.objects)

    @classmethod
    async def of(cls, azure: Azure, spec: EnvironmentSpec) -> ManifestWay:
        """The manifest that the spec names.

        Raises:
            AzureRefused: another checksum, or no manifest.
        """
        source, sha256 = spec.operator.manifest_url, spec.operator.manifest_sha256
        manifest = await fetch_pinned(azure, "operator.manifest_url", source, sha256)
        return cls(manifest_objects(manifest, spec.namespaces.operator))

    async def bring(
        self, api: KubernetesApi, cluster: ClusterOutputs, namespace: str
    ) -> tuple[list[FieldChange], int]:
        """Apply what differs, stage by stage; what was changed, and the number of objects."""
        changed: list[FieldChange] = []
        first, definitions, rest = in_order(self.objects)
        for stage in (first, definitions, rest):
            for done in await all_ended(apply_object(api, item) for item in stage):
                changed += done
            if stage is definitions:
                await all_ended(established(api, item) for item in stage)
        return changed, self.count


_A_RELEASE = "Set operator.manifest_url and manifest_sha256 to a release of CloudNativePG; then run again."


def manifest_objects(
    manifest: bytes, namespace: str, *, field: str = "operator.manifest_url", way_out: str = _A_RELEASE
) -> list[Json]:
    """The manifest's objects, put into `namespace` wherever they name the one they were released with.

    Args:
        manifest: the file's bytes.
        namespace: of the operator.
        field: of the spec that names the file, for messages.
        way_out: what to do about a file that isn't one.

    Raises:
        AzureRefused: it isn't a manifest.
    """
    try:
        found = [item for item in yaml_documents(manifest) if item]
    except NotYaml as error:
        raise AzureRefused(
            f"{field}: not YAML: {clean(str(error))}.", "NotAManifest", way_out=way_out
        ) from None
    if not all(isinstance(item, dict) and {"apiVersion", "kind", "metadata"} <= set(item) for item in found):
        raise AzureRefused(
            f"{field}: holds something that is no Kubernetes object.",
            "NotAManifest",
            way_out=way_out,
        )
    if not found:
        raise AzureRefused(f"{field}: holds no Kubernetes objects.", "NotAManifest", way_out=way_out)
    return [_moved(item, namespace) for item in found]


def _moved(item: Json, namespace: str) -> Json:
    """The object in another namespace: its own, and every reference to the operator's service or accounts."""
    moved = copy.deepcopy(item)
    if moved["kind"] == "Namespace" and moved["metadata"]["name"] == _NAMESPACE:
        moved["metadata"]["name"] = namespace

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("namespace") == _NAMESPACE:
                node["namespace"] = namespace
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(moved)
    return moved


def in_order(objects: list[Json]) -> tuple[list[Json], list[Json], list[Json]]:
    """Namespaces, then custom resource definitions, then the rest."""
    namespaces = [item for item in objects if item["kind"] == "Namespace"]
    definitions = [item for item in objects if item["kind"] == "CustomResourceDefinition"]
    return (
        namespaces,
        definitions,
        [item for item in objects if item not in namespaces and item not in definitions],
    )


def holds(live: Any, wanted: Any) -> bool:
    """Whether an object has everything that the manifest says."""
    return not differing(live, wanted)


def differing(live: Any, wanted: Any, path: str = "") -> list[FieldChange]:
    """Where an object isn't what the manifest says, to the letter: case and order mean something here.

    List elements with names are looked up by them; what the API server leaves out when it is empty or zero may lack.
    """
    if isinstance(wanted, dict) and isinstance(live, dict):
        pairs = [(f"{path}.{key}" if path else key, live.get(key), value) for key, value in wanted.items()]
    elif isinstance(wanted, list) and isinstance(live, list) and _named(wanted) and _named(live):
        by_name = {item["name"]: item for item in live}
        pairs = [(f"{path}[{item['name']}]", by_name.get(item["name"]), item) for item in wanted]
    elif isinstance(wanted, list) and isinstance(live, list) and len(live) == len(wanted):
        pairs = [(f"{path}[{i}]", *pair) for i, pair in enumerate(zip(live, wanted, strict=True))]
    elif live == wanted or (live is None and not wanted):
        return []
    else:
        return [FieldChange(field=path, old=_shown(live), new=_shown(wanted))]
    return [change for where, has, says in pairs for change in differing(has, says, where)]


def left_over(live: Json, wanted: Json) -> list[FieldChange]:
    """What we applied earlier and don't want any more; the next apply takes it away.

    https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management (a list counts as a whole)
    """
    return [
        change for entry in _applied(live) for change in _unwanted(entry.get("fieldsV1"), live, wanted, "")
    ]


def is_applied_by_us(live: Json) -> bool:
    """Whether we applied the object, and not somebody else under the same name."""
    return bool(_applied(live))


def _applied(live: Json) -> list[Json]:
    """What the object's record of writers has about us."""
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


async def apply_object(api: KubernetesApi, item: Json, *, is_whole: bool = False) -> list[FieldChange]:
    """Apply one object if it differs; what was done.

    Args:
        api: the cluster's API.
        item: the object.
        is_whole: whether what we applied earlier, and isn't in it any more, is a difference, too.
    """
    path = await api.path_of(item)
    live = await api.get(path)
    found = [] if live is None else differing(live, item) + (left_over(live, item) if is_whole else [])
    if live is not None and not found:
        return []
    name = f"{item['kind']} {item['metadata']['name']}"
    compared = [live]

    async def attempt() -> Json:
        # After a conflict it is applied to what is there then.
        return await api.apply(item, compared.pop() if compared else await api.get(path))

    await api.write(name, attempt)
    if live is None:
        return [FieldChange(field=name, old=None, new="created")]
    if item["kind"] == "Secret":
        return [FieldChange(field=name, old=None, new="updated")]
    return [change.model_copy(update={"field": f"{name}: {change.field}"}) for change in found]


async def established(api: KubernetesApi, definition: Json) -> None:
    """Wait until the API server serves what a custom resource definition defines.

    Raises:
        NotEffectiveYet: not in time.
    """
    path = await api.path_of(definition)

    async def look() -> Json | None:
        live = await api.get(path) or {}
        conditions = {c["type"]: c["status"] for c in (live.get("status") or {}).get("conditions") or []}
        return live if conditions.get("Established") == "True" else None

    name = definition["metadata"]["name"]
    try:
        await api.settle(f"CRD {name} is being established", look, deadline_s=_ESTABLISHED_WITHIN_S)
    except TimeoutError as error:
        raise NotEffectiveYet(f"{error}. kubectl describe crd {name} says why.") from None
