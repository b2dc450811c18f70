"""Whatever writes the managed cluster shares it: with AKS's own operations, with people, with each other.

Sources: https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/operationnotallowed and
the issues that the tests name.
"""

from dataclasses import dataclass

import pytest

from aks_postgres.arm.errors import AzureRefused, ClusterBusy, NotOurs

from ..cases import shown
from .conftest import world_with
from .world import LONG_S, Json, World, at, lasting, put_at

CLUSTER_PUT = "ManagedClusters_CreateOrUpdate"
POOL_PUT = "AgentPools_CreateOrUpdate"
API = "2026-06-01"
THEIRS = "properties.autoUpgradeProfile.nodeOSUpgradeChannel"
BUSY = {
    "status": 409,
    "code": "OperationNotAllowed",
    "message": "Operation is not allowed: Another operation (Updating) is in progress, please wait for it to "
    "finish before starting a new operation.",
    "bare": True,
}


@dataclass(frozen=True)
class Writer:
    """A step that writes the cluster or one of its pools: its request, and what it wants to be so."""

    step: str
    operation: str
    wants: Json


METRICS = Writer("metrics_on", CLUSTER_PUT, {"properties.azureMonitorProfile.metrics.enabled": True})
INSIGHTS = Writer(
    "container_insights", CLUSTER_PUT, {"properties.addonProfiles.omsagent.config.useAADAuth": "true"}
)
POOL = Writer("node_pool", POOL_PUT, {"properties.agentPoolProfiles[postgres].maxCount": 6})
WRITERS = (METRICS, INSIGHTS, POOL)
each_writer = pytest.mark.parametrize("writer", WRITERS, ids=[one.step for one in WRITERS])
# Both writers of the cluster go the same way.
typical_writer = pytest.mark.parametrize(
    "writer",
    [METRICS, pytest.param(INSIGHTS, marks=pytest.mark.thorough), POOL],
    ids=[one.step for one in WRITERS],
)
each_cluster_writer = pytest.mark.parametrize("writer", [METRICS, INSIGHTS], ids=["metrics_on", "insights"])


def cluster(world: World) -> Json:
    return world.read(world.made["cluster"].id, API)


def wanted(world: World, writer: Writer) -> Json:
    return {path: at(cluster(world), path) for path in writer.wants}


async def prepared(world: World, writer: Writer) -> str:
    """Have everything before the step done; the cluster's ID."""
    step = world.steps[writer.step]
    await world.prepare(*step.takes, *step.after)
    cluster_id: str = world.made["cluster"].id
    return cluster_id


def statuses(world: World, writer: Writer) -> list[int | None]:
    return [write["status"] for write in world.writes() if write["operation"] == writer.operation]


# What the two steps send that change a cluster of another step's.


@each_cluster_writer
async def test_the_whole_cluster_is_sent_back_with_one_thing_changed(world: World, writer: Writer) -> None:
    """A PUT replaces: what isn't in it is gone. https://learn.microsoft.com/rest/api/aks/managed-clusters"""
    await world.prepare("cluster", "node_pool")
    cluster_id = await prepared(world, writer)
    before = world.change(cluster_id, API, {THEIRS: "SecurityPatch", "tags.cost-center": "42"})
    made = await world.run(writer.step)
    (write,) = world.writes()
    assert (write["operation"], write["path"].casefold()) == (writer.operation, cluster_id.casefold())
    assert made.change.kind == "updated"
    after = cluster(world)
    assert {path: at(after, path) for path in writer.wants} == writer.wants
    # Container insights shows in both.
    for changed in ("azureMonitorProfile", *(() if writer is METRICS else ("addonProfiles",))):
        put_at(after, f"properties.{changed}", at(before, f"properties.{changed}"))
    for empty in [name for name, value in after["properties"].items() if value is None]:
        del after["properties"][empty]
    assert lasting(after) == lasting(before)


async def test_the_add_on_is_switched_on_as_az_does_it(world: World) -> None:
    await world.run("container_insights")
    (write,) = world.writes()
    assert at(write["body"], "properties.addonProfiles.omsagent") == {
        "enabled": True,
        "config": {
            "logAnalyticsWorkspaceResourceID": world.made["log_workspace"].id,
            "useAADAuth": "true",
        },
    }
    assert "servicePrincipalProfile" not in write["body"]["properties"]


@each_cluster_writer
async def test_switched_on_already_writes_nothing(world: World, writer: Writer) -> None:
    await world.run(writer.step)
    again = await world.run(writer.step)
    assert (world.writes(), again.change.kind) == ([], "unchanged")


