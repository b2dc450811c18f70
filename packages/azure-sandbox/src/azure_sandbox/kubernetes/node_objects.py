"""Nodes as objects: names, labels and status, from what the node pools say.

Labels: https://learn.microsoft.com/azure/aks/use-labels
"""

from collections.abc import Callable
from typing import Any

from azure_sandbox.kubernetes.conditions import condition

Json = dict[str, Any]

NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def wanted(pools: list[Json], between: Callable[..., float]) -> dict[str, Json]:
    """The nodes that some pools have: the pool with `zone` and `index`, by the node's name.

    Args:
        pools: as `KubernetesApi.set_pools` takes them; `scale_set` is the ID of the one that the nodes are in.
        between: draws a number from the seed.
    """
    found: dict[str, Json] = {}
    for pool in pools:
        drawn = int(between(10_000_000, 99_999_999, "vmss", pool["name"]))
        scale_set = str(pool.get("scale_set") or f"aks-{pool['name']}-{drawn}-vmss").rpartition("/")[2]
        zones = [str(zone) for zone in pool.get("zones") or []]
        for index in range(int(pool["count"])):
            zone = zones[index % len(zones)] if zones else ""
            if zone.isdigit():
                zone = f"{pool['region']}-{zone}"
            name = f"{scale_set}{_base36(index):0>6}"
            found[name] = {**pool, "zone": zone, "index": index}
    return found


def labels(name: str, pool: Json) -> Json:
    """The labels of a node."""
    # Without availability zones, the label holds the fault domain.
    zone = pool["zone"] or "0"
    own = {
        "agentpool": pool["name"],
        "kubernetes.azure.com/agentpool": pool["name"],
        "kubernetes.azure.com/mode": str(pool.get("mode", "User")).lower(),
        "kubernetes.azure.com/role": "agent",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": pool.get("vm_size", ""),
        "topology.disk.csi.azure.com/zone": pool["zone"],
        "topology.kubernetes.io/region": pool["zone"].rpartition("-")[0] or pool.get("region", ""),
        "topology.kubernetes.io/zone": zone,
    }
    return {**own, **(pool.get("labels") or {})}


def new_node(name: str, pool: Json) -> Json:
    """A node that has just joined."""
    taints = [_taint(item) for item in pool.get("taints") or []]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels(name, pool)},
        "spec": {"providerID": _provider_id(name, pool), "taints": [*taints, NOT_READY]},
    }


def addresses(name: str, number: int) -> list[Json]:
    """The addresses of the node that was the n-th to join."""
    return [
        {"type": "InternalIP", "address": f"10.224.{number // 250}.{number % 250}"},
        {"type": "Hostname", "address": name},
    ]


def status(node: Json, pool: Json, now: str, *, ready: bool) -> Json:
    """What the kubelet says of its node."""
    before = node.get("status")
    capacity = {"cpu": "4", "memory": "16Gi", "pods": "250"}
    version = f"v{pool['version']}"
    said = (
        ("True", "KubeletReady", "kubelet is posting ready status")
        if ready
        else ("False", "KubeletNotReady", "container runtime network not ready")
    )
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "", now, before),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "", now, before),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "", now, before),
            condition("Ready", *said, now, before),
        ],
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": "",
            "containerRuntimeVersion": "containerd://2.0",
            "kernelVersion": "",
            "kubeProxyVersion": version,
            "kubeletVersion": version,
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": "Ubuntu 24.04",
            "systemUUID": "",
        },
    }


def _provider_id(name: str, pool: Json) -> str:
    """The ID of the node's machine, its group in small letters.

    https://github.com/kubernetes-sigs/cloud-provider-azure
    """
    if not pool.get("scale_set"):
        return f"azure:///{name}"
    parts = str(pool["scale_set"]).split("/")
    parts[4] = parts[4].lower()
    return f"azure://{'/'.join(parts)}/virtualMachines/{pool['index']}"


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, rest = divmod(number, 36)
        text = digits[rest] + text
    return text or "0"


def _taint(text: str | Json) -> Json:
    """A taint as AKS takes it, `key=value:Effect`."""
    if isinstance(text, dict):
        return text
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    return {"key": key, "value": value, "effect": effect}
