"""Microsoft.Storage: the lifecycle policy of an account, one for all its blobs. Kept and shown, never carried out.

Its name in answers, and the code where there is none:
https://github.com/Azure/azure-sdk-for-net (Azure.ResourceManager.Storage tests, management policies)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.providers.storage import ACCOUNT, ACCOUNT_TYPE, VERSIONS, account_of, provider

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource

Json = dict[str, Any]

POLICY = f"{ACCOUNT}/managementPolicies/default"
_MOST_RULES = 100
_NOTE = "lifecycle policy"

provider.type("storageAccounts/managementPolicies", api_versions=VERSIONS, tracked=False)


def _shown(account: Resource) -> Json:
    return {
        "id": f"{account.id}/managementPolicies/default",
        "name": "DefaultManagementPolicy",
        "type": f"{ACCOUNT_TYPE}/managementPolicies",
        "properties": account.notes[_NOTE],
    }


@provider.put(POLICY)
def management_policies_create_or_update(call: Call) -> Response:
    """ManagementPolicies_CreateOrUpdate: replace all rules; 1 to 100 of them, each name once.

    REST: https://learn.microsoft.com/rest/api/storagerp/management-policies/create-or-update
    """
    call.check_shape({"properties": {"policy": {"rules": [{"name": str, "enabled": bool, "type": str}]}}})
    account = account_of(call)
    rules = call.require("properties", "policy", "rules")
    names = [rule.get("name") for rule in rules]
    if not 1 <= len(rules) <= _MOST_RULES or None in names or len(set(names)) != len(names):
        text = f"A policy has 1 to {_MOST_RULES} rules, each with a name of its own."
        raise ArmError(400, "InvalidRequestPropertyValue", text, target="properties.policy.rules")
    account.notes[_NOTE] = {"lastModifiedTime": call.sandbox.clock.iso(), "policy": {"rules": rules}}
    return Response(200, _shown(account))


@provider.get(POLICY)
def management_policies_get(call: Call) -> Response:
    """ManagementPolicies_Get: the policy, or 404 ManagementPolicyNotFound."""
    account = account_of(call)
    if _NOTE not in account.notes:
        raise ArmError(
            404, "ManagementPolicyNotFound", f"No ManagementPolicy found for account {account.name}"
        )
    return Response(200, _shown(account))


@provider.delete(POLICY)
def management_policies_delete(call: Call) -> Response:
    """ManagementPolicies_Delete: 200, 204 when there is none."""
    return Response(204 if account_of(call).notes.pop(_NOTE, None) is None else 200)