@each_cluster_writer
async def test_switched_off_by_a_person_is_switched_on_again(world: World, writer: Writer) -> None:
    await world.run(writer.step)
    # Of the two views of Container insights, AKS takes the profile's; it shows both as off.
    off = "metrics" if writer is METRICS else "containerInsights"
    world.change(world.made["cluster"].id, API, {f"properties.azureMonitorProfile.{off}.enabled": False})
    again = await world.run(writer.step)
    shown = {f"azureMonitorProfile.{off}", *(() if writer is METRICS else ("addonProfiles.omsagent",))}
    assert {str(change) for change in again.change.fields} == {
        f"properties.{one}.enabled: false -> true" for one in shown
    }
    assert statuses(world, writer) == [200]


async def test_insights_that_write_elsewhere_are_turned_to_our_workspace(world: World) -> None:
    await world.run("container_insights")
    ours = world.made["log_workspace"].id
    other = ours.replace("ala-", "other-")
    world.write(other, "2025-02-01", {"location": "canadacentral"})
    add_on = "properties.addonProfiles.omsagent.config.logAnalyticsWorkspaceResourceID"
    profile = "properties.azureMonitorProfile.containerInsights.logAnalyticsWorkspaceResourceId"
    world.change(world.made["cluster"].id, API, {profile: other})
    again = await world.run("container_insights")
    assert {change.field: change.old for change in again.change.fields} == {add_on: other, profile: other}
    assert [at(cluster(world), path) for path in (add_on, profile)] == [ours, ours]


@each_cluster_writer
async def test_a_cluster_that_somebody_deleted_isnt_made_by_the_way(world: World, writer: Writer) -> None:
    cluster_id = await prepared(world, writer)
    assert world.azure.arm("DELETE", cluster_id, api_version=API).status_code == 202
    world.azure.step(LONG_S)
    with pytest.raises(NotOurs, match=r"was deleted by someone .* Run again\."):
        await world.run(writer.step)
    assert world.writes() == []
    # The next run begins at the cluster.
    for made in [*world.made]:
        if made not in ("resource_group", "identity", "log_workspace", "monitor_workspace"):
            world.made.pop(made)
    assert (await world.run(writer.step)).change.kind == "updated"


# Sharing it.


@typical_writer
async def test_a_busy_cluster_is_asked_again_until_it_isnt(world: World, writer: Writer) -> None:
    await prepared(world, writer)
    world.azure.fault(BUSY, operation=writer.operation, times=3)
    conflicts = world.when("conflict")
    await world.run(writer.step)
    assert statuses(world, writer) == [409, 409, 409, 200 if writer is not POOL else 201]
    assert len(conflicts) == 3
    assert "AKS is busy with another operation" in conflicts[0]
    assert "Another operation (Updating) is in progress" in conflicts[0]
    assert wanted(world, writer) == writer.wants


@typical_writer
async def test_another_pools_operation_is_waited_for(world: World, writer: Writer) -> None:
    """AKS refuses a write while any pool is being written."""
    cluster_id = await prepared(world, writer)
    world.azure.settings(durations={"aks_pool_add": LONG_S})
    profile = at(cluster(world), "properties.agentPoolProfiles[systempool]")
    world.begin_write(f"{cluster_id}/agentPools/theirs", API, {"properties": {**profile, "mode": "User"}})
    world.azure.settings(durations={"aks_pool_add": 5})
    waits = world.until_over()
    await world.run(writer.step)
    assert "node pool theirs Creating" in waits[0]
    assert len(statuses(world, writer)) == 1
    assert wanted(world, writer) == writer.wants


@typical_writer
async def test_an_operation_that_aks_starts_by_itself_is_waited_for(world: World, writer: Writer) -> None:
    """https://github.com/Azure/telescope/pull/1213"""
    world.azure.settings(
        spontaneous_operations=True,
        durations={"aks_spontaneous_wait": LONG_S, "aks_spontaneous_operation": LONG_S},
    )
    await prepared(world, writer)
    world.azure.step(LONG_S + LONG_S / 2)
    assert cluster(world)["properties"]["provisioningState"] == "Updating"
    waits = world.until_over()
    await world.run(writer.step)
    assert "is Updating" in waits[0]
    assert len(statuses(world, writer)) == 1
    assert wanted(world, writer) == writer.wants


