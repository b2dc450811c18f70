"""A change of any field of the spec is named by the plan as the spec names it, or refused so."""

import copy
import hashlib
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import pytest_asyncio
import requests

from aks_postgres.cli.spec_options import SpecField, spec_fields
from aks_postgres.errors import ProvisioningError
from aks_postgres.flows.plan import make_view
from aks_postgres.reports.outputs import EnvironmentOutputs, value_text
from aks_postgres.runs.plan_lines import Line, plan_lines
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.problems import spec_from
from azure_sandbox.client import SandboxProcess

from ..conftest import point_at, spec_for
from ..tasks.test_operator_chart import needs_helm, packed
from ..tasks.world import Json
from .conftest import writes
from .database_state import components, with_database
from .stage import Stage

SOMEBODY = "5f5d7e4e-3f0c-4b38-9b6a-0f7c34b8a001"
OPERATOR_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZvbwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA me"

# Values that can't be told from the type alone; the rest is drawn from it.
OTHERS: dict[str, Any] = {
    "name": "other",
    "region": "westus3",
    "subscription_id": "11111111-2222-4333-8444-555555555555",
    "suffix": "abcd1234",
    "adopt": "rg-of-others",
    "ignore_changes": ["Managed Grafana.properties.apiKey"],
    "network.authorized_ip_ranges": ["20.60.0.0/24"],
    "network.worker_address": "20.60.0.1",
    "network.subnet_id": f"/subscriptions/{SOMEBODY}/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v"
    "/subnets/s",
    "cluster.kubernetes_version": "1.34",
    "cluster.ssh_public_key": OPERATOR_KEY,
    "system_pool.name": "otherpool",
    "postgres_pool.name": "otherpool",
    "system_pool.vm_size": "Standard_D8s_v5",
    "postgres_pool.vm_size": "Standard_D8s_v5",
    "system_pool.zones": ["1", "2"],
    "postgres_pool.zones": ["1", "2"],
    "storage.container": "others",
    "storage.immutability_days": 30,
    "namespaces.database": "other-database",
    "namespaces.operator": "other-operator",
    "operator.version": "1.29.1",
    "operator.manifest_sha256": "0" * 64,
    "operator.chart_version": "0.28.1",
    "operator.chart_sha256": "0" * 64,
    "database.name": "shop-db",
    "database.postgres_version": "18.4",
    "database.image": "ghcr.io/shop/postgresql:18.6-own",
    "database.instances": 5,
    "database.storage.wal_size_gib": 20,
    "database.storage.iops": 4000,
    "database.storage.throughput_mbps": 200,
    "database.parameters": {"max_connections": "300"},
    "database.databases": ["shop"],
    "database.owner": "shop",
    "database.roles": [{"name": "reader", "in_roles": ["pg_read_all_data"]}],
    "database.pooler.parameters": {"max_client_conn": "500"},
    "database.backup.schedule": "0 0 3 * * *",
    "database.access.source_ranges": ["20.51.0.0/16"],
    "database.access.dns_label": "shop-db",
    "database.components.cert_manager_manifest_sha256": "0" * 64,
    "database.components.plugin_version": "0.13.0",
    "database.components.plugin_manifest_sha256": "0" * 64,
}
# What a rule over two fields asks for besides.
ALSO: dict[str, dict[str, Any]] = {
    "network.add_worker_address": {"network.authorized_ip_ranges": ["20.51.0.0/16"]},
    "operator.chart": {"operator.installer": "helm"},
    "operator.chart_version": {"operator.installer": "helm", "operator.chart_sha256": "0" * 64},
    "operator.chart_sha256": {"operator.installer": "helm"},
    "operator.chart_values": {"operator.installer": "helm"},
    "database.backup.engine": {"database.backup.data_may_be_lost": True},
    "database.backup.data_may_be_lost": {"database.backup.engine": "none"},
    "database.not_highly_available": {"database.instances": 2, "database.durability": "preferred"},
    "database.sync_replicas": {"database.instances": 5},
    "database.durability": {"database.failover_quorum": False},
    "database.storage.iops": {"database.storage.storage_class": "premium_ssd_v2"},
    "database.storage.throughput_mbps": {"database.storage.storage_class": "premium_ssd_v2"},
    "database.access.source_ranges": {"database.access.kind": "public_load_balancer"},
    "database.access.dns_label": {
        "database.access.kind": "public_load_balancer",
        "database.access.source_ranges": ["20.51.0.0/16"],
    },
}
FIELDS = {field.path: field for field in spec_fields()}
OFTEN = ("postgres_pool.max_count", "database.instances")
# What comes as a file: the same bytes from elsewhere.
FILES = (
    "operator.manifest_url",
    "operator.chart",
    "database.components.cert_manager_manifest_url",
    "database.components.plugin_manifest_url",
)
OFTEN_OF_A_DATABASE = ("database.memory_gib",)


def another(field: SpecField) -> Any:
    """A value that isn't the default."""
    if field.path in OTHERS:
        return OTHERS[field.path]
    kind, default = field.info.annotation, field.default
    if kind is bool:
        return not default
    if kind is int:
        return default + 1
    if get_origin(kind) is dict:
        return {**default, "team": "data"}
    if get_origin(kind) is list:
        return [{"object_id": SOMEBODY, "type": "Group"}]
    return next(choice for choice in get_args(kind) if choice != default)


