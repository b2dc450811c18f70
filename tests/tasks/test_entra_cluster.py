"""A cluster with Microsoft Entra ID and no local accounts: the run's own credential gets in, by a role given it."""

import uuid

import pytest
import yaml

from aks_postgres.arm.client import current_azure
from aks_postgres.arm.errors import AzureRefused
from aks_postgres.kubernetes.client import kubeconfig_of, kubeconfig_with_token
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.tasks.preflight import preflight

from ..conftest import spec_for
from .world import World

CLUSTER_ADMIN = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"


@pytest.fixture
def entra(world: World) -> World:
    world.spec = spec_for(world.azure, cluster={"access": "entra"})
    return world


def let_in(world: World) -> None:
    """What somebody does beforehand."""
    path = f"{world.azure.subscription}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    role = f"{world.azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{CLUSTER_ADMIN}"
    properties = {"roleDefinitionId": role, "principalId": world.azure.object_id}
    body = {"properties": {**properties, "principalType": "ServicePrincipal"}}
    assert world.azure.arm("PUT", path, body, api_version="2022-04-01").status_code == 201
    world.azure.settings(role_effect_s=0)


async def test_steps_get_in_with_the_runs_own_token_and_again_when_it_has_expired(entra: World) -> None:
    let_in(entra)
    await entra.prepare("namespaces")
    cluster = entra.made["cluster"]
    live = entra.read(cluster.id, "2026-08-01")["properties"]
    assert live["disableLocalAccounts"] is True
    assert (live["aadProfile"]["managed"], live["aadProfile"]["enableAzureRBAC"]) == (True, True)
    assert (await entra.run("cluster")).change.kind == "unchanged"
    entra.azure.fault({"expire_tokens": True}, operation="ManagedClusters_Get", nth=1)
    entra.azure.arm(
        "GET", cluster.id, api_version="2026-08-01"
    )  # somebody's request; the next one is Kubernetes'
    assert (await entra.run("namespaces")).change.kind == "unchanged"
    refused = [entry for entry in entra.requests(service="kubernetes") if entry["status"] == 401]
    assert refused
    asked = {entry["operation"] for entry in entra.azure.ledger()}
    assert "ManagedClusters_ListClusterAdminCredentials" not in asked

    # For a program that can't sign in, and for a person who can.
    (user,) = yaml.safe_load(
        await kubeconfig_with_token(current_azure(), cluster.resource_group, cluster.name)
    )["users"]
    assert list(user["user"]) == ["token"]
    (user,) = yaml.safe_load(await kubeconfig_of(current_azure(), cluster.resource_group, cluster.name))[
        "users"
    ]
    assert user["user"]["exec"]["command"] == "kubelogin"


async def test_without_the_role_the_way_out_names_it(entra: World) -> None:
    await entra.prepare("cluster", "api_server")  # its version is told to everybody
    with pytest.raises(AzureRefused, match="Azure Kubernetes Service RBAC Cluster Admin") as caught:
        await entra.run("namespaces")
    assert caught.value.code == "Forbidden"


async def test_the_preflight_demands_the_role_and_no_run_gives_it(entra: World) -> None:
    with pytest.raises(PreflightFailed) as caught:
        await preflight.fn(entra.spec)
    (problem,) = caught.value.problems
    assert problem.text.startswith("cluster.access: entra was given, and no role of the caller")
    assert "--role 'Azure Kubernetes Service RBAC Cluster Admin' --scope /subscriptions/" in problem.way_out
    assert not any(entry["method"] == "PUT" for entry in entra.azure.ledger())
    let_in(entra)
    await preflight.fn(entra.spec)


async def test_a_cluster_gets_entra_later_and_keeps_it(world: World) -> None:
    await world.prepare("cluster")
    let_in(world)
    local = world.spec
    world.spec = spec_for(world.azure, cluster={"access": "entra"})
    world.until_over()
    change = (await world.run("cluster")).change
    fields = {field.field for field in change.fields}
    assert "properties.disableLocalAccounts" in fields
    assert any(field.startswith("properties.aadProfile") for field in fields)
    world.spec = local
    assert (await world.run("cluster")).change.kind == "unchanged"
    await world.prepare("namespaces")
