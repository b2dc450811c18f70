"""`tear_down` takes what is the environment's and nothing else; interrupted it goes on, and backups survive."""

import asyncio
import copy
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from aks_postgres.arm.client import current_azure
from aks_postgres.arm.errors import NotOurs, OperationNotDone
from aks_postgres.flows._removal_view import make_tear_down_view
from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import provision
from aks_postgres.flows.rebuild import rebuild
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.preflight.permissions import ACTIONS, DELETE_BACKUPS_ACTION, TEAR_DOWN_ACTIONS
from aks_postgres.reports.journal import Event, Journal, use_journal
from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.reports.receipt import Receipt, Removal
from aks_postgres.resources import managed_cluster
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names, resource_tags
from aks_postgres.tasks.inventory import take_inventory
from aks_postgres.tear_down.errors import TearDownRefused
from aks_postgres.tear_down.goes_along import what_goes_along
from azure_sandbox.client import SandboxProcess

from ..cases import shown
from ..conftest import point_at, spec_for
from ..tasks.archives import BACKUP_ID, SYSTEM_ID, segment, whole_archive
from ..tasks.conftest import MOMENTS
from ..tasks.kube import Kube
from .conftest import quicken, without_lock_traffic, writes
from .stage import delete, kube_for, put
from .test_permissions import actions_of

pytestmark = pytest.mark.usefixtures("prefect_api")

Json = dict[str, Any]

KEY = "cnpg-canadacentral"
GROUPS, IDENTITIES, STORAGE, ROLES = "2024-11-01", "2024-11-30", "2025-08-01", "2022-04-01"
LOCKS, NETWORKS = "2020-05-01", "2025-09-01"
BLOB_OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
ABORT = "microsoft.containerservice/managedclusters/abort/action"
OBJECT = bytes(range(256)) * 40


@pytest.fixture
def azure(azure: SandboxProcess) -> SandboxProcess:
    """The empty sandbox, with operations that last moments."""
    quicken(azure)
    return azure


def resources(azure: SandboxProcess) -> dict[str, Json]:
    """Everything in the sandbox by ID."""
    return {one["id"]: one for one in azure.control("GET", "resources")["resources"]}


def make_neighbour(azure: SandboxProcess) -> str:
    """Somebody else's resources, another environment of this product among them; returns their group."""
    group = f"{azure.subscription}/resourceGroups/rg-neighbour"
    put(azure, group, GROUPS, {"location": "canadacentral", "tags": {"owner": "user"}})
    identity = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mi-theirs"
    put(azure, identity, IDENTITIES, {"location": "canadacentral"})
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/theirs0001"
    put(
        azure,
        account,
        STORAGE,
        {"location": "canadacentral", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}},
    )
    other = f"{azure.subscription}/resourceGroups/rg-other-abcdefgh"
    tags = {"managed-by": "aks-postgres", "aks-postgres-environment": "other-canadacentral"}
    put(
        azure,
        other,
        GROUPS,
        {"location": "canadacentral", "tags": tags | {"aks-postgres-state": "current"}},
    )
    put(azure, f"{other}/providers/Microsoft.Authorization/locks/keep", LOCKS, lock("CanNotDelete"))
    azure.step(1000)
    principal = azure.arm("GET", identity, api_version=IDENTITIES).json()["properties"]["principalId"]
    give(azure, azure.subscription, principal, "11111111-1111-1111-1111-111111111111")
    return group


def lock(level: str) -> Json:
    return {"properties": {"level": level, "notes": "ours"}}


def give(azure: SandboxProcess, scope: str, principal: str, name: str) -> str:
    """Make somebody Reader; returns the role assignment."""
    role = f"{azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    assignment = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
    properties = {"roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal"}
    put(azure, assignment, ROLES, {"properties": properties})
    return assignment


def blob(
    azure: SandboxProcess,
    method: str,
    account: str,
    data: bytes | None = None,
    name: str = "pg/base/20261124/data.tar",
) -> bytes:
    """An object among the backups."""
    token = azure.token("https://storage.azure.com/.default")
    answer = azure.http.request(
        method,
        f"{azure.endpoint}/blob/{account}/backups/{name}",
        headers={
            "Authorization": f"Bearer {token}",
            "x-ms-version": "2025-05-05",
            "x-ms-blob-type": "BlockBlob",
        },
        data=data,
    )
    assert answer.status_code in (200, 201, 202), answer.text
    return bytes(answer.content)


def owners(azure: SandboxProcess) -> Json:
    """A spec's storage in which the sandbox's caller owns the blobs."""
    return {"blob_owners": [{"object_id": azure.object_id, "type": "ServicePrincipal"}]}


@dataclass
class Story:
    """One environment from its first provision to the end of its backups."""

    azure: SandboxProcess
    before: dict[str, Json]
    neighbour: str
    first: EnvironmentOutputs
    theirs_on_ours: str = ""
    after: dict[str, dict[str, Json]] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    ledgers: dict[str, list[Json]] = field(default_factory=dict)
    requests: list[Json] = field(default_factory=list)
    second: EnvironmentOutputs | None = None
    objects: list[bytes] = field(default_factory=list)

    async def tear_down(self, title: str, spec: EnvironmentSpec, **words: Any) -> None:
        since = len(self.azure.ledger())
        state = await tear_down(spec, KEY, **words, return_state=True)
        self.states[title] = state
        self.receipts[title] = await state.aresult()
        self.requests += self.azure.ledger()[since:]
        self.ledgers[title] = writes(self.azure.ledger()[since:])
        self.after[title] = resources(self.azure)


