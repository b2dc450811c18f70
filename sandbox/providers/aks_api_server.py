"""The Kubernetes API of a cluster, as AKS runs it: when it answers, to whom, and what AKS puts into it."""

import ipaddress
from typing import Any

from sandbox.arm import Resource
from sandbox.instance import Sandbox
from sandbox.providers import aks_node_group
from sandbox.providers.aks_validation import at

Json = dict[str, Any]


def make(sandbox: Sandbox, cluster: Resource) -> None:
    """Give a cluster its API server, which answers nobody yet."""
    cluster.notes["ranges"] = ranges_of(cluster)


def open_for_clients(sandbox: Sandbox, cluster: Resource) -> None:
    """Let the API server answer, with the nodes that the cluster has; again changes nothing."""
    cluster.notes["api_open"] = True
    sync_nodes(sandbox, cluster)


def is_open(cluster: Resource) -> bool:
    """Whether the API server answers."""
    return bool(cluster.notes.get("api_open"))


def close(sandbox: Sandbox, cluster: Resource) -> None:
    """Stop the API server."""


def sync_nodes(sandbox: Sandbox, cluster: Resource) -> None:
    """Let the nodes be those of the pools."""


def add_agent(sandbox: Sandbox, cluster: Resource, agent: str) -> None:
    """Let an agent's DaemonSet appear."""


def remove_agent(sandbox: Sandbox, cluster: Resource, agent: str) -> None:
    """Let an agent's DaemonSet vanish."""


def kubeconfig(sandbox: Sandbox, cluster: Resource, name: str) -> str:
    """A kubeconfig."""
    return ""


# Authorized ranges.


def authorize_later(sandbox: Sandbox, cluster: Resource) -> None:
    """Let a change of the authorized ranges work after up to two minutes.

    https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges
    """
    wanted = ranges_of(cluster)
    delay_s = sandbox.durations.seconds("aks_authorized_ranges", f"{cluster.id}{cluster.etag}")

    def apply() -> None:
        if ranges_of(cluster) == wanted:
            cluster.notes["ranges"] = wanted

    sandbox.clock.call_later(delay_s, apply)


def ranges_of(cluster: Resource) -> list[str]:
    """The authorized ranges of a cluster; none means that everybody gets through."""
    return list(at(cluster.properties, "apiServerAccessProfile.authorizedIPRanges") or [])


def gets_through(sandbox: Sandbox, cluster: Resource) -> bool:
    """Whether the address that callers seem to come from reaches the cluster's API now."""
    ranges: list[str] = cluster.notes.get("ranges") or []
    if not ranges:
        return True
    caller = ipaddress.ip_address(str(sandbox.settings["egress_address"]))
    own = aks_node_group.outbound_address(sandbox, cluster)
    allowed = [*ranges, f"{own}/32"] if own else ranges
    return any(caller in ipaddress.ip_network(value, strict=False) for value in allowed)
