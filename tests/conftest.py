"""The sandbox that every test drives over HTTPS, our side pointed at it, and a Prefect API for flows."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

# Read when `tasks` is imported (the delays of Prefect's retries), so it comes before any import of ours.
SPEED = 1000
os.environ["AKS_POSTGRES_TIME_SCALE"] = str(SPEED)
os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"

from environment.journal import Journal
from environment.spec import EnvironmentSpec

from .sandbox.conftest import SandboxProcess, sandbox, sandbox_process

__all__ = ["sandbox", "sandbox_process"]


def point_at(sandbox: SandboxProcess, patch: pytest.MonkeyPatch) -> None:
    """Make our side take this sandbox for Azure."""
    found = sandbox.description
    for name, value in {
        "AZURE_TENANT_ID": found["tenant_id"],
        "AZURE_CLIENT_ID": found["client_id"],
        "AZURE_CLIENT_SECRET": found["client_secret"],
        "AZURE_SUBSCRIPTION_ID": found["subscription_id"],
        "AZURE_AUTHORITY_HOST": found["endpoint"],
        "AKS_POSTGRES_ARM_ENDPOINT": found["endpoint"],
        "SSL_CERT_FILE": found["ca_bundle"],
        "AKS_POSTGRES_EGRESS_URL": found["egress_url"],
    }.items():
        patch.setenv(name, value)


@pytest.fixture
def azure(sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> SandboxProcess:
    """An empty sandbox that our side takes for Azure."""
    point_at(sandbox, monkeypatch)
    return sandbox


@pytest.fixture
def spec(azure: SandboxProcess) -> EnvironmentSpec:
    """The default environment, with the sandbox's stand-in for the operator's manifest."""
    return spec_for(azure)


def spec_for(azure: SandboxProcess, **fields: Any) -> EnvironmentSpec:
    """A spec for the sandbox with these fields."""
    operator = {
        "manifest_url": azure.description["operator_manifest_url"],
        "manifest_sha256": azure.description["operator_manifest_sha256"],
    }
    return EnvironmentSpec.model_validate({"operator": operator, **fields})


@pytest_asyncio.fixture
async def journal(azure: SandboxProcess, spec: EnvironmentSpec) -> AsyncIterator[Journal]:
    """An open connection to the sandbox, as a flow opens it, and its journal."""
    from flows._session import run_session

    async with run_session(spec) as opened:
        yield opened


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[None]:
    """A Prefect API and database for this session."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
