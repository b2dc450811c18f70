"""Putting a scenario in force, and the clients that are to meet it."""

from collections.abc import Callable
from typing import Any

import pytest
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.dashboard import DashboardManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.storage import StorageManagementClient
from kubernetes import config

from azure_sandbox.client import SandboxProcess

Json = dict[str, Any]

REGION = {"location": "canadacentral"}
ACCOUNT = {**REGION, "kind": "StorageV2", "sku": {"name": "Standard_ZRS"}}
GRAFANA = {**REGION, "sku": {"name": "Standard"}, "identity": {"type": "SystemAssigned"}}
POOL = {"vmSize": "Standard_D4s_v5", "count": 3, "mode": "User", "availabilityZones": ["1", "2", "3"]}
CLUSTER: Json = {
    **REGION,
    "sku": {"name": "Base", "tier": "Standard"},
    "identity": {"type": "SystemAssigned"},
    "properties": {
        "dnsPrefix": "c1",
        "agentPoolProfiles": [{**POOL, "name": "systempool", "mode": "System"}],
    },
}


# Sandbox seconds; what a scenario says of durations comes on top.
MOMENTS = {
    "aks_cluster_create": 60,
    "aks_cluster_create_answer": 1,
    "aks_cluster_update": 20,
    "aks_pool_add": 60,
    "aks_write_answer": 1,
}


@pytest.fixture
def order(sandbox: SandboxProcess) -> Callable[[str], Json]:
    """Puts a scenario of the catalogue in force."""

    def put_in_force(name: str) -> Json:
        return sandbox.control("POST", "scenarios", {"name": name})

    return put_in_force


@pytest.fixture
def identities(sandbox: SandboxProcess, group: str) -> Any:
    """Managed identities, by a client that never tries again."""
    return sandbox.client(ManagedServiceIdentityClient, retry_total=0).user_assigned_identities


@pytest.fixture
def accounts(sandbox: SandboxProcess, group: str) -> Any:
    """Storage accounts, by a client that never tries again."""
    return sandbox.client(StorageManagementClient, retry_total=0).storage_accounts


@pytest.fixture
def grafanas(sandbox: SandboxProcess, group: str) -> Any:
    """Managed Grafana, by a client that never tries again."""
    return sandbox.client(DashboardManagementClient, retry_total=0, polling_interval=0.02).grafana


class Aks:
    """Clusters and node pools, by a client that never tries again."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self._sandbox = sandbox
        made: ContainerServiceClient = sandbox.client(
            ContainerServiceClient, retry_total=0, polling_interval=0.02
        )
        self.clusters, self.pools = made.managed_clusters, made.agent_pools

    def begin_create(self, tags: dict[str, str] | None = None) -> Any:
        return self.clusters.begin_create_or_update("rg-test", "c1", {**CLUSTER, "tags": tags})

    def begin_pool(self) -> Any:
        return self.pools.begin_create_or_update("rg-test", "c1", "postgres", {"properties": POOL})

    def create(self) -> Any:
        return self.begin_create().result()

    def create_step_by_step(self) -> None:
        """A cluster on a clock that stands still between steps, in the second of its end."""
        self._sandbox.control("POST", "clock", {"speed": 0.001})
        self._sandbox.settings(durations={"aks_cluster_create_answer": 0, "aks_write_answer": 0})
        self.clusters.begin_create_or_update("rg-test", "c1", CLUSTER, polling=False)
        operation = self._sandbox.control("GET", "operations")["operations"][-1]
        self._sandbox.step(operation["ends_s"] - self._sandbox.control("GET", "clock")["now_s"] + 0.01)
        assert self.state == "Succeeded"

    def get(self) -> Any:
        return self.clusters.get("rg-test", "c1")

    @property
    def state(self) -> str:
        return str(self.get().provisioning_state)

    def kubernetes(self) -> Any:
        """A client of the cluster's own API, which never tries again."""
        import yaml

        found = self.clusters.list_cluster_user_credentials("rg-test", "c1")
        settings = config.new_client_from_config_dict(yaml.safe_load(found.kubeconfigs[0].value))
        settings.rest_client.pool_manager.connection_pool_kw["retries"] = False
        return settings


@pytest.fixture
def aks(sandbox: SandboxProcess, group: str) -> Aks:
    """AKS, where nothing happens of itself."""
    sandbox.settings(spontaneous_operations=False, autoscaler=False, durations=MOMENTS)
    return Aks(sandbox)


@pytest.fixture
def kubernetes(aks: Aks) -> Any:
    """The API of a cluster that was made before the scenario."""
    aks.create()
    with aks.kubernetes() as made:
        yield made
