"""The Barman Cloud plugin and cert-manager: which needs which, as on a real cluster."""

from typing import Any

import yaml

from azure_sandbox.kubernetes.conditions import is_true
from azure_sandbox.server.control import manifest

from .conftest import Cluster

Json = dict[str, Any]

POOL = {
    "name": "system",
    "count": 1,
    "zones": ["eastus-1"],
    "labels": {},
    "vm_size": "s",
    "version": "1.35.2",
}


def objects(name: str) -> list[Json]:
    return list(yaml.safe_load_all(manifest(name)))


async def apply(cluster: Cluster, found: list[Json]) -> list[int]:
    """Apply definitions first, then the rest; the statuses."""
    assert cluster.clock is not None
    statuses = []
    first = ("Namespace", "CustomResourceDefinition")
    for obj in sorted(found, key=lambda obj: obj["kind"] not in first):
        group, _, version = obj["apiVersion"].rpartition("/")
        where = f"/namespaces/{obj['metadata']['namespace']}" if "namespace" in obj["metadata"] else ""
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        path = f"{root}{where}/{obj['kind'].lower()}s/{obj['metadata']['name']}"
        statuses.append((await cluster.apply(path, yaml.safe_dump(obj))).status)
        if obj["kind"] == "CustomResourceDefinition":
            cluster.clock.step(2)
    cluster.clock.step(60)
    return statuses


async def plugin_pod(cluster: Cluster) -> Json:
    path = "/api/v1/namespaces/cnpg-system/pods"
    (pod,) = (await cluster.done("GET", path, labelSelector="app=barman-cloud"))["items"]
    found: Json = pod
    return found


async def test_the_plugin_waits_for_cert_managers_secrets(emulated: Cluster) -> None:
    assert emulated.api is not None
    emulated.api.set_pools([POOL])
    await emulated.done("POST", "/api/v1/namespaces", {"metadata": {"name": "cnpg-system"}})
    statuses = await apply(emulated, objects("plugin"))
    assert statuses.count(404) == 3  # Two Certificates and an Issuer, whose kinds nobody serves.
    pod = await plugin_pod(emulated)
    waiting = pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
    assert (pod["status"]["phase"], waiting) == ("Pending", "ContainerCreating")
    events = (await emulated.done("GET", "/api/v1/namespaces/cnpg-system/events"))["items"]
    assert any('secret "barman-cloud-server-tls" not found' in event["message"] for event in events)
    assert set(await apply(emulated, objects("cert_manager"))) == {201}
    assert set(await apply(emulated, objects("plugin"))) <= {200, 201}
    assert is_true(await plugin_pod(emulated), "Ready")
    path = "/apis/cert-manager.io/v1/namespaces/cnpg-system/certificates/barman-cloud-server"
    assert is_true(await emulated.done("GET", path), "Ready")
