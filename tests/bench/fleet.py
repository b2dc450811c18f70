"""Many environments at once, in one process of ours or through deployments, on a Prefect server of its own."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .deployed import deploy, start_worker
from .processes import Database, cpu_s, postgresql, prefect_server, resident_mib
from .runs import Json, our_environment, sandbox, spec, worker, writes

# Where zones, ZRS and zone-redundant Grafana are all on offer; 20 Grafana instances fit into each.
REGIONS = (
    "canadacentral",
    "eastus",
    "northeurope",
    "uksouth",
    "australiaeast",
    "westus3",
    "francecentral",
    "centralindia",
    "koreacentral",
    "norwayeast",
)
# A hundred clusters are more vCPUs than a subscription gets unasked.
_QUOTA = {"*": 100_000, "cores": 100_000, "ManagedClusters": 1000}
_SAMPLE_S = 2.0


def measure_fleet(folder: Path, count: int, speed: float, *, sqlite: bool = False, workers: int = 0) -> Json:
    """Provision that many environments at once: `count` up to 10 is a region each, more are several names a region.

    Args:
        folder: a new one, for everything.
        count: environments; above ten, a multiple of ten.
        speed: of the sandbox.
        sqlite: keep Prefect's database in SQLite instead of PostgreSQL.
        workers: process workers that carry out a run a process each; 0 is all in one process of ours.
    """
    folder.mkdir(parents=True)
    if sqlite:
        return _measure(folder, count, speed, None, workers)
    with postgresql(folder) as database:
        return _measure(folder, count, speed, database, workers)


def _measure(folder: Path, count: int, speed: float, database: Database | None, workers: int) -> Json:
    regions = list(REGIONS[: min(count, len(REGIONS))])
    names = [f"f{number:02}" for number in range(count // len(regions))]
    with (
        prefect_server(folder, database) as server,
        sandbox(folder / "sandbox", speed, quota=_QUOTA) as (running, pid),
        ExitStack() as stack,
    ):
        specs = [spec(running, name=name) for name in names]
        environment = our_environment(running, server.api, folder, speed)
        servers = {"sandbox": [pid], "server": [server.pid]}
        if database:
            servers["database"] = [database.pid]
        if workers:
            entries = [{"spec": {"name": "fleet", "region": region}} for region in regions]
            deploy(folder / "deployed", entries, environment)
            servers["workers"] = [
                stack.enter_context(_worker(folder, f"worker-{number + 1}", environment))
                for number in range(workers)
            ]
        before = {name: sum(map(cpu_s, pids)) for name, pids in servers.items()}
        began_s = time.monotonic()
        with _Peaks(servers) as peaks:
            wanted = {"what": "fleet", "specs": specs, "regions": regions}
            wanted["runs"] = "deployments" if workers else "here"
            found = worker(folder, wanted, environment)
        took_s = time.monotonic() - began_s
        used = {name: sum(map(cpu_s, pids)) - before[name] for name, pids in servers.items()}
        ledger = running.ledger()
        rows = found.pop("regions")
        states = Counter(row["state"] for row in rows)
        failures = [row["failure"] for row in rows if row["state"] != "Completed"]
        throttled = Counter(str(entry["operation"]) for entry in ledger if entry["status"] == 429)
        return found | {
            "count": len(names) * len(regions),
            "regions": len(regions),
            "speed": speed,
            "database": f"PostgreSQL {database.version}" if database else "SQLite",
            "states": dict(states),
            "failures": sorted({failure[:300] for failure in failures}),
            "flow_runs": _flow_runs(server.api),
            "workers": workers,
            "workers_cpu_s": used.get("workers"),
            "server_cpu_s": used["server"],
            "database_cpu_s": used.get("database"),
            "sandbox_cpu_s": used["sandbox"],
            "peaks_mib": peaks.found,
            "requests": len(ledger),
            "requests_a_s": len(ledger) / took_s,
            "writes": len(writes(ledger)),
            "throttled": dict(throttled),
        }


class _Peaks:
    """The most that processes have had resident while this was open."""

    def __init__(self, pids: dict[str, list[int]], read: Callable[[int], float] = resident_mib) -> None:
        self.found = dict.fromkeys(pids, 0.0)
        self._pids, self._read = pids, read
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_S):
            for name, pids in self._pids.items():
                self.found[name] = max(self.found[name], sum(map(self._read, pids)))

    def __enter__(self) -> _Peaks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def _worker(folder: Path, name: str, environment: Mapping[str, str]) -> Iterator[int]:
    """A process worker's process ID; its runs have ended by the end, and it is done with."""
    process = start_worker(folder, name, environment)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _flow_runs(api: str) -> dict[str, int]:
    """How the server says that its flow runs ended."""
    found: Counter[str] = Counter()
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        body = json.dumps({"limit": 200, "offset": found.total(), "sort": "ID_DESC"}).encode()
        request = urllib.request.Request(
            f"{api}/flow_runs/filter", data=body, headers={"content-type": "application/json"}
        )
        with direct.open(request, timeout=60) as answer:
            page: list[dict[str, Any]] = json.load(answer)
        if not page:
            return dict(found)
        found.update(str(run["state_name"]) for run in page)
