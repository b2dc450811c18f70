"""For pytest: an Azure for anybody's tests. One process for the session, empty for each test.

Loaded by pytest itself once azure-sandbox is installed with its extra `pytest`:

    def test_a_group_is_made(sandbox):
        groups = sandbox.client(ResourceManagementClient).resource_groups
        groups.create_or_update("rg", {"location": "canadacentral"})
"""

from collections.abc import Iterator

import pytest

from azure_sandbox.client import SandboxProcess, start


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """The session's sandbox: a thousand times faster than Azure."""
    folder = tmp_path_factory.mktemp("sandbox") / "state"
    process = start(folder, "--speed", "1000")
    try:
        yield SandboxProcess(folder)
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess) -> SandboxProcess:
    """An Azure in which nothing was ever made, with every provider registered."""
    sandbox_process.reset()
    sandbox_process.settings(registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True})
    return sandbox_process


@pytest.fixture
def group(sandbox: SandboxProcess) -> str:
    """The ID of a resource group in Canada Central."""
    path = f"{sandbox.subscription}/resourceGroups/rg-test"
    answer = sandbox.arm("PUT", path, {"location": "canadacentral"}, api_version="2024-11-01")
    assert answer.status_code == 201, answer.text
    return path
