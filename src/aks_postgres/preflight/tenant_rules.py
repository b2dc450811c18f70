"""What the tenant's policies would deny of an environment, and the setting of the spec for each such rule.

Azure Policy is asked what it would say of the bodies that the steps would write; what it denies is asked about once
more with each setting. So the rule itself is never read, and any policy of the same meaning is understood.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import merged
from aks_postgres.arm.kind import Kind
from aks_postgres.arm.responses import ArmFault, Json
from aks_postgres.arm.retry import read_once
from aks_postgres.errors import ProvisioningError
from aks_postgres.preflight.facts import RegionFacts, pages
from aks_postgres.preflight.findings import FINE, Findings, problem, warning
from aks_postgres.preflight.generations import state_of_generation
from aks_postgres.reports.outputs import CheckedTarget
from aks_postgres.resources import (
    grafana,
    managed_cluster,
    managed_identity,
    role_assignments,
    storage_account,
)
from aks_postgres.spec.environment import EnvironmentSpec

# https://learn.microsoft.com/rest/api/policy/policy-restrictions
_API_VERSION = "2024-10-01"
_PATH = "/providers/Microsoft.PolicyInsights/checkPolicyRestrictions"
_ASSIGNMENTS = "2023-04-01"
_EXEMPTIONS = "2022-07-01-preview"
_SUBNET = "/providers/Microsoft.Network/virtualNetworks/yours/subnets/yours"


@dataclass(frozen=True)
class Setting:
    """A field of the spec that satisfies a tenant's rule.

    Args:
        name: of the field.
        way_out: what to do.
        kind: what the rule is about.
        adds: what the setting adds to the resource.
        pools: what it adds to each of a cluster's pools.
        is_left_out: whether with the setting a run writes no such resource.
    """

    name: str
    way_out: str
    kind: Kind
    adds: Json = field(default_factory=dict)
    pools: Json = field(default_factory=dict)
    is_left_out: bool = False


SETTINGS = (
    Setting(
        "cluster.access",
        "Set cluster.access: entra.",
        managed_cluster.KIND,
        {
            "properties": {
                "aadProfile": {"managed": True, "enableAzureRBAC": True},
                "disableLocalAccounts": True,
            }
        },
    ),
    Setting(
        "storage.shared_keys",
        "Set storage.shared_keys: denied.",
        storage_account.KIND,
        {"properties": {"allowSharedKeyAccess": False}},
    ),
    Setting(
        "storage.public_network_access",
        "Set storage.public_network_access: disabled.",
        storage_account.KIND,
        {"properties": {"publicNetworkAccess": "Disabled"}},
    ),
    Setting(
        "monitoring.grafana_public_network_access",
        "Set monitoring.grafana_public_network_access: disabled.",
        grafana.KIND,
        {"properties": {"publicNetworkAccess": "Disabled"}},
    ),
    Setting(
        "network.subnet_id",
        "Set network.subnet_id to a subnet that your network team has made.",
        managed_cluster.KIND,
        pools={"vnetSubnetID": _SUBNET},
    ),
    Setting(
        "network.private_api_server",
        "A private API server isn't offered: have the environment exempted from this policy, or choose another "
        "subscription.",
        managed_cluster.KIND,
        {"properties": {"apiServerAccessProfile": {"enablePrivateCluster": True}}},
    ),
    Setting("roles", "Set roles: verify.", role_assignments.KIND, is_left_out=True),
)


async def judge_tenant_rules(
    azure: Azure, spec: EnvironmentSpec, target: CheckedTarget, groups: Sequence[Json]
) -> dict[str, Findings]:
    """Return what policies say of each resource type that a run would create.

    A finished environment is asked about nothing. Refused are only settings that surely are; the rest are warnings.

    Args:
        azure: the connection.
        spec: the environment wanted.
        target: where it goes; its Kubernetes version may be another one.
        groups: the resource groups that are there: a policy may hold in some and not in others.
    """
    there = {str(group["name"]).casefold(): group for group in groups}
    if state_of_generation(there.get(target.names.resource_group.casefold(), {})) == "current":
        return {}
    written = _written(spec, target)
    found = await asyncio.gather(*(_judge(azure, target, there, kind, body) for kind, body in written))
    told = {
        kind.type: one for (kind, _), one in zip(written, found, strict=True) if isinstance(one, Findings)
    }
    for silent in (one for one in found if isinstance(one, str)):
        text = f"Azure Policy couldn't be asked what it denies, so a denial shows at the write: {silent}"
        told[""] = warning("subscription_id", text)  # the same for each type
    return told


def of_what_is_missing(rules: dict[str, Findings], region: RegionFacts) -> Findings:
    """Leave out what is there already: a policy denies writes, and nothing that nobody writes."""
    there = {
        storage_account.KIND.type: region.storage_account is not None,
        grafana.KIND.type: region.has_grafana,
        managed_cluster.KIND.type: region.cluster is not None,
        role_assignments.KIND.type: region.cluster is not None,
    }
    return sum((findings for type_, findings in rules.items() if not there.get(type_)), FINE)


def _written(spec: EnvironmentSpec, target: CheckedTarget) -> list[tuple[Kind, Json]]:
    """What the steps would write of the kinds that a setting is about."""
    identity = target.resource_id(managed_identity.KIND.type, target.names.identity)
    wanted, once = managed_cluster.desired(spec, target, identity)
    role = f"/subscriptions/{target.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/"
    role += role_assignments.STORAGE_BLOB_DATA_CONTRIBUTOR
    assignment = {"properties": {"roleDefinitionId": role, "principalType": "ServicePrincipal"}}
    return [
        (storage_account.KIND, storage_account.desired(spec)),
        (grafana.KIND, grafana.desired(spec)),
        (managed_cluster.KIND, merged(once, wanted)),
        *([(role_assignments.KIND, assignment)] if spec.roles == "create" else []),
    ]


async def _judge(
    azure: Azure, target: CheckedTarget, there: dict[str, Json], kind: Kind, body: Json
) -> Findings | str:
    """A text where Azure gives no answer, or none that can be read."""
    names = target.names
    group = names.backup_group if kind is storage_account.KIND else names.resource_group
    group_id = f"/subscriptions/{target.subscription_id}/resourceGroups/{group}"
    # Without the group, Azure can only be asked about the subscription.
    scope = group_id if group.casefold() in there else f"/subscriptions/{target.subscription_id}"
    try:
        denying = await _denying(azure, scope, kind, body)
        if not denying:
            return FINE
        in_force = await _in_force(azure, scope, group_id)
        found = FINE
        for setting in (setting for setting in SETTINGS if setting.kind is kind):
            left = {} if setting.is_left_out else await _denying(azure, scope, kind, _with(setting, body))
            for assignment in sorted(denying.keys() - left):
                told = f"{_named(assignment)} denies {kind.word} as this spec has it"
                if denying[assignment] and assignment in in_force:
                    found += problem(setting.name, f"{told}.", f"{setting.way_out} Then run again.")
                else:
                    text = f"{told}, unless it is exempt or changed on its way, which Azure alone knows."
                    found += warning(setting.name, f"{text} If it is denied: {setting.way_out}")
            denying = {assignment: sure for assignment, sure in denying.items() if assignment in left}
    except (ArmFault, ProvisioningError) as error:
        return str(error)
    except (LookupError, TypeError, AttributeError):
        return "its answer can't be read"
    for assignment in sorted(denying):
        text = (
            f"{_named(assignment)} denies {kind.word} as this spec has it, and no setting alone changes that."
        )
        found += warning("subscription_id", text)
    return found


def _named(assignment: str) -> str:
    return f"the policy {assignment.rpartition('/')[2]} of your organization ({assignment})"


def _with(setting: Setting, body: Json) -> Json:
    pools = [{**pool, **setting.pools} for pool in body["properties"].get("agentPoolProfiles", ())]
    more = {"properties": {"agentPoolProfiles": pools}} if setting.pools else {}
    found: Json = merged(merged(body, setting.adds), more)
    return found


async def _denying(azure: Azure, scope: str, kind: Kind, body: Json) -> dict[str, bool]:
    """The assignments that would deny such a resource, and whether no other policy changes it before.

    Azure tells what is denied as it is asked about, and Modify and Append come before Deny:
    https://learn.microsoft.com/azure/governance/policy/concepts/effect-basics#order-of-evaluation
    """
    asked = {"resourceDetails": {"resourceContent": {"type": kind.type, **body}}}
    # Once: a run doesn't wait for what is only good to know.
    answer = (await read_once(lambda: azure.ask(f"{scope}{_PATH}", _API_VERSION, asked))).body
    is_changed = any(
        restriction["result"] in ("Required", "Removed") and not field["field"].startswith("tags")
        for field in answer.get("fieldRestrictions") or ()
        for restriction in field["restrictions"]
    )
    evaluated = (answer.get("contentEvaluationResult") or {}).get("policyEvaluations") or ()
    return {
        str(one["policyInfo"]["policyAssignmentId"]): not is_changed
        for one in evaluated
        if one.get("evaluationResult") == "NonCompliant"
        and str((one.get("effectDetails") or {}).get("policyEffect")).casefold() == "deny"
    }


async def _in_force(azure: Azure, scope: str, group_id: str) -> set[str]:
    """The assignments from which nothing in the group is spared: enforced, without an exclusion or an exemption.

    Azure doesn't say whether its answer above minds these. An exemption that has ended, or is of a part of an
    initiative, counts as one.
    """
    path = f"{scope}/providers/Microsoft.Authorization"
    assigned, exemptions = await asyncio.gather(
        pages(azure, "policy assignments", f"{path}/policyAssignments", _ASSIGNMENTS, filter="atScope()"),
        pages(azure, "policy exemptions", f"{path}/policyExemptions", _EXEMPTIONS, filter="atScope()"),
    )
    exempt = {str(one["properties"]["policyAssignmentId"]).casefold() for one in exemptions}
    return {
        str(one["id"])
        for one in assigned
        if str(one["id"]).casefold() not in exempt
        and one["properties"].get("enforcementMode", "Default") == "Default"
        and not any(
            f"{group_id}/".casefold().startswith(f"{each}/".casefold())
            for each in one["properties"].get("notScopes") or ()
        )
    }
