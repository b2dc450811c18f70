"""The WAL archive and everything else that barman-cloud's programs do, with the environment of the instance's Pod.

The command lines are those of https://github.com/cloudnative-pg/barman-cloud, `pkg/command/commandbuilder.go` and
`pkg/backup/backup.go`. A Pod's environment is what the AKS webhook gave it: without its label, or while the AKS cluster
has no workload identity, barman gets no identity either (https://learn.microsoft.com/azure/aks/workload-identity-overview).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure_sandbox.kubernetes import identity_webhook
from azure_sandbox.kubernetes.controllers.postgres import words
from azure_sandbox.kubernetes.controllers.postgres.kubelet import Served
from azure_sandbox.kubernetes.controllers.postgres.servers import secret_value
from azure_sandbox.kubernetes.service_account_tokens import token_request
from azure_sandbox.postgres.instance import Instance, PostgresError
from azure_sandbox.postgres.programs import Done, end, run

if TYPE_CHECKING:
    from azure_sandbox.kubernetes.controllers.postgres.operator import ClusterWork

Json = dict[str, Any]

LISTEN_S = 0.1
"""Real seconds between two looks for what a server's archive_command asks."""
PLUGIN_METHOD, IN_TREE_METHOD = "plugin", "barmanObjectStore"
NO_BARMAN = "barman-cloud isn't installed: `azure-sandbox postgres install`"


@dataclass(frozen=True)
class Target:
    """Where backups go, or come from: an object store and the server's name in it."""

    configuration: Json
    server: str
    store: str | None = None

    @property
    def options(self) -> list[str]:
        """What every command of barman-cloud's gets."""
        found = ["--cloud-provider", "azure-blob-storage"]
        if (self.configuration.get("azureCredentials") or {}).get("inheritFromAzureAD"):
            found += ["--credential", "managed-identity"]
        return found

    @property
    def where(self) -> list[str]:
        """Destination and server."""
        return [str(self.configuration.get("destinationPath")), self.server]


