"""What isn't known isn't empty: every list that a deleting flow reads, and every way for it to be no list.

Each lie is told about what would have stopped the tear-down: it must be refused all the same, naming the list.
"""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from aks_postgres.arm.client import current_azure
from aks_postgres.arm.response_checks import is_list
from aks_postgres.errors import PermanentError, ProvisioningError
from aks_postgres.flows.provision import provision
from aks_postgres.flows.rebuild import rebuild
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.resources.group_contents import contents_of
from aks_postgres.resources.role_assignments import ROLE_NAMES, Grant, assigned
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.tear_down.errors import TearDownRefused
from azure_sandbox.client import SandboxProcess

from ..cases import shown
from ..tasks.kube import Kube
from .conftest import writes
from .stage import kube_for, put
from .test_tear_down import CLAIMS, IDENTITIES, KEY, LOCKS, claim, lock, make_database

pytestmark = pytest.mark.usefixtures("prefect_api")

Json = dict[str, Any]
Run = Callable[[EnvironmentSpec], Awaitable[Any]]

FLOWS: dict[str, Run] = {
    "tear_down": lambda spec: tear_down(spec, KEY),
    "rebuild replace": lambda spec: rebuild(spec, KEY, strategy="replace"),
    "rebuild blue_green": lambda spec: rebuild(spec, KEY, strategy="blue_green"),
}

# By what the sandbox calls them: what the refusal calls the list, and what the list would have shown that stops it.
Hazard = Literal["resource", "lock", "database", "volume", ""]
ARM: dict[str, tuple[str, Hazard]] = {
    "ResourceGroups_List": ("resource groups", ""),
    "DeletedWorkspaces_List": ("deleted Log Analytics workspaces", ""),
    "Permissions_ListForResource": ("the caller's permissions", ""),
    "Resources_ListByResourceGroup": ("resources in rg-", "resource"),
    "ManagementLocks_ListByScope": ("locks", "lock"),
    "DenyAssignments_ListForScope": ("deny assignments", ""),
    "RoleAssignments_ListForScope": ("role assignments on ", ""),
}
KUBERNETES: dict[str, tuple[str, Hazard]] = {
    "list clusters.postgresql.cnpg.io": ("/apis/postgresql.cnpg.io/v1/clusters", "database"),
    "list backups.postgresql.cnpg.io": ("/apis/postgresql.cnpg.io/v1/backups", "database"),
    "list persistentvolumeclaims": ("/api/v1/persistentvolumeclaims", "volume"),
    "list persistentvolumes": ("/api/v1/persistentvolumes", "volume"),
    "list services": ("/api/v1/services", ""),
    "list nodes": ("/api/v1/nodes", ""),
}
# First met after the first deletion.
LATE = ("RoleAssignments_ListForScope",)

STATUS = {"kind": "Status", "apiVersion": "v1", "status": "Success", "metadata": {}}
ARM_LIES: dict[str, Any] = {
    "{}": {},
    "null": None,
    "[]": [],
    "a Status": STATUS,
    "another key": {"items": []},
    "null entries": {"value": None},
    "an object of entries": {"value": {}},
    "an array of nulls": {"value": [None]},
    "an array of arrays": {"value": [[]]},
    "entries of another kind": {"value": [{"kind": "Pod", "tags": 7}]},
    "an error": {"error": {"code": "InternalServerError", "message": "x"}},
    "a next page that is a number": {"value": [], "nextLink": 7},
}
KINDS = {
    "clusters": "Cluster",
    "backups": "Backup",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "persistentvolumes": "PersistentVolume",
    "services": "Service",
    "nodes": "Node",
    "deployments": "Deployment",
    "objectstores": "ObjectStore",
    "volumesnapshots": "VolumeSnapshot",
    "volumesnapshotcontents": "VolumeSnapshotContent",
}


