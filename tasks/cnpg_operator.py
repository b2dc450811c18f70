"""Guide: Deploy, "Install the CloudNativePG operator in the AKS cluster" - by its manifest, or by its Helm chart.

The manifest is checked by its SHA-256 and applied on the server's side (two of its CRDs exceed the annotation limit of
client-side apply). An object that already is as the manifest says isn't written. The chart: `_operator_chart.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from cloud.answers import Json, clean
from cloud.calls import all_ended
from cloud.download import fetch_pinned
from cloud.errors import AzureRefused, NotEffectiveYet, NotOurs
from cloud.helm_release import Chart
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
from tasks._operator_chart import DEPLOYMENT as CHART_DEPLOYMENT
from tasks._operator_chart import RELEASE, bring_release, fetch_chart
from tasks._policy import arm_task

DEPLOYMENT = "cnpg-controller-manager"
# How either way calls it; the label is on the deployments of both, and of other installations.
DEPLOYMENTS = {"manifest": DEPLOYMENT, "helm": CHART_DEPLOYMENT}
_LABEL = "app.kubernetes.io/name=cloudnative-pg"
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
    """Install the CloudNativePG operator, or bring it to manifest or chart, and wait until it is available.

    Guide: Deploy, "Install the CloudNativePG operator ..." (helm upgrade --install, or kubectl apply --server-side of
    the release manifest).
    REST: https://kubernetes.io/docs/reference/using-api/server-side-apply/

    Args:
        spec: the environment wanted; `operator` says version, way of installing, file and checksum.
        cluster: the cluster.
        namespaces: both namespaces.
        node_pool: the pool whose nodes must be there first, so that the operator doesn't land on the system pool.

    Returns:
        Namespace, deployment, version and number of objects (0 for a chart that isn't installed yet, in a plan).

    Raises:
        AzureRefused: the file has another checksum or version than the spec says, or Helm refuses.
        NotOurs: the operator was installed the other way, or lives in another namespace.
        NotEffectiveYet: the deployment isn't available in time; the message says what its pods say.
    """
    way = await (_Chart.of(spec) if spec.operator.installer == "helm" else _Manifest.of(spec))
    namespace, deployment = spec.namespaces.operator, DEPLOYMENTS[spec.operator.installer]
    if is_planned(cluster):
        created = FieldChange(field=f"CloudNativePG {spec.operator.version}", old=None, new="created")
        changed, count = [created], way.count
    else:
        async with kubernetes_api(cluster.resource_group, cluster.name) as api:
            refuse_other(await _operators(api), spec.operator.installer, namespace)
            changed, count = await way.bring(api, cluster, namespace)
            if not cloud().planning:
                await available(api, namespace, deployment)
    kinds = {str(change.new) for change in changed}
    return OperatorOutputs(
        namespace=namespace,
        deployment=deployment,
        version=spec.operator.version,
        objects=count,
        change=Change(kind="created" if "created" in kinds else "updated", fields=tuple(changed))
        if changed
        else UNCHANGED,
    )


@dataclass(frozen=True)
class _Chart:
    """The way of the Helm chart."""

    chart: Chart
    count: int = 0

    @classmethod
    async def of(cls, spec: EnvironmentSpec) -> _Chart:
        return cls(await fetch_chart(spec.operator))

    async def bring(
        self, api: KubernetesApi, cluster: ClusterOutputs, namespace: str
    ) -> tuple[list[FieldChange], int]:
        return await bring_release(api, cluster, namespace, self.chart)


@dataclass(frozen=True)
class _Manifest:
    """The way of the release manifest."""

    objects: list[Json]

    @property
    def count(self) -> int:
        return len(self.objects)

    @classmethod
    async def of(cls, spec: EnvironmentSpec) -> _Manifest:
        source, sha256 = spec.operator.manifest_url, spec.operator.manifest_sha256
        manifest = await fetch_pinned("operator manifest", source, sha256)
        return cls(manifest_objects(manifest, spec.namespaces.operator))

    async def bring(
        self, api: KubernetesApi, cluster: ClusterOutputs, namespace: str
    ) -> tuple[list[FieldChange], int]:
        """Apply what differs, stage by stage."""
        changed: list[FieldChange] = []
        first, definitions, rest = in_order(self.objects)
        for stage in (first, definitions, rest):
            changed += filter(None, await all_ended(_apply(api, item) for item in stage))
            if stage is definitions and not cloud().planning:
                await all_ended(_established(api, item) for item in stage)
        return changed, self.count


async def _operators(api: KubernetesApi) -> list[Json]:
    """The deployments of CloudNativePG in the whole cluster, whoever made them."""
    path = "/apis/apps/v1/deployments"
    lists = await all_ended(
        [
            api.get(path, labelSelector=_LABEL),
            *(api.get(path, fieldSelector=f"metadata.name={name}") for name in DEPLOYMENTS.values()),
        ]
    )
    return [item for found in lists for item in (found or {}).get("items") or []]


def refuse_other(operators: Sequence[Json], installer: str, namespace: str) -> None:
    """See that the only operator in the cluster is ours: a second one would fight with it over the same webhooks.

    Args:
        operators: the deployments of CloudNativePG in the cluster.
        installer: of the spec.
        namespace: of the spec.

    Raises:
        NotOurs: there is another one; says what to do about it.
    """
    for live in operators:
        name, lives_in = live["metadata"]["name"], live["metadata"]["namespace"]
        by = next((way for way, deployment in DEPLOYMENTS.items() if deployment == name), None)
        if by == installer and lives_in == namespace:
            continue
        text = f"deployment {lives_in}/{name}: "
        uninstall = f"helm uninstall {RELEASE} --namespace {lives_in}"
        if by == installer:
            text += (
                f"the operator lives in the namespace {lives_in}, and the spec wants {namespace}. A second one would "
                f"fight with it. Set namespaces.operator back to {lives_in}, or remove that operator first"
            )
            text += f": {uninstall} (CRDs and databases stay)." if by == "helm" else ", but not its CRDs."
        elif by == "helm":
            text += (
                "the operator was installed by Helm, and a manifest beside it would make two operators fight. Set "
                "operator.installer to helm, or uninstall the Helm release first (its CRDs and databases stay): "
                f"{uninstall}."
            )
        elif by == "manifest":
            text += (
                "the operator was installed by its manifest, and Helm takes over nothing that it didn't make. Set "
                "operator.installer to manifest, or rebuild the environment. Don't delete the manifest's objects: its "
                "CRDs would take every Postgres cluster with them."
            )
        else:
            text += (
                "CloudNativePG was installed in another way, and two operators would fight. Remove that one (not its "
                "CRDs, which would take every Postgres cluster with them), or choose another cluster."
            )
        raise NotOurs(text)


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
