"""Guide: Deploy, "Set environment variables ..." for the operator's settings, in the namespace where it looks for them.

cert-manager and the Barman Cloud plugin aren't the guide's: it archives by the operator's in-tree Barman, which goes
with CloudNativePG 1.31.
"""

from __future__ import annotations

from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.responses import Json
from aks_postgres.arm.retry import all_ended
from aks_postgres.database.objects import OPERATOR_SETTINGS, operator_settings, plugin_objects, required
from aks_postgres.kubernetes.available import available
from aks_postgres.kubernetes.client import KubernetesApi, kubernetes_api
from aks_postgres.kubernetes.download import fetch_pinned
from aks_postgres.kubernetes.objects import (
    bring,
    change_of,
    differing,
    established,
    is_applied_by_us,
    left_over,
    new_objects,
    outputs_of,
)
from aks_postgres.kubernetes.operator_manifest import in_order, manifest_objects
from aks_postgres.reports.outputs import (
    UNCHANGED,
    Change,
    ClusterOutputs,
    FieldChange,
    NamespacesOutputs,
    ObjectsOutputs,
    OperatorOutputs,
)
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec

_CERTIFICATES = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/certificates.cert-manager.io"
_CERT_MANAGER = "cert-manager"
_CERT_MANAGER_DEPLOYMENTS = ("cert-manager", "cert-manager-cainjector", "cert-manager-webhook")
_PLUGIN_DEPLOYMENT = "barman-cloud"
_OPERATOR = "cnpg-controller-manager"
SETTINGS_FOR = "aks-postgres/restarted-for"
"""On the settings: the operator's Deployment as it was when they were written. On its pods: that they started since."""


def _planned_settings(spec: EnvironmentSpec, *_: Any) -> ObjectsOutputs:
    return new_objects(*([] if spec.operator.installer == "helm" else [operator_settings(spec)]))


@arm_task("ensure_operator_settings {spec.namespaces.operator}", needs="cluster", planned=_planned_settings)
async def ensure_operator_settings(
    azure: Azure, spec: EnvironmentSpec, cluster: ClusterOutputs, namespaces: NamespacesOutputs
) -> ObjectsOutputs:
    """Set how the operator spreads roll-outs and notices lost replicas, before it is started.

    Guide: Deploy, "Set environment variables for the operator" (a ConfigMap, in the wrong namespace). The Helm chart
    has a ConfigMap of its own for that (`operator.chart_values`, config.data), which is left to it.
    REST: https://cloudnative-pg.io/documentation/1.30/operator_conf/

    Args:
        spec: the environment wanted.
        cluster: the cluster.
        namespaces: both namespaces.

    Returns:
        The ConfigMap.

    Raises:
        NotEffectiveYet: the operator that runs already doesn't come back with the new settings.
    """
    if spec.operator.installer == "helm":
        return ObjectsOutputs(names=(), change=UNCHANGED)
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        settings, change = await _write_settings(api, spec)
        restarted = await restart_operator(api, spec.namespaces.operator)
    return outputs_of([settings], change_of([restarted]) if restarted and change == UNCHANGED else change)


async def _write_settings(api: KubernetesApi, spec: EnvironmentSpec) -> tuple[Json, Change]:
    """Bring the ConfigMap to the spec, and note on it the operator that has to be restarted for what is written.

    The note is part of the same write, so that a run which is killed leaves both or neither. Times wouldn't do: those
    of Kubernetes are whole seconds.
    """
    settings = operator_settings(spec)
    live = await api.get(await api.path_of(settings))
    noted = _annotations(live).get(SETTINGS_FOR)
    if noted is not None:
        settings["metadata"]["annotations"] = {SETTINGS_FOR: noted}
    if live is None or differing(live, settings) or left_over(live, settings):
        operator = await api.get(_operator_path(spec.namespaces.operator))
        settings["metadata"].pop("annotations", None)
        if operator is not None:
            about = operator["metadata"]
            note = f"{about.get('uid', '')}-settings-{about.get('resourceVersion', '')}"
            settings["metadata"]["annotations"] = {SETTINGS_FOR: note}
    change = await bring(api, [settings])
    return settings, change_of(one for one in change.fields if "metadata.annotations" not in one.field)


async def restart_operator(api: KubernetesApi, namespace: str) -> FieldChange | None:
    """Have a running operator read its settings, as kubectl rollout restart does.

    It reads them when it starts: https://cloudnative-pg.io/documentation/1.30/operator_conf/#restarting-the-operator-to-reload-configs
    So the one that ran when they were written is restarted, by this run or by the next. One that isn't there yet, or
    was installed since, has read them.
    """
    path = _operator_path(namespace)
    live = await api.get(f"/api/v1/namespaces/{namespace}/configmaps/{OPERATOR_SETTINGS}")
    note = _annotations(live).get(SETTINGS_FOR)
    operator = await api.get(path) if note else None
    if note is None or operator is None or not note.startswith(f"{operator['metadata'].get('uid', '')}-"):
        return None
    if _annotations((operator.get("spec") or {}).get("template")).get(SETTINGS_FOR) == note:
        await available(api, namespace, _OPERATOR)
        return None
    body = {"spec": {"template": {"metadata": {"annotations": {SETTINGS_FOR: note}}}}}

    # Not our own field manager, or the operator's manifest would take it away again.
    await api.merge(f"deployment {_OPERATOR}", path, body, field_manager="kubectl-rollout")
    await available(api, namespace, _OPERATOR)
    return FieldChange(field=f"Deployment {_OPERATOR}: older than its settings", old=None, new="restarted")