@pytest_asyncio.fixture(scope="module")
async def story(sandbox_process: SandboxProcess, prefect_api: None) -> AsyncIterator[Story]:
    azure = sandbox_process
    azure.control("POST", "reset", {"seed": 1, "speed": 1000})
    azure.settings(registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True})
    quicken(azure)
    with pytest.MonkeyPatch.context() as patch:
        point_at(azure, patch)
        neighbour = make_neighbour(azure)
        before = copy.deepcopy(resources(azure))
        spec = spec_for(azure, storage=owners(azure), monitoring={"monitoring_reader_scope": "subscription"})
        told = Story(azure, before, neighbour, await provision(spec))
        account = told.first.storage_account.name
        azure.step(1000)  # roles take effect late
        blob(azure, "PUT", account, OBJECT)
        told.theirs_on_ours = give(
            azure, neighbour, told.first.identity.principal_id, "22222222-2222-2222-2222-222222222222"
        )
        # Whatever doesn't wait for these has time to get ahead of them.
        azure.fault({"delay_s": 1500}, operation="DataCollectionRuleAssociations_Get", times=2)
        await told.tear_down("first", spec)
        told.objects.append(blob(azure, "GET", account))
        await told.tear_down("nothing left", spec)
        told.second = await provision(spec)
        told.objects.append(blob(azure, "GET", account))
        await told.tear_down("backups", spec, delete_backups=account)
        yield told


def ids(items: tuple[Removal, ...], what: str) -> list[str]:
    return [item.id for item in items if item.what == what]


def test_the_end_is_exactly_the_neighbours_resources_and_the_kept_backups(story: Story) -> None:
    left = story.after["first"]
    backups = story.first.place.group_id(story.first.place.names.backup_group)
    ours = {resource_id for resource_id in left if resource_id.startswith(backups)}
    assert {one.rsplit("/", 1)[-1] for one in ours} >= {
        story.first.place.names.backup_group,
        story.first.storage_account.name,
        "backups",
    }
    rest = {resource_id: left[resource_id] for resource_id in left.keys() - ours - {story.theirs_on_ours}}
    assert rest == story.before


def test_the_neighbours_resources_are_never_written(story: Story) -> None:
    theirs = ("/resourcegroups/rg-neighbour", "/resourcegroups/rg-other-")
    for entries in story.ledgers.values():
        assert [entry for entry in entries if any(one in entry["path"].lower() for one in theirs)] == []


def test_every_deletion_is_sent_once_and_nothing_else_is_written(story: Story) -> None:
    sent = Counter(entry["operation"] for entry in without_lock_traffic(story.ledgers["first"]))
    assert sent == {
        # Marked as retiring; the backup group remembers the first generation already.
        "ResourceGroups_Update": 1,
        "DataCollectionRuleAssociations_Delete": 2,
        "PrometheusRuleGroups_Delete": 6,
        "ManagedClusters_Delete": 1,
        # Monitoring Reader on the subscription, Data Reader, Grafana Admin, Blob Data Contributor.
        "RoleAssignments_Delete": 4,
        "Grafana_Delete": 1,
        "DataCollectionRules_Delete": 2,
        "DataCollectionEndpoints_Delete": 1,
        "AzureMonitorWorkspaces_Delete": 1,
        "Workspaces_Delete": 1,
        "UserAssignedIdentities_Delete": 1,
        "ResourceGroups_Delete": 1,
    }


def test_roles_go_before_their_identities_and_associations_before_their_rules(story: Story) -> None:
    order = [
        (entry["operation"], entry["path"].lower()) for entry in without_lock_traffic(story.ledgers["first"])
    ]

    def last(operation: str, part: str = "") -> int:
        return max(n for n, (name, path) in enumerate(order) if name == operation and part in path)

    def first(operation: str) -> int:
        return min(n for n, (name, _) in enumerate(order) if name == operation)

    account = story.first.storage_account.name
    assert order[0][0] == "ResourceGroups_Update"
    assert last("RoleAssignments_Delete", account) > first("ManagedClusters_Delete")
    assert last("RoleAssignments_Delete", account) < first("UserAssignedIdentities_Delete")
    assert first("RoleAssignments_Delete") < first("Grafana_Delete")
    assert last("DataCollectionRuleAssociations_Delete") < first("ManagedClusters_Delete")
    assert first("ManagedClusters_Delete") < first("DataCollectionRules_Delete")
    assert last("DataCollectionRules_Delete") < first("DataCollectionEndpoints_Delete")
    assert last("DataCollectionEndpoints_Delete") < first("AzureMonitorWorkspaces_Delete")
    assert order[-1][0] == "ResourceGroups_Delete"


def test_the_receipt_says_what_became_of_everything(story: Story) -> None:
    receipt, names = story.receipts["first"], story.first.place.names
    assert receipt.generations == (1,)
    assert {ids(receipt.deleted, what)[0].rsplit("/", 1)[-1] for what in ("AKS cluster", "public IP")} == {
        names.cluster,
        names.public_ip,
    }
    whats = Counter(item.what for item in receipt.deleted)
    assert whats["role assignment"] == 4
    assert whats["managed resource group"] == whats["node resource group"] == whats["resource group"] == 1
    (workspace,) = receipt.soft_deleted
    assert workspace.name == names.log_workspace
    assert workspace.purged_by == (datetime.now(UTC) + timedelta(days=14)).date()
    assert [item.what for item in receipt.kept] == [
        "role assignment",
        "storage account",
        "backup resource group",
    ]
    assert receipt.not_found == ()


def test_a_role_that_somebody_else_gave_our_identity_stays_and_is_reported(story: Story) -> None:
    assert story.theirs_on_ours in story.after["first"]
    kept = next(item for item in story.receipts["first"].kept if item.what == "role assignment")
    assert kept.id == story.theirs_on_ours
    assert "this product didn't make it" in kept.reason


async def test_the_receipt_is_an_artifact_and_the_run_s_name_says_which(story: Story) -> None:
    async with get_client() as client:
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[f"receipt-{KEY}"]))
        )
        runs = await client.read_flow_runs(limit=200)
    own = [
        artifact
        for artifact in found
        if artifact.flow_run_id == story.states["first"].state_details.flow_run_id
    ]
    text = str(own[0].data)
    purged_by = story.receipts["first"].soft_deleted[0].purged_by
    for expected in (
        story.first.cluster.name,
        story.first.storage_account.name,
        "Soft-deleted",
        f"purged by {purged_by}",
        story.receipts["first"].headline,
    ):
        assert expected in text
    assert "tear down cnpg in canadacentral" in [run.name for run in runs]


def test_an_object_among_the_backups_survives_byte_for_byte(story: Story) -> None:
    assert story.objects == [OBJECT, OBJECT]


