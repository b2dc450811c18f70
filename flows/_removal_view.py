"""What a tear-down would do, and what a rebuild would: for people, by reading only."""

from __future__ import annotations

from aks_postgres.reports.plan_view import PlanItem, PlanView
from aks_postgres.resources.kinds import WORDS
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import environment_key
from aks_postgres.tasks.inventory import look_at_generations, take_inventory
from aks_postgres.tasks.removal_plan import what_would_go
from aks_postgres.tear_down.errors import TearDownRefused


async def make_tear_down_view(
    spec: EnvironmentSpec, delete_backups: str | None, discard_data: str | None, backup_age_min: int
) -> PlanView:
    """Return what a tear-down would delete and keep, and everything that stands against it.

    Args:
        spec: the environment.
        delete_backups: the storage account's name, typed, if the backups go too.
        discard_data: the environment's name and region, typed, if data without a backup may go.
        backup_age_min: how old the newest backup of each Postgres cluster may be, in minutes.
    """
    key = environment_key(spec)
    subscription, refusals = "", list[PlanItem]()
    async with run_session(spec, planning=True) as run:
        live = (await look_at_generations(run.azure, spec)).live
        try:
            inventory = await take_inventory.fn(spec, key, delete_backups, discard_data, backup_age_min, None)
            subscription = inventory.subscription
        except TearDownRefused as refused:
            refusals = [
                PlanItem(chapter="What stops it", action="can't", kind="tear-down", name="", reason=problem)
                for problem in refused.problems
            ]
        items = await what_would_go(run.azure, live, delete_backups)
    return PlanView(
        deed="tear-down",
        environment=key,
        name=spec.name,
        region=spec.region,
        subscription=subscription,
        subscription_id=spec.subscription_id,
        suffix=spec.suffix,
        generation=max((target.generation for target in live), default=0),
        items=(*items, *refusals),
    ).in_order(WORDS)
