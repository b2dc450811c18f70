"""The last screen of a run: what exists, and how to connect. Plain lines: nothing is cut in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from aks_postgres.cli.hints import pasted_here, with_commands
from aks_postgres.foreign_text import in_line, shown

if TYPE_CHECKING:
    from aks_postgres.reports.outputs import EnvironmentOutputs
    from aks_postgres.spec.environment import EnvironmentSpec


def last_screen(spec: EnvironmentSpec, outputs: EnvironmentOutputs, pages: dict[str, str]) -> str:
    """Return what there is now, as text of a few lines.

    Args:
        spec: the environment.
        outputs: what the run returned.
        pages: addresses in the Prefect UI, by what they are; none where the server doesn't stay.
    """
    return with_commands(shown("\n".join(line.rstrip() for line in _lines(spec, outputs, pages))))


def _lines(spec: EnvironmentSpec, outputs: EnvironmentOutputs, pages: dict[str, str]) -> Iterator[str]:
    target = outputs.place
    kinds = [change.kind for change in outputs.changes.values()]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("created", "updated", "unchanged"))
    yield f"{spec.name} in {spec.region}: {counts}."
    yield ""
    yield "What exists"
    yield from _table(
        {
            "Subscription": f"{target.subscription_name} ({target.subscription_id})",
            "Resource group": outputs.resource_group.name,
            "Backup resource group": outputs.backup_group.name,
            "AKS cluster": f"{outputs.cluster.name}, Kubernetes {outputs.cluster.kubernetes_version}",
            "Node pool": f"{outputs.postgres_pool.name}, {outputs.postgres_pool.count} nodes",
            "Operator": f"CloudNativePG {outputs.operator.version} in {outputs.operator.namespace}",
            "Managed identity": outputs.identity.name,
            "Backups": f"{outputs.storage_account.name}/{outputs.container.name}",
            "Managed Grafana": outputs.grafana.name,
        }
    )
    yield ""
    yield "How to connect"
    yield from _table(
        {"Grafana": outputs.grafana.endpoint, "Public IP": outputs.public_ip.ip_address, **pages}
    )
    yield f"  {pasted_here('kubeconfig', '--file', 'cluster.kubeconfig')}"
    yield f"  {pasted_here('outputs', '--format', 'env')}"
    for warning in target.warnings:
        yield ""
        yield f"Warning: {in_line(warning)}"


def _table(rows: dict[str, str]) -> Iterator[str]:
    width = max(map(len, rows))
    for what, value in rows.items():
        yield f"  {what:{width}}  {in_line(value)}"
