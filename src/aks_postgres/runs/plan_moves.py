"""Carrying out exactly the plan that was looked at, or refusing with what has moved since."""

from __future__ import annotations

from aks_postgres.reports.plan_view import PlanView
from aks_postgres.runs.errors import PlanMoved


def refuse_moved(now: PlanView, approved: str | PlanView) -> None:
    """See that what would be done now is what was approved.

    Args:
        now: what would be done now.
        approved: the digest of the plan that was looked at, or that plan.

    Raises:
        PlanMoved: it is something else; with a whole plan it says what.
    """
    digest = approved if isinstance(approved, str) else approved.digest
    if now.digest == digest:
        return
    text = (
        f"{now.environment}: plan {digest} was approved, and what would be done now is another ({now.digest}: "
        f"{now.headline})."
    )
    if isinstance(approved, PlanView):
        before, after = approved.moves(), now.moves()
        lines = [f"  - no longer: {move}" for move in before if move not in after]
        lines += [f"  - new: {move}" for move in after if move not in before]
        if approved.generation != now.generation:
            lines.append(f"  - generation {approved.generation} then, {now.generation} now")
        text = "\n".join([text, *lines])
    raise PlanMoved(f"{text}\nNothing was written.", way_out="Look at a new plan and approve that.")
