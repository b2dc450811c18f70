"""Guide: Deploy, "Install the CloudNativePG operator in the AKS cluster" - by the pinned release manifest.

The manifest is checked by its SHA-256 and applied on the server's side (two of its CRDs exceed the annotation limit of
client-side apply). An object that already is as the manifest says isn't written.
"""

from __future__ import annotations

import copy
from typing import Any

import yaml

from cloud.answers import Json, clean
from cloud.calls import all_ended
from cloud.download import fetch_pinned
from cloud.errors import AzureRefused, NotEffectiveYet, NotOurs
from cloud.kubernetes_api import KubernetesApi, kubernetes_api
from cloud.session import cloud
from environment.outputs import (
    UNCHANGED,
    Change,
    ClusterOutputs,
    FieldChange,
    NamespacesOutputs,
    NodePoolOutputs,
    OperatorOutputs,
)
from environment.spec import EnvironmentSpec
from tasks._cluster import is_planned
from tasks._policy import arm_task

DEPLOYMENT = "cnpg-controller-manager"
HELM_DEPLOYMENT = "cnpg-cloudnative-pg"
_MANIFEST_NAMESPACE = "cnpg-system"
# The image is pulled and the start probe takes 30 s: https://github.com/cloudnative-pg/charts (values.yaml).
_AVAILABLE_WITHIN_S = 600
_ESTABLISHED_WITHIN_S = 120


def manifest_objects(manifest: bytes, namespace: str) -> list[Json]:
    """The manifest's objects, put into `namespace` wherever they name the one they were released with.

    Raises:
        AzureRefused: it isn't a manifest.
    """
    try:
        found = [item for item in yaml.safe_load_all(manifest) if item]
    except yaml.YAMLError as error:
        raise AzureRefused(f"operator manifest: not YAML: {clean(str(error))}", "NotAManifest") from None
    if not all(isinstance(item, dict) and {"apiVersion", "kind", "metadata"} <= set(item) for item in found):
        raise AzureRefused("operator manifest: holds something that is no Kubernetes object", "NotAManifest")
    return [_moved(item, namespace) for item in found]


def _moved(item: Json, namespace: str) -> Json:
    """The object in another namespace: its own, and every reference to the operator's service or accounts."""
    moved = copy.deepcopy(item)
    if moved["kind"] == "Namespace" and moved["metadata"]["name"] == _MANIFEST_NAMESPACE:
        moved["metadata"]["name"] = namespace

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("namespace") == _MANIFEST_NAMESPACE:
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


@arm_task("ensure_cnpg_operator {spec.operator.version}")
async def ensure_cnpg_operator(
    spec: EnvironmentSpec, cluster: ClusterOutputs, namespaces: NamespacesOutputs, node_pool: NodePoolOutputs
) -> OperatorOutputs:
    """Install the CloudNativePG operator, or bring it to the manifest, and wait until it is available.

    Guide: Deploy, "Install the CloudNativePG operator ..." (kubectl apply --server-side of the release manifest).
    REST: https://kubernetes.io/docs/reference/using-api/server-side-apply/

    Args:
        spec: the environment wanted; `operator` says version, manifest and checksum.
        cluster: the cluster.
        namespaces: both namespaces.
        node_pool: the pool whose nodes must be there first, so that the operator doesn't land on the system pool.

    Returns:
        Namespace, deployment, version and number of objects.

    Raises:
        AzureRefused: the manifest has another checksum than the spec says.
        NotOurs: the operator was installed by Helm.
        NotEffectiveYet: the deployment isn't available in time; the message says what its pods say.
    """
    manifest = await fetch_pinned(
        "operator manifest", spec.operator.manifest_url, spec.operator.manifest_sha256
    )
    namespace = spec.namespaces.operator
    objects = manifest_objects(manifest, namespace)
    changed: list[FieldChange] = []
    if is_planned(cluster):
        changed.append(FieldChange(field=f"CloudNativePG {spec.operator.version}", old=None, new="created"))
    else:
        changed = await _apply_all(cluster, namespace, objects)
    kinds = {str(change.new) for change in changed}
    return OperatorOutputs(
        namespace=namespace,
        deployment=DEPLOYMENT,
        version=spec.operator.version,
        objects=len(objects),
        change=Change(kind="created" if "created" in kinds else "updated", fields=tuple(changed))
        if changed
        else UNCHANGED,
    )


