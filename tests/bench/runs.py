"""One run at a time, ours or the guide's, on a sandbox of its own; and what it took, as plain figures."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
import yaml

import azure_sandbox.data
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names
from azure_sandbox.client import SandboxProcess, start

from ..az.azure_cli import installed
from ..az.run import prepare
from .chain import busy_s, longest, nodes
from .processes import cpu_s

Json = dict[str, Any]

REPOSITORY = Path(__file__).parents[2]
# As the guide has it where our defaults differ, so that both do the same; tests/az/test_parity.py says that they do.
SAME: Json = {
    "region": "canadacentral",
    "cluster": {"kubernetes_version": "1.35"},
    "storage": {"backups": "in_environment_group"},
    "monitoring": {"monitoring_reader_scope": "subscription"},
}
_READY = ("ama-metrics-node", "ama-logs")


def durations() -> dict[str, float]:
    """Azure's durations as the sandbox has them, in seconds."""
    tables = sorted(Path(azure_sandbox.data.__file__).parent.glob("durations*.yaml"))
    return {
        name: float(entry["seconds"])
        for table in tables
        for name, entry in yaml.safe_load(table.read_text())["durations"].items()
    }


@contextmanager
def sandbox(folder: Path, speed: float, **settings: Any) -> Iterator[tuple[SandboxProcess, int]]:
    """A sandbox that has just started, with every provider registered; and its process's ID."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    process = start(folder, "--speed", f"{speed:g}")
    try:
        running = SandboxProcess(folder)
        registered = {"Microsoft.Dashboard": True, "Microsoft.Monitor": True}
        # One seed for all, so that all meet the same Azure. Nodes stay; the guide's reader sees three of each.
        running.control("POST", "reset", {"seed": 1, "speed": speed})
        running.settings(registered=registered, autoscaler=False, **settings)
        yield running, process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def spec(running: SandboxProcess, **fields: Any) -> Json:
    """A spec for that sandbox, as JSON."""
    operator = {
        "manifest_url": running.description["operator_manifest_url"],
        "manifest_sha256": running.description["operator_manifest_sha256"],
    }
    return EnvironmentSpec.model_validate({"operator": operator, **fields}).model_dump(mode="json")


def worker(folder: Path, request: Json, environment: dict[str, str]) -> Json:
    """Run a measured process to its end; `wall_s` counts from its start."""
    folder.mkdir(parents=True, exist_ok=True)
    asked, answer = folder / "request.json", folder / "answer.json"
    asked.write_text(json.dumps(request))
    answer.unlink(missing_ok=True)
    began_s = time.monotonic()
    with (folder / "worker.log").open("wb") as log:
        command = [sys.executable, "-m", "tests.bench.worker", str(asked), str(answer)]
        ended = subprocess.run(
            command, cwd=REPOSITORY, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False
        )
    if ended.returncode:
        raise RuntimeError((folder / "worker.log").read_text()[-4000:])
    found: Json = json.loads(answer.read_text())
    return found | {"wall_s": time.monotonic() - began_s}


def our_environment(running: SandboxProcess, api: str, folder: Path, speed: float) -> dict[str, str]:
    """The environment of a process of ours: this sandbox for Azure, this Prefect server, nothing of the person's."""
    about = running.description
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "AZURE_"))}
    return kept | {
        "AZURE_TENANT_ID": about["tenant_id"],
        "AZURE_CLIENT_ID": about["client_id"],
        "AZURE_CLIENT_SECRET": about["client_secret"],
        "AZURE_SUBSCRIPTION_ID": about["subscription_id"],
        "AZURE_AUTHORITY_HOST": about["endpoint"],
        "AKS_POSTGRES_ARM_ENDPOINT": about["endpoint"],
        "AKS_POSTGRES_EGRESS_URL": about["egress_url"],
        "AKS_POSTGRES_TIME_SCALE": f"{speed:g}",
        "SSL_CERT_FILE": about["ca_bundle"],
        "PREFECT_API_URL": api,
        "PREFECT_HOME": str(folder / "prefect"),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "DO_NOT_TRACK": "1",
    }


def measure_ours(folder: Path, api: str, speed: float, mode: str, *, again: bool = False) -> Json:
    """Provision once, and if wanted once more and plan; `mode` is a value of `cluster_requests`.

    An environment of its own for each mode: runs of the same one wait for each other.
    """
    with sandbox(folder / "sandbox", speed) as (running, pid):
        environment = our_environment(running, api, folder, speed)
        wanted = spec(
            running, name={"step_by_step": "cnpg", "single": "cnpg1"}[mode], cluster_requests=mode, **SAME
        )
        began = cpu_s(pid)
        found = worker(folder, {"what": "provision", "specs": [wanted]}, environment)
        found["sandbox_cpu_s"] = cpu_s(pid) - began
        ledger = running.ledger()
        found |= _seen(running, ledger, speed, mode, found["wall_s"])
        if again:
            second = worker(folder, {"what": "provision", "specs": [wanted]}, environment)
            planned = worker(folder, {"what": "plan", "specs": [wanted]}, environment)
            found["second"] = {key: second[key] for key in ("wall_s", "work_s", "cpu_s", "changed")}
            found["second"]["writes"] = len(writes(running.ledger()[len(ledger) :]))
            found["plan"] = {key: planned[key] for key in ("wall_s", "work_s", "cpu_s", "state")}
        return found