class Archive:
    """The archive of one Cluster."""

    def __init__(self, work: ClusterWork) -> None:
        self._work = work
        self._check_empty = False
        self._tokens: dict[str, float] = {}
        self._job_environment: list[Json] = []

    # Where.

    def target(self, cluster: Json) -> Target | None:
        """Where a Cluster archives to; None when it doesn't.

        Raises:
            PostgresError: an ObjectStore that isn't there.
        """
        spec = cluster["spec"]
        for plugin in spec.get("plugins") or []:
            parameters = plugin.get("parameters") or {}
            if (
                plugin.get("name") == words.PLUGIN
                and plugin.get("enabled", True)
                and parameters.get("barmanObjectName")
            ):
                return self._from_store(parameters)
        configuration = (spec.get("backup") or {}).get("barmanObjectStore")
        if configuration:
            return Target(configuration, configuration.get("serverName") or self._work.name)
        return None

    def archives(self, cluster: Json) -> bool:
        """Whether WAL goes to the archive: in-tree always, with the plugin if it is the archiver."""
        for plugin in cluster["spec"].get("plugins") or []:
            if plugin.get("name") == words.PLUGIN and plugin.get("isWALArchiver"):
                return True
        return bool((cluster["spec"].get("backup") or {}).get("barmanObjectStore"))

    def _from_store(self, parameters: Json) -> Target:
        name = parameters["barmanObjectName"]
        found = self._work.store.get(words.STORES, self._work.namespace, name)
        if found is None:
            raise PostgresError(f'ObjectStore.barmancloud.cnpg.io "{name}" not found')
        server = parameters.get("serverName") or self._work.name
        return Target(found["spec"]["configuration"], server, name)

    def source(self, cluster: Json) -> Target:
        """Where a Cluster is recovered from.

        Raises:
            PostgresError: the definition names none.
        """
        name = cluster["spec"]["bootstrap"]["recovery"].get("source")
        for external in cluster["spec"].get("externalClusters") or []:
            if external.get("name") != name:
                continue
            parameters = (external.get("plugin") or {}).get("parameters")
            if parameters:
                return self._from_store({"serverName": name, **parameters})
            configuration = external.get("barmanObjectStore")
            if configuration:
                return Target(configuration, configuration.get("serverName") or name)
        raise PostgresError(f"externalClusters has no object store for the source {name!r}")

    # With which identity.

    def _identity(self, cluster: Json) -> list[Json]:
        """What the webhook adds to the environment of a Job's containers, whose Pod isn't shown."""
        tenant = self._work.around.tenant()
        inherited = (cluster["spec"].get("inheritedMetadata") or {}).get("labels") or {}
        if tenant is None or inherited.get(identity_webhook.USE) != "true":
            return []
        name = cluster["spec"].get("serviceAccountName") or self._work.name
        account = self._work.store.get("serviceaccounts", self._work.namespace, name) or {"metadata": {}}
        return identity_webhook.variables(account, tenant)

    def _environment(self, served: Served, target: Target) -> dict[str, str]:
        work, server = self._work, served.server
        bundle = str(work.host.ca_bundle)
        env = {
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": str(server.folder),
            # Both lead to the sandbox or nowhere: without an identity, barman would ask an address of Azure's VMs.
            "HTTPS_PROXY": work.host.proxy_url(),
            "HTTP_PROXY": work.host.proxy_url(),
            "NO_PROXY": "localhost,127.0.0.1",
            "REQUESTS_CA_BUNDLE": bundle,
            "PGHOST": str(server.sockets),
            "PGPORT": "5432",
        }
        # While it is recovered there is no Pod yet, but a Job's, which the webhook treats alike.
        job = {"spec": {"containers": [{"env": self._job_environment}]}}
        pod = work.kubelet.pod(server.name) or job
        # The plugin's own container, or PostgreSQL's: both get the same from the webhook.
        for container in pod["spec"]["containers"]:
            for variable in container.get("env") or []:
                if variable["name"].startswith("AZURE_") and "value" in variable:
                    env[variable["name"]] = variable["value"]
        if "AZURE_FEDERATED_TOKEN_FILE" in env:
            env["AZURE_FEDERATED_TOKEN_FILE"] = str(self._token_file(served))
        credentials = target.configuration.get("azureCredentials") or {}
        for field, variable in (
            ("storageAccount", "AZURE_STORAGE_ACCOUNT"),
            ("storageKey", "AZURE_STORAGE_KEY"),
            ("storageSasToken", "AZURE_STORAGE_SAS_TOKEN"),
            ("connectionString", "AZURE_STORAGE_CONNECTION_STRING"),
        ):
            if selector := credentials.get(field):
                value = secret_value(work.store, work.namespace, selector["name"], selector["key"])
                if value is None:
                    raise PostgresError(f"missing key {selector['key']}, inside secret {selector['name']}")
                env[variable] = value
        return env

    def _token_file(self, served: Served) -> Path:
        """The projected token of the Pod's service account, renewed as a kubelet does long before its end."""
        path = served.server.folder / "azure-identity-token"
        if time.time() < self._tokens.get(served.server.name, 0.0):
            return path
        work = self._work
        cluster = work.cluster
        name = ((cluster or {}).get("spec") or {}).get("serviceAccountName") or work.name
        account = work.store.get("serviceaccounts", work.namespace, name)
        if account is None or work.around.sign is None:
            raise PostgresError(f'serviceaccount "{name}" not found')
        wanted = {"spec": {"audiences": [identity_webhook.AUDIENCE], "expirationSeconds": 3600}}
        served.server.write(path, token_request(account, wanted, work.around.sign)["status"]["token"])
        self._tokens[served.server.name] = time.time() + 1800
        return path

    async def barman(
        self, served: Served, target: Target, name: str, *arguments: str, within_s: float = 900
    ) -> Done:
        """Run one of barman-cloud's programs.

        Raises:
            PostgresError: it isn't installed, or has no environment to run in.
        """
        folder = self._work.host.programs.barman
        if folder is None:
            raise PostgresError(NO_BARMAN)
        env = self._environment(served, target)
        # As this process's own account: its Python may be where PostgreSQL's account can't look.
        return await run(
            [str(folder / name), *arguments], env, served.server.folder.parent, within_s=within_s
        )

    # Archiving and restoring of segments.

    def expect_empty(self) -> None:
        """Before the first segment the archive must be empty: another cluster's may be there."""
        self._check_empty = True

    async def serve(self, served: Served, source: Target | None = None) -> None:
        """Answer what the server's archive_command and restore_command ask, one after the other.

        Args:
            served: the server.
            source: where it is recovered from; its Cluster's own archive by default.
        """
        folder = served.server.requests
        while True:
            for ask in sorted(folder.glob("*.ask")):
                if ask.with_suffix(".answer").exists():
                    continue
                what, segment, path = [*ask.read_text().splitlines(), "", "", ""][:3]
                code = 1
                try:
                    path_there = served.server.data / path
                    if source is not None and what == "restore":
                        code = await self._restore(served, source, segment, path_there)
                    else:
                        code = await self._answer(served, what, segment, path_there)
                except PostgresError as error:
                    self._failing(str(error)) if what == "archive" else None
                finally:
                    with contextlib.suppress(OSError):
                        served.server.write(ask.with_suffix(".answer"), f"{code}\n")
            await asyncio.sleep(LISTEN_S)

    async def _answer(self, served: Served, what: str, segment: str, path: Path) -> int:
        cluster = self._work.cluster
        if cluster is None:
            return 1
        target = self.target(cluster)
        if what == "restore":
            return 1 if target is None else await self._restore(served, target, segment, path)
        if target is None or not self.archives(cluster):
            return 0  # Nowhere to archive to: the instance manager says it is done.
        if served.server.name != self._work.status.get("currentPrimary"):
            return 1  # Only the primary archives; a former one keeps what it has.
        annotations = cluster["metadata"].get("annotations") or {}
        if self._check_empty and annotations.get(words.EMPTY_ARCHIVE_CHECK) != "enabled":
            await self._check_destination(served, target)
            self._check_empty = False
        compression = (target.configuration.get("wal") or {}).get("compression")
        options = [f"--{compression}"] if compression else []
        done = await self.barman(
            served, target, "barman-cloud-wal-archive", *options, *target.options, *target.where, str(path)
        )
        if done.code != 0:
            self._failing(f"unexpected failure invoking barman-cloud-wal-archive: {done.last_words}")
            return 1
        self._work.set_condition(
            "ContinuousArchiving", "True", "ContinuousArchivingSuccess", "Continuous archiving is working"
        )
        return 0

    async def _restore(self, served: Served, target: Target, segment: str, path: Path) -> int:
        done = await self.barman(
            served, target, "barman-cloud-wal-restore", *target.options, *target.where, segment, str(path)
        )
        if done.code == 0 and path.exists():
            os.chmod(path, 0o600)
            self._work.host.who.own(path)
        return 0 if done.code == 0 else 1

    def _failing(self, text: str) -> None:
        self._work.set_condition("ContinuousArchiving", "False", "ContinuousArchivingFailing", text)
        self._work.event("ContinuousArchivingFailing", text, "Warning")

    # Whole backups.

    async def list_backups(self, served: Served, target: Target) -> list[Json]:
        """The backups of a server, as barman-cloud-backup-list tells them."""
        done = await self.barman(
            served, target, "barman-cloud-backup-list", "--format", "json", *target.options, *target.where
        )
        if done.code != 0:
            raise PostgresError(done.last_words)
        found: list[Json] = json.loads(done.out)["backups_list"]
        return found

    async def recover(self, cluster: Json, server: Instance) -> None:
        """Bring a new server's data from a backup, and to the recovery target, as the full-recovery Job does.

        Raises:
            PostgresError: the destination isn't empty, there is no backup, or recovery failed.
        """
        source, served = self.source(cluster), Served(server)
        self._job_environment = self._identity(cluster)
        wanted = cluster["spec"]["bootstrap"]["recovery"]
        target = self.target(cluster)
        if target is not None and self.archives(cluster):
            # The destination first: a used one would be found out only after the whole restore.
            await self._check_destination(served, target)
        until = wanted.get("recoveryTarget") or {}
        backup = _chosen(await self.list_backups(served, source), until)
        done = await self.barman(
            served, source, "barman-cloud-restore", *source.options, *source.where, backup, str(server.data)
        )
        if done.code != 0:
            raise PostgresError(f"barman-cloud-restore: {done.last_words}")
        for path in (server.data, *server.data.rglob("*")):
            self._work.host.who.own(path)
        server.data.chmod(0o700)
        settings = {
            f"recovery_target_{_TARGETS[name]}": str(value)
            for name, value in until.items()
            if name in _TARGETS
        }
        if until.get("targetImmediate"):
            settings["recovery_target"] = "immediate"
        settings["recovery_target_inclusive"] = "off" if until.get("exclusive") else "on"
        settings |= {"recovery_target_action": "promote", "archive_mode": "off"}
        server.write(server.data / "postgresql.auto.conf", "")
        self._work.servers.configure(server, cluster["spec"], None, "", **settings)
        server.write(server.data / "recovery.signal", "")
        asking = asyncio.create_task(self.serve(served, source))
        try:
            await server.start()
            await server.wait_until_it_answers(600)
            while await server.sql("select pg_is_in_recovery()") == "t":
                await asyncio.sleep(0.1)
        finally:
            await end([asking])
        await server.stop(signal.SIGINT)

    async def _check_destination(self, served: Served, target: Target) -> None:
        done = await self.barman(
            served, target, "barman-cloud-check-wal-archive", *target.options, *target.where
        )
        if done.code != 0:
            text = done.last_words
            if "Expected empty archive" in text:
                text = f"WAL archive check failed for server {target.server}: Expected empty archive"
            raise PostgresError(text)


_TARGETS = {"targetTime": "time", "targetLSN": "lsn", "targetName": "name", "targetXID": "xid"}


def _chosen(listed: list[Json], target: Json) -> str:
    """The ID of the backup to begin with: the one that is named, or the latest that ended before the target time."""
    done = [entry for entry in listed if entry.get("status") == "DONE"]
    if named := target.get("backupID"):
        done = [entry for entry in done if entry["backup_id"] == named]
    elif target.get("targetTime"):
        moment = datetime.fromisoformat(target["targetTime"])
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        done = [entry for entry in done if barman_moment(entry) <= moment]
    if not done:
        raise PostgresError("no target backup found")
    return str(max(done, key=barman_moment)["backup_id"])


def barman_moment(backup: Json) -> datetime:
    """When a backup ended."""
    text = backup.get("end_time_iso") or backup["end_time"]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:  # Sun Nov 29 09:30:00 2026
        found = datetime.strptime(text, "%a %b %d %H:%M:%S %Y")
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