async def _apply_all(cluster: ClusterOutputs, namespace: str, objects: list[Json]) -> list[FieldChange]:
    """Apply what differs, stage by stage, and wait until it works; what was changed."""
    changed: list[FieldChange] = []
    async with kubernetes_api(cluster.resource_group, cluster.name) as api:
        await _refuse_other_installer(api, namespace)
        first, definitions, rest = in_order(objects)
        for stage in (first, definitions, rest):
            changed += filter(None, await all_ended(_apply(api, item) for item in stage))
            if stage is definitions and not cloud().planning:
                await all_ended(_established(api, item) for item in stage)
        if not cloud().planning:
            await available(api, namespace, DEPLOYMENT)
    return changed


async def _refuse_other_installer(api: KubernetesApi, namespace: str) -> None:
    if await api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{HELM_DEPLOYMENT}"):
        raise NotOurs(
            f"deployment {namespace}/{HELM_DEPLOYMENT}: the operator was installed by Helm, and a manifest beside it "
            "would make two operators fight. Uninstall the Helm release first (its CRDs and databases stay): "
            f"helm uninstall cnpg --namespace {namespace}."
        )


def holds(live: Any, wanted: Any) -> bool:
    """Whether an object has everything that the manifest says, to the letter: case and order mean something here.

    List elements with names are looked up by them; what the API server leaves out when it is empty or zero may lack.
    """
    if isinstance(wanted, dict) and isinstance(live, dict):
        return all(holds(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(live, list):
        if _named(wanted) and _named(live):
            by_name = {item["name"]: item for item in live}
            return all(holds(by_name.get(item["name"]), item) for item in wanted)
        return len(live) == len(wanted) and all(map(holds, live, wanted))
    return bool(live == wanted) if live is not None else not wanted


def _named(items: list[Any]) -> bool:
    return all(isinstance(item, dict) and "name" in item for item in items)


async def _apply(api: KubernetesApi, item: Json) -> FieldChange | None:
    """Apply one object if it differs; what was done, or None."""
    live = await api.get(await api.path_of(item))
    if live is not None and holds(live, item):
        return None
    await api.apply(item)
    name = f"{item['kind']} {item['metadata']['name']}"
    return FieldChange(field=name, old=None, new="updated" if live else "created")


async def _established(api: KubernetesApi, definition: Json) -> None:
    path = await api.path_of(definition)

    async def look() -> Json | None:
        live = await api.get(path) or {}
        conditions = {c["type"]: c["status"] for c in (live.get("status") or {}).get("conditions") or []}
        return live if conditions.get("Established") == "True" else None

    name = definition["metadata"]["name"]
    try:
        await api.wait(f"CRD {name} is being established", look, deadline_s=_ESTABLISHED_WITHIN_S)
    except TimeoutError as error:
        raise NotEffectiveYet(f"{error}. kubectl describe crd {name} says why.") from None


async def available(api: KubernetesApi, namespace: str, name: str) -> Json:
    """The deployment once all its replicas are updated and available.

    Raises:
        NotEffectiveYet: not in time; the message says what Kubernetes says.
    """
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    seen = "it doesn't exist"

    async def look() -> Json | None:
        nonlocal seen
        live = await api.get(path)
        if live is None:
            return None
        status, wanted = live.get("status") or {}, (live.get("spec") or {}).get("replicas", 1)
        seen = "; ".join(
            f"{c['type']}={c['status']} {clean(c.get('message', ''))}" for c in status.get("conditions") or []
        )
        is_current = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
        return (
            live
            if is_current
            and wanted <= min(status.get("updatedReplicas", 0), status.get("availableReplicas", 0))
            else None
        )

    try:
        return await api.wait(f"deployment {name} isn't available yet", look, deadline_s=_AVAILABLE_WITHIN_S)
    except TimeoutError as error:
        raise NotEffectiveYet(
            f"deployment {namespace}/{name}: {error}; Kubernetes says: {seen}. "
            f"kubectl -n {namespace} describe pods says more."
        ) from None