def kubernetes_lies(path: str) -> dict[str, Any]:
    kind = KINDS[path.rpartition("/")[2]]
    version = path.removeprefix("/apis/").removeprefix("/api/").rpartition("/")[0]
    good = {"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": []}
    return {
        "{}": {},
        "null": None,
        "[]": [],
        "a Status": STATUS,
        "another kind": good | {"kind": "PodList"},
        "another version": good | {"apiVersion": "v7"},
        "no kind": {"metadata": {}, "items": []},
        "null items": good | {"items": None},
        "an object of items": good | {"items": {}},
        "an array of nulls": good | {"items": [None]},
        "an array of objects without a name": good | {"items": [{"metadata": {}}]},
        "an item of another kind": good | {"items": [{"kind": "Pod", "metadata": {"name": "x"}}]},
        "first page only": good | {"metadata": {"continue": "more", "remainingItemCount": 3}},
        "a page that says that more is left, and not where": good | {"metadata": {"remainingItemCount": 3}},
        "a next page that is a number": good | {"metadata": {"continue": 7}},
    }


# `make test` tells these; `make test-thorough` all.
SHOWN = {
    ("ResourceGroups_List", "another key"),
    ("Resources_ListByResourceGroup", "{}"),
    ("ManagementLocks_ListByScope", "null entries"),
    ("list clusters.postgresql.cnpg.io", "first page only"),
    ("list backups.postgresql.cnpg.io", "another kind"),
    ("list persistentvolumeclaims", "{}"),
}


def case(operation: str, lie: str) -> Any:
    marks = [] if (operation, lie) in SHOWN else [pytest.mark.thorough]
    return pytest.param(operation, lie, id=f"{operation}: {lie}", marks=marks)


CASES = [
    *(case(operation, lie) for operation in ARM for lie in ARM_LIES),
    *(case(operation, lie) for operation, (path, _) in KUBERNETES.items() for lie in kubernetes_lies(path)),
]


def tell(azure: SandboxProcess, operation: str, lie: str, times: int = 100_000) -> None:
    body = ARM_LIES[lie] if operation in ARM else kubernetes_lies(KUBERNETES[operation][0])[lie]
    headers = {"content-type": "application/json"}
    azure.fault(
        {"status": 200, "raw_body": json.dumps(body), "headers": headers},
        operation=re.escape(operation),
        times=times,
    )


def endanger(azure: SandboxProcess, made: EnvironmentOutputs, kube: Kube, hazard: Hazard) -> None:
    """Put there what the list would have shown."""
    group = made.resource_group.id
    if hazard == "resource":
        put(
            azure,
            f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mi-theirs",
            IDENTITIES,
            {"location": "canadacentral"},
        )
    elif hazard == "lock":
        put(azure, f"{group}/providers/Microsoft.Authorization/locks/keep", LOCKS, lock("CanNotDelete"))
    elif hazard == "database":
        make_database(kube)
    elif hazard == "volume":
        kube.create(CLAIMS.format("cnpg-database"), claim("orphan"))


def deletions(azure: SandboxProcess, since: int) -> list[Json]:
    return [one for one in writes(azure.ledger()[since:]) if one["method"] == "DELETE"]


