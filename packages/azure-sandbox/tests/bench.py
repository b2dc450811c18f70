"""`python packages/azure-sandbox/tests/bench.py`: how fast the sandbox starts and answers, and what it weighs.

Starts sandboxes of its own on loopback, clients on the same machine, and takes two minutes or so. `--write` puts the
figures into docs/sandbox-benchmark.md, with the machine and the date. `make bench-sandbox` runs it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import platform
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import yaml

import azure_sandbox.data

Json = dict[str, Any]

REPOSITORY = Path(__file__).parents[3]
MANIFEST = list(
    yaml.safe_load_all(Path(azure_sandbox.data.__file__).with_name("cnpg-operator.yaml").read_text())
)
CLUSTER = "microsoft.containerservice/managedclusters"
ENVIRONMENTS = 100
# The region's own limits hold: 20 Grafana instances in each.
REGIONS = ("canadacentral", "eastus", "northeurope", "uksouth", "australiaeast", "westus3")
CONNECTIONS = 16
RATE = 500
ANSWERS = (
    "aks_cluster_create_answer",
    "aks_write_answer",
    "data_collection_write",
    "federated_credential_write",
    "managed_identity_write",
    "monitor_workspace_create",
    "resource_group_write",
)
LIMITS = {"start_s": 2.0, "get_ms": 3.0, "memory_mib": 300.0, "rate": 500.0}


class Running:
    """A sandbox process, and a client of it."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, started_s: float) -> None:
        self.process = process
        self.started_s = started_s
        self.facts: Json = json.loads((folder / "sandbox.json").read_text())
        self.endpoint: str = self.facts["endpoint"]
        self.subscription = f"/subscriptions/{self.facts['subscription_id']}"
        self.tls = ssl.create_default_context(cafile=self.facts["ca_file"])
        self.headers: dict[str, str] = {}

    def memory_mib(self) -> float:
        """What the process has resident now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        return int(kib) / 1024

    def cpu_s(self) -> float:
        """CPU seconds that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def session(self) -> aiohttp.ClientSession:
        """A client with as many connections as are wanted at once."""
        connector = aiohttp.TCPConnector(ssl=self.tls, limit=CONNECTIONS)
        return aiohttp.ClientSession(self.endpoint, connector=connector, headers=self.headers)

    async def control(self, session: aiohttp.ClientSession, method: str, name: str, body: Json) -> Json:
        """A request to the control API."""
        key = {"x-sandbox-key": self.facts["control_key"]}
        async with session.request(method, f"/sandbox/{name}", json=body, headers=key) as answer:
            assert answer.status == 200, await answer.text()
            found: Json = await answer.json()
            return found

    async def sign_in(self, session: aiohttp.ClientSession) -> None:
        """Get a token, used from the next session on."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.facts["client_id"],
            "client_secret": self.facts["client_secret"],
            "scope": f"{self.endpoint}/.default",
        }
        async with session.post(f"/{self.facts['tenant_id']}/oauth2/v2.0/token", data=form) as answer:
            self.headers = {"Authorization": f"Bearer {(await answer.json())['access_token']}"}


@contextmanager
def sandbox(*options: str) -> Iterator[Running]:
    """A sandbox that has just started."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "state"
        began = time.monotonic()
        command = [sys.executable, "-m", "azure_sandbox", "--state", str(folder), *options]
        process = subprocess.Popen(command, cwd=REPOSITORY)
        try:
            while not (folder / "sandbox.json").exists():
                if process.poll() is not None or time.monotonic() - began > 60:
                    raise RuntimeError("the sandbox didn't start")
                time.sleep(0.005)
            yield Running(process, folder, time.monotonic() - began)
        finally:
            process.terminate()
            process.wait(timeout=20)


def measure_starts(count: int = 7) -> list[float]:
    """Seconds from the start of the process until it is ready."""
    found = []
    for _ in range(count):
        with sandbox() as running:
            found.append(running.started_s)
    return found


async def measure_reads(running: Running, count: int = 2000) -> tuple[list[float], list[float]]:
    """Milliseconds of one read after the other on one connection: as the client sees it, and as the sandbox does."""
    path = f"{running.subscription}/resourceGroups/rg?api-version=2024-11-01"
    async with running.session() as session:
        await running.sign_in(session)
    async with running.session() as session:
        async with session.put(path, json={"location": "canadacentral"}) as made:
            assert made.status == 201
        await running.control(session, "PUT", "settings", {"throttling": False})
        seen = []
        for _ in range(count):
            began = time.perf_counter()
            async with session.get(path) as answer:
                await answer.read()
                assert answer.status == 200
            seen.append((time.perf_counter() - began) * 1000)
        ledger = await running.control(session, "GET", "ledger", {})
        own = [
            entry["duration_ms"] for entry in ledger["entries"] if entry["operation"] == "ResourceGroups_Get"
        ]
    return seen, own