@typical_writer
async def test_an_operation_that_begins_between_look_and_write_is_waited_for(
    world: World, writer: Writer
) -> None:
    """The write meets 409 from another pool's operation, or 412 from the cluster's own."""
    cluster_id = await prepared(world, writer)
    theirs = cluster(world)
    put_at(theirs, THEIRS, "SecurityPatch")

    def somebody_writes() -> None:
        world.azure.settings(durations={"aks_cluster_update": LONG_S})
        world.begin_write(cluster_id, API, theirs)
        world.azure.settings(durations={"aks_cluster_update": 5})
        world.until_over()
        world.azure.step(LONG_S / 2)  # Our write arrives in the middle of theirs.

    await world.run_while(writer.step, somebody_writes, operation=writer.operation)
    assert statuses(world, writer)[0] == (409 if writer is POOL else 412)
    assert len(statuses(world, writer)) == 2 + (writer is not POOL)  # theirs counts where it is the same kind
    assert wanted(world, writer) == writer.wants
    assert at(cluster(world), THEIRS) == "SecurityPatch"


@each_cluster_writer
async def test_a_change_by_somebody_in_between_is_kept(world: World, writer: Writer) -> None:
    """If-Match: https://learn.microsoft.com/azure/aks/use-etags"""
    cluster_id = await prepared(world, writer)
    await world.run_while(
        writer.step, lambda: world.change(cluster_id, API, {THEIRS: "SecurityPatch"}), operation=CLUSTER_PUT
    )
    ((path, value),) = writer.wants.items()
    ours = [write for write in world.writes() if at(write["body"], path) == value]
    assert [write["status"] for write in ours] == [412, 200]
    assert wanted(world, writer) == writer.wants
    assert at(cluster(world), THEIRS) == "SecurityPatch"


async def test_a_pool_that_appeared_in_between_isnt_overwritten(world: World) -> None:
    """If-None-Match: a new pool is a new one, or compared like any other."""
    cluster_id = await prepared(world, POOL)
    profile = at(cluster(world), "properties.agentPoolProfiles[systempool]")
    theirs = {**profile, "mode": "User", "maxCount": 12, "count": 5, "nodeLabels": {"their": "label"}}
    made = await world.run_while(
        "node_pool",
        lambda: world.write(f"{cluster_id}/agentPools/postgres", API, {"properties": theirs}),
        operation=POOL_PUT,
    )
    assert [write["status"] for write in world.writes()] == [412, 201, 200]
    pool = at(cluster(world), "properties.agentPoolProfiles[postgres]")
    assert (pool["maxCount"], pool["count"]) == (6, 5)
    assert pool["nodeLabels"] == {"their": "label", "workload": "postgres"}
    assert made.count == 5


async def test_an_etag_mismatch_inside_aks_is_read_again(world: World) -> None:
    """https://github.com/Azure/terraform-azurerm-aks/issues/604"""
    await prepared(world, METRICS)
    world.azure.fault(
        {
            "status": 409,
            "code": "EtagMismatch",
            "message": "Operation is not allowed: Another operation is in progress",
            "bare": True,
        },
        operation=CLUSTER_PUT,
        times=2,
    )
    await world.run("metrics_on")
    assert statuses(world, METRICS) == [409, 409, 200]
    gets = world.requests(operation="ManagedClusters_Get")
    assert len(gets) >= 3, "each write must follow a new look"


