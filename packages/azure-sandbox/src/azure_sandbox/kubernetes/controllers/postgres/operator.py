"""The operator's part: it brings each Cluster's objects and servers to what its spec says.

One pass after another for each Cluster: look at every server, write what is missing, do at most one great thing (make a
server, fail over, switch over), write the status. What takes long runs beside the passes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Any

from azure_sandbox.kubernetes.conditions import condition
from azure_sandbox.kubernetes.controllers.life import Controller, Life
from azure_sandbox.kubernetes.controllers.postgres import bodies, configuration, installed, words
from azure_sandbox.kubernetes.controllers.postgres.archive import Archive
from azure_sandbox.kubernetes.controllers.postgres.backups import Backups
from azure_sandbox.kubernetes.controllers.postgres.databases import Databases
from azure_sandbox.kubernetes.controllers.postgres.exporter import Exporter
from azure_sandbox.kubernetes.controllers.postgres.kubelet import Kubelet, Served
from azure_sandbox.kubernetes.controllers.postgres.members import Members
from azure_sandbox.kubernetes.controllers.postgres.objects import Objects
from azure_sandbox.kubernetes.controllers.postgres.poolers import Poolers
from azure_sandbox.kubernetes.controllers.postgres.report import Report
from azure_sandbox.kubernetes.controllers.postgres.roles import Roles
from azure_sandbox.kubernetes.controllers.postgres.running import Running
from azure_sandbox.kubernetes.controllers.postgres.servers import Servers
from azure_sandbox.kubernetes.controllers.postgres.surroundings import Surroundings
from azure_sandbox.kubernetes.controllers.postgres.volumes import Volumes
from azure_sandbox.postgres.host import Host
from azure_sandbox.postgres.instance import PostgresError
from azure_sandbox.postgres.programs import end

Json = dict[str, Any]

logger = logging.getLogger(__name__)

PASS_S = 1.0
"""Real seconds between two looks at a Cluster in which nothing changes."""
BUSY_S = 0.2
AGAIN_S = 5.0
"""Real seconds until what failed is tried again."""


class ClusterWork:
    """One Cluster and everything of it.

    Args:
        controller: writes objects.
        around: the host and the cloud.
        host: runs the servers.
        cluster: as it was made.
    """

    def __init__(self, controller: Controller, around: Surroundings, host: Host, cluster: Json) -> None:
        metadata = cluster["metadata"]
        self.controller = controller
        self.store = controller.store
        self.life: Life = controller.life
        self.around = around
        self.host = host
        self.namespace: str = metadata["namespace"]
        self.name: str = metadata["name"]
        self.uid: str = metadata["uid"]
        self.servers = Servers(host, host.new_folder())
        self.roles = Roles(self)
        self.kubelet = Kubelet(controller, self.namespace, self.roles.may_start)
        self.objects = Objects(self)
        self.volumes = Volumes(self)
        self.members = Members(self)
        self.running = Running(self)
        self.report = Report(self)
        self.archive = Archive(self)
        self.backups = Backups(self)
        self.databases = Databases(self)
        self.poolers = Poolers(self)
        self.wake = asyncio.Event()
        self.closing = False
        self._job: asyncio.Task[None] | None = None
        self._again_at_s = 0.0

    # What there is.

    @property
    def cluster(self) -> Json | None:
        """The object, unless it is gone or another of its name."""
        found = self.store.get(words.CLUSTERS, self.namespace, self.name)
        return found if found is not None and found["metadata"]["uid"] == self.uid else None

    @property
    def status(self) -> Json:
        """A copy of the Cluster's status."""
        return dict((self.cluster or {}).get("status") or {})

    @property
    def instances(self) -> dict[str, Served]:
        """The servers by name."""
        return self.kubelet.instances

    def primary(self) -> Served | None:
        """The server that is the primary, by the status."""
        return self.instances.get(self.status.get("currentPrimary") or "")

    def ready(self) -> list[str]:
        """Names of the ready instances."""
        return [name for name in self.names() if self.instances[name].ready]

    def names(self) -> list[str]:
        """Names of all instances, by number."""
        return sorted(self.instances, key=bodies.serial)

    def update(self, **fields: Any) -> None:
        """Change fields of the status; None takes one away."""

        def change(obj: Json) -> None:
            status = {**(obj.get("status") or {}), **fields}
            obj["status"] = {key: value for key, value in status.items() if value is not None}

        self.controller.objects.write(
            words.CLUSTERS, self.namespace, self.name, change, words.OPERATOR, "status"
        )

    def set_condition(self, kind: str, status: str, reason: str, message: str) -> None:
        """Set a condition; its time changes only with its status."""
        live = self.status
        found = condition(kind, status, reason, message, self.controller.objects.now(), live)
        # In its place: another order would be a change, which wakes this loop again.
        conditions = {each["type"]: each for each in live.get("conditions") or []} | {kind: found}
        self.update(conditions=list(conditions.values()))

    def phase(self, phase: str, reason: str = "") -> None:
        """Set the phase and its reason."""
        self.update(phase=phase, phaseReason=reason or None)

    def event(self, reason: str, message: str, kind: str = "Normal", about: Json | None = None) -> None:
        """Record an Event about the Cluster, or about another object; once for each text."""
        obj = about or self.cluster
        if obj is None:
            return
        metadata, now = obj["metadata"], self.controller.objects.now()
        digest = hashlib.sha256(f"{metadata['uid']}{reason}{message}".encode()).hexdigest()[:16]
        body = {
            "metadata": {"name": f"{metadata['name']}.{digest}", "namespace": self.namespace},
            "involvedObject": {
                "apiVersion": obj["apiVersion"],
                "kind": obj["kind"],
                "name": metadata["name"],
                "namespace": self.namespace,
                "uid": metadata["uid"],
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": words.OPERATOR},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self.controller.make("events", body, words.OPERATOR)

    @property
    def is_busy(self) -> bool:
        """Whether something is being done that takes long, such as a failover."""
        return self._job is not None

    # The loop.

    async def run(self) -> None:
        """Work until the Cluster is gone."""
        try:
            while self.cluster is not None and not self.closing:
                self.wake.clear()
                try:
                    await self._pass()
                except PostgresError as error:
                    logger.info("%s/%s: %s", self.namespace, self.name, error)
                except Exception:
                    logger.exception("a pass over the Cluster %s/%s failed", self.namespace, self.name)
                busy = self.is_busy or self.status.get("phase") != words.HEALTHY
                try:
                    await asyncio.wait_for(self.wake.wait(), BUSY_S if busy else PASS_S)
                except TimeoutError:
                    continue
        finally:
            await self.close()

    async def close(self) -> None:
        """End everything of the Cluster."""
        await end([self._job] if self._job is not None else [])
        await self.backups.close()
        await self.kubelet.close()
        for pod in self.objects.pods():
            self.store.remove("pods", self.namespace, pod["metadata"]["name"])

    async def _pass(self) -> None:
        cluster = self.cluster
        assert cluster is not None
        spec = cluster["spec"]
        names = sorted(
            {*self.instances, *(pod["metadata"]["name"] for pod in self.objects.pods())}, key=bodies.serial
        )
        await self.kubelet.look(names, (spec.get("probes") or {}).get("readiness") or {})
        for served in self.instances.values():
            if served.asking is None:
                served.asking = asyncio.create_task(self.archive.serve(served))
            if served.exporter is None:
                served.exporter = Exporter(self, served)
                await served.exporter.start()
        if (
            not installed.operator_runs(self.store)
            or cluster["metadata"].get("annotations", {}).get(words.PAUSED) == "disabled"
        ):
            return
        if self._job is not None and self._job.done():
            job, self._job = self._job, None
            if job.exception() is not None and not isinstance(job.exception(), PostgresError):
                raise job.exception() or RuntimeError
        if not self._can_go_on(cluster):
            return
        self.objects.furnish(cluster)
        self.objects.label_pods()
        self.volumes.bind()
        await self.running.configure(cluster)
        await self._reconcile(cluster)
        await self.backups.look()
        await self.databases.look()
        await self.poolers.look()
        self.report.write()

    def _can_go_on(self, cluster: Json) -> bool:
        """Whether the definition, the plugin and the image allow anything; the phase says what doesn't."""
        spec = cluster["spec"]
        if wrong := configuration.problems(spec):
            self.phase(words.INVALID, "; ".join(wrong))
            return False
        for plugin in spec.get("plugins") or []:
            if plugin.get("enabled", True) and not installed.plugin_runs(self.store, plugin.get("name", "")):
                self.phase(words.UNKNOWN_PLUGIN, f"Unknown plugin: '{plugin.get('name')}'")
                return False
        image = self._wanted_image(spec)
        if image is None:
            return False
        majors = {served.server.binaries.name.partition(".")[0] for served in self.instances.values()}
        version = configuration.version_of(image) or ""
        if majors and version.partition(".")[0] not in majors:
            here = f"from {', '.join(majors)} to {image} isn't emulated: the cluster stays as it is"
            self.phase(words.MAJOR_UPGRADE, here)
            return False
        self.members.image = image
        if self.status.get("image") != image:
            self.update(image=image)
        return True

    def _wanted_image(self, spec: Json) -> str | None:
        reference = spec.get("imageCatalogRef")
        if not reference:
            return str(spec.get("imageName") or words.DEFAULT_IMAGE)
        kind, major = reference.get("kind", "ImageCatalog"), reference.get("major")
        where = self.namespace if kind == "ImageCatalog" else ""
        catalog = self.store.get(words.CATALOGS.get(kind, ""), where, reference.get("name", ""))
        if catalog is None:
            self.phase(words.CATALOG_ERROR, f"{kind} {self.namespace}/{reference.get('name')} not found")
            return None
        for entry in catalog["spec"]["images"]:
            if entry["major"] == major:
                return str(entry["image"])
        self.phase(words.CATALOG_ERROR, f"Selected major version is not available in the catalog: {major}")
        return None

    async def _reconcile(self, cluster: Json) -> None:
        """Do the next great thing, if there is one and nothing else is being done."""
        if self.is_busy or asyncio.get_running_loop().time() < self._again_at_s:
            return
        spec, status = cluster["spec"], self.status
        wanted = int(spec.get("instances", 1))
        if not status.get("currentPrimary"):
            self._begin(self.members.set_up_primary(cluster))
            return
        current, target = status["currentPrimary"], status.get("targetPrimary")
        if target not in (current, words.PENDING_FAILOVER) and target in self.instances:
            self._begin(self.roles.switch_over(cluster, target))
            return
        primary = self.primary()
        fenced = cluster["metadata"].get("annotations", {}).get(words.FENCED, "")
        gone = primary is None or not primary.ready or self._is_on_its_way_out(current)
        failing = target == words.PENDING_FAILOVER or (gone and current not in fenced)
        if failing and len(self.instances) > 1 and self.roles.candidates(current):
            self._begin(self.roles.fail_over(cluster))
            return
        for name in self.names():
            if self.kubelet.pod(name) is None:
                self.members.make_pod(cluster, name)
                return
        behind = next(
            (name for name in self.names() if name != current and self.roles.has_diverged(name)), None
        )
        if behind is not None:
            self._begin(self.roles.bring_back(cluster, behind))
        elif len(self.instances) < wanted:
            if primary is not None and primary.ready and len(self.ready()) == len(self.instances):
                self._begin(self.members.add_replica(cluster))
        elif len(self.instances) > wanted:
            await self.members.remove_last(current)
        elif outdated := self.members.outdated(cluster):
            await self._roll_out(cluster, current, outdated)
        else:
            restart = next(
                (name for name in self.names() if name != current and self.members.wants_restart(name)), None
            )
            if (
                restart is None
                and self.members.wants_restart(current)
                and len(self.ready()) == len(self.instances)
            ):
                restart = current
            if restart is not None:
                self._begin(self.members.restart(restart))

    async def _roll_out(self, cluster: Json, current: str, outdated: list[str]) -> None:
        """Make one Pod anew while all others are ready, the primary's last."""
        ready, spec = set(self.ready()), cluster["spec"]
        name = next((name for name in outdated if name != current), current)
        if not set(self.names()) - {name} <= ready:
            return
        if name != current:
            await self.members.remake(cluster, name)
        elif spec.get("primaryUpdateStrategy") == "supervised" and len(self.instances) > 1:
            self.phase(words.WAITING_FOR_USER, "User must issue a supervised switchover")
            return
        elif spec.get("primaryUpdateMethod") == "switchover" and (others := self.roles.candidates(current)):
            self.update(targetPrimary=others[0], targetPrimaryTimestamp=self.controller.objects.now())
            return
        else:
            await self.members.remake(cluster, name)
        if name not in self.kubelet.unpulled:
            self._begin(self.members.wait_until_ready(name))

    def _begin(self, job: Any) -> None:
        async def done() -> None:
            try:
                await job
            except (PostgresError, OSError) as error:
                self.event("Failed", str(error)[:1000], "Warning")
                self._again_at_s = asyncio.get_running_loop().time() + AGAIN_S
            finally:
                self.wake.set()

        self._job = asyncio.create_task(done())

    def _is_on_its_way_out(self, name: str) -> bool:
        pod = self.kubelet.pod(name)
        return pod is None or bool(pod["metadata"].get("deletionTimestamp"))
