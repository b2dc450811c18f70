"""Backup and ScheduledBackup: barman-cloud-backup of a real server, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from azure_sandbox.kubernetes.controllers.life import owner_reference
from azure_sandbox.kubernetes.controllers.postgres import words
from azure_sandbox.kubernetes.controllers.postgres.archive import (
    IN_TREE_METHOD,
    PLUGIN_METHOD,
    Target,
    barman_moment,
)
from azure_sandbox.kubernetes.controllers.postgres.cron import Schedule
from azure_sandbox.postgres.instance import PostgresError
from azure_sandbox.postgres.programs import end

if TYPE_CHECKING:
    from azure_sandbox.kubernetes.controllers.postgres.kubelet import Served
    from azure_sandbox.kubernetes.controllers.postgres.operator import ClusterWork

Json = dict[str, Any]

TRY_AGAIN_S = 2.0
"""Real seconds until a backup looks again whether WAL is archived."""
DONE = ("completed", "failed")
PARENT = "cnpg.io/scheduled-backup"
IMMEDIATE = "cnpg.io/immediateBackup"


class Backups:
    """The backups of one Cluster."""

    def __init__(self, work: ClusterWork) -> None:
        self._work = work
        self._running: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Stop what runs."""
        await end([self._running] if self._running is not None else [])

    async def look(self) -> None:
        """Make what schedules ask for, and start the oldest Backup that waits."""
        for schedule in self._of(words.SCHEDULES):
            self._check_schedule(schedule)
        if self._running is not None:
            if not self._running.done():
                return
            self._running = None
        waiting = [
            backup
            for backup in self._of(words.BACKUPS)
            if (backup.get("status") or {}).get("phase") not in DONE
        ]
        waiting.sort(
            key=lambda backup: (
                backup["metadata"]["creationTimestamp"],
                int(backup["metadata"]["resourceVersion"]),
            )
        )
        if waiting:
            self._running = asyncio.create_task(self._take(waiting[0]))

    def _of(self, key: str) -> list[Json]:
        work = self._work
        return [
            obj
            for obj in work.store.all(key, work.namespace)
            if (obj["spec"].get("cluster") or {}).get("name") == work.name
        ]

    def _set(self, key: str, obj: Json, **fields: Any) -> None:
        def change(live: Json) -> None:
            live["status"] = {**(live.get("status") or {}), **fields}

        name = obj["metadata"]["name"]
        self._work.controller.objects.write(key, self._work.namespace, name, change, words.OPERATOR, "status")

    # Backups.

    async def _take(self, backup: Json) -> None:
        work = self._work
        cluster = work.cluster
        assert cluster is not None
        method = backup["spec"].get("method", IN_TREE_METHOD)
        target, problem = self._where(cluster, backup, method)
        if target is None:
            self._fail(backup, problem)
            return
        served = self._target(cluster, backup)
        if served is None:
            self._set(words.BACKUPS, backup, phase="pending", method=method)
            return
        conditions = {each["type"]: each for each in work.status.get("conditions") or []}
        condition = conditions.get("ContinuousArchiving")
        if condition is None or condition["status"] != "True":
            self._set(words.BACKUPS, backup, phase="walArchivingFailing", method=method)
            await self._try_archiving()
            return
        now = work.controller.objects.now()
        identifier = {"podName": served.server.name, "ContainerID": f"containerd://{served.pod_uid}"}
        started = {"phase": "started", "method": method, "instanceID": identifier, "startedAt": now}
        major = served.server.binaries.name.partition(".")[0]
        self._set(words.BACKUPS, backup, **started, majorVersion=int(major))
        work.event("Starting", f"Starting backup for cluster {work.name}", about=backup)
        work.set_condition("LastBackupSucceeded", "False", "BackupStarted", "New Backup starting up")
        if method == IN_TREE_METHOD:
            self._set(words.BACKUPS, backup, phase="running")
        try:
            await self._run(backup, served, target)
        except (PostgresError, OSError, ValueError) as error:
            self._fail(backup, str(error), target)
        finally:
            work.wake.set()

    async def _try_archiving(self) -> None:
        """Close a segment, as the instance manager does before a backup, to see whether it is archived."""
        primary = self._work.primary()
        if primary is not None and primary.facts is not None and not primary.facts["in_recovery"]:
            with contextlib.suppress(PostgresError):
                await primary.server.sql("checkpoint; select pg_switch_wal();")
        await asyncio.sleep(TRY_AGAIN_S)

    def _where(self, cluster: Json, backup: Json, method: str) -> tuple[Target | None, str]:
        in_tree = bool((cluster["spec"].get("backup") or {}).get("barmanObjectStore"))
        if method == IN_TREE_METHOD and not in_tree:
            return None, "no barmanObjectStore section defined on the target cluster"
        if method == PLUGIN_METHOD:
            name = (backup["spec"].get("pluginConfiguration") or {}).get("name")
            if not any(plugin.get("name") == name for plugin in cluster["spec"].get("plugins") or []):
                return None, f"requested plugin is not available: {name}"
        elif method != IN_TREE_METHOD:
            return None, f"{method}: the sandbox takes backups to object stores only"
        try:
            return self._work.archive.target(cluster), "no object store"
        except PostgresError as error:
            return None, str(error)

    def _target(self, cluster: Json, backup: Json) -> Served | None:
        """The primary, or a ready replica where one is preferred; None while there is nobody ready."""
        work = self._work
        wanted = backup["spec"].get("target") or (cluster["spec"].get("backup") or {}).get(
            "target", "prefer-standby"
        )
        current = work.status.get("currentPrimary") or ""
        ready = [name for name in work.ready() if work.kubelet.pod(name) is not None]
        replicas = [name for name in ready if name != current]
        if wanted == "prefer-standby" and replicas:
            return work.instances[replicas[0]]
        return work.instances[current] if current in ready else None

    async def _run(self, backup: Json, served: Served, target: Target) -> None:
        work = self._work
        data = target.configuration.get("data") or {}
        name = f"backup-{datetime.now(UTC):%Y%m%d%H%M%S}"
        options = ["--user", "postgres", "--name", name]
        if compression := data.get("compression"):
            options.append(f"--{compression}")
        if data.get("immediateCheckpoint"):
            options.append("--immediate-checkpoint")
        if data.get("jobs"):
            options += ["--jobs", str(data["jobs"])]
        done = await work.archive.barman(
            served, target, "barman-cloud-backup", *options, *target.options, *target.where, within_s=3600
        )
        if done.code != 0:
            raise PostgresError(f"can't execute backup: {done.last_words}")
        # Not the exit code alone: what the store has.
        listed = await work.archive.list_backups(served, target)
        found = next((entry for entry in listed if entry.get("backup_name") == name), None)
        if found is None or found.get("status") != "DONE":
            raise PostgresError(
                f"{name} isn't in the object store: {(found or {}).get('error') or 'not listed'}"
            )
        now = work.controller.objects.now()
        self._set(
            words.BACKUPS,
            backup,
            phase="completed",
            backupId=found["backup_id"],
            backupName=name,
            beginWal=found["begin_wal"],
            endWal=found["end_wal"],
            beginLSN=found["begin_xlog"],
            endLSN=found["end_xlog"],
            stoppedAt=now,
            serverName=target.server,
            destinationPath=target.where[0],
            online=True,
        )
        work.event("Completed", "Backup completed", about=backup)
        work.set_condition("LastBackupSucceeded", "True", "LastBackupSucceeded", "Backup was successful")
        self._note_window(target, [entry for entry in listed if entry.get("status") == "DONE"])

    def _note_window(self, target: Target, listed: list[Json]) -> None:
        """From when and to when data can be restored: in the ObjectStore, or in-tree in the Cluster.

        The times are real, as barman-cloud's: PostgreSQL has no other clock.
        """
        ends = sorted(barman_moment(entry) for entry in listed)
        first, last = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (ends[0], ends[-1]))
        if target.store is None:
            self._work.update(firstRecoverabilityPoint=first, lastSuccessfulBackup=last)
            return
        self._set_window(target, firstRecoverabilityPoint=first, lastSuccessfulBackupTime=last)

    def _set_window(self, target: Target, **fields: str) -> None:
        def change(live: Json) -> None:
            windows = (live.get("status") or {}).get("serverRecoveryWindow") or {}
            window = {**(windows.get(target.server) or {}), **fields}
            live["status"] = {
                **(live.get("status") or {}),
                "serverRecoveryWindow": {**windows, target.server: window},
            }

        self._work.controller.objects.write(
            words.STORES, self._work.namespace, target.store or "", change, "plugin-barman-cloud", "status"
        )

    def _fail(self, backup: Json, why: str, target: Target | None = None) -> None:
        work = self._work
        now = work.controller.objects.now()
        self._set(words.BACKUPS, backup, phase="failed", error=why, stoppedAt=now)
        work.event("Failed", f"Backup failed: {why}"[:1000], "Warning", about=backup)
        work.set_condition("LastBackupSucceeded", "False", "LastBackupFailed", why)
        if target is not None and target.store is not None:
            self._set_window(target, lastFailedBackupTime=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
        elif target is not None:
            work.update(lastFailedBackup=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")

    # Schedules: on the sandbox's clock.

    def _check_schedule(self, obj: Json) -> None:
        spec, status = obj["spec"], obj.get("status") or {}
        if spec.get("suspend"):
            return
        try:
            schedule = Schedule(spec.get("schedule", ""))
        except ValueError as error:
            self._work.event("InvalidSchedule", str(error), "Warning", about=obj)
            return
        now = self._work.life.clock.now()
        following = schedule.after(now)
        if following is None:
            text = f'No time satisfying the schedule "{spec["schedule"]}" have been found'
            self._work.event("NoSchedule", text, "Warning", about=obj)
            return
        stamp, next_ = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (now, following))
        if "lastCheckTime" not in status:
            fields: Json = {"lastCheckTime": stamp, "nextScheduleTime": next_}
            if spec.get("immediate"):
                self._create(obj, now, immediate=True)
                fields["lastScheduleTime"] = stamp
            self._set(words.SCHEDULES, obj, **fields)
            return
        due = schedule.after(_moment(status["lastCheckTime"]))
        if due is not None and now >= due:
            self._create(obj, due, immediate=False)
            scheduled = f"{due:%Y-%m-%dT%H:%M:%SZ}"
            self._set(
                words.SCHEDULES, obj, lastCheckTime=stamp, lastScheduleTime=scheduled, nextScheduleTime=next_
            )

    def _create(self, schedule: Json, moment: datetime, *, immediate: bool) -> None:
        spec, metadata = schedule["spec"], schedule["metadata"]
        labels = {PARENT: metadata["name"], IMMEDIATE: str(immediate).lower()}
        made: Json = {
            "name": f"{metadata['name']}-{moment:%Y%m%d%H%M%S}",
            "namespace": self._work.namespace,
            "labels": {**labels, words.CLUSTER_LABEL: self._work.name},
        }
        owner = {"self": schedule, "cluster": self._work.cluster}.get(
            spec.get("backupOwnerReference", "none")
        )
        if owner is not None:
            made["ownerReferences"] = [owner_reference(owner)]
        body = {
            field: spec[field]
            for field in ("cluster", "method", "target", "pluginConfiguration")
            if field in spec
        }
        self._work.controller.make(words.BACKUPS, {"metadata": made, "spec": body}, words.OPERATOR)
        self._work.event("BackupCreation", f"Backup {made['name']} created", about=schedule)


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