def stand_ins(azure: SandboxProcess, path: str, folder: Path) -> dict[str, Any]:
    """What a run of the sandbox installs in place of what it would download; charts are of this repository."""
    found: dict[str, Any] = {}
    if path.startswith("operator.chart") or path == "operator.installer":
        chart = folder / "chart.tgz"
        chart.write_bytes(packed())
        found = {
            "operator.chart": str(chart),
            "operator.chart_sha256": hashlib.sha256(chart.read_bytes()).hexdigest(),
        }
    else:
        found = {
            f"operator.manifest_{part}": azure.description[f"operator_manifest_{part}"]
            for part in ("url", "sha256")
        }
    if path.startswith("database."):
        found |= {f"database.components.{name}": value for name, value in components(azure).items()}
    return found


def elsewhere(azure: SandboxProcess, url: str, folder: Path) -> str:
    """The same file on the worker's disk."""
    if Path(url).exists():
        data = Path(url).read_bytes()
    else:
        data = requests.get(url, verify=azure.description["ca_file"], timeout=30).content
    file = folder / "elsewhere"
    file.write_bytes(data)
    return str(file)


def spec_with(azure: SandboxProcess, path: str, folder: Path) -> tuple[EnvironmentSpec, Any]:
    """The default environment with another value in one field, and that value."""
    stand_in = stand_ins(azure, path, folder)
    value = elsewhere(azure, stand_in[path], folder) if path in FILES else another(FIELDS[path])
    return spec_of({**stand_in, **ALSO.get(path, {}), path: value}), value


def spec_of(values: dict[str, Any]) -> EnvironmentSpec:
    """The default environment with these values, by their paths."""
    given: Json = {}
    for name, one in values.items():
        *groups, field = name.split(".")
        holder = given
        for group in groups:
            holder = holder.setdefault(group, {})
        holder[field] = one
    return spec_from(given)


async def told_of(spec: EnvironmentSpec) -> tuple[list[Line], str]:
    """The plan's lines, or what refuses to make one."""
    try:
        return plan_lines(await make_view(spec)), ""
    except ProvisioningError as refused:
        return [], str(refused)


async def look(azure: SandboxProcess, state: Json, path: str, folder: Path) -> None:
    """Plan with another value in a field, and see that it is told of, or refused."""
    azure.control("PUT", "state", state)
    since = len(azure.ledger())
    spec, value = spec_with(azure, path, folder)
    lines, refusal = await told_of(spec)
    assert writes(azure.ledger()[since:]) == []
    if refusal:
        assert path in refusal
        return
    is_refused = any(line.action == "can't" for line in lines)
    names = (path, *ALSO.get(path, ())) if is_refused else (path,)
    told = [line for line in lines if any(name in line.text for name in names)]
    assert told, [line.text for line in lines]
    last = list(value.values())[-1] if isinstance(value, dict) else value
    shown = value_text(SOMEBODY if SOMEBODY in str(value) else last)
    is_cut = len(shown) > 20 and len(lines) == 1
    assert is_refused or is_cut or any(shown in line.text for line in told), (shown, told)


def cases(paths: list[str], often: tuple[str, ...]) -> list[Any]:
    def marks(path: str) -> list[Any]:
        helm = path.startswith("operator.chart") or path == "operator.installer"
        return [*([] if path in often else [pytest.mark.thorough]), *([needs_helm] if helm else [])]

    return [pytest.param(path, marks=marks(path)) for path in paths]


@pytest.mark.parametrize("path", cases(list(FIELDS), OFTEN))
async def test_the_plan_names_the_field_and_its_value(stage: Stage, path: str, tmp_path: Path) -> None:
    await look(stage.azure, stage.state, path, tmp_path)


@pytest_asyncio.fixture(scope="module")
async def with_a_database(
    sandbox_process: SandboxProcess,
    built: tuple[EnvironmentOutputs, Json],
    tmp_path_factory: pytest.TempPathFactory,
) -> Json:
    """The sandbox's state with a finished environment that has a default database."""
    outputs, state = built
    sandbox_process.reset()
    with pytest.MonkeyPatch.context() as patch:
        point_at(sandbox_process, patch)
        sandbox_process.control("PUT", "state", copy.deepcopy(state))
        return await with_database(sandbox_process, outputs, tmp_path_factory.mktemp("person"))


OF_A_DATABASE = [path for path in FIELDS if path.startswith("database.")]


@pytest.mark.parametrize("path", cases(OF_A_DATABASE, OFTEN_OF_A_DATABASE))
async def test_the_plan_names_the_field_of_a_database_that_is_there(
    with_a_database: Json, azure: SandboxProcess, path: str, tmp_path: Path
) -> None:
    await look(azure, with_a_database, path, tmp_path)


async def test_a_finished_database_is_one_line(with_a_database: Json, azure: SandboxProcess) -> None:
    azure.control("PUT", "state", with_a_database)
    lines = plan_lines(await make_view(spec_for(azure, database={"components": components(azure)})))
    assert [line.kind for line in lines] == ["total"]
    assert "nothing to do" in lines[0].text


def test_every_field_has_another_value_that_a_spec_takes() -> None:
    """Or the thorough cases above would fail with a new field, long after it came."""
    # A version contradicts the other one's checksum.
    own = {
        "operator.version": {"operator.manifest_sha256": "0" * 64},
        "database.components.plugin_version": {"database.components.plugin_manifest_sha256": "0" * 64},
    }
    for path in FIELDS.keys() - {*FILES}:
        value = another(FIELDS[path])
        assert value != FIELDS[path].default, path
        spec_of({**own.get(path, {}), **ALSO.get(path, {}), path: value})