def test_a_second_tear_down_writes_nothing_and_says_that_nothing_is_left(story: Story) -> None:
    assert story.ledgers["nothing left"] == []
    state, receipt = story.states["nothing left"], story.receipts["nothing left"]
    assert state.name == "NothingLeft"
    assert state.message.startswith(f"{KEY}: nothing left to delete; kept: storage account hacnpg")
    assert receipt.is_empty
    assert [item.reason for item in receipt.soft_deleted] == ["deleted before this run"]


def test_the_next_provision_makes_generation_2_with_new_names_on_the_same_backups(story: Story) -> None:
    first, second = story.first, story.second
    assert second is not None
    assert second.place.generation == 2
    assert second.cluster.name != first.cluster.name
    assert second.resource_group.name != first.resource_group.name
    assert second.storage_account.id == first.storage_account.id
    assert second.changes["storage_account"].kind == second.changes["backup_container"].kind == "unchanged"


def test_backups_whose_account_is_typed_go_too(story: Story) -> None:
    left = {
        resource_id: body
        for resource_id, body in story.after["backups"].items()
        if resource_id != story.theirs_on_ours
    }
    assert left == story.before
    deleted = story.receipts["backups"].deleted
    assert ids(deleted, "storage account") == [story.first.storage_account.id]
    assert ids(deleted, "backup resource group") == [story.first.backup_group.id]


def test_every_request_is_covered_by_the_rights_that_are_checked_first(story: Story) -> None:
    used = actions_of(story.requests)
    demanded = {action.casefold() for action in (*TEAR_DOWN_ACTIONS, DELETE_BACKUPS_ACTION)}
    # An environment of an earlier version gets the lock's container here; a creation that never ends is aborted.
    assert demanded - used == {
        "microsoft.storage/storageaccounts/blobservices/containers/write",
        ABORT,
    }
    assert used - demanded - {action.casefold() for action in ACTIONS} == set()


# What stops it.


@dataclass
class Standing:
    """A finished environment that no test of this part may change."""

    azure: SandboxProcess
    spec: EnvironmentSpec
    outputs: EnvironmentOutputs
    kube: Kube

    async def refusals(self, confirm: str = KEY, **words: Any) -> list[str]:
        """What a tear-down is refused for; it must have written nothing."""
        before, since = resources(self.azure), len(self.azure.ledger())
        state: Any = await tear_down(self.spec, confirm, backup_age_min=LONG_MIN, **words, return_state=True)
        assert writes(self.azure.ledger()[since:]) == []
        assert resources(self.azure) == before
        if state.name == "NotConfirmed":
            return [line.removeprefix("  - ") for line in state.message.splitlines()[1:]]
        with pytest.raises(TearDownRefused) as refused:
            await state.aresult()
        return list(refused.value.problems)

    async def found(self, confirm: str, delete_backups: str | None, discard_data: str | None) -> list[str]:
        """Everything that stands against a tear-down with these words, also where the words end it at once."""
        async with run_session(self.spec):
            with pytest.raises(TearDownRefused) as refused:
                await take_inventory.fn(self.spec, confirm, delete_backups, discard_data, LONG_MIN)
        return list(refused.value.problems)

    @contextmanager
    def there(self, path: str, api_version: str, body: Json) -> Iterator[str]:
        """While inside, a resource of somebody's is there."""
        put(self.azure, path, api_version, body)
        self.azure.step(100)
        try:
            yield path
        finally:
            delete(self.azure, path, api_version)
            self.azure.step(1000)


@pytest_asyncio.fixture(scope="module")
async def standing(
    sandbox_process: SandboxProcess, prefect_api: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Standing]:
    azure = sandbox_process
    azure.control("POST", "reset", {"seed": 1, "speed": 1000})
    azure.settings(registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True})
    quicken(azure)
    with pytest.MonkeyPatch.context() as patch:
        point_at(azure, patch)
        spec = spec_for(azure, storage=owners(azure))
        outputs = await provision(spec)
        azure.step(1000)
        yield Standing(azure, spec, outputs, kube_for(azure, outputs, tmp_path_factory.mktemp("kube")))


async def test_a_name_that_isnt_typed_right_stops_it(standing: Standing) -> None:
    (problem,) = await standing.refusals("cnpg-westeurope")
    assert problem.startswith(f"confirm: 'cnpg-westeurope' was given. Type {KEY}")


async def test_an_account_that_isnt_the_backups_stops_it(standing: Standing) -> None:
    (problem,) = await standing.refusals(delete_backups="theirs0001")
    assert "delete_backups: 'theirs0001' was given" in problem
    assert f"in the storage account {standing.outputs.storage_account.name}" in problem
    assert "leave delete_backups out" in problem


async def test_a_wrong_word_for_data_stops_it(standing: Standing) -> None:
    (problem,) = await standing.refusals(discard_data="yes")
    assert problem.startswith(f"discard_data: 'yes' was given. Type {KEY}")


async def test_a_foreign_resource_in_the_group_stops_it(standing: Standing) -> None:
    address = f"{standing.outputs.resource_group.id}/providers/Microsoft.Network/publicIPAddresses/pip-theirs"
    body: Json = {
        "location": "canadacentral",
        "sku": {"name": "Standard"},
        "properties": {"publicIPAllocationMethod": "Static"},
    }
    # Tags alone make nothing ours, and a name alone doesn't either.
    body["tags"] = copy.deepcopy(
        standing.azure.arm("GET", standing.outputs.identity.id, api_version=IDENTITIES).json()["tags"]
    )
    with standing.there(address, NETWORKS, body):
        (problem,) = await standing.refusals()
    assert problem.startswith("Microsoft.Network/publicIPAddresses pip-theirs in rg-cnpg-")
    assert "isn't part of this environment" in problem
    assert "Move it elsewhere or delete it, then run again" in problem


async def test_a_resource_of_ours_that_has_lost_its_tags_stops_it(standing: Standing) -> None:
    identity = standing.outputs.identity.id
    body = standing.azure.arm("GET", identity, api_version=IDENTITIES).json()
    put(standing.azure, identity, IDENTITIES, {"location": body["location"], "tags": {"owner": "user"}})
    try:
        (problem,) = await standing.refusals()
    finally:
        put(standing.azure, identity, IDENTITIES, {"location": body["location"], "tags": body["tags"]})
    assert standing.outputs.identity.name in problem
    assert "has this environment's name but not its tags" in problem
    assert "give it these tags" in problem


