"""A database on real PostgreSQL, at Azure's own speed: how long until it is there, and what no client can shorten.

The longest chain is looked at from outside, through the cluster's own API: the components' deployments until they are
available, the Cluster until its instances are ready, its archive, and the first backup. Each lasts from the moment the
object is seen until it is done; what lies between is the client's.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml

from azure_sandbox.client import SandboxProcess, start

from ..matrix.databases import HEALTHY, postgres_folder, primaries, with_database
from .processes import children, proportional_mib
from .runs import Json, our_environment, spec, worker, writes

SETUP_SPEED = 60.0
_LOOK_S = 0.05
_POSTGRES = "/apis/postgresql.cnpg.io/v1/namespaces/cnpg-database"


class NotInstalled(Exception):
    """There is no PostgreSQL for the sandbox."""


def measure_database(folder: Path, api: str) -> Json:
    """Make an environment, and then its database, at Azure's own speed; and run that again."""
    installed = postgres_folder()
    if installed is None:
        raise NotInstalled("no PostgreSQL is installed: azure-sandbox postgres install")
    process = start(folder / "state", "--speed", f"{SETUP_SPEED:g}", "--postgres", str(installed))
    try:
        running = SandboxProcess(folder / "state")
        running.settings(
            registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True}, autoscaler=False
        )
        before = {"what": "provision", "specs": [spec(running)]}
        made = worker(folder, before, our_environment(running, api, folder, SETUP_SPEED))
        running.control("POST", "clock", {"speed": 1.0})
        environment = our_environment(running, api, folder, 1.0)
        wanted = {"what": "deploy_database", "specs": [with_database(running).model_dump(mode="json")]}
        with _Witness(running, made["cluster"]).looking() as chain:
            found = worker(folder, wanted, environment)
        ledger = len(running.ledger())
        again = worker(folder, wanted, environment)
        servers = [pid for pid in children(process.pid) if children(pid)]
        return {
            "wall_s": found["wall_s"],
            "cpu_s": found["cpu_s"],
            "chain": [[name, ended - began] for name, (began, ended) in chain.items()],
            "limit_s": sum(ended - began for began, ended in chain.values()),
            "ready_s": chain["instances"][1] - chain["instances"][0],
            "memory_mib": sum(proportional_mib(pid) for pid in servers),
            "primaries": len(primaries(process.pid)),
            "second": {
                "wall_s": again["wall_s"],
                "writes": len([one for one in writes(running.ledger()[ledger:]) if _is_of_the_run(one)]),
            },
        }
    finally:
        process.terminate()
        process.wait(timeout=60)


def _is_of_the_run(entry: Json) -> bool:
    """Not the pods' archive, and not the run's lock."""
    return entry["service"] != "blob" and entry["operation"] not in (
        "Tags_UpdateAtScope",
        "BlobContainers_Lease",
    )


class _Witness:
    """Looks at a cluster's objects as they come and get done."""

    def __init__(self, running: SandboxProcess, cluster: str) -> None:
        answer = running.arm("POST", f"{cluster}/listClusterUserCredential", api_version="2026-06-01")
        config = yaml.safe_load(base64.b64decode(answer.json()["kubeconfigs"][0]["value"]))
        self._server = config["clusters"][0]["cluster"]["server"]
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.verify = running.ca_file
        self._http.headers["Authorization"] = f"Bearer {config['users'][0]['user']['token']}"
        self._seen: dict[str, tuple[float, float]] = {}
        self._done: set[str] = set()

    @contextmanager
    def looking(self) -> Iterator[dict[str, tuple[float, float]]]:
        """Yields what was seen, by name: when it came, and when it was done."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(_LOOK_S):
                self._look()

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield self._seen
        finally:
            ended.set()
            thread.join()

    def _look(self) -> None:
        for name, namespace in (("cert-manager", "cert-manager"), ("barman plugin", "cnpg-system")):
            mine = [
                one
                for one in self._items(f"/apis/apps/v1/namespaces/{namespace}/deployments")
                if "cnpg-controller" not in one["metadata"]["name"]
            ]
            done = bool(mine) and all(one.get("status", {}).get("availableReplicas") for one in mine)
            self._note(name, bool(mine), done)
        clusters = self._items(f"{_POSTGRES}/clusters")
        status = (clusters[0].get("status") or {}) if clusters else {}
        ready = status.get("phase") == HEALTHY and status.get("readyInstances") == 3
        self._note("instances", bool(clusters), ready)
        backups = self._items(f"{_POSTGRES}/backups")
        completed = bool(backups) and (backups[0].get("status") or {}).get("phase") == "completed"
        archives = any(
            one["type"] == "ContinuousArchiving" and one["status"] == "True"
            for one in status.get("conditions") or []
        )
        self._note("archive", ready or "archive" in self._seen, archives)
        self._note("first backup", bool(backups), completed)

    def _note(self, name: str, is_there: bool, is_done: bool) -> None:
        now_s = time.monotonic()
        if is_there and name not in self._done:
            began_s, _ = self._seen.get(name, (now_s, now_s))
            self._seen[name] = (began_s, now_s)
            if is_done:
                self._done.add(name)

    def _items(self, path: str) -> list[Any]:
        try:
            answer = self._http.get(self._server + path, timeout=10)
            return list(answer.json().get("items") or []) if answer.status_code == 200 else []
        except (requests.RequestException, ValueError):
            return []
