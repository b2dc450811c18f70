"""Ways out of what the preflight finds, walked in an empty subscription: what it refuses, what it says, what it takes.

The flows walk the others: `tests/flows/test_ways_out.py`.
"""

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.runs.session import run_session
from aks_postgres.tasks.preflight import preflight
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for
from ..repository.ways import matches
from ..subnets import delegated_to, make_subnet
from .test_operator_chart import archive_of, needs_helm, packed
from .test_preflight import principal

Json = dict[str, Any]


@dataclass
class Ground:
    """Where a walk happens: Azure, this worker's disk, and what the message says."""

    azure: SandboxProcess
    folder: Path
    patch: pytest.MonkeyPatch
    told: str = ""


Fields = Json | Callable[[Ground], Json]
Does = Callable[[Ground], Any]


@dataclass(frozen=True)
class Ahead:
    """What the preflight refuses, and its ways out, each of which is taken.

    Args:
        ways: that it is told with, by their names in `tests.repository.ways`.
        spec: fields of the spec that is refused.
        then: fields of the specs that go instead.
        by_hand: what others do before.
        does: what the message says to do, but for the spec.
        helm: whether Helm's SDK is asked.
    """

    ways: tuple[str, ...]
    spec: Fields = field(default_factory=dict)
    then: tuple[Fields, ...] = ()
    by_hand: Does = lambda _: None
    does: Does = lambda _: None
    helm: bool = False


def fault(do: Json, **where: Any) -> Does:
    return lambda ground: ground.azure.fault(do, times=None, **where)


def kept(ground: Ground, name: str, content: bytes) -> tuple[str, str]:
    """A file on the worker, and its checksum."""
    (ground.folder / name).write_bytes(content)
    return str(ground.folder / name), hashlib.sha256(content).hexdigest()


def chart(
    archive: bytes | None = None, *, schema: str = "", more: Json | None = None, **values: Any
) -> Fields:
    """The operator by a chart on the worker's disk."""

    def fields(ground: Ground) -> Json:
        files = {"cloudnative-pg/values.schema.json": schema} if schema else None
        path, sha256 = kept(ground, "chart.tgz", packed(more=files) if archive is None else archive)
        given = {"installer": "helm", "chart": path, "chart_sha256": sha256, "chart_values": values}
        return {"operator": given | (more or {})}

    return fields


def another(old: str, new: str) -> bytes:
    """The chart that says something else of itself."""
    return packed(lambda name, text: text.replace(old, new) if name.endswith("Chart.yaml") else text)


def components(content: bytes | None = None) -> Callable[[Ground], Json]:
    """A database, with the sandbox's stand-ins for what its backups need, or another file for the plugin."""

    def fields(ground: Ground) -> Json:
        given = {
            f"{name}_manifest_{part}": ground.azure.description[f"{name}_manifest_{part}"]
            for name in ("cert_manager", "plugin")
            for part in ("url", "sha256")
        }
        if content is not None:
            given["plugin_manifest_url"], given["plugin_manifest_sha256"] = kept(
                ground, "plugin.yaml", content
            )
        return {"database": {"components": given}}

    return fields


def dead_components(ground: Ground) -> Json:
    found = components(b"")(ground)
    found["database"]["components"]["plugin_manifest_url"] = f"{DEAD}/plugin.yaml"
    return found


def answered(status: int) -> Ahead:
    """The operator's file at a host that answers so, until that is mended."""
    path = "/releases/operator.yaml"
    way = "kubernetes/download: Correct the URL" if status == 404 else "preflight/operator_check: Run again"

    def fields(ground: Ground) -> Json:
        described = ground.azure.description
        url, sha256 = described["endpoint"] + path, described["operator_manifest_sha256"]
        return {"operator": {"manifest_url": url, "manifest_sha256": sha256}}

    refusal = {"status": status, "code": f"Http{status}", "message": "No."}
    return Ahead((way,), fields, ({},), by_hand=fault(refusal, path=path))


def operator(version: str) -> Fields:
    def fields(ground: Ground) -> Json:
        described = ground.azure.description
        url, sha256 = described["operator_manifest_url"], described["operator_manifest_sha256"]
        return {"operator": {"version": version, "manifest_url": url, "manifest_sha256": sha256}}

    return fields


def both(*parts: Fields) -> Fields:
    def fields(ground: Ground) -> Json:
        found: Json = {}
        for part in parts:
            found |= part(ground) if callable(part) else part
        return found

    return fields


