"""`--persist`: a sandbox that is stopped and started again goes on where it was."""

import json
from pathlib import Path
from typing import Any

import pytest
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.storage import StorageManagementClient

from azure_sandbox.client import SandboxProcess, start

BODY = {"location": "canadacentral"}


def test_resources_identities_secrets_and_the_clock_survive_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    process = start(folder, "--persist", "--speed", "10")
    try:
        first = SandboxProcess(folder)
        group = f"{first.subscription}/resourceGroups/rg-test"
        assert first.arm("PUT", group, BODY, api_version="2024-11-01").status_code == 201
        identities = first.client(ManagedServiceIdentityClient).user_assigned_identities
        identity = identities.create_or_update("rg-test", "mi-a", BODY)
        account = {**BODY, "kind": "StorageV2", "sku": {"name": "Standard_ZRS"}}
        path = f"{group}/providers/Microsoft.Storage/storageAccounts/acc1"
        assert first.arm("PUT", path, account, api_version="2025-08-01").status_code == 202  # Still going on.
        first.settings(taken_storage_names=["foreign1"])
        first.step(5000)
        before: dict[str, Any] = first.control("GET", "resources")
    finally:
        process.terminate()
        process.wait(timeout=60)
    process = start(folder, "--persist", "--speed", "10")
    try:
        second = SandboxProcess(folder)
        assert second.description["client_secret"] == first.description["client_secret"]
        assert second.control("GET", "resources") == before
        assert second.control("GET", "clock")["now_s"] > 5000
        assert second.control("GET", "settings")["taken_storage_names"] == ["foreign1"]
        storage = second.client(StorageManagementClient).storage_accounts
        assert storage.get_properties("rg-test", "acc1").provisioning_state == "Succeeded"
        again = second.client(ManagedServiceIdentityClient).user_assigned_identities.get("rg-test", "mi-a")
        assert again.principal_id == identity.principal_id
    finally:
        process.terminate()
        process.wait(timeout=60)
    assert json.loads((folder / "state.json").read_text())["resources"]


@pytest.mark.thorough
def test_without_it_a_restart_is_empty(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    for _ in range(2):
        process = start(folder)
        try:
            sandbox = SandboxProcess(folder)
            group = f"{sandbox.subscription}/resourceGroups/rg-test"
            assert sandbox.arm("PUT", group, BODY, api_version="2024-11-01").status_code == 201
        finally:
            process.terminate()
            process.wait(timeout=60)


def test_a_state_is_gone_back_to_with_its_clusters_and_their_objects(
    sandbox: SandboxProcess, group: str
) -> None:
    principal = sandbox.client(ManagedServiceIdentityClient).user_assigned_identities
    identity = principal.create_or_update("rg-test", "mi-a", BODY)
    account = {**BODY, "kind": "StorageV2", "sku": {"name": "Standard_ZRS"}}
    path = f"{group}/providers/Microsoft.Storage/storageAccounts/acc1"
    assert sandbox.arm("PUT", path, account, api_version="2025-08-01").status_code == 202  # Still going on.
    state = sandbox.control("GET", "state")
    before = sandbox.control("GET", "resources")
    assert sandbox.arm("DELETE", group, api_version="2024-11-01").status_code == 202
    sandbox.step(5000)
    assert not sandbox.control("GET", "resources")["resources"]

    sandbox.control("PUT", "state", state)

    assert sandbox.control("GET", "resources") == before
    assert principal.get("rg-test", "mi-a").principal_id == identity.principal_id
    assert not sandbox.ledger()[:-1], "the ledger is emptied"
