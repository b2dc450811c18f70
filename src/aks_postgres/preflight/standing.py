"""Whether subscription and cluster are in a state that no run gets them out of, or only one that was told to."""

from __future__ import annotations

from collections.abc import Sequence

from aks_postgres.arm.diff import state_of
from aks_postgres.arm.responses import Json
from aks_postgres.errors import Finding
from aks_postgres.kubernetes.power_state import IN_THE_MAKING, lost_node_group, stopped_here
from aks_postgres.preflight.findings import FINE, Findings, problem, warning
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names

# https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-states
_TAKES_WRITES = ("enabled", "pastdue")


def judge_standing(
    spec: EnvironmentSpec, names: Names, cluster: Json | None, groups: Sequence[Json]
) -> Findings:
    """Return whether the live cluster is in a state that no run gets it out of, or only one that was told to.

    Args:
        spec: the environment wanted.
        names: its names.
        cluster: the live cluster as ARM shows it; None when there is none.
        groups: every resource group of the subscription, as ARM lists them.
    """
    if cluster is None:
        return FINE
    findings = FINE
    for found in stopped_here(spec, names, cluster):
        if spec.cluster.if_stopped == "start":
            findings += warning("cluster.if_stopped", f"{found.label} is stopped; this run starts it.")
        else:
            findings += problem("cluster.if_stopped", f"{found.label} is stopped.", found.way_out)
    node_group = str((cluster.get("properties") or {}).get("nodeResourceGroup") or "")
    known = {str(group["name"]).casefold() for group in groups}
    if (
        node_group
        and node_group.casefold() not in known
        and state_of(cluster).casefold() not in IN_THE_MAKING
    ):
        lost = lost_node_group(names.cluster, node_group)
        findings += problem("name", str(lost).removesuffix(f" {lost.way_out}"), lost.way_out)
    return findings


def subscription_problem(found: Json) -> Finding | None:
    """Return why a subscription takes no writes, and the way out; None where it does."""
    state = str(found.get("state") or "Enabled")
    if state.casefold() in _TAKES_WRITES:
        return None
    return Finding(
        f"subscription {found.get('subscriptionId')} ({found.get('displayName')}) is {state} and takes no writes.",
        "Have its owner enable it "
        "(https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-disabled), then run again.",
    )
