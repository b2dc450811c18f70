"""What a run takes from outside is fetched and checked before its first write, whichever flow it is."""

import hashlib
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aks_postgres.flows._errors import RebuildRefused
from aks_postgres.flows.plan import plan
from aks_postgres.flows.provision import provision
from aks_postgres.flows.rebuild import rebuild
from aks_postgres.preflight.egress import EGRESS_URL_VARIABLE
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.spec.environment import EnvironmentSpec, OperatorSpec
from azure_sandbox.client import SandboxProcess

from ..files.test_yaml_text import BOMB
from ..tasks.test_operator_chart import needs_helm, packed
from .conftest import writes

pytestmark = pytest.mark.usefixtures("prefect_api")

Json = dict[str, Any]
KEY = "cnpg-canadacentral"
# A path of the sandbox that faults can be ordered for.
ELSEWHERE = "/subscriptions/operator.yaml"
SCHEMA = '{"type": "object", "properties": {"replicaCount": {"type": "integer"}}}'


@dataclass
class Case:
    """A bad input.

    Args:
        said: in the message, beginning with the spec's field.
        operator: fields of the operator; a function makes them of the test's folder.
        order: what the sandbox answers where the manifest is asked for.
        egress: who is asked for the worker's address.
    """

    said: tuple[str, ...]
    operator: Callable[[Path], Json] = lambda _: {}
    order: Json = field(default_factory=dict)
    egress: Callable[[], str] | None = None
    helm: bool = False


def manifest(content: bytes) -> Callable[[Path], Json]:
    def make(folder: Path) -> Json:
        (folder / "operator.yaml").write_bytes(content)
        return {
            "manifest_url": f"{folder}/operator.yaml",
            "manifest_sha256": hashlib.sha256(content).hexdigest(),
        }

    return make


def fifo(folder: Path) -> Json:
    os.mkfifo(folder / "fifo")
    return {"manifest_url": f"{folder}/fifo"}


def chart(archive: bytes | None = None, **values: Any) -> Callable[[Path], Json]:
    def make(folder: Path) -> Json:
        content = packed() if archive is None else archive
        (folder / "chart.tgz").write_bytes(content)
        return {
            "installer": "helm",
            "chart": f"{folder}/chart.tgz",
            "chart_sha256": hashlib.sha256(content).hexdigest(),
            "chart_values": values,
        }

    return make


def nobody_s_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/ip"


def named(name: str, old: str, new: str) -> bytes:
    return packed(lambda file, text: text.replace(old, new) if file.endswith(name) else text)


URL, CHART, VALUES, ADDRESS = (
    "operator.manifest_url",
    "operator.chart",
    "operator.chart_values",
    "network.worker_address",
)
CASES = {
    "manifest: nobody answers": Case(
        (URL, "NotSent", "Run again"), lambda _: {"manifest_url": nobody_s_port().replace("http:", "https:")}
    ),
    "manifest: 404": Case((URL, "HTTP 404"), order={"status": 404}),
    "manifest: 429": Case((URL, "HTTP 429", "Run again"), order={"status": 429}),
    "manifest: another checksum": Case(
        (URL, "isn't the file whose SHA-256", "sha256sum"), lambda _: {"manifest_sha256": "0" * 64}
    ),
    "manifest: no file": Case((URL, "No such file"), lambda folder: {"manifest_url": f"{folder}/none.yaml"}),
    "manifest: FIFO": Case((URL, "is a FIFO; a regular file is allowed"), fifo),
    "manifest: device": Case(
        (URL, "is a device; a regular file is allowed"), lambda _: {"manifest_url": "/dev/zero"}
    ),
    "manifest: folder": Case(
        (URL, "is a directory; a regular file is allowed"), lambda folder: {"manifest_url": str(folder)}
    ),
    "manifest: no YAML": Case((URL, "not YAML"), manifest(b"<html>: [")),
    "manifest: alias bomb": Case((URL, "not YAML", "unfolds to more than"), manifest(BOMB.encode())),
    "manifest: no objects": Case((URL, "no Kubernetes object"), manifest(b"- 1\n")),
    "manifest: a number for a text": Case(
        (URL, "60 is in it; text is what Kubernetes takes there (ConfigMap x, data.A)"),
        manifest(b"{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {A: 60}}"),
    ),
    "address: nobody answers": Case(
        (ADDRESS, "couldn't be found", "Set network.worker_address"), egress=nobody_s_port
    ),
    "chart: no file": Case(
        (CHART, "No such file"),
        lambda _: {"installer": "helm", "chart": "./some-other-file.tgz", "chart_sha256": "0" * 64},
        helm=True,
    ),
    "chart: another checksum": Case(
        (CHART, "isn't the file whose SHA-256", "sha256sum"),
        lambda folder: chart()(folder) | {"chart_sha256": "0" * 64},
        helm=True,
    ),
    "chart: no chart": Case((CHART, "no Helm chart"), chart(b"<html>"), helm=True),
    "chart: another version": Case(
        ("operator.chart_version", "0.29.0 was given"),
        chart(named("Chart.yaml", "version: 0.29.0", "version: 0.28.0")),
        helm=True,
    ),
    "values: a number for a text": Case(
        (
            f"{VALUES}.config.data.CLUSTERS_ROLLOUT_DELAY",
            "60 was given",
            "text is what Kubernetes takes there",
            "Put it in quotes",
        ),
        chart(
            config={"data": {"CLUSTERS_ROLLOUT_DELAY": 60, "ENABLE_INSTANCE_MANAGER_INPLACE_UPDATES": True}}
        ),
        helm=True,
    ),
    "values: true for a text": Case(
        (f"{VALUES}.nodeSelector.example.com/fast", "true was given", "Put it in quotes"),
        chart(nodeSelector={"example.com/fast": True}),
        helm=True,
    ),
    "values: not of the chart's schema": Case(
        (VALUES, "replicaCount", "values.schema.json"),
        chart(packed(more={"cloudnative-pg/values.schema.json": SCHEMA}), replicaCount="two"),
        helm=True,
    ),
}


