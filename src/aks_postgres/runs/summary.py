"""The environment summary: what exists, where to click, how to connect, what took how long and why."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from aks_postgres.commands import in_a_sandbox
from aks_postgres.foreign_text import in_code, in_markdown
from aks_postgres.reports.journal import Event, without_plans
from aks_postgres.reports.outputs import DatabaseOutputs, EnvironmentOutputs
from aks_postgres.reports.step_titles import title_of_noun
from aks_postgres.spec.environment import EnvironmentSpec


def summary(
    spec: EnvironmentSpec,
    outputs: EnvironmentOutputs,
    events: Iterable[Event],
    critical_path: str,
    picture: str = "",
) -> str:
    """The summary as Markdown.

    Args:
        spec: the environment.
        outputs: what the run returns.
        events: what it went through.
        critical_path: the steps that its length is made of, as Markdown.
        picture: the timeline, as Markdown on one line.
    """
    events = list(events)
    return "\n\n".join(
        [
            f"# {spec.name} in {spec.region}",
            links_of(outputs),
            _headline(outputs),
            *(f"**Warning:** {in_markdown(warning)}" for warning in outputs.place.warnings),
            "## What this run changed",
            changes_of(outputs),
            "## What exists",
            _resources(outputs),
            "## How to connect",
            _connect(spec, outputs),
            *_database(outputs),
            "## What the time went into",
            *([picture] if picture else []),
            critical_path,
            "## How long each step took",
            _timings(events),
            "## What was waited out",
            _conflicts(events, outputs.place.warnings),
        ]
    )


def _headline(outputs: EnvironmentOutputs) -> str:
    target = outputs.place
    counts = {
        kind: sum(change.kind == kind for change in outputs.changes.values())
        for kind in ("created", "updated", "unchanged")
    }
    return (
        f"Subscription **{in_markdown(target.subscription_name)}** (`{in_code(target.subscription_id)}`). "
        f"Generation {target.generation}, Kubernetes {in_markdown(outputs.cluster.kubernetes_version)}. "
        f"Steps: {counts['created']} created, {counts['updated']} updated, {counts['unchanged']} unchanged."
    )


def links_of(outputs: EnvironmentOutputs) -> str:
    """Return where a person clicks first."""
    portal = {"Resource group": outputs.resource_group.id, "AKS cluster": outputs.cluster.id}
    links = [f"[{what}](<{_address(_portal(outputs, where))}>)" for what, where in portal.items()]
    return " · ".join(["**Ready.**", f"[Managed Grafana](<{_address(outputs.grafana.endpoint)}>)", *links])


def changes_of(outputs: EnvironmentOutputs) -> str:
    """Return what was created, by name, and every field that was changed."""
    created = [noun for noun, change in outputs.changes.items() if change.kind == "created"]
    lines = [f"- created: {in_markdown('; '.join(map(title_of_noun, created)))}"] if created else []
    lines += [
        f"- updated: **{in_markdown(title_of_noun(noun))}**: {in_markdown('; '.join(map(str, change.fields)))}"
        for noun, change in outputs.changes.items()
        if change.kind == "updated"
    ]
    return "\n".join(lines) or "Nothing: everything was as the spec says."


def _portal(outputs: EnvironmentOutputs, resource_id: str) -> str:
    portal = outputs.cluster.portal_url.partition("/#@")[0]
    return f"{portal}/#@{outputs.place.tenant_id}/resource{resource_id}/overview"


def _address(url: str) -> str:
    """A URL between angle brackets, where spaces and brackets would end it."""
    return quote(url, safe=":/?#@!$&'()*+,;=%~-._")


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    """Cells are Markdown already."""
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _resources(outputs: EnvironmentOutputs) -> str:
    made = [
        ("Resource group", outputs.resource_group, "resource_group"),
        ("Backup resource group", outputs.backup_group, "backup_group"),
        ("Managed identity", outputs.identity, "managed_identity"),
        ("Managed identity for backups", outputs.backup_identity, "backup_identity"),
        ("Storage account", outputs.storage_account, "storage_account"),
        ("Blob container", outputs.container, "backup_container"),
        ("Protection of backups", outputs.backup_protection, "backup_protection"),
        ("Managed Grafana", outputs.grafana, "grafana"),
        ("Azure Monitor workspace", outputs.monitor_workspace, "monitor_workspace"),
        ("Log Analytics workspace", outputs.log_workspace, "log_workspace"),
        ("AKS cluster", outputs.cluster, "cluster"),
        ("Node pool", outputs.postgres_pool, "node_pool"),
        ("Public IP", outputs.public_ip, "public_ip"),
    ]
    rows = [
        (
            what,
            f"[{in_markdown(resource.name)}](<{_address(_portal(outputs, resource.id))}>)",
            outputs.changes[key].kind,
        )
        for what, resource, key in made
        if key in outputs.changes  # one identity may do for both
    ]
    operator = outputs.operator
    rows.append(
        (
            "CloudNativePG operator",
            f"{in_markdown(operator.version)}, `{in_code(f'{operator.namespace}/{operator.deployment}')}`",
            outputs.changes["cnpg_operator"].kind,
        )
    )
    return _table(("What", "Name", "This run"), rows)


def _connect(spec: EnvironmentSpec, outputs: EnvironmentOutputs) -> str:
    which = ("--name", spec.name, "--region", spec.region)
    return "\n".join(
        [
            f"- Grafana: <{_address(outputs.grafana.endpoint)}>",
            f"- Public IP for PostgreSQL: `{in_code(outputs.public_ip.ip_address)}`",
            f"- OIDC issuer: <{_address(outputs.cluster.oidc_issuer_url)}>",
            f"- Backups: `{in_code(f'{outputs.storage_account.blob_endpoint}{outputs.container.name}')}`",
            f"- kubectl: `{in_code(in_a_sandbox('kubeconfig', *which, '--file', 'cluster.kubeconfig'))}`, then "
            "`kubectl --kubeconfig cluster.kubeconfig get nodes`",
            "- Variables for the guide's next article: "
            f"`{in_code(in_a_sandbox('outputs', *which, '--format', 'env'))}`",
        ]
    )


def _database(outputs: EnvironmentOutputs) -> list[str]:
    """The database's chapter; nothing where the spec has none."""
    return ["## The database", database_lines(outputs.database)] if outputs.database else []


