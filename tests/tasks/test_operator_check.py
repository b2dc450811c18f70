"""What the operator is installed from is judged by the preflight, by the field to change, with no cluster asked."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import azure_sandbox.data
from aks_postgres.arm.client import current_azure
from aks_postgres.kubernetes.types_check import wrong_types
from aks_postgres.limits import limits
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.preflight.operator_check import judge_operator
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec, OperatorSpec
from aks_postgres.tasks.preflight import preflight
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for
from .test_operator_chart import needs_helm, packed
from .test_preflight import writes

Json = dict[str, Any]


def thing(kind: str = "ConfigMap", api_version: str = "v1", **parts: Any) -> Json:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **parts}


def deployment(**pod: Any) -> Json:
    return thing("Deployment", "apps/v1", spec={"template": {"spec": pod}})


def container(**parts: Any) -> Json:
    return deployment(containers=[{"name": "manager", **parts}])


POD = "spec/template/spec/"
CONTAINER = f"{POD}containers[0]/"
# An object, and where Kubernetes refuses it.
REFUSED: list[tuple[Json, str]] = [
    (thing(data={"A": 60}), "data/A"),
    (thing(data={"A": True}), "data/A"),
    (thing(data={"A": 1.5}), "data/A"),
    (thing(data={"A": {"b": "c"}}), "data/A"),
    (thing(data=["A"]), "data"),
    (thing("Secret", stringData={"A": 60}), "stringData/A"),
    (thing() | {"metadata": {"name": "x", "labels": {"a.b/c": 1}}}, "metadata/labels/a.b/c"),
    (thing() | {"metadata": {"name": "x", "annotations": {"a": False}}}, "metadata/annotations/a"),
    (thing() | {"metadata": {"name": 7}}, "metadata/name"),
    (thing("Foo", "example.com/v1") | {"metadata": {"annotations": {"a": False}}}, "metadata/annotations/a"),
    (container(env=[{"name": "A", "value": 1}]), f"{CONTAINER}env[0]/value"),
    (container(env=[{"name": "A", "value": True}]), f"{CONTAINER}env[0]/value"),
    (container(args=["--port", 80]), f"{CONTAINER}args[1]"),
    (container(args="--port"), f"{CONTAINER}args"),
    (container(image={"tag": "x"}), f"{CONTAINER}image"),
    (container(ports=[{"containerPort": "http"}]), f"{CONTAINER}ports[0]/containerPort"),
    (container(resources={"limits": {"cpu": True}}), f"{CONTAINER}resources/limits/cpu"),
    (deployment(nodeSelector={"fast": True}), f"{POD}nodeSelector/fast"),
    (deployment(tolerations={"key": "a"}), f"{POD}tolerations"),
    (deployment(hostNetwork="yes"), f"{POD}hostNetwork"),
    (thing("Deployment", "apps/v1", spec={"replicas": "two"}), "spec/replicas"),
    (thing("Deployment", "apps/v1", spec={"replicas": True}), "spec/replicas"),
    (thing("Deployment", "apps/v1", spec={"replicas": 1.5}), "spec/replicas"),
    (
        thing("Deployment", "apps/v1", spec={"selector": {"matchLabels": {"a": 1}}}),
        "spec/selector/matchLabels/a",
    ),
]
TAKEN: list[Json] = [
    thing(data={"A": "60", "B": ""}),
    thing(data=None),
    thing("Secret", stringData={"A": "1"}, data={"B": "YQ=="}),
    container(
        env=[{"name": "A", "value": "1"}],
        resources={"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": 0.5}},
    ),
    container(livenessProbe={"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 5}),
    container(ports=[{"containerPort": 8080}]),
    thing(
        "Deployment", "apps/v1", spec={"replicas": 2.0, "strategy": {"rollingUpdate": {"maxSurge": "25%"}}}
    ),
    deployment(volumes=[{"name": "a", "emptyDir": {"sizeLimit": 5}}]),
    # Another group's kind of the same name is nobody's business.
    thing("Service", "serving.knative.dev/v1", spec={"ports": "x"}),
    thing("Cluster", "postgresql.cnpg.io/v1", spec={"instances": "x"}),
]


@pytest.mark.parametrize(("item", "path"), REFUSED, ids=[path for _, path in REFUSED])
def test_a_type_that_kubernetes_refuses_is_found_at_its_path(item: Json, path: str) -> None:
    assert ["/".join(wrong.path) for wrong in wrong_types(item)] == [path]


@pytest.mark.parametrize("item", TAKEN)
def test_what_kubernetes_takes_is_no_problem(item: Json) -> None:
    assert wrong_types(item) == []


def test_objects_that_go_into_every_cluster_are_no_problem() -> None:
    shipped = Path(azure_sandbox.data.__file__).with_name("cnpg-operator.yaml")
    items = list(yaml.safe_load_all(shipped.read_text()))
    assert len(items) > 5
    assert [wrong for item in items if item for wrong in wrong_types(item)] == []


# A run.


async def problems_of(spec: EnvironmentSpec, azure: SandboxProcess) -> tuple[str, ...]:
    async with run_session(spec):
        with pytest.raises(PreflightFailed) as failed:
            await preflight.fn(spec)
    assert writes(azure) == []
    return failed.value.problems


def with_manifest(azure: SandboxProcess, folder: Path, content: bytes) -> EnvironmentSpec:
    (folder / "operator.yaml").write_bytes(content)
    operator = {
        "manifest_url": str(folder / "operator.yaml"),
        "manifest_sha256": hashlib.sha256(content).hexdigest(),
    }
    return spec_for(azure, operator=operator)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>moved</html>: [", r"operator\.manifest_url: not YAML"),
        (b"[1, 2]", r"operator\.manifest_url: holds something that is no Kubernetes object"),
        (b"a: &a [*a]", r"operator\.manifest_url: not YAML: line 1: \*a stands inside of itself"),
        (b"", r"operator\.manifest_url: holds no Kubernetes objects"),
        (
            yaml.safe_dump(thing(data={"PORT": 60})).encode(),
            r"operator\.manifest_url: 60 is in it; text is what Kubernetes takes there \(ConfigMap x, data\.PORT\)",
        ),
    ],
)
async def test_a_manifest_that_is_none_is_a_problem_of_its_field(
    azure: SandboxProcess, tmp_path: Path, content: bytes, words: str
) -> None:
    found = await problems_of(with_manifest(azure, tmp_path, content), azure)
    assert len(found) == 1
    assert re.match(words, found[0])


async def test_the_file_that_was_checked_is_the_one_that_is_installed(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    async with run_session(spec):
        await preflight.fn(spec)
        await preflight.fn(spec)
    asked = [entry for entry in azure.ledger() if entry["path"].endswith(".yaml")]
    assert len(asked) <= 1


class TestChart:
    """With the SDK."""

    pytestmark = needs_helm

    def spec(self, azure: SandboxProcess, folder: Path, archive: bytes, values: Json) -> EnvironmentSpec:
        (folder / "chart.tgz").write_bytes(archive)
        operator = {
            "installer": "helm",
            "chart": str(folder / "chart.tgz"),
            "chart_sha256": hashlib.sha256(archive).hexdigest(),
            "chart_values": values,
        }
        return spec_for(azure).model_copy(update={"operator": OperatorSpec.model_validate(operator)})

    async def verdict(self, spec: EnvironmentSpec) -> tuple[str, ...]:
        async with run_session(spec, planning=True):
            return (await judge_operator(current_azure(), spec)).problems

    @pytest.mark.parametrize(
        ("values", "field", "given"),
        [
            (
                {"config": {"data": {"CLUSTERS_ROLLOUT_DELAY": 60}}},
                "config.data.CLUSTERS_ROLLOUT_DELAY",
                "60",
            ),
            ({"config": {"data": {"INPLACE": True}}}, "config.data.INPLACE", "true"),
            ({"nodeSelector": {"example.com/fast": True}}, "nodeSelector.example.com/fast", "true"),
        ],
    )
    async def test_a_value_of_the_wrong_type_is_told_by_its_own_field(
        self, azure: SandboxProcess, tmp_path: Path, values: Json, field: str, given: str
    ) -> None:
        (found,) = await self.verdict(self.spec(azure, tmp_path, packed(), values))
        assert found.startswith(
            f"operator.chart_values.{field}: {given} was given; text is what Kubernetes takes there ("
        )
        assert found.endswith("Put it in quotes.")

    async def test_the_same_in_quotes_is_taken(self, azure: SandboxProcess, tmp_path: Path) -> None:
        values = {"config": {"data": {"CLUSTERS_ROLLOUT_DELAY": "60"}}, "nodeSelector": {"fast": "true"}}
        assert await self.verdict(self.spec(azure, tmp_path, packed(), values)) == ()

    async def test_what_the_chart_s_own_schema_refuses_is_told_in_helm_s_words(
        self, azure: SandboxProcess, tmp_path: Path
    ) -> None:
        schema = '{"type": "object", "properties": {"replicaCount": {"type": "integer", "minimum": 1}}}'
        archive = packed(more={"cloudnative-pg/values.schema.json": schema})
        (found,) = await self.verdict(self.spec(azure, tmp_path, archive, {"replicaCount": "two"}))
        assert found.startswith("operator.chart_values: the chart doesn't take them. ")
        assert "replicaCount" in found
        assert await self.verdict(self.spec(azure, tmp_path, archive, {"replicaCount": 2})) == ()

    async def test_values_that_the_templates_stumble_over_are_told(
        self, azure: SandboxProcess, tmp_path: Path
    ) -> None:
        (found,) = await self.verdict(self.spec(azure, tmp_path, packed(), {"config": "text"}))
        assert found.startswith("operator.chart_values: the chart doesn't take them. ")

    async def test_a_chart_that_unpacks_without_an_end_is_none(
        self, azure: SandboxProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "chart_bytes", 1000)
        (found,) = await self.verdict(self.spec(azure, tmp_path, packed(), {}))
        assert "operator.chart: no Helm chart" in found
        assert "it unpacks to more than 1000 bytes" in found
