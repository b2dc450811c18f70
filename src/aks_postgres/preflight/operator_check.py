"""What the operator is installed from, fetched and judged before anything is written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.responses import Json
from aks_postgres.errors import Finding, PermanentError, TemporaryError
from aks_postgres.kubernetes.helm import is_installed, rendered
from aks_postgres.kubernetes.operator_chart import RELEASE, ChartWay
from aks_postgres.kubernetes.operator_manifest import ManifestWay
from aks_postgres.kubernetes.types_check import WrongType, wrong_types
from aks_postgres.preflight.findings import FINE, Findings, problem
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.problems import shown

# More of them are the same mistake.
_MOST_SHOWN = 10


async def judge_operator(azure: Azure, spec: EnvironmentSpec) -> Findings:
    """Return whether manifest or chart are there, are what the spec says, and make objects that Kubernetes takes."""
    by_chart = spec.operator.installer == "helm"
    if by_chart and not is_installed():
        return FINE  # told by `judge_installer`
    try:
        if by_chart:
            chart = (await ChartWay.of(azure, spec)).chart
            objects = await rendered(RELEASE, spec.namespaces.operator, chart)
        else:
            objects = (await ManifestWay.of(azure, spec)).objects
    except PermanentError as failed:
        return Findings(problems=(Finding(failed.text, failed.way_out),))  # begins with the field
    except TemporaryError as failed:
        return Findings(
            problems=(Finding(str(failed), "Run again; if it stays so, see that this worker reaches it."),)
        )
    wrong = [mistake for found in await asyncio.to_thread(_all_wrong, objects) for mistake in found]
    findings = FINE
    for mistake in wrong[:_MOST_SHOWN]:
        findings += _told(spec, mistake)
    return findings


def _all_wrong(objects: list[Json]) -> list[list[WrongType]]:
    return [wrong_types(item) for item in objects]


def _told(spec: EnvironmentSpec, wrong: WrongType) -> Findings:
    """The problem by the field to change: the chart's value that got there, where one has that key and value."""
    where = f"{wrong.thing}, {'.'.join(wrong.path)}"
    ending = f"{wrong.wanted} is what Kubernetes takes there ({where})"
    if spec.operator.installer == "manifest":
        return problem(
            "operator.manifest_url", f"{shown(wrong.value)} is in it; {ending}.", "Use another manifest."
        )
    paths = [
        path
        for path, key, value in _leaves(spec.operator.chart_values)
        if (key, value) == (wrong.key, wrong.value) and type(value) is type(wrong.value)
    ]
    field = ".".join(["operator.chart_values", *paths[0]]) if len(paths) == 1 else "operator.chart_values"
    way_out = "Put it in quotes." if wrong.wanted == "text" else "Give it like that."
    return problem(field, f"{shown(wrong.value)} was given; {ending}.", way_out)


def _leaves(values: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    if isinstance(values, dict):
        for key, value in values.items():
            yield (*above, key), key, value
            yield from _leaves(value, (*above, key))
    elif isinstance(values, list):
        for value in values:
            yield above, above[-1], value
            yield from _leaves(value, above)