async def test_a_group_of_ours_that_has_lost_its_tags_stops_it(standing: Standing) -> None:
    group = standing.outputs.resource_group.id
    body = standing.azure.arm("GET", group, api_version=GROUPS).json()
    put(standing.azure, group, GROUPS, {"location": body["location"]})
    try:
        problems = await standing.refusals()
    finally:
        put(standing.azure, group, GROUPS, {"location": body["location"], "tags": body["tags"]})
    assert f"resource group {standing.outputs.resource_group.name} has this environment's name" in problems[0]


async def test_a_group_that_another_suffix_made_stops_it(standing: Standing) -> None:
    group = standing.outputs.resource_group.id
    tags = standing.azure.arm("GET", group, api_version=GROUPS).json()["tags"]
    other = f"{standing.azure.subscription}/resourceGroups/rg-cnpg-elsewhere"
    with standing.there(other, GROUPS, {"location": "canadacentral", "tags": tags}):
        (problem,) = await standing.refusals()
    assert "resource group rg-cnpg-elsewhere is this environment's by its tags" in problem
    assert "Set the suffix that it was made with" in problem


@pytest.mark.parametrize(
    ("where", "level"),
    shown(
        [
            ("resource_group", "CanNotDelete"),
            ("node_group", "ReadOnly"),
            ("cluster", "CanNotDelete"),
            ("subscription", "CanNotDelete"),
            ("backup_group", "ReadOnly"),
        ]
    ),
)
async def test_a_lock_stops_it_and_stays(standing: Standing, where: str, level: str) -> None:
    outputs, place = standing.outputs, standing.outputs.place
    scope = {
        "resource_group": outputs.resource_group.id,
        "cluster": outputs.cluster.id,
        "node_group": place.group_id(place.names.node_resource_group),
        "subscription": standing.azure.subscription,
        "backup_group": outputs.backup_group.id,
    }[where]
    path = f"{scope}/providers/Microsoft.Authorization/locks/hands-off"
    with standing.there(path, LOCKS, lock(level)):
        (problem,) = await standing.refusals()
        assert standing.azure.arm("GET", path, api_version=LOCKS).status_code == 200
    assert f"lock hands-off ({level}) on {scope} forbids it" in problem
    assert "ask whoever set it" in problem


async def test_a_foreign_resource_beside_the_backups_stops_it_only_if_these_go(standing: Standing) -> None:
    account = standing.outputs.storage_account
    theirs = (
        f"{standing.outputs.backup_group.id}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mi-x"
    )
    with standing.there(theirs, IDENTITIES, {"location": "canadacentral"}):
        (problem,) = await standing.refusals(delete_backups=account.name)
        (other,) = await standing.found("wrong", None, None)
    assert "mi-x in rg-cnpg-backup-" in problem
    assert other.startswith("confirm: ")


async def test_a_caller_without_the_rights_is_told_all_of_them_before_anything_goes(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = {"role": "Contributor", "scope": standing.azure.subscription}
    caller = standing.azure.control("POST", "principals", {"roles": [role]})
    monkeypatch.setenv("AZURE_CLIENT_ID", caller["client_id"])
    monkeypatch.setenv("AZURE_CLIENT_SECRET", caller["client_secret"])
    (problem,) = await standing.refusals()
    assert "Microsoft.Authorization/roleAssignments/delete" in problem
    assert "Role Based Access Control Administrator" in problem


async def test_all_problems_come_at_once(standing: Standing) -> None:
    path = f"{standing.outputs.cluster.id}/providers/Microsoft.Authorization/locks/hands-off"
    with standing.there(path, LOCKS, lock("CanNotDelete")), database(standing.kube):
        problems = await standing.found("no", "no", "no")
    assert [problem.split()[0] for problem in problems] == [
        "confirm:",
        "delete_backups:",
        "discard_data:",
        "lock",
        "Postgres",
    ]


# Live data.

# Minutes of the sandbox's clock that a backup may be old where its age isn't what is asked: a busy machine's too.
LONG_MIN = 10_080
CLUSTERS = "/apis/postgresql.cnpg.io/v1/namespaces/{}/clusters"
BACKUPS = "/apis/postgresql.cnpg.io/v1/namespaces/{}/backups"
CLAIMS = "/api/v1/namespaces/{}/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
POSTGRES = "postgresql.cnpg.io/v1"
DESTINATION = "https://elsewhere0001.blob.core.windows.net/backups"


def make_database(
    kube: Kube, namespace: str = "cnpg-database", name: str = "pg", destination: str = DESTINATION
) -> None:
    """A Postgres cluster with its volume, which nothing has a backup of."""
    cluster = {
        "apiVersion": POSTGRES,
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {
            "instances": 1,
            "storage": {"size": "1Gi"},
            "backup": {"barmanObjectStore": {"destinationPath": destination}},
        },
    }
    uid = kube.create(CLUSTERS.format(namespace), cluster)["metadata"]["uid"]
    owner = {"apiVersion": POSTGRES, "kind": "Cluster", "name": name, "uid": uid}
    kube.create(CLAIMS.format(namespace), claim(f"{name}-1", ownerReferences=[owner]))


@contextmanager
def database(
    kube: Kube, namespace: str = "cnpg-database", name: str = "pg", destination: str = DESTINATION
) -> Iterator[None]:
    """While inside, a Postgres cluster with its volume is there."""
    make_database(kube, namespace, name, destination)
    try:
        yield
    finally:
        kube.delete(f"{CLAIMS.format(namespace)}/{name}-1")
        kube.delete(f"{CLUSTERS.format(namespace)}/{name}")


def claim(name: str, **metadata: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, **metadata},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}},
    }


def destination_of(outputs: EnvironmentOutputs) -> str:
    """The environment's own container, by its public name."""
    return f"https://{outputs.storage_account.name}.blob.core.windows.net/backups"


