"""The Kubernetes API of a cluster, as AKS runs it: when it answers, to whom, and what AKS puts into it.

It has a loopback port of its own. Until the cluster is made, and to callers outside the authorized ranges,
the port accepts connections and says nothing: Azure drops their packets, which the loopback can't
(https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges).
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from azure_sandbox.kubernetes import ClusterServer, KubernetesApi
from azure_sandbox.kubernetes.control_plane import FOLDER
from azure_sandbox.providers import aks_entra_access, aks_node_group, aks_postgres
from azure_sandbox.providers.aks_api_faults import WithFaults
from azure_sandbox.providers.aks_validation import at
from azure_sandbox.providers.container_service import pools_of, provider

if TYPE_CHECKING:
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.kubernetes.real import RealKubernetesApi
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

# How often it is looked whether the callers' address (a setting) has changed, in sandbox seconds.
LOOK_AGAIN_S = 20.0
# Monitoring agents, as a cluster's notes name them.
AGENTS = ("ama-metrics", "ama-logs")
# The note of what is in a cluster's API, between two runs.
KEPT = "kubernetes"


@dataclass
class ApiServer:
    """The running API server of one cluster.

    Args:
        api: what it answers.
        server: its port.
        open: whether the cluster has been made.
        blocked: whether the port is told to say nothing.
        dark_until_s: until when nobody gets an answer, whatever the ranges say.
        agents: the monitoring agents that run.
        work: what is being done to its port.
        watch: which look-out for the callers' address is in force.
    """

    api: KubernetesApi | RealKubernetesApi
    server: ClusterServer
    open: bool = False
    blocked: bool = True
    dark_until_s: float = 0.0
    agents: set[str] = field(default_factory=set)
    work: asyncio.Task[None] | None = None
    watch: object = None

    def do(self, step: Coroutine[Any, Any, None]) -> None:
        """Have a step of its life done, after those before it."""
        before = self.work

        async def after() -> None:
            if before is not None:
                await asyncio.wait([before])
            await step

        self.work = asyncio.get_running_loop().create_task(after())


def find(sandbox: Sandbox, cluster: Resource) -> ApiServer | None:
    """The API server of a cluster."""
    server: ApiServer | None = sandbox.state("aks_api_servers").get(cluster.id.lower())
    return server


def make(sandbox: Sandbox, cluster: Resource) -> None:
    """Give a cluster its API server, which answers nobody yet; a real one gets ready meanwhile."""

    def to_ledger(entry: Json) -> None:
        _to_ledger(sandbox, entry)

    api = _new_api(sandbox, cluster, to_ledger)
    access = aks_entra_access.WithEntra(sandbox, cluster.id, api, to_ledger)
    app = WithFaults(sandbox, cluster.name, access, to_ledger, api.end_namespace)
    tls = sandbox.certificates.server_context()
    server = ApiServer(api, ClusterServer(app, tls, _port(cluster.notes.get("port", 0))))
    cluster.notes |= {"token": api.token, "port": server.server.port}
    sandbox.state("aks_api_servers")[cluster.id.lower()] = server
    vouch(sandbox, cluster)
    server.do(server.server.set_blocked(True))
    server.do(server.server.start())


def issuer_of(cluster: Resource) -> str | None:
    """The URL of the cluster's OIDC issuer; None while it has none."""
    url: str | None = at(cluster.properties, "oidcIssuerProfile.issuerURL")
    return url


def vouch(sandbox: Sandbox, cluster: Resource) -> None:
    """Let Entra check the tokens of the cluster's service accounts, if it has an OIDC issuer.

    https://learn.microsoft.com/azure/aks/use-oidc-issuer. With a real API server its tokens name another issuer.
    """
    issuer = issuer_of(cluster)
    if issuer is not None:
        sandbox.entra.issuers[issuer] = sandbox.signer.verifies


def _new_api(
    sandbox: Sandbox, cluster: Resource, to_ledger: Callable[[Json], None]
) -> KubernetesApi | RealKubernetesApi:
    version = cluster.properties["currentKubernetesVersion"]
    facts = (cluster.name, version, sandbox.clock, f"{sandbox.seed}/{cluster.properties['resourceUID']}")
    token, ca_pem = cluster.notes.get("token"), sandbox.certificates.ca_pem.decode()
    kept = cluster.notes.pop(KEPT, None)
    if sandbox.kubernetes == "emulated":

        def sign(claims: Json) -> str:
            issuer = issuer_of(cluster) or f"https://{cluster.properties['fqdn']}"
            return sandbox.signer.sign({**claims, "iss": issuer, "aud": claims["aud"] or [issuer]})

        return KubernetesApi(
            *facts,
            token=token,
            ca_pem=ca_pem,
            kept=kept,
            sign=sign,
            on_request=to_ledger,
            troubles=lambda: sandbox.settings["pods"],
            around=aks_postgres.surroundings(sandbox, cluster, sign),
        )
    from azure_sandbox.kubernetes.real import RealKubernetesApi  # Its import takes a third of a second.

    folder = sandbox.folder / FOLDER
    return RealKubernetesApi(*facts, token=token, ca_pem=ca_pem, on_request=to_ledger, folder=folder)


