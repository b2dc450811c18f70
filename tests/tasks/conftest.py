"""The environment that each test of a step builds, on a sandbox whose operations last moments."""

from typing import Any

import pytest

from aks_postgres.reports.journal import Journal
from aks_postgres.reports.outputs import CheckedTarget
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for
from .resources import STEPS
from .world import World

# Sandbox seconds. Steps wait for operations as ever, only not for minutes; a test of waiting asks for more.
MOMENTS = {
    "aks_authorized_ranges": 1,
    "aks_cluster_create": 5,
    "aks_cluster_create_answer": 0,
    "aks_cluster_update": 5,
    "aks_monitoring_pods": 1,
    "aks_node_group_visible": 1,
    "aks_pool_add": 5,
    "aks_pool_update": 5,
    "aks_write_answer": 0,
    "grafana_create": 5,
    "grafana_update": 5,
    "log_workspace_create": 5,
    "log_workspace_tables_ready": 0,
    "monitor_workspace_create": 1,
    "storage_account_create": 5,
}


@pytest.fixture
def azure(azure: SandboxProcess) -> SandboxProcess:
    """The empty sandbox, where nothing happens that no test asked for."""
    azure.settings(durations=MOMENTS, spontaneous_operations=False, autoscaler=False)
    return azure


def place_for(azure: SandboxProcess, spec: EnvironmentSpec, **other: Any) -> CheckedTarget:
    """What the preflight finds in an empty sandbox."""
    facts: dict[str, Any] = {
        "subscription_id": azure.subscription_id,
        "subscription_name": azure.description["subscription_name"],
        "tenant_id": azure.tenant_id,
        "caller_object_id": azure.object_id,
        "caller_type": "ServicePrincipal",
        "generation": 1,
        "names": Names.of(spec, azure.subscription_id, 1),
        "kubernetes_version": "1.35.2",
        "authorized_ip_ranges": ("20.51.7.9/32",),
        "worker_address": "20.51.7.9",
        "missing_providers": (),
        "warnings": (),
    }
    return CheckedTarget(**facts | other)


@pytest.fixture
def world(azure: SandboxProcess, journal: Journal, spec: EnvironmentSpec) -> World:
    """The default environment, of which nothing exists yet."""
    return World(azure, journal, spec, place_for(azure, spec), STEPS)


def world_with(world: World, **fields: Any) -> World:
    """The same environment by another spec."""
    spec = spec_for(world.azure, **fields)
    return World(world.azure, world.journal, spec, place_for(world.azure, spec), STEPS, world.made)
