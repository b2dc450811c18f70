"""The operator's part: it brings each Cluster's objects and servers to what its spec says.

One pass after another for each Cluster: look at every server, write what is missing, do at most one great thing (make a
server, fail over, switch over), write the status. What takes long runs beside the passes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import shutil
import signal
from typing import Any

from azure_sandbox.kubernetes.conditions import condition, is_true
from azure_sandbox.kubernetes.controllers import spreading
from azure_sandbox.kubernetes.controllers.life import Controller, Life
from azure_sandbox.kubernetes.controllers.postgres import bodies, configuration, words
from azure_sandbox.kubernetes.controllers.postgres.archive import Archive
from azure_sandbox.kubernetes.controllers.postgres.backups import Backups
from azure_sandbox.kubernetes.controllers.postgres.databases import Databases
from azure_sandbox.kubernetes.controllers.postgres.kubelet import Kubelet, Served, position
from azure_sandbox.kubernetes.controllers.postgres.servers import Servers, literal, quoted, secret_value
from azure_sandbox.kubernetes.controllers.postgres.surroundings import Surroundings
from azure_sandbox.kubernetes.store import Store
from azure_sandbox.kubernetes.times import micro_stamp
from azure_sandbox.postgres.host import Host
from azure_sandbox.postgres.instance import Instance, PostgresError
from azure_sandbox.postgres.programs import end

Json = dict[str, Any]

logger = logging.getLogger(__name__)

PASS_S = 1.0
"""Real seconds between two looks at a Cluster in which nothing changes."""
BUSY_S = 0.2
AGAIN_S = 5.0
"""Real seconds until what failed is tried again."""
DEFAULT_SECONDS = {
    "stopDelay": 1800.0,
    "smartShutdownTimeout": 180.0,
    "switchoverDelay": 3600.0,
    "failoverDelay": 0.0,
}


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
        self.kubelet = Kubelet(controller, self.namespace, self._may_start)
        self.archive = Archive(self)
        self.backups = Backups(self)
        self.databases = Databases(self)
        self.wake = asyncio.Event()
        self.closing = False
        self._job: asyncio.Task[None] | None = None
        self._pairs: dict[str, tuple[bytes, bytes]] = {}
        self._passwords: dict[str, str] = {}
        self._image = ""
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
        return sorted(self.instances, key=_serial)

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
        conditions = {one["type"]: one for one in live.get("conditions") or []} | {kind: found}
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
                busy = self._job is not None or self.status.get("phase") != words.HEALTHY
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
        for pod in self._pods():
            self.store.remove("pods", self.namespace, pod["metadata"]["name"])
        for volume in self.store.all("persistentvolumes"):
            claim = (volume["spec"].get("claimRef") or {}).get("name", "")
            if claim.removesuffix("-wal") in self.instances:
                self.store.remove("persistentvolumes", "", volume["metadata"]["name"])

    def _pods(self) -> list[Json]:
        labels = {words.CLUSTER_LABEL: self.name, words.POD_ROLE_LABEL: "instance"}
        return [
            pod
            for pod in self.store.all("pods", self.namespace)
            if labels.items() <= (pod["metadata"].get("labels") or {}).items()
            and any(one["uid"] == self.uid for one in pod["metadata"].get("ownerReferences") or [])
        ]

    async def _pass(self) -> None:
        cluster = self.cluster
        assert cluster is not None
        spec = cluster["spec"]
        names = sorted({*self.instances, *(pod["metadata"]["name"] for pod in self._pods())}, key=_serial)
        await self.kubelet.look(names, (spec.get("probes") or {}).get("readiness") or {})
        for served in self.instances.values():
            if served.asking is None:
                served.asking = asyncio.create_task(self.archive.serve(served))
        if (
            not operator_runs(self.store)
            or cluster["metadata"].get("annotations", {}).get(words.PAUSED) == "disabled"
        ):
            return
        if self._job is not None and self._job.done():
            job, self._job = self._job, None
            if job.exception() is not None and not isinstance(job.exception(), PostgresError):
                raise job.exception() or RuntimeError
        if not self._can_go_on(cluster):
            return
        self._furnish(cluster)
        self._label_pods()
        self._bind_volumes()
        await self._configure(cluster)
        await self._reconcile(cluster)
        await self.backups.look()
        await self.databases.look()
        self._report()

    def _can_go_on(self, cluster: Json) -> bool:
        """Whether the definition, the plugin and the image allow anything; the phase says what doesn't."""
        spec = cluster["spec"]
        if wrong := configuration.problems(spec):
            self.phase(words.INVALID, "; ".join(wrong))
            return False
        for plugin in spec.get("plugins") or []:
            if plugin.get("enabled", True) and not plugin_runs(self.store, plugin.get("name", "")):
                self.phase(words.UNKNOWN_PLUGIN, f"Unknown plugin: '{plugin.get('name')}'")
                return False
        image = self._wanted_image(spec)
        if image is None:
            return False
        self._image = image
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

    # Objects.

    def _furnish(self, cluster: Json) -> None:
        """Make the objects that a Cluster gives rise to, and bring back those that were changed or deleted."""
        spec = cluster["spec"]
        self._make_service_account(cluster)
        if not self._pairs:
            certificate, key = self.servers.authority.issue(bodies.server_names(cluster), f"{self.name}-rw")
            self._pairs = {
                "server": (certificate, key),
                "replica": self.servers.authority.issue_client("streaming_replica"),
            }
            authority = {
                "ca.crt": self.servers.authority.ca_pem,
                "ca.key": (self.servers.authority.folder / "ca.key").read_bytes(),
            }
            for name, kind, data in (
                ("ca", "Opaque", authority),
                ("server", "kubernetes.io/tls", {"tls.crt": certificate, "tls.key": key}),
                (
                    "replication",
                    "kubernetes.io/tls",
                    dict(zip(("tls.crt", "tls.key"), self._pairs["replica"], strict=True)),
                ),
            ):
                secret = {
                    "metadata": bodies.metadata(cluster, f"{self.name}-{name}"),
                    "type": kind,
                    "data": bodies.encoded(dict(data)),
                }
                self.controller.make("secrets", secret, words.OPERATOR)
        bootstrap = spec.get("bootstrap") or {}
        wanted = bootstrap.get("initdb") or bootstrap.get("recovery") or {}
        # A recovered cluster has the roles that it had, unless its owner is named.
        has_owner = "recovery" not in bootstrap or wanted.get("owner")
        if has_owner and not (wanted.get("secret") or {}).get("name"):
            database = wanted.get("database") or "app"
            self._make_password(cluster, "app", wanted.get("owner") or database, database)
        if spec.get("enableSuperuserAccess") and not (spec.get("superuserSecret") or {}).get("name"):
            self._make_password(cluster, "superuser", "postgres", "*")
        for service in bodies.services(cluster):
            self._ensure_service(service)
        for budget in bodies.disruption_budgets(cluster):
            self.controller.make("poddisruptionbudgets.policy", budget, words.OPERATOR)

    def _make_service_account(self, cluster: Json) -> None:
        spec = cluster["spec"]
        if spec.get("serviceAccountName"):
            return
        template = (spec.get("serviceAccountTemplate") or {}).get("metadata") or {}
        live = self.store.get("serviceaccounts", self.namespace, self.name)
        if live is None:
            made = bodies.metadata(cluster, self.name, template.get("labels"))
            made["annotations"] = {**made.get("annotations", {}), **(template.get("annotations") or {})}
            self.controller.make("serviceaccounts", {"metadata": made}, words.OPERATOR)
            return

        def change(obj: Json) -> None:
            for field in ("labels", "annotations"):
                if template.get(field):
                    obj["metadata"][field] = {**(obj["metadata"].get(field) or {}), **template[field]}

        self.controller.objects.write("serviceaccounts", self.namespace, self.name, change, words.OPERATOR)

    def _make_password(self, cluster: Json, kind: str, user: str, database: str) -> None:
        name = f"{self.name}-{kind}"
        if self.store.get("secrets", self.namespace, name) is None:
            password = secrets.token_urlsafe(48)
            body = bodies.app_secret(cluster, name, user, database, password, kind)
            self.controller.make("secrets", body, words.OPERATOR)

    def _ensure_service(self, wanted: Json) -> None:
        name = wanted["metadata"]["name"]
        if self.store.get("services", self.namespace, name) is None:
            self.controller.make("services", wanted, words.OPERATOR)
            return

        def change(obj: Json) -> None:
            obj["spec"]["selector"] = wanted["spec"]["selector"]
            obj["spec"]["type"] = wanted["spec"].get("type", "ClusterIP")
            for field in ("labels", "annotations"):
                if wanted["metadata"].get(field):
                    obj["metadata"][field] = {
                        **(obj["metadata"].get(field) or {}),
                        **wanted["metadata"][field],
                    }
            for field in ("loadBalancerSourceRanges", "externalTrafficPolicy"):
                if field in wanted["spec"]:
                    obj["spec"][field] = wanted["spec"][field]

        self.controller.objects.write("services", self.namespace, name, change, words.OPERATOR)

    def _label_pods(self) -> None:
        """Let each Pod's labels say its role: the primary is whom the status names, and who says so itself."""
        status = self.status
        current, target = status.get("currentPrimary"), status.get("targetPrimary")
        for pod in self._pods():
            name = pod["metadata"]["name"]
            role = words.PRIMARY if name == current else words.REPLICA
            if name == current and target == words.PENDING_FAILOVER:
                role = "unhealthy"

            def change(obj: Json, role: str = role) -> None:
                obj["metadata"]["labels"] |= {words.ROLE_LABEL: role, words.OLD_ROLE_LABEL: role}

            self.controller.objects.write("pods", self.namespace, name, change, words.OPERATOR)

    # Servers.

    def synchronous(self) -> str:
        """What `synchronous_standby_names` is to be."""
        cluster = self.cluster
        assert cluster is not None
        current = self.status.get("currentPrimary") or ""
        return configuration.synchronous(cluster["spec"], self.names(), current, self.ready(), self.name)

    async def _configure(self, cluster: Json) -> None:
        """Bring the configuration of running servers to the spec, and passwords to their Secrets."""
        primary = self.primary()
        for name in self.names():
            served = self.instances[name]
            if served.facts is None:
                continue
            changed = self.servers.configure(
                served.server, cluster["spec"], primary.server if primary else None, self.synchronous()
            )
            if changed:
                await served.server.must("pg_ctl", "reload", "-D", str(served.server.data))
        if primary is not None and primary.facts is not None and not primary.facts["in_recovery"]:
            for name in self.names():
                if (
                    name != self.status.get("currentPrimary")
                    and configuration.slot(name) not in primary.facts["slots"]
                ):
                    await self.servers.ensure_slot(primary.server, name)
            await self._apply_passwords(cluster, primary.server)

    async def _apply_passwords(self, cluster: Json, server: Instance) -> None:
        """A Secret's password becomes the role's, if the Secret is one that the operator watches."""
        spec = cluster["spec"]
        bootstrap = spec.get("bootstrap") or {}
        wanted = bootstrap.get("initdb") or bootstrap.get("recovery") or {}
        owner = wanted.get("owner") or wanted.get("database") or ("" if "recovery" in bootstrap else "app")
        found = [] if not owner else [(owner, (wanted.get("secret") or {}).get("name") or f"{self.name}-app")]
        if spec.get("enableSuperuserAccess"):
            found.append(
                ("postgres", (spec.get("superuserSecret") or {}).get("name") or f"{self.name}-superuser")
            )
        for role, name in found:
            secret = self.store.get("secrets", self.namespace, name)
            password = secret_value(self.store, self.namespace, name, "password")
            if secret is None or password is None or self._passwords.get(role) == password:
                continue
            if role in self._passwords and "cnpg.io/reload" not in (secret["metadata"].get("labels") or {}):
                continue
            await server.sql(f"alter role {quoted(role)} password {literal(password)};")
            self._passwords[role] = password

    async def _reconcile(self, cluster: Json) -> None:
        """Do the next great thing, if there is one and nothing else is being done."""
        if self._job is not None or asyncio.get_running_loop().time() < self._again_at_s:
            return
        spec, status = cluster["spec"], self.status
        wanted = int(spec.get("instances", 1))
        if not status.get("currentPrimary"):
            self._begin(self._set_up_primary(cluster))
            return
        current, target = status["currentPrimary"], status.get("targetPrimary")
        if target not in (current, words.PENDING_FAILOVER) and target in self.instances:
            self._begin(self._switch_over(cluster, target))
            return
        primary = self.primary()
        fenced = cluster["metadata"].get("annotations", {}).get(words.FENCED, "")
        gone = primary is None or not primary.ready or self._is_on_its_way_out(current)
        failing = target == words.PENDING_FAILOVER or (gone and current not in fenced)
        if failing and len(self.instances) > 1 and self._candidates(current):
            self._begin(self._fail_over(cluster))
            return
        for name in self.names():
            if self.kubelet.pod(name) is None:
                self._make_pod(cluster, name)
                return
        behind = next((name for name in self.names() if name != current and self._has_diverged(name)), None)
        if behind is not None:
            self._begin(self._bring_back(cluster, behind))
        elif len(self.instances) < wanted:
            if primary is not None and primary.ready and len(self.ready()) == len(self.instances):
                self._begin(self._add_replica(cluster))
        elif len(self.instances) > wanted:
            await self._remove_last(current)
        else:
            restart = next((n for n in (*self.names(),) if self._wants_restart(n) and n != current), None)
            if restart is None and self._wants_restart(current) and len(self.ready()) == len(self.instances):
                restart = current
            if restart is not None:
                self._begin(self._restart(restart))

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

    def _wants_restart(self, name: str) -> bool:
        facts = self.instances[name].facts if name in self.instances else None
        return facts is not None and bool(facts.get("pending_restart"))

    async def _restart(self, name: str) -> None:
        served = self.instances[name]
        await served.server.stop(signal.SIGINT)
        await served.server.start()
        await served.server.wait_until_it_answers()

    async def _set_up_primary(self, cluster: Json) -> None:
        if self.status.get("phase") != words.SETTING_UP:
            self.phase(words.SETTING_UP, "Creating primary instance " + f"{self.name}-1")
            self.set_condition(
                "Initialized", "False", "BootstrapPending", "Cluster bootstrap is still in progress"
            )
            self.set_condition("Ready", "False", "ClusterIsNotReady", "Cluster Is Not Ready")
            self._make_quorum(cluster)
        name = f"{self.name}-1"
        server = self._new_server(cluster, name)
        if server is None:
            return
        try:
            await self._bootstrap(cluster, server)
        except BaseException:
            await self._discard(server)
            raise
        self.archive.expect_empty()
        self.servers.configure(server, cluster["spec"], None, "")
        self._take_in(cluster, server, 1)
        now = self.controller.objects.now()
        self.update(
            currentPrimary=name, targetPrimary=name, currentPrimaryTimestamp=now, targetPrimaryTimestamp=now
        )
        self._hold_lease(name)

    async def _bootstrap(self, cluster: Json, server: Instance) -> None:
        bootstrap = cluster["spec"].get("bootstrap") or {}
        if "recovery" in bootstrap:
            await self.archive.recover(cluster, server)
            return
        wanted = bootstrap.get("initdb") or {}
        other = (
            "pg_basebackup"
            if "pg_basebackup" in bootstrap
            else "initdb.import"
            if "import" in wanted
            else None
        )
        if other is not None:
            raise PostgresError(f"bootstrap.{other} isn't emulated")
        secret = (wanted.get("secret") or {}).get("name") or f"{self.name}-app"
        password = secret_value(self.store, self.namespace, secret, "password")
        if password is None and (wanted.get("secret") or {}).get("name"):
            raise PostgresError(f"secret {secret} not found")
        superuser = secret_value(self.store, self.namespace, f"{self.name}-superuser", "password")
        await self.servers.initialize(server, cluster["spec"], password, superuser)

    async def _discard(self, server: Instance) -> None:
        """Leave nothing of a server that didn't come about."""
        await server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)

    def _new_server(self, cluster: Json, name: str) -> Instance | None:
        """A server of the wanted image's version, with claims and certificates; None when there is no such image."""
        version = configuration.version_of(self._image)
        binaries = self.host.programs.binaries(version) if version else None
        serial = _serial(name)
        kinds = ("PG_DATA", "PG_WAL") if cluster["spec"].get("walStorage") else ("PG_DATA",)
        for kind in kinds:
            self.controller.make(
                "persistentvolumeclaims", bodies.claim(cluster, name, serial, kind), words.OPERATOR
            )
        if binaries is None:
            here = ", ".join(self.host.programs.versions)
            text = f"Failed to pull image {self._image!r}: the sandbox has PostgreSQL {here}"
            self.event("Failed", text, "Warning")
            self.kubelet.unpulled[name] = f"Back-off pulling image {self._image!r}: {text}"
            if self.kubelet.pod(name) is None:
                pod = bodies.pod(cluster, name, serial, self._image, None, [])
                self.controller.make("pods", pod, words.OPERATOR)
            return None
        server = self.servers.new(name, binaries)
        self.servers.certify(server, self._pairs["server"], self._pairs["replica"])
        return server

    def _take_in(self, cluster: Json, server: Instance, serial: int) -> None:
        """Make the Pod of a server whose data is there."""
        self.instances[server.name] = Served(server)
        self.kubelet.unpulled.pop(server.name, None)
        pod = self.kubelet.pod(server.name)
        if pod is not None:  # One whose image couldn't be pulled, which can be by now.
            self.store.remove("pods", self.namespace, server.name)
        self._make_pod(cluster, server.name)
        del serial

    def _bind_volumes(self) -> None:
        """Give the claims of a Pod that has its node their volumes; disks without zone redundancy stay in a zone."""
        for pod in self._pods():
            node = self.store.get("nodes", "", pod["spec"].get("nodeName", ""))
            for volume in (pod["spec"].get("volumes") or []) if node is not None else []:
                name = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
                claim = self.store.get("persistentvolumeclaims", self.namespace, name)
                if claim is not None and not claim["spec"].get("volumeName"):
                    self._bind(claim, node or {})

    def _bind(self, claim: Json, node: Json) -> None:
        metadata, wanted = claim["metadata"], claim["spec"].get("storageClassName") or "default"
        storage_class = self.store.get("storageclasses.storage.k8s.io", "", wanted)
        if storage_class is None:
            text = f'storageclass.storage.k8s.io "{wanted}" not found'
            self.event("ProvisioningFailed", text, "Warning", about=claim)
            return
        name, zone = f"pvc-{metadata['uid']}", (node["metadata"].get("labels") or {}).get(spreading.ZONE)
        size = (claim["spec"].get("resources") or {}).get("requests") or {}
        volume: Json = {
            "accessModes": ["ReadWriteOnce"],
            "capacity": size,
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": self.namespace,
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "csi": {"driver": storage_class["provisioner"], "volumeHandle": name},
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": wanted,
        }
        parameters = {key.lower(): value for key, value in (storage_class.get("parameters") or {}).items()}
        if zone and not str(parameters.get("skuname", "")).endswith("_ZRS"):
            expression = {"key": spreading.DISK_ZONE, "operator": "In", "values": [zone]}
            volume["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
        self.controller.make(
            "persistentvolumes", {"metadata": {"name": name}, "spec": volume}, "csi-provisioner"
        )
        if (made := self.store.get("persistentvolumes", "", name)) is not None:
            self.controller.set_status("persistentvolumes", made, {"phase": "Bound"})

        def change(obj: Json) -> None:
            obj["spec"]["volumeName"] = name

        at = (self.namespace, metadata["name"])
        self.controller.objects.write("persistentvolumeclaims", *at, change, "kube-controller-manager")
        live = self.store.get("persistentvolumeclaims", *at)
        if live is not None:
            bound = {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": size}
            self.controller.set_status("persistentvolumeclaims", live, bound)

    def _make_pod(self, cluster: Json, name: str) -> None:
        sidecar = sidecar_image(self.store) if words.PLUGIN in plugins_of(cluster["spec"]) else None
        identity = self.archive.identity(cluster)
        pod = bodies.pod(cluster, name, _serial(name), self._image, sidecar, identity)
        self.controller.make("pods", pod, words.OPERATOR)

    async def _add_replica(self, cluster: Json) -> None:
        primary = self.primary()
        assert primary is not None
        taken = {_serial(name) for name in self.instances}
        serial = next(number for number in range(1, 10_000) if number not in taken)
        name = f"{self.name}-{serial}"
        self.phase(words.CREATING_REPLICA, f"Creating replica {name}")
        server = self._new_server(cluster, name)
        if server is None:
            return
        try:
            await self.servers.copy(server, primary.server, cluster["spec"], self.synchronous())
        except BaseException:
            await self._discard(server)
            raise
        self._take_in(cluster, server, serial)

    async def _remove_last(self, current: str) -> None:
        name = next(name for name in reversed(self.names()) if name != current)
        await self.kubelet.end(name)
        served = self.instances.pop(name)
        await end([served.asking] if served.asking is not None else [])
        self.store.remove("pods", self.namespace, name)
        for suffix in ("", "-wal"):
            self.store.remove("persistentvolumeclaims", self.namespace, name + suffix)
        primary = self.primary()
        if primary is not None and primary.facts is not None:
            slot = literal(configuration.slot(name))
            await primary.server.sql(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots "
                f"where slot_name = {slot} and not active"
            )

    # Roles.

    def _candidates(self, current: str) -> list[str]:
        """Replicas that answer, the most advanced first."""
        found = [
            name
            for name in self.names()
            if name != current and (facts := self.instances[name].facts) is not None and facts["in_recovery"]
        ]
        return sorted(found, key=lambda name: -position((self.instances[name].facts or {}).get("lsn")))

    def _quorum_allows(self, cluster: Json, current: str) -> bool:
        """Whether some replica surely has every commit: R + W > N, https://cloudnative-pg.io/documentation/current/failover/."""
        synchronous = (cluster["spec"].get("postgresql") or {}).get("synchronous") or {}
        annotated = cluster["metadata"].get("annotations", {}).get("alpha.cnpg.io/failoverQuorum") == "true"
        if not (synchronous.get("failoverQuorum") or annotated) or not synchronous:
            return True
        standbys = [name for name in self.names() if name != current]
        ready = [name for name in standbys if self.instances[name].ready]
        return len(ready) + int(synchronous.get("number", 1)) > len(standbys)

    async def _fail_over(self, cluster: Json) -> None:
        status = self.status
        current = status["currentPrimary"]
        if status.get("targetPrimary") != words.PENDING_FAILOVER:
            await self.life.clock.sleep(float(cluster["spec"].get("failoverDelay") or 0))
            if not self._quorum_allows(cluster, current):
                self.phase(words.FAILING_OVER, "Failover is blocked: the quorum isn't met")
                return
            self.event("FailingOver", f"Current primary isn't healthy, initiating a failover from {current}")
            self.phase(words.FAILING_OVER, f"Initiating a failover from {current}")
            now = self.controller.objects.now()
            self.update(targetPrimary=words.PENDING_FAILOVER, targetPrimaryTimestamp=now)
            self._label_pods()
        served = self.instances.get(current)
        if served is not None:
            # The instance manager sees the marker and shuts its server down; one that is frozen is killed.
            if served.server.is_running and served.facts is not None:
                await served.server.stop(signal.SIGINT, 10)
            await served.server.kill()
            served.started = served.ready = False
            served.facts = None
        await self._wait_for_receivers(current)
        candidates = self._candidates(current)
        if not candidates:
            return
        target = candidates[0]
        self.event("FailoverTarget", f"Failing over from {current} to {target}")
        self.phase(words.FAILING_OVER, f"Failing over from {current} to {target}")
        await self._promote(target)

    async def _wait_for_receivers(self, current: str) -> None:
        """No WAL may be on its way any more when the most advanced replica is chosen."""
        for _ in range(300):
            await asyncio.gather(*(self._ask(name) for name in self.names() if name != current))
            receiving = [
                name
                for name in self.names()
                if name != current and ((self.instances[name].facts or {}).get("receiver") == "streaming")
            ]
            if not receiving:
                return
            await asyncio.sleep(0.05)

    async def _ask(self, name: str) -> None:
        self.instances[name].facts = await self.instances[name].server.status()

    async def _promote(self, target: str) -> None:
        served = self.instances[target]
        now = self.controller.objects.now()
        self.update(targetPrimary=target, targetPrimaryTimestamp=now)
        self._hold_lease(target)
        await served.server.sql("select pg_promote(true, 60)", within_s=90)
        await self._ask(target)
        now = self.controller.objects.now()
        self.update(currentPrimary=target, currentPrimaryTimestamp=now)
        served.ready = True
        self._label_pods()

    async def _switch_over(self, cluster: Json, target: str) -> None:
        """A new target is named, as `kubectl cnpg promote` does: the old primary shuts down, archiving all it has."""
        current = self.status["currentPrimary"]
        self.phase(words.SWITCHOVER, f"Switching over to {target}")
        served = self.instances.get(current)
        if served is not None and served.server.is_running:
            real = self.life.clock.real
            delay_s = float(cluster["spec"].get("switchoverDelay") or DEFAULT_SECONDS["switchoverDelay"])
            served.started = served.ready = False
            await served.server.stop(signal.SIGINT, max(real(delay_s), 30.0))
            served.facts = None
        await self._wait_for_receivers(current)
        await self._promote(target)

    def _may_start(self, name: str) -> bool:
        """Whether a server may start: as the primary only while it is meant to be it, as a standby always."""
        status = self.status
        if (self.instances[name].server.data / "standby.signal").exists():
            return True
        return bool(name == status.get("currentPrimary") and name == status.get("targetPrimary"))

    def _has_diverged(self, name: str) -> bool:
        """Whether a server was a primary, and isn't any more: it must be rewound before it starts again."""
        served = self.instances[name]
        if served.facts is not None:
            return not served.facts["in_recovery"]
        data = served.server.data
        return (data / "PG_VERSION").exists() and not (data / "standby.signal").exists()

    async def _bring_back(self, cluster: Json, name: str) -> None:
        served, primary = self.instances[name], self.primary()
        if primary is None or primary.facts is None:
            return
        served.started = served.ready = False
        served.start_at_s = float("inf")  # The kubelet leaves it alone meanwhile.
        await served.server.stop(signal.SIGINT, 30)
        try:
            await self.servers.rewind(served.server, primary.server, cluster["spec"], self.synchronous())
        finally:
            served.start_at_s = 0.0

    def _hold_lease(self, holder: str) -> None:
        """The Lease of the Cluster's name says who the primary is, since 1.30."""
        now = micro_stamp(self.life.clock)
        cluster = self.cluster
        if cluster is None:
            return
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": now, "renewTime": now}
        self.controller.make(
            "leases.coordination.k8s.io", {"metadata": bodies.metadata(cluster, self.name), "spec": spec}
        )

        def change(obj: Json) -> None:
            transitions = obj["spec"].get("leaseTransitions", 0)
            if obj["spec"].get("holderIdentity") != holder:
                obj["spec"] = {**spec, "leaseTransitions": transitions + 1}

        self.controller.objects.write(
            "leases.coordination.k8s.io", self.namespace, self.name, change, words.INSTANCE_MANAGER
        )

    def _make_quorum(self, cluster: Json) -> None:
        synchronous = (cluster["spec"].get("postgresql") or {}).get("synchronous") or {}
        annotated = cluster["metadata"].get("annotations", {}).get("alpha.cnpg.io/failoverQuorum") == "true"
        if synchronous.get("failoverQuorum") or annotated:
            made = {"metadata": bodies.metadata(cluster, self.name)}
            self.controller.make(words.QUORUMS, made, words.OPERATOR)

    # The status.

    def _report(self) -> None:
        cluster = self.cluster
        if cluster is None:
            return
        status, spec = self.status, cluster["spec"]
        names, ready, wanted = self.names(), self.ready(), int(spec.get("instances", 1))
        facts = {name: self.instances[name].facts for name in names}
        current = status.get("currentPrimary")
        main = facts.get(current or "")
        identifiers = sorted({str(one["system_id"]) for one in facts.values() if one is not None})
        fields: Json = {
            "instances": len(names),
            "readyInstances": len(ready),
            "instanceNames": names,
            "latestGeneratedNode": max((_serial(name) for name in names), default=0),
            "pvcCount": len([1 for name in names for _ in range(2 if spec.get("walStorage") else 1)]),
            "healthyPVC": names or None,
            "instancesStatus": _grouped(names, ready),
            "instancesReportedState": {
                name: {
                    "isPrimary": not one["in_recovery"],
                    "timeLineID": one["timeline"],
                    "ip": ((self.kubelet.pod(name) or {}).get("status") or {}).get("podIP", ""),
                }
                for name, one in facts.items()
                if one is not None
            },
            "writeService": f"{self.name}-rw",
            "readService": f"{self.name}-r",
            "cloudNativePGOperatorHash": hashlib.sha256(b"sandbox").hexdigest(),
            "certificates": {
                "serverCASecret": f"{self.name}-ca",
                "serverTLSSecret": f"{self.name}-server",
                "clientCASecret": f"{self.name}-ca",
                "replicationTLSSecret": f"{self.name}-replication",
                "serverAltDNSNames": list(bodies.server_names(cluster)),
            },
            "managedRolesStatus": {},
            "topology": self._topology(),
        }
        if plugins := plugins_of(spec):
            fields["pluginStatus"] = [{"name": name, "version": "0.14.0"} for name in plugins]
        if main is not None and not main["in_recovery"]:
            fields["timelineID"] = main["timeline"]
        if len(identifiers) == 1:
            fields["systemID"] = identifiers[0]
        self.update(**fields)
        self._report_conditions(names, ready, wanted, identifiers)

    def _report_conditions(
        self, names: list[str], ready: list[str], wanted: int, identifiers: list[str]
    ) -> None:
        status = self.status
        if identifiers:
            same = len(identifiers) == 1
            text = (
                "A single, unique system ID was found across reporting instances."
                if same
                else f"Multiple differing system IDs reported by instances: {identifiers}"
            )
            self.set_condition("ConsistentSystemID", str(same), "Unique" if same else "Mismatch", text)
        if status.get("currentPrimary") and not names:
            # After a restart of the sandbox: the objects are there, the data isn't.
            self.phase(words.UNRECOVERABLE, "The data ended with the sandbox that had it")
            self.set_condition("Ready", "False", "ClusterIsNotReady", "Cluster Is Not Ready")
            return
        moving = status.get("targetPrimary") != status.get("currentPrimary")
        if self._job is not None or moving or not status.get("currentPrimary"):
            if not ready:
                self.set_condition("Ready", "False", "ClusterIsNotReady", "Cluster Is Not Ready")
            return
        if len(ready) == len(names) == wanted:
            self.phase(words.HEALTHY)
            self.set_condition("Ready", "True", "ClusterIsReady", "Cluster is Ready")
            self.set_condition("Initialized", "True", "BootstrapCompleted", "Cluster bootstrap completed")
            return
        if len(names) == wanted or status.get("phase") == words.HEALTHY:
            self.phase(words.WAITING, "Some instances are not yet active. Please wait.")
        self.set_condition("Ready", "False", "ClusterIsNotReady", "Cluster Is Not Ready")

    def _topology(self) -> Json:
        zones: Json = {}
        for name in self.names():
            node = self.store.get(
                "nodes", "", ((self.kubelet.pod(name) or {}).get("spec") or {}).get("nodeName", "")
            )
            labels = ((node or {}).get("metadata") or {}).get("labels") or {}
            key = "topology.kubernetes.io/zone"
            zones[name] = {key: labels[key]} if key in labels else {}
        nodes = {(self.kubelet.pod(name) or {}).get("spec", {}).get("nodeName") for name in self.names()}
        return {"successfullyExtracted": True, "instances": zones, "nodesUsed": len(nodes - {None})}


def _grouped(names: list[str], ready: list[str]) -> Json:
    failed = [name for name in names if name not in ready]
    found: Json = {}
    if ready:
        found["healthy"] = ready
    if failed:
        found["replicating"] = failed
    return found


def _serial(name: str) -> int:
    text = name.rpartition("-")[2]
    return int(text) if text.isdigit() else 0


def plugins_of(spec: Json) -> list[str]:
    """Names of the plugins that a Cluster has on."""
    return [str(one.get("name")) for one in spec.get("plugins") or [] if one.get("enabled", True)]


def operator_runs(store: Store) -> bool:
    """Whether a Pod of the operator is ready."""
    return any(
        is_true(pod, "Ready") and any(_is_operator(container) for container in pod["spec"]["containers"])
        for pod in store.all("pods")
    )


def _is_operator(container: Json) -> bool:
    return "/cloudnative-pg:" in container.get("image", "")


def plugin_runs(store: Store, name: str) -> bool:
    """Whether a plugin's Service is beside the operator, with a ready Pod behind it."""
    for service in store.all("services"):
        if (service["metadata"].get("labels") or {}).get("cnpg.io/pluginName") == name:
            metadata = service["metadata"]
            endpoints = store.get("endpoints", metadata["namespace"], metadata["name"]) or {}
            return any(subset.get("addresses") for subset in endpoints.get("subsets") or [])
    return False


def sidecar_image(store: Store) -> str:
    """The image that the plugin puts beside PostgreSQL."""
    for deployment in store.all("deployments.apps"):
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            for variable in container.get("env") or []:
                if variable["name"] == "SIDECAR_IMAGE" and "value" in variable:
                    return str(variable["value"])
    return "ghcr.io/cloudnative-pg/plugin-barman-cloud-sidecar:v0.14.0"
