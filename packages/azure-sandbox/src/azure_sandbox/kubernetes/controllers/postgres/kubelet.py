"""The kubelet's part for instances: their servers start, are probed, restarted and ended as their Pods say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from azure_sandbox.kubernetes.conditions import condition
from azure_sandbox.kubernetes.controllers import pod_troubles
from azure_sandbox.kubernetes.controllers.life import KUBELET, Controller
from azure_sandbox.kubernetes.controllers.pods import waiting_containers
from azure_sandbox.postgres.instance import Instance
from azure_sandbox.postgres.programs import end, kill

if TYPE_CHECKING:
    from azure_sandbox.kubernetes.controllers.postgres.exporter import Exporter

Json = dict[str, Any]

logger = logging.getLogger(__name__)

FAILURES = 3
"""Probes that fail before it counts: the kubelet's default."""
PROBE_S = 10.0
"""Sandbox seconds between two probes, CloudNativePG's readiness and liveness period."""
LEAST_PROBE_S = 1.0
"""Real seconds: a server that is slow for want of a core isn't ill."""
RESTART_S = 10.0
"""The first back-off of a kubelet; each is twice the one before, five minutes at most."""


@dataclass
class Served:
    """An instance as its Pod runs it."""

    server: Instance
    pod_uid: str = ""
    started: bool = False
    ready: bool = False
    restarts: int = 0
    failures: int = 0
    answered: bool = False
    probed_at_s: float = 0.0
    unready_since_s: float | None = None
    start_at_s: float = 0.0
    facts: Json | None = None
    ended: Json | None = None
    problem: str = ""
    asking: asyncio.Task[None] | None = field(default=None, repr=False)
    exporter: Exporter | None = field(default=None, repr=False)