async def planned(spec: EnvironmentSpec) -> str:
    state = await plan(spec, return_state=True)
    assert state.is_failed()
    found: Any = await state.aresult(raise_on_failure=False)
    return "\n".join(step.reason for step in found.refusals)


async def provisioned(spec: EnvironmentSpec) -> str:
    with pytest.raises(PreflightFailed) as failed:
        await provision(spec)
    return str(failed.value)


def rebuilt(**options: Any) -> Callable[[EnvironmentSpec], Awaitable[str]]:
    async def run(spec: EnvironmentSpec) -> str:
        with pytest.raises(RebuildRefused) as failed:
            await (await rebuild(spec, KEY, return_state=True, **options)).aresult()
        return str(failed.value)

    return run


FLOWS: dict[str, Callable[[EnvironmentSpec], Awaitable[str]]] = {
    "plan": planned,
    "provision": provisioned,
    "replace": rebuilt(strategy="replace"),
    "blue_green": rebuilt(strategy="blue_green"),
    "replace, to be approved": rebuilt(strategy="replace", approval=True),
}
QUICK = {
    ("manifest: nobody answers", "replace"),
    ("manifest: another checksum", "provision"),
    ("values: a number for a text", "blue_green"),
}


def cases() -> list[Any]:
    return [
        pytest.param(
            case,
            flow,
            marks=[
                *([] if (case, flow) in QUICK else [pytest.mark.thorough]),
                *([needs_helm] if CASES[case].helm else []),
            ],
        )
        for case in CASES
        for flow in FLOWS
    ]


def spec_of(case: Case, azure: SandboxProcess, spec: EnvironmentSpec, folder: Path) -> EnvironmentSpec:
    fields = case.operator(folder)
    if case.order:
        fields["manifest_url"] = f"{azure.endpoint}{ELSEWHERE}"
    if fields.get("installer") == "helm":
        operator = OperatorSpec.model_validate(fields)
    else:
        operator = OperatorSpec.model_validate(
            spec.operator.model_dump(include={"manifest_url", "manifest_sha256"}) | fields
        )
    return spec.model_copy(update={"operator": operator})


@pytest.mark.parametrize(("name", "flow"), cases())
async def test_a_bad_input_is_told_by_its_field_before_the_first_write(
    azure: SandboxProcess,
    spec: EnvironmentSpec,
    environment: EnvironmentOutputs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    flow: str,
) -> None:
    case = CASES[name]
    if case.order:
        azure.fault(case.order, path=ELSEWHERE, times=None)
    if case.egress:
        monkeypatch.setenv(EGRESS_URL_VARIABLE, case.egress())
    since = len(azure.ledger())
    told = await FLOWS[flow](spec_of(case, azure, spec, tmp_path))
    assert writes(azure.ledger()[since:]) == []
    for words in case.said:
        assert words in told
    assert not any(secret in told for secret in ("Traceback", "object at 0x"))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_helm if CASES[name].helm else []) for name in CASES]
)
async def test_a_first_run_with_a_bad_input_makes_nothing(
    azure: SandboxProcess, spec: EnvironmentSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    case = CASES[name]
    if case.order:
        azure.fault(case.order, path=ELSEWHERE, times=None)
    if case.egress:
        monkeypatch.setenv(EGRESS_URL_VARIABLE, case.egress())
    told = await provisioned(spec_of(case, azure, spec, tmp_path))
    assert writes(azure.ledger()) == []
    assert all(words in told for words in case.said)
