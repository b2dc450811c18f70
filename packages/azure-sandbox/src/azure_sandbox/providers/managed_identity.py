"""Microsoft.ManagedIdentity: user-assigned identities and their federated credentials.

Left out: system-assigned identities as resources of their own, and the associated-resources list.

Shapes (201 at once, relative Location, no provisioningState):
https://github.com/Azure/azure-cli/blob/dev/src/azure-cli/azure/cli/command_modules/identity/tests/latest/recordings/test_federated_identity_credential.yaml
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from azure_sandbox.core.provider import Provider
from azure_sandbox.core.responses import ArmError, Response

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

provider = Provider("Microsoft.ManagedIdentity")

VERSIONS = (
    "2018-11-30",
    "2021-09-30-preview",
    "2022-01-31-preview",
    "2023-01-31",
    "2023-07-31-preview",
    "2024-11-30",
    "2025-01-31-preview",
    "2025-05-31-preview",
)
IDENTITY = "userAssignedIdentities/{identity}"
CREDENTIAL = "userAssignedIdentities/{identity}/federatedIdentityCredentials/{credential}"
MAX_CREDENTIALS = (
    20  # https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
)

provider.type("userAssignedIdentities", api_versions=VERSIONS, group_delete_rank=2)
provider.type("userAssignedIdentities/federatedIdentityCredentials", api_versions=VERSIONS[1:])
provider.standard(
    IDENTITY,
    get="UserAssignedIdentities_Get",
    list_in_group="UserAssignedIdentities_ListByResourceGroup",
    list_in_subscription="UserAssignedIdentities_ListBySubscription",
)
provider.standard(
    CREDENTIAL, get="FederatedIdentityCredentials_Get", list_in_group="FederatedIdentityCredentials_List"
)


@provider.put(IDENTITY)
def user_assigned_identities_create_or_update(call: Call) -> Response:
    """UserAssignedIdentities_CreateOrUpdate: 201 for a new one with its principal, 200 for a known one.

    The principal exists in Entra's first replica only: elsewhere it appears after `principal_replication_s`.

    REST: https://learn.microsoft.com/rest/api/managedidentity/user-assigned-identities/create-or-update
    """
    live, name = call.live, call.names["identity"]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{2,127}", name):
        text = (
            f"The identity name '{name}' is invalid: 3 to 128 letters, digits, '-' and '_', beginning with a "
            "letter or digit."
        )
        raise ArmError(400, "BadRequest", text)
    if live is not None:
        identity = call.put({**call.body, "properties": live.properties})
        return Response(200, identity, latency_s=call.seconds("managed_identity_write"))
    principal = call.sandbox.entra.add_managed_identity(call.id, name)
    identity = call.put(
        {
            **call.body,
            "properties": {
                "tenantId": call.sandbox.tenant_id,
                "principalId": principal.object_id,
                "clientId": principal.client_id,
            },
        }
    )
    return Response(
        201, identity, headers={"Location": identity.id}, latency_s=call.seconds("managed_identity_write")
    )


@provider.patch(IDENTITY)
def user_assigned_identities_update(call: Call) -> Response:
    """UserAssignedIdentities_Update: tags."""
    live = call.found()
    live.body["tags"] = call.body.get("tags", live.body.get("tags"))
    call.sandbox.store.touch(live)
    return Response(200, live)


@provider.delete(IDENTITY)
def user_assigned_identities_delete(call: Call) -> Response:
    """UserAssignedIdentities_Delete: 200, 204 when there is none; its principal goes with it."""
    return call.delete_now()


@provider.removed("userAssignedIdentities")
def _identity_removed(identity: Resource, sandbox: Sandbox) -> None:
    sandbox.entra.remove(identity.properties["principalId"])


@provider.put(CREDENTIAL)
async def federated_identity_credentials_create_or_update(call: Call) -> Response:
    """FederatedIdentityCredentials_CreateOrUpdate: 201 new, 200 known; one writer at a time.

    REST: https://learn.microsoft.com/rest/api/managedidentity/federated-identity-credentials/create-or-update
    """
    call.check_shape({"properties": {"issuer": str, "subject": str, "audiences": [str]}})
    identity = call.parent()
    name = call.names["credential"]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{2,119}", name):
        text = (
            f"The federated identity credential name '{name}' is invalid: 3 to 120 URL-friendly characters."
        )
        raise ArmError(400, "BadRequest", text)
    issuer, subject = call.require("properties", "issuer"), call.require("properties", "subject")
    audiences = call.require("properties", "audiences")
    if not isinstance(audiences, list) or len(audiences) != 1:
        raise ArmError(400, "BadRequest", "Exactly one audience must be given.")
    others = [item for item in call.iter_children(CREDENTIAL_TYPE, identity) if item is not call.live]
    if len(others) >= MAX_CREDENTIALS:
        text = (
            "Too many federated identity credentials have been created for the identity: at most 20 are "
            "allowed."
        )
        raise ArmError(400, "BadRequest", text)
    for other in others:
        if (other.properties["issuer"], other.properties["subject"]) == (issuer, subject):
            text = (
                "Issuer and subject combination already exists for this Managed Identity: it is used by "
                f"'{other.name}'."
            )
            raise ArmError(409, "Conflict", text)
    # https://github.com/hashicorp/terraform-provider-azurerm/issues/19968
    if identity.notes.get("writing"):
        text = (
            "Too many Federated Identity Credentials are written concurrently for the managed identity "
            f"'{identity.id}'. Concurrent Federated Identity Credentials writes under the same managed "
            "identity are not supported."
        )
        raise ArmError(409, "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity", text)
    new = call.live is None
    identity.notes["writing"] = True
    try:
        await call.sandbox.clock.sleep(call.seconds("federated_credential_write"))
    finally:
        identity.notes["writing"] = False
    properties = {"issuer": issuer, "subject": subject, "audiences": audiences}
    return Response(201 if new else 200, call.put({"properties": properties}))


CREDENTIAL_TYPE = "userAssignedIdentities/federatedIdentityCredentials"


@provider.delete(CREDENTIAL)
def federated_identity_credentials_delete(call: Call) -> Response:
    """FederatedIdentityCredentials_Delete: 200, 204 when there is none."""
    if call.live is not None and call.parent().notes.get("writing"):
        text = (
            "Concurrent Federated Identity Credentials writes under the same managed identity are not "
            "supported."
        )
        raise ArmError(409, "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity", text)
    return call.delete_now()
