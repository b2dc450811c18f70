"""Guide: Create infrastructure, "Create a user-assigned managed identity".

One identity serves the cluster's control plane and the backups, as in the guide.
"""

from __future__ import annotations

from cloud.answers import Json
from cloud.desired import Decision, decide
from cloud.resources import arm_resource, ensure
from cloud.session import cloud
from environment.names import resource_tags
from environment.outputs import IdentityOutputs, Place, ResourceOutputs
from environment.spec import EnvironmentSpec
from tasks._ownership import refuse_foreign
from tasks._policy import arm_task


@arm_task("ensure_managed_identity {place.names.identity}")
async def ensure_managed_identity(
    spec: EnvironmentSpec, place: Place, group: ResourceOutputs
) -> IdentityOutputs:
    """Create the user-assigned managed identity, or bring its tags to the spec.

    Guide: Create infrastructure, "Create a user-assigned managed identity" (az identity create).
    REST: https://learn.microsoft.com/rest/api/managedidentity/user-assigned-identities/create-or-update

    Args:
        spec: the environment wanted.
        place: where it goes, as the preflight found.
        group: the environment's resource group.

    Returns:
        ID, name, principal ID (for roles) and client ID (for workload identity).

    Raises:
        NotOurs: an identity of that name exists without our tags.
    """
    name = place.names.identity
    label = f"managed identity {name}"
    operations = cloud().identities.user_assigned_identities
    resource = arm_resource(
        label,
        place.resource_id("Microsoft.ManagedIdentity/userAssignedIdentities", name),
        operations.get,
        operations.create_or_update,
        group.name,
        name,
    )

    def decision(live: Json | None) -> Decision:
        refuse_foreign(spec, label, live, group.name)
        return decide(
            label, {"location": spec.region, "tags": resource_tags(spec)}, live, immutable=("location",)
        )

    live, change = await ensure(resource, decision)
    return IdentityOutputs(
        id=resource.id,
        name=live["name"],
        principal_id=live["properties"]["principalId"],
        client_id=live["properties"]["clientId"],
        change=change,
    )
