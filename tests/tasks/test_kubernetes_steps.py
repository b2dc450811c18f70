"""Guide: the namespaces, and Deploy, "Install the CloudNativePG operator in the AKS cluster".

What depends on the API server's own behaviour runs against the sandbox's and, where KUBEBUILDER_ASSETS names the
binaries, against a real kube-apiserver, so that the emulator can't agree with a mistake of ours.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aks_postgres.arm.errors import AzureRefused, LastingState, NotEffectiveYet, NotOurs
from aks_postgres.errors import TemporaryError
from aks_postgres.kubernetes.operator_manifest import in_order, manifest_objects
from aks_postgres.reports.journal import Journal
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess, start

from .conftest import MOMENTS, place_for, world_with
from .kube import Kube
from .resources import STEPS
from .world import Json, World

ASSETS = os.environ.get("KUBEBUILDER_ASSETS", "")
HAS_ASSETS = all((Path(ASSETS) / name).is_file() for name in ("kube-apiserver", "etcd")) if ASSETS else False
DEPLOYMENT = "/apis/apps/v1/namespaces/cnpg-system/deployments/cnpg-controller-manager"
DATABASE = "/api/v1/namespaces/cnpg-database"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
CREATE_NAMESPACE = "create namespaces"
# A real API server works in real time: its part of two minutes of waiting shouldn't be a tenth of a second.
REAL_SPEED = 100


@pytest.fixture(scope="session")
def real_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox whose clusters have a real API server; one cluster is made and kept for all tests."""
    folder = tmp_path_factory.mktemp("real") / "state"
    process = start(folder, "--speed", str(REAL_SPEED), "--kubernetes", "real")
    try:
        yield SandboxProcess(folder)
    finally:
        process.terminate()
        process.wait(timeout=60)


both = pytest.mark.parametrize(
    "sandbox",
    [
        "emulated",
        pytest.param(
            "real",
            marks=[
                pytest.mark.real_kubernetes,
                pytest.mark.thorough,
                pytest.mark.skipif(
                    not HAS_ASSETS, reason="KUBEBUILDER_ASSETS names no folder with kube-apiserver and etcd"
                ),
            ],
        ),
    ],
    indirect=True,
)


@pytest.fixture
def sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> SandboxProcess:
    """A sandbox with either Kubernetes API; the real one keeps its cluster from test to test."""
    if getattr(request, "param", "emulated") == "emulated":
        process: SandboxProcess = request.getfixturevalue("sandbox_process")
        process.control("POST", "reset", {"seed": 1, "speed": 1000})
    else:
        monkeypatch.setenv("AKS_POSTGRES_TIME_SCALE", str(REAL_SPEED))
        process = request.getfixturevalue("real_process")
        process.control("DELETE", "faults")
    return process


@pytest.fixture
async def world(azure: SandboxProcess, journal: Journal, spec: EnvironmentSpec, tmp_path: Path) -> World:
    """The environment up to its cluster with both pools, in which nobody has installed anything."""
    azure.settings(durations=MOMENTS, spontaneous_operations=False, autoscaler=False)
    world = World(azure, journal, spec, place_for(azure, spec), STEPS)
    await world.prepare("node_pool")
    if azure.description["kubernetes"] == "real":
        clear(Kube(world, tmp_path), world)
    await world.prepare("api_server")
    return world


@pytest.fixture
def kube(world: World, tmp_path: Path) -> Kube:
    """The cluster as a person with kubectl has it."""
    return Kube(world, tmp_path)


def manifest(world: World) -> bytes:
    """The manifest that the spec's URL serves."""
    return bytes(world.azure.http.get(world.spec.operator.manifest_url).content)


def path_of(item: Json, plurals: dict[str, str] | None = None) -> str:
    """Where an object of the manifest lives."""
    kinds = {"MutatingWebhookConfiguration": "mutatingwebhookconfigurations", **(plurals or {})}
    plural = kinds.get(item["kind"], item["kind"].lower() + "s")
    version, namespace = item["apiVersion"], item["metadata"].get("namespace")
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{base}{inside}/{plural}/{item['metadata']['name']}"


def clear(kube: Kube, world: World) -> None:
    """Take everything away that an earlier test left in a cluster that is kept."""
    paths = [f"/api/v1/namespaces/{name}" for name in ("cnpg-database", "databases-operator")]
    paths += [path_of(item) for item in manifest_objects(manifest(world), "cnpg-system")]
    for path in paths:
        kube.delete(path)
    for path in paths:
        kube.until(lambda path=path: kube.get(path) is None, str(kube.get(path)))  # type: ignore[misc]


