"""Guide: none; its Grafana shows what AKS brings, and nothing of the database."""

from __future__ import annotations

from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import AzureRefused, CredentialsRefused, NotEffectiveYet
from aks_postgres.arm.poll import NotInTime, poll
from aks_postgres.arm.responses import Json
from aks_postgres.arm.retry import with_retries
from aks_postgres.database.dashboard import dashboard, dashboard_uid
from aks_postgres.errors import TemporaryError
from aks_postgres.reports.journal import journal
from aks_postgres.reports.outputs import (
    UNCHANGED,
    Change,
    CheckedTarget,
    DashboardOutputs,
    FieldChange,
    GrafanaOutputs,
    MonitorWorkspaceOutputs,
    RoleOutputs,
)
from aks_postgres.resources.grafana_dashboards import Dashboards
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec

# A role works after ten minutes at the latest: https://learn.microsoft.com/azure/role-based-access-control/troubleshooting
_ROLE_WITHIN_S = 600
_CREATED = Change(kind="created")


def _planned_dashboard(
    spec: EnvironmentSpec, target: CheckedTarget, grafana: GrafanaOutputs, *_: Any
) -> DashboardOutputs:
    return DashboardOutputs(url=f"{grafana.endpoint.rstrip('/')}/d/{dashboard_uid(target)}", change=_CREATED)


@arm_task(
    "ensure_database_dashboard {target.names.postgres_cluster}", needs="roles", planned=_planned_dashboard
)
async def ensure_database_dashboard(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    grafana: GrafanaOutputs,
    roles: RoleOutputs,
    workspace: MonitorWorkspaceOutputs,
) -> DashboardOutputs:
    """Create the dashboard of the database in Managed Grafana, or bring it to what this version draws.

    Where the run's identity has no role in Grafana, or Grafana can't be reached from here, it isn't made, and the
    outputs say why: a database doesn't wait for its pictures.

    Guide: none; az grafana dashboard create.
    REST: https://grafana.com/docs/grafana/v11.6/developers/http_api/dashboard/

    Args:
        spec: the environment wanted.
        target: names, and who the caller is.
        grafana: the instance.
        roles: of people and of the run in Grafana.
        workspace: the Azure Monitor workspace that Grafana shows.

    Returns:
        Its page, or why there is none.

    Raises:
        AzureRefused: the instance's endpoint isn't Managed Grafana's.
    """
    url = f"{grafana.endpoint.rstrip('/')}/d/{dashboard_uid(target)}"
    admins = {admin.object_id for admin in spec.monitoring.grafana_admins}
    if spec.monitoring.grafana_public_network_access == "disabled":
        return _left_out(
            grafana, "it isn't reached over the internet (monitoring.grafana_public_network_access)"
        )
    at, wanted = Dashboards(azure, grafana.name, grafana.endpoint), dashboard(spec, target, workspace.name)
    # Others were given the role: whether the run has one as well, the first answer says.
    others = bool(admins) and target.caller_object_id not in admins
    patience_s = 0 if others or roles.change.kind == "unchanged" else _ROLE_WITHIN_S
    try:
        live = await _read(at, grafana, wanted["uid"], patience_s)
        if not (fields := _drift(live, wanted)):
            return DashboardOutputs(url=url, change=UNCHANGED)
        await at.save(wanted)
    except (AzureRefused, CredentialsRefused, TemporaryError) as error:
        return _left_out(grafana, str(error))
    change = _CREATED if live is None else Change(kind="updated", fields=tuple(fields))
    return DashboardOutputs(url=url, change=change)


async def _read(at: Dashboards, grafana: GrafanaOutputs, uid: str, patience_s: float) -> Json | None:
    """The live dashboard; a role that was just given is waited for."""
    label = f"{grafana.name}: dashboards"

    async def look() -> tuple[Json | None] | None:
        try:
            return (await with_retries(label, lambda: at.get(uid)),)
        except AzureRefused as refused:
            if refused.code in ("Grafana401", "Grafana403") and patience_s:
                return None
            raise

    try:
        return (await poll(look, every_s=15, deadline_s=patience_s))[0]
    except NotInTime:
        raise NotEffectiveYet(f"{label}: the run's role doesn't work there yet. Run again.") from None


def _drift(live: Json | None, wanted: Json) -> list[FieldChange]:
    """The parts of a dashboard that are ours and differ; Grafana keeps them as they are sent."""
    if live is None:
        return [FieldChange(field="dashboard", old=None, new=wanted["title"])]
    return [
        FieldChange(field=f"dashboard.{name}", old=_short(live.get(name)), new=_short(value))
        for name, value in wanted.items()
        if live.get(name) != value
    ]


def _short(value: Any) -> Any:
    """A list of panels says less than their number."""
    return f"{len(value)} of them" if isinstance(value, list | dict) else value


def _left_out(grafana: GrafanaOutputs, why: str) -> DashboardOutputs:
    journal().note(f"{grafana.name}: the database's dashboard isn't made: {why}")
    return DashboardOutputs(url=None, why=why, change=UNCHANGED)