def measure_guide(folder: Path, speed: float) -> Json:
    """Run the guide's commands once, typed one after another without a pause, by the real az."""
    with sandbox(folder / "sandbox", speed) as (running, pid):
        prepare(running)
        # az gives up where these get in its way, and its reader starts over; what that costs isn't counted here.
        running.settings(role_effect_s=0, spontaneous_operations=False)
        suffix = Names.of(EnvironmentSpec.model_validate(SAME), running.subscription_id, 1).suffix
        began = cpu_s(pid)
        request = {
            "what": "guide",
            "az": str(installed()),
            "home": str(folder / "home"),
            "sandbox": running.description,
            "deadline_s": 4000,
            "choices": {
                "suffix": suffix,
                "region": SAME["region"],
                "kubernetes_version": SAME["cluster"]["kubernetes_version"],
                "vm_size": "Standard_D4s_v5",
            },
        }
        found = worker(folder, request, dict(os.environ))
        found["sandbox_cpu_s"] = cpu_s(pid) - began
        # Logging in, and registering providers once for a subscription, isn't the guide.
        found["wall_s"] = found.pop("guide_s")
        found |= _seen(running, running.ledger(), speed, "step_by_step", found["wall_s"])
        return found


def writes(ledger: Sequence[Json]) -> list[Json]:
    """What isn't a read, as far as Azure and Kubernetes are concerned."""
    posts = (
        "StorageAccounts_CheckNameAvailability",
        "PolicyRestrictions_CheckAtSubscriptionScope",
        "PolicyRestrictions_CheckAtResourceGroupScope",
        "ManagedClusters_ListClusterUserCredentials",
    )
    return [
        entry
        for entry in ledger
        if entry["service"] in ("arm", "blob", "grafana", "kubernetes")
        and entry["method"] not in ("GET", "HEAD", "OPTIONS")
        and entry["operation"] not in posts
    ]


def _seen(running: SandboxProcess, ledger: Sequence[Json], speed: float, mode: str, wall_s: float) -> Json:
    """What the sandbox says of a run: requests, the longest chain, and when Azure was at work."""
    table = durations()
    operations = running.control("GET", "operations")["operations"]
    found = nodes(ledger, operations, table, _ready_s(running, ledger))
    limit_s, chain = longest(found, mode)
    azure_s = busy_s(ledger, found, table)
    return {
        "speed": speed,
        "requests": len(ledger),
        "writes": len(writes(ledger)),
        "throttled": sum(entry["status"] == 429 for entry in ledger),
        "statuses": dict(Counter(str(entry["status"]) for entry in ledger)),
        "limit_s": limit_s,
        "chain": [[node.name, node.lasted_s] for node in chain],
        "azure_s": azure_s,
        # What is left of the run when Azure's part is taken off; it doesn't shrink with the speed.
        "client_s": wall_s - azure_s / speed,
    }


def _ready_s(running: SandboxProcess, ledger: Sequence[Json]) -> dict[str, float]:
    """When operator and agents were ready on the sandbox's clock, by the clusters' own objects."""
    base = datetime.fromisoformat(ledger[0]["at"]).timestamp() - ledger[0]["at_s"]
    clusters = [
        resource["id"]
        for resource in running.control("GET", "resources")["resources"]
        if str(resource["type"]).casefold() == "microsoft.containerservice/managedclusters"
    ]
    (cluster,) = clusters
    answer = running.arm("POST", f"{cluster}/listClusterUserCredential", api_version="2026-06-01")
    config = yaml.safe_load(base64.b64decode(answer.json()["kubeconfigs"][0]["value"]))
    server = config["clusters"][0]["cluster"]["server"]
    headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}

    def items(path: str) -> list[Json]:
        found = requests.get(f"{server}{path}", headers=headers, verify=running.ca_file, timeout=30).json()
        return list(found["items"])

    agents = [
        pod
        for pod in items("/api/v1/namespaces/kube-system/pods")
        if pod["metadata"]["name"].startswith(_READY)
    ]
    operators = items("/apis/apps/v1/namespaces/cnpg-system/deployments")
    ready = {"agents": _latest(agents, "Ready"), "operator": _latest(operators, "Available")}
    return {name: at - base for name, at in ready.items() if at is not None}


def _latest(objects: Sequence[Json], condition: str) -> float | None:
    times = [
        datetime.fromisoformat(one["lastTransitionTime"]).timestamp()
        for each in objects
        for one in (each.get("status") or {}).get("conditions") or []
        if one["type"] == condition and one["status"] == "True"
    ]
    return max(times, default=None)
