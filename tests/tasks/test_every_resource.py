"""What every step that makes a resource promises, whatever the resource.

Contract: read, compare, write at most once, report; an interrupted operation is resumed, not repeated.
"""

import asyncio
from typing import Any

import pytest

from aks_postgres.arm.errors import AzureRefused, NotOurs
from aks_postgres.errors import ImmutableChange
from aks_postgres.limits import limits
from aks_postgres.reports.outputs import FieldChange
from aks_postgres.resources.kinds import KINDS
from aks_postgres.runs.session import run_session

from .resources import RESOURCES, Fixed, Resource
from .sdk_models import as_modelled
from .world import LONG_S, World, at, lasting, put_at


def each(*resources: Resource) -> Any:
    """Run a test for each of these resources."""
    return pytest.mark.parametrize("resource", resources, ids=[one.step for one in resources])


# Where one code deals with every resource, `make test` shows it on one of each sort: quick, lasting, in a cluster.
TYPICAL = ("resource_group", "grafana", "node_pool")


def typical(*resources: Resource) -> Any:
    """Run a test for the typical among these; for the others in `make test-thorough`."""
    cases = [
        pytest.param(one, marks=() if one.step in TYPICAL else pytest.mark.thorough, id=one.step)
        for one in resources
    ]
    return pytest.mark.parametrize("resource", cases)


DRIFTING = [one for one in RESOURCES if one.drift]
# A PATCH for tags only.
RETAGS = {
    "DataCollectionEndpoints_Create": "DataCollectionEndpoints_Update",
    "DataCollectionRules_Create": "DataCollectionRules_Update",
}
# Types with a PATCH for all that is ours; the others get the whole resource again.
UPDATES = {
    "AzureMonitorWorkspaces_CreateOrUpdate": "AzureMonitorWorkspaces_Update",
    "Grafana_Create": "Grafana_Update",
    "ResourceGroups_CreateOrUpdate": "ResourceGroups_Update",
    "StorageAccounts_Create": "StorageAccounts_Update",
    "UserAssignedIdentities_CreateOrUpdate": "UserAssignedIdentities_Update",
    "Workspaces_CreateOrUpdate": "Workspaces_Update",
}
OWNED = [one for one in RESOURCES if one.owned]
LASTING = [one for one in RESOURCES if one.lasts]
# Its step compares nothing: once it is there, it belongs to the cloud controller.
COMPARED = [one for one in RESOURCES if one.step != "public_ip"]


async def prerequisites(world: World, resource: Resource) -> str:
    """Have everything before a step done; the ID of what the step makes."""
    step = world.steps[resource.step]
    await world.prepare(*step.takes, *step.after)
    return resource.id(world)


@each(*RESOURCES)
async def test_absent_is_created_as_the_guide_creates_it(world: World, resource: Resource) -> None:
    made = await world.run(resource.step)
    (write,) = world.writes()
    assert (write["method"], write["operation"]) == ("PUT", resource.operation)
    assert write["path"].casefold() == resource.id(world).casefold()
    assert write["body"] == resource.body(world) == as_modelled(write["operation"], write["body"])
    assert (made.id.casefold(), made.change.kind) == (resource.id(world).casefold(), "created")
    assert world.read(made.id, resource.api_version)


def test_a_model_shows_a_field_that_azure_doesnt_know() -> None:
    body = {"location": "x", "properties": {"publicIPAllocationMethod": "Static"}}
    put = "PublicIPAddresses_CreateOrUpdate"
    assert as_modelled(put, body) == body
    assert as_modelled(put, {**body, "properties": {**body["properties"], "idleTimeout": 4}}) == body
    pool = {"name": "p", "count": 1}
    cluster = {"properties": {"agentPoolProfiles": [pool]}}
    wrong = {"properties": {"agentPoolProfiles": [{**pool, "vmsize": "x"}]}}
    assert as_modelled("ManagedClusters_CreateOrUpdate", wrong) == cluster


# Rule groups have no stable client of their own, so they are reached by their ID.
SDKS = {
    **{"Authorization": "authorization", "ContainerService": "containerservice", "Dashboard": "dashboard"},
    **{"Insights": "monitor", "ManagedIdentity": "msi", "Monitor": "monitor", "Network": "network"},
    **{"OperationalInsights": "loganalytics", "Resources": "resource", "Storage": "storage"},
    "AlertsManagement": "resource",
}


