"""Dockerfile, Compose file and manifests: held to their schemas and to a real API server, as no container runs here."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import pytest_asyncio
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from azure_sandbox.kubernetes.control_plane import ASSETS, assets
from azure_sandbox.kubernetes_client import Cluster, real_cluster

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "deployments"
MANIFESTS = [FOLDER / "kubernetes" / name for name in ("prefect-server.yaml", "worker.yaml")]
TEMPLATES = [FOLDER / folder / "base-job-template.json" for folder in ("kubernetes", "docker", "process")]
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
PODS = "/api/v1/namespaces/aks-postgres/pods"
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|AUTH_STRING|CONNECTION_URL|_KEY$")


def compose_problems(compose: Any) -> list[str]:
    """What the schema of the Compose specification says against it."""
    schema = jsonschema.Draft202012Validator(get_builtin_schema("vendor.compose-spec"))
    return [error.message for error in schema.iter_errors(compose)]


def test_the_compose_file_is_as_its_specification_wants_it() -> None:
    assert compose_problems(COMPOSE) == []
    wrong = {**COMPOSE, "services": {"worker": {"image": "x", "images": "y"}}}
    assert compose_problems(wrong)


def test_no_secret_stands_in_the_examples_and_git_ignores_the_files() -> None:
    lines = (FOLDER / "worker.env.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert given == {"AZURE_SUBSCRIPTION_ID": "", "AZURE_CLIENT_ID": ""}
    assert "*.env" in (REPOSITORY / ".gitignore").read_text().splitlines()


def test_what_is_published_is_published_on_this_machine_only() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:4200:4200"]


def dockerfile() -> list[tuple[str, str]]:
    """Its instructions."""
    text = re.sub(r"\\\n\s*", "", (FOLDER / "Dockerfile").read_text())
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    return [(instruction, rest) for instruction, rest in lines]


def test_the_image_is_made_of_a_pinned_base_and_runs_as_nobody_in_particular() -> None:
    of = {
        name: [rest for instruction, rest in dockerfile() if instruction == name] for name, _ in dockerfile()
    }
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) for base in of["FROM"])
    assert of["USER"] == ["1001:1001"]
    assert "ENTRYPOINT" not in of  # Jobs and containers of a work pool give a whole command.
    assert not SECRET.search(" ".join(of["ENV"] + of["ARG"]))


def test_the_image_holds_every_package_and_what_is_left_out_of_the_build_is_not_copied() -> None:
    copied = [path for name, rest in dockerfile() if name == "COPY" for path in rest.split()[:-1]]
    assert [path for path in copied if not (REPOSITORY / path).exists()] == []
    # src has links to the other two.
    assert {"src", "flows", "tasks"} <= set(copied)
    assert "packages" not in copied  # no sandbox in it
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied)
    assert "*" in ignored


def images() -> Iterator[tuple[str, str]]:
    for name, service in COMPOSE["services"].items():
        yield f"compose.yaml, {name}", service["image"]
    for file in MANIFESTS:
        for obj in yaml.safe_load_all(file.read_text()):
            for container in obj.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
                yield f"{file.name}, {obj['metadata']['name']}", container["image"]
    for file in TEMPLATES:
        found = re.search(r'"image": "([^"]+)"', file.read_text())
        if found:
            yield str(file), found[1]
    image = yaml.safe_load((FOLDER / "kubernetes" / "prefect-server-values.yaml").read_text())["global"][
        "prefect"
    ]
    yield "prefect-server-values.yaml", f"{image['image']['repository']}:{image['image']['prefectTag']}"


@pytest.mark.parametrize("image", [image for _, image in images()], ids=[where for where, _ in images()])
def test_an_image_is_pinned_and_ours_and_prefects_have_the_versions_that_are_tested(image: str) -> None:
    name, _, tag = image.rpartition(":")
    assert re.match(r"\d+\.\d+", tag)
    if name.endswith("aks-postgres"):
        assert tag == version("aks-postgres")
    if name.endswith("prefect"):
        assert tag.split("-")[0] == version("prefect")


def job_manifest() -> dict[str, Any]:
    """The Job of a run: the template with each variable's default, and what Prefect puts in by itself."""
    template = json.loads(TEMPLATES[0].read_text())
    variables = template["variables"]["properties"]

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [filled(inner) for inner in value]
        if not isinstance(value, str):
            return value
        found = re.fullmatch(r"{{ (\w+) }}", value)
        return variables[found[1]]["default"] if found else value

    manifest: dict[str, Any] = filled(template["job_configuration"]["job_manifest"])
    # Prefect refuses a template without these, which Kubernetes doesn't know there and leaves out.
    pod = manifest["spec"]["template"]["spec"]
    assert (pod.pop("parallelism"), pod.pop("completions")) == (1, 1)
    # Prefect's own, as it puts it in where a template has none.
    pod["containers"][0]["args"] = ["prefect", "flow-run", "execute"]
    return manifest


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: str(file.parent.name))
def test_a_template_uses_every_variable_and_no_other(file: Path) -> None:
    template = json.loads(file.read_text())
    used = set(re.findall(r"{{ (\w+) }}", json.dumps(template["job_configuration"])))
    assert used == set(template["variables"]["properties"])
    jsonschema.Draft202012Validator.check_schema(template["variables"])


