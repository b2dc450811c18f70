"""The operator by its Helm chart: which chart, and bringing the release to it.

Helm isn't asked to wait until the operator is up: a revision is deployed once everything is sent, so a slow image makes
no failed revisions, and what is waited for afterwards is the same for both ways (`cnpg_operator.available`).
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import AzureRefused, NotEffectiveYet, NotOurs
from aks_postgres.arm.poll import poll
from aks_postgres.arm.responses import ArmFault, Json, clean
from aks_postgres.arm.retry import all_ended
from aks_postgres.files.yaml_text import yaml_documents
from aks_postgres.kubernetes.client import KubernetesApi, kubeconfig_with_token
from aks_postgres.kubernetes.download import fetch_pinned
from aks_postgres.kubernetes.helm import Helm, helm
from aks_postgres.kubernetes.helm_release import Action, Chart, Release, changes, next_action, rollback_target
from aks_postgres.limits import limits
from aks_postgres.reports.journal import journal
from aks_postgres.reports.outputs import ClusterOutputs, FieldChange
from aks_postgres.spec.environment import EnvironmentSpec, OperatorSpec

CHART = "cloudnative-pg"
RELEASE = "cnpg"
# Clearing a stuck revision away takes two; more means that somebody else is at it.
_MOST_WRITES = 4


@dataclass(frozen=True)
class ChartWay:
    """The way of the Helm chart."""

    chart: Chart
    # The chart calls it release-chart: https://github.com/cloudnative-pg/charts (templates/_helpers.tpl).
    deployment: ClassVar[str] = f"{RELEASE}-{CHART}"
    count: ClassVar[int] = 0

    @classmethod
    async def of(cls, azure: Azure, spec: EnvironmentSpec) -> ChartWay:
        """The chart that the spec names.

        Raises:
            AzureRefused: another checksum, or it isn't the chart and version that the spec says.
        """
        archive = await fetch_pinned(azure, "operator.chart", spec.operator.chart, spec.operator.chart_sha256)
        return cls(chart_of(spec.operator, archive))

    async def bring(
        self, api: KubernetesApi, cluster: ClusterOutputs, namespace: str
    ) -> tuple[list[FieldChange], int]:
        """Install the chart, or bring the release to it; what was changed, and the number of objects."""
        async with helm(
            api.azure.gate,
            await kubeconfig_with_token(api.azure, cluster.resource_group, cluster.name),
            namespace,
        ) as session:
            return await bring_release(api, session, namespace, self.chart)


def chart_of(spec: OperatorSpec, archive: bytes) -> Chart:
    """The chart in a .tgz, if it is what the spec says.

    Raises:
        AzureRefused: with the spec's field and what the chart says of itself.
    """
    says = _chart_yaml(archive)
    wanted = {
        "name": (CHART, "operator.chart"),
        "version": (spec.chart_version, "operator.chart_version"),
        "appVersion": (spec.version, "operator.version"),
    }
    problems = [
        f"{field}: {value} was given, and {spec.chart} has {key} {says.get(key)!r} in its Chart.yaml"
        for key, (value, field) in wanted.items()
        if str(says.get(key)) != value
    ]
    if problems:
        raise AzureRefused(
            f"{'; '.join(problems)}.",
            "AnotherChart",
            way_out="Give the chart of that version, with its checksum, or set these fields to what it says.",
        )
    return Chart(CHART, spec.chart_version, archive, spec.chart_values)


def _chart_yaml(archive: bytes) -> Json:
    try:
        with gzip.open(io.BytesIO(archive)) as packed:
            unpacked = packed.read(limits.chart_bytes + 1)
        if len(unpacked) > limits.chart_bytes:
            raise ValueError(f"it unpacks to more than {limits.chart_bytes} bytes, which Helm refuses")
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as files:
            # Sub-charts have one of their own, further down.
            name = next(n for n in files.getnames() if n.count("/") == 1 and n.endswith("/Chart.yaml"))
            file = files.extractfile(name)
            found = yaml_documents(file.read())[0] if file else None
    except (tarfile.TarError, EOFError, OSError, LookupError, StopIteration, ValueError, zlib.error) as error:
        raise AzureRefused(
            f"operator.chart: no Helm chart (.tgz with a Chart.yaml): {clean(f'{type(error).__name__} {error}')}",
            "NotAChart",
            way_out="Give the .tgz of the chart itself, as helm pull fetches it, with its checksum.",
        ) from None
    return found if isinstance(found, dict) else {}


async def bring_release(
    api: KubernetesApi, session: Helm, namespace: str, chart: Chart
) -> tuple[list[FieldChange], int]:
    """Install the chart, or bring the release to it; a release that already is as wanted isn't written.

    Args:
        api: the cluster's API, to look whether the release's objects are all there.
        session: Helm, for that cluster and namespace.
        namespace: of the release and the operator.
        chart: the chart wanted.

    Returns:
        What was changed, or in a plan would be, and the number of the release's objects.

    Raises:
        NotOurs: the release's name is taken by another chart, or its objects by another installation.
        NotEffectiveYet: somebody else keeps changing the release.
        WouldWrite: something differs, and this run only reads.
    """
    label = f"Helm release {namespace}/{RELEASE}"
    changed: list[FieldChange] = []
    for _ in range(_MOST_WRITES + 1):
        live, action = await _settled(session, label, chart)
        found: list[FieldChange] = list(changes(chart, live)) if live else [_NEW]
        if live is not None and action == "nothing":
            found = [] if changed else await _missing(api, namespace, live)
            if not found:
                return changed, len(live.objects)
            action = "upgrade"
        if not session.gate.lets(f"{label}: would be changed: {'; '.join(map(str, found))}"):
            return found, len(live.objects) if live else 0
        changed = changed or found
        await _act(session, action, chart)
    raise NotEffectiveYet(f"{label}: somebody else keeps changing it. Run again to go on.")


_NEW = FieldChange(field=f"Helm release {RELEASE}", old=None, new="created")


async def _settled(session: Helm, label: str, chart: Chart) -> tuple[Release | None, Action]:
    """The release once no other installer is at work on it, and what to do then; a reader doesn't wait."""
    live: Release | None = None

    async def look() -> Action | None:
        nonlocal live
        live = await session.release(RELEASE)
        if live is not None and live.chart_name != CHART:
            raise NotOurs(
                f"{label}: is a release of the chart {live.chart_name}, not of {CHART}.",
                way_out=f"Uninstall it (helm uninstall {RELEASE} --namespace {session.namespace}) if nobody needs it, "
                "or choose another namespaces.operator; then run again.",
            )
        action = next_action(chart, live, datetime.now(UTC))
        return action if action != "wait" or live is None or not session.gate.writes else None

    def waiting(elapsed_s: float) -> None:
        assert live is not None
        journal().waiting(
            f"{label} is {live.status}; its installer has until {live.given_up_at:%H:%M:%S} UTC",
            elapsed_s=elapsed_s,
        )

    action: Action = await poll(look, every_s=10, waiting=waiting)
    return live, action


