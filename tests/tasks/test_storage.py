"""Guide: "Create a storage account in the primary region"."""

import pytest

from aks_postgres.arm.errors import AzureRefused

from .conftest import world_with
from .resources import storage_account, storage_account_id
from .world import LONG_S, World

API = "2025-08-01"
PUT_ACCOUNT = "StorageAccounts_Create"
PUT_CONTAINER = "BlobContainers_Create"


async def test_the_first_answer_without_a_body_is_followed_to_the_end(world: World) -> None:
    """202, nothing else: https://github.com/Azure/azure-powershell (recording TestNewAzureStorageAccount)"""
    made = await world.run("storage_account")
    assert [write["status"] for write in world.writes()] == [202]
    live = world.read(made.id, API)
    assert live["properties"]["provisioningState"] == "Succeeded"
    assert made.blob_endpoint == live["properties"]["primaryEndpoints"]["blob"]
    assert made.resource_group == world.place.names.backup_group


async def test_a_name_that_somebody_else_has_is_refused_at_once(world: World) -> None:
    world.azure.settings(taken_storage_names=[world.place.names.storage_account])
    with pytest.raises(AzureRefused, match="Somebody else has this storage account name") as refused:
        await world.run("storage_account")
    assert refused.value.code == "StorageAccountAlreadyTaken"
    assert [write["status"] for write in world.writes()] == [409]


async def test_an_account_of_our_own_in_another_group_is_named(world: World) -> None:
    await world.prepare("backup_group", "resource_group")
    elsewhere = storage_account_id(world).replace(
        world.place.names.backup_group, world.place.names.resource_group
    )
    world.write(elsewhere, API, storage_account(world))
    with pytest.raises(AzureRefused, match="StorageAccountInAnotherResourceGroup") as refused:
        await world.run("storage_account")
    assert world.place.names.resource_group in str(refused.value)


async def test_an_account_busy_with_something_else_is_asked_again(world: World) -> None:
    """https://github.com/radius-project/radius/issues/8172"""
    made = await world.run("storage_account")
    world.change(made.id, API, {"tags.owner": "somebody"})
    world.azure.fault(
        {"status": 409, "code": "StorageAccountOperationInProgress", "message": "exclusive access"},
        operation="StorageAccounts_Update",
        times=2,
    )
    again = await world.run("storage_account")
    assert [write["status"] for write in world.writes()] == [409, 409, 200]
    assert again.change.kind == "updated"


async def test_a_region_without_the_redundancy_says_what_to_change(world: World) -> None:
    """https://github.com/Esri/arcgis-gitops/issues/160"""
    other = world_with(world, region="westus")
    with pytest.raises(AzureRefused, match=r"Choose another storage\.sku or another region") as refused:
        await other.run("storage_account")
    assert refused.value.code == "RedundancyConfigurationNotAvailableInRegion"


async def test_a_container_whose_name_is_being_freed_is_made_when_it_is_free(world: World) -> None:
    """The name stays blocked for 30 s: https://learn.microsoft.com/rest/api/storageservices/delete-container"""
    made = await world.run("container")
    world.azure.settings(durations={"container_name_blocked": LONG_S})
    assert world.azure.arm("DELETE", made.id, api_version=API).status_code == 200
    conflicts = world.when("conflict", lambda: world.azure.step(LONG_S))
    again = await world.run("container")
    assert {write["error_code"] for write in world.writes()[:-1]} == {"ContainerBeingDeleted"}
    assert "the container's old name is being freed" in conflicts[0]
    assert again.change.kind == "created"


async def test_as_in_the_guide_backups_can_live_in_the_environments_group(world: World) -> None:
    guide = world_with(world, storage={"backups": "in_environment_group"})
    group = await guide.run("backup_group")
    assert (guide.writes(), group.change.kind) == ([], "unchanged")
    assert group.name == guide.place.names.resource_group
    account = await guide.run("storage_account")
    assert account.resource_group == guide.place.names.resource_group


async def test_the_account_outlives_a_generation_and_is_found_by_the_next(world: World) -> None:
    first = await world.run("storage_account")
    later = type(world.place.names).of(world.spec, world.azure.subscription_id, 2)
    world.place = world.place.model_copy(update={"names": later, "generation": 2})
    world.made.clear()
    second = await world.run("storage_account")
    assert (second.id, second.change.kind, world.writes()) == (first.id, "unchanged", [])
