"""Each alert rule over what the instances, the kubelets and cert-manager say: silent while all is well, else heard.

Prometheus' own `promtool` evaluates them; the trouble is made on real servers.
"""

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from aks_postgres.cli.sandbox_client import PSQL_VARIABLE
from aks_postgres.database.alerts import alert_rules
from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess

from ..flows.conftest import run_provision
from ..flows.stage import kube_for
from ..tasks.kube import Kube
from .conftest import with_database
from .scraping import firing, promtool, scraped

pytestmark = [pytest.mark.database, pytest.mark.timeout(900)]

DAY_S = 86_400


class Watched:
    """A database with three instances, its rules, and what they say of it."""

    def __init__(
        self, azure: SandboxProcess, spec: EnvironmentSpec, made: EnvironmentOutputs, folder: Path
    ) -> None:
        self.azure, self.made, self.folder = azure, made, folder
        self.kube: Kube = kube_for(azure, made, folder)
        self.rules = alert_rules(spec, made.place)

    def fired(self, after_s: float = 0.0) -> set[str]:
        """The alerts of now, or of later if nothing were to change until then."""
        samples = scraped(self.kube, self.made.cluster.name)
        return firing(self.rules, samples, time.time() + after_s, self.folder)

    def instance(self, number: int) -> dict[str, Any]:
        """Process and data of an instance, by its number."""
        found: dict[str, Any] = self.azure.control("GET", "postgres")["instances"]
        (one,) = [each for name, each in found.items() if name.endswith(f"/watch-{number}")]
        assert isinstance(one, dict)
        return one

    def sql(self, number: int, text: str) -> str:
        """Run SQL as the superuser, on the machine of an instance; returns what it answers."""
        socket = Path(self.instance(number)["data"]).parent / "run"
        program = [os.environ[PSQL_VARIABLE], "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(socket)]
        command = [*program, "-U", "postgres", "-c", text]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    def write(self, files: int = 1) -> None:
        """Write something into so many WAL files."""
        for _ in range(files):
            self.sql(1, "select pg_logical_emit_message(false, 'test', 'x')")
            self.sql(1, "select pg_switch_wal()")


@pytest_asyncio.fixture(scope="module")
async def watched(
    with_postgres: SandboxProcess, prefect_api: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Watched]:
    """A database that is well, whose WAL has a small volume of its own."""
    if promtool() is None:
        pytest.skip("promtool isn't installed: apt-get install prometheus")
    spec = with_database(with_postgres, name="watch", storage={"wal_size_gib": 1})
    spec = spec.model_copy(update={"name": "watch"})
    made = await run_provision(with_postgres, spec)
    found = Watched(with_postgres, spec, made.outputs, tmp_path_factory.mktemp("rules"))
    # How far a replica is behind is counted from the last commit that it replayed.
    found.sql(1, "select pg_logical_emit_message(true, 'test', 'x')")
    yield found


async def test_a_database_that_is_well_raises_no_alert(watched: Watched) -> None:
    assert watched.fired() == set()
    used = {sample.name for sample in scraped(watched.kube, "aks")}
    named = {name for rule in watched.rules for name in re.findall(r"[a-z_]{12,}(?=\{)", rule["expression"])}
    assert named <= used


@contextmanager
def archive_refused(watched: Watched) -> Iterator[None]:
    """The role on the container is gone."""
    refused = {"status": 403, "code": "AuthorizationPermissionMismatch", "message": "no"}
    watched.azure.fault(refused, service="blob", operation="PutBlob|PutBlock|PutBlockList", times=None)
    try:
        watched.write(13)
        yield
    finally:
        watched.azure.control("DELETE", "faults")
        watched.write()


@contextmanager
def replicas_frozen(watched: Watched) -> Iterator[None]:
    """Two of three, so that one isn't waited for as a new primary."""
    processes = [watched.instance(number)["pid"] for number in (2, 3)]
    try:
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        yield
    finally:
        for process in processes:
            try:
                os.kill(process, signal.SIGCONT)
            except ProcessLookupError:
                continue


@contextmanager
def volume_filled(watched: Watched) -> Iterator[None]:
    """The volume of the WAL."""
    filler = Path(watched.instance(2)["data"]) / "pg_wal" / "filler"
    try:
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 900 * 1024 * 1024)
        yield
    finally:
        filler.unlink(missing_ok=True)


@contextmanager
def replay_paused(watched: Watched) -> Iterator[None]:
    """A replica takes in what it doesn't replay, as behind a long query."""
    # One that is paused before it has found its primary doesn't look for it.
    ends = time.monotonic() + 60
    while watched.sql(3, "select status from pg_stat_wal_receiver") != "streaming":
        assert time.monotonic() < ends
        time.sleep(0.5)
    watched.sql(3, "select pg_wal_replay_pause()")
    try:
        watched.write()
        yield
    finally:
        watched.sql(3, "select pg_wal_replay_resume()")


@contextmanager
def cut_off(watched: Watched) -> Iterator[None]:
    """A replica looks for its primary where nobody is."""
    settings = (
        Path(watched.instance(3)["data"]) / "postgresql.auto.conf"
    )  # The operator forbids ALTER SYSTEM.
    before = settings.read_text()
    settings.write_text(f"{before}primary_conninfo = 'host=127.0.0.1 port=1'\n")
    watched.sql(3, "select pg_reload_conf()")
    try:
        yield
    finally:
        settings.write_text(before)
        watched.sql(3, "select pg_reload_conf()")


TROUBLES = {
    "archive": (archive_refused, {"PostgresArchivingFails", "PostgresArchiveLags"}),
    "disk": (volume_filled, {"PostgresDiskFillsUp"}),
    "cut off": (cut_off, {"PostgresReplicaCutOff"}),
    "lag": (replay_paused, {"PostgresReplicaLags"}),
    "instances": (replicas_frozen, {"PostgresInstancesMissing"}),
}


@pytest.mark.parametrize("name", TROUBLES)
async def test_trouble_raises_its_alert_and_no_other_and_the_end_of_it_ends_the_alert(
    watched: Watched, name: str
) -> None:
    trouble, wanted = TROUBLES[name]
    with trouble(watched):
        await became(watched, wanted)
    await became(watched, set())


async def became(watched: Watched, wanted: set[str]) -> None:
    """Wait until these alerts fire, and no others."""
    ends, found = time.monotonic() + 150, watched.fired()
    while found != wanted:
        assert time.monotonic() < ends, found
        await asyncio.sleep(1)
        found = watched.fired()


@pytest.mark.parametrize(
    ("days", "wanted"),
    [
        (1, set()),
        (1.2, {"PostgresBackupTooOld"}),
        (82, {"PostgresBackupTooOld"}),
        (86, {"PostgresBackupTooOld", "PostgresCertificateEnds"}),
    ],
)
async def test_what_is_not_renewed_raises_its_alert_in_time(
    watched: Watched, days: float, wanted: set[str]
) -> None:
    """Backups are daily, certificates live ninety days and are renewed after seventy-five."""
    assert watched.fired(days * DAY_S) == wanted
