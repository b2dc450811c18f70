"""Azure Policy's effects that change what is written, or what is there afterwards.

- `modify`: before a resource provider sees a PUT or PATCH, fields get the policy's values. Its answer and every later
  read show those. Tags of a resource are fields as well. Before `deny`, in ARM's order:
  https://learn.microsoft.com/azure/governance/policy/concepts/effect-modify,
  https://learn.microsoft.com/azure/governance/policy/concepts/effect-basics#order-of-evaluation
- `deploy` (DeployIfNotExists): some time after the provider has taken the write, what is missing is deployed by the
  assignment's own identity. The answer tells nothing of it:
  https://learn.microsoft.com/azure/governance/policy/concepts/effect-deploy-if-not-exists

- `deny`, where all of `deny_when` hold and one of `deny_unless` doesn't: the gateway refuses the write, and
  `providers/policy_insights.py` tells of it beforehand. Not below a scope that is exempt or excluded, and not from an
  assignment that isn't enforced: https://learn.microsoft.com/azure/governance/policy/concepts/assignment-structure

Left out: append, audit, remediation tasks, exemptions from Modify, and of what AKS makes in its node resource group
everything but `deny`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.responses import ArmError

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]


def denying(sandbox: Sandbox, type_: str, body: Json, resource_id: str = "") -> Iterator[Json]:
    """The policies that deny such a resource; without its ID, whether or not it is exempt."""
    for policy in sandbox.settings["policies"]:
        if {"modify", "deploy"} & set(policy) or not is_about(policy, type_):
            continue
        if resource_id and not _holds_for(policy, resource_id):
            continue
        if not all(_holds(body, *one) for one in policy.get("deny_when", {}).items()):
            continue
        unless = policy.get("deny_unless", {})
        if not unless or not all(_holds(body, *one) for one in unless.items()):
            yield policy


def _holds_for(policy: Json, resource_id: str) -> bool:
    spared = [*policy.get("exempt", []), *policy.get("not_scopes", [])]
    return bool(policy.get("enforced", True)) and not any(
        f"{resource_id}/".lower().startswith(f"{scope}/".lower()) for scope in spared
    )


def _holds(body: Json, path: str, wanted: Any) -> bool:
    """Whether a field has a value, or any at all for `*`; of a list, `name[*].field`, in each of its items."""
    found = _values(body, path.split("."))
    return all(value is not None if wanted == "*" else value == wanted for value in found)


def _values(body: Any, path: list[str]) -> list[Any]:
    if not path:
        return [body]
    step, *rest = path
    found = body.get(step.removesuffix("[*]")) if isinstance(body, dict) else None
    if step.endswith("[*]"):
        items = found if isinstance(found, list) else []
        return [value for item in items for value in _values(item, rest)]
    return _values(found, rest)


def modify(sandbox: Sandbox, call: Call) -> None:
    """Let the policies that modify a type change a request's body."""
    for policy in sandbox.settings["policies"]:
        if not is_about(policy, call.type):
            continue
        for path, value in (policy.get("modify") or {}).items():
            _put(call.body, path.split("."), value)


def deploy_later(sandbox: Sandbox, call: Call) -> None:
    """Let the policies that deploy if something doesn't exist look at what was just written, in their time."""
    for policy in sandbox.settings["policies"]:
        for wanted in (policy.get("deploy") or ()) if is_about(policy, call.type) else ():
            target, group = call.id, call.id.partition("/providers/")[0]
            resource_id = str(wanted["id"]).replace("{id}", target).replace("{group}", group)
            delay_s = sandbox.durations.seconds("policy_deployment", resource_id)
            sandbox.clock.call_later(delay_s, partial(_deploy, sandbox, target, resource_id, wanted))


def is_about(policy: Json, type_: str) -> bool:
    """Whether a policy is one for the type."""
    return bool(re.fullmatch(policy.get("type", ".*"), type_, re.I))


def _put(body: Json, path: list[str], value: Any) -> None:
    *above, name = path
    for key in above:
        inner = body.setdefault(key, {})
        if not isinstance(inner, dict):
            return
        body = inner
    if value is None:
        body.pop(name, None)
    else:
        body[name] = value


def _deploy(sandbox: Sandbox, target: str, resource_id: str, wanted: Json) -> None:
    if sandbox.store.get(target) is None or sandbox.store.get(resource_id) is not None:
        return
    body = copy.deepcopy(wanted.get("body") or {})
    body.setdefault("properties", {})
    sandbox.store.put(resource_id, str(wanted["type"]), body)


def policy_name(policy: Json) -> str:
    """The name of a policy's definition and of its assignment."""
    return str(policy.get("name", "sandbox-policy"))


def policy_ids(sandbox: Sandbox, policy: Json) -> tuple[str, str]:
    """The IDs of a policy's assignment and of its definition."""
    above, name = f"{sandbox.subscription}/providers/Microsoft.Authorization", policy_name(policy)
    return f"{above}/policyAssignments/{name}", f"{above}/policyDefinitions/{name}"


def policy_error(sandbox: Sandbox, policy: Json, resource_id: str) -> ArmError:
    """ARM's 403 for a resource that a policy denies."""
    name = policy_name(policy)
    assignment_id, definition_id = policy_ids(sandbox, policy)
    identifiers = [
        {
            "policyAssignment": {"name": name, "id": assignment_id},
            "policyDefinition": {"name": name, "id": definition_id},
        }
    ]
    target = resource_id.rsplit("/", 1)[-1]
    return ArmError(
        403,
        "RequestDisallowedByPolicy",
        f"Resource '{target}' was disallowed by policy. Policy identifiers: '{json.dumps(identifiers)}'.",
        target=target,
        additional_info=[
            {
                "type": "PolicyViolation",
                "info": {
                    "policyDefinitionDisplayName": name,
                    "policyDefinitionId": definition_id,
                    "policyDefinitionName": name,
                    "policyDefinitionEffect": "deny",
                    "policyAssignmentId": assignment_id,
                    "policyAssignmentName": name,
                    "policyAssignmentDisplayName": name,
                    "policyAssignmentScope": sandbox.subscription,
                    "policyAssignmentParameters": {},
                },
            }
        ],
    )
