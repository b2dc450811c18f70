"""Nodes: what the cluster's node pools have."""

from functools import partial
from typing import Any

from azure_sandbox.kubernetes import node_objects
from azure_sandbox.kubernetes.controllers.life import KUBELET, Controller, Life
from azure_sandbox.kubernetes.store import Event

Json = dict[str, Any]

# Unverified; short, since most of a node's time is in the node pool's own operation.
JOIN_S = (1.0, 4.0)
READY_S = (8.0, 20.0)
LEAVE_S = (2.0, 6.0)
UPGRADE_S = (20.0, 40.0)


class Nodes(Controller):
    """Brings nodes up and takes them away, as the pools say."""

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        self._wanted: dict[str, Json] = {}
        self._joined = 3

    def on_change(self, event: Event) -> None:
        """Bring a node back that a person deleted while its pool has it."""
        if (
            event.key == "nodes"
            and event.change == "DELETED"
            and event.obj["metadata"]["name"] in self._wanted
        ):
            name = event.obj["metadata"]["name"]
            self.life.after(READY_S[0], partial(self._join, name), "join", name)

    def dump(self) -> Json:
        """The nodes wanted, as JSON."""
        return {"wanted": self._wanted, "joined": self._joined}

    def load(self, dumped: Json) -> None:
        """Want what was dumped."""
        self._wanted, self._joined = dict(dumped["wanted"]), dumped["joined"]

    def set_pools(self, pools: list[Json]) -> None:
        """Have the nodes of these pools and no others."""
        self._wanted = node_objects.wanted(pools, self.life.between)
        live = {node["metadata"]["name"]: node for node in self.store.all("nodes")}
        for name in self._wanted:
            if name not in live:
                delay_s = self.life.between(*JOIN_S, "join", name)
                self.life.after(delay_s, partial(self._join, name), "join", name)
        for name in live:
            if name not in self._wanted:
                delay_s = self.life.between(*LEAVE_S, "leave", name)
                self.life.after(delay_s, partial(self._leave, name), "leave", name)
        self._refresh(live)

    def _refresh(self, live: dict[str, Json]) -> None:
        """Labels follow at once; a new version comes node by node."""
        at_s = 0.0
        for name, pool in self._wanted.items():
            node = live.get(name)
            if node is None:
                continue
            labels = node_objects.labels(name, pool)

            def change(copy: Json, labels: Json = labels) -> None:
                copy["metadata"]["labels"] = labels

            self.objects.write("nodes", "", name, change, "aks-node-controller")
            version = f"v{pool['version']}"
            if node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion") != version:
                at_s += self.life.between(*UPGRADE_S, "upgrade", name, version)
                self.life.after(at_s, partial(self._ready, name), "ready", name)

    def _join(self, name: str) -> None:
        pool = self._wanted.get(name)
        if pool is None:
            return
        self._joined += 1
        made = self.make("nodes", node_objects.new_node(name, pool), KUBELET)
        if made is not None:
            status = node_objects.status(made, pool, self.objects.now(), ready=False)
            addresses = node_objects.addresses(name, self._joined)
            self.set_status("nodes", made, {**status, "addresses": addresses}, KUBELET)
        delay_s = self.life.between(*READY_S, "ready", name)
        self.life.after(delay_s, partial(self._ready, name), "ready", name)

    def _ready(self, name: str) -> None:
        pool, node = self._wanted.get(name), self.store.get("nodes", "", name)
        if pool is None or node is None:
            return
        status = node_objects.status(node, pool, self.objects.now(), ready=True)
        self.set_status("nodes", node, {**node.get("status", {}), **status}, KUBELET)

        def change(copy: Json) -> None:
            taints = [item for item in copy["spec"].get("taints") or [] if item != node_objects.NOT_READY]
            copy["spec"]["taints"] = taints
            if not taints:
                del copy["spec"]["taints"]

        self.objects.write("nodes", "", name, change, KUBELET)

    def _leave(self, name: str) -> None:
        if name in self._wanted:
            return
        for pod in self.store.all("pods"):
            if pod["spec"].get("nodeName") == name:
                self.store.remove("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
        self.store.remove("nodes", "", name)