def back_up(azure: SandboxProcess, kube: Kube, account: str) -> None:
    """A backup of the database has just ended, its blobs are in the account, and archiving works."""
    whole = whole_archive()
    for name, size in whole.sizes.items():
        text = whole.infos[BACKUP_ID].encode() if name.endswith("backup.info") else b"x" * min(size, 10)
        blob(azure, "PUT", account, text, f"pg/{name}")
    archiving(kube, "True")
    path = BACKUPS.format("cnpg-database")
    kube.create(
        path,
        {
            "apiVersion": POSTGRES,
            "kind": "Backup",
            "metadata": {"name": "last"},
            "spec": {"cluster": {"name": "pg"}},
        },
    )
    ended_now(kube)


def ended_now(kube: Kube) -> None:
    """Let the backup have just ended, by the cluster's clock: the sandbox's runs faster than ours."""
    path = BACKUPS.format("cnpg-database")
    stopped = parsedate_to_datetime(kube.send("GET", "/version").headers["Date"]).astimezone(UTC)
    status = {
        "phase": "completed",
        "stoppedAt": stopped.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "backupId": BACKUP_ID,
    }
    kube.merge(f"{path}/last/status", {"status": status})


def archiving(kube: Kube, status: str) -> None:
    condition = {
        "type": "ContinuousArchiving",
        "status": status,
        "reason": "ContinuousArchivingSuccess" if status == "True" else "ContinuousArchivingFailing",
        "message": "Continuous archiving is working"
        if status == "True"
        else "unexpected failure invoking barman",
        "lastTransitionTime": "2026-11-24T00:00:00Z",
    }
    said = {
        "conditions": [condition],
        "systemID": SYSTEM_ID,
        "currentPrimary": "pg-1",
        "targetPrimary": "pg-1",
        "instancesStatus": {"healthy": ["pg-1"]},
    }
    kube.merge(f"{CLUSTERS.format('cnpg-database')}/pg/status", {"status": said})


async def test_a_database_without_a_backup_stops_it_whatever_its_namespace(standing: Standing) -> None:
    standing.kube.create("/api/v1/namespaces", {"metadata": {"name": "elsewhere"}})
    with database(standing.kube), database(standing.kube, "elsewhere", "pg-two"):
        first, second = await standing.refusals()
    assert first.startswith("Postgres cluster cnpg-database/pg: it has no completed backup in object storage")
    assert "it archives no WAL" in first
    assert "kubectl cnpg backup pg --namespace cnpg-database" in first
    assert f"Or type discard_data: {KEY} (--discard-data {KEY})" in first
    assert second.startswith("Postgres cluster elsewhere/pg-two: ")


async def test_a_backup_is_proven_by_its_blobs_and_only_while_they_stay(standing: Standing) -> None:
    account = standing.outputs.storage_account.name
    with database(standing.kube, destination=destination_of(standing.outputs)):
        back_up(standing.azure, standing.kube, account)
        assert [one.split(":")[0] for one in await standing.found("no", None, None)] == ["confirm"]
        (going,) = await standing.refusals(delete_backups=account)
        blob(standing.azure, "DELETE", account, name=f"pg/{segment(5)}")
        (gone,) = await standing.refusals()
        standing.kube.delete(f"{BACKUPS.format('cnpg-database')}/last")
    assert going.startswith("Postgres cluster cnpg-database/pg: it has no completed backup")
    assert "no backup that the blobs show too" in gone
    assert "WAL file 000000010000000000000005 is missing or empty" in gone


async def test_backups_in_an_account_among_the_nodes_go_with_them(standing: Standing) -> None:
    """The file driver made it there for the database's claim, so it is Kubernetes' own."""
    group = standing.outputs.cluster.node_resource_group_id
    name = "f0123456789abcdef"
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/{name}"
    body = {
        "location": "canadacentral",
        "sku": {"name": "Standard_LRS"},
        "kind": "StorageV2",
        "properties": {},
    }
    destination = f"https://{name}.blob.core.windows.net/backups"
    with (
        standing.there(account, STORAGE, body),
        database(standing.kube, destination=destination),
    ):
        held = standing.kube.get(f"{CLAIMS.format('cnpg-database')}/pg-1")
        assert held is not None
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "pvc-share"},
            "spec": {
                "capacity": {"storage": "20Gi"},
                "accessModes": ["ReadWriteMany"],
                "claimRef": {"namespace": "cnpg-database", "name": "pg-1", "uid": held["metadata"]["uid"]},
                "csi": {
                    "driver": "file.csi.azure.com",
                    "volumeHandle": f"{group.rpartition('/')[2]}#{name}#pvc-share",
                },
            },
        }
        standing.kube.create(VOLUMES, volume)
        back_up(standing.azure, standing.kube, standing.outputs.storage_account.name)
        try:
            (problem,) = await standing.refusals()
        finally:
            standing.kube.delete(f"{VOLUMES}/pvc-share")
            standing.kube.delete(f"{BACKUPS.format('cnpg-database')}/last")
    assert problem.startswith("Postgres cluster cnpg-database/pg: it has no completed backup")
    assert f"is in {destination}, which is deleted too" in problem


async def test_backups_among_the_nodes_of_another_generation_that_goes_prove_nothing(
    standing: Standing,
) -> None:
    group = f"{standing.azure.subscription}/resourceGroups/rg-nodes-of-another"
    name = "f0123456789abcde"
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/{name}"
    body = {
        "location": "canadacentral",
        "sku": {"name": "Standard_LRS"},
        "kind": "StorageV2",
        "properties": {},
    }
    place = standing.outputs.place
    with (
        standing.there(group, GROUPS, {"location": "canadacentral"}),
        standing.there(account, STORAGE, body),
        database(standing.kube, destination=f"https://{name}.blob.core.windows.net/backups"),
    ):
        back_up(standing.azure, standing.kube, standing.outputs.storage_account.name)
        try:
            async with run_session(standing.spec):
                _, (problem,) = await what_goes_along(
                    current_azure(),
                    place,
                    [],
                    LONG_MIN,
                    node_groups=[place.names.node_resource_group, "rg-nodes-of-another"],
                    going=(),
                    lets_go=False,
                    tenant_id="",
                )
        finally:
            standing.kube.delete(f"{BACKUPS.format('cnpg-database')}/last")
    assert f"is in https://{name}.blob.core.windows.net/backups, which is deleted too" in problem