async def _act(session: Helm, action: Action, chart: Chart) -> None:
    if action == "install":
        await session.install(RELEASE, chart)
    elif action == "upgrade":
        await session.upgrade(RELEASE, chart)
    else:
        back_to = rollback_target(await session.history(RELEASE)) if action == "rollback" else None
        if back_to is None:
            journal().note(
                f"Helm release {RELEASE}: removing what an interrupted installation left; CRDs stay"
            )
            await session.uninstall(RELEASE)
        else:
            journal().note(
                f"Helm release {RELEASE}: going back to revision {back_to} after an interrupted change"
            )
            await session.rollback(RELEASE, back_to)


async def _missing(api: KubernetesApi, namespace: str, live: Release) -> list[FieldChange]:
    """Objects of the release that somebody has deleted. Helm compares no fields, and neither does this."""

    async def look(item: Json) -> FieldChange | None:
        metadata: dict[str, Any] = {"namespace": namespace, **item["metadata"]}
        try:
            found = await api.get(await api.path_of({**item, "metadata": metadata}))
        except ArmFault:  # the API server doesn't know the type any more
            found = None
        if found is not None:
            return None
        return FieldChange(field=f"{item['kind']} {metadata['name']}", old=None, new="restored")

    return [change for change in await all_ended(map(look, live.objects)) if change]
