"""Begins the work on each Cluster, and tells it what changes; without PostgreSQL, says that there is none."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from azure_sandbox.kubernetes.conditions import is_true
from azure_sandbox.kubernetes.controllers.life import Controller, Life
from azure_sandbox.kubernetes.controllers.postgres import words
from azure_sandbox.kubernetes.controllers.postgres.exporter import PORT as METRICS_PORT
from azure_sandbox.kubernetes.controllers.postgres.installed import operator_runs
from azure_sandbox.kubernetes.controllers.postgres.kubelet import Served
from azure_sandbox.kubernetes.controllers.postgres.operator import ClusterWork
from azure_sandbox.kubernetes.controllers.postgres.routes import Routes
from azure_sandbox.kubernetes.controllers.postgres.surroundings import Surroundings
from azure_sandbox.kubernetes.store import Event
from azure_sandbox.postgres.programs import end

Json = dict[str, Any]

NOTICE_S = 0.5
NOT_INSTALLED = (
    "This sandbox has no PostgreSQL: `azure-sandbox postgres install` fetches it. "
    "The Cluster is kept, and no instance is made."
)


class PostgresClusters(Controller):
    """All Clusters of one Kubernetes API."""

    def __init__(self, life: Life, around: Surroundings) -> None:
        super().__init__(life)
        self._around = around
        self.works: dict[str, ClusterWork] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._routes: Routes | None = None
        if around.host is not None:
            self._routes = Routes(self, around, around.host, self.served, self._namespaces)

    def on_change(self, event: Event) -> None:
        """Begin with a new Cluster; wake who may be concerned."""
        metadata = event.obj["metadata"]
        if event.key == words.CLUSTERS and event.change != "DELETED":
            if self._around.host is None:
                at = (metadata["namespace"], metadata["name"])
                self.life.after(NOTICE_S, partial(self._say_not_installed, *at), "no postgres", *at)
            else:
                self._begin(event.obj)
        if event.key == "pods" and self._around.host is None and is_true(event.obj, "Ready"):
            for cluster in self.store.all(words.CLUSTERS):  # The operator may just have started.
                at = (cluster["metadata"]["namespace"], cluster["metadata"]["name"])
                self.life.after(NOTICE_S, partial(self._say_not_installed, *at), "no postgres", *at)
        for work in self.works.values():
            if work.namespace == metadata.get("namespace") or not metadata.get("namespace"):
                work.wake.set()

    def go_on(self) -> None:
        """Begin with the Clusters that were kept from an earlier run."""
        for cluster in self.store.all(words.CLUSTERS):
            if self._around.host is not None:
                self._begin(cluster)

    def _begin(self, cluster: Json) -> None:
        uid = cluster["metadata"]["uid"]
        if uid in self.works or self._around.host is None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # Nothing runs without one.
            return
        work = self.works[uid] = ClusterWork(self, self._around, self._around.host, cluster)
        if self._routes is not None:
            self._routes.start()
        task = self._tasks[uid] = loop.create_task(work.run())
        task.add_done_callback(lambda _task: (self.works.pop(uid, None), self._tasks.pop(uid, None)))

    def _namespaces(self) -> set[str]:
        return {work.namespace for work in self.works.values()}

    def served(self, namespace: str, pod: str) -> Served | None:
        """The instance that a Pod runs."""
        work = self.work_of(namespace, pod)
        return None if work is None else work.instances.get(pod)

    def shown(self) -> Json:
        """Where Services and instances are on this machine."""
        instances = {}
        for work in self.works.values():
            for name, served in work.instances.items():
                process = served.server.process
                instances[f"{work.namespace}/{name}"] = {
                    "address": f"{served.server.address}:5432",
                    "metrics": f"http://{served.server.address}:{METRICS_PORT}/metrics",
                    "pid": process.pid if process is not None else None,
                    "data": str(served.server.data),
                }
        return {"services": self._routes.shown() if self._routes is not None else {}, "instances": instances}

    def work_of(self, namespace: str, pod: str) -> ClusterWork | None:
        """Whose instance a Pod is."""
        for work in self.works.values():
            if work.namespace == namespace and pod in work.instances:
                return work
        return None

    async def close(self) -> None:
        """End all servers."""
        if self._routes is not None:
            await self._routes.close()
        for work in self.works.values():
            work.closing = True
        await end(self._tasks.values())

    def _say_not_installed(self, namespace: str, name: str) -> None:
        cluster = self.store.get(words.CLUSTERS, namespace, name)
        if cluster is None or (cluster.get("status") or {}).get("phase") or not operator_runs(self.store):
            return
        status = {"phase": words.SETTING_UP, "phaseReason": NOT_INSTALLED}
        self.set_status(words.CLUSTERS, cluster, status, words.OPERATOR)
        metadata, now = cluster["metadata"], self.objects.now()
        event = {
            "metadata": {"name": f"{name}.{metadata['uid'][:8]}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": cluster["apiVersion"],
                "kind": "Cluster",
                "name": name,
                "namespace": namespace,
                "uid": metadata["uid"],
            },
            "type": "Warning",
            "reason": "PostgresNotInstalled",
            "message": NOT_INSTALLED,
            "source": {"component": words.OPERATOR},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self.make("events", event, words.OPERATOR)