async def test_blobs_that_nobody_may_look_at_prove_nothing(standing: Standing) -> None:
    account = standing.outputs.storage_account.name
    refusal = {"status": 403, "code": "AuthorizationFailure", "message": "This request is not authorized."}
    with database(standing.kube, destination=destination_of(standing.outputs)):
        back_up(standing.azure, standing.kube, account)
        standing.azure.fault(refusal, operation="ListBlobs", times=100)
        (problem,) = await standing.refusals()
        standing.azure.control("DELETE", "faults")
        standing.kube.delete(f"{BACKUPS.format('cnpg-database')}/last")
    assert "can't be looked at in the container (the run itself: " in problem
    assert "ServiceAccount cnpg-database/pg names no identity" in problem


async def test_a_volume_of_no_database_stops_it(standing: Standing) -> None:
    standing.kube.create(CLAIMS.format("cnpg-database"), claim("orphan"))
    try:
        (problem,) = await standing.refusals()
    finally:
        standing.kube.delete(f"{CLAIMS.format('cnpg-database')}/orphan")
    assert problem.startswith(
        "PersistentVolumeClaim cnpg-database/orphan (20Gi) belongs to no Postgres cluster"
    )


async def test_a_released_volume_that_was_to_be_kept_stops_it(standing: Standing) -> None:
    group = standing.outputs.cluster.node_resource_group_id
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "pvc-kept"},
        "spec": {
            "capacity": {"storage": "20Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": "db", "name": "gone", "uid": "5d7e9c1e-0000-4000-8000-000000000000"},
            "csi": {
                "driver": "disk.csi.azure.com",
                "volumeHandle": f"{group}/providers/Microsoft.Compute/disks/pvc-kept",
            },
        },
    }
    standing.kube.create(VOLUMES, volume)
    standing.kube.merge(f"{VOLUMES}/pvc-kept/status", {"status": {"phase": "Released"}})
    try:
        (problem,) = await standing.refusals()
    finally:
        standing.kube.delete(f"{VOLUMES}/pvc-kept")
    assert problem.startswith("PersistentVolume pvc-kept (20Gi, Released) has no claim")


@pytest.mark.thorough
async def test_an_api_server_that_cant_be_reached_stops_it(standing: Standing) -> None:
    cluster = standing.outputs.cluster
    ranges = {"properties": {"apiServerAccessProfile": {"authorizedIPRanges": ["192.0.2.0/24"]}}}
    body = standing.azure.arm("GET", cluster.id, api_version="2026-06-01").json()
    closed = copy.deepcopy(body)
    closed["properties"] |= ranges["properties"]
    put(standing.azure, cluster.id, "2026-06-01", closed)
    standing.azure.step(1000)
    try:
        (problem,) = await standing.refusals()
    finally:
        put(standing.azure, cluster.id, "2026-06-01", body)
        standing.azure.step(1000)
    assert problem.startswith(f"AKS cluster {cluster.name}: whether it holds live data can't be known")
    assert "Run from a worker whose address is among its authorized ranges" in problem


# Trouble on the way.


async def until(azure: SandboxProcess, operation: str, since: int) -> None:
    """Wait until the sandbox has received a request."""
    while not any(entry["operation"] == operation for entry in azure.ledger()[since:]):
        await asyncio.sleep(0.02)


async def cancelled_at(azure: SandboxProcess, spec: EnvironmentSpec, operation: str) -> None:
    """Begin a tear-down and cancel it as soon as it has sent a request."""
    since = len(azure.ledger())
    running = asyncio.create_task(tear_down(spec, KEY, backup_age_min=LONG_MIN, return_state=True))
    sent = asyncio.create_task(until(azure, operation, since))
    await asyncio.wait([running, sent], return_when=asyncio.FIRST_COMPLETED)
    sent.cancel()
    assert not running.done(), f"it ended before {operation}: {running.result()}"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def finished(spec: EnvironmentSpec, **words: Any) -> Receipt:
    """The receipt of a tear-down that ends well."""
    state = await tear_down(spec, KEY, **words, return_state=True)
    receipt: Receipt = await state.aresult()
    return receipt


@pytest.mark.parametrize(
    ("before", "after"),
    shown(
        [
            (["ManagedClusters_Delete"], ["ResourceGroups_Delete"]),
            (
                [
                    "ResourceGroups_Update",
                    "DataCollectionRuleAssociations_Delete",
                    "ManagedClusters_Delete",
                ],
                ["DataCollectionRules_Delete", "AzureMonitorWorkspaces_Delete", "ResourceGroups_Delete"],
            ),
        ],
        first=1,
    ),
    ids=["twice", "anywhere"],
)
async def test_interrupted_anywhere_the_next_run_goes_on_and_repeats_no_deletion(
    azure: SandboxProcess,
    spec: EnvironmentSpec,
    environment: EnvironmentOutputs,
    tmp_path: Path,
    before: list[str],
    after: list[str],
) -> None:
    """While the cluster is there, and once it is gone."""
    kube = kube_for(azure, environment, tmp_path)
    azure.step(1000)
    azure.settings(
        durations=MOMENTS
        | {
            "aks_cluster_delete": 2000,
            # Well below what a run waits for, which a busy machine takes part of.
            "grafana_delete": 1000,
            "monitor_workspace_delete": 1000,
            "resource_group_delete": 100_000,
        }
    )
    account = environment.storage_account
    role = f"{azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{BLOB_OWNER}"
    properties = {
        "roleDefinitionId": role,
        "principalId": azure.object_id,
        "principalType": "ServicePrincipal",
    }
    assignment = "providers/Microsoft.Authorization/roleAssignments/33333333-3333-3333-3333-333333333333"
    put(azure, f"{account.id}/{assignment}", ROLES, {"properties": properties})
    azure.step(1000)
    since = len(azure.ledger())
    with database(kube, destination=destination_of(environment)):
        back_up(azure, kube, account.name)
        for operation in before:
            await cancelled_at(azure, spec, operation)
    for operation in after:
        await cancelled_at(azure, spec, operation)
    waits: list[str] = []

    def heard(event: Event) -> None:
        if event.kind == "waiting" and not waits:
            waits.append(event.text)
            azure.step(100_000)

    with use_journal(Journal()) as journal:
        journal.subscribe(heard)
        receipt = await finished(spec)
    assert waits == [f"resource group {environment.resource_group.name} is being deleted"]
    backups = environment.place.group_id(environment.place.names.backup_group)
    left = {key: body for key, body in resources(azure).items() if not key.startswith(backups)}
    assert left == {}
    assert [item.what for item in receipt.deleted] == ["resource group"]
    sent = Counter(
        entry["operation"] for entry in writes(azure.ledger()[since:]) if entry["method"] == "DELETE"
    )
    for once in (
        "ManagedClusters_Delete",
        "Grafana_Delete",
        "AzureMonitorWorkspaces_Delete",
        "Workspaces_Delete",
        "UserAssignedIdentities_Delete",
        "ResourceGroups_Delete",
    ):
        assert sent[once] == 1, once


