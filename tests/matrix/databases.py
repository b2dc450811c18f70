"""Databases of the matrix: their spec, what of a ledger is a flow's own, their end, and who is a primary when."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess
from azure_sandbox.postgres.programs import FOLDER, OFF, default_folder, found_in

from ..conftest import spec_for

Json = dict[str, Any]

HEALTHY = "Cluster in healthy state"
_SETTLES_S = 180.0
_POLL_S = 0.02
# Barman names a backup by its time, and the probe of the pods' token is named at random.
_DRAWN = re.compile(r"(?<=/)\d{8}T\d{6}(?=/)|(?<=/)[0-9a-f]{12}$")
ANY = "{any}"


def postgres_folder() -> Path | None:
    """Where PostgreSQL is installed, whatever the other tests are told; None where it isn't."""
    named = os.environ.get(FOLDER)
    if named == OFF:
        del os.environ[FOLDER]
    try:
        folder = default_folder()
    finally:
        if named == OFF:
            os.environ[FOLDER] = OFF
    found = found_in(folder)
    return folder if found is not None and found.barman is not None else None


def with_database(azure: SandboxProcess, instances: int = 3) -> EnvironmentSpec:
    """The spec with a database, by the sandbox's stand-ins."""
    components = {
        f"{name}_manifest_{part}": azure.description[f"{name}_manifest_{part}"]
        for name in ("cert_manager", "plugin")
        for part in ("url", "sha256")
    }
    # No replica is copied, which closes a WAL file; so archive_timeout does.
    alone: Json = {"not_highly_available": True, "backup": {"archive_timeout_s": 30}}
    few: Json = {"instances": instances, **alone} if instances < 3 else {}
    return spec_for(azure, database={"components": components, "databases": ["appdb", "more"], **few})


def ours(ledger: list[Json]) -> list[Json]:
    """The ledger with blobs' names as all runs have them."""
    return [
        one | {"path": _DRAWN.sub(ANY, one["path"])} if one["service"] == "blob" else one for one in ledger
    ]


def pattern(path: str) -> str:
    """A regular expression of a path in it."""
    return re.escape(path).replace(re.escape(ANY), "[^/]+")


def is_of_pods(entry: Json) -> bool:
    """Whether a pod wrote it, and no flow."""
    return entry["service"] == "blob" and ("/wals/" in entry["path"] or "/base/" in entry["path"])


def settled_databases(azure: SandboxProcess) -> Json:
    """What the operator and the archive say, once every Cluster is healthy or the patience is over."""
    deadline = time.monotonic() + _SETTLES_S
    while True:
        found = _databases(azure)
        phases = [one["phase"] for one in found.values()]
        if all(phase == HEALTHY for phase in phases) or time.monotonic() > deadline:
            return found
        time.sleep(2)


def _databases(azure: SandboxProcess) -> Json:
    objects = [
        (kind, item)
        for saved in azure.control("GET", "state")["resources"]
        for kind, item in (saved["notes"].get("kubernetes") or {}).get("store", {}).get("objects", ())
    ]
    found = {}
    for kind, item in objects:
        status, name = item.get("status") or {}, item["metadata"]["name"]
        if kind == "clusters.postgresql.cnpg.io":
            conditions = {one["type"]: one["status"] for one in status.get("conditions") or []}
            found[f"database {name}"] = {
                "phase": status.get("phase"),
                "ready": status.get("readyInstances"),
                "timeline": status.get("timelineID"),
                "archives": conditions.get("ContinuousArchiving"),
                "primaries": len(primaries(azure.description["pid"])),
            }
    for kind, item in objects:
        status, cluster = item.get("status") or {}, (item.get("spec") or {}).get("cluster", {}).get("name")
        if kind == "backups.postgresql.cnpg.io" and item["metadata"]["name"].endswith("-first"):
            found[f"database {cluster}"]["first backup"] = status.get("phase")
        if kind == "databases.postgresql.cnpg.io":
            found[f"database {cluster}"][f"database {item['spec']['name']}"] = status.get("applied")
    return found


def primaries(sandbox: int) -> list[int]:
    """Postmasters of a sandbox that are primaries, by what they run: only a primary has a WAL writer."""
    return [pid for pid in _children(sandbox) if any("walwriter" in _title(one) for one in _children(pid))]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, path.read_text().split())
    except OSError:  # It has just ended.
        return found
    return found


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


@contextmanager
def one_primary(azure: SandboxProcess) -> Iterator[list[str]]:
    """Look every 20 ms, from outside, how many primaries there are; yields what was wrong."""
    wrong: list[str] = []
    ended = threading.Event()
    pid = azure.description["pid"]

    def look() -> None:
        while not ended.wait(_POLL_S):
            found = primaries(pid)
            if len(found) > 1 and not wrong:
                wrong.append(f"{len(found)} primaries at once: {found}")

    witness = threading.Thread(target=look, daemon=True)
    witness.start()
    try:
        yield wrong
    finally:
        ended.set()
        witness.join()
