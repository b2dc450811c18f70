"""Guide: none; az registers resource providers on the side, without waiting.

A subscription has to register a provider's namespace once before it takes its resources. Nothing here is ever
undone.
"""

from __future__ import annotations

from aks_postgres.arm import clock
from aks_postgres.arm.client import Azure
from aks_postgres.arm.retry import all_ended, persistently, read, send
from aks_postgres.errors import OperationNotDone
from aks_postgres.reports.journal import journal
from aks_postgres.reports.outputs import UNCHANGED, Change, FieldChange, Place, ProvidersOutputs
from aks_postgres.runs.step import arm_task

# Microsoft says minutes and no more;
# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-providers-and-types
_DEADLINE_S = 900
_EXPECTED_S = 60
_INTERVAL_S = 5


@arm_task("register_providers")
async def register_providers(azure: Azure, place: Place) -> ProvidersOutputs:
    """Register the resource providers that the preflight found missing, and wait until they are.

    Guide: none (az does it on the side). REST:
    https://learn.microsoft.com/rest/api/resources/providers/register

    Args:
        place: the preflight's findings.

    Returns:
        The providers registered by this run.

    Raises:
        AzureRefused: the caller may not register.
        OperationNotDone: not registered within 15 minutes; a rerun goes on waiting.
    """
    states = await all_ended(_registered(azure, namespace) for namespace in place.missing_providers)
    fields = tuple(
        FieldChange(field=namespace, old=old, new="Registered")
        for namespace, old in zip(place.missing_providers, states, strict=True)
        if old not in ("Registered", "Registering")
    )
    return ProvidersOutputs(
        registered=tuple(field.field for field in fields),
        change=Change(kind="updated", fields=fields) if fields else UNCHANGED,
    )


async def _state(azure: Azure, namespace: str) -> str:
    found = await read(f"resource provider {namespace}", azure.resources.providers.get, namespace)
    return str((found or {}).get("registrationState", "NotRegistered"))


async def _registered(azure: Azure, namespace: str) -> str:
    """Register one provider unless it is; returns its state before."""
    before = state = await _state(azure, namespace)
    if state not in ("Registered", "Registering"):
        if not azure.gate.lets(f"resource provider {namespace}: would be registered"):
            return before
        register = azure.resources.providers.register
        answer = await persistently(f"resource provider {namespace}", lambda: send(register, namespace))
        state = str(answer.body.get("registrationState", ""))
    started_s = clock.now_s()
    while state != "Registered":
        elapsed_s = clock.now_s() - started_s
        if elapsed_s > _DEADLINE_S:
            raise OperationNotDone(
                f"resource provider {namespace} is still {state} after {clock.minutes(elapsed_s)}; run "
                f"again to go on waiting, and look at it with `az provider show --namespace {namespace}`."
            )
        journal().waiting(
            f"resource provider {namespace} is {state}", elapsed_s=elapsed_s, expected_s=_EXPECTED_S
        )
        await clock.sleep(_INTERVAL_S)
        state = await _state(azure, namespace)
    return before
