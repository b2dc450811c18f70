"""A rebuild's plan and its result, for people."""

from __future__ import annotations

from aks_postgres.foreign_text import in_markdown
from aks_postgres.reports.cost import cost_text
from aks_postgres.reports.rebuild import Addresses, RebuildPlan, Rebuilt
from aks_postgres.runs.receipt_text import receipt_text

_ROWS = {
    "AKS cluster": "cluster",
    "API server": "api_server",
    "OIDC issuer": "oidc_issuer",
    "Public IP": "public_ip",
    "Grafana": "grafana",
    "Client ID of the identity for backups": "identity_client_id",
    "Principal ID of the identity for backups": "identity_principal_id",
}


def plan_text(plan: RebuildPlan) -> str:
    """The plan as Markdown."""
    parts = [
        f"# Rebuild of {plan.environment}",
        f"Subscription **{in_markdown(plan.subscription)}**. {in_markdown(plan.headline)}. Backups stay. "
        f"Plan `{plan.digest}`.",
        cost_text(plan.cost, doubled=bool(plan.old) and not plan.first),
        *(f"**Warning:** {in_markdown(warning)}" for warning in plan.warnings),
        *(f"**Refused:** {in_markdown(refusal)}" for refusal in plan.refusals),
        "## What others know it by",
        _table(plan.addresses, None),
    ]
    return "\n\n".join(parts)


def rebuilt_text(rebuilt: Rebuilt) -> str:
    """What changed, and what became of the old generation, as Markdown."""
    return "\n\n".join(
        [
            f"# {rebuilt.outputs.spec.name} in {rebuilt.outputs.spec.region} is rebuilt",
            "Whoever uses one of these has to be told:",
            _table(rebuilt.old, rebuilt.new),
            *(receipt_text(receipt) for receipt in rebuilt.receipts),
        ]
    )


def _table(old: Addresses | None, new: Addresses | None) -> str:
    lines = ["| | Old | New |", "| --- | --- | --- |"]
    for title, field in _ROWS.items():
        was = getattr(old, field) if old else None
        then = getattr(new, field) if new else "known after creation"
        lines.append(f"| {title} | {in_markdown(was or 'none')} | {in_markdown(then or 'none')} |")
    return "\n".join(lines)