def _port(wanted: int) -> int:
    """The port that a cluster had before a restart, unless somebody else has it now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0
        return wanted


@provider.saving("managedClusters")
def keep(cluster: Resource, sandbox: Sandbox) -> None:
    """Note down what is in a cluster's emulated API; what is in a real one isn't kept."""
    server = find(sandbox, cluster)
    if server is not None and isinstance(server.api, KubernetesApi):
        cluster.notes[KEPT] = server.api.state()


@provider.restored("managedClusters")
def make_again(cluster: Resource, sandbox: Sandbox) -> None:
    """Give a cluster that was kept over a restart its API server again: its port, its token and its objects.

    Of a real one the objects are gone; AKS's own part comes back.
    """
    make(sandbox, cluster)
    if not cluster.notes.get("opened"):
        return

    def go_on() -> None:  # Once all resources are back.
        open_for_clients(sandbox, cluster)
        server = find(sandbox, cluster)
        if server is not None:
            server.agents |= {agent for agent in AGENTS if cluster.notes.get(agent) == "running"}
            _sync_agents(server)

    sandbox.clock.call_later(0, go_on)


def _to_ledger(sandbox: Sandbox, entry: Json) -> None:
    kept = ("principal", "api_version", "operation", "body", "cluster", "client_request_id")
    more = {name: entry.get(name) for name in kept}
    written = sandbox.ledger.arrived("kubernetes", entry["method"], entry["path"], **more)
    written["real_s"] -= entry["duration_ms"] / 1000
    sandbox.ledger.answered(written, entry["status"], entry["error_code"])


def open_for_clients(sandbox: Sandbox, cluster: Resource) -> None:
    """Let the API server answer, with the nodes that the cluster has."""
    server = find(sandbox, cluster)
    if server is None:
        return
    server.open = True
    dark_s = sandbox.durations.seconds("aks_api_server_dark", cluster.id)
    server.dark_until_s = sandbox.clock.now_s() + dark_s
    cluster.notes |= {"opened": True, "ranges": ranges_of(cluster)}
    sync_nodes(sandbox, cluster)
    _watch_callers(sandbox, cluster, server)


def postgres(sandbox: Sandbox) -> Json:
    """Where Services and instances of all clusters' Clusters are on this machine, by cluster/namespace/name."""
    found: Json = {"services": {}, "instances": {}}
    for path, server in sandbox.state("aks_api_servers").items():
        if isinstance(server.api, KubernetesApi):
            for kind, shown in server.api.postgres.shown().items():
                found[kind] |= {f"{path.rpartition('/')[2]}/{name}": value for name, value in shown.items()}
    return found


def is_open(sandbox: Sandbox, cluster: Resource) -> bool:
    """Whether the API server has been made ready once."""
    server = find(sandbox, cluster)
    return server is not None and server.open


def close(sandbox: Sandbox, cluster: Resource) -> None:
    """Stop the API server and give its port back."""
    sandbox.entra.issuers.pop(issuer_of(cluster) or "", None)
    server: ApiServer | None = sandbox.state("aks_api_servers").pop(cluster.id.lower(), None)
    if server is not None:
        server.api.stop()
        server.do(server.server.stop())
        if isinstance(server.api, KubernetesApi):
            server.do(server.api.end())


@provider.reset
async def close_all(sandbox: Sandbox) -> None:
    """Stop the API servers of all clusters."""
    for server in list(sandbox.state("aks_api_servers").values()):
        server.api.stop()
        server.do(server.server.stop())
        if isinstance(server.api, KubernetesApi):
            server.do(server.api.end())
        await server.work


async def settled(server: ApiServer) -> None:
    """Wait until the port is in the state that it was told to be in."""
    if server.work is not None:
        await asyncio.wait([server.work])


def sync_nodes(sandbox: Sandbox, cluster: Resource) -> None:
    """Let the nodes be those of the pools, and the control plane have the cluster's version."""
    server = find(sandbox, cluster)
    if server is None:
        return
    server.api.set_version(cluster.properties["currentKubernetesVersion"])
    scale_sets = f"{aks_node_group.group_id(sandbox, cluster)}/providers/{aks_node_group.SCALE_SET}"
    server.api.set_pools(
        [
            {
                "name": pool.name,
                "scale_set": f"{scale_sets}/{aks_node_group.scale_set_name(sandbox, cluster, pool)}",
                "count": pool.properties["count"],
                "zones": [
                    f"{cluster.location}-{zone}" for zone in pool.properties.get("availabilityZones") or []
                ],
                "labels": pool.properties.get("nodeLabels") or {},
                "taints": pool.properties.get("nodeTaints") or [],
                "vm_size": pool.properties["vmSize"],
                "version": pool.properties["currentOrchestratorVersion"],
                "mode": pool.properties["mode"],
            }
            for pool in pools_of(sandbox, cluster)
            if pool.notes.get("has_nodes")
        ]
    )


