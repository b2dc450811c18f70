"""The operator by its pinned release manifest, checked by its SHA-256 and applied on the server's side.

Two of its CRDs exceed the annotation limit of client-side apply. An object that already is as the manifest says isn't
written.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import AzureRefused
from aks_postgres.arm.responses import Json, clean
from aks_postgres.arm.retry import all_ended
from aks_postgres.files.yaml_text import NotYaml, yaml_documents
from aks_postgres.kubernetes.client import KubernetesApi
from aks_postgres.kubernetes.download import fetch_pinned
from aks_postgres.kubernetes.objects import apply_object, established
from aks_postgres.reports.outputs import ClusterOutputs, FieldChange
from aks_postgres.spec.environment import EnvironmentSpec

_NAMESPACE = "cnpg-system"


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
