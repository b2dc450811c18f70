"""Bringing a tagged resource of ours to what is wanted, whatever its type."""

from __future__ import annotations

from collections.abc import Callable

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision
from aks_postgres.arm.kind import Kind, names_in
from aks_postgres.arm.reconcile import ensure
from aks_postgres.arm.responses import Json
from aks_postgres.reports.outputs import Change
from aks_postgres.resources.ownership import refuse_foreign
from aks_postgres.spec.environment import EnvironmentSpec


async def ensure_ours(
    azure: Azure,
    kind: Kind,
    resource_id: str,
    spec: EnvironmentSpec,
    desired: Callable[[Json | None], Json] | Json,
) -> tuple[Json, Change]:
    """Create a resource with our tags, or bring it to what is wanted.

    Args:
        azure: the connection to Azure.
        kind: its type.
        resource_id: its ARM ID.
        spec: whose it is.
        desired: the fields that we own, or what gives them by the live resource.

    Returns:
        The resource as Azure reports it at the end, and the change made.

    Raises:
        NotOurs: there is one without our tags.
        ImmutableChange: what Azure can't change in place differs.
    """
    resource = kind.at(azure, resource_id)
    group = names_in(resource_id)[0]

    def decision(live: Json | None) -> Decision:
        refuse_foreign(spec, resource.label, live, group)
        return kind.decide(resource.label, desired(live) if callable(desired) else desired, live)

    return await ensure(resource, decision)