def database_lines(found: DatabaseOutputs) -> str:
    """Return how to connect to a database, where its backups are, and what is shown and isn't, as Markdown."""
    where = f"`{in_code(found.host)}:5432` in the cluster (`{in_code(found.read_only_host)}` reads only)"
    if found.public_host:
        where += f"; `{in_code(found.public_host)}` outside, 5432 and, to read only, 5433"
    if found.pooler_host:
        where += f"; `{in_code(found.pooler_host)}:5432` in the cluster through PgBouncer"
    secret = f"kubectl -n {found.namespace} get secret"
    backups = f"`{in_code(found.backups)}`" if found.backups else "none"
    if found.recoverable_since:
        backups += f"; you can restore any moment since {in_markdown(found.recoverable_since)}"
    return "\n".join(
        [
            f"- Postgres cluster `{in_code(f'{found.namespace}/{found.cluster}')}`, {found.instances} instances, "
            f"primary `{in_code(found.primary)}`, image `{in_code(found.image)}`",
            f"- Address: {where}",
            f"- Databases {', '.join(f'`{in_code(name)}`' for name in found.databases)}, role "
            f"`{in_code(found.owner)}`; its password: `{in_code(f'{secret} {found.password_secret}')}`",
            "- TLS: `sslmode=verify-full`; the authority's certificate: "
            f"`{in_code(f'{secret} {found.ca_secret}')} -o jsonpath='{{.data.ca\\.crt}}'`",
            f"- Backups: {backups}",
            *([f"- Dashboard: <{_address(found.dashboard)}>"] if found.dashboard else []),
            *(f"- Proven: {in_markdown(fact)}" for fact in found.proven),
            *(f"- Not proven: {in_markdown(fact)}" for fact in found.not_proven),
        ]
    )


def timings(events: Iterable[Event]) -> list[tuple[str, float, float, str]]:
    """Each step's last attempt: title, real seconds until it began, real seconds it took, how it ended."""
    began: dict[str, float] = {}
    found: dict[str, tuple[str, float, float, str]] = {}
    for event in without_plans(list(events)):
        if not event.step:
            continue
        if event.kind == "started":
            began.setdefault(event.step, event.at_s)
        elif event.kind in ("created", "updated", "unchanged", "done", "failed"):
            start = began.get(event.step, event.at_s)
            found[event.step] = (event.step, start, event.at_s - start, event.ending)
    return sorted(found.values(), key=lambda row: row[1])


def _timings(events: list[Event]) -> str:
    return _table(
        ("Step", "Began after", "Took", "Ended"),
        [
            (in_markdown(step), f"{start:.1f} s", f"{took:.1f} s", kind)
            for step, start, took, kind in timings(events)
        ],
    )


def _conflicts(events: list[Event], warnings: Iterable[str]) -> str:
    found: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        if event.kind in ("conflict", "note") and event.text not in warnings:
            found.setdefault((event.step, event.text.partition(" (")[0]), []).append(event)
    if not found:
        return "Nothing: Azure took every request at once."
    return "\n".join(
        f"- **{in_markdown(step)}** at {same[0].at_s:.1f} s{f', {len(same)} times' if len(same) > 1 else ''}: "
        f"{in_markdown(same[-1].text)}"
        for (step, _), same in found.items()
    )