@typical_writer
async def test_busy_for_the_whole_budget_is_temporary(
    world: World, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AKS_POSTGRES_BUSY_BUDGET_S", "60")
    await prepared(world, writer)
    world.azure.fault(BUSY, operation=writer.operation, times=99)
    with pytest.raises(ClusterBusy) as busy:
        await world.run(writer.step)
    for part in ("Another operation (Updating) is in progress", "tried again for 1 min 0 s", "Run again"):
        assert part in str(busy.value)


# Operations that end otherwise.


@typical_writer
async def test_an_operation_that_fails_and_heals_isnt_repeated(world: World, writer: Writer) -> None:
    """https://github.com/Azure/AKS/issues/2227"""
    await prepared(world, writer)
    order = {"code": "InternalOperationError", "message": "AKS will continuously retry.", "then": "Succeeded"}
    world.azure.fault({"operation_fails": {**order, "after_s": LONG_S}}, operation=writer.operation)
    conflicts = world.when("conflict", lambda: world.azure.step(LONG_S))
    made = await world.run(writer.step)
    assert len(statuses(world, writer)) == 1
    assert "AKS will continuously retry." in conflicts[0]
    assert made.change.kind in ("created", "updated")
    assert wanted(world, writer) == writer.wants


@typical_writer
@pytest.mark.parametrize(
    ("fault", "code"),
    shown(
        [
            ({"operation_canceled": True}, "canceled by a later operation"),
            (
                {"operation_fails": {"code": "AKSOperationPreempted", "message": "preempted"}},
                "AKSOperationPreempted",
            ),
            (
                {"operation_fails": {"code": "OriginalEtagNotExpect", "message": "etag"}},
                "OriginalEtagNotExpect",
            ),
            (
                # https://github.com/kaito-project/kaito/issues/2075
                {
                    "operation_fails": {
                        "code": "ResourceOperationFailure",
                        "message": "The resource operation completed with terminal provisioning state 'Failed'.",
                        "details": [{"code": "OriginalEtagNotExpect", "message": "etag"}],
                    }
                },
                "OriginalEtagNotExpect",
            ),
            (
                {"operation_fails": {"code": "InternalOperationError", "message": "sorry"}},
                "InternalOperationError",
            ),
        ]
    ),
    ids=["canceled", "pre-empted", "old etag", "old etag inside", "failed"],
)
async def test_an_operation_that_ended_for_passing_reasons_is_written_again(
    world: World, writer: Writer, fault: Json, code: str
) -> None:
    await prepared(world, writer)
    world.azure.fault(fault, operation=writer.operation)
    conflicts = world.when("conflict")
    await world.run(writer.step)
    assert len(statuses(world, writer)) == 2
    assert code in conflicts[0]
    assert wanted(world, writer) == writer.wants
    assert cluster(world)["properties"]["provisioningState"] == "Succeeded"


@each_cluster_writer
async def test_a_write_that_aks_own_operation_overtook_is_written_again(world: World, writer: Writer) -> None:
    """Its own operation runs on when ours has ended; only then is there something to compare."""
    await prepared(world, writer)
    world.azure.fault({"operation_preempted": {"after_s": LONG_S}}, operation=writer.operation)
    world.when("waiting", lambda: world.azure.step(LONG_S))
    world.when("waiting", lambda: world.azure.step(LONG_S))
    await world.run(writer.step)
    assert len(statuses(world, writer)) == 2
    assert wanted(world, writer) == writer.wants


@each_cluster_writer
async def test_succeeded_without_the_change_is_written_again(world: World, writer: Writer) -> None:
    """Succeeded and NotLatestOperation: https://github.com/Azure/azure-powershell/issues/23812"""
    await prepared(world, writer)
    world.azure.fault({"operation_error_but_succeeds": {"applied": False}}, operation=writer.operation)
    conflicts = world.when("conflict")
    await world.run(writer.step)
    assert len(statuses(world, writer)) == 2
    assert "NotLatestOperation" in conflicts[0]
    assert wanted(world, writer) == writer.wants


@typical_writer
async def test_succeeded_with_an_error_and_the_change_made_is_enough(world: World, writer: Writer) -> None:
    await prepared(world, writer)
    world.azure.fault({"operation_error_but_succeeds": {"applied": True}}, operation=writer.operation)
    await world.run(writer.step)
    assert len(statuses(world, writer)) == 1


async def test_a_change_that_never_takes_ends_the_step(world: World) -> None:
    await prepared(world, METRICS)
    world.azure.fault({"operation_error_but_succeeds": {"applied": False}}, operation=CLUSTER_PUT, times=99)
    with pytest.raises(Exception, match=r"Azure took 4 writes and it still differs from the spec: .*metrics"):
        await world.run("metrics_on")
    assert len(statuses(world, METRICS)) == 4


@typical_writer
@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("ErrCode_InsufficientVCPUQuota", "Ask for more quota"),
        ("RequestDisallowedByPolicy", "Ask whoever owns the named policy assignment"),
    ],
)
async def test_an_operation_that_failed_for_good_isnt_repeated(
    world: World, writer: Writer, code: str, advice: str
) -> None:
    """The reason stands in the operation's status only, not on the resource."""
    await prepared(world, writer)
    world.azure.fault(
        {"operation_fails": {"code": code, "message": "There is a reason."}}, operation=writer.operation
    )
    with pytest.raises(AzureRefused) as refused:
        await world.run(writer.step)
    assert len(statuses(world, writer)) == 1
    assert refused.value.code == code
    assert f"{code}: There is a reason." in str(refused.value)
    assert advice in str(refused.value)


async def test_a_quota_refusal_in_the_guise_of_not_allowed_stops(world: World) -> None:
    await prepared(world, POOL)
    message = (
        "Operation could not be completed as it results in exceeding approved Total Regional Cores quota."
    )
    world.azure.fault(BUSY | {"message": message}, operation=POOL_PUT, times=9)
    with pytest.raises(AzureRefused, match="Ask for more quota"):
        await world.run("node_pool")
    assert statuses(world, POOL) == [409]


