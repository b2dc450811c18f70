"""Nodes: what the cluster's node pools have, with the labels that AKS gives them.

Labels: https://learn.microsoft.com/azure/aks/use-labels
"""

from typing import Any

from sandbox.kubernetes.controllers.life import KUBELET, Controller, Life, condition
from sandbox.kubernetes.store import Event

Json = dict[str, Any]

JOIN_S = (1.0, 4.0)
READY_S = (8.0, 20.0)
LEAVE_S = (2.0, 6.0)
UPGRADE_S = (20.0, 40.0)

_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class Nodes(Controller):
    """Brings nodes up and takes them away, as the pools say."""

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        self._wanted: dict[str, Json] = {}
        self._address = 3

    def on_change(self, event: Event) -> None:
        """Bring a node back that a person deleted while its pool has it."""
        if (
            event.key == "nodes"
            and event.change == "DELETED"
            and event.obj["metadata"]["name"] in self._wanted
        ):
            name = event.obj["metadata"]["name"]
            self.life.after(READY_S[0], lambda: self._join(name), "join", name)

    def set_pools(self, pools: list[Json]) -> None:
        """Have the nodes of these pools and no others."""
        self._wanted = {}
        for pool in pools:
            for index in range(int(pool["count"])):
                name = self._name(pool["name"], index)
                zones = pool.get("zones") or []
                zone = zones[index % len(zones)] if zones else ""
                if zone.isdigit():
                    zone = f"{pool['region']}-{zone}"
                self._wanted[name] = {**pool, "zone": zone, "index": index}
        live = {node["metadata"]["name"]: node for node in self.store.all("nodes")}
        for name in self._wanted:
            if name not in live:
                delay_s = self.life.between(*JOIN_S, "join", name)
                self.life.after(delay_s, lambda name=name: self._join(name), "join", name)  # type: ignore[misc]
        for name in live:
            if name not in self._wanted:
                delay_s = self.life.between(*LEAVE_S, "leave", name)
                self.life.after(delay_s, lambda name=name: self._leave(name), "leave", name)  # type: ignore[misc]
        self._refresh(live)

    def _refresh(self, live: dict[str, Json]) -> None:
        """Labels follow at once; a new version comes node by node."""
        at_s = 0.0
        for name, pool in self._wanted.items():
            node = live.get(name)
            if node is None:
                continue
            labels = self._labels(name, pool)

            def change(copy: Json, labels: Json = labels) -> None:
                copy["metadata"]["labels"] = labels

            self.objects.write("nodes", "", name, change, "aks-node-controller")
            version = f"v{pool['version']}"
            if node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion") != version:
                at_s += self.life.between(*UPGRADE_S, "upgrade", name, version)
                self.life.after(at_s, lambda name=name: self._ready(name), "ready", name)  # type: ignore[misc]

    def _name(self, pool: str, index: int) -> str:
        number = int(self.life.between(10_000_000, 99_999_999, "vmss", pool))
        return f"aks-{pool}-{number}-vmss{_base36(index):0>6}"

    def _labels(self, name: str, pool: Json) -> Json:
        # Without availability zones, the label holds the fault domain.
        zone = pool["zone"] or "0"
        region = pool["zone"].rpartition("-")[0] or pool.get("region", "")
        labels = {
            "agentpool": pool["name"],
            "kubernetes.azure.com/agentpool": pool["name"],
            "kubernetes.azure.com/mode": str(pool.get("mode", "User")).lower(),
            "kubernetes.azure.com/role": "agent",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": pool.get("vm_size", ""),
            "topology.kubernetes.io/region": region,
            "topology.kubernetes.io/zone": zone,
            "topology.disk.csi.azure.com/zone": pool["zone"],
        }
        return {**labels, **(pool.get("labels") or {})}

    def _join(self, name: str) -> None:
        pool = self._wanted.get(name)
        if pool is None:
            return
        self._address += 1
        taints = [_taint(text) for text in pool.get("taints") or []]
        node = {
            "metadata": {"name": name, "labels": self._labels(name, pool)},
            "spec": {"providerID": f"azure:///{name}", "taints": [*taints, _NOT_READY]},
        }
        made = self.make("nodes", node, KUBELET)
        if made is not None:
            addresses = [
                {"type": "InternalIP", "address": f"10.224.{self._address // 250}.{self._address % 250}"},
                {"type": "Hostname", "address": name},
            ]
            status = self._status(
                made, pool, "False", "KubeletNotReady", "container runtime network not ready"
            )
            self.set_status("nodes", made, {**status, "addresses": addresses}, KUBELET)
        delay_s = self.life.between(*READY_S, "ready", name)
        self.life.after(delay_s, lambda: self._ready(name), "ready", name)

    def _ready(self, name: str) -> None:
        pool, node = self._wanted.get(name), self.store.get("nodes", "", name)
        if pool is None or node is None:
            return
        status = self._status(node, pool, "True", "KubeletReady", "kubelet is posting ready status")
        self.set_status("nodes", node, {**node.get("status", {}), **status}, KUBELET)

        def change(copy: Json) -> None:
            taints = [item for item in copy["spec"].get("taints") or [] if item != _NOT_READY]
            copy["spec"]["taints"] = taints
            if not taints:
                del copy["spec"]["taints"]

        self.objects.write("nodes", "", name, change, KUBELET)

    def _status(self, node: Json, pool: Json, ready: str, reason: str, message: str) -> Json:
        now, before = self.objects.now(), node.get("status")
        capacity = {"cpu": "4", "memory": "16Gi", "pods": "250"}
        version = f"v{pool['version']}"
        return {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "", now, before),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "", now, before),
                condition("PIDPressure", "False", "KubeletHasSufficientPID", "", now, before),
                condition("Ready", ready, reason, message, now, before),
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

    def _leave(self, name: str) -> None:
        if name in self._wanted:
            return
        for pod in self.store.all("pods"):
            if pod["spec"].get("nodeName") == name:
                self.store.remove("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
        self.store.remove("nodes", "", name)


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