def _operator_path(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{_OPERATOR}"


def _annotations(item: Json | None) -> Json:
    """The annotations of an object, or of a pod template."""
    return ((item or {}).get("metadata") or {}).get("annotations") or {}


def _planned_cert_manager(spec: EnvironmentSpec, *_: Any) -> ObjectsOutputs:
    return _as_new("cert-manager")


@arm_task("ensure_cert_manager", needs="cluster", planned=_planned_cert_manager)
async def ensure_cert_manager(
    azure: Azure, spec: EnvironmentSpec, cluster: ClusterOutputs, namespaces: NamespacesOutputs
) -> ObjectsOutputs:
    """Install cert-manager by its pinned manifest, unless the cluster has one: the plugin's certificates come from it.

    Guide: none.
    REST: https://cert-manager.io/docs/installation/kubectl/

    Args:
        spec: the environment wanted; `database.components` names the file.
        cluster: the cluster.
        namespaces: proof that its API server answers.

    Returns:
        The objects; none where somebody else's cert-manager was found.

    Raises:
        AzureRefused: the file has another checksum, or is no manifest.
        LastingState: it doesn't get available; says what its pods say.
    """
    components = required(spec).components
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        if await _is_somebody_elses(api):
            return ObjectsOutputs(names=(), change=UNCHANGED)
        data = await fetch_pinned(
            azure,
            "database.components.cert_manager_manifest_url",
            components.cert_manager_manifest_url,
            components.cert_manager_manifest_sha256,
        )
        objects = manifest_objects(
            data,
            spec.namespaces.operator,
            field="database.components.cert_manager_manifest_url",
            way_out="Set it and its checksum to a release of cert-manager; then run again.",
        )
        return await _install(api, objects, _CERT_MANAGER, _CERT_MANAGER_DEPLOYMENTS)


async def _is_somebody_elses(api: KubernetesApi) -> bool:
    """Return whether cert-manager's kinds are there, and others applied them."""
    live = await api.get(_CERTIFICATES)
    return live is not None and not is_applied_by_us(live)


def _planned_plugin(spec: EnvironmentSpec, *_: Any) -> ObjectsOutputs:
    return _as_new(f"Barman Cloud plugin {required(spec).components.plugin_version}")


def _as_new(name: str) -> ObjectsOutputs:
    """A component that a plan would install; its objects are its file's."""
    return ObjectsOutputs(names=(name,), change=change_of([FieldChange(field=name, old=None, new="created")]))


@arm_task(
    "ensure_barman_plugin {spec.database.components.plugin_version}", needs="cluster", planned=_planned_plugin
)
async def ensure_barman_plugin(
    azure: Azure,
    spec: EnvironmentSpec,
    cluster: ClusterOutputs,
    operator: OperatorOutputs,
    cert_manager: ObjectsOutputs,
) -> ObjectsOutputs:
    """Install the Barman Cloud plugin by its pinned manifest, beside the operator.

    Guide: none; it archives by the operator's in-tree Barman, which goes with CloudNativePG 1.31.
    REST: https://cloudnative-pg.io/plugin-barman-cloud/docs/installation/

    Args:
        spec: the environment wanted; `database.components` names the file.
        cluster: the cluster.
        operator: the operator, which has to be there first.
        cert_manager: what its certificates come from.

    Returns:
        The objects.

    Raises:
        AzureRefused: the file has another checksum, or is no manifest.
        LastingState: it doesn't get available; says what its pods say.
    """
    components = required(spec).components
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        data = await fetch_pinned(
            azure,
            "database.components.plugin_manifest_url",
            components.plugin_manifest_url,
            components.plugin_manifest_sha256,
        )
        objects = manifest_objects(
            data,
            operator.namespace,
            field="database.components.plugin_manifest_url",
            way_out="Set it and its checksum to a release of plugin-barman-cloud; then run again.",
        )
        return await _install(
            api,
            plugin_objects(objects, components.plugin_version),
            operator.namespace,
            (_PLUGIN_DEPLOYMENT,),
        )


async def _install(
    api: KubernetesApi, objects: list[Json], namespace: str, deployments: tuple[str, ...]
) -> ObjectsOutputs:
    """Apply what differs of a manifest, stage by stage, and wait until its deployments are available."""
    changes: list[FieldChange] = []
    first, definitions, rest = in_order(objects)
    for stage in (first, definitions, rest):
        changes += (await bring(api, stage)).fields
        if stage is definitions:
            await all_ended(established(api, item) for item in stage)
    await all_ended(available(api, namespace, name) for name in deployments)
    return outputs_of(objects, change_of(changes))
