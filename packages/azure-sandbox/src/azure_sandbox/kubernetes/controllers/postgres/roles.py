"""Who is the primary: failover, switchover, and the way back of one that was it."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

from azure_sandbox.kubernetes.controllers.postgres import configuration, words
from azure_sandbox.kubernetes.controllers.postgres.kubelet import position

if TYPE_CHECKING:
    from azure_sandbox.kubernetes.controllers.postgres.operator import ClusterWork

Json = dict[str, Any]

SWITCHOVER_DELAY_S = 3600.0
"""CloudNativePG's default of `switchoverDelay`."""


class Roles:
    """Decides and changes the roles of one Cluster's servers."""

    def __init__(self, work: ClusterWork) -> None:
        self._work = work

    def candidates(self, current: str) -> list[str]:
        """Replicas that answer, the most advanced first."""
        found = [
            name
            for name in self._work.names()
            if name != current
            and (facts := self._work.instances[name].facts) is not None
            and facts["in_recovery"]
        ]
        return sorted(found, key=lambda name: -position((self._work.instances[name].facts or {}).get("lsn")))

    def _quorum_allows(self, cluster: Json, current: str) -> bool:
        """Whether some replica surely has every commit: R + W > N, https://cloudnative-pg.io/documentation/current/failover/."""
        synchronous = configuration.synchronous_replicas(cluster["spec"])
        if not synchronous or not configuration.wants_quorum(cluster):
            return True
        standbys = [name for name in self._work.names() if name != current]
        ready = [name for name in standbys if self._work.instances[name].ready]
        return len(ready) + int(synchronous.get("number", 1)) > len(standbys)

    async def fail_over(self, cluster: Json) -> None:
        """Mark the failover, end the old primary, and promote the most advanced replica once no WAL is on its way."""
        status = self._work.status
        current = status["currentPrimary"]
        if status.get("targetPrimary") != words.PENDING_FAILOVER:
            await self._work.life.clock.sleep(float(cluster["spec"].get("failoverDelay") or 0))
            if not self._quorum_allows(cluster, current):
                self._work.phase(words.FAILING_OVER, "Failover is blocked: the quorum isn't met")
                return
            self._work.event(
                "FailingOver", f"Current primary isn't healthy, initiating a failover from {current}"
            )
            self._work.phase(words.FAILING_OVER, f"Initiating a failover from {current}")
            now = self._work.controller.objects.now()
            self._work.update(targetPrimary=words.PENDING_FAILOVER, targetPrimaryTimestamp=now)
            self._work.objects.label_pods()
        served = self._work.instances.get(current)
        if served is not None:
            # The instance manager sees the marker and shuts its server down; one that is frozen is killed.
            if served.server.is_running and served.facts is not None:
                await served.server.stop(signal.SIGINT, 10)
            await served.server.kill()
            served.started = served.ready = False
            served.facts = None
        await self._wait_for_receivers(current)
        candidates = self.candidates(current)
        if not candidates:
            return
        target = candidates[0]
        self._work.event("FailoverTarget", f"Failing over from {current} to {target}")
        self._work.phase(words.FAILING_OVER, f"Failing over from {current} to {target}")
        await self._promote(target)

    async def _wait_for_receivers(self, current: str) -> None:
        """No WAL may be on its way any more when the most advanced replica is chosen."""
        for _ in range(300):
            await asyncio.gather(*(self._ask(name) for name in self._work.names() if name != current))
            receiving = [
                name
                for name in self._work.names()
                if name != current
                and ((self._work.instances[name].facts or {}).get("receiver") == "streaming")
            ]
            if not receiving:
                return
            await asyncio.sleep(0.05)

    async def _ask(self, name: str) -> None:
        self._work.instances[name].facts = await self._work.instances[name].server.status()

    async def _promote(self, target: str) -> None:
        served = self._work.instances[target]
        now = self._work.controller.objects.now()
        self._work.update(targetPrimary=target, targetPrimaryTimestamp=now)
        self._work.objects.hold_lease(target)
        await served.server.sql("select pg_promote(true, 60)", within_s=90)
        await self._ask(target)
        now = self._work.controller.objects.now()
        self._work.update(currentPrimary=target, currentPrimaryTimestamp=now)
        served.ready = True
        self._work.objects.label_pods()

    async def switch_over(self, cluster: Json, target: str) -> None:
        """A new target is named, as `kubectl cnpg promote` does: the old primary shuts down, archiving all it has."""
        current = self._work.status["currentPrimary"]
        self._work.phase(words.SWITCHOVER, f"Switching over to {target}")
        served = self._work.instances.get(current)
        if served is not None and served.server.is_running:
            real = self._work.life.clock.real
            delay_s = float(cluster["spec"].get("switchoverDelay") or SWITCHOVER_DELAY_S)
            served.started = served.ready = False
            await served.server.stop(signal.SIGINT, max(real(delay_s), 30.0))
            served.facts = None
        await self._wait_for_receivers(current)
        await self._promote(target)

    def may_start(self, name: str) -> bool:
        """Whether a server may start: as the primary only while it is meant to be it, as a standby always."""
        status = self._work.status
        if (self._work.instances[name].server.data / "standby.signal").exists():
            return True
        return bool(name == status.get("currentPrimary") and name == status.get("targetPrimary"))

    def has_diverged(self, name: str) -> bool:
        """Whether a server was a primary, and isn't any more: it must be rewound before it starts again."""
        served = self._work.instances[name]
        if served.facts is not None:
            return not served.facts["in_recovery"]
        data = served.server.data
        return (data / "PG_VERSION").exists() and not (data / "standby.signal").exists()

    async def bring_back(self, cluster: Json, name: str) -> None:
        """Make a server that was the primary a standby of the one that is it now."""
        served, primary = self._work.instances[name], self._work.primary()
        if primary is None or primary.facts is None:
            return
        served.started = served.ready = False
        served.start_at_s = float("inf")  # The kubelet leaves it alone meanwhile.
        await served.server.stop(signal.SIGINT, 30)
        try:
            await self._work.servers.rewind(
                served.server, primary.server, cluster["spec"], self._work.running.synchronous()
            )
        finally:
            served.start_at_s = 0.0
