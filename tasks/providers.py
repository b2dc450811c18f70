"""Guide: none; az registers resource providers on the side, without waiting.

A subscription has to register a provider's namespace once before it takes its resources. Nothing here is ever
undone.
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.retry import all_ended
from aks_postgres.reports.outputs import UNCHANGED, Change, CheckedTarget, FieldChange, ProvidersOutputs
from aks_postgres.resources.providers import registered
from aks_postgres.runs.step import arm_task


@arm_task("register_providers")
async def register_providers(azure: Azure, target: CheckedTarget) -> ProvidersOutputs:
    """Register the resource providers that the preflight found missing, and wait until they are.

    Guide: none (az does it on the side). REST:
    https://learn.microsoft.com/rest/api/resources/providers/register

    Args:
        target: the preflight's findings.

    Returns:
        The providers registered by this run.

    Raises:
        AzureRefused: the caller may not register.
        OperationNotDone: not registered within 15 minutes; a rerun goes on waiting.
    """
    states = await all_ended(registered(azure, namespace) for namespace in target.missing_providers)
    fields = tuple(
        FieldChange(field=namespace, old=old, new="Registered")
        for namespace, old in zip(target.missing_providers, states, strict=True)
        if old not in ("Registered", "Registering")
    )
    return ProvidersOutputs(
        registered=tuple(field.field for field in fields),
        change=Change(kind="updated", fields=fields) if fields else UNCHANGED,
    )
