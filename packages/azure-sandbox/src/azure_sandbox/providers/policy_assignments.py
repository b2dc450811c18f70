"""Microsoft.Authorization: the sandbox's policies as assignments, and the exemptions from them. Read only.

https://learn.microsoft.com/azure/governance/policy/concepts/exemption-structure

Left out: filters other than `atScope()`, definitions, initiatives, and making any of them: they are a setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.core.policies import policy_ids, policy_name
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.providers.authorization import provider

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call

Json = dict[str, Any]

provider.type(
    "policyAssignments", api_versions=("2021-06-01", "2022-06-01", "2023-04-01", "2025-03-01"), tracked=False
)
provider.type(
    "policyExemptions",
    api_versions=("2020-07-01-preview", "2022-07-01-preview", "2024-12-01-preview"),
    tracked=False,
)


@provider.list("policyAssignments", scope="subscription")
def policy_assignments_list(call: Call) -> Response:
    """PolicyAssignments_List: those that apply to the subscription.

    REST: https://learn.microsoft.com/rest/api/policyauthorization/policy-assignments/list
    """
    return _assignments(call)


@provider.list("policyAssignments")
def policy_assignments_list_for_resource_group(call: Call) -> Response:
    """PolicyAssignments_ListForResourceGroup: those that apply to the group, from above it as well.

    REST: https://learn.microsoft.com/rest/api/policyauthorization/policy-assignments/list-for-resource-group
    """
    return _assignments(call)


@provider.list("policyExemptions", scope="subscription")
def policy_exemptions_list(call: Call) -> Response:
    """PolicyExemptions_List: with `atScope()`, those at the subscription.

    REST: https://learn.microsoft.com/rest/api/policyauthorization/policy-exemptions/list
    """
    return _exemptions(call)


@provider.list("policyExemptions")
def policy_exemptions_list_for_resource_group(call: Call) -> Response:
    """PolicyExemptions_ListForResourceGroup: with `atScope()`, those at the group and above it.

    REST: https://learn.microsoft.com/rest/api/policyauthorization/policy-exemptions/list-for-resource-group
    """
    return _exemptions(call)


def _assignments(call: Call) -> Response:
    _check_filter(call)
    found = []
    for policy in call.sandbox.settings["policies"]:
        assignment, definition = policy_ids(call.sandbox, policy)
        properties = {
            "displayName": policy_name(policy),
            "policyDefinitionId": definition,
            "scope": call.sandbox.subscription,
            "notScopes": policy.get("not_scopes", []),
            "enforcementMode": "Default" if policy.get("enforced", True) else "DoNotEnforce",
            "parameters": {},
        }
        found.append(_shown(assignment, "policyAssignments", properties))
    return Response(200, {"value": found})


def _exemptions(call: Call) -> Response:
    _check_filter(call)
    found = []
    for policy in call.sandbox.settings["policies"]:
        assignment, _ = policy_ids(call.sandbox, policy)
        properties = {"policyAssignmentId": assignment, "exemptionCategory": "Waiver"}
        for scope in policy.get("exempt", []):
            if (call.scope.lower() + "/").startswith(scope.lower() + "/"):
                exemption = (
                    f"{scope}/providers/Microsoft.Authorization/policyExemptions/{policy_name(policy)}"
                )
                found.append(_shown(exemption, "policyExemptions", properties))
    return Response(200, {"value": found})


def _shown(resource_id: str, kind: str, properties: Json) -> Json:
    name = resource_id.rpartition("/")[2]
    return {
        "id": resource_id,
        "name": name,
        "type": f"Microsoft.Authorization/{kind}",
        "properties": properties,
    }


def _check_filter(call: Call) -> None:
    if call.query.get("$filter", "").replace(" ", "").lower() != "atscope()":
        raise ArmError(501, "NotImplemented", "Of policies, only $filter=atScope() is emulated.")
