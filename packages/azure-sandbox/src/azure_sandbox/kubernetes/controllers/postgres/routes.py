"""Services as ways to servers: each has a loopback address, from which it leads where its own selector says.

A wrong selector leads to the wrong server, or nowhere, as on a real cluster. A load balancer gets the public IP that
its annotations name, if it is there, and refuses callers outside its source ranges.
https://cloud-provider-azure.sigs.k8s.io/topics/loadbalancer/
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
from collections.abc import Callable
from typing import Any

from azure_sandbox.kubernetes.conditions import is_true
from azure_sandbox.kubernetes.controllers.life import Controller
from azure_sandbox.kubernetes.controllers.postgres.kubelet import Served
from azure_sandbox.kubernetes.controllers.postgres.surroundings import Surroundings
from azure_sandbox.kubernetes.controllers.postgres.words import POOLER_LABEL, POOLERS
from azure_sandbox.postgres.host import Host, Relay
from azure_sandbox.postgres.instance import PORT
from azure_sandbox.postgres.programs import end

Json = dict[str, Any]

LOOK_S = 0.3
"""Real seconds."""


class Routes:
    """The ways to the servers of one Kubernetes API.

    Args:
        controller: reads and writes objects.
        around: for load balancers' addresses.
        host: has loopback addresses.
        find: the instance that a Pod runs, by namespace and name.
        namespaces: those with Clusters.
    """

    def __init__(
        self,
        controller: Controller,
        around: Surroundings,
        host: Host,
        find: Callable[[str, str], Served | None],
        namespaces: Callable[[], set[str]],
    ) -> None:
        self._controller = controller
        self._around = around
        self._host = host
        self._find = find
        self._namespaces = namespaces
        self._relays: dict[tuple[str, str, int], Relay] = {}
        self._turn = itertools.count()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Keep the ways up to date from now on."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Close all ways."""
        await end([self._task] if self._task is not None else [])
        self._task = None
        for relay in self._relays.values():
            await relay.stop()
        self._relays.clear()

    def shown(self) -> dict[str, str]:
        """Namespace/Service to address:port."""
        return {
            f"{at[0]}/{at[1]}": f"{relay.address}:{relay.port}" for at, relay in sorted(self._relays.items())
        }

    async def _run(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        store = self._controller.store
        wanted: dict[tuple[str, str, int], Json] = {}
        for namespace in self._namespaces():
            for service in store.all("services", namespace):
                self._address_load_balancer(service)
                for port in service["spec"].get("ports") or []:
                    if service["spec"].get("selector"):
                        wanted[(namespace, service["metadata"]["name"], int(port["port"]))] = service
        for at in [at for at in self._relays if at not in wanted]:
            await self._relays.pop(at).stop()
        for at in wanted:
            if at not in self._relays:
                relay = Relay(self._host.new_address(), at[2], lambda at=at: self._choose(*at))  # type: ignore[misc]
                await relay.start()
                self._relays[at] = relay

    def _choose(self, namespace: str, name: str, number: int) -> tuple[str, int] | None:
        """The server for the next connection: of the ready Pods that the Service selects."""
        store = self._controller.store
        service = store.get("services", namespace, name)
        if service is None or not self._lets_in(service["spec"]):
            return None
        ports = {port["port"]: port for port in service["spec"].get("ports") or []}
        port = ports.get(number)
        selector = service["spec"]["selector"]
        if port is not None and port.get("targetPort") == "pgbouncer" and POOLER_LABEL in selector:
            return self._behind_pooler(namespace, selector)
        if port is None or port.get("targetPort", number) not in (PORT, "postgresql"):
            return None
        found = [
            served
            for pod in store.all("pods", namespace)
            if selector.items() <= (pod["metadata"].get("labels") or {}).items()
            and is_true(pod, "Ready")
            and not pod["metadata"].get("deletionTimestamp")
            and (served := self._find(namespace, pod["metadata"]["name"])) is not None
            and served.started
        ]
        return (found[next(self._turn) % len(found)].server.address, PORT) if found else None

    def _behind_pooler(self, namespace: str, selector: Json) -> tuple[str, int] | None:
        """In PgBouncer's place: the Service that it would connect to, while one of its Pods is ready."""
        store = self._controller.store
        pooler = store.get(POOLERS, namespace, selector[POOLER_LABEL])
        ready = any(
            is_true(pod, "Ready")
            for pod in store.all("pods", namespace)
            if selector.items() <= (pod["metadata"].get("labels") or {}).items()
        )
        if pooler is None or not ready:
            return None
        name = f"{pooler['spec']['cluster']['name']}-{pooler['spec'].get('type', 'rw')}"
        return self._choose(namespace, name, PORT)

    def _lets_in(self, spec: Json) -> bool:
        ranges = spec.get("loadBalancerSourceRanges")
        if spec.get("type") != "LoadBalancer" or not ranges:
            return True
        caller = ipaddress.ip_address(self._around.egress_address())
        return any(caller in ipaddress.ip_network(allowed, strict=False) for allowed in ranges)

    def _address_load_balancer(self, service: Json) -> None:
        if service["spec"].get("type") != "LoadBalancer":
            return
        address = self._around.public_address(service)
        if address is None:
            return
        ingress = [{"ip": address, "ipMode": "VIP"}]
        if (service.get("status") or {}).get("loadBalancer", {}).get("ingress") != ingress:
            self._controller.set_status(
                "services", service, {"loadBalancer": {"ingress": ingress}}, "cloud-provider-azure"
            )