class Kubelet:
    """Runs the instances of one Cluster.

    Args:
        controller: writes objects.
        namespace: of the Pods.
        may_start: whether a server may start as it is: the instance manager looks at the Cluster before it does.
    """

    def __init__(self, controller: Controller, namespace: str, may_start: Callable[[str], bool]) -> None:
        self._controller = controller
        self._may_start = may_start
        self._store = controller.store
        self._clock = controller.life.clock
        self.namespace = namespace
        self.instances: dict[str, Served] = {}
        self._warned: set[str] = set()
        self.unpulled: dict[str, str] = {}
        """Instances whose image isn't to be had, and why."""

    def pod(self, name: str) -> Json | None:
        """The Pod of an instance."""
        return self._store.get("pods", self.namespace, name)

    async def look(self, names: list[str], probe: Json) -> None:
        """Bring every instance to what its Pod says, and ask it how it is.

        Args:
            names: of the instances.
            probe: the readiness probe of the Cluster's spec.
        """
        await asyncio.gather(*(self._look_at(name, probe) for name in names))

    async def _look_at(self, name: str, probe: Json) -> None:
        pod, served = self.pod(name), self.instances.get(name)
        if pod is None:
            if served is not None and served.server.is_running:
                await self.end(name)
            return
        if pod["metadata"].get("deletionTimestamp"):
            await self.end(name)
            self._store.remove("pods", self.namespace, name)
            return
        if not pod["spec"].get("nodeName"):
            return
        troubles = self._controller.life.troubles
        reason = pod_troubles.reason_for(troubles, self.namespace, name)
        if reason is not None and (served is None or not served.started):
            self._struggle(pod, reason, pod_troubles.message_for(troubles, self.namespace, name))
            return
        if name in self.unpulled:
            self._cannot_start(pod, "ImagePullBackOff", self.unpulled[name])
            return
        if served is None:
            lost = "the volume's data ended with the sandbox that had it"
            self._cannot_start(pod, "CreateContainerError", lost)
            return
        if served.pod_uid != pod["metadata"]["uid"]:
            served.pod_uid = pod["metadata"]["uid"]
            served.restarts, served.start_at_s, served.ended = 0, 0.0, None
        if served.started and not served.server.is_running:
            self._has_ended(served)
        due = self._clock.now_s() >= served.start_at_s
        if not served.started and due and self._may_start(name):
            await self._start(served)
        await self._probe(served, probe)
        self._show(pod, served)

    async def _start(self, served: Served) -> None:
        await served.server.start()
        served.started, served.failures, served.answered = True, 0, False

    def _has_ended(self, served: Served) -> None:
        process = served.server.process
        code = process.returncode if process is not None else 0
        now = self._controller.objects.now()
        # A shell's way to say a signal: 128 and its number.
        exit_code = 128 - code if code is not None and code < 0 else code or 0
        served.ended = {
            "exitCode": exit_code,
            "reason": "Error" if exit_code else "Completed",
            "finishedAt": now,
        }
        served.started, served.ready, served.facts = False, False, None
        backoff_s = 0.0 if not served.restarts else min(RESTART_S * 2 ** (served.restarts - 1), 300.0)
        served.restarts += 1
        served.start_at_s = self._clock.now_s() + backoff_s

    async def _probe(self, served: Served, probe: Json) -> None:
        if not served.started:
            return
        served.facts = await served.server.status()
        if served.facts is not None:
            served.failures, served.answered = 0, True
            self._note_readiness(served, probe)
            return
        loop_s = asyncio.get_running_loop().time()
        every_s = max(self._clock.real(PROBE_S), LEAST_PROBE_S)
        if loop_s - served.probed_at_s < every_s:
            return
        served.probed_at_s = loop_s
        served.failures += 1
        if served.failures >= FAILURES and served.ready:
            served.ready = False
        elif served.failures >= 2 * FAILURES and served.answered and served.server.is_running:
            # The liveness probe: it doesn't answer any more. While it starts, the startup probe is patient: an hour.
            await served.server.kill()
            served.server.process = None
            self._has_ended(served)
            served.ended = {"exitCode": 137, "reason": "Error", "finishedAt": self._controller.objects.now()}

    def _note_readiness(self, served: Served, probe: Json) -> None:
        """Ready at once, unready after as many failures as the probe allows: so a primary takes no replica with it."""
        now_s = asyncio.get_running_loop().time()
        if self._is_ready(served, probe):
            served.ready, served.unready_since_s = True, None
        elif served.unready_since_s is None:
            served.unready_since_s = now_s
        else:
            failures = int(probe.get("failureThreshold") or FAILURES)
            every_s = float(probe.get("periodSeconds") or PROBE_S)
            patience_s = failures * max(self._clock.real(every_s), LEAST_PROBE_S)
            served.ready = served.ready and now_s - served.unready_since_s < patience_s

    def _is_ready(self, served: Served, probe: Json) -> bool:
        """The readiness probe: https://cloudnative-pg.io/documentation/current/instance_manager/."""
        facts = served.facts
        if facts is None:
            return False
        if probe.get("type") != "streaming" or not facts["in_recovery"]:
            return True
        if facts["receiver"] != "streaming":
            return False
        most = probe.get("maximumLag")
        return most is None or lag_bytes(facts["lsn"], facts["replayed"]) <= bytes_of(str(most))

    async def end(self, name: str) -> None:
        """End an instance: its clients get no more time than a fast shutdown gives."""
        served = self.instances.get(name)
        if served is None:
            return
        if served.server.is_running:
            await served.server.stop(signal.SIGINT)
        served.started, served.ready, served.facts = False, False, None

    async def close(self) -> None:
        """End everything at once."""
        await end(served.asking for served in self.instances.values() if served.asking is not None)
        for served in self.instances.values():
            if served.exporter is not None:
                served.exporter.close()
            if served.server.process is not None:
                kill(served.server.process, signal.SIGCONT)
        # Not SIGKILL: an immediate shutdown gives shared memory back.
        stops = (served.server.stop(signal.SIGQUIT, 5) for served in self.instances.values())
        await asyncio.gather(*stops)
        for served in self.instances.values():
            shutil.rmtree(served.server.folder, ignore_errors=True)

    def _show(self, pod: Json, served: Served) -> None:
        now, before = self._controller.objects.now(), pod.get("status") or {}
        ready = served.started and served.ready
        state: Json = {"running": {"startedAt": before.get("startTime", now)}}
        if not served.started:
            text = f"back-off restarting failed container=postgres pod={pod['metadata']['name']}"
            state = {"waiting": {"reason": "CrashLoopBackOff", "message": served.problem or text}}
        statuses = [self._container(item, served, ready, state) for item in pod["spec"]["containers"]]
        sidecars = [
            self._container(item, served, served.started, state)
            for item in pod["spec"].get("initContainers") or []
        ]
        address = before.get("podIP") or self._new_pod_address(pod)
        lacking = ("ContainersNotReady", "containers with unready status: [postgres]")
        why = ("", "") if ready else lacking
        flag = "True" if ready else "False"
        status = {
            "phase": "Running",
            "conditions": [
                condition("PodReadyToStartContainers", "True", "", "", now, before),
                condition("Initialized", "True", "", "", now, before),
                condition("Ready", flag, *why, now, before),
                condition("ContainersReady", flag, *why, now, before),
                condition("PodScheduled", "True", "", "", now, before),
            ],
            "hostIP": before.get("hostIP", ""),
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": before.get("startTime", now),
            "qosClass": "Guaranteed" if _is_guaranteed(pod) else "Burstable",
            "containerStatuses": statuses,
        }
        if sidecars:
            status["initContainerStatuses"] = sidecars
        if status != before:
            self._controller.set_status("pods", pod, status, KUBELET)

    def _container(self, item: Json, served: Served, ready: bool, state: Json) -> Json:
        found: Json = {
            "name": item["name"],
            "image": item["image"],
            "imageID": item["image"],
            "containerID": f"containerd://{served.pod_uid}",
            "ready": ready,
            "started": served.started,
            "restartCount": served.restarts if item["name"] == "postgres" else 0,
            "state": state,
        }
        if served.ended and item["name"] == "postgres":
            found["lastState"] = {"terminated": served.ended}
        return found

    def _new_pod_address(self, pod: Json) -> str:
        taken = {pod.get("status", {}).get("podIP") for pod in self._store.all("pods")}
        number = self._store.revision
        while (address := f"10.244.{number // 250 % 250}.{number % 250 + 1}") in taken:
            number += 1
        return address

    def _cannot_start(self, pod: Json, reason: str, why: str) -> None:
        statuses = waiting_containers(pod, {"reason": reason, "message": why})
        before = pod.get("status") or {}
        ready = condition("Ready", "False", "ContainersNotReady", why, self._controller.objects.now(), before)
        status = {"phase": "Pending", "conditions": [ready], "containerStatuses": statuses}
        self._controller.set_status("pods", pod, status, KUBELET)

    def _struggle(self, pod: Json, reason: str, message: str) -> None:
        """Keep a Pod that isn't started from starting, as the setting `pods` says."""
        now = self._controller.objects.now()
        status = pod_troubles.struggling(pod, reason, message, now)
        if status != pod.get("status"):
            self._controller.set_status("pods", pod, status, KUBELET)
        event = pod_troubles.said(pod, reason, message)
        uid = pod["metadata"]["uid"]
        if event and uid not in self._warned:
            self._warned.add(uid)
            self._controller.make("events", pod_troubles.warning(pod, reason, event, now), KUBELET)

    async def log_of(self, name: str) -> bytes:
        """The log of an instance's Pod, a JSON object a line, as the instance manager writes it."""
        served = self.instances.get(name)
        if served is None:
            return b""
        lines = []
        with contextlib.suppress(OSError):
            for line in served.server.log.read_text(errors="replace").splitlines():
                try:
                    record: Any = json.loads(line)
                except ValueError:
                    record = {"message": line}
                lines.append(
                    json.dumps(
                        {
                            "level": "info",
                            "ts": record.get("timestamp", ""),
                            "logger": "postgres",
                            "msg": "record",
                            "logging_pod": name,
                            "record": record,
                        }
                    )
                )
        if served.problem:
            lines.append(json.dumps({"level": "error", "msg": served.problem, "logging_pod": name}))
        return "".join(f"{line}\n" for line in lines).encode()


def _is_guaranteed(pod: Json) -> bool:
    return all(
        (resources := item.get("resources") or {}).get("limits")
        and resources["limits"] == resources.get("requests", resources["limits"])
        for item in pod["spec"]["containers"]
    )


def position(lsn: str | None) -> int:
    """An LSN as a number of bytes."""
    if not lsn:
        return 0
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def lag_bytes(received: str | None, replayed: str | None) -> int:
    """How far replay is behind."""
    return max(0, position(received) - position(replayed))


def bytes_of(quantity: str) -> float:
    """A Kubernetes quantity of bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]i?|k)?", quantity)
    if found is None:
        return 0.0
    factors = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    factors |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
    return float(found[1]) * factors[found[2] or ""]