BUSY = {
    "status": 409,
    "code": "OperationNotAllowed",
    "message": "Operation is not allowed: Another operation (Updating) is in progress.",
    "bare": True,
}
THROTTLED = {
    "status": 429,
    "code": "TooManyRequests",
    "message": "Slow down.",
    "headers": {"Retry-After": "1"},
}
BLOCKED = {"code": "ResourceGroupDeletionBlocked", "message": "A resource isn't in a final state."}


@pytest.mark.thorough
async def test_refusals_that_pass_and_lost_answers_are_waited_out(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    azure.fault(BUSY, operation="ManagedClusters_Delete", times=2)
    azure.fault(THROTTLED, operation="UserAssignedIdentities_Delete", nth=1)
    azure.fault({"cut": "after"}, operation="Grafana_Delete", nth=1)
    azure.fault({"cut": "before"}, operation="DataCollectionEndpoints_Delete", nth=1)
    azure.fault({"cut": "after"}, operation="Workspaces_Delete", nth=1)
    azure.fault({"operation_fails": BLOCKED}, operation="ResourceGroups_Delete", nth=1)
    since = len(azure.ledger())
    receipt = await finished(spec)
    backups = environment.place.group_id(environment.place.names.backup_group)
    left = {key: body for key, body in resources(azure).items() if not key.startswith(backups)}
    assert left == {}
    sent = Counter(entry["operation"] for entry in writes(azure.ledger()[since:]))
    assert sent["ManagedClusters_Delete"] == 3
    assert sent["UserAssignedIdentities_Delete"] == 2
    assert sent["Grafana_Delete"] == sent["Workspaces_Delete"] == 1, "a lost answer is looked up first"
    assert sent["ResourceGroups_Delete"] == 2
    assert [item.outcome for item in receipt.soft_deleted] == ["soft-deleted"]


async def test_a_failure_leaves_a_receipt_of_how_far_it_got_and_a_rerun_ends_it(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    denied = {"status": 403, "code": "RequestDisallowedByPolicy", "message": "No."}
    azure.fault(denied, operation="Grafana_Delete", nth=1)
    state = await tear_down(spec, KEY, return_state=True)
    assert state.is_failed()
    assert "Managed Grafana grafana-cnpg-" in str(state.message)
    async with get_client() as client:
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[f"receipt-{KEY}"]))
        )
    text = str(max(found, key=lambda artifact: artifact.created).data)
    assert "Not finished" in text
    assert "RequestDisallowedByPolicy" in text
    assert "AKS cluster" in text
    receipt = await finished(spec)
    assert [item.what for item in receipt.deleted if item.what == "Managed Grafana"] == ["Managed Grafana"]