async def test_every_list_of_the_deleting_flows_is_here(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    since = len(azure.ledger())
    await tear_down(spec, KEY)
    lists = {
        one["operation"]
        for one in azure.ledger()[since:]
        # Of a kind that the cluster doesn't have there is no list; its definition is asked for.
        if one["method"] == "GET"
        and one["status"] == 200
        and (
            one["operation"].startswith("list ")
            if one["service"] == "kubernetes"
            else one["service"] == "arm" and is_list(one["path"].strip("/").casefold().split("/"))
        )
    }
    assert lists == ARM.keys() | KUBERNETES.keys()


@pytest.mark.parametrize(("operation", "lie"), CASES)
async def test_no_list_is_no_empty_list(
    azure: SandboxProcess,
    spec: EnvironmentSpec,
    environment: EnvironmentOutputs,
    tmp_path: Path,
    operation: str,
    lie: str,
) -> None:
    name, hazard = (ARM | KUBERNETES)[operation]
    endanger(azure, environment, kube_for(azure, environment, tmp_path), hazard)
    tell(azure, operation, lie)
    since = len(azure.ledger())
    with pytest.raises(ProvisioningError) as refused:
        await tear_down(spec, KEY)
    assert name in str(refused.value)
    assert "UnreadableAnswer" in str(refused.value) or "EndlessList" in str(refused.value)
    gone = deletions(azure, since)
    if operation in LATE:
        # No more than without the lie, and the group with everything in it stays.
        assert "ResourceGroups_Delete" not in {one["operation"] for one in gone}
    else:
        assert gone == []


@pytest.mark.thorough
@pytest.mark.parametrize("flow", ["rebuild replace", "rebuild blue_green"])
@pytest.mark.parametrize(("operation", "lie"), CASES)
async def test_no_list_is_no_empty_list_for_a_rebuild(
    azure: SandboxProcess,
    spec: EnvironmentSpec,
    environment: EnvironmentOutputs,
    tmp_path: Path,
    operation: str,
    lie: str,
    flow: str,
) -> None:
    _, hazard = (ARM | KUBERNETES)[operation]
    endanger(azure, environment, kube_for(azure, environment, tmp_path), hazard)
    tell(azure, operation, lie)
    since = len(azure.ledger())
    with pytest.raises(ProvisioningError):
        await FLOWS[flow](spec)
    if operation not in LATE:
        assert [one for one in deletions(azure, since) if one["service"] == "arm"] == []


@pytest.mark.parametrize("operation", shown([*ARM, *KUBERNETES], first=1))
async def test_a_lie_told_once_is_asked_about_again(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, operation: str
) -> None:
    tell(azure, operation, "{}", times=1)
    receipt = await tear_down(spec, KEY)
    assert receipt.failures == ()
    assert {"AKS cluster", "resource group"} <= {item.what for item in receipt.deleted}


# What a well-formed list leaves out.


async def test_a_group_that_isnt_listed_is_asked_for_by_its_name(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    azure.fault(well_formed([]), operation="ResourceGroups_List", times=100)
    since = len(azure.ledger())
    with pytest.raises(
        TearDownRefused, match=f"{environment.resource_group.name}: Azure's list of resource groups"
    ):
        await tear_down(spec, KEY)
    with pytest.raises(PermanentError, match="Azure's list of resource groups doesn't show it"):
        await rebuild(spec, KEY)
    assert writes(azure.ledger()[since:]) == []


async def test_a_resource_that_isnt_listed_in_its_group_is_asked_for_by_its_id(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    azure.fault(well_formed([]), operation="Resources_ListByResourceGroup", times=100)
    since = len(azure.ledger())
    with pytest.raises(TearDownRefused, match=f"{environment.cluster.name}: the list of what is in"):
        await tear_down(spec, KEY)
    assert writes(azure.ledger()[since:]) == []


def lose_second_page(azure: SandboxProcess, path: str) -> None:
    """Let a list have an empty first page, and a second one that isn't found."""
    lost = f"{azure.endpoint}{azure.subscription}/resourcegroups/page-2"
    azure.fault(well_formed([], nextLink=lost), path=path, times=None)
    azure.fault({"status": 404, "code": "ResourceGroupNotFound"}, path="/page-2$", times=None)


@pytest.mark.parametrize("missing", ["the list", "its second page"])
async def test_only_a_group_that_isnt_there_has_nothing_in_it(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, missing: str
) -> None:
    group, listed = environment.resource_group.name, f"^{environment.resource_group.id}/resources$"
    not_found = {"status": 404, "code": "ResourceGroupNotFound", "message": "It could not be found."}
    async with run_session(spec):
        if missing == "the list":
            azure.fault(not_found, path=listed, times=None)
        else:
            lose_second_page(azure, listed)
        with pytest.raises(ProvisioningError, match=f"^resources in {group}: "):
            await contents_of(current_azure(), group)
        azure.control("DELETE", "faults")
        assert await contents_of(current_azure(), "rg-that-never-was") == []


async def test_no_plan_takes_a_page_that_isnt_found_for_the_end_of_a_list(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    lose_second_page(azure, "/roleAssignments$")
    wanted = Grant(min(ROLE_NAMES), environment.resource_group.id, azure.object_id, "ServicePrincipal")
    async with run_session(spec, planning=True):
        with pytest.raises(ProvisioningError, match="the next page of a list"):
            await assigned(current_azure(), wanted)


async def test_recommended_rule_groups_are_read_to_their_last_page(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    lose_second_page(azure, "/alertRuleRecommendations$")
    with pytest.raises(ProvisioningError, match="recommended rule groups"):
        await provision(spec)


@pytest.mark.parametrize("hidden_in", ["subscription", "group"])
async def test_locks_are_asked_for_in_two_ways(
    azure: SandboxProcess,
    spec: EnvironmentSpec,
    environment: EnvironmentOutputs,
    tmp_path: Path,
    hidden_in: str,
) -> None:
    endanger(azure, environment, kube_for(azure, environment, tmp_path), "lock")
    of_subscription = f"^{azure.subscription}/providers/Microsoft.Authorization/locks$"
    of_groups = f"^{azure.subscription}/resourceGroups/[^/]+/providers/Microsoft.Authorization/locks$"
    azure.fault(
        well_formed([]),
        path=of_subscription if hidden_in == "subscription" else of_groups,
        method="GET",
        times=100,
    )
    since = len(azure.ledger())
    with pytest.raises(TearDownRefused, match="lock keep"):
        await tear_down(spec, KEY)
    assert writes(azure.ledger()[since:]) == []


async def test_a_disk_made_for_a_claim_that_isnt_listed_stops_it(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    node_group = environment.place.names.node_resource_group
    disk = f"{azure.subscription}/resourceGroups/{node_group}/providers/Microsoft.Compute/disks/pvc-1"
    tags = {
        "kubernetes.io-created-for-pvc-name": "pg-1",
        "kubernetes.io-created-for-pvc-namespace": "cnpg-database",
        "k8s-azure-created-by": "kubernetes-azure-dd",
    }
    shown = {"id": disk, "name": "pvc-1", "type": "Microsoft.Compute/disks", "tags": tags}
    azure.fault(
        well_formed([shown]),
        path=f"/resourceGroups/{re.escape(node_group)}/resources$",
        method="GET",
        times=100,
    )
    since = len(azure.ledger())
    with pytest.raises(
        TearDownRefused, match="pvc-1 was made for the PersistentVolumeClaim cnpg-database/pg-1"
    ):
        await tear_down(spec, KEY)
    assert writes(azure.ledger()[since:]) == []


@pytest.mark.parametrize("kind", shown(["clusters", "backups"], first=1))
async def test_a_kind_that_isnt_served_and_is_defined_is_no_empty_list(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, kind: str
) -> None:
    not_found = {
        "status": 404,
        "code": "NotFound",
        "message": "the server could not find the requested resource",
    }
    azure.fault(not_found, operation=f"list {kind}.postgresql.cnpg.io", times=100)
    since = len(azure.ledger())
    with pytest.raises(TearDownRefused, match="whether it holds live data can't be known"):
        await tear_down(spec, KEY)
    assert writes(azure.ledger()[since:]) == []


def well_formed(entries: list[Json], **more: str) -> Json:
    return {
        "status": 200,
        "raw_body": json.dumps({"value": entries, **more}),
        "headers": {"content-type": "application/json"},
    }


async def test_a_list_is_read_to_its_last_page(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, tmp_path: Path
) -> None:
    """https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks."""
    kube = kube_for(azure, environment, tmp_path)
    for name in ("a", "b", "orphan"):
        kube.create(CLAIMS.format("cnpg-database"), claim(name))
    first = kube.get("/api/v1/persistentvolumeclaims?limit=1")
    assert first is not None
    assert first["metadata"]["continue"]
    body = {"status": 200, "raw_body": json.dumps(first), "headers": {"content-type": "application/json"}}
    azure.fault(body, operation="list persistentvolumeclaims", times=1)
    with pytest.raises(TearDownRefused, match="cnpg-database/orphan"):
        await tear_down(spec, KEY)
