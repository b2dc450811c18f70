"""Microsoft.PolicyInsights: what policies would say of a resource that nobody has written yet.

Azure's documentation doesn't say whether exemptions, excluded scopes and enforcement count here; the sandbox tells what
is denied without them, so that nobody builds on the other answer.

Left out: states, events, remediations, `fieldRestrictions` but of what a policy sets, audits, and `pendingFields`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.policies import denying, is_about, policy_ids
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
    restrictions = list(_set_by_policies(call, str(content.get("type", ""))))
    body = {"fieldRestrictions": restrictions, "contentEvaluationResult": {"policyEvaluations": found}}
    return Response(200, body)


def _set_by_policies(call: Call, type_: str) -> Iterator[Json]:
    """The fields that policies set or remove: https://learn.microsoft.com/rest/api/policy/policy-restrictions."""
    for policy in call.sandbox.settings["policies"]:
        for path, value in (policy.get("modify") or {}).items() if is_about(policy, type_) else ():
            assignment, definition = policy_ids(call.sandbox, policy)
            restriction = {
                "result": "Removed" if value is None else "Required",
                "policyEffect": "Modify",
                "policy": {"policyDefinitionId": definition, "policyAssignmentId": assignment},
                **({} if value is None else {"defaultValue": str(value), "values": [str(value)]}),
            }
            is_tag = path.startswith("tags.")
            field = path if is_tag else f"{type_}/{path.removeprefix('properties.')}"
            yield {"field": field, "restrictions": [restriction]}
