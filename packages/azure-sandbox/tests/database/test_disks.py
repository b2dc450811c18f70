"""The disks behind a Cluster's claims: what Azure lists in the node group, and what a reclaim policy leaves of them.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/#reclaiming and
https://github.com/kubernetes-sigs/azuredisk-csi-driver/blob/master/docs/driver-parameters.md
"""

from __future__ import annotations

from typing import Any

import pytest

from .test_backups import IMAGE, Environment, env, until

__all__ = ["env"]

Json = dict[str, Any]
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
CLAIMS = "/api/v1/namespaces/db/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"


def node_group(env: Environment) -> str:
    name = env.azure.clusters.get(env.azure.group, "c1").node_resource_group
    return f"/subscriptions/{env.azure.subscription}/resourceGroups/{name}"


def disks(env: Environment) -> dict[str, Json]:
    """By name, as Azure lists them."""
    path = f"{node_group(env)}/resources?api-version=2021-04-01"
    status, answer, _ = env.azure.raw("GET", path)
    assert status == 200, answer
    return {one["name"]: one for one in answer["value"] if one["type"] == "Microsoft.Compute/disks"}


@pytest.fixture(scope="module")
def stored(env: Environment) -> Environment:
    """A healthy Cluster on two disks: the data's goes with its claim, the WAL's is kept."""
    kept = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "kept"},
        "provisioner": "disk.csi.azure.com",
        "parameters": {"skuName": "Premium_ZRS"},
        "reclaimPolicy": "Retain",
    }
    env.send("POST", CLASSES, kept)
    spec = {
        "instances": 1,
        "imageName": IMAGE,
        "storage": {"size": "1Gi"},
        "walStorage": {"size": "1500Mi", "storageClass": "kept"},
    }
    env.make("clusters", "pg", spec)
    until(lambda: (env.get("clusters", "pg").get("status") or {}).get("phase") == "Cluster in healthy state")
    return env


def volume_of(env: Environment, claim: str) -> Json:
    found: Json = env.send("GET", f"{VOLUMES}/{env.send('GET', f'{CLAIMS}/{claim}')['spec']['volumeName']}")
    return found


@pytest.mark.parametrize(
    ("claim", "sku", "zones"), [("pg-1", "StandardSSD_LRS", 1), ("pg-1-wal", "Premium_ZRS", 0)]
)
def test_a_volumes_handle_is_the_id_of_its_disk(
    stored: Environment, claim: str, sku: str, zones: int
) -> None:
    volume = volume_of(stored, claim)
    name = volume["metadata"]["name"]
    disk = disks(stored)[name]
    assert volume["spec"]["csi"]["volumeHandle"] == disk["id"]
    assert disk["id"] == f"{node_group(stored)}/providers/Microsoft.Compute/disks/{name}"
    assert name == f"pvc-{stored.send('GET', f'{CLAIMS}/{claim}')['metadata']['uid']}"
    assert disk["tags"] == {
        "k8s-azure-created-by": "kubernetes-azure-dd",
        "kubernetes.io-created-for-pv-name": name,
        "kubernetes.io-created-for-pvc-name": claim,
        "kubernetes.io-created-for-pvc-namespace": "db",
    }
    assert disk["sku"] == {"name": sku}
    assert len(disk.get("zones") or []) == len(volume["spec"].get("nodeAffinity") or {}) == zones


def test_with_the_cluster_goes_what_isnt_retained(stored: Environment) -> None:
    data, wal = (volume_of(stored, claim)["metadata"]["name"] for claim in ("pg-1", "pg-1-wal"))
    stored.send("DELETE", "/apis/postgresql.cnpg.io/v1/namespaces/db/clusters/pg")
    until(lambda: data not in disks(stored))
    until(lambda: stored.send("GET", f"{VOLUMES}/{wal}")["status"]["phase"] == "Released")
    stored.azure.step(60)
    assert set(disks(stored)) == {wal}
    assert [one["metadata"]["name"] for one in stored.send("GET", VOLUMES)["items"]] == [wal]