def subnet(prefix: str = "10.8.0.0/24", **other: Any) -> Fields:
    return lambda ground: {"network": {"subnet_id": make_subnet(ground.azure, prefix, **other)}}


def subnet_of_another_subscription(ground: Ground) -> Json:
    found = make_subnet(ground.azure)
    other = found.replace(ground.azure.subscription_id, str(uuid.UUID(int=7)))
    return {"network": {"subnet_id": other}}


def no_such_subnet(ground: Ground) -> Json:
    return {"network": {"subnet_id": f"{make_subnet(ground.azure)}s"}}


def be(*roles: str) -> Does:
    return lambda ground: principal(ground.azure, ground.patch, *roles)


CHECKED: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"PORT": 60}}
WRONG = yaml.safe_dump(CHECKED).encode()
SCHEMA = '{"type": "object", "properties": {"replicaCount": {"type": "integer", "minimum": 1}}}'
ONLY_NEW = {
    "values": [
        {
            "version": "1.37",
            "capabilities": {"supportPlan": ["KubernetesOfficial"]},
            "isDefault": True,
            "patchVersions": {"1.37.0": {"upgrades": []}},
        }
    ]
}
DEAD = "https://localhost:9"
LTS: Json = {"cluster": {"kubernetes_version": "1.33", "tier": "Premium"}}