async def test_a_real_quota_is_named(world: World) -> None:
    await prepared(world, POOL)
    world.azure.settings(quota={"standardDSv5Family": 12})
    with pytest.raises(AzureRefused, match=r"InsufficientVCPUQuota.*Ask for more quota"):
        await world.run("node_pool")


# Throttling and tokens.


@typical_writer
async def test_throttling_is_waited_for_as_long_as_azure_asks(world: World, writer: Writer) -> None:
    await prepared(world, writer)
    world.azure.fault(
        {"status": 429, "code": "Throttled", "message": "Slower.", "bare": True, "retry_after_s": 250},
        operation=writer.operation,
    )
    conflicts = world.when("conflict")
    await world.run(writer.step)
    first, second = [write for write in world.writes() if write["operation"] == writer.operation]
    assert first["status"] == 429
    assert second["real_s"] - first["real_s"] >= 0.25  # 250 s at a speed of 1000
    assert "Azure throttles this caller" in conflicts[0]
    assert "again in 4 min 10 s" in conflicts[0]


async def test_whole_seconds_of_retry_after_are_real_ones(world: World) -> None:
    await prepared(world, METRICS)
    world.azure.fault(
        {"status": 429, "code": "Throttled", "headers": {"Retry-After": "1"}}, operation=CLUSTER_PUT
    )
    await world.run("metrics_on")
    first, second = world.writes()
    assert second["real_s"] - first["real_s"] >= 1


@typical_writer
async def test_a_token_that_expired_on_the_way_is_renewed(world: World, writer: Writer) -> None:
    """https://github.com/hashicorp/terraform-provider-azurerm/issues/20867"""
    await prepared(world, writer)
    world.azure.fault({"expire_tokens": True}, operation=writer.operation)
    notes = world.when("note")
    await world.run(writer.step)
    assert statuses(world, writer)[0] == 401
    assert len(statuses(world, writer)) == 2
    assert "the access token had expired; going on with a new one" in notes
    again = await world.run(writer.step)
    assert (world.writes(), again.change.kind) == ([], "unchanged")


async def test_a_credential_that_cant_be_refreshed_stops_the_step(world: World) -> None:
    await prepared(world, METRICS)
    world.azure.fault(
        {"status": 401, "code": "ExpiredAuthenticationToken", "message": "The access token has expired."},
        operation=CLUSTER_PUT,
        times=99,
    )
    with pytest.raises(AzureRefused, match="sign in again"):
        await world.run("metrics_on")
    assert statuses(world, METRICS) == [401, 401]


# A spec that asks for something else.


async def test_a_cluster_in_the_middle_of_its_deletion_is_waited_for_and_made_anew(world: World) -> None:
    first = await world.run("cluster")
    world.made["cluster"] = first
    world.azure.settings(durations={"aks_cluster_delete": LONG_S})
    assert world.azure.arm("DELETE", first.id, api_version=API).status_code == 202
    waits = world.until_over()
    second = await world.run("cluster")
    assert "is Deleting" in waits[0]
    assert second.change.kind == "created"


@pytest.mark.parametrize(
    ("fields", "path", "old", "new"),
    [
        ({"cluster": {"tier": "Free"}}, "sku.tier", "Standard", "Free"),
        (
            {"system_pool": {"max_count": 5}},
            "properties.agentPoolProfiles[systempool].maxCount",
            3,
            5,
        ),
        (
            {"system_pool": {"labels": {"role": "system"}}},
            "properties.agentPoolProfiles[systempool].nodeLabels.role",
            None,
            "system",
        ),
        ({"tags": {"owner": "team"}}, "tags.owner", "user", "team"),
    ],
    ids=["tier", "max_count", "labels", "tags"],
)
async def test_a_changed_spec_changes_that_field_only(
    world: World, fields: Json, path: str, old: object, new: object
) -> None:
    await world.prepare("cluster", "node_pool", "metrics_on", "container_insights")
    before = cluster(world)
    changed = world_with(world, **fields)
    made = await changed.run("cluster")
    (write,) = changed.writes()
    assert [(one.field, one.old, one.new) for one in made.change.fields] == [(path, old, new)]
    put_at(before, path, new)
    assert lasting(cluster(world)) == lasting(before)
    pools = [pool["name"] for pool in write["body"]["properties"]["agentPoolProfiles"]]
    assert pools == ["systempool", "postgres"]
