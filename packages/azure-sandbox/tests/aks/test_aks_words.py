"""Words in another case, and what needs a partner: taken or refused as AKS does it."""

from typing import Any

import pytest

from azure_sandbox.providers.aks_enums import CLUSTER, POOL, cluster_as_written, pool_as_written

from ..conftest import body_with

OVERLAY = {"networkPlugin": "azure", "networkPluginMode": "overlay", "networkDataplane": "cilium"}


@pytest.mark.parametrize(
    ("path", "word"), [(path, word) for path, words in CLUSTER.items() for word in words]
)
def test_a_clusters_words_are_taken_in_any_case(path: str, word: str) -> None:
    for spelt in (word, word.upper(), word.lower()):
        body = {"properties": body_with(path, spelt)}
        assert cluster_as_written(body) == {"properties": body_with(path, word)}


@pytest.mark.parametrize(("path", "word"), [(path, word) for path, words in POOL.items() for word in words])
def test_a_pools_words_are_taken_in_any_case(path: str, word: str) -> None:
    for spelt in (word, word.upper(), word.lower()):
        assert pool_as_written(body_with(path, spelt)) == body_with(path, word)


def test_a_cluster_in_another_case_is_the_same_cluster(azure: Any) -> None:
    """https://github.com/hashicorp/terraform-provider-azurerm/pull/19639"""
    network = {"networkPlugin": "Azure", "networkPluginMode": "Overlay", "networkDataplane": "Cilium"}
    cluster = azure.create(networkProfile=network, pools=[azure.pool("systempool", mode="system")])
    profile = cluster.network_profile
    assert (profile.network_plugin, profile.network_plugin_mode, profile.network_dataplane) == (
        "azure",
        "overlay",
        "cilium",
    )
    assert profile.pod_cidr == "10.244.0.0/16"
    (pool,) = cluster.agent_pool_profiles
    assert (pool.mode, pool.max_pods) == ("System", 250)


def _refused(azure: Any, **properties: Any) -> tuple[int, str, str, str]:
    error = azure.refused(azure.begin_create, **properties)
    body = error.response.json()
    body = body.get("error", body)
    assert list(azure.clusters.list()) == []
    return error.status_code, body["code"], body["message"], str(body.get("target"))


@pytest.mark.parametrize("path", ["networkProfile.networkPluginMode", "supportPlan"])
def test_a_word_that_is_none_is_refused(azure: Any, path: str) -> None:
    """https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update"""
    status, code, message, target = _refused(azure, **body_with(path, "sideways"))
    assert (status, code, target) == (400, "InvalidParameter", path)
    assert "sideways" in message


@pytest.mark.parametrize(
    ("network", "target", "text"),
    [
        (
            {"networkPlugin": "azure", "networkDataplane": "cilium"},
            "networkProfile.networkPluginMode",
            "Cilium dataplane requires either network plugin mode overlay or pod subnet",
        ),
        (
            {**OVERLAY, "networkPolicy": "calico"},
            "networkProfile.networkPolicy",
            "Cilium dataplane requires network policy cilium.",
        ),
        (
            {"networkPlugin": "azure", "networkPluginMode": "overlay", "networkPolicy": "cilium"},
            "networkProfile.networkPolicy",
            "requires cilium dataplane",
        ),
        (
            {"networkPlugin": "kubenet", "networkPluginMode": "overlay"},
            "networkProfile.networkPluginMode",
            "overlay requires networkPlugin azure",
        ),
        (
            {"networkPlugin": "kubenet", "networkDataplane": "cilium"},
            "networkProfile.networkDataplane",
            "cilium requires networkPlugin azure",
        ),
    ],
)
def test_a_network_without_its_partner_is_refused(
    azure: Any, network: dict[str, str], target: str, text: str
) -> None:
    """https://github.com/Azure/AKS/issues/3484 and https://github.com/Azure/AKS-Construction/issues/535 (raw)"""
    status, _, message, where = _refused(azure, networkProfile=network)
    assert (status, where) == (400, target)
    assert text in message


def test_cilium_with_a_pod_subnet_is_taken(azure: Any) -> None:
    """https://github.com/Azure/AKS/issues/3484"""
    pool = azure.pool("systempool", mode="System", podSubnetID=f"/subscriptions/{azure.subscription}/x/pods")
    cluster = azure.create(
        networkProfile={"networkPlugin": "azure", "networkDataplane": "cilium"}, pools=[pool]
    )
    assert cluster.network_profile.network_plugin_mode is None
    azure.update()


def test_workload_identity_needs_the_issuer(azure: Any) -> None:
    """https://learn.microsoft.com/azure/aks/workload-identity-deploy-cluster"""
    wanted = {"securityProfile": {"workloadIdentity": {"enabled": True}}}
    status, code, message, target = _refused(azure, **wanted)
    assert (status, code, target) == (400, "BadRequest", "securityProfile.workloadIdentity")
    assert "OIDC issuer" in message
    azure.create(**wanted, oidcIssuerProfile={"enabled": True})
    azure.update()


@pytest.mark.parametrize(
    "identity",
    [
        {"type": "UserAssigned"},
        {"type": "userassigned", "userAssignedIdentities": {}},
        {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": None},
    ],
)
def test_an_identity_of_the_users_is_named(azure: Any, identity: dict[str, Any]) -> None:
    """https://github.com/hashicorp/terraform-provider-azurerm/issues/17082 (raw)"""
    status, code, message, _ = _refused(azure, identity=identity)
    assert (status, code) == (400, "MissingIdentityIds")
    assert message == f"The identity ids must not be null or empty for '{identity['type']}' identity type."