async def test_each_type_is_written_and_deleted_by_its_own_sdk(world: World) -> None:
    async with run_session(world.spec, read_only=True) as run:
        modules = {kind.type: type(kind.operations(run.azure)).__module__ for kind in KINDS}
    wanted = {kind.type: SDKS[kind.type.split("/")[0].removeprefix("Microsoft.")] for kind in KINDS}
    assert {kind: name.split(".")[2] for kind, name in modules.items()} == wanted
    assert modules["Microsoft.Network/publicIPAddresses"].startswith("azure.mgmt.network.")


@each(*RESOURCES)
async def test_matching_writes_nothing(world: World, resource: Resource) -> None:
    first = await world.run(resource.step)
    second = await world.run(resource.step)
    assert world.writes() == []
    assert second.change.kind == "unchanged"
    assert second == first.model_copy(update={"change": second.change})


@typical(*RESOURCES)
async def test_foreign_fields_are_left_alone(world: World, resource: Resource) -> None:
    made = await world.run(resource.step)
    theirs = world.change(made.id, resource.api_version, resource.foreign)
    assert {path: at(theirs, path) for path in resource.foreign} != {
        path: at(resource.body(world), path) for path in resource.foreign
    }
    again = await world.run(resource.step)
    assert world.writes() == []
    assert again.change.kind == "unchanged"


@each(*DRIFTING)
async def test_a_field_of_ours_that_drifted_is_put_back_and_nothing_else(
    world: World, resource: Resource
) -> None:
    made = await world.run(resource.step)
    path, value = resource.drift
    theirs = world.change(made.id, resource.api_version, resource.foreign | {path: value})
    assert at(theirs, path) == value

    again = await world.run(resource.step)

    (write,) = world.writes()
    update = (UPDATES | (RETAGS if path.startswith("tags.") else {})).get(resource.operation)
    assert (
        (write["method"], write["operation"]) == ("PATCH", update) if update else ("PUT", resource.operation)
    )
    ours = at(resource.body(world), path)
    assert again.change.fields == (FieldChange(field=path, old=value, new=ours),)
    assert again.change.kind == "updated"
    put_at(theirs, path, ours)
    assert lasting(world.read(made.id, resource.api_version)) == lasting(theirs)


# What only Azure writes, of all types together...
AZURES_OWN = frozenset(
    {
        *("accountId", "clientId", "createdDate", "creationTime", "currentKubernetesVersion"),
        *("currentOrchestratorVersion", "customerId", "defaultIngestionSettings", "eTag", "endpoint"),
        *("etag", "fqdn", "grafanaVersion", "immutableId", "issuerURL", "keyCreationTime", "logsIngestion"),
        *("metrics", "metricsIngestion", "modifiedDate", "primaryEndpoints", "principalId"),
        *("provisioningState", "resourceUID", "statusOfPrimary", "systemData", "tenantId"),
    }
)
# ...and where a client may write a field of such a name: https://learn.microsoft.com/rest/api/aks/managed-clusters
OURS_TOO = {
    ("azureMonitorProfile", "metrics"),
    ("kubeletidentity", "clientId"),
    ("servicePrincipalProfile", "clientId"),
}
TAGGED = [
    one for one in RESOURCES if one.owned or one.step in ("metrics_endpoint", "metrics_rule", "logs_rule")
]


def azures_own(node: Any, above: str = "") -> set[str]:
    """Which of a body's keys only Azure writes, at whatever depth."""
    if isinstance(node, list):
        return set().union(*(azures_own(item, above) for item in node))
    if not isinstance(node, dict):
        return set()
    here = {key for key in node if key in AZURES_OWN and (above, key) not in OURS_TOO}
    return here.union(*(azures_own(value, key) for key, value in node.items()))


@each(*TAGGED)
async def test_a_tag_that_drifted_is_written_without_what_only_azure_writes(
    world: World, resource: Resource
) -> None:
    made = await world.run(resource.step)
    theirs = world.change(made.id, resource.api_version, {"tags.owner": "somebody"})
    assert azures_own(theirs), "Azure shows nothing of its own here"

    again = await world.run(resource.step)

    (write,) = world.writes()
    assert [field.field for field in again.change.fields] == ["tags.owner"]
    assert azures_own(write["body"]) == set()
    if resource.operation in UPDATES | RETAGS:
        assert (write["method"], list(write["body"])) == ("PATCH", ["tags"])


