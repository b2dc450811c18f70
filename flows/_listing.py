"""What is there, for people at a terminal: no Prefect run, nothing written."""

from __future__ import annotations

from aks_postgres.flows._errors import NotThere
from aks_postgres.reports.listing import FoundEnvironment
from aks_postgres.reports.rebuild import Addresses
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import environment_key
from aks_postgres.tasks.environments import list_environments
from aks_postgres.tasks.inventory import look_at_generations, read_addresses


async def status_of(spec: EnvironmentSpec) -> tuple[tuple[FoundEnvironment, ...], Addresses]:
    """The generations of one environment, and the addresses of the newest.

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
        return mine, await read_addresses(run.azure, newest)


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
