"""The instances of a Cluster: how the first one begins, how others join, and how they leave."""

from __future__ import annotations

import shutil
import signal
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
                pod = bodies.pod(cluster, name, serial, self.image, None)
                self._work.controller.make("pods", pod, words.OPERATOR)
            return None
        server = self._work.servers.new(name, binaries)
        self._work.servers.certify(
            server, self._work.objects.pairs["server"], self._work.objects.pairs["replica"]
        )
        return server

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
        has_plugin = words.PLUGIN in installed.plugins_of(cluster["spec"])
        sidecar = installed.sidecar_image(self._work.store) if has_plugin else None
        pod = bodies.pod(cluster, name, bodies.serial(name), self.image, sidecar)
        self._work.controller.make("pods", pod, words.OPERATOR)

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
