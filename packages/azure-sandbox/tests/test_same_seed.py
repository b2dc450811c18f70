"""The same seed gives the same faults and, resource by resource, the same ledger, whoever comes first."""

import concurrent.futures
import random
from collections import defaultdict
from typing import Any

import requests

from azure_sandbox.client import SandboxProcess
from azure_sandbox.core.faults import Faults

Json = dict[str, Any]

REGION = {"location": "canadacentral"}
KINDS = {
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("2024-11-30", REGION),
    "Microsoft.OperationalInsights/workspaces": ("2025-02-01", REGION),
    "Microsoft.Dashboard/grafana": ("2023-09-01", {**REGION, "sku": {"name": "Standard"}}),
}
ORDERS: list[Json] = [
    {"service": "arm", "method": "PUT", "path": "/providers/", "rate": 0.4, "do": {"status": 503}},
    {
        "service": "arm",
        "method": "PUT",
        "path": "/providers/",
        "rate": 0.2,
        "seed": 8,
        "do": {"cut": "after"},
    },
    {"operation": "Grafana_Create", "rate": 0.5, "do": {"operation_canceled": True}},
    {
        "service": "arm",
        "method": "GET",
        "path": "/providers/",
        "nth": 2,
        "per": "resource",
        "do": {"status": 500},
    },
]


def run(sandbox: SandboxProcess, seed: int, order_of_clients: int) -> dict[str, list[Json]]:
    """Eight clients at once, each with resources of its own; what the ledger has of each resource.

    The clock all but stands still, so that it's the faults and not the machine's speed that decide what is met.
    """
    sandbox.control("POST", "reset", {"seed": seed, "speed": 0.001})
    sandbox.settings(
        registered={"Microsoft.Dashboard": True},
        throttling=False,
        durations={"managed_identity_write": 0, "resource_group_write": 0},
    )
    group = f"{sandbox.subscription}/resourceGroups/rg-test"
    sandbox.arm("PUT", group, REGION, api_version="2024-11-01")
    sandbox.control("POST", "scenarios", {"orders": ORDERS})

    def client(number: int) -> None:
        for kind, (version, body) in KINDS.items():
            path = f"{group}/providers/{kind}/thing-{number}"
            for _ in range(12):
                try:
                    answer = sandbox.arm("PUT", path, body, api_version=version)
                except requests.ConnectionError:
                    continue  # Cut.
                if (
                    answer.status_code < 300 or answer.status_code == 409
                ):  # Made, or being made since the cut.
                    break

    def look(number: int) -> None:
        for kind, (version, _) in KINDS.items():
            for _ in range(3):
                sandbox.arm("GET", f"{group}/providers/{kind}/thing-{number}", api_version=version)

    numbers = list(range(8))
    random.Random(order_of_clients).shuffle(numbers)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(client, numbers))
    sandbox.step(3600)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(look, numbers))
    by_resource: dict[str, list[Json]] = defaultdict(list)
    for entry in sandbox.ledger(service="arm"):
        kept = ("method", "operation", "api_version", "principal", "body", "status", "error_code")
        by_resource[entry["path"]].append({name: entry[name] for name in kept})
    return by_resource


def test_the_same_seed_gives_the_same_ledger_of_each_resource(sandbox: SandboxProcess) -> None:
    first, second = run(sandbox, 5, order_of_clients=1), run(sandbox, 5, order_of_clients=2)
    assert first == second
    statuses = {entry["status"] for entries in first.values() for entry in entries}
    assert {None, 500, 503, 201} <= statuses  # It isn't equal because nothing happened.


def test_another_seed_gives_another_ledger(sandbox: SandboxProcess) -> None:
    assert run(sandbox, 5, order_of_clients=1) != run(sandbox, 6, order_of_clients=1)


def test_whether_a_rate_hits_depends_on_operation_resource_and_call_only() -> None:
    def hits(calls: list[tuple[str, str]]) -> dict[tuple[str, str, int], bool]:
        faults = Faults(lambda: 3)
        faults.order({"path": "/", "rate": 0.5, "do": {"status": 500}})
        counts: dict[tuple[str, str], int] = defaultdict(int)
        seen = {}
        for operation, path in calls:
            counts[operation, path] += 1
            taken = faults.take("arm", "GET", operation, path)
            seen[operation, path, counts[operation, path]] = taken is not None
        return seen

    calls = [(operation, f"/r{number}") for operation in ("A_Get", "B_Get") for number in range(5)] * 6
    shuffled = random.Random(1).sample(calls, len(calls))
    assert hits(calls) == hits(shuffled)
    assert 20 < sum(hits(calls).values()) < 40
    # Azure's ids have no case.
    assert list(hits([("A_Get", "/R0")] * 6).values()) == list(hits([("A_Get", "/r0")] * 6).values())


def test_an_order_can_count_for_each_resource_by_itself() -> None:
    faults = Faults()
    faults.order({"operation": "A_Get", "nth": 2, "per": "resource", "do": {"status": 500}})
    taken = [faults.take("arm", "GET", "A_Get", path) is not None for path in ("/a", "/b", "/a", "/b", "/a")]
    assert taken == [False, False, True, True, False]
