"""A database on real PostgreSQL for all files that a process runs. Skipped where none is installed."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from aks_postgres.cli.sandbox_client import PSQL_VARIABLE
from aks_postgres.flows._errors import NotThere
from aks_postgres.flows.deploy_database import deploy_database
from aks_postgres.reports.journal import Journal, use_journal
from aks_postgres.reports.outputs import DatabaseOutputs
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess, start
from azure_sandbox.postgres.programs import FOLDER, default_folder, found_in

from ..conftest import point_at, spec_for
from ..flows.conftest import Run, run_provision

# Azure's seconds go by faster; PostgreSQL's don't.
SPEED = 60


@pytest.fixture(scope="package")
def with_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox with PostgreSQL, empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(FOLDER, raising=False)
        if found_in(default_folder()) is None:
            pytest.skip("no PostgreSQL is installed: azure-sandbox postgres install")
        folder = tmp_path_factory.mktemp("sandbox") / "state"
        process = start(folder, "--speed", str(SPEED), "--postgres", "auto")
        sandbox = SandboxProcess(folder)
        point_at(sandbox, patch)
        patch.setenv("AKS_POSTGRES_TIME_SCALE", str(SPEED))
        patch.setenv(PSQL_VARIABLE, sandbox.description["psql"])
        sandbox.settings(registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True})
        try:
            yield sandbox
        finally:
            process.terminate()
            process.wait(timeout=60)


READER = {"name": "reader", "in_roles": ["pg_read_all_data"]}


def with_database(azure: SandboxProcess, **database: Any) -> EnvironmentSpec:
    """The spec with a database, by the sandbox's stand-ins."""
    components = {
        f"{name}_manifest_{part}": azure.description[f"{name}_manifest_{part}"]
        for name in ("cert_manager", "plugin")
        for part in ("url", "sha256")
    }
    return spec_for(azure, database={"components": components, **database})


# What the database of `deployed` is beyond a default one. PostgreSQL closes a WAL file soon, which a backup waits for.
WANTED: dict[str, Any] = {
    "databases": ["appdb", "reports"],
    "roles": [READER],
    "backup": {"archive_timeout_s": 30},
    "pooler": {"pool_mode": "transaction", "parameters": {"max_client_conn": "500"}},
}


@dataclass
class Deployed:
    """An environment whose database was deployed afterwards, and what that run said."""

    spec: EnvironmentSpec
    first: Run
    outputs: DatabaseOutputs
    journal: Journal
    ledger: list[dict[str, Any]]


@pytest_asyncio.fixture(scope="package")
async def deployed(with_postgres: SandboxProcess, prefect_api: None) -> AsyncIterator[Deployed]:
    """The environment with two databases."""
    spec = with_database(with_postgres, **WANTED)
    with pytest.raises(NotThere):
        await deploy_database(spec)
    first = await run_provision(with_postgres, spec_for(with_postgres))
    since = len(with_postgres.ledger())
    with use_journal(Journal()) as journal:
        outputs = await deploy_database(spec)
    yield Deployed(spec, first, outputs, journal, with_postgres.ledger()[since:])
