"""Guide: Create infrastructure, "Create a user-assigned managed identity"."""

import pytest

from aks_postgres.errors import ImmutableChange
from aks_postgres.reports.journal import Journal
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.tasks.managed_identity import ensure_managed_identity
from aks_postgres.tasks.preflight import preflight
from aks_postgres.tasks.resource_group import ensure_resource_group
from aks_postgres.tasks.storage import ensure_blob_roles
from azure_sandbox.client import SandboxProcess

from .conftest import world_with
from .world import World

ROLES = "2022-04-01"


async def test_absent_is_created_and_matching_writes_nothing(
    azure: SandboxProcess, journal: Journal, spec: EnvironmentSpec
) -> None:
    place = await preflight.fn(spec)
    group = await ensure_resource_group.fn(spec, place)
    first = await ensure_managed_identity.fn(spec, place, group)
    assert first.change.kind == "created"
    second = await ensure_managed_identity.fn(spec, place, group)
    assert second.change.kind == "unchanged"
    assert second.principal_id == first.principal_id
    assert len(azure.ledger(method="PUT", operation="UserAssignedIdentities_CreateOrUpdate")) == 1


async def test_an_identity_for_backups_gets_the_role_and_the_cluster_s_gets_none(world: World) -> None:
    separate = world_with(world, storage={"identity": "separate"})
    await separate.prepare("storage_account", "backup_identity")
    cluster, backups = separate.made["identity"], separate.made["backup_identity"]
    made = await ensure_blob_roles.fn(separate.spec, backups, separate.made["storage_account"])
    (role,) = made.ids
    assert world.read(role, ROLES)["properties"]["principalId"] == backups.principal_id
    assert backups.principal_id != cluster.principal_id


@pytest.mark.parametrize(("before", "after"), [("shared", "separate"), ("separate", "shared")])
async def test_the_other_way_takes_a_rebuild(world: World, before: str, after: str) -> None:
    was = world_with(world, storage={"identity": before})
    await was.prepare("storage_account", "identity", *(["backup_identity"] if before == "separate" else []))
    mine = was.made.get("backup_identity", was.made["identity"])
    await ensure_blob_roles.fn(was.spec, mine, was.made["storage_account"])
    world.mark()
    now = world_with(was, storage={"identity": after})
    with pytest.raises(ImmutableChange, match=r"storage\.identity is") as refused:
        await now.run("identity" if after == "shared" else "backup_identity")
    assert f"{before!r} and the spec wants {after!r}" in str(refused.value)
    assert "aks-postgres rebuild" in str(refused.value)
    assert world.writes() == []