def named(namespace: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}


# Namespaces.


@both
async def test_missing_namespaces_are_created(world: World, kube: Kube) -> None:
    made = await world.run("namespaces")
    writes = world.writes()
    assert [write["operation"] for write in writes] == [CREATE_NAMESPACE] * 2
    assert [write["body"]["metadata"]["name"] for write in writes] == ["cnpg-database", "cnpg-system"]
    assert made.namespaces == ("cnpg-database", "cnpg-system")
    assert made.change.kind == "created"
    assert (kube.get(DATABASE) or {})["status"]["phase"] == "Active"


@both
async def test_namespaces_that_are_there_are_left_alone(world: World, kube: Kube) -> None:
    await world.run("namespaces")
    kube.merge(DATABASE, {"metadata": {"labels": {"team": "databases"}}})
    again = await world.run("namespaces")
    assert (world.writes(), again.change.kind) == ([], "unchanged")
    assert (kube.get(DATABASE) or {})["metadata"]["labels"]["team"] == "databases"


@both
async def test_only_the_missing_namespace_is_created(world: World, kube: Kube) -> None:
    kube.create("/api/v1/namespaces", named("cnpg-system"))
    made = await world.run("namespaces")
    assert [write["body"]["metadata"]["name"] for write in world.writes()] == ["cnpg-database"]
    assert [one.field for one in made.change.fields] == ["namespace cnpg-database"]


def held_up(kube: Kube) -> str:
    """Make the database namespace Terminating, held up by a finalizer; the path of what has it."""
    kube.create("/api/v1/namespaces", named("cnpg-database"))
    held = {"metadata": {"name": "held", "finalizers": ["example.com/nobody"]}}
    kube.create(f"{DATABASE}/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", **held})
    kube.delete(DATABASE)
    return f"{DATABASE}/configmaps/held"


@both
async def test_a_terminating_namespace_is_waited_for_and_made_anew(world: World, kube: Kube) -> None:
    path = held_up(kube)
    old = (kube.get(DATABASE) or {})["metadata"]["uid"]

    def release() -> None:
        kube.merge(path, {"metadata": {"finalizers": []}})
        kube.until(lambda: kube.get(DATABASE) is None)

    waits = world.when("waiting", release)
    made = await world.run("namespaces")
    assert waits[0] == "namespace cnpg-database is Terminating"
    assert made.change.kind == "created"
    assert (kube.get(DATABASE) or {})["metadata"]["uid"] != old


async def test_a_namespace_that_turns_terminating_before_it_is_made_is_made_anew(
    world: World, kube: Kube
) -> None:
    """https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/"""
    world.azure.fault(
        {"terminating": True}, service="kubernetes", operation=CREATE_NAMESPACE, per="resource", times=1
    )
    made = await world.run("namespaces")
    assert made.change.kind == "created"
    for path in (DATABASE, "/api/v1/namespaces/cnpg-system"):
        assert (kube.get(path) or {})["status"]["phase"] == "Active"


async def test_a_namespace_that_is_deleted_each_time_it_is_made_ends_the_step(world: World) -> None:
    being_deleted = {"metadata": named("cnpg-database")["metadata"], "status": {"phase": "Terminating"}}
    world.azure.fault(
        {"status": 201, "raw_body": json.dumps(being_deleted)},
        service="kubernetes",
        operation=CREATE_NAMESPACE,
        times=None,
    )
    async with asyncio.timeout(60):
        with pytest.raises(NotEffectiveYet, match=r"being deleted each time\. Find out who deletes it"):
            await world.run("namespaces")
    assert len(world.writes()) == 3


async def test_a_namespace_that_went_between_refusal_and_look_is_made(world: World, kube: Kube) -> None:
    going = {"status": 409, "code": "AlreadyExists", "message": "object is being deleted: it already exists"}
    world.azure.fault(going, service="kubernetes", operation=CREATE_NAMESPACE, times=1)
    assert (await world.run("namespaces")).change.kind == "created"
    assert (kube.get(DATABASE) or {})["status"]["phase"] == "Active"


async def test_a_namespace_that_is_refused_as_there_and_never_is_ends_with_pauses_and_a_budget(
    world: World, kube: Kube
) -> None:
    going = {"status": 409, "code": "AlreadyExists", "message": "object is being deleted: it already exists"}
    world.azure.fault(going, service="kubernetes", operation=CREATE_NAMESPACE, times=1000)
    async with asyncio.timeout(60):
        with pytest.raises(TemporaryError, match="isn't there"):
            await world.run("namespaces")
    assert kube.get(DATABASE) is None
    assert 1 < len(world.writes()) < 50


