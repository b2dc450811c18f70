"""What processes cost, and the servers that a benchmark starts for itself: PostgreSQL and a Prefect server."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_START_S = 120.0


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of all that it started, the ended ones included."""
    fields = _stat(pid)
    if fields is None:
        return 0.0
    own = sum(int(fields[at]) for at in (11, 12, 13, 14)) / _TICKS
    return own + sum(cpu_s(child) for child in children(pid))


def resident_mib(pid: int) -> float:
    """What a process and all that it started have resident; pages that they share count for each."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    kib = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
    return kib / 1024 + sum(resident_mib(child) for child in children(pid))


def proportional_mib(pid: int) -> float:
    """The memory of a process and all that it started; pages that several share count once in all."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    kib = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return kib / 1024 + sum(proportional_mib(child) for child in children(pid))


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def children(pid: int) -> list[int]:
    """Processes that it started and that still run."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    models = {line.partition(":")[2].strip() for line in info if line.startswith("model name")}
    memory = Path("/proc/meminfo").read_text().splitlines()[0].split()[1]
    return {
        "cores": str(os.cpu_count()),
        "processor": ", ".join(sorted(models)) or platform.machine(),
        "memory": f"{int(memory) / 2**20:.0f} GiB",
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        "prefect": version("prefect"),
    }


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NoPostgreSQL(Exception):
    """There is no PostgreSQL to start; says how to get one."""


def postgresql_folder() -> Path:
    """Where PostgreSQL's programs are: on the path, or where Debian puts them.

    Raises:
        NoPostgreSQL: nowhere.
    """
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if not folders:
        raise NoPostgreSQL("no initdb on the path; install PostgreSQL (apt-get install postgresql)")
    return folders[-1]


class Database:
    """A PostgreSQL server with an empty database for Prefect."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, programs: Path) -> None:
        self.pid = process.pid
        self.url = f"postgresql+asyncpg://prefect@127.0.0.1:{port}/prefect"
        shown = subprocess.run(
            [programs / "postgres", "--version"], capture_output=True, text=True, check=True
        )
        self.version = shown.stdout.split()[-1] if "(" not in shown.stdout else shown.stdout.split()[2]


@contextmanager
def postgresql(folder: Path) -> Iterator[Database]:
    """A PostgreSQL server of our own on the loopback; only for a benchmark: whoever is on the machine may log in.

    Raises:
        NoPostgreSQL: it isn't installed.
    """
    programs, data, port = postgresql_folder(), folder / "postgresql", free_port()
    data.mkdir()
    # PostgreSQL refuses to run as root.
    as_user: list[str] = []
    if os.geteuid() == 0:
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        for place in (folder, *folder.parents):
            if place.stat().st_mode & 0o005 != 0o005 and place != Path("/"):
                place.chmod(place.stat().st_mode | 0o055)
        shutil.chown(data, "postgres", "postgres")
    log = (folder / "postgresql.log").open("wb")
    made = [*as_user, str(programs / "initdb"), "-D", str(data), "--username=prefect", "--auth=trust"]
    subprocess.run(made, stdout=log, stderr=log, check=True, cwd="/")
    options = ["-p", str(port), "-h", "127.0.0.1", "-k", str(data), "-c", "max_connections=200"]
    command = [*as_user, str(programs / "postgres"), "-D", str(data), *options]
    process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
    try:
        createdb = [
            str(programs / "createdb"),
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-U",
            "prefect",
            "prefect",
        ]
        deadline = time.monotonic() + _START_S
        while subprocess.run(createdb, stdout=log, stderr=log, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "postgresql.log").read_text())
            time.sleep(0.2)
        yield Database(process, port, programs)
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


class PrefectServer:
    """A running Prefect server."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.pid = process.pid
        self.api = f"{url}/api"


@contextmanager
def prefect_server(
    folder: Path, database: Database | None, port: int | None = None
) -> Iterator[PrefectServer]:
    """A Prefect server of our own: on PostgreSQL as for a fleet, or on SQLite as the demo has it.

    Args:
        folder: for what it keeps, and its log.
        database: PostgreSQL; None means SQLite.
        port: of the loopback; None takes a free one.
    """
    port = port or free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    if database:
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database.url
        # As docs/deployments.md has them for fleets.
        environment["PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE"] = "20"
        environment["PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW"] = "60"
    command = [sys.executable, "-P", "-m", "prefect", "server", "start", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with (folder / "prefect.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            deadline = time.monotonic() + _START_S
            while not _answers(f"{url}/api/health"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((folder / "prefect.log").read_text())
                time.sleep(0.2)
            yield PrefectServer(process, url)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
