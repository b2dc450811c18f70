"""A change of any field of the spec is named by the plan as the spec names it, or refused so."""

from typing import Any, get_args, get_origin

import pytest

from aks_postgres.cli.spec_options import SpecField, spec_fields
from aks_postgres.errors import ProvisioningError
from aks_postgres.flows.plan import make_view
from aks_postgres.runs.plan_lines import Line, plan_lines, value_text
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.problems import SpecError, spec_from
from azure_sandbox.client import SandboxProcess

from .conftest import writes
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
    "namespaces.database": "other-database",
    "namespaces.operator": "other-operator",
    "operator.version": "1.29.1",
    "operator.manifest_url": "./elsewhere.yaml",
    "operator.manifest_sha256": "0" * 64,
    "operator.chart": "./elsewhere.tgz",
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
    "database.backup.schedule": "0 0 3 * * *",
    "database.access.source_ranges": ["20.51.0.0/16"],
    "database.access.dns_label": "shop-db",
    "database.components.cert_manager_manifest_url": "./elsewhere.yaml",
    "database.components.cert_manager_manifest_sha256": "0" * 64,
    "database.components.plugin_version": "0.13.0",
    "database.components.plugin_manifest_url": "./elsewhere.yaml",
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
    "database.storage.iops": {"database.storage.storage_class": "premium_ssd_v2"},
    "database.storage.throughput_mbps": {"database.storage.storage_class": "premium_ssd_v2"},
    "database.access.source_ranges": {"database.access.kind": "public_load_balancer"},
    "database.access.dns_label": {
        "database.access.kind": "public_load_balancer",
        "database.access.source_ranges": ["20.51.0.0/16"],
    },
}
FIELDS = {field.path: field for field in spec_fields()}
OFTEN = ("postgres_pool.max_count",)


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


def spec_with(azure: SandboxProcess, path: str) -> EnvironmentSpec:
    stand_in = (
        {}
        if path.startswith("operator.") and path != "operator.version"
        else {
            "operator.manifest_url": azure.description["operator_manifest_url"],
            "operator.manifest_sha256": azure.description["operator_manifest_sha256"],
        }
    )
    if path.startswith("database."):
        stand_in |= {
            f"database.components.{name}_manifest_{part}": azure.description[f"{name}_manifest_{part}"]
            for name in ("cert_manager", "plugin")
            for part in ("url", "sha256")
        }
    given: dict[str, Any] = {}
    for name, value in {**stand_in, **ALSO.get(path, {}), path: another(FIELDS[path])}.items():
        *groups, field = name.split(".")
        holder = given
        for group in groups:
            holder = holder.setdefault(group, {})
        holder[field] = value
    return spec_from(given)


async def told_of(azure: SandboxProcess, path: str) -> tuple[list[Line], str]:
    """The plan's lines, or what refuses to make one."""
    try:
        return plan_lines(await make_view(spec_with(azure, path))), ""
    except (SpecError, ProvisioningError) as refused:
        return [], str(refused)


@pytest.mark.parametrize(
    "path", [path if path in OFTEN else pytest.param(path, marks=pytest.mark.thorough) for path in FIELDS]
)
async def test_the_plan_names_the_field_and_its_value(stage: Stage, path: str) -> None:
    stage.azure.control("PUT", "state", stage.state)
    since = len(stage.azure.ledger())
    value = another(FIELDS[path])
    lines, refusal = await told_of(stage.azure, path)
    assert writes(stage.azure.ledger()[since:]) == []
    if refusal:
        assert path in refusal
        return
    is_refused = any(line.action == "can't" for line in lines)
    names = (path, *ALSO.get(path, ())) if is_refused else (path,)
    told = [line for line in lines if any(name in line.text for name in names)]
    assert told, [line.text for line in lines]
    shown = value_text(SOMEBODY if SOMEBODY in str(value) else "data" if isinstance(value, dict) else value)
    is_cut = len(shown) > 20 and len(lines) == 1
    assert is_refused or is_cut or any(shown in line.text for line in told), (shown, told)


def test_every_field_has_another_value() -> None:
    assert [path for path, field in FIELDS.items() if another(field) == field.default] == []
