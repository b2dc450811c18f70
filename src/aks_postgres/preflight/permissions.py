"""What an environment needs of the subscription: resource providers, and permissions step by step.

docs/permissions.md shows both tables. Names of actions:
https://learn.microsoft.com/azure/role-based-access-control/resource-provider-operations
"""

from __future__ import annotations

from collections.abc import Sequence

from aks_postgres.arm.responses import Json
from aks_postgres.preflight.findings import FINE, Findings, problem, warning
from aks_postgres.resources import federated_credential, storage_account
from aks_postgres.resources.kinds import actions, optional_actions, providers, removals
from aks_postgres.resources.permitted import covers, granting

# The first is asked about VM sizes, and has the nodes.
PROVIDERS = tuple(sorted({"Microsoft.Compute", *providers()}))

ROLE_ASSIGNMENTS_WRITE = "Microsoft.Authorization/roleAssignments/write"
ROLE_ASSIGNMENTS_DELETE = "Microsoft.Authorization/roleAssignments/delete"
# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/containers
CLUSTER_ADMIN = "Azure Kubernetes Service RBAC Cluster Admin"
IN_CLUSTER = "Microsoft.ContainerService/managedClusters/*"
# Needed only where a provider isn't registered yet.
REGISTER = "/register/action"

# Action -> the steps that need it, in the order of the flow. Reading one's own permissions is not among them:
# where these are judged, it has worked.
ACTIONS: dict[str, str] = {
    "Microsoft.Resources/subscriptions/read": "preflight",
    "Microsoft.Resources/subscriptions/locations/read": "preflight",
    "Microsoft.Resources/subscriptions/providers/read": "preflight, resource providers",
    "Microsoft.Storage/checkNameAvailability/read": "preflight",
    "Microsoft.Storage/skus/read": "preflight",
    "Microsoft.Compute/skus/read": "preflight",
    "Microsoft.Compute/locations/usages/read": "preflight",
    "Microsoft.Network/locations/usages/read": "preflight",
    "Microsoft.ContainerService/locations/kubernetesVersions/read": "preflight",
    "Microsoft.OperationalInsights/deletedWorkspaces/read": "preflight",
    "Microsoft.Resources/tags/write": "every step that writes: the heartbeat of the run's lock",
    "Microsoft.Storage/storageAccounts/blobServices/containers/lease/action": "every step that writes: the run's lock",
    **actions(),
}

# Demanded of nobody: without them, what a policy denies shows at the write.
POLICY_ACTIONS = (
    "Microsoft.PolicyInsights/checkPolicyRestrictions/read",
    "Microsoft.Authorization/policyAssignments/read",
    "Microsoft.Authorization/policyExemptions/read",
)

# Where the spec has a database with backups.
DATABASE_ACTIONS = optional_actions([federated_credential.KIND])

# What a tear-down needs on top of reading. Contributor and the right to assign roles hold these, too.
TEAR_DOWN_ACTIONS: dict[str, str] = {
    "Microsoft.Resources/subscriptions/resourceGroups/write": "marking the group as retiring",
    "Microsoft.Resources/tags/write": "the heartbeat of the run's lock",
    "Microsoft.Storage/storageAccounts/blobServices/containers/write": "the run's lock, on an earlier version's",
    "Microsoft.Storage/storageAccounts/blobServices/containers/lease/action": "the run's lock",
    "Microsoft.Resources/subscriptions/resourceGroups/resources/read": "what is in the group",
    "Microsoft.Authorization/locks/read": "locks",
    "Microsoft.Authorization/denyAssignments/read": "deny assignments",
    "Microsoft.Authorization/roleAssignments/read": "roles of the identity and of Grafana",
    "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action": "live data",
    **removals(),
}
DELETE_BACKUPS_ACTION = f"{storage_account.KIND.type}/delete"


def lacking_for_tear_down(
    permissions: Sequence[Json], *, deletes_backups: bool, assigns_roles: bool = True
) -> tuple[str, ...]:
    """The actions of a tear-down that the caller's permissions don't grant."""
    needed = [*TEAR_DOWN_ACTIONS, *([DELETE_BACKUPS_ACTION] if deletes_backups else [])]
    if not assigns_roles:
        needed.remove(ROLE_ASSIGNMENTS_DELETE)
    return tuple(action for action in needed if not granting(action, permissions))


def missing_providers(found: Sequence[Json]) -> tuple[str, ...]:
    """The providers that aren't registered, of those that ARM described (`registrationState`)."""
    return tuple(
        sorted(
            str(provider["namespace"])
            for provider in found
            if provider.get("registrationState") != "Registered"
        )
    )


def judge_entra(object_id: str, kind: str, scope: str, permissions: Sequence[Json]) -> Findings:
    """Return whether the caller gets into a cluster with Microsoft Entra ID: no other role lets it, not even Owner.

    Args:
        object_id: the caller's.
        kind: what it is, such as ServicePrincipal.
        scope: where the permissions were read.
        permissions: what ARM lists for the caller there.
    """
    if any(
        covers(granted.get("dataActions") or [], IN_CLUSTER)
        and not covers(granted.get("notDataActions") or [], IN_CLUSTER)
        for granted in permissions
    ):
        return FINE
    return problem(
        "cluster.access",
        f"entra was given, and no role of the caller ({kind} {object_id}) at {scope} lets it into the cluster (data "
        f"action {IN_CLUSTER}); Owner doesn't.",
        "This product never gives that role. Have it given: az role assignment create --assignee-object-id "
        f"{object_id} "
        f"--assignee-principal-type {kind} --role '{CLUSTER_ADMIN}' --scope {scope}; some minutes later, run again.",
    )


def judge_permissions(
    caller: str,
    scope: str,
    permissions: Sequence[Json],
    unregistered: Sequence[str],
    *,
    has_database: bool = False,
    assigns_roles: bool = True,
) -> Findings:
    """Return whether the caller may do everything that the steps do.

    Args:
        caller: who, for the text.
        scope: where the permissions were read.
        permissions: what ARM lists for the caller there.
        unregistered: providers that the run has to register.
        has_database: whether the spec has a database with backups.
        assigns_roles: whether it gives roles itself.
    """
    more = DATABASE_ACTIONS if has_database else {}
    needed = {
        **ACTIONS,
        **more,
        **{f"{namespace}{REGISTER}": "resource providers" for namespace in unregistered},
    }
    if not assigns_roles:
        del needed[ROLE_ASSIGNMENTS_WRITE]
    lacking = {action: step for action, step in needed.items() if not granting(action, permissions)}
    if lacking:
        listed = ", ".join(f"{action} ({step})" for action, step in lacking.items())
        only_roles = all(action.startswith("Microsoft.Authorization/") for action in lacking)
        role = "Role Based Access Control Administrator"
        if not assigns_roles:
            role = "Contributor"
        elif not only_roles:
            role = f"Owner, or Contributor and {role}"
        return problem(
            "subscription_id",
            f"{caller} lacks {len(lacking)} of the {len(needed)} actions needed at {scope}: {listed}.",
            f"Give it {role} there, or a custom role with these actions"
            f"{', or say roles: verify and have roles given by somebody else' if only_roles else ''}; then run again.",
        )
    if assigns_roles and all(
        granted.get("condition") for granted in granting(ROLE_ASSIGNMENTS_WRITE, permissions)
    ):
        return warning(
            "subscription_id",
            f"{caller} may assign roles under a condition only, which can't be judged here; it has to allow "
            "the roles that docs/permissions.md lists.",
        )
    return FINE
