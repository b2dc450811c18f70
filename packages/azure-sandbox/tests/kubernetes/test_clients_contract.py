"""Unmodified clients, Python's `kubernetes` and kubectl: on the emulator and a real API server."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from kubernetes import aio

from .conftest import Cluster
from .test_apply_contract import MANIFEST
from .test_objects_contract import deployment

Json = dict[str, Any]


@pytest.fixture
async def client(cluster: Cluster, tmp_path: Path) -> AsyncIterator[aio.client.ApiClient]:
    configuration = aio.client.Configuration()
    path = str(cluster.kubeconfig(tmp_path))
    await aio.config.load_kube_config(config_file=path, client_configuration=configuration)
    async with aio.client.ApiClient(configuration) as made:
        yield made


async def test_typed_client_makes_reads_and_deletes(
    cluster: Cluster, client: aio.client.ApiClient, namespace: str
) -> None:
    core = aio.client.CoreV1Api(client)
    body = aio.client.V1ConfigMap(
        metadata=aio.client.V1ObjectMeta(name="c", labels={"a": "b"}), data={"k": "v"}
    )
    made = await core.create_namespaced_config_map(namespace, body)
    assert made.metadata.uid
    listed = await core.list_namespaced_config_map(namespace, label_selector="a=b")
    assert [item.metadata.name for item in listed.items] == ["c"]
    made.data["k"] = "w"
    replaced = await core.replace_namespaced_config_map("c", namespace, made)
    assert replaced.metadata.resource_version != made.metadata.resource_version
    with pytest.raises(aio.client.ApiException) as stale:
        await core.replace_namespaced_config_map("c", namespace, made)
    assert (stale.value.status, stale.value.reason) == (409, "Conflict")
    await core.delete_namespaced_config_map("c", namespace)
    with pytest.raises(aio.client.ApiException, match="Not Found"):
        await core.read_namespaced_config_map("c", namespace)


async def test_typed_client_reads_deployments_and_nodes(
    cluster: Cluster, client: aio.client.ApiClient, namespace: str
) -> None:
    apps = aio.client.AppsV1Api(client)
    made = await apps.create_namespaced_deployment(namespace, deployment())
    assert made.spec.strategy.rolling_update.max_surge == "25%"
    assert (await apps.read_namespaced_deployment("d", namespace)).metadata.generation == 1
    assert isinstance((await aio.client.CoreV1Api(client).list_node()).items, list)
    version = await aio.client.VersionApi(client).get_code()
    assert version.git_version.startswith("v1.")


async def test_watch_of_the_client_sees_an_object_made(
    cluster: Cluster, client: aio.client.ApiClient, namespace: str
) -> None:
    core = aio.client.CoreV1Api(client)
    listed = await core.list_namespaced_secret(namespace)
    watch = aio.watch.Watch()

    async def first() -> str:
        stream = watch.stream(
            core.list_namespaced_secret,
            namespace,
            resource_version=listed.metadata.resource_version,
            timeout_seconds=10,
        )
        async for event in stream:
            return f"{event['type']} {event['object'].metadata.name}"
        return "nothing"

    seen = asyncio.create_task(first())
    await core.create_namespaced_secret(namespace, {"metadata": {"name": "s"}})
    assert await asyncio.wait_for(seen, 10) == "ADDED s"
    await watch.close()


async def test_dynamic_client_finds_types_by_discovery(
    cluster: Cluster, client: aio.client.ApiClient, namespace: str
) -> None:
    dynamic = await aio.dynamic.DynamicClient(client)
    resource = await dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    made = await resource.server_side_apply(
        body=deployment(), name="d", namespace=namespace, field_manager="tests"
    )
    assert made.metadata.name == "d"


async def test_synchronous_client_works_as_well(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    path = str(cluster.kubeconfig(tmp_path))

    def work() -> list[str]:
        with kubernetes.config.new_client_from_config(config_file=path) as made:
            core = kubernetes.client.CoreV1Api(made)
            core.create_namespaced_service_account(namespace, {"metadata": {"name": "sa"}})
            return [item.metadata.name for item in core.list_namespaced_service_account(namespace).items]

    assert "sa" in await asyncio.to_thread(work)


class Kubectl:
    """kubectl, pointed at a cluster."""

    def __init__(self, path: str, kubeconfig: Path) -> None:
        self._path = path
        self._folder = kubeconfig.parent
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "KUBECONFIG": str(kubeconfig),
            "KUBECACHEDIR": str(self._folder / "cache"),
        }

    async def __call__(self, *arguments: str, fails: bool = False) -> str:
        process = await asyncio.create_subprocess_exec(
            self._path,
            *arguments,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert (process.returncode != 0) is fails, out.decode()
        return out.decode().strip()


@pytest.fixture
def run(kubectl: str, cluster: Cluster, tmp_path: Path) -> Kubectl:
    return Kubectl(kubectl, cluster.kubeconfig(tmp_path))


async def test_kubectl_makes_namespaces_in_protobuf(cluster: Cluster, run: Kubectl) -> None:
    assert await run("create", "namespace", "by-kubectl") == "namespace/by-kubectl created"
    text = await run("create", "namespace", "by-kubectl", fails=True)
    assert text == 'Error from server (AlreadyExists): namespaces "by-kubectl" already exists'
    assert await run("delete", "namespace", "by-kubectl", "--wait=false") == 'namespace "by-kubectl" deleted'


async def test_kubectl_makes_secrets_and_config_maps(cluster: Cluster, run: Kubectl, namespace: str) -> None:
    text = await run("create", "secret", "generic", "s", "--from-literal=a=b", "-n", namespace)
    assert text == "secret/s created"
    assert await run("get", "secret", "s", "-n", namespace, "-o", "jsonpath={.data.a}") == "Yg=="
    await run("create", "configmap", "c", "--from-literal=k=v", "-n", namespace)
    assert await run("get", "cm", "c", "-n", namespace, "-o", "jsonpath={.data.k}") == "v"
    await run("create", "serviceaccount", "sa", "-n", namespace)
    await run("create", "deployment", "d", "--image=image:1", "--port=80", "--replicas=2", "-n", namespace)
    path = "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].ports[0].containerPort}"
    assert await run("get", "deployment", "d", "-n", namespace, "-o", path) == "2 80"
    assert await run("label", "cm", "c", "x=y", "-n", namespace) == "configmap/c labeled"
    assert "c" in await run("get", "cm", "-l", "x=y", "-n", namespace, "--no-headers")


async def test_kubectl_applies_patches_scales_and_restarts(
    cluster: Cluster, run: Kubectl, namespace: str, tmp_path: Path
) -> None:

    file = tmp_path / "deployment.json"
    file.write_text(json.dumps(deployment()))
    where = ("-n", namespace)
    assert await run("apply", "-f", str(file), "--validate=false", *where) == "deployment.apps/d created"
    changed = deployment()
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "image:2"
    file.write_text(json.dumps(changed))
    assert await run("apply", "-f", str(file), "--validate=false", *where) == "deployment.apps/d configured"
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    assert await run("get", "deployment", "d", "-o", image, *where) == "image:2"
    assert await run("scale", "deployment/d", "--replicas=2", *where) == "deployment.apps/d scaled"
    await run("set", "image", "deployment/d", "main=image:3", *where)
    await run("rollout", "restart", "deployment/d", *where)
    assert await run("get", "deployment", "d", "-o", image, *where) == "image:3"
    assert await run("delete", "deployment", "d", *where) == 'deployment.apps "d" deleted'


async def test_kubectl_applies_the_operators_stand_in(cluster: Cluster, run: Kubectl) -> None:
    """Whichever test comes first makes it; every object says that it was applied."""
    options = ("--server-side", "--force-conflicts", "--validate=false", "-f", str(MANIFEST))
    lines = (await run("apply", "--field-manager=kubectl-tests", *options)).splitlines()
    assert len(lines) == MANIFEST.read_text().count("\nkind: ")
    assert all(line.endswith("serverside-applied") for line in lines)
    text = await run(
        "wait", "--for=condition=Established", "crd/clusters.postgresql.cnpg.io", "--timeout=20s"
    )
    assert text == "customresourcedefinition.apiextensions.k8s.io/clusters.postgresql.cnpg.io condition met"


async def test_kubectl_shows_the_conflict_of_a_server_side_apply(
    cluster: Cluster, run: Kubectl, namespace: str, tmp_path: Path
) -> None:
    file = tmp_path / "map.yaml"
    options = ("--server-side", "--validate=false", "-f", str(file), "-n", namespace)
    file.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1'}")
    await run("apply", "--field-manager=one", *options)
    file.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '2'}")
    text = await run("apply", "--field-manager=two", *options, fails=True)
    assert 'Apply failed with 1 conflict: conflict with "one": .data.a' in text


async def test_kubectl_reads_tables(cluster: Cluster, run: Kubectl, namespace: str) -> None:
    await run("create", "configmap", "c", "--from-literal=k=v", "-n", namespace)
    lines = (await run("get", "configmap", "c", "-n", namespace)).splitlines()
    assert lines[0].split() == ["NAME", "DATA", "AGE"]
    assert lines[1].split()[:2] == ["c", "1"]
    lines = (await run("get", "namespace", namespace)).splitlines()
    assert lines[0].split() == ["NAME", "STATUS", "AGE"]
    assert lines[1].split()[:2] == [namespace, "Active"]


async def test_kubectl_may_do_everything(cluster: Cluster, run: Kubectl) -> None:
    assert (await run("auth", "can-i", "create", "deployments")).splitlines()[-1] == "yes"


async def test_kubectl_validates_against_the_servers_schema(
    cluster: Cluster, run: Kubectl, namespace: str, tmp_path: Path
) -> None:
    cluster.needs("1.25", "fieldValidation")
    file = tmp_path / "map.yaml"
    file.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndat: {a: b}")
    text = await run("apply", "-f", str(file), "-n", namespace, fails=True)
    assert 'strict decoding error: unknown field "dat"' in text


async def test_kubectl_explains_fields(cluster: Cluster, run: Kubectl) -> None:
    cluster.needs("1.24", "/openapi/v3")
    text = await run("explain", "deployment.spec.replicas")
    assert "FIELD: replicas <integer>" in text