async def measure_rate(
    running: Running, rate: float | None, count: int
) -> tuple[float, Counter[str], list[float]]:
    """Requests by concurrent clients: three reads, then a write, of resources of their own.

    Args:
        running: the sandbox.
        rate: requests a second that are asked for; None sends the next as soon as the last is answered.
        count: how many.

    Returns:
        Requests a second, the answers by status, and milliseconds of each.
    """
    group = f"{running.subscription}/resourceGroups/rg"
    identities = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
    seen: Counter[str] = Counter()
    times: list[float] = []
    numbers = iter(range(count))
    began = time.perf_counter()

    async def client(session: aiohttp.ClientSession, name: int) -> None:
        path = f"{identities}/mi-{name}?api-version=2024-11-30"
        for number in numbers:
            if rate is not None:
                await asyncio.sleep(max(0.0, number / rate - (time.perf_counter() - began)))
            sent = time.perf_counter()
            write = number < CONNECTIONS or number % 4 == 0
            body = {"location": "canadacentral", "tags": {"n": str(number)}} if write else None
            try:
                async with session.request("PUT" if write else "GET", path, json=body) as answer:
                    await answer.read()
                    seen[str(answer.status)] += 1
            except aiohttp.ClientError as error:
                seen[type(error).__name__] += 1
            times.append((time.perf_counter() - sent) * 1000)

    async with running.session() as session:
        await running.control(session, "PUT", "settings", {"durations": {"managed_identity_write": 0}})
        for name in range(CONNECTIONS):
            async with session.put(
                f"{identities}/mi-{name}?api-version=2024-11-30", json={"location": "canadacentral"}
            ) as made:
                assert made.status in (200, 201)
        began = time.perf_counter()
        await asyncio.gather(*(client(session, name) for name in range(CONNECTIONS)))
        took_s = time.perf_counter() - began
    return count / took_s, seen, times


# A hundred environments.