@pytest.mark.parametrize(
    ("resource", "fixed"),
    [pytest.param(one, fixed, id=f"{one.step}-{fixed.path}") for one in RESOURCES for fixed in one.fixed],
)
async def test_what_cant_be_changed_in_place_is_refused_before_any_write(
    world: World, resource: Resource, fixed: Fixed
) -> None:
    resource_id = await prerequisites(world, resource)
    body = resource.body(world)
    wanted = at(body, fixed.path)
    put_at(body, fixed.path, fixed.other)
    world.write(resource_id, resource.api_version, body)

    with pytest.raises(ImmutableChange) as refused:
        await world.run(resource.step)

    assert world.writes() == []
    (field,) = refused.value.fields
    assert (field.field, field.old, field.new) == (fixed.path, fixed.other, wanted)
    for part in (resource_id.rsplit("/", 1)[-1], fixed.path, repr(fixed.other), repr(wanted), fixed.way_out):
        assert part in str(refused.value)


@each(*OWNED)
async def test_an_untagged_resource_of_our_name_is_not_ours(world: World, resource: Resource) -> None:
    resource_id = await prerequisites(world, resource)
    theirs = world.write(
        resource_id, resource.api_version, resource.body(world) | {"tags": {"owner": "user"}}
    )
    with pytest.raises(NotOurs) as refused:
        await world.run(resource.step)
    assert world.writes() == []
    assert world.read(resource_id, resource.api_version) == theirs
    group = resource_id.split("/")[4]
    assert resource_id.rsplit("/", 1)[-1] in str(refused.value)
    assert f"set adopt: {group}" in str(refused.value)


@typical(*LASTING)
async def test_a_half_done_operation_is_waited_for_and_not_repeated(world: World, resource: Resource) -> None:
    resource_id = await prerequisites(world, resource)
    world.azure.settings(durations={resource.lasts: LONG_S})
    world.begin_write(resource_id, resource.api_version, resource.body(world))
    waits = world.until_over()
    made = await world.run(resource.step)
    assert waits, "nothing was left to wait for"
    assert all(any(word in text for word in ("Creating", "Accepted", "Updating")) for text in waits)
    assert world.writes() == []
    assert made.change.kind == "unchanged"
    assert at(world.read(resource_id, resource.api_version), "properties.provisioningState") == "Succeeded"


async def test_a_monitor_workspace_that_another_run_is_making_is_waited_for(world: World) -> None:
    """Its PUT answers at the end only, so a run that was killed leaves one without an answer."""
    resource = next(one for one in RESOURCES if one.step == "monitor_workspace")
    resource_id = await prerequisites(world, resource)
    world.azure.settings(durations={"monitor_workspace_create": LONG_S})
    other = asyncio.create_task(
        asyncio.to_thread(world.write, resource_id, resource.api_version, resource.body(world))
    )
    while not world.azure.ledger(operation=resource.operation):
        await asyncio.sleep(0)
    waits = world.until_over()
    made = await world.run("monitor_workspace")
    await other
    assert waits
    assert (made.change.kind, world.writes()) == ("unchanged", [])


@typical(*LASTING)
async def test_a_failed_resource_is_written_again(world: World, resource: Resource) -> None:
    resource_id = await prerequisites(world, resource)
    world.azure.fault({"operation_fails": {"code": "InternalError"}}, operation=resource.operation)
    failed = world.write(resource_id, resource.api_version, resource.body(world))
    assert at(failed, "properties.provisioningState") == "Failed"

    made = await world.run(resource.step)

    (write,) = world.writes()
    assert (write["method"], write["operation"]) == ("PUT", resource.operation)
    assert at(world.read(resource_id, resource.api_version), "properties.provisioningState") == "Succeeded"
    if resource in COMPARED:
        state = FieldChange(field="provisioningState", old="Failed", new="Succeeded")
        assert made.change.fields == (state,)


