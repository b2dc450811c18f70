"""Microsoft.PolicyInsights: what policies would say of a resource that nobody has written yet.

Left out: states, events, remediations, `fieldRestrictions` (none is named), audits, and `pendingFields`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.core.policies import denying, policy_ids
from azure_sandbox.core.provider import Provider
from azure_sandbox.core.responses import Response

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call

Json = dict[str, Any]

provider = Provider("Microsoft.PolicyInsights")
provider.type(
    "checkPolicyRestrictions",
    api_versions=("2020-07-01", "2022-03-01", "2023-03-01", "2024-10-01"),
    tracked=False,
)

# A POST that is a read:
# https://learn.microsoft.com/azure/role-based-access-control/permissions/management-and-governance#microsoftpolicyinsights
READ = "Microsoft.PolicyInsights/checkPolicyRestrictions/read"
SHAPE = {"resourceDetails": {"scope": str, "apiVersion": str}, "includeAuditEffect": bool}


@provider.post("checkPolicyRestrictions", scope="subscription", permission=READ)
def policy_restrictions_check_at_subscription_scope(call: Call) -> Response:
    """PolicyRestrictions_CheckAtSubscriptionScope: the policies that would deny the content as it is.

    REST: https://learn.microsoft.com/rest/api/policy/policy-restrictions/check-at-subscription-scope
    """
    return _evaluated(call)


@provider.post("checkPolicyRestrictions", permission=READ)
def policy_restrictions_check_at_resource_group_scope(call: Call) -> Response:
    """PolicyRestrictions_CheckAtResourceGroupScope: the same in a resource group.

    REST: https://learn.microsoft.com/rest/api/policy/policy-restrictions/check-at-resource-group-scope
    """
    return _evaluated(call)


def _evaluated(call: Call) -> Response:
    call.check_shape(SHAPE)
    content: Json = call.require("resourceDetails", "resourceContent")
    found = []
    for policy in denying(call.sandbox, str(content.get("type", "")), content):
        assignment, definition = policy_ids(call.sandbox, policy)
        found.append(
            {
                "policyInfo": {"policyDefinitionId": definition, "policyAssignmentId": assignment},
                "evaluationResult": "NonCompliant",
                "evaluationDetails": {"evaluatedExpressions": []},
                "effectDetails": {"policyEffect": "Deny"},
            }
        )
    return Response(200, {"fieldRestrictions": [], "contentEvaluationResult": {"policyEvaluations": found}})
