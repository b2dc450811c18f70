"""What is sent back of a resource that is there: nothing of Azure's own, and nothing of anybody else's by PATCH."""

from typing import Any

import pytest

from aks_postgres.arm.diff import merged
from aks_postgres.arm.writable import patch_of, without_read_only


def operations() -> dict[str, Any]:
    from azure.mgmt.containerservice.aio.operations import AgentPoolsOperations, ManagedClustersOperations
    from azure.mgmt.monitor.aio.operations import (
        AzureMonitorWorkspacesOperations,
        DataCollectionRulesOperations,
    )
    from azure.mgmt.msi.v2024_11_30.aio.operations import UserAssignedIdentitiesOperations
    from azure.mgmt.resource.resources.aio.operations import ResourceGroupsOperations

    return {
        "cluster": ManagedClustersOperations.get,
        "pool": AgentPoolsOperations.get,
        "rule": DataCollectionRulesOperations.get,
        "account": AzureMonitorWorkspacesOperations.get,
        "identity": UserAssignedIdentitiesOperations.get,
        "group": ResourceGroupsOperations.get,
    }


# By type: what Azure answers, and which of it only Azure writes.
LIVE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "cluster": (
        {
            "id": "/x",
            "name": "aks",
            "location": "westus3",
            "identity": {
                "type": "UserAssigned",
                "principalId": "p",
                "userAssignedIdentities": {"/mi": {"principalId": "p", "clientId": "c"}},
            },
            "properties": {
                "provisioningState": "Succeeded",
                "powerState": "Running",
                "fqdn": "f",
                "kubernetesVersion": "1.35",
                "currentKubernetesVersion": "1.35.2",
                "agentPoolProfiles": [
                    {
                        "name": "one",
                        "count": 3,
                        "provisioningState": "Succeeded",
                        "eTag": "e",
                        "orchestratorVersion": "1",
                    }
                ],
            },
        },
        [
            *("id", "provisioningState", "powerState", "fqdn", "currentKubernetesVersion", "eTag"),
            *("principalId", "clientId"),
        ],
    ),
    "pool": (
        {"id": "/x", "name": "p", "properties": {"count": 3, "provisioningState": "Succeeded", "eTag": "e"}},
        ["id", "provisioningState", "eTag"],
    ),
    "rule": (
        {
            "location": "w",
            "etag": "e",
            "properties": {"immutableId": "dcr-1", "description": "d", "endpoints": "e"},
        },
        ["etag", "immutableId", "endpoints"],
    ),
    "account": (
        {"location": "w", "properties": {"accountId": "a", "metrics": "m"}},
        ["accountId", "metrics"],
    ),
    "identity": (
        {
            "location": "w",
            "tags": {"a": "b"},
            "properties": {"principalId": "p", "clientId": "c", "tenantId": "t"},
        },
        ["principalId", "clientId", "tenantId"],
    ),
    "group": ({"location": "w", "properties": {"provisioningState": "Succeeded"}}, ["provisioningState"]),
}


def _keys(node: Any) -> set[str]:
    if isinstance(node, dict):
        return set(node).union(*map(_keys, node.values()))
    return set().union(*map(_keys, node)) if isinstance(node, list) else set()


@pytest.mark.parametrize("kind", LIVE)
def test_a_whole_resource_goes_back_without_what_only_azure_writes(kind: str) -> None:
    live, read_only = LIVE[kind]
    assert _keys(live) >= set(read_only)
    sent = without_read_only(operations()[kind], merged(live, {"tags": {"owner": "me"}}), live)
    assert not _keys(sent) & set(read_only)
    assert _keys(sent) >= _keys(live) - set(read_only)
    assert sent["tags"]["owner"] == "me"


def test_what_is_ours_is_sent_even_where_a_model_says_that_it_is_azures() -> None:
    live, _ = LIVE["cluster"]
    body = merged(live, {"properties": {"fqdn": "ours"}})
    assert without_read_only(operations()["cluster"], body, live)["properties"]["fqdn"] == "ours"


def test_a_patch_holds_what_changes_and_nobodys_other_values() -> None:
    live = {
        "id": "/x",
        "location": "West US 3",
        "sku": {"name": "Standard"},
        "tags": {"theirs": "1", "owner": "old"},
        "properties": {"grafanaMajorVersion": "10", "apiKey": "Enabled", "endpoint": "https://x"},
    }
    wanted = {"location": "westus3", "tags": {"owner": "new"}, "properties": {"apiKey": "Disabled"}}
    assert patch_of(merged(live, wanted), live) == {
        "tags": {"theirs": "1", "owner": "new"},
        "properties": {"apiKey": "Disabled"},
    }
