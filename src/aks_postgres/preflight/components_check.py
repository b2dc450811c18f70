"""The files that a database's backups are installed from, fetched and judged before anything is written."""

from __future__ import annotations

import asyncio

from aks_postgres.arm.client import Azure
from aks_postgres.errors import Finding, PermanentError, TemporaryError
from aks_postgres.kubernetes.download import fetch_pinned
from aks_postgres.kubernetes.operator_manifest import manifest_objects
from aks_postgres.kubernetes.types_check import wrong_types
from aks_postgres.preflight.findings import FINE, Findings, problem
from aks_postgres.spec.environment import EnvironmentSpec

_COMPONENTS = "database.components"


async def judge_components(azure: Azure, spec: EnvironmentSpec) -> Findings:
    """Return whether the manifests of cert-manager and the plugin are there and are what the spec says."""
    if spec.database is None or spec.database.backup.engine != "plugin":
        return FINE
    findings = FINE
    for name in ("cert_manager", "plugin"):
        findings += await _judge(azure, spec, f"{name}_manifest_url", f"{name}_manifest_sha256")
    return findings


async def _judge(azure: Azure, spec: EnvironmentSpec, url: str, sha256: str) -> Findings:
    assert spec.database is not None
    given = spec.database.components
    field = f"{_COMPONENTS}.{url} and {_COMPONENTS}.{sha256}"
    try:
        data = await fetch_pinned(azure, field, getattr(given, url), getattr(given, sha256))
        objects = await asyncio.to_thread(
            manifest_objects,
            data,
            spec.namespaces.operator,
            field=field,
            way_out="Set them to a release of it; then run again.",
        )
    except PermanentError as failed:
        return Findings(problems=(Finding(failed.text, failed.way_out),))  # begins with the fields
    except TemporaryError as failed:
        return Findings(
            problems=(Finding(str(failed), "Run again; if it stays so, see that this worker reaches it."),)
        )
    for item in objects:
        for wrong in wrong_types(item):
            where = f"{wrong.thing}, {'.'.join(wrong.path)}"
            return problem(field, f"{wrong.wanted} is what Kubernetes takes ({where}).", "Use another file.")
    return FINE