def set_agent(sandbox: Sandbox, cluster: Resource, agent: str, running: bool) -> None:
    """Let a monitoring agent, one of `AGENTS`, run in the cluster or not."""
    server = find(sandbox, cluster)
    if server is None or running == (agent in server.agents):
        return
    (server.agents.add if running else server.agents.discard)(agent)
    _sync_agents(server)


def _sync_agents(server: ApiServer) -> None:
    server.api.set_addons(metrics="ama-metrics" in server.agents, logs="ama-logs" in server.agents)


def kubeconfig(sandbox: Sandbox, cluster: Resource, server: ApiServer, name: str) -> str:
    """A kubeconfig as AKS hands it out: with a token inline, or, of a cluster with Entra, for kubelogin.

    Args:
        sandbox: for the certificate authority.
        cluster: the cluster.
        server: its API server.
        name: `clusterUser` or `clusterAdmin`.
    """
    group = cluster.group_id.rsplit("/", 1)[-1]
    user = f"{name}_{group}_{cluster.name}"
    context = f"{cluster.name}-admin" if name == "clusterAdmin" else cluster.name
    authority = base64.b64encode(sandbox.certificates.ca_pem).decode()
    by_entra = name == "clusterUser" and aks_entra_access.is_entra(cluster.properties)
    signs_in = aks_entra_access.user(sandbox.tenant_id) if by_entra else {"token": server.api.token}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": cluster.name,
                "cluster": {"certificate-authority-data": authority, "server": server.server.url},
            }
        ],
        "users": [{"name": user, "user": signs_in}],
        "contexts": [{"name": context, "context": {"cluster": cluster.name, "user": user}}],
        "current-context": context,
        "preferences": {},
    }
    return yaml.safe_dump(document, sort_keys=False)


# Authorized ranges.


def authorize_later(sandbox: Sandbox, cluster: Resource) -> None:
    """Let a change of the authorized ranges work after up to two minutes."""
    wanted = ranges_of(cluster)
    delay_s = sandbox.durations.seconds("aks_authorized_ranges", f"{cluster.id}{cluster.etag}")

    def apply() -> None:
        server = find(sandbox, cluster)
        if server is not None and ranges_of(cluster) == wanted:
            cluster.notes["ranges"] = wanted
            _watch_callers(sandbox, cluster, server)

    sandbox.clock.call_later(delay_s, apply)


def ranges_of(cluster: Resource) -> list[str]:
    """The authorized ranges of a cluster; none means that everybody gets through."""
    return list(at(cluster.properties, "apiServerAccessProfile.authorizedIPRanges") or [])


def gets_through(sandbox: Sandbox, cluster: Resource) -> bool:
    """Whether the address that callers seem to come from reaches the cluster's API now.

    The cluster's own outbound address always does.
    """
    if at(cluster.properties, "powerState.code") == "Stopped":
        return False
    ranges: list[str] = cluster.notes.get("ranges") or []
    if not ranges:
        return True
    caller = ipaddress.ip_address(str(sandbox.settings["egress_address"]))
    own = aks_node_group.outbound_address(sandbox, cluster)
    allowed = [*ranges, f"{own}/32"] if own else ranges
    return any(caller in ipaddress.ip_network(value, strict=False) for value in allowed)


def look_again(sandbox: Sandbox, cluster: Resource) -> None:
    """Open or block the port anew, after the cluster was stopped."""
    server = find(sandbox, cluster)
    if server is not None:
        _watch_callers(sandbox, cluster, server)


def _watch_callers(sandbox: Sandbox, cluster: Resource, server: ApiServer) -> None:
    """Block or open the port as the ranges in force say, now and whenever the callers' address changes."""
    watch = server.watch = object()

    def look() -> None:
        if find(sandbox, cluster) is not server or server.watch is not watch:
            return
        dark_s = server.dark_until_s - sandbox.clock.now_s()
        blocked = dark_s > 0 or not gets_through(sandbox, cluster)
        if blocked != server.blocked:
            server.blocked = blocked
            server.do(server.server.set_blocked(blocked))
        if dark_s > 0:
            sandbox.clock.call_later(dark_s, look)
        elif cluster.notes.get("ranges"):
            sandbox.clock.call_later(LOOK_AGAIN_S, look)

    look()
