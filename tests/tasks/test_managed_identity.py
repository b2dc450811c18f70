"""Guide: Create infrastructure, "Create a user-assigned managed identity"."""

from environment.journal import Journal
from environment.spec import EnvironmentSpec
from tasks.managed_identity import ensure_managed_identity
from tasks.preflight import preflight
from tasks.resource_group import ensure_resource_group

from ..sandbox.conftest import SandboxProcess


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
