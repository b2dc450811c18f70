"""What the stand-in writes, and what these tests send, against the release's own definitions on a real kube-apiserver.

Needs KUBEBUILDER_ASSETS, and a CloudNativePG release's manifest at the path that AZURE_SANDBOX_CNPG_MANIFEST names.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from azure_sandbox.kubernetes.control_plane import ASSETS, assets
from azure_sandbox.kubernetes_client import Cluster, real_cluster
from azure_sandbox.server.control import manifest

from .conftest import CLUSTERS, healthy, until
from .test_instances import body

Json = dict[str, Any]

MANIFEST = "AZURE_SANDBOX_CNPG_MANIFEST"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
API = "postgresql.cnpg.io/v1"


def released() -> list[Json]:
    text = Path(os.environ[MANIFEST]).read_text()
    return [obj for obj in yaml.safe_load_all(text) if obj and obj["kind"] == "CustomResourceDefinition"]


@pytest.fixture(scope="module")
async def real() -> AsyncIterator[Cluster]:
    """A real API server with the release's definitions."""
    if assets() is None:
        pytest.skip(f"{ASSETS} names no folder with etcd and kube-apiserver")
    if MANIFEST not in os.environ:
        pytest.skip(f"{MANIFEST} names no manifest of a CloudNativePG release")
    async with real_cluster() as made:
        for definition in released():
            name = definition["metadata"]["name"]
            answer = await made.apply(f"{DEFINITIONS}/{name}", yaml.safe_dump(definition))
            assert answer.status in (200, 201), answer.body
        await made.done("POST", "/api/v1/namespaces", {"metadata": {"name": "db"}})

        async def served() -> bool:
            return (await made.send("GET", CLUSTERS)).status == 200

        await until(served)
        yield made


async def test_the_stand_ins_status_is_one_that_the_release_knows(cluster: Cluster, real: Cluster) -> None:
    obj = body("pg")
    await cluster.done("POST", CLUSTERS, obj)
    status = (await healthy(cluster, "pg"))["status"]
    made = await real.done("POST", CLUSTERS, obj, fieldValidation="Strict")
    sent = {**made, "status": status}
    answer = await real.send("PUT", f"{CLUSTERS}/pg/status", sent, fieldValidation="Strict")
    assert answer.status == 200, answer.body
    assert answer.body["status"] == status


@pytest.mark.parametrize(
    ("kind", "plural", "spec"),
    [
        ("Backup", "backups", {"method": "plugin", "pluginConfiguration": {"name": "p"}}),
        (
            "ScheduledBackup",
            "scheduledbackups",
            {"schedule": "0 15 2 * * *", "immediate": True, "backupOwnerReference": "self"},
        ),
        ("Database", "databases", {"name": "orders", "owner": "app", "extensions": [{"name": "pg_trgm"}]}),
        ("DatabaseRole", "databaseroles", {"name": "reader", "login": True, "passwordSecret": {"name": "s"}}),
    ],
)
async def test_what_the_tests_send_is_accepted(real: Cluster, kind: str, plural: str, spec: Json) -> None:
    sent = {
        "apiVersion": API,
        "kind": kind,
        "metadata": {"name": "a"},
        "spec": {"cluster": {"name": "pg"}, **spec},
    }
    path = f"/apis/{API}/namespaces/db/{plural}"
    answer = await real.send("POST", path, sent, fieldValidation="Strict")
    assert answer.status == 201, answer.body


async def test_the_stand_ins_definitions_have_the_releases_names(real: Cluster) -> None:
    def names(definitions: list[Json]) -> dict[str, tuple[Any, ...]]:
        return {
            definition["metadata"]["name"]: (
                definition["spec"]["names"]["kind"],
                definition["spec"]["scope"],
                definition["spec"]["group"],
            )
            for definition in definitions
        }

    ours = names(
        [
            definition
            for definition in yaml.safe_load_all(manifest("operator"))
            if definition["kind"] == "CustomResourceDefinition"
        ]
    )
    theirs = names(released())
    assert ours.items() <= theirs.items()
    assert theirs.keys() - ours.keys() == {
        "publications.postgresql.cnpg.io",
        "subscriptions.postgresql.cnpg.io",
    }