async def test_a_namespace_that_stays_terminating_is_named_with_the_way_to_find_out_why(
    world: World, kube: Kube
) -> None:
    path = held_up(kube)
    with pytest.raises(NotEffectiveYet, match="namespace cnpg-database is Terminating") as stuck:
        await world.run("namespaces")
    assert "kubectl get namespace cnpg-database -o yaml" in str(stuck.value)
    assert world.writes() == []
    kube.merge(path, {"metadata": {"finalizers": []}})


@both
async def test_a_namespace_whose_creation_was_answered_by_nobody_isnt_an_error(world: World) -> None:
    world.azure.fault({"cut": "after"}, service="kubernetes", operation=CREATE_NAMESPACE)
    made = await world.run("namespaces")
    assert made.change.kind == "created"
    assert len(made.change.fields) == 2


async def test_an_api_server_in_trouble_is_asked_again(world: World) -> None:
    trouble = {"status": 503, "code": "ServiceUnavailable", "message": "apiserver not ready"}
    world.azure.fault(trouble, service="kubernetes", operation=CREATE_NAMESPACE, times=2)
    conflicts = world.when("conflict")
    await world.run("namespaces")
    assert [write["status"] for write in world.writes()][:3] == [503, 503, 201]
    assert "apiserver not ready" in conflicts[0]


async def test_a_page_in_place_of_a_list_of_types_is_read_again(world: World) -> None:
    world.azure.fault(
        {"status": 200, "raw_body": "<html></html>"}, service="kubernetes", path="^/apis/apps/v1$"
    )
    conflicts = world.when("conflict")
    made = await world.run("operator")
    assert made.change.kind == "created"
    assert any("UnreadableAnswer" in conflict for conflict in conflicts)


async def test_a_redirect_takes_no_request_elsewhere(world: World) -> None:
    """Its body would go along, and with a Secret's a password."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1))
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        where = {"location": f"http://127.0.0.1:{port}/api/v1/namespaces"}
        for status in (307, 308):
            world.azure.fault(
                {"status": status, "headers": where},
                service="kubernetes",
                path="^/api/v1/namespaces$",
                method="POST",
            )
            with pytest.raises(AzureRefused, match=r"NotKubernetes: status \d+, a redirect to 127\.0\.0\.1"):
                await world.run("namespaces")
    assert heard == []


async def test_a_type_that_the_api_server_doesnt_know_is_told(world: World) -> None:
    none = {"status": 200, "raw_body": '{"kind": "APIResourceList", "resources": []}'}
    world.azure.fault(none, service="kubernetes", path="^/apis/apps/v1$", times=9)
    with pytest.raises(AzureRefused, match=r"Kubernetes API of .*: .*knows no Deployment in apps/v1"):
        await world.run("operator")


async def test_a_forbidden_namespace_is_told_and_not_retried(world: World) -> None:
    message = 'namespaces is forbidden: User "somebody" cannot create resource "namespaces"'
    world.azure.fault(
        {"status": 403, "code": "Forbidden", "message": message},
        service="kubernetes",
        operation=CREATE_NAMESPACE,
        times=9,
    )
    with pytest.raises(AzureRefused, match=r"Namespace cnpg-database: .*Forbidden.*cannot create resource"):
        await world.run("namespaces")
    assert len(world.writes()) == 1


# The operator.


@both
async def test_the_operator_is_installed_in_order_and_available(world: World, kube: Kube) -> None:
    objects = manifest_objects(manifest(world), "cnpg-system")
    made = await world.run("operator")
    writes = world.writes()
    assert [write["method"] for write in writes] == ["PATCH"] * len(objects)
    types = [write["path"].rsplit("/", 2)[1] for write in writes]
    definitions = types.count("customresourcedefinitions")
    assert types[: 1 + definitions] == ["namespaces"] + ["customresourcedefinitions"] * definitions
    assert made.change.kind == "created"
    assert (made.namespace, made.deployment) == ("cnpg-system", "cnpg-controller-manager")
    assert (made.version, made.objects) == (world.spec.operator.version, len(objects))
    assert ((kube.get(DEPLOYMENT) or {})["status"])["availableReplicas"] == 1
    for item in objects:
        live = kube.get(path_of(item))
        assert live is not None, item["metadata"]["name"]
        # Whoever applies an object without any field of its own owns none.
        if item["kind"] != "ServiceAccount":
            managers = {(one["manager"], one["operation"]) for one in live["metadata"]["managedFields"]}
            assert ("aks-postgres", "Apply") in managers, item["metadata"]["name"]


@both
async def test_a_second_installation_writes_nothing(world: World, kube: Kube) -> None:
    """Not even once the operator has put its certificate into its webhooks."""
    await world.run("operator")
    if world.azure.description["kubernetes"] == "emulated":
        webhooks = f"{WEBHOOKS}/cnpg-mutating-webhook-configuration"
        kube.until(lambda: "caBundle" in (kube.get(webhooks) or {})["webhooks"][0]["clientConfig"])
    again = await world.run("operator")
    assert (world.writes(), again.change.kind) == ([], "unchanged")


@both
async def test_what_somebody_changed_is_applied_again_and_nothing_else(world: World, kube: Kube) -> None:
    await world.run("operator")
    kube.merge(DEPLOYMENT, {"metadata": {"annotations": {"team": "databases"}}, "spec": {"replicas": 3}})
    again = await world.run("operator")
    (write,) = world.writes()
    assert write["path"] == DEPLOYMENT
    live = kube.get(DEPLOYMENT) or {}
    assert live["spec"]["replicas"] == 1
    assert live["metadata"]["annotations"]["team"] == "databases"
    assert [(one.field, one.old, one.new) for one in again.change.fields] == [
        ("Deployment cnpg-controller-manager: spec.replicas", 3, 1)
    ]


@both
async def test_a_difference_in_case_is_a_difference_here(world: World, kube: Kube) -> None:
    """ARM's values don't differ by case, Kubernetes' do."""
    await world.run("operator")
    live = kube.get(DEPLOYMENT) or {}
    container = live["spec"]["template"]["spec"]["containers"][0]
    changed = {**container, "args": [argument.upper() for argument in container["args"]]}
    kube.merge(DEPLOYMENT, {"spec": {"template": {"spec": {"containers": [changed]}}}})
    await world.run("operator")
    assert {write["path"] for write in world.writes()} == {DEPLOYMENT}
    fixed = (kube.get(DEPLOYMENT) or {})["spec"]["template"]["spec"]["containers"][0]
    assert fixed["args"] == container["args"]