def environment(running: Running, number: int) -> Iterator[list[tuple[str, str, Json]]]:
    """The writes of one environment as the guide makes it, in batches that may run at once."""
    region = REGIONS[number % len(REGIONS)]
    here = {"location": region}
    group = f"{running.subscription}/resourceGroups/rg-{number:03}"
    providers = f"{group}/providers"
    identity = f"{providers}/Microsoft.ManagedIdentity/userAssignedIdentities/mi-{number:03}"
    account = f"{providers}/Microsoft.Storage/storageAccounts/store{number:03}"
    logs = f"{providers}/Microsoft.OperationalInsights/workspaces/logs-{number:03}"
    monitor = f"{providers}/Microsoft.Monitor/accounts/metrics-{number:03}"
    cluster = f"{providers}/Microsoft.ContainerService/managedClusters/aks-{number:03}"
    rules = f"{providers}/Microsoft.Insights/dataCollectionRules/rule-{number:03}"
    zones = ["1", "2", "3"]
    pool = {"vmSize": "Standard_D4s_v5", "availabilityZones": zones, "enableAutoScaling": True}
    system = {**pool, "name": "systempool", "mode": "System", "count": 2, "minCount": 2, "maxCount": 3}
    postgres = {**pool, "mode": "User", "count": 3, "minCount": 3, "maxCount": 6}
    flow = {"streams": ["Microsoft-PrometheusMetrics"], "destinations": ["metrics"]}
    prometheus = {
        "dataSources": {"prometheusForwarder": [{"name": "p", "streams": ["Microsoft-PrometheusMetrics"]}]},
        "destinations": {"monitoringAccounts": [{"name": "metrics", "accountResourceId": monitor}]},
        "dataFlows": [flow],
    }
    yield [(group, "2024-11-01", here)]
    yield [
        (identity, "2024-11-30", here),
        (account, "2025-08-01", {**here, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}),
        (logs, "2025-02-01", here),
        (monitor, "2025-10-03", here),
        (
            f"{providers}/Microsoft.Dashboard/grafana/grafana-{number:03}",
            "2023-09-01",
            {**here, "sku": {"name": "Standard"}, "identity": {"type": "SystemAssigned"}},
        ),
    ]
    addon = {"enabled": True, "config": {"logAnalyticsWorkspaceResourceID": logs, "useAADAuth": "true"}}
    yield [
        (f"{account}/blobServices/default/containers/backups", "2025-08-01", {}),
        (rules, "2022-06-01", {**here, "properties": prometheus}),
        (
            cluster,
            "2026-08-01",
            {
                **here,
                "sku": {"name": "Base", "tier": "Standard"},
                "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}},
                "properties": {
                    "dnsPrefix": "db",
                    "oidcIssuerProfile": {"enabled": True},
                    "securityProfile": {"workloadIdentity": {"enabled": True}},
                    "agentPoolProfiles": [system],
                    "azureMonitorProfile": {"metrics": {"enabled": True}},
                    "addonProfiles": {"omsagent": addon},
                },
            },
        ),
    ]
    yield [
        (f"{cluster}/agentPools/postgres", "2026-08-01", {"properties": postgres}),
        (
            f"{cluster}/providers/Microsoft.Insights/dataCollectionRuleAssociations/metrics",
            "2022-06-01",
            {"properties": {"dataCollectionRuleId": rules}},
        ),
        (
            f"{identity}/federatedIdentityCredentials/pg-cluster",
            "2024-11-30",
            {
                "properties": {
                    "issuer": f"https://issuer.example/{number}/",
                    "subject": "system:serviceaccount:cnpg-database:pg",
                    "audiences": ["api://AzureADTokenExchange"],
                }
            },
        ),
        (
            f"{group.replace('rg-', 'MC_rg-')}_aks-{number:03}_{region}/providers/Microsoft.Network"
            "/publicIPAddresses/pg",
            "2024-10-01",
            {**here, "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}},
        ),
    ]


async def resources_of(running: Running, session: aiohttp.ClientSession) -> list[Json]:
    """All resources, as ARM shows them."""
    found: list[Json] = (await running.control(session, "GET", "resources", {}))["resources"]
    return found


async def install(running: Running, session: aiohttp.ClientSession, cluster: str) -> None:
    """Put the operator into a cluster, and a namespace for the database."""
    path = f"{cluster}/listClusterUserCredential"
    async with session.post(path, params={"api-version": "2026-08-01"}) as answer:
        encoded = (await answer.json())["kubeconfigs"][0]["value"]
    kubeconfig = yaml.safe_load(base64.b64decode(encoded))
    server = kubeconfig["clusters"][0]["cluster"]["server"]
    headers = {
        "Authorization": f"Bearer {kubeconfig['users'][0]['user']['token']}",
        "Content-Type": "application/apply-patch+yaml",
    }
    connector = aiohttp.TCPConnector(ssl=running.tls, limit=1)
    async with aiohttp.ClientSession(server, connector=connector, headers=headers) as api:
        for body in [
            *MANIFEST,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cnpg-database"}},
        ]:
            group_version = body["apiVersion"]
            prefix = f"/api/{group_version}" if group_version == "v1" else f"/apis/{group_version}"
            namespace = body["metadata"].get("namespace")
            plural = body["kind"].lower() + "s"
            where = f"{prefix}/namespaces/{namespace}/{plural}" if namespace else f"{prefix}/{plural}"
            params = {"fieldManager": "bench", "force": "true"}
            async with api.patch(f"{where}/{body['metadata']['name']}", params=params, json=body) as made:
                assert made.status in (200, 201), (body["kind"], made.status, await made.text())


async def measure_memory(running: Running) -> tuple[float, float, int, int]:
    """MiB resident before and after a hundred environments, and how many resources and nodes they are."""
    async with running.session() as session:
        await running.sign_in(session)
    before = running.memory_mib()
    settings = {
        "throttling": False,
        "spontaneous_operations": False,
        "autoscaler": False,
        "principal_replication_s": 0,
        "quota": {"*": 100_000, "cores": 100_000, "ManagedClusters": 1000},
        "registered": {"Microsoft.Dashboard": True, "Microsoft.Monitor": True},
        # What comes before an answer would be waited for.
        "durations": dict.fromkeys(ANSWERS, 0),
    }
    async with running.session() as session:
        await running.control(session, "PUT", "settings", settings)

        async def write(path: str, version: str, body: Json) -> None:
            async with session.put(path, params={"api-version": version}, json=body) as answer:
                assert answer.status in (200, 201, 202), (path, answer.status, await answer.text())

        every = [environment(running, number) for number in range(ENVIRONMENTS)]
        for batches in zip(*every, strict=True):
            for batch in batches:
                await asyncio.gather(*(write(*wanted) for wanted in batch))
            await running.control(session, "POST", "clock", {"step_s": 1500})
        clusters = [item for item in await resources_of(running, session) if item["type"].lower() == CLUSTER]
        assert len(clusters) == ENVIRONMENTS
        for at in range(0, len(clusters), 8):
            await asyncio.gather(*(install(running, session, item["id"]) for item in clusters[at : at + 8]))
        await running.control(session, "POST", "clock", {"step_s": 3600})
        resources = await resources_of(running, session)
        unfinished = Counter(
            item["properties"].get("provisioningState")
            for item in resources
            if item.get("properties", {}).get("provisioningState", "Succeeded") != "Succeeded"
        )
        assert not unfinished, unfinished
        nodes = sum(
            item["properties"]["count"]
            for item in resources
            if item["type"].lower() == f"{CLUSTER}/agentpools"
        )
    await asyncio.sleep(1)
    return before, running.memory_mib(), len(resources), nodes


# The report.


def machine() -> str:
    """Cores, processor and Python of this machine."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores of {models[0] if models else platform.machine()}, Python {platform.python_version()}"
    )


def percentile(values: list[float], share: float) -> float:
    """A value that this share of the values doesn't exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def measure() -> tuple[list[tuple[str, str, str, bool]], str]:
    """Rows of what was measured, what is wanted and whether it holds; and how busy the machine was."""
    load = os.getloadavg()[0]
    starts = measure_starts()
    with sandbox() as running:
        seen, own = await measure_reads(running)
        used_s = running.cpu_s()
        paced, answers, times = await measure_rate(running, RATE * 1.05, 5000)
        used_s = running.cpu_s() - used_s
        flat_out, flat_answers, _ = await measure_rate(running, None, 5000)
    # Slow, so that the clusters' own life doesn't run while they are being made; the steps let it.
    with sandbox("--speed", "1") as running:
        before, after, resources, nodes = await measure_memory(running)
    good = {"200", "201"}
    errors = sum(count for status, count in (answers + flat_answers).items() if status not in good)
    rows = [
        (
            f"start, of {len(starts)}: median (worst)",
            f"{statistics.median(starts):.2f} s ({max(starts):.2f} s)",
            f"< {LIMITS['start_s']:g} s",
            statistics.median(starts) < LIMITS["start_s"],
        ),
        (
            f"one GET after the other, of {len(seen)}: median (95 %), as the client sees it",
            f"{statistics.median(seen):.2f} ms ({percentile(seen, 0.95):.2f} ms)",
            f"< {LIMITS['get_ms']:g} ms",
            statistics.median(seen) < LIMITS["get_ms"],
        ),
        ("the same, as the sandbox sees it", f"{statistics.median(own):.2f} ms", "", True),
        (
            f"{CONNECTIONS} clients at once, {RATE * 1.05:.0f} requests a second asked for, every fourth a write",
            f"{paced:.0f} a second, median {statistics.median(times):.1f} ms, 99 % {percentile(times, 0.99):.0f} ms",
            f"≥ {LIMITS['rate']:g} a second",
            paced >= LIMITS["rate"],
        ),
        ("the sandbox's CPU for each of those requests", f"{used_s / 5000 * 1000:.2f} ms", "", True),
        (f"{CONNECTIONS} clients, as fast as they can", f"{flat_out:.0f} a second", "", True),
        ("errors in those 10000 requests", str(errors), "0", errors == 0),
        (
            f"resident with {ENVIRONMENTS} environments ({resources} resources, clusters with {nodes} nodes)",
            f"{after:.0f} MiB ({before:.0f} MiB empty)",
            f"< {LIMITS['memory_mib']:g} MiB",
            after < LIMITS["memory_mib"],
        ),
    ]
    return rows, f"load average {load:.1f} before, {os.getloadavg()[0]:.1f} after"


def main() -> int:
    """Measure, print, and write if wanted; 1 when something is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="write docs/sandbox-benchmark.md")
    options = parser.parse_args()
    rows, load = asyncio.run(measure())
    lines = ["| measured | result | wanted | |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {what} | {result} | {wanted} | {'' if not wanted else 'yes' if holds else '**no**'} |"
        for what, result, wanted, holds in rows
    ]
    text = f"""\
# How fast the sandbox is, and what it weighs

Measured by `make bench-sandbox` on {datetime.now(UTC):%d %B %Y}: {machine()}; {load}.
Clients and sandbox share the cores. Reads and writes go over TLS, with ARM's checks and the ledger; throttling is off.

{chr(10).join(lines)}

An environment is what the guide makes: group, identity with a federated credential, storage with a container, both
workspaces, Grafana, data collection, a public address, and a cluster with two node pools, its Kubernetes API, the
operator's stand-in and the monitoring agents.
"""
    print(text)
    if options.write:
        (REPOSITORY / "docs" / "sandbox-benchmark.md").write_text(text)
    return 0 if all(holds for *_, holds in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
