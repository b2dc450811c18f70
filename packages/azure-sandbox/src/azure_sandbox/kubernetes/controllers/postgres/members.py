"""The instances of a Cluster: how the first one begins, how others join, and how they leave."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure_sandbox.kubernetes.controllers.postgres import bodies, configuration, installed, words
from azure_sandbox.kubernetes.controllers.postgres.kubelet import Served
from azure_sandbox.kubernetes.controllers.postgres.passwords import literal
from azure_sandbox.kubernetes.controllers.postgres.servers import secret_value
from azure_sandbox.postgres.instance import Instance, PostgresError
from azure_sandbox.postgres.programs import end

if TYPE_CHECKING:
    from azure_sandbox.kubernetes.controllers.postgres.operator import ClusterWork

Json = dict[str, Any]

READY_WITHIN_S = 30.0
"""Real seconds for which a failover waits for a primary that restarts."""


class Members:
    """Makes, restarts and removes the servers of one Cluster, with their Pods and claims."""

    def __init__(self, work: ClusterWork) -> None:
        self._work = work
        self.image = ""
        """The one that the Cluster wants."""

    async def set_up_primary(self, cluster: Json) -> None:
        """Make the first instance: of nothing, or of a backup."""
        if self._work.status.get("phase") != words.SETTING_UP:
            self._work.phase(words.SETTING_UP, "Creating primary instance " + f"{self._work.name}-1")
            self._work.set_condition(
                "Initialized", "False", "BootstrapPending", "Cluster bootstrap is still in progress"
            )
            self._work.set_condition("Ready", "False", "ClusterIsNotReady", "Cluster Is Not Ready")
            self._work.objects.make_quorum(cluster)
        name = f"{self._work.name}-1"
        server = self._new_server(cluster, name)
        if server is None:
            return
        try:
            await self._bootstrap(cluster, server)
        except BaseException:
            await self._discard(server)
            raise
        self._work.archive.expect_empty()
        self._work.servers.configure(server, cluster["spec"], None, "")
        self._take_in(cluster, server)
        now = self._work.controller.objects.now()
        self._work.update(
            currentPrimary=name, targetPrimary=name, currentPrimaryTimestamp=now, targetPrimaryTimestamp=now
        )
        self._work.objects.hold_lease(name)

    async def _bootstrap(self, cluster: Json, server: Instance) -> None:
        bootstrap = cluster["spec"].get("bootstrap") or {}
        if "recovery" in bootstrap:
            await self._work.archive.recover(cluster, server)
            return
        wanted = bootstrap.get("initdb") or {}
        if "pg_basebackup" in bootstrap:
            raise PostgresError("bootstrap.pg_basebackup isn't emulated")
        if "import" in wanted:
            raise PostgresError("bootstrap.initdb.import isn't emulated")
        secret = (wanted.get("secret") or {}).get("name") or f"{self._work.name}-app"
        password = secret_value(self._work.store, self._work.namespace, secret, "password")
        if password is None and (wanted.get("secret") or {}).get("name"):
            raise PostgresError(f"secret {secret} not found")
        await self._work.servers.initialize(server, cluster["spec"])

    async def _discard(self, server: Instance) -> None:
        """Leave nothing of a server that didn't come about."""
        await server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)

    def _new_server(self, cluster: Json, name: str) -> Instance | None:
        """A server of the wanted image's version, with claims and certificates; None when there is no such image."""
        binaries = self._prepare(cluster, name)
        if binaries is None:
            return None
        server = self._work.servers.new(name, binaries)
        self._work.servers.certify(
            server, self._work.objects.pairs["server"], self._work.objects.pairs["replica"]
        )
        return server

    def _prepare(self, cluster: Json, name: str) -> Path | None:
        """Make the claims that an instance lacks; returns the folder of its programs, if its image is there."""
        version = configuration.version_of(self.image)
        binaries = self._work.host.programs.binaries(version) if version else None
        serial = bodies.serial(name)
        kinds = ("PG_DATA", "PG_WAL") if cluster["spec"].get("walStorage") else ("PG_DATA",)
        for kind in kinds:
            self._work.controller.make(
                "persistentvolumeclaims", bodies.claim(cluster, name, serial, kind), words.OPERATOR
            )
        if binaries is None:
            here = ", ".join(self._work.host.programs.versions)
            text = f"Failed to pull image {self.image!r}: the sandbox has PostgreSQL {here}"
            self._work.event("Failed", text, "Warning")
            self._work.kubelet.unpulled[name] = f"Back-off pulling image {self.image!r}: {text}"
            if self._work.kubelet.pod(name) is None:
                self.make_pod(cluster, name)
        return binaries

    def _take_in(self, cluster: Json, server: Instance) -> None:
        """Make the Pod of a server whose data is there."""
        self._work.instances[server.name] = Served(server)
        self._work.kubelet.unpulled.pop(server.name, None)
        pod = self._work.kubelet.pod(server.name)
        if pod is not None:  # One whose image couldn't be pulled, which can be by now.
            self._work.store.remove("pods", self._work.namespace, server.name)
        self.make_pod(cluster, server.name)

    def make_pod(self, cluster: Json, name: str) -> None:
        """Make the Pod of an instance, with the plugin's sidecar where the Cluster has it on."""
        self._work.controller.make("pods", self._pod(cluster, name), words.OPERATOR)

    def _pod(self, cluster: Json, name: str) -> Json:
        has_plugin = words.PLUGIN in installed.plugins_of(cluster["spec"])
        sidecar = installed.sidecar_image(self._work.store) if has_plugin else None
        return bodies.pod(cluster, name, bodies.serial(name), self.image, sidecar)

    # Other Pods than there are: https://cloudnative-pg.io/docs/1.31/rolling_update

    def outdated(self, cluster: Json) -> list[str]:
        """Instances whose Pods aren't as the Cluster wants them by now, the highest number first."""
        found = []
        for name in reversed(self._work.names()):
            annotations = ((self._work.kubelet.pod(name) or {}).get("metadata") or {}).get(
                "annotations"
            ) or {}
            wanted = self._pod(cluster, name)["metadata"]["annotations"]
            if annotations and annotations.get(words.POD_SPEC) != wanted[words.POD_SPEC]:
                found.append(name)
        return found

    async def remake(self, cluster: Json, name: str) -> None:
        """Make the Pod of an instance anew: its server ends, and starts on the same data as the Cluster wants it."""
        why = "original and target PodSpec differ"
        self._work.phase(words.UPGRADING, f"Restarting instance {name}, because of: {why}")
        await self._work.kubelet.end(name)
        self._work.store.remove("pods", self._work.namespace, name)
        self._work.kubelet.unpulled.pop(name, None)
        binaries = self._prepare(cluster, name)
        if binaries is not None:
            self._work.instances[name].server.binaries = binaries
            self.make_pod(cluster, name)

    async def wait_until_ready(self, name: str) -> None:
        """Wait for an instance whose Pod is new.

        Raises:
            PostgresError: it wasn't ready in time; others go on without it.
        """
        served = self._work.instances[name]
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                while not served.ready:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise PostgresError(f"{name} isn't ready after its restart") from None

    async def add_replica(self, cluster: Json) -> None:
        """Make one more instance, as a copy of the primary."""
        primary = self._work.primary()
        assert primary is not None
        taken = {bodies.serial(name) for name in self._work.instances}
        serial = next(number for number in range(1, 10_000) if number not in taken)
        name = f"{self._work.name}-{serial}"
        self._work.phase(words.CREATING_REPLICA, f"Creating replica {name}")
        server = self._new_server(cluster, name)
        if server is None:
            return
        try:
            await self._work.servers.copy(
                server, primary.server, cluster["spec"], self._work.running.synchronous()
            )
        except BaseException:
            await self._discard(server)
            raise
        self._take_in(cluster, server)

    async def remove_last(self, current: str) -> None:
        """Remove the instance with the highest number that isn't the primary, its claims and its slot."""
        name = next(name for name in reversed(self._work.names()) if name != current)
        await self._work.kubelet.end(name)
        served = self._work.instances.pop(name)
        await end([served.asking] if served.asking is not None else [])
        if served.exporter is not None:
            served.exporter.close()
        self._work.store.remove("pods", self._work.namespace, name)
        for suffix in ("", "-wal"):
            self._work.store.remove("persistentvolumeclaims", self._work.namespace, name + suffix)
        primary = self._work.primary()
        if primary is not None and primary.facts is not None:
            slot = literal(configuration.slot(name))
            await primary.server.sql(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots "
                f"where slot_name = {slot} and not active"
            )

    async def restart(self, name: str) -> None:
        """Restart a server in place."""
        served = self._work.instances[name]
        await served.server.stop(signal.SIGINT)
        await served.server.start()
        await served.server.wait_until_it_answers()

    def wants_restart(self, name: str) -> bool:
        """Whether a server has a parameter that only a restart changes."""
        facts = self._work.instances[name].facts if name in self._work.instances else None
        return facts is not None and bool(facts.get("pending_restart"))