@each(*(one for one in LASTING if one.step != "log_workspace"))
async def test_the_reason_of_an_operation_that_failed_is_told_wherever_azure_keeps_it(
    world: World, resource: Resource
) -> None:
    """In the operation's status, or, for a storage account, in what its Location answers."""
    await prerequisites(world, resource)
    reason = {"code": "RequestDisallowedByPolicy", "message": "Policy 'only-tuesdays' denies it."}
    world.azure.fault({"operation_fails": reason}, operation=resource.operation)
    with pytest.raises(AzureRefused, match="Policy 'only-tuesdays' denies it") as refused:
        await world.run(resource.step)
    assert len(world.writes()) == 1
    assert refused.value.code == "RequestDisallowedByPolicy"


async def test_a_failure_without_a_reason_says_so_and_the_next_run_writes_again(world: World) -> None:
    """A Log Analytics workspace has no status but its own state."""
    await world.prepare("resource_group")
    world.azure.fault({"operation_fails": {"code": "Hidden"}}, operation="Workspaces_CreateOrUpdate")
    with pytest.raises(AzureRefused, match="ended as Failed and Azure gave no reason"):
        await world.run("log_workspace")
    assert len(world.writes()) == 1
    made = await world.run("log_workspace")
    assert (len(world.writes()), made.change.kind) == (1, "updated")


@typical(*RESOURCES)
async def test_a_permanent_refusal_is_told_and_not_retried(world: World, resource: Resource) -> None:
    resource_id = await prerequisites(world, resource)
    message = "Resource was disallowed by policy 'only-tuesdays'."
    world.azure.fault(
        {"status": 403, "code": "RequestDisallowedByPolicy", "message": message},
        operation=resource.operation,
        times=9,
    )
    with pytest.raises(AzureRefused) as refused:
        await world.run(resource.step)
    assert [write["status"] for write in world.writes()] == [403]
    assert refused.value.code == "RequestDisallowedByPolicy"
    for part in (resource_id.rsplit("/", 1)[-1], message, "Ask whoever owns the named policy assignment"):
        assert part in str(refused.value)


@typical(*RESOURCES)
async def test_a_lost_answer_is_looked_up_and_the_write_not_repeated(
    world: World, resource: Resource
) -> None:
    await prerequisites(world, resource)
    world.azure.fault({"cut": "after"}, operation=resource.operation)
    made = await world.run(resource.step)
    (write,) = world.writes()
    assert write["status"] is None
    later = [entry for entry in world.requests(service="arm") if entry["n"] > write["n"]]
    assert later
    assert {entry["method"] for entry in later} == {"GET"}
    assert made.change.kind == "created"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real seconds for an answer; the sandbox's clock runs a thousand times as fast."""
    monkeypatch.setattr(limits, "arm_read_s", 0.5)
    monkeypatch.setattr("aks_postgres.arm.reconcile.ARRIVES_WITHIN_S", 400)


@pytest.mark.usefixtures("impatient")
@typical(*(one for one in RESOURCES if one.step in ("resource_group", "grafana", "cluster", "node_pool")))
async def test_a_write_that_arrives_after_its_time_out_is_waited_for_and_not_repeated(
    world: World, resource: Resource
) -> None:
    await prerequisites(world, resource)
    world.azure.fault({"delay_s": 550}, operation=resource.operation)
    made = await world.run(resource.step)
    assert len(world.writes()) == 1
    assert made.change.kind == "created"


@typical(*RESOURCES)
async def test_a_write_that_never_arrived_is_sent_again(world: World, resource: Resource) -> None:
    await prerequisites(world, resource)
    world.azure.fault({"cut": "before"}, operation=resource.operation)
    made = await world.run(resource.step)
    assert [write["status"] is None for write in world.writes()] == [True, False]
    assert made.change.kind == "created"


@typical(*RESOURCES)
async def test_trouble_of_azures_that_passes_is_waited_out(world: World, resource: Resource) -> None:
    await prerequisites(world, resource)
    world.azure.fault({"status": 503, "code": "ServiceUnavailable"}, operation=resource.operation, times=6)
    made = await world.run(resource.step)
    statuses = [write["status"] for write in world.writes()]
    assert statuses[:-1] == [503] * 6
    assert statuses[-1] in (200, 201, 202)
    assert made.change.kind == "created"