@pytest_asyncio.fixture(scope="module")
async def cluster() -> AsyncIterator[Cluster]:
    """A real API server."""
    async with real_cluster() as made:
        yield made


def path_of(obj: dict[str, Any]) -> str:
    group = "/api/v1" if obj["apiVersion"] == "v1" else f"/apis/{obj['apiVersion']}"
    namespace = obj["metadata"].get("namespace")
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{group}{inside}/{obj['kind'].lower()}s"


def pods() -> list[dict[str, Any]]:
    """The pods of the worker and of a run."""
    objects = [job_manifest(), *(obj for file in MANIFESTS for obj in yaml.safe_load_all(file.read_text()))]
    return [obj["spec"]["template"] for obj in objects if obj["kind"] in ("Deployment", "Job")]


@pytest.mark.parametrize("pod", pods(), ids=["run", "worker-read", "worker-write", "worker-delete"])
def test_a_pod_runs_without_root_and_rights_on_a_file_system_that_it_cannot_write(
    pod: dict[str, Any],
) -> None:
    spec = pod["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert container["resources"]["limits"]["memory"]
        assert [env["name"] for env in container["env"] if SECRET.search(env["name"]) and "value" in env] == [
            # A switch, not a secret.
            name
            for name in ["PREFECT_INTEGRATIONS_KUBERNETES_WORKER_STORE_ENV_AS_SECRET"]
            if name in [env["name"] for env in container["env"]]
        ]
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]


def lost(sent: Any, answered: Any, at: str = "") -> list[str]:
    """Where an API server left out what it was sent: a field that it doesn't know."""
    if isinstance(sent, dict) and isinstance(answered, dict):
        return [
            place for key, value in sent.items() for place in lost(value, answered.get(key), f"{at}.{key}")
        ]
    if isinstance(sent, list) and isinstance(answered, list) and len(sent) == len(answered):
        return [place for n, value in enumerate(sent) for place in lost(value, answered[n], f"{at}[{n}]")]
    return [] if sent == answered else [at]


@pytest.mark.thorough
@pytest.mark.real_kubernetes
@pytest.mark.skipif(assets() is None, reason=f"{ASSETS} names no folder with etcd and kube-apiserver")
async def test_a_real_api_server_takes_every_manifest_whole(cluster: Cluster) -> None:
    objects = [obj for file in MANIFESTS for obj in yaml.safe_load_all(file.read_text())]
    for obj in [*objects, job_manifest()]:
        # What others are in, or run as, is made; the rest is only tried.
        query = {} if obj["kind"] in ("Namespace", "ServiceAccount") else {"dryRun": "All"}
        made = await cluster.send("POST", path_of(obj), obj, **query)
        assert made.status == 201, made.body
        # That came with Kubernetes 1.23.
        assert set(lost(obj, made.body)) <= ({".spec.ttlSecondsAfterFinished"} if cluster.old else set())
    misspelt = job_manifest()
    misspelt["spec"]["template"]["spec"]["restartPolcy"] = "Never"
    made = await cluster.send("POST", path_of(misspelt), misspelt, dryRun="All")
    assert made.status == 400 or ".spec.template.spec.restartPolcy" in lost(misspelt, made.body)


@pytest.mark.thorough
@pytest.mark.real_kubernetes
@pytest.mark.skipif(assets() is None, reason=f"{ASSETS} names no folder with etcd and kube-apiserver")
async def test_pod_security_lets_the_pods_into_their_restricted_namespace(cluster: Cluster) -> None:
    cluster.needs("1.25", "Pod Security admission")
    for pod in pods():
        body = {"apiVersion": "v1", "kind": "Pod", **pod}
        body["metadata"] = {**pod["metadata"], "generateName": "try-"}
        made = await cluster.send("POST", PODS, body, dryRun="All")
        assert made.status == 201, made.body
        loose = {**body, "spec": {**body["spec"], "securityContext": {"runAsUser": 0}}}
        assert (await cluster.send("POST", PODS, loose, dryRun="All")).status == 403
