"""One AKS cluster's Kubernetes API: its objects, its face and the life in it."""

from __future__ import annotations

import secrets
from typing import Any

from azure_sandbox.kubernetes.admission import Webhooks
from azure_sandbox.kubernetes.controllers import Controllers
from azure_sandbox.kubernetes.controllers.pod_troubles import Troubles
from azure_sandbox.kubernetes.controllers.postgres.admission import ClusterRules
from azure_sandbox.kubernetes.controllers.postgres.controller import PostgresClusters
from azure_sandbox.kubernetes.controllers.postgres.streams import Streams
from azure_sandbox.kubernetes.controllers.postgres.surroundings import Surroundings
from azure_sandbox.kubernetes.endpoint import Endpoint
from azure_sandbox.kubernetes.exchange import OnRequest
from azure_sandbox.kubernetes.identity_webhook import IdentityWebhook
from azure_sandbox.kubernetes.objects import Objects
from azure_sandbox.kubernetes.resources import Registry
from azure_sandbox.kubernetes.service_account_tokens import Sign
from azure_sandbox.kubernetes.store import Store
from azure_sandbox.kubernetes.times import Clock
from azure_sandbox.kubernetes.verbs import Verbs

Json = dict[str, Any]

ADMIN = "masterclient"
"""The user of AKS's local admin account."""


class KubernetesApi:
    """An emulated API server with nodes, controllers and a kubelet's part of the work.

    Args:
        name: of the cluster.
        version: Kubernetes version, such as 1.34.2.
        clock: the sandbox's; delays are its seconds.
        seed: of every delay, uid and generated name.
        token: the admin's bearer token; a random one by default.
        ca_pem: certificate authority of the cluster's port, for `kube-root-ca.crt`.
        kept: what `state` of an earlier one gave, to go on from.
        sign: makes the tokens of service accounts; without it there are none.
        on_request: is told every request once it is answered, as an entry of the ledger.
        troubles: what pods suffer from, asked again and again.
        around: what runs PostgreSQL for Clusters, and the cloud around them.

    Attributes:
        app: the ASGI application, for `ClusterServer`.
        token: bearer token of a cluster admin.
    """

    def __init__(
        self,
        name: str,
        version: str,
        clock: Clock,
        seed: int | str = 1,
        *,
        token: str | None = None,
        ca_pem: str = "",
        kept: Json | None = None,
        sign: Sign | None = None,
        on_request: OnRequest | None = None,
        troubles: Troubles = tuple,
        around: Surroundings | None = None,
    ) -> None:
        self.name = name
        self.token = token or secrets.token_hex(32)
        self.store = Store()
        if kept is not None:
            self.store.load(kept["store"])
        self.registry = Registry()
        self.objects = Objects(self.store, self.registry, clock, f"{seed}/{name}")
        self.webhooks = Webhooks(self.objects)
        self.objects.admission += [self.webhooks, ClusterRules(self.store)]
        around = around or Surroundings()
        self.objects.platform_admission.append(IdentityWebhook(self.store, around.tenant))
        self.app = Endpoint(name, version, clock, Verbs(self.objects, sign), {self.token: ADMIN}, on_request)
        self._controllers = Controllers(
            self.objects, self.webhooks, clock, f"{seed}/{name}", ca_pem, troubles, around
        )
        self.app.streams = Streams(self._controllers.postgres)
        if kept is not None:
            self.webhooks.load(kept["authorities"])
        self._controllers.start(kept["controllers"] if kept is not None else None)

    @property
    def version(self) -> str:
        """Kubernetes version of the control plane."""
        return self.app.version

    def set_version(self, version: str) -> None:
        """Upgrade the control plane."""
        self.app.version = version

    def set_pools(self, pools: list[Json]) -> None:
        """Have the nodes of these pools, and no others; they come and go in their time.

        Args:
            pools: `name`, `count`, `zones` ("eastus-1", or "1" with `region` beside it), `labels`, `vm_size`,
                `version`; `taints` ("key=value:NoSchedule") and `mode` if there are any.
        """
        self._controllers.nodes.set_pools(pools)

    def set_addons(self, *, metrics: bool, logs: bool) -> None:
        """Run the agents of managed Prometheus and Container insights, or take them away."""
        self._controllers.addons.set(metrics=metrics, logs=logs)

    def state(self) -> Json:
        """What a new one needs to go on as this one, as JSON; what is under way on the clock isn't in it."""
        return {
            "store": self.store.dump(),
            "authorities": self.webhooks.dump(),
            "controllers": self._controllers.state(),
        }

    def end_namespace(self, name: str) -> None:
        """Have a namespace of that name being deleted, as if somebody had made and deleted it just before."""
        type_ = self.registry.named("namespaces")
        live = self.store.get("namespaces", "", name)
        if live is None:
            live = self.objects.create(type_, {"metadata": {"name": name}}, "somebody-else")
        self.objects.delete(type_, live)

    @property
    def postgres(self) -> PostgresClusters:
        """The stand-in of the PostgreSQL operator."""
        return self._controllers.postgres

    async def end(self) -> None:
        """End the processes of the cluster, after `stop`."""
        await self._controllers.postgres.close()

    def stop(self) -> None:
        """End open watches and all life."""
        self._controllers.stop()
        self.store.end_watches()