AHEAD: dict[str, Ahead] = {
    "a version in long-term support only": Ahead(
        ("preflight/kubernetes_versions: Choose one of these_",),
        {"cluster": {"kubernetes_version": "1.33"}},
        ({"cluster": {"kubernetes_version": "1.35"}}, both(LTS, operator("1.29.0"))),
    ),
    "an operator that doesn't support the version": Ahead(
        ("preflight/kubernetes_versions: Set operator.version to _, or",),
        LTS,
        (both(LTS, operator("1.29.0")), {"cluster": {"kubernetes_version": "1.34", "tier": "Premium"}}),
    ),
    "a region where no version goes with the operator": Ahead(
        ("preflight/kubernetes_versions: Choose another operator.version",),
        by_hand=fault(
            {
                "status": 200,
                "raw_body": json.dumps(ONLY_NEW),
                "headers": {"content-type": "application/json"},
            },
            path="locations/canadacentral/kubernetesVersions",
        ),
        then=({"region": "westus3"}, operator("1.99.0")),
    ),
    "a region that isn't there": Ahead(
        ("preflight/region: _az account list-locations",),
        {"region": "canadacentra"},
        ({"region": "canadacentral"},),
    ),
    "a region without a service": Ahead(
        ("preflight/region: Choose another region",),
        {"region": "australiasoutheast"},
        ({"region": "australiaeast"},),
    ),
    "a region without the redundancy": Ahead(
        ("preflight/region: Choose one of these, or another region",),
        by_hand=lambda ground: ground.azure.settings(regions={"canadacentral": {"zrs": False}}),
        then=({"storage": {"sku": "Standard_LRS"}}, {"region": "westus3"}),
    ),
    "a region without such a Grafana": Ahead(
        ("preflight/region: Set it to false",),
        {"region": "brazilsouth"},
        ({"region": "brazilsouth", "monitoring": {"grafana_zone_redundancy": False}}, {"region": "westus3"}),
    ),
    "a size that isn't offered": Ahead(
        ("preflight/vm_sizes: Choose another, for example",),
        {"postgres_pool": {"vm_size": "Standard_D4s_v99"}},
        ({"postgres_pool": {"vm_size": "Standard_D4s_v5"}},),
    ),
    "a region where this subscription may use no size": Ahead(
        ("preflight/vm_sizes: No size of that kind",),
        by_hand=lambda ground: ground.azure.settings(
            vm_sizes=[{"region": "canadacentral", "family": "*", "restricted": "location"}]
        ),
        then=({"region": "westus3"},),
    ),
    # --- a subnet of one's own ---
    "a subnet of another subscription": Ahead(
        ("preflight/subnet: Give a subnet of the environment's",), subnet_of_another_subscription, (subnet(),)
    ),
    "a subnet that isn't there": Ahead(("preflight/subnet: Give the ID that",), no_such_subnet, (subnet(),)),
    "a subnet that is too small": Ahead(
        ("preflight/subnet: Give a larger subnet",),
        subnet("10.8.0.0/29"),
        (
            subnet(),
            both(
                subnet("10.8.0.0/28"),
                {"system_pool": {"max_count": 3}, "postgres_pool": {"min_count": 3, "max_count": 4}},
            ),
        ),
    ),
    "a subnet in another region": Ahead(
        ("preflight/subnet: Give a subnet of that region",),
        subnet(region="westus3"),
        (both(subnet(region="westus3"), {"region": "westus3"}), {}),
    ),
    "a subnet of a service": Ahead(
        ("preflight/subnet: Give one without delegation",),
        subnet(**delegated_to("Microsoft.ContainerInstance/containerGroups")),
        (subnet(),),
    ),
    "a subnet where the services are": Ahead(
        ("preflight/subnet: Give a subnet of a network that",), subnet("10.0.8.0/24"), (subnet(),)
    ),
    "a subnet where the pods are": Ahead(
        ("preflight/subnet: Give a subnet that keeps clear",), subnet("10.244.8.0/24"), (subnet(),)
    ),
    "no right to join the subnet": Ahead(
        ("preflight/subnet: Give it Network Contributor",),
        both(subnet(), {"roles": "verify"}),
        (both(subnet(), {"roles": "verify"}),),
        by_hand=be("Reader"),
        does=be("Contributor"),
    ),
    # --- what the operator is installed from ---
    "a text that should be a number": Ahead(
        ("preflight/operator_check: Give it like that",),
        chart(replicaCount="two"),
        (chart(replicaCount=2),),
        helm=True,
    ),
    "a number that should be a text": Ahead(
        ("preflight/operator_check: Put it in quotes",),
        chart(config={"data": {"CLUSTERS_ROLLOUT_DELAY": 60}}),
        (chart(config={"data": {"CLUSTERS_ROLLOUT_DELAY": "60"}}),),
        helm=True,
    ),
    "values that the chart doesn't take": Ahead(
        ("kubernetes/helm: Change them",),
        chart(schema=SCHEMA, replicaCount=0),
        (chart(schema=SCHEMA, replicaCount=2),),
        helm=True,
    ),
    "a chart of another version": Ahead(
        ("kubernetes/operator_chart: Give the chart of that version",),
        chart(another("version: 0.29.0", "version: 0.28.0")),
        (
            chart(),
            chart(another("version: 0.29.0", "version: 0.28.0"), more={"chart_version": "0.28.0"}),
        ),
        helm=True,
    ),
    "a chart that is none": Ahead(
        ("kubernetes/operator_chart: Give the .tgz",),
        chart(archive_of(**{"values.yaml": "{}"})),
        (chart(),),
        helm=True,
    ),
    "a host that doesn't answer for the operator's file": Ahead(
        ("preflight/operator_check: Run again",),
        {"operator": {"manifest_url": f"{DEAD}/operator.yaml", "manifest_sha256": "0" * 64}},
        ({},),
    ),
    "a host that hasn't the operator's file": answered(404),
    "a host that has too many requests for the operator's file": answered(429),
    # --- what backups need in the cluster ---
    "a plugin's file that is no manifest": Ahead(
        ("preflight/components_check: Set them to a release",), components(b"<html>: ["), (components(),)
    ),
    "a plugin's file with a number for a text": Ahead(
        ("preflight/components_check: Use another file",), components(WRONG), (components(),)
    ),
    "a host that doesn't answer for the plugin's file": Ahead(
        ("preflight/components_check: Run again",),
        dead_components,
        (components(),),
    ),
}
QUICK = {"a region without the redundancy", "a subnet that is too small"}


def walks() -> list[Any]:
    return [
        pytest.param(
            name,
            marks=[
                *([] if name in QUICK else [pytest.mark.thorough]),
                *([needs_helm] if walk.helm else []),
            ],
        )
        for name, walk in AHEAD.items()
    ]


@pytest.mark.parametrize("name", walks())
async def test_what_the_preflight_says_to_do_is_what_it_takes(
    azure: SandboxProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    walk, ground = AHEAD[name], Ground(azure, tmp_path, monkeypatch)

    async def look(fields: Fields) -> None:
        spec = spec_for(azure, **(fields(ground) if callable(fields) else fields))
        async with run_session(spec):
            await preflight.fn(spec)

    walk.by_hand(ground)
    with pytest.raises(PreflightFailed) as refused:
        await look(walk.spec)
    for way in walk.ways:
        assert matches(way, str(refused.value)), f"{way} isn't told:\n{refused.value}"
    walk.does(ground)
    for fields in walk.then or (walk.spec,):
        await look(fields)
