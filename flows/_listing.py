"""What is there, for people at a terminal: no Prefect run, nothing written."""

from __future__ import annotations

from dataclasses import dataclass

from aks_postgres.arm.responses import ArmFault, clean
from aks_postgres.errors import ProvisioningError
from aks_postgres.flows._errors import NotThere
from aks_postgres.reports.database_status import FoundDatabase
from aks_postgres.reports.listing import FoundEnvironment
from aks_postgres.reports.rebuild import Addresses
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import environment_key
from aks_postgres.tasks.database.status import read_databases
from aks_postgres.tasks.environments import list_environments
from aks_postgres.tasks.inventory import look_at_generations, read_addresses


@dataclass(frozen=True)
class Status:
    """How one environment is.

    `databases` is None where they can't be asked for, and `unknown` says why.
    """

    generations: tuple[FoundEnvironment, ...]
    addresses: Addresses
    databases: tuple[FoundDatabase, ...] | None
    unknown: str = ""

    @property
    def problems(self) -> list[str]:
        """What isn't as it should be."""
        found = [problem for one in self.generations for problem in one.problems]
        return found + [problem for one in self.databases or () for problem in one.problems]


async def status_of(spec: EnvironmentSpec) -> Status:
    """The generations of one environment, and the addresses and databases of the newest.

    Raises:
        NotThere: there is none.
    """
    async with run_session(spec, read_only=True) as run:
        found = await list_environments(run.azure)
        mine = _those(spec, found)
        targets = (await look_at_generations(run.azure, spec)).live
        newest = next(
            (target for target in reversed(targets) if target.generation == mine[-1].generation), targets[-1]
        )
        addresses = await read_addresses(run.azure, newest)
        if mine[-1].cluster is None or mine[-1].power not in (None, "Running"):
            return Status(mine, addresses, None, "there is no cluster that runs")
        try:
            return Status(mine, addresses, await read_databases(run.azure, newest.names))
        except (ProvisioningError, ArmFault) as error:
            return Status(mine, addresses, None, clean(str(error)))


async def require_there(spec: EnvironmentSpec) -> None:
    """See that there is such an environment, before a command looks for all of it.

    Raises:
        NotThere: there is none; says which there are.
    """
    async with run_session(spec, read_only=True) as run:
        _those(spec, await list_environments(run.azure))


def _those(spec: EnvironmentSpec, found: tuple[FoundEnvironment, ...]) -> tuple[FoundEnvironment, ...]:
    mine = tuple(
        environment
        for environment in found
        if (environment.name, environment.region) == (spec.name, spec.region)
    )
    if not mine:
        others = (
            ", ".join(sorted({f"{environment.name}-{environment.region}" for environment in found})) or "none"
        )
        raise NotThere(
            f"there is no environment {environment_key(spec)} in this subscription (there: {others}).",
            way_out="Check name and region, or make it with "
            f"`aks-postgres provision --name {spec.name} --region {spec.region}`.",
        )
    return mine
