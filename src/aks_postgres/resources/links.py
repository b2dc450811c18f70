"""Links by what stands behind them: an ID is a name, and what had that name may have been deleted and made anew.

A managed identity made anew under its name has another principal; the cluster goes on with the one that is gone, and
its control plane has no rights any more (https://github.com/Azure/AKS/issues/4561). A data collection rule likewise
keeps the internal IDs of the workspaces that it was written for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

from aks_postgres.arm.diff import Decision
from aks_postgres.arm.errors import LastingState
from aks_postgres.arm.resource import ArmResource
from aks_postgres.arm.responses import Answer, Json
from aks_postgres.reports.outputs import Change, FieldChange, IdentityOutputs

# One write may be overtaken by an operation of AKS's own; that a second one didn't help either says that none will.
_WRITES_THAT_SHOW = 2
_READ_ONLY = ("systemData", "etag", "eTag")
# Where a data collection rule shows what is behind the ID of its workspace; read-only.
# https://learn.microsoft.com/azure/templates/microsoft.insights/datacollectionrules
_INTERNAL_IDS = {"logAnalytics": "workspaceId", "monitoringAccounts": "accountId"}


def stale_identity(live: Json | None, identity: IdentityOutputs) -> list[FieldChange]:
    """Return where the cluster's view of its identity isn't what the identity is; what it doesn't show isn't stale."""
    assigned = ((live or {}).get("identity") or {}).get("userAssignedIdentities") or {}
    about = next((value for key, value in assigned.items() if key.casefold() == identity.id.casefold()), None)
    wanted = {"principalId": identity.principal_id, "clientId": identity.client_id}
    return [
        FieldChange(
            field=f"identity.userAssignedIdentities[{identity.name}].{key}", old=about[key], new=value
        )
        for key, value in wanted.items()
        if about and about.get(key) and str(about[key]).casefold() != value.casefold()
    ]


def identity_problem(live: Json | None, identity: IdentityOutputs) -> str | None:
    """Return what is wrong with the identity of the cluster that this is said of; None where nothing is."""
    stale = stale_identity(live, identity)
    if not stale:
        return None
    return (
        f"still has an earlier managed identity of the name {identity.name} ({'; '.join(map(str, stale))}), "
        "which is gone with its rights"
    )


def rebinding(
    resource: ArmResource, identity: IdentityOutputs
) -> tuple[ArmResource, Callable[[Decision, Json | None], Decision]]:
    """Let a write of the cluster give it its identity anew, where that was deleted and made again.

    Args:
        resource: the cluster.
        identity: the identity as it is now.

    Returns:
        The cluster with its writes counted, and what completes a decision about it.
    """
    sent: list[bool] = []

    async def put(body: Json, live: Json | None) -> Answer:
        answer = await resource.put(body, live)
        sent.append(bool(stale_identity(live, identity)))
        return answer

    def complete(decision: Decision, live: Json | None) -> Decision:
        stale = stale_identity(live, identity)
        if live is None or not stale:
            return decision
        if sum(sent) >= _WRITES_THAT_SHOW:
            raise LastingState(
                resource.label,
                f"keeps to an earlier managed identity of the name {identity.name} ({'; '.join(map(str, stale))}), "
                f"though it was assigned anew in {sum(sent)} writes",
                f"Assign it with az aks update --enable-managed-identity --assign-identity {identity.id}, or make the "
                "environment anew: `aks-postgres rebuild`. Then run again.",
            )
        body = decision.body or {key: value for key, value in live.items() if key not in _READ_ONLY}
        about = {"type": "UserAssigned", "userAssignedIdentities": {identity.id: {}}}
        change = Change(kind="updated", fields=(*decision.change.fields, *stale))
        return Decision(change, {**body, "identity": about})

    return replace(resource, put=put), complete


def with_destinations(decision: Decision, live: Json | None, workspace: str) -> Decision:
    """Let a data collection rule be written again if its workspace is another one by now, under the same name.

    Args:
        decision: what else there is to do about the rule.
        live: the rule.
        workspace: the internal ID of the workspace that has the name now; empty where Azure doesn't show it.
    """
    destinations = ((live or {}).get("properties") or {}).get("destinations") or {}
    stale = [
        FieldChange(
            field=f"properties.destinations.{kind}[{destination.get('name')}].{key}",
            old=destination[key],
            new=workspace,
        )
        for kind, key in _INTERNAL_IDS.items()
        for destination in destinations.get(kind) or []
        if destination.get(key) and workspace and str(destination[key]).casefold() != workspace.casefold()
    ]
    if live is None or not stale:
        return decision
    body = copy.deepcopy(
        decision.body or {key: value for key, value in live.items() if key not in _READ_ONLY}
    )
    for kind, key in _INTERNAL_IDS.items():
        for destination in body["properties"]["destinations"].get(kind) or []:
            destination.pop(key, None)  # Azure's to fill in, by the workspace's name
    return Decision(Change(kind="updated", fields=(*decision.change.fields, *stale)), body)


def internal_id(live: Json, key: str) -> str:
    """The ID that Azure has for a workspace beside its name; in a plan of a new one unknown, empty where not shown."""
    try:
        return str(live["properties"][key])
    except KeyError:
        return ""
