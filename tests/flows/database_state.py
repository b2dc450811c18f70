"""A finished environment with a database in it, without a PostgreSQL: the objects are real, their status is told."""

from pathlib import Path

from aks_postgres.database.status import HEALTHY
from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.tasks.database.backups import ensure_backup_schedule
from aks_postgres.tasks.database.monitoring import ensure_database_monitor
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for, without_lock
from ..tasks.conftest import place_for
from ..tasks.kube import Kube
from ..tasks.test_database import CLUSTERS, DATABASE_STEPS
from ..tasks.world import Json, Step, World

_STORES = "/apis/barmancloud.cnpg.io/v1/namespaces/cnpg-database/objectstores"
_STEPS = DATABASE_STEPS | {
    "monitor": Step(ensure_database_monitor, ("spec", "place", "cluster", "namespaces", "metrics_on")),
    # The first backup is one that the store speaks of.
    "schedule": Step(ensure_backup_schedule, ("spec", "place", "cluster", "store")),
}
_LAST = ("secret", "settings", "proof", "store", "postgres", "alerts", "dashboard", "monitor", "schedule")


def components(azure: SandboxProcess) -> dict[str, str]:
    """The stand-ins for what backups need in the cluster."""
    return {
        f"{name}_manifest_{part}": azure.description[f"{name}_manifest_{part}"]
        for name in ("cert_manager", "plugin")
        for part in ("url", "sha256")
    }


async def with_database(
    azure: SandboxProcess,
    outputs: EnvironmentOutputs,
    folder: Path,
    spec: EnvironmentSpec | None = None,
    status: Json | None = None,
) -> Json:
    """The sandbox's state once the finished environment in it has a default database, too.

    Args:
        azure: the sandbox, with the environment.
        outputs: the environment's.
        folder: for what a person with kubectl keeps.
        spec: another than the default one with a database.
        status: what the Cluster says beside that it is healthy.
    """
    spec = spec or spec_for(azure, database={"components": components(azure)})
    async with run_session(spec) as run:
        without_lock()
        place = place_for(azure, spec) if spec.database and spec.database.name else outputs.place
        world = World(azure, run.journal, spec, place, _STEPS)
        await world.prepare(*_LAST)
    kube, name = Kube(world, folder), world.place.names.postgres_cluster
    first = f"{name}-1"
    clusters, stores = (
        path.replace("cnpg-database", spec.namespaces.database) for path in (CLUSTERS, _STORES)
    )
    _say(kube, f"{clusters}/{name}", {**_healthy(first), **(status or {})})
    window = {"firstRecoverabilityPoint": "2026-11-24T00:00:00Z"}
    (store,) = world.made["store"].names
    _say(kube, f"{stores}/{store.partition(' ')[2]}", {"serverRecoveryWindow": {first: window}})
    state: Json = azure.control("GET", "state")
    return state


def _healthy(first: str) -> Json:
    return {
        "phase": HEALTHY,
        "instances": 3,
        "readyInstances": 3,
        "currentPrimary": first,
        "targetPrimary": first,
        "conditions": [
            {
                "type": "ContinuousArchiving",
                "status": "True",
                "reason": "ContinuousArchivingSuccess",
                "message": "Continuous archiving is working",
                "lastTransitionTime": "2026-11-24T00:00:00Z",
            }
        ],
    }


def _say(kube: Kube, path: str, status: Json) -> None:
    """Write a status, as the operator does."""
    content = {"Content-Type": "application/merge-patch+json"}
    answer = kube.send("PATCH", f"{path}/status", {"status": status}, **content)
    assert answer.status_code == 200, answer.text
