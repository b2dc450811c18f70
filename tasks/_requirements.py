"""What an environment needs of the subscription: resource providers, and the caller's permissions, step by step.

README shows both tables. Actions: https://learn.microsoft.com/azure/role-based-access-control/resource-provider-operations
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from cloud.answers import Json
from tasks._verdict import FINE, Verdict, problem, warning

PROVIDERS = (
    "Microsoft.AlertsManagement",
    "Microsoft.Compute",
    "Microsoft.ContainerService",
    "Microsoft.Dashboard",
    "Microsoft.Insights",
    "Microsoft.ManagedIdentity",
    "Microsoft.Monitor",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.OperationsManagement",
    "Microsoft.Storage",
)

ROLE_ASSIGNMENTS_WRITE = "Microsoft.Authorization/roleAssignments/write"
# Needed only where a provider isn't registered yet.
REGISTER = "/register/action"

ACTIONS: dict[str, str] = {
    "Microsoft.Resources/subscriptions/resourceGroups/read": "find the environment",
    "Microsoft.Resources/subscriptions/resourceGroups/write": "resource groups",
    "Microsoft.Authorization/roleAssignments/read": "roles of the identity and of Grafana",
    ROLE_ASSIGNMENTS_WRITE: "roles of the identity and of Grafana",
    "Microsoft.ManagedIdentity/userAssignedIdentities/read": "managed identity",
    "Microsoft.ManagedIdentity/userAssignedIdentities/write": "managed identity",
    "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action": "AKS cluster, which runs as the identity",
    "Microsoft.Storage/checkNameAvailability/read": "preflight",
    "Microsoft.Storage/skus/read": "preflight",
    "Microsoft.Storage/storageAccounts/read": "storage account",
    "Microsoft.Storage/storageAccounts/write": "storage account",
    "Microsoft.Storage/storageAccounts/blobServices/containers/read": "backup container",
    "Microsoft.Storage/storageAccounts/blobServices/containers/write": "backup container",
    "Microsoft.Dashboard/grafana/read": "Managed Grafana",
    "Microsoft.Dashboard/grafana/write": "Managed Grafana",
    "Microsoft.Monitor/accounts/read": "Azure Monitor workspace",
    "Microsoft.Monitor/accounts/write": "Azure Monitor workspace",
    "Microsoft.OperationalInsights/workspaces/read": "Log Analytics workspace",
    "Microsoft.OperationalInsights/workspaces/write": "Log Analytics workspace",
    "Microsoft.OperationalInsights/workspaces/sharedKeys/action": "Container insights",
    "Microsoft.ContainerService/locations/kubernetesVersions/read": "preflight",
    "Microsoft.ContainerService/managedClusters/read": "AKS cluster",
    "Microsoft.ContainerService/managedClusters/write": "AKS cluster",
    "Microsoft.ContainerService/managedClusters/agentPools/read": "postgres node pool",
    "Microsoft.ContainerService/managedClusters/agentPools/write": "postgres node pool",
    "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action": "namespaces and operator",
    "Microsoft.Compute/skus/read": "preflight",
    "Microsoft.Compute/locations/usages/read": "preflight",
    "Microsoft.Insights/dataCollectionEndpoints/read": "managed Prometheus",
    "Microsoft.Insights/dataCollectionEndpoints/write": "managed Prometheus",
    "Microsoft.Insights/dataCollectionRules/read": "managed Prometheus and Container insights",
    "Microsoft.Insights/dataCollectionRules/write": "managed Prometheus and Container insights",
    "Microsoft.Insights/dataCollectionRuleAssociations/read": "managed Prometheus and Container insights",
    "Microsoft.Insights/dataCollectionRuleAssociations/write": "managed Prometheus and Container insights",
    "Microsoft.AlertsManagement/prometheusRuleGroups/read": "Prometheus rule groups",
    "Microsoft.AlertsManagement/prometheusRuleGroups/write": "Prometheus rule groups",
    "Microsoft.Network/locations/usages/read": "preflight",
    "Microsoft.Network/publicIPAddresses/read": "public IP",
    "Microsoft.Network/publicIPAddresses/write": "public IP",
}


def missing_providers(found: Sequence[Json]) -> tuple[str, ...]:
    """The providers that aren't registered, of those that ARM described (`registrationState`)."""
    return tuple(
        sorted(
            str(provider["namespace"])
            for provider in found
            if provider.get("registrationState") != "Registered"
        )
    )


def _covers(patterns: Sequence[str], action: str) -> bool:
    return any(fnmatch.fnmatchcase(action.casefold(), pattern.casefold()) for pattern in patterns)


def granting(action: str, permissions: Sequence[Json]) -> list[Json]:
    """The caller's permissions that grant an action; `notActions` takes away within one role only."""
    return [
        granted
        for granted in permissions
        if _covers(granted.get("actions") or [], action)
        and not _covers(granted.get("notActions") or [], action)
    ]


def judge_permissions(
    caller: str, scope: str, permissions: Sequence[Json], unregistered: Sequence[str]
) -> Verdict:
    """Whether the caller may do everything that the steps do.

    Args:
        caller: who, for the text.
        scope: where the permissions were read.
        permissions: what ARM lists for the caller there.
        unregistered: providers that the run has to register.
    """
    needed = {**ACTIONS, **{f"{namespace}{REGISTER}": "resource providers" for namespace in unregistered}}
    lacking = {action: step for action, step in needed.items() if not granting(action, permissions)}
    if lacking:
        listed = ", ".join(f"{action} ({step})" for action, step in lacking.items())
        only_roles = all(action.startswith("Microsoft.Authorization/") for action in lacking)
        role = (
            "Role Based Access Control Administrator"
            if only_roles
            else "Owner, or Contributor and Role Based Access Control Administrator"
        )
        return problem(
            "subscription_id",
            f"{caller} lacks {len(lacking)} of the {len(needed)} actions needed at {scope}: {listed}. Give it {role} "
            "there, or a custom role with these actions; then run again.",
        )
    if all(granted.get("condition") for granted in granting(ROLE_ASSIGNMENTS_WRITE, permissions)):
        return warning(
            "subscription_id",
            f"{caller} may assign roles under a condition only, which can't be judged here; it has to allow the roles "
            "that the README lists.",
        )
    return FINE