async def test_what_comes_into_the_group_during_a_tear_down_keeps_it(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    running = asyncio.create_task(tear_down(spec, KEY, backup_age_min=LONG_MIN, return_state=True))
    await until(azure, "ManagedClusters_Delete", 0)
    theirs = (
        f"{environment.resource_group.id}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mi-late"
    )
    put(azure, theirs, IDENTITIES, {"location": "canadacentral"})
    state = await running
    with pytest.raises(NotOurs, match=r"resource group rg-cnpg-\w+ was kept: .*mi-late in rg-cnpg-"):
        await state.aresult()
    assert theirs in resources(azure)
    assert [entry for entry in azure.ledger() if entry["operation"] == "ResourceGroups_Delete"] == []


# Before, after and beside other flows.


async def test_provision_refuses_an_unfinished_tear_down(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    await cancelled_at(azure, spec, "DataCollectionRuleAssociations_Delete")
    planned = await make_plan(spec, recorded=False)
    (refusal,) = planned.refusals
    assert f"{environment.resource_group.name} is tagged aks-postgres-state: retiring" in refusal.reason
    since = len(azure.ledger())
    with pytest.raises(PreflightFailed, match="tear_down with confirm cnpg-canadacentral, or rebuild"):
        await provision(spec)
    assert writes(azure.ledger()[since:]) == []


@pytest.mark.thorough
async def test_a_rebuild_finishes_an_unfinished_tear_down(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    await cancelled_at(azure, spec, "DataCollectionRuleAssociations_Delete")
    state = await rebuild(spec, KEY, return_state=True)
    second = (await state.aresult()).outputs
    assert second.place.generation == 2
    left = resources(azure)
    assert [key for key in left if environment.place.names.suffix in key] == []
    assert second.storage_account.id == environment.storage_account.id
    assert any(second.cluster.id.casefold() == key.casefold() for key in left)


async def test_provision_refuses_a_failed_generation_s_tear_down_and_names_what_tear_down_would_take_along(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    names = Names.of(spec, azure.subscription_id, 2)
    group = f"{azure.subscription}/resourceGroups/{names.resource_group}"
    tags = resource_tags(spec) | {"aks-postgres-generation": "2", "aks-postgres-state": "retiring"}
    put(azure, group, GROUPS, {"location": "canadacentral", "tags": tags})
    before = copy.deepcopy(resources(azure))
    with pytest.raises(PreflightFailed, match=f"would take {environment.resource_group.name} along"):
        await provision(spec)
    assert resources(azure) == before


@pytest.mark.parametrize(
    "state", shown(["retired", "retiring", "current", "building", "", "nonsense"], first=1)
)
async def test_provision_deletes_nothing_whatever_the_state_tag_of_a_live_environment_says(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, state: str
) -> None:
    group = environment.resource_group.id
    live = azure.arm("GET", group, api_version=GROUPS).json()
    put(azure, group, GROUPS, {**live, "tags": live["tags"] | {"aks-postgres-state": state}})
    before = clusters(azure)
    since = len(azure.ledger())
    with suppress(PreflightFailed):
        await provision(spec)
    assert [entry["path"] for entry in azure.ledger()[since:] if entry["method"] == "DELETE"] == []
    assert clusters(azure) == before, "no second environment beside the live one"


def clusters(azure: SandboxProcess) -> set[str]:
    """IDs of the AKS clusters in the sandbox."""
    found = (one for one in resources(azure).values() if one["type"].lower().endswith("/managedclusters"))
    return {one["id"].lower() for one in found}


@pytest.mark.thorough
async def test_data_goes_where_its_name_is_typed(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, tmp_path: Path
) -> None:
    azure.step(1000)
    kube_for(azure, environment, tmp_path).create(CLAIMS.format("cnpg-database"), claim("orphan"))
    await finished(spec, discard_data=KEY)
    assert {key: one for key, one in resources(azure).items() if "/rg-cnpg-backup-" not in key} == {}


@pytest.mark.thorough
async def test_half_an_environment_and_a_second_generation_go_too_and_what_was_never_there_is_said(
    azure: SandboxProcess, spec: EnvironmentSpec
) -> None:
    before = copy.deepcopy(resources(azure))
    refusal = {"status": 403, "code": "RequestDisallowedByPolicy", "message": "No."}
    azure.fault(refusal, operation="ManagedClusters_CreateOrUpdate", nth=1)
    assert (await provision(spec, return_state=True)).is_failed()
    names = Names.of(spec, azure.subscription_id, 2)
    second = f"{azure.subscription}/resourceGroups/{names.resource_group}"
    body = {"location": "canadacentral", "tags": resource_tags(spec)}
    put(azure, second, GROUPS, body | {"tags": body["tags"] | {"aks-postgres-generation": "2"}})
    put(
        azure,
        f"{second}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{names.identity}",
        IDENTITIES,
        body,
    )
    receipt = await finished(spec)
    assert receipt.generations == (1, 2)
    backups = azure.arm(
        "GET", f"{azure.subscription}/resourceGroups/{names.backup_group}", api_version=GROUPS
    )
    assert backups.json()["tags"]["aks-postgres-last-generation"] == "2"
    assert {key: one for key, one in resources(azure).items() if "/rg-cnpg-backup-" not in key} == before
    assert {"AKS cluster", "public IP", "node resource group"} <= {item.what for item in receipt.not_found}
    assert {"Managed Grafana", "managed identity"} <= {item.what for item in receipt.deleted}


@pytest.mark.thorough
async def test_backups_in_the_environments_group_keep_that_group_until_they_are_named(
    azure: SandboxProcess,
) -> None:
    before = copy.deepcopy(resources(azure))
    spec = spec_for(azure, storage={"backups": "in_environment_group"})
    first = await provision(spec)
    kept = (await finished(spec)).kept
    assert [item.what for item in kept] == ["storage account", "resource group"]
    assert first.storage_account.name in kept[1].reason
    state = await tear_down(spec, KEY, return_state=True)
    assert state.name == "NothingLeft"
    second = await provision(spec)
    assert second.place.generation == 2
    assert {first.storage_account.id, second.storage_account.id} <= resources(azure).keys()
    await finished(spec, delete_backups=first.storage_account.name)
    await finished(spec, delete_backups=second.storage_account.name)
    assert resources(azure) == before


@pytest.mark.thorough
async def test_a_lock_that_keeps_backups_from_deletion_keeps_the_role_on_them_too(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    put(
        azure,
        f"{environment.backup_group.id}/providers/Microsoft.Authorization/locks/backups",
        LOCKS,
        lock("CanNotDelete"),
    )
    receipt = await finished(spec)
    kept = next(item for item in receipt.kept if item.what == "role assignment")
    assert kept.name.startswith("Storage Blob Data Contributor for ")
    assert "lock" in kept.reason
    assert "resource group" in [item.what for item in receipt.deleted]


@pytest.mark.thorough
async def test_a_creation_that_aks_never_finishes_is_ended_once_nothing_else_stands_against_it(
    azure: SandboxProcess, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = replace(managed_cluster.KIND, create_deadline_s=600, delete_deadline_s=600)
    monkeypatch.setattr(managed_cluster, "KIND", kind)
    before = copy.deepcopy(resources(azure))
    azure.fault({"never_ends": True}, operation="ManagedClusters_CreateOrUpdate", times=1)
    assert (await provision(spec, return_state=True)).is_failed()

    def sent() -> list[str]:
        found = [entry["operation"] for entry in azure.ledger() if entry["method"] in ("POST", "DELETE")]
        return [one for one in found if one.startswith("ManagedClusters_") and "List" not in one]

    with pytest.raises(OperationNotDone, match="az aks operation-abort"):
        await make_tear_down_view(spec, None, None, LONG_MIN)
    group = Names.of(spec, azure.subscription_id, 1).resource_group
    locked = f"{azure.subscription}/resourceGroups/{group}/providers/Microsoft.Authorization/locks/keep"
    put(azure, locked, LOCKS, lock("CanNotDelete"))
    with pytest.raises(TearDownRefused, match="keep"):
        await tear_down(spec, confirm=KEY)
    delete(azure, locked, LOCKS)
    assert sent() == []

    with pytest.raises(TearDownRefused, match="live data can't be known"):
        await tear_down(spec, confirm=KEY)
    assert sent() == ["ManagedClusters_AbortLatestOperation"]
    assert ABORT in actions_of(azure.ledger())
    await finished(spec, discard_data=KEY)
    assert sent() == ["ManagedClusters_AbortLatestOperation", "ManagedClusters_Delete"]
    assert {key: one for key, one in resources(azure).items() if "/rg-cnpg-backup-" not in key} == before
