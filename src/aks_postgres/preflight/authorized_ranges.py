"""Who may reach the API server: the spec's ranges, and the worker's own address if no range covers it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from aks_postgres.arm.gate import Gate
from aks_postgres.arm.responses import Json
from aks_postgres.preflight.findings import FINE, Findings, problem
from aks_postgres.spec.environment import NetworkSpec, range_problem
from aks_postgres.spec.names import WORKER_ADDRESS, Names


def needs_worker_address(network: NetworkSpec) -> bool:
    """Return whether the worker's address plays a part at all."""
    return network.add_worker_address and not network.open_to_internet


def address_that_counts(gate: Gate, address: str | None, groups: Sequence[Json], names: Names) -> str | None:
    """The worker's address; in a plan, the one that a run let through: which machine plans is no drift."""
    return (gate.plans and address and _recorded_address(groups, names)) or address


def _recorded_address(groups: Sequence[Json], names: Names) -> str | None:
    """The worker's address that the last run let through to the API server, by the group's tag."""
    for group in groups:
        if str(group["name"]).casefold() == names.resource_group.casefold():
            return {key.casefold(): value for key, value in (group.get("tags") or {}).items()}.get(
                WORKER_ADDRESS
            )
    return None


def authorized_ranges(
    network: NetworkSpec, address: str | None
) -> tuple[tuple[str, ...], str | None, Findings]:
    """The authorized ranges, the worker's address if it was added to them, and what is wrong.

    Args:
        network: the spec's part.
        address: the worker's egress address; None where it isn't needed.
    """
    if network.open_to_internet:
        return (), None, FINE
    ranges = [ipaddress.ip_network(given) for given in network.authorized_ip_ranges]
    given = tuple(map(str, ranges))
    if address is None:
        return given, None, FINE
    if wrong := range_problem(address):
        return (
            given,
            None,
            problem(
                "network.worker_address",
                f"this worker's egress address was looked up, and the answer can't be used: {wrong}.",
                "Set network.worker_address, or give network.authorized_ip_ranges and add_worker_address: false.",
            ),
        )
    worker = ipaddress.ip_address(address)
    if any(worker in network_range for network_range in ranges):
        return given, None, FINE
    return (*given, f"{address}/32"), address, FINE
