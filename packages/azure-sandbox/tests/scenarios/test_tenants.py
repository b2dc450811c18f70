"""Tenants that deny what lacks a setting of theirs: the write is refused, and Azure Policy says so beforehand."""

import copy
import uuid
from typing import Any

from azure_sandbox.client import SandboxProcess

from .conftest import ACCOUNT, CLUSTER, GRAFANA

Json = dict[str, Any]
VERSIONS = {
    "Microsoft.Storage/storageAccounts": "2024-01-01",
    "Microsoft.Dashboard/grafana": "2024-10-01",
    "Microsoft.ContainerService/managedClusters": "2025-05-01",
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
}
CHECK = "/providers/Microsoft.PolicyInsights/checkPolicyRestrictions"


def told(sandbox: SandboxProcess, scope: str, kind: str, body: Json) -> list[str]:
    """The assignments that would deny the resource."""
    content = {"type": kind, "name": "new1", **body}
    asked = {"resourceDetails": {"resourceContent": content, "apiVersion": VERSIONS[kind]}}
    answer = sandbox.arm("POST", scope + CHECK, asked, api_version="2024-10-01")
    assert answer.status_code == 200, answer.text
    found = answer.json()["contentEvaluationResult"]["policyEvaluations"]
    assert all(one["evaluationResult"] == "NonCompliant" for one in found)
    assert all(one["effectDetails"] == {"policyEffect": "Deny"} for one in found)
    return [one["policyInfo"]["policyAssignmentId"].rpartition("/")[2] for one in found]


def denied(sandbox: SandboxProcess, group: str, kind: str, body: Json, name: str = "new1") -> bool:
    answer = sandbox.arm("PUT", f"{group}/providers/{kind}/{name}", body, api_version=VERSIONS[kind])
    if answer.status_code < 300:
        return False
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "RequestDisallowedByPolicy")
    return True


def with_properties(body: Json, **properties: Any) -> Json:
    return {**body, "properties": {**body.get("properties", {}), **properties}}


def refused_without(sandbox: SandboxProcess, group: str, kind: str, body: Json, wanted: Json) -> None:
    """Denied as it is, and told in the group and above it; neither with the setting."""
    for scope in (group, sandbox.subscription):
        assert len(told(sandbox, scope, kind, body)) == 1
        assert told(sandbox, scope, kind, wanted) == []
    assert denied(sandbox, group, kind, body)
    assert not denied(sandbox, group, kind, wanted)


def test_tenant_denies_local_accounts(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("tenant-denies-local-accounts")
    entra = {"aadProfile": {"managed": True, "enableAzureRBAC": True}, "disableLocalAccounts": True}
    kind = "Microsoft.ContainerService/managedClusters"
    refused_without(sandbox, group, kind, CLUSTER, with_properties(CLUSTER, **entra))


def test_tenant_denies_shared_keys(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("tenant-denies-shared-keys")
    wanted = with_properties(ACCOUNT, allowSharedKeyAccess=False)
    refused_without(sandbox, group, "Microsoft.Storage/storageAccounts", ACCOUNT, wanted)


def test_tenant_denies_public_storage(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("tenant-denies-public-storage")
    wanted = with_properties(ACCOUNT, publicNetworkAccess="Disabled")
    refused_without(sandbox, group, "Microsoft.Storage/storageAccounts", ACCOUNT, wanted)


def test_tenant_denies_public_grafana(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("tenant-denies-public-grafana")
    registered = {"Microsoft.Dashboard": True, "Microsoft.Monitor": True}
    sandbox.settings(registered=registered)
    wanted = with_properties(GRAFANA, publicNetworkAccess="Disabled")
    refused_without(sandbox, group, "Microsoft.Dashboard/grafana", GRAFANA, wanted)


def test_tenant_demands_own_subnet(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("tenant-demands-own-subnet")
    kind = "Microsoft.ContainerService/managedClusters"
    wanted, half = copy.deepcopy(CLUSTER), copy.deepcopy(CLUSTER)
    pools = wanted["properties"]["agentPoolProfiles"]
    pools[0]["vnetSubnetID"] = f"{group}/providers/Microsoft.Network/virtualNetworks/hub/subnets/nodes"
    half["properties"]["agentPoolProfiles"].append(*copy.deepcopy(pools))
    assert told(sandbox, group, kind, CLUSTER) == ["clusters-in-our-network"]
    assert told(sandbox, group, kind, half) == ["clusters-in-our-network"]
    assert told(sandbox, group, kind, wanted) == []
    assert denied(sandbox, group, kind, CLUSTER)


def test_tenant_demands_private_api_server(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("tenant-demands-private-api-server")
    kind = "Microsoft.ContainerService/managedClusters"
    private = with_properties(CLUSTER, apiServerAccessProfile={"enablePrivateCluster": True})
    assert told(sandbox, group, kind, CLUSTER) == ["private-clusters"]
    assert told(sandbox, group, kind, private) == []
    assert denied(sandbox, group, kind, CLUSTER)


def test_tenant_denies_role_assignments(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("tenant-denies-role-assignments")
    kind = "Microsoft.Authorization/roleAssignments"
    assert told(sandbox, sandbox.subscription, kind, {}) == ["no-role-assignments"]
    assert denied(sandbox, group, kind, {"properties": {"principalId": "p"}}, str(uuid.uuid4()))