@both
async def test_a_deleted_object_comes_back(world: World, kube: Kube) -> None:
    await world.run("operator")
    kube.delete("/api/v1/namespaces/cnpg-system/configmaps/cnpg-default-monitoring")
    again = await world.run("operator")
    assert len(world.writes()) == 1
    assert [str(one.new) for one in again.change.fields] == ["created"]


@both
async def test_another_namespace_is_written_into_every_reference(world: World, kube: Kube) -> None:
    other = world_with(world, namespaces={"operator": "databases-operator"})
    made = await other.run("operator")
    assert made.namespace == "databases-operator"
    for item in manifest_objects(manifest(world), "databases-operator"):
        live = kube.get(path_of(item))
        assert live is not None, item["metadata"]["name"]
        assert "cnpg-system" not in set(namespaces_in(live)), item["metadata"]["name"]
    binding = kube.get("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/cnpg-manager-rolebinding")
    assert (binding or {})["subjects"][0]["namespace"] == "databases-operator"
    webhooks = (kube.get(f"{WEBHOOKS}/cnpg-mutating-webhook-configuration") or {})["webhooks"]
    assert {one["clientConfig"]["service"]["namespace"] for one in webhooks} == {"databases-operator"}
    assert kube.get("/api/v1/namespaces/cnpg-system") is None


def namespaces_in(node: Any) -> Iterator[str]:
    """Every value of a `namespace` field, and the names of namespaces."""
    if isinstance(node, dict):
        if node.get("kind") == "Namespace":
            yield node["metadata"]["name"]
        if isinstance(node.get("namespace"), str):
            yield node["namespace"]
        for value in node.values():
            yield from namespaces_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from namespaces_in(value)


@both
async def test_an_operator_installed_by_helm_is_refused(world: World, kube: Kube) -> None:
    await world.prepare("namespaces")
    ours = next(item for item in manifest_objects(manifest(world), "cnpg-system") if _is_deployment(item))
    helms = {**ours, "metadata": {"name": "cnpg-cloudnative-pg", "namespace": "cnpg-system"}}
    kube.create("/apis/apps/v1/namespaces/cnpg-system/deployments", helms)
    with pytest.raises(NotOurs, match="installed by Helm") as refused:
        await world.run("operator")
    assert "helm uninstall cnpg --namespace cnpg-system" in str(refused.value)
    assert world.writes() == []


