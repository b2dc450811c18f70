"""Guide: Deploy, "Install the CloudNativePG operator in the AKS cluster" - by its manifest, or by its Helm chart.

Here: that it is the only operator in the cluster, and that it gets available. The two ways of installing it are in
`_operator_manifest.py` and `_operator_chart.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import NotOurs
from aks_postgres.arm.responses import Json
from aks_postgres.arm.retry import all_ended
from aks_postgres.kubernetes.available import available
from aks_postgres.kubernetes.client import KubernetesApi, kubernetes_api
from aks_postgres.kubernetes.operator_chart import RELEASE, ChartWay
from aks_postgres.kubernetes.operator_manifest import ManifestWay
from aks_postgres.reports.outputs import (
    UNCHANGED,
    Change,
    ClusterOutputs,
    FieldChange,
    NamespacesOutputs,
    NodePoolOutputs,
    OperatorOutputs,
)
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec

DEPLOYMENTS = {"manifest": ManifestWay.deployment, "helm": ChartWay.deployment}
# On the deployments of both, and on those of other installations.
_LABEL = "app.kubernetes.io/name=cloudnative-pg"


def _outputs(spec: EnvironmentSpec, changed: Sequence[FieldChange], objects: int) -> OperatorOutputs:
    kinds = {str(change.new) for change in changed}
    return OperatorOutputs(
        namespace=spec.namespaces.operator,
        deployment=DEPLOYMENTS[spec.operator.installer],
        version=spec.operator.version,
        objects=objects,
        change=Change(kind="created" if "created" in kinds else "updated", fields=tuple(changed))
        if changed
        else UNCHANGED,
    )


def _planned_operator(spec: EnvironmentSpec, *_: Any) -> OperatorOutputs:
    created = FieldChange(field=f"CloudNativePG {spec.operator.version}", old=None, new="created")
    return _outputs(spec, [created], 0)


@arm_task("ensure_cnpg_operator {spec.operator.version}", needs="cluster", planned=_planned_operator)
async def ensure_cnpg_operator(
    azure: Azure,
    spec: EnvironmentSpec,
    cluster: ClusterOutputs,
    namespaces: NamespacesOutputs,
    node_pool: NodePoolOutputs,
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
        Namespace, deployment, version and number of objects (0 in a plan of what isn't installed yet).

    Raises:
        AzureRefused: the file has another checksum or version than the spec says, or Helm refuses.
        NotOurs: the operator was installed the other way, or lives in another namespace.
        LastingState: the deployment isn't available in time; the message says what its pods say.
        NotEffectiveYet: likewise, and they say nothing.
    """
    way = await (
        ChartWay.of(azure, spec) if spec.operator.installer == "helm" else ManifestWay.of(azure, spec)
    )
    namespace = spec.namespaces.operator
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        refuse_other(await _operators(api), spec.operator.installer, namespace)
        changed, count = await way.bring(api, cluster, namespace)
        await available(api, namespace, way.deployment)
    return _outputs(spec, changed, count)


async def _operators(api: KubernetesApi) -> list[Json]:
    """The deployments of CloudNativePG in the whole cluster, whoever made them."""
    path = "/apis/apps/v1/deployments"
    lists = await all_ended(
        [
            api.list_of(path, "Deployment", labelSelector=_LABEL),
            *(
                api.list_of(path, "Deployment", fieldSelector=f"metadata.name={name}")
                for name in DEPLOYMENTS.values()
            ),
        ]
    )
    return [item for found in lists for item in found or []]


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
                "fight with it."
            )
            way_out = f"Set namespaces.operator back to {lives_in}, or remove that operator first"
            way_out += f": {uninstall} (CRDs and databases stay)." if by == "helm" else ", but not its CRDs."
        elif by == "helm":
            text += (
                "the operator was installed by Helm, and a manifest beside it would make two operators fight."
            )
            way_out = (
                "Set operator.installer to helm, or uninstall the Helm release first (its CRDs and databases stay): "
                f"{uninstall}."
            )
        elif by == "manifest":
            text += (
                "the operator was installed by its manifest, and Helm takes over nothing that it didn't make."
            )
            way_out = (
                "Set operator.installer to manifest, or rebuild the environment. Don't delete the manifest's objects: "
                "its CRDs would take every Postgres cluster with them."
            )
        else:
            text += "CloudNativePG was installed in another way, and two operators would fight."
            way_out = (
                "Remove that one, but not its CRDs, which would take every Postgres cluster with them; then run "
                "again."
            )
        raise NotOurs(text, way_out=way_out)
