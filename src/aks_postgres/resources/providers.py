"""Resource providers: a subscription has to register a namespace once before it takes its resources.

REST: https://learn.microsoft.com/rest/api/resources/providers/register
"""

from __future__ import annotations

from aks_postgres.arm import clock
from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import OperationNotDone
from aks_postgres.arm.poll import NotInTime, poll
from aks_postgres.arm.retry import read, send, with_retries
from aks_postgres.reports.journal import journal

# Microsoft says minutes and no more;
# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-providers-and-types
_DEADLINE_S = 900
_EXPECTED_S = 60
_INTERVAL_S = 5


async def _state(azure: Azure, namespace: str) -> str:
    found = await read(f"resource provider {namespace}", azure.resources.providers.get, namespace)
    return str((found or {}).get("registrationState", "NotRegistered"))


async def registered(azure: Azure, namespace: str) -> str:
    """Register one provider unless it is, and wait until it is; in a plan, only look.

    Returns:
        Its state before.

    Raises:
        AzureRefused: the caller may not register.
        OperationNotDone: not registered within 15 minutes; a rerun goes on waiting.
    """
    before = state = await _state(azure, namespace)
    if state not in ("Registered", "Registering"):
        if not azure.gate.lets(f"resource provider {namespace}: would be registered"):
            return before
        register = azure.resources.providers.register
        answer = await with_retries(f"resource provider {namespace}", lambda: send(register, namespace))
        state = str(answer.body.get("registrationState", ""))

    known: str | None = state

    async def is_registered() -> bool | None:
        nonlocal state, known
        state, known = known or await _state(azure, namespace), None
        return True if state == "Registered" else None

    try:
        await poll(
            is_registered,
            every_s=_INTERVAL_S,
            deadline_s=_DEADLINE_S,
            waiting=lambda elapsed_s: journal().waiting(
                f"resource provider {namespace} is {state}", elapsed_s=elapsed_s, expected_s=_EXPECTED_S
            ),
        )
    except NotInTime as late:
        raise OperationNotDone(
            f"resource provider {namespace} is still {state} after {clock.minutes(late.elapsed_s)}; run again to go on "
            f"waiting, and look at it with `az provider show --namespace {namespace}`."
        ) from None
    return before