async def test_a_webhook_that_isnt_up_yet_is_waited_for(world: World) -> None:
    await world.prepare("namespaces")
    message = 'Internal error occurred: failed calling webhook "vcluster.cnpg.io": connection refused'
    world.azure.fault(
        {"status": 500, "code": "InternalError", "message": message},
        service="kubernetes",
        method="PATCH",
        path="/configmaps/",
        times=2,
    )
    conflicts = world.when("conflict")
    made = await world.run("operator")
    assert "an admission webhook isn't up yet" in conflicts[0]
    assert made.change.kind == "created"


@both
async def test_a_lost_answer_to_an_apply_is_harmless(world: World) -> None:
    await world.prepare("namespaces")
    world.azure.fault({"cut": "after"}, service="kubernetes", method="PATCH", path="/deployments/")
    made = await world.run("operator")
    assert made.change.kind == "created"
    again = await world.run("operator")
    assert again.change.kind == "unchanged"


# The manifest.


async def test_another_checksum_is_refused_before_the_cluster_is_touched(world: World) -> None:
    found = hashlib.sha256(manifest(world)).hexdigest()
    await world.prepare("namespaces")
    other = with_operator(world, manifest_sha256="0" * 64)
    with pytest.raises(AzureRefused, match=r"isn't the file whose SHA-256 the spec has") as refused:
        await other.run("operator")
    assert refused.value.code == "ChecksumMismatch"
    assert found[:12] not in str(refused.value)
    assert other.requests(service="kubernetes") == []


def with_operator(world: World, **fields: str) -> World:
    """The same environment with another manifest."""
    operator = {
        "manifest_url": world.spec.operator.manifest_url,
        "manifest_sha256": world.spec.operator.manifest_sha256,
    }
    return world_with(world, operator=operator | fields)


def from_file(world: World, folder: Path, content: bytes) -> World:
    """The same environment with a manifest on the worker's disk."""
    file = folder / "operator.yaml"
    file.write_bytes(content)
    return with_operator(world, manifest_url=str(file), manifest_sha256=hashlib.sha256(content).hexdigest())


async def test_a_manifest_on_the_workers_disk_will_do(world: World, tmp_path: Path) -> None:
    made = await from_file(world, tmp_path, manifest(world)).run("operator")
    assert made.change.kind == "created"


async def test_a_missing_file_is_named(world: World, tmp_path: Path) -> None:
    other = with_operator(world, manifest_url=str(tmp_path / "nowhere.yaml"))
    with pytest.raises(
        AzureRefused, match=r"operator\.manifest_url: \S+nowhere\.yaml can't be read: No such file"
    ):
        await other.run("operator")


async def test_an_operator_that_never_gets_available_is_told_with_kubernetes_words(
    world: World, tmp_path: Path
) -> None:
    objects = [item for item in yaml.safe_load_all(manifest(world)) if item]
    deployment = next(item for item in objects if _is_deployment(item))
    deployment["spec"]["template"]["spec"]["nodeSelector"] = {"there-is": "no-such-node"}
    other = from_file(world, tmp_path, yaml.safe_dump_all(objects).encode())
    await other.prepare("namespaces")
    with pytest.raises(LastingState) as late:
        await other.run("operator")
    for part in (
        "deployment cnpg-system/cnpg-controller-manager",
        "not so after ",
        "Available=False",
        "Unschedulable: 0/",
        "Give the pools nodes that it fits on",
    ):
        assert part in str(late.value)


def _is_deployment(item: Json) -> bool:
    return bool(item["kind"] == "Deployment")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: [", "not YAML"),
        (b"- just\n- a list\n", "holds something that is no Kubernetes object"),
        (b"apiVersion: v1\nkind: Namespace\n", "holds something that is no Kubernetes object"),
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(AzureRefused, match=problem):
        manifest_objects(content, "cnpg-system")


def test_objects_are_applied_namespaces_first_and_then_definitions() -> None:
    kinds: Callable[[str], Json] = lambda kind: {"kind": kind, "metadata": {"name": kind}}  # noqa: E731
    objects = [kinds(kind) for kind in ("Service", "CustomResourceDefinition", "Namespace", "Deployment")]
    stages = in_order(objects)
    assert [[item["kind"] for item in stage] for stage in stages] == [
        ["Namespace"],
        ["CustomResourceDefinition"],
        ["Service", "Deployment"],
    ]
