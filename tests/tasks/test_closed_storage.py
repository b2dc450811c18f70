"""An account without shared keys and without a public way in: what is written, and that no way of ours needs either."""

from aks_postgres.resources.storage_account import desired
from aks_postgres.runs.write_lock import CONTAINER
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for
from .world import World

CLOSED = {"shared_keys": "denied", "public_network_access": "disabled"}


def test_what_is_allowed_is_left_to_azure_and_its_policies(azure: SandboxProcess) -> None:
    written = {"allowSharedKeyAccess", "publicNetworkAccess"}
    assert not written & desired(spec_for(azure))["properties"].keys()
    closed = desired(spec_for(azure, storage=CLOSED))["properties"]
    assert {name: closed[name] for name in written} == {
        "allowSharedKeyAccess": False,
        "publicNetworkAccess": "Disabled",
    }


async def test_steps_and_lock_work_without_keys_and_public_access(world: World) -> None:
    world.spec = spec_for(world.azure, storage=CLOSED)
    await world.prepare("blob_roles", "container", "backup_protection", "backup_lifecycle")
    account = world.made["storage_account"]
    live = world.read(account.id, "2025-08-01")["properties"]
    assert (live["allowSharedKeyAccess"], live["publicNetworkAccess"]) == (False, "Disabled")
    path = f"{account.id}/blobServices/default/containers/{CONTAINER}"
    assert world.azure.arm("PUT", path, {}, api_version="2025-08-01").ok
    lease = {"action": "Acquire", "leaseDuration": -1}
    assert world.azure.arm("POST", f"{path}/lease", lease, api_version="2025-08-01").ok
    assert (await world.run("storage_account")).change.kind == "unchanged"
    assert not any(entry["service"] == "blob" for entry in world.azure.ledger())
