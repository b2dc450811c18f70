"""A rebuild's plan and its result, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aks_postgres.foreign_text import in_markdown
from aks_postgres.reports.cost import cost_text
from aks_postgres.reports.plan_view import PlanItem, PlanView
from aks_postgres.reports.rebuild import Addresses, RebuildPlan, Rebuilt
from aks_postgres.resources.kinds import WORDS
from aks_postgres.runs.plan_lines import markdown, plan_lines
from aks_postgres.runs.receipt_text import receipt_text
from aks_postgres.spec.environment import EnvironmentSpec

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
        f"# Rebuild of {in_markdown(plan.environment)}",
        f"Subscription **{in_markdown(plan.subscription)}**. {in_markdown(plan.headline)}. Backups stay. "
        f"Plan `{plan.digest}`.",
        cost_text(plan.cost, doubled=bool(plan.old) and not plan.first),
        *(f"**Warning:** {in_markdown(warning)}" for warning in plan.warnings),
        *(f"**Refused:** {in_markdown(refusal)}" for refusal in plan.refusals),
        "## Addresses that change",
        addresses_table(plan.addresses, None, _names(plan)),
    ]
    if plan.view:
        parts += ["## What is deleted, and what is made", markdown(plan_lines(plan.view))]
    return "\n\n".join(parts)


def rebuild_view(
    made: PlanView, gone: Iterable[PlanItem], refusals: Iterable[str], warnings: tuple[str, ...]
) -> PlanView:
    """The plan of the new generation, with what goes of the old one and what stands against it."""
    items = [
        *(item for item in made.items if item.action in ("create", "update")),
        *gone,
        *(
            PlanItem(chapter="What stops it", action="can't", kind="rebuild", name="", reason=reason)
            for reason in refusals
        ),
    ]
    cost = {} if any(item.action == "can't" for item in items) else {"cost": made.cost}
    told = {"deed": "rebuild", "items": tuple(items), "warnings": warnings, "cost": None, "cost_now": None}
    return made.model_copy(update=told | cost).in_order(WORDS)


def addresses_text(plan: RebuildPlan) -> list[str]:
    """The addresses that change, a line each, for the terminal."""
    names = _names(plan)
    return [
        f"{title}: {getattr(plan.addresses, field)} -> {names.get(title, 'known after creation')}"
        for title, field in _ROWS.items()
        if plan.addresses and getattr(plan.addresses, field)
    ]


def _names(plan: RebuildPlan) -> dict[str, str]:
    """Return what is computed, and so known before it is made, by the address that it is."""
    return {item.kind: item.name for item in plan.view.of("create")} if plan.view else {}


def rebuilt_text(spec: EnvironmentSpec, rebuilt: Rebuilt) -> str:
    """Return what changed, and what became of the old generation, as Markdown."""
    return "\n\n".join(
        [
            f"# {spec.name} in {spec.region} is rebuilt",
            "Whoever uses one of these has to be told:",
            addresses_table(rebuilt.old, rebuilt.new),
            *(receipt_text(receipt) for receipt in rebuilt.receipts),
        ]
    )


def addresses_table(
    old: Addresses | None, new: Addresses | None, names: Mapping[str, str] | None = None
) -> str:
    """Old and new addresses side by side, as a table in Markdown; `names` are those known before they are made."""
    lines = ["| | Old | New |", "| --- | --- | --- |"]
    for title, field in _ROWS.items():
        was = getattr(old, field) if old else None
        then = getattr(new, field) if new else (names or {}).get(title, "known after creation")
        lines.append(f"| {title} | {in_markdown(was or 'none')} | {in_markdown(then or 'none')} |")
    return "\n".join(lines)
