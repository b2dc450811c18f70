"""What controllers would do on a real API server that has none, as far as clients wait for it.

It looks at the cluster a few times a second and writes what is due: nodes, a namespace's furniture and end, the status
of Deployments and DaemonSets, the monitoring agents. No ReplicaSets and no pods are made.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import Any

import aiohttp

from azure_sandbox.kubernetes import node_objects
from azure_sandbox.kubernetes.conditions import condition, is_true
from azure_sandbox.kubernetes.controllers import addons, namespaces, nodes, pods
from azure_sandbox.kubernetes.controllers.pods import misfit
from azure_sandbox.kubernetes.times import Clock, stamp

Json = dict[str, Any]

logger = logging.getLogger(__name__)

LOOK_S = 0.25
"""Real seconds between two looks."""

MERGE = "application/merge-patch+json"


class Actor:
    """The life of one real cluster.

    Args:
        clock: the sandbox's; delays are its seconds.
        seed: of every delay.
        ca_pem: the certificate authority of the cluster's port.
    """

    def __init__(self, clock: Clock, seed: str, ca_pem: str) -> None:
        self._clock = clock
        self._seed = seed
        self._ca_pem = ca_pem
        self._wanted: dict[str, Json] = {}
        self._addons = {"metrics": False, "logs": False}
        self._due: dict[tuple[str, ...], float] = {}
        self._joined = 3
        self._session: aiohttp.ClientSession | None = None
        self._url = ""
        self._token = ""

    def set_pools(self, pools: list[Json]) -> None:
        """Have the nodes of these pools, and no others."""
        self._wanted = node_objects.wanted(pools, self._between)

    def set_addons(self, *, metrics: bool, logs: bool) -> None:
        """Have these agents."""
        self._addons = {"metrics": metrics, "logs": logs}

    def connect(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        """Work on this API server."""
        self._session, self._url, self._token = session, url, token

    async def end_namespace(self, name: str) -> None:
        """Have a namespace of that name being deleted."""
        await self._send("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        await self._send("DELETE", f"/api/v1/namespaces/{name}")

    async def run(self) -> None:
        """Look and act, for ever."""
        while True:
            for look in (self._namespaces, self._nodes, self._agents, self._deployments, self._daemon_sets):
                try:
                    await look()
                except (aiohttp.ClientError, TimeoutError):
                    logger.warning("the actor couldn't reach %s", self._url)
            await asyncio.sleep(LOOK_S)

    async def _send(
        self, method: str, path: str, body: Json | None = None, content_type: str = "application/json"
    ) -> Json | None:
        """One request; None when it was refused: the next look tries again."""
        assert self._session is not None
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        headers["User-Agent"] = "sandbox-actor/1"
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, self._url + path, data=data, headers=headers) as answer:
            try:
                found: Json = await answer.json(content_type=None)
            except ValueError:  # A group that has just gone: "404 page not found", as text.
                found = {}
            if answer.status >= 300:
                if answer.status not in (404, 409):
                    logger.warning("the actor's %s %s was refused: %s", method, path, found.get("message"))
                return None
            return found

    async def _items(self, path: str) -> list[Json]:
        found = await self._send("GET", path)
        return found["items"] if found else []

    def _between(self, low: float, high: float, *key: str) -> float:
        return random.Random("/".join((self._seed, *key))).uniform(low, high)

    def _is_due(self, delays: tuple[float, float], *key: str) -> bool:
        """Whether the time of something has come that was asked for first a while ago."""
        now_s = self._clock.now_s()
        due_s = self._due.setdefault(key, now_s + self._between(*delays, *key))
        return now_s >= due_s

    async def _namespaces(self) -> None:
        for namespace in await self._items("/api/v1/namespaces"):
            metadata = namespace["metadata"]
            name, uid = metadata["name"], metadata["uid"]
            if metadata.get("deletionTimestamp"):
                if self._is_due(namespaces.EMPTY_S, "empty", uid):
                    await self._end(namespace)
            elif ("furnish", uid) not in self._due:
                path = f"/api/v1/namespaces/{name}"
                await self._send("POST", f"{path}/serviceaccounts", {"metadata": {"name": "default"}})
                body = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": self._ca_pem}}
                await self._send("POST", f"{path}/configmaps", body)
                self._due[("furnish", uid)] = 0.0

    async def _end(self, namespace: Json) -> None:
        """Empty a namespace, and let it go when nothing is left."""
        name, left = namespace["metadata"]["name"], 0
        for prefix in await self._group_versions():
            listed = await self._send("GET", prefix) or {"resources": []}
            for resource in listed["resources"]:
                if not resource["namespaced"] or "deletecollection" not in resource["verbs"]:
                    continue
                path = f"{prefix}/namespaces/{name}/{resource['name']}"
                await self._send("DELETE", path, {"gracePeriodSeconds": 0})
                left += len(await self._items(path))
        if not left:
            body = {**namespace, "spec": {"finalizers": []}}
            await self._send("PUT", f"/api/v1/namespaces/{name}/finalize", body)

    async def _group_versions(self) -> list[str]:
        found = await self._send("GET", "/apis") or {"groups": []}
        groups = [f"/apis/{group['preferredVersion']['groupVersion']}" for group in found["groups"]]
        return ["/api/v1", *groups]

    async def _nodes(self) -> None:
        live = {node["metadata"]["name"]: node for node in await self._items("/api/v1/nodes")}
        for name, pool in self._wanted.items():
            node = live.get(name)
            if node is None:
                if self._is_due(nodes.JOIN_S, "join", name):
                    await self._join(name, pool)
                continue
            starting = not is_true(node, "Ready") and self._is_due(nodes.READY_S, "ready", name)
            upgraded = _kubelet(node) != f"v{pool['version']}" and self._is_due(
                nodes.UPGRADE_S, "upgrade", name, pool["version"]
            )
            if starting or upgraded:
                await self._make_ready(node, pool)
        for name in set(live) - set(self._wanted):
            if name.startswith("aks-") and self._is_due(nodes.LEAVE_S, "leave", name):
                await self._send("DELETE", f"/api/v1/nodes/{name}")
                for what in ("join", "ready", "leave"):
                    self._due.pop((what, name), None)

    async def _join(self, name: str, pool: Json) -> None:
        made = await self._send("POST", "/api/v1/nodes", node_objects.new_node(name, pool))
        if made is None:
            return
        self._joined += 1
        status = node_objects.status({}, pool, stamp(self._clock), ready=False)
        status["addresses"] = node_objects.addresses(name, self._joined)
        await self._send("PATCH", f"/api/v1/nodes/{name}/status", {"status": status}, MERGE)

    async def _make_ready(self, node: Json, pool: Json) -> None:
        path = f"/api/v1/nodes/{node['metadata']['name']}"
        status = node_objects.status(node, pool, stamp(self._clock), ready=True)
        await self._send("PATCH", f"{path}/status", {"status": status}, MERGE)
        taints = [item for item in node["spec"].get("taints") or [] if item != node_objects.NOT_READY]
        await self._send("PATCH", path, {"spec": {"taints": taints or None}}, MERGE)

    async def _agents(self) -> None:
        for name, wanted in self._addons.items():
            delays = addons.APPEAR_S if wanted else addons.VANISH_S
            if ("addon", name, str(wanted)) in self._due or wanted:
                if not self._is_due(delays, "addon", name, str(wanted)):
                    continue
                self._due.pop(("addon", name, str(not wanted)), None)
                for prefix, body in addons.objects(name):
                    path = f"{prefix}/{body['metadata']['name']}"
                    if not wanted:
                        await self._send("DELETE", path)
                    elif await self._send("GET", path) is None:
                        await self._send("POST", prefix, body)

    async def _deployments(self) -> None:
        ready_nodes = [node for node in await self._items("/api/v1/nodes") if is_true(node, "Ready")]
        for obj in await self._items("/apis/apps/v1/deployments"):
            metadata, status = obj["metadata"], obj.get("status", {})
            current = status.get("observedGeneration") == metadata["generation"]
            if current and is_true(obj, "Available"):
                continue
            fits = any(not misfit(obj["spec"]["template"]["spec"], node) for node in ready_nodes)
            key = ("deployment", metadata["uid"], str(metadata["generation"]))
            ready = fits and self._is_due(pods.START_S, *key)
            if ready or not current:
                wanted = self._deployment_status(obj, ready)
                path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/deployments/{metadata['name']}"
                await self._send("PATCH", f"{path}/status", {"status": wanted}, MERGE)

    def _deployment_status(self, obj: Json, ready: bool) -> Json:
        now, before = stamp(self._clock), obj.get("status")
        replicas = obj["spec"].get("replicas", 1)
        available = (
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
            if ready
            else ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        )
        progress = "NewReplicaSetAvailable" if ready else "ReplicaSetUpdated"
        return {
            "observedGeneration": obj["metadata"]["generation"],
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": replicas if ready else 0,
            "availableReplicas": replicas if ready else 0,
            "unavailableReplicas": 0 if ready else replicas,
            "conditions": [
                condition("Available", *available, now, before),
                condition("Progressing", "True", progress, "", now, before),
            ],
        }

    async def _daemon_sets(self) -> None:
        all_nodes = await self._items("/api/v1/nodes")
        for obj in await self._items("/apis/apps/v1/daemonsets"):
            metadata = obj["metadata"]
            spec = obj["spec"]["template"]["spec"]
            fitting = [node for node in all_nodes if not misfit(spec, node, daemon=True)]
            ready = 0
            for node in fitting:
                key = ("daemon", metadata["uid"], node["metadata"]["uid"])
                ready += is_true(node, "Ready") and self._is_due(pods.START_S, *key)
            status = {
                "observedGeneration": metadata["generation"],
                "currentNumberScheduled": len(fitting),
                "desiredNumberScheduled": len(fitting),
                "updatedNumberScheduled": len(fitting),
                "numberMisscheduled": 0,
                "numberReady": ready,
                "numberAvailable": ready,
                "numberUnavailable": len(fitting) - ready,
            }
            before = obj.get("status", {})
            if any(before.get(field, 0) != value for field, value in status.items()):
                path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/daemonsets/{metadata['name']}"
                await self._send("PATCH", f"{path}/status", {"status": status}, MERGE)


def _kubelet(node: Json) -> str:
    version: str = node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", "")
    return version
