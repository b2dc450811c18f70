"""Environments that lack something which every check finds in order: a right, CRDs, an identity, the machines."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from aks_postgres.arm.errors import AzureRefused, NotEffectiveYet
from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import provision
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.reports.outputs import EnvironmentOutputs
from azure_sandbox.client import SandboxProcess

from ..cases import shown
from ..conftest import spec_for
from .conftest import writes
from .stage import API_VERSIONS, delete, kube_for

pytestmark = pytest.mark.usefixtures("prefect_api")

KEY = "cnpg-canadacentral"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PODS = "/api/v1/namespaces/cnpg-system/pods"


def _nothing(_azure: SandboxProcess, _made: EnvironmentOutputs) -> None: ...


def _a_role_is_gone(azure: SandboxProcess, made: EnvironmentOutputs) -> None:
    path = f"{made.storage_account.id}/providers/Microsoft.Authorization/roleAssignments"
    found = azure.arm("GET", path, api_version=API_VERSIONS["roleAssignments"]).json()["value"]
    (role,) = [one["id"] for one in found if one["properties"]["principalId"] == made.identity.principal_id]
    delete(azure, role, API_VERSIONS["roleAssignments"])


@dataclass(frozen=True)
class Denied:
    """A right that the list of permissions shows and the write doesn't have."""

    words: tuple[str, ...]
    operations: tuple[str, ...]
    before: Callable[[SandboxProcess, EnvironmentOutputs], None] = _nothing


DENIED = {
    "role-assignment-condition": Denied(
        ("AuthorizationFailed", "ABAC condition", "has a condition, and it doesn't allow this role"),
        ("RoleAssignments_Create",),
        _a_role_is_gone,
    ),
    "linked-scope-denied": Denied(
        (
            "AKS cluster aks-",
            "LinkedAuthorizationFailed",
            "Give the caller the action that the message names",
        ),
        ("ManagedClusters_CreateOrUpdate",),
    ),
    "right-expires": Denied(
        ("Managed Grafana", "AuthorizationFailed", "Give the caller the role that holds this action"),
        ("Grafana_Create", "AgentPools_CreateOrUpdate"),
    ),
}


@pytest.mark.parametrize("name", shown(DENIED, first=0))
async def test_a_right_that_only_the_write_lacks_is_told_at_once_and_a_rerun_goes_on(
    azure: SandboxProcess, environment: EnvironmentOutputs, name: str
) -> None:
    denied = DENIED[name]
    denied.before(azure, environment)
    azure.control("POST", "scenarios", {"name": name})
    spec = spec_for(azure, tags={"team": "x"})
    since = len(azure.ledger())
    with pytest.raises(AzureRefused) as refused:
        await provision(spec)
    for words in denied.words:
        assert words in str(refused.value)
    sent = [entry["path"] for entry in writes(azure.ledger()[since:]) if entry["status"] == 403]
    assert sent
    assert len(sent) == len(set(sent))  # each once

    azure.control("DELETE", "faults")
    await provision(spec)
    assert (await make_plan(spec, recorded=False)).is_empty


@pytest.mark.thorough
async def test_an_operator_that_crashes_without_its_definitions_gets_them_back(
    azure: SandboxProcess, environment: EnvironmentOutputs, tmp_path: Path
) -> None:
    kube = kube_for(azure, environment, tmp_path)
    for kind in ("poolers", "scheduledbackups"):
        kube.delete(f"{DEFINITIONS}/{kind}.postgresql.cnpg.io")
    for pod in (kube.get(PODS) or {})["items"]:
        kube.delete(f"{PODS}/{pod['metadata']['name']}")

    def crashes() -> bool:
        pods = (kube.get(PODS) or {})["items"]
        return any("CrashLoopBackOff" in str(pod.get("status")) for pod in pods)

    kube.until(crashes)
    spec = spec_for(azure)
    planned = {step.step: step for step in (await make_plan(spec, recorded=False)).steps}
    assert {field.field for field in planned["cnpg_operator"].fields} == {
        f"CustomResourceDefinition {kind}.postgresql.cnpg.io" for kind in ("poolers", "scheduledbackups")
    }
    outputs = await provision(spec)
    assert outputs.changes["cnpg_operator"].kind in ("created", "updated")
    assert (await make_plan(spec, recorded=False)).is_empty
    assert not crashes()


@pytest.mark.thorough
async def test_a_cluster_gets_its_new_identity_before_a_pool_is_written(
    azure: SandboxProcess, environment: EnvironmentOutputs
) -> None:
    """A pool's write fails while the cluster has an identity that is gone."""
    delete(azure, environment.identity.id, API_VERSIONS["userAssignedIdentities"])
    spec = spec_for(azure, postgres_pool={"max_count": 5})
    planned = {step.step: step.action for step in (await make_plan(spec, recorded=False)).steps}
    assert (planned["managed_identity"], planned["cluster"], planned["node_pool"]) == (
        "create",
        "update",
        "update",
    )
    since = len(azure.ledger())
    outputs = await provision(spec)
    assert outputs.postgres_pool.change.kind == "updated"
    sent = [entry["operation"] for entry in writes(azure.ledger()[since:])]
    cluster, pool = sent.index("ManagedClusters_CreateOrUpdate"), sent.index("AgentPools_CreateOrUpdate")
    assert cluster < pool
    assert (await make_plan(spec, recorded=False)).is_empty


@pytest.mark.thorough
async def test_a_node_group_deleted_by_hand_is_named_and_the_rest_can_be_torn_down(
    azure: SandboxProcess, environment: EnvironmentOutputs
) -> None:
    group = environment.cluster.node_resource_group_id
    delete(azure, group, API_VERSIONS["resourceGroups"])
    azure.step(2000)
    spec = spec_for(azure)
    words = "has lost its node resource group"
    found = await make_plan(spec, recorded=False)
    assert words in " ".join(step.reason or "" for step in found.refusals)
    with pytest.raises(PreflightFailed, match=words):
        await provision(spec)
    receipt = await tear_down(spec, confirm=KEY)
    assert environment.cluster.id in {item.id for item in receipt.deleted}


@pytest.mark.thorough
async def test_a_cluster_that_cant_be_started_is_told_with_azures_reason_and_started_when_it_can(
    azure: SandboxProcess, environment: EnvironmentOutputs
) -> None:
    cluster = environment.cluster.id
    assert (
        azure.arm("POST", f"{cluster}/stop", api_version=API_VERSIONS["managedClusters"]).status_code == 202
    )
    azure.step(1000)
    azure.control("POST", "scenarios", {"name": "start-without-capacity"})
    spec = spec_for(azure, cluster={"if_stopped": "start"})
    since = len(azure.ledger())
    with pytest.raises(NotEffectiveYet) as refused:
        await provision(spec)
    for words in ("AKS cluster aks-", "ZonalAllocationFailed", "no capacity for this VM size"):
        assert words in str(refused.value)
    starts = [e for e in writes(azure.ledger()[since:]) if e["operation"] == "ManagedClusters_Start"]
    assert 2 <= len(starts) <= 12  # the capacity rule's four tries, in each of the step's three attempts
    assert {e["operation"] for e in writes(azure.ledger()[since:])} & {
        "ManagedClusters_CreateOrUpdate"
    } == set()

    azure.control("DELETE", "faults")
    await provision(spec)
    live = azure.arm("GET", cluster, api_version=API_VERSIONS["managedClusters"]).json()["properties"]
    assert live["powerState"] == {"code": "Running"}
