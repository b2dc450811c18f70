import contextlib
import json
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient

ROOT = Path(__file__).parents[4]
Json = dict[str, Any]

# What the service adds to an answer's time would be waited for in real time, as tests run at speed 1.
AT_ONCE = dict.fromkeys(
    (
        "aks_cluster_create_answer",
        "aks_write_answer",
        "resource_group_write",
        "managed_identity_write",
        "role_assignment_write",
        "data_collection_write",
        "monitor_workspace_create",
        "log_workspace_delete",
    ),
    0,
)


class Azure:
    """The sandbox with the SDK's clients, and what a test orders of it."""

    region = "canadacentral"
    group = "rg1"

    def __init__(self, facts: Json, client: Json | None = None) -> None:
        self.facts = facts
        self.endpoint: str = facts["endpoint"]
        self.subscription: str = facts["subscription_id"]
        self._tls = ssl.create_default_context(cafile=facts["ca_file"])
        who = client or facts
        self.credential = ClientSecretCredential(
            facts["tenant_id"],
            who["client_id"],
            who["client_secret"],
            authority=self.endpoint,
            disable_instance_discovery=True,
            connection_verify=facts["ca_file"],
        )
        options: Json = {
            "base_url": self.endpoint,
            "credential_scopes": [f"{self.endpoint}/.default"],
            "connection_verify": facts["ca_file"],
            "polling_interval": 0.01,
            "retry_total": 0,
        }
        self.resources = ResourceManagementClient(self.credential, self.subscription, **options)
        self.aks = ContainerServiceClient(self.credential, self.subscription, **options)
        self.msi = ManagedServiceIdentityClient(self.credential, self.subscription, **options)
        self.network = NetworkManagementClient(self.credential, self.subscription, **options)
        self.clusters, self.pools = self.aks.managed_clusters, self.aks.agent_pools

    def close(self) -> None:
        for client in (self.resources, self.aks, self.msi, self.network, self.credential):
            client.close()

    # The control API.

    def control(self, method: str, path: str, body: Json | None = None) -> Json:
        headers = {"x-sandbox-key": self.facts["control_key"], "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.endpoint}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, context=self._tls) as answer:
            found: Json = json.loads(answer.read())
            return found

    def step(self, seconds: float) -> None:
        self.control("POST", "/sandbox/clock", {"step_s": seconds})

    def set(self, **settings: Any) -> None:
        self.control("PUT", "/sandbox/settings", settings)

    def order(self, operation: str, do: Json, **more: Any) -> None:
        self.control("POST", "/sandbox/faults", {"operation": operation, "do": do, **more})

    def ledger(self, **wanted: Any) -> list[Json]:
        entries = self.control("GET", "/sandbox/ledger")["entries"]
        return [entry for entry in entries if all(entry[name] == value for name, value in wanted.items())]

    def operations(self) -> list[Json]:
        found: list[Json] = self.control("GET", "/sandbox/operations")["operations"]
        return found

    def raw(self, method: str, path: str, body: Json | None = None, **headers: str) -> tuple[int, Json, Any]:
        """A request without the SDK: status, body, headers."""
        token = self.credential.get_token(f"{self.endpoint}/.default").token
        data = None if body is None else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {token}", "content-type": "application/json", **headers}
        request = urllib.request.Request(f"{self.endpoint}{path}", data, sent, method=method)
        try:
            with urllib.request.urlopen(request, context=self._tls) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else {}, answer.headers
        except urllib.error.HTTPError as error:
            with error:
                text = error.read()
                return error.code, json.loads(text) if text else {}, error.headers

    @staticmethod
    def refused(action: Any, *arguments: Any, **options: Any) -> HttpResponseError:
        """The error of a call that is refused before anything starts."""
        with pytest.raises(HttpResponseError) as caught:
            action(*arguments, **options)
        return caught.value

    # AKS.

    def cluster_path(self, name: str = "c1", version: str = "2026-08-01") -> str:
        base = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        return f"{base}/providers/Microsoft.ContainerService/managedClusters/{name}?api-version={version}"

    def body(self, **properties: Any) -> Json:
        """A cluster that is accepted, with other properties."""
        pools = properties.pop("pools", [self.pool("systempool", mode="System")])
        return {
            "location": self.region,
            "sku": {"name": "Base", "tier": properties.pop("tier", "Standard")},
            "identity": properties.pop("identity", {"type": "SystemAssigned"}),
            "tags": properties.pop("tags", None),
            "properties": {
                "dnsPrefix": "c1",
                "networkProfile": {
                    "networkPlugin": "azure",
                    "networkPluginMode": "overlay",
                    "networkDataplane": "cilium",
                },
                "agentPoolProfiles": pools,
                **properties,
            },
        }

    @staticmethod
    def pool(name: str | None = None, **properties: Any) -> Json:
        """Properties of a pool that is accepted; with a name, an entry of `agentPoolProfiles`."""
        fixed = {"name": name} if name else {}
        zones = ["1", "2", "3"]
        default = {"vmSize": "Standard_D4s_v5", "count": 3, "mode": "User", "availabilityZones": zones}
        return {**fixed, **default, **properties}

    def begin_create(self, name: str = "c1", /, **properties: Any) -> Any:
        return self.clusters.begin_create_or_update(self.group, name, self.body(**properties))

    def create(self, name: str = "c1", /, **properties: Any) -> Any:
        """A cluster that is ready."""
        poller = self.begin_create(name, **properties)
        self.step(600)
        return poller.result()

    def begin_pool(self, name: str = "postgres", cluster: str = "c1", /, **properties: Any) -> Any:
        body = {"properties": self.pool(**properties)}
        return self.pools.begin_create_or_update(self.group, cluster, name, body)

    def add_pool(self, name: str = "postgres", cluster: str = "c1", /, **properties: Any) -> Any:
        """A node pool that is ready."""
        poller = self.begin_pool(name, cluster, **properties)
        self.step(600)
        return poller.result()

    def update(self, name: str = "c1", /, **options: Any) -> Any:
        """Write a cluster back as it was read, with a tag so that something changes."""
        body = self.clusters.get(self.group, name)
        body.tags = {"changed": "yes"}
        return self.clusters.begin_create_or_update(self.group, name, body, **options)

    def kubeconfig(self, name: str = "c1") -> Json:
        found = self.clusters.list_cluster_user_credentials(self.group, name)
        document: Json = yaml.safe_load(found.kubeconfigs[0].value)
        return document


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[Json]:
    """A sandbox process; what its sandbox.json says."""
    command = [sys.executable, "-m", "azure_sandbox", "--state", str(folder), "--speed", "1", *options]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            deadline = time.monotonic() + 120
            while not (folder / "sandbox.json").exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"the sandbox didn't start: exit code {process.poll()}")
                time.sleep(0.02)
            yield json.loads((folder / "sandbox.json").read_text())
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="session")
def _process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Json]:
    with running(tmp_path_factory.mktemp("sandbox")) as facts:
        yield facts


@pytest.fixture
def own_azure(tmp_path: Path) -> Callable[..., AbstractContextManager[Azure]]:
    """Starts an Azure of the test's own, always in the same folder."""

    @contextlib.contextmanager
    def start(*options: str) -> Iterator[Azure]:
        with running(tmp_path / "own", *options) as facts:
            azure = Azure(facts)
            try:
                yield azure
            finally:
                azure.close()

    return start


@pytest.fixture
def azure(_process: Json) -> Iterator[Azure]:
    """An empty Azure that stands still between steps, with a resource group; AKS does nothing of its own."""
    azure = Azure(_process)
    azure.control("POST", "/sandbox/reset", {"speed": 1})
    azure.set(durations=AT_ONCE, spontaneous_operations=False, autoscaler=False)
    azure.resources.resource_groups.create_or_update(azure.group, {"location": azure.region})
    yield azure
    azure.close()
