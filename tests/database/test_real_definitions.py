"""A real kube-apiserver with the released definitions takes every object of a database, and leaves it as it was sent.

Needs KUBEBUILDER_ASSETS. The definitions are those of crds.json, which are compared with a release's manifest where
AZURE_SANDBOX_CNPG_MANIFEST names one.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aks_postgres.kubernetes.client import FIELD_MANAGER
from aks_postgres.kubernetes.objects import differing, left_over
from azure_sandbox.kubernetes.control_plane import ASSETS, assets
from azure_sandbox.kubernetes_client import Cluster, real_cluster

from .crds import KINDS, definition_of, schemas
from .test_objects import DATABASES, custom_objects, spec_of

Json = dict[str, Any]

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.real_kubernetes,
    pytest.mark.timeout(400),
]

MANIFEST = "AZURE_SANDBOX_CNPG_MANIFEST"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMESPACE = "cnpg-database"


def path_of(item: Json) -> str:
    name = item["metadata"]["name"]
    return f"/apis/{item['apiVersion']}/namespaces/{NAMESPACE}/{item['kind'].lower()}s/{name}"


@pytest.fixture(scope="module")
async def real() -> AsyncIterator[Cluster]:
    """A real API server with the released definitions."""
    if assets() is None:
        pytest.skip(f"{ASSETS} names no folder with etcd and kube-apiserver")
    async with real_cluster() as made:
        examples = {
            item["kind"]: item for item in custom_objects(spec_of(databases=["appdb", "more"], pooler={}))
        }
        assert examples.keys() == set(KINDS)
        for kind, example in examples.items():
            definition = definition_of(kind, example["apiVersion"])
            answer = await made.apply(f"{DEFINITIONS}/{definition['metadata']['name']}", definition)
            assert answer.status == 201, answer.body
        await made.done("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        for example in examples.values():
            for _ in range(600):
                if (await made.send("GET", path_of(example).rpartition("/")[0])).status == 200:
                    break
                await asyncio.sleep(0.1)
        yield made


@pytest.mark.parametrize("database", DATABASES.values(), ids=DATABASES)
async def test_what_is_applied_is_accepted_and_differs_in_nothing(real: Cluster, database: Json) -> None:
    """A field that the definition doesn't know would be dropped, and one with a default would come back otherwise."""
    for item in custom_objects(spec_of(**database)):
        answer = await real.apply(path_of(item), item, FIELD_MANAGER, force="true")
        assert answer.status in (200, 201), answer.body
        assert differing(answer.body, item) == []
        assert left_over(answer.body, item) == []
        await real.done("DELETE", path_of(item))


async def test_a_field_that_the_definition_does_not_know_is_noticed(real: Cluster) -> None:
    cluster = custom_objects(spec_of())[0]
    cluster["spec"]["storage"]["clas"] = "x"
    answer = await real.apply(path_of(cluster), cluster, FIELD_MANAGER, force="true")
    assert answer.status in (200, 201, 400), answer.body
    if answer.status < 300:
        assert [one.field for one in differing(answer.body, cluster)] == ["spec.storage.clas"]
        await real.done("DELETE", path_of(cluster))


def test_the_definitions_are_the_releases(tmp_path: Path) -> None:
    if MANIFEST not in os.environ:
        pytest.skip(f"{MANIFEST} names no manifest of a CloudNativePG release")
    from . import crds

    released = {
        item["spec"]["names"]["kind"]
        for item in yaml.safe_load_all(Path(os.environ[MANIFEST]).read_text())
        if item and item["kind"] == "CustomResourceDefinition"
    }
    written = tmp_path / "crds.json"
    crds.write([os.environ[MANIFEST]], written)
    found = json.loads(written.read_text())
    assert found.keys() == released & set(KINDS)
    assert found == {kind: schemas()[kind] for kind in found}
