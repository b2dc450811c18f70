"""The steps of a tear-down: what they find absent, what they leave alone, what they wait for."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from aks_postgres.arm.diff import merged
from aks_postgres.arm.errors import NotOurs, OperationNotDone, WouldWrite
from aks_postgres.reports.outputs import Target
from aks_postgres.reports.receipt import BackupAccount, Removals
from aks_postgres.resources import managed_cluster
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names
from aks_postgres.tasks.clean_up import (
    delete_associations,
    delete_cluster,
    delete_data_collection,
    delete_grafana,
    delete_log_workspace,
    delete_managed_identities,
    delete_monitor_workspace,
    delete_rule_groups,
    end_cluster_operation,
)
from aks_postgres.tasks.clean_up_groups import delete_resource_group, see_to_backups
from aks_postgres.tasks.clean_up_roles import delete_grafana_roles, delete_identity_roles
from aks_postgres.tasks.resource_group import mark_generation, remember_generation
from azure_sandbox.client import SandboxProcess

from .conftest import place_for
from .world import World

Step = Callable[[EnvironmentSpec, Target], Coroutine[Any, Any, Removals]]

GROUPS, IDENTITIES = "2024-11-01", "2024-11-30"

STEPS: dict[str, Step] = {
    "associations": lambda _, site: delete_associations.fn(site),
    "rule_groups": delete_rule_groups.fn,
    "cluster": delete_cluster.fn,
    "grafana_roles": lambda _, site: delete_grafana_roles.fn(site),
    "grafana": delete_grafana.fn,
    "identity_roles": lambda _, site: delete_identity_roles.fn(site),
    "data_collection": delete_data_collection.fn,
    "monitor_workspace": delete_monitor_workspace.fn,
    "log_workspace": delete_log_workspace.fn,
    "identity": delete_managed_identities.fn,
    "resource_group": delete_resource_group.fn,
    "backups": lambda spec, site: see_to_backups.fn(spec, vault(site, wanted=True)),
}


def vault(site: Target, *, wanted: bool) -> BackupAccount:
    names = site.names
    return BackupAccount(
        name=names.storage_account,
        id=site.resource_id("Microsoft.Storage/storageAccounts", names.storage_account, names.backup_group),
        group=names.backup_group,
        group_id=site.group_id(names.backup_group),
        wanted=wanted,
        apart=True,
        is_there=True,
    )


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_what_isnt_there_is_no_error_and_nothing_is_written(world: World, step: Step) -> None:
    world.mark()
    removals = await step(world.spec, world.place)
    assert {item.outcome for item in removals.items} <= {"not found"}
    assert world.writes() == []


@pytest.mark.parametrize(
    ("made", "step"),
    [
        ("identity", "identity"),
        ("log_workspace", "log_workspace"),
        ("metrics_rule", "data_collection"),
        ("storage_account", "backups"),
        ("resource_group", "resource_group"),
    ],
)
async def test_what_has_lost_its_tags_stays(world: World, made: str, step: str) -> None:
    await world.prepare(made)
    resource = next(one for one in resources(world) if one["id"] == world.made[made].id)
    api_version = {
        "identity": IDENTITIES,
        "log_workspace": "2025-07-01",
        "metrics_rule": "2024-03-11",
        "storage_account": "2025-08-01",
        "resource_group": GROUPS,
    }[made]
    world.change(resource["id"], api_version, {"tags": {"owner": "user"}})
    world.mark()
    with pytest.raises(NotOurs, match="has this environment's name but not its tags"):
        await STEPS[step](world.spec, world.place)
    assert resource["id"] in [one["id"] for one in resources(world)]
    assert [
        write for write in world.writes() if made in ("identity", "resource_group", "storage_account")
    ] == []


def resources(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.azure.control("GET", "resources")["resources"]
    return found


@pytest.mark.parametrize(("made", "step"), [("identity", "identity"), ("grafana", "grafana")])
async def test_a_run_that_only_reads_deletes_nothing(world: World, made: str, step: str) -> None:
    await world.prepare(made)
    world.mark()
    async with run_session(world.spec, read_only=True):
        with pytest.raises(WouldWrite, match="would be deleted"):
            await STEPS[step](world.spec, world.place)
    assert world.writes() == []


async def test_an_operation_that_runs_on_it_ends_before_it_is_deleted(world: World) -> None:
    await world.prepare("resource_group")
    world.azure.settings(durations={"grafana_create": 10_000})
    place = world.place
    grafana = place.resource_id("Microsoft.Dashboard/grafana", place.names.grafana)
    group = world.read(world.made["resource_group"].id, GROUPS)
    body = {
        "location": "canadacentral",
        "tags": group["tags"],
        "sku": {"name": "Standard"},
        "identity": {"type": "SystemAssigned"},
        "properties": {},
    }
    world.begin_write(grafana, "2024-10-01", body)
    waits = world.until_over()
    world.mark()
    (removed,) = (await delete_grafana.fn(world.spec, place)).items
    assert removed.outcome == "deleted"
    assert waits[0].endswith("is Accepted")
    assert [write["method"] for write in world.writes()] == ["DELETE"]


async def test_a_deletion_is_believed_when_reading_says_so(world: World) -> None:
    await world.prepare("grafana")
    world.azure.settings(durations={"grafana_delete": 100_000})
    waits = world.until_over()
    (removed,) = (await delete_grafana.fn(world.spec, world.place)).items
    assert removed.outcome == "deleted"
    assert waits[0] == f"Managed Grafana {world.place.names.grafana} is being deleted"
    assert removed.id not in [one["id"] for one in resources(world)]


async def test_a_cluster_is_deleted_whatever_runs_on_it(world: World) -> None:
    await world.prepare("resource_group", "identity")
    world.azure.settings(durations={"aks_cluster_create": 100_000})
    place = world.place
    wanted, once = managed_cluster.desired(world.spec, place, world.made["identity"].id)
    cluster = place.resource_id("Microsoft.ContainerService/managedClusters", place.names.cluster)
    world.begin_write(cluster, "2026-06-01", merged(once, wanted))
    world.mark()
    removed = (await delete_cluster.fn(world.spec, place)).items[0]
    assert (removed.what, removed.outcome) == ("AKS cluster", "deleted")
    assert [write["operation"] for write in world.writes()] == ["ManagedClusters_Delete"]


async def test_a_cluster_whose_running_operation_tells_of_an_error_is_deleted(world: World) -> None:
    """Recorded of AKS: an error beside InProgress, of a write that the deletion overtakes and of the deletion."""
    await world.prepare("cluster")
    world.azure.control("POST", "scenarios", {"name": "error-while-in-progress"})
    meanwhile = {"operation_error_meanwhile": {"code": "ReconcilePortalDNSError"}}
    world.azure.fault(meanwhile, operation="ManagedClusters_Delete", times=2)
    cluster = world.made["cluster"].id
    body = world.read(cluster, "2026-06-01")
    body["tags"] |= {"changed": "meanwhile"}
    world.begin_write(cluster, "2026-06-01", body)
    world.mark()
    removed = (await delete_cluster.fn(world.spec, world.place)).items[0]
    assert (removed.what, removed.outcome) == ("AKS cluster", "deleted")
    assert [write["operation"] for write in world.writes()] == ["ManagedClusters_Delete"]
    assert cluster not in [one["id"] for one in resources(world)]


async def test_kept_backups_are_read_and_not_written(world: World) -> None:
    await world.prepare("container")
    world.mark()
    removals = await see_to_backups.fn(world.spec, vault(world.place, wanted=False))
    assert [(item.what, item.outcome) for item in removals.items] == [
        ("storage account", "kept"),
        ("backup resource group", "kept"),
    ]
    assert world.writes() == []


# The group's tags.


def later(world: World, generation: int) -> Target:
    names = Names.of(world.spec, world.azure.subscription_id, generation)
    return Target(subscription_id=world.azure.subscription_id, generation=generation, names=names)


async def remembered(world: World, generation: int) -> str:
    await remember_generation.fn(world.spec, later(world, generation))
    tags: dict[str, str] = world.read(world.made["backup_group"].id, GROUPS)["tags"]
    return tags["aks-postgres-last-generation"]


async def test_the_backup_group_remembers_the_highest_generation(world: World) -> None:
    await world.prepare("backup_group")
    before = world.read(world.made["backup_group"].id, GROUPS)["tags"]
    assert await remembered(world, 3) == "3"
    assert await remembered(world, 2) == "3"
    after = world.read(world.made["backup_group"].id, GROUPS)["tags"]
    assert after == before | {"aks-postgres-last-generation": "3"}


async def test_marking_and_remembering_make_no_group_that_isnt_there(
    world: World, azure: SandboxProcess
) -> None:
    site = place_for(azure, world.spec)
    world.mark()
    await mark_generation.fn(world.spec, site, "retiring")
    await remember_generation.fn(world.spec, site)
    assert world.writes() == []


async def test_a_group_that_is_going_is_left_alone(world: World) -> None:
    await world.prepare("resource_group")
    world.azure.settings(durations={"resource_group_delete": 100_000})
    assert world.azure.arm("DELETE", world.made["resource_group"].id, api_version=GROUPS).status_code == 202
    world.mark()
    await mark_generation.fn(world.spec, world.place, "retiring")
    assert world.writes() == []


async def test_a_group_that_stays_for_its_backups_isnt_retiring_again(world: World) -> None:
    await world.prepare("resource_group")
    await mark_generation.fn(world.spec, world.place, "retiring")
    await mark_generation.fn(world.spec, world.place, "retired")
    world.mark()
    await mark_generation.fn(world.spec, world.place, "retiring")
    assert world.writes() == []
    tags = world.read(world.made["resource_group"].id, GROUPS)["tags"]
    assert tags["aks-postgres-state"] == "retired"


def never_finished(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have AKS create the cluster without an end; returns its ID."""
    kind = replace(managed_cluster.KIND, delete_deadline_s=60, create_deadline_s=60)
    monkeypatch.setattr(managed_cluster, "KIND", kind)
    world.azure.control("POST", "scenarios", {"name": "never-ends"})
    return begin_cluster(world)


def begin_cluster(world: World) -> str:
    """Have AKS begin to create the cluster; returns its ID."""
    wanted, once = managed_cluster.desired(world.spec, world.place, world.made["identity"].id)
    cluster = world.place.resource_id("Microsoft.ContainerService/managedClusters", world.place.names.cluster)
    world.begin_write(cluster, "2026-06-01", merged(once, wanted))
    world.mark()
    return cluster


async def test_what_aks_never_finishes_is_ended_by_its_own_operation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https://learn.microsoft.com/azure/aks/manage-abort-operations"""
    await world.prepare("resource_group", "identity")
    cluster = never_finished(world, monkeypatch)
    world.until_over()
    await end_cluster_operation.fn(world.spec, world.place)
    assert [write["operation"] for write in world.writes()] == ["ManagedClusters_AbortLatestOperation"]
    assert world.read(cluster, "2026-06-01")["properties"]["provisioningState"] == "Canceled"
    await end_cluster_operation.fn(world.spec, world.place)
    assert len(world.writes()) == 1


async def test_an_operation_that_ends_before_it_is_aborted_is_no_error(world: World) -> None:
    """The REST reference: "If the operation completes before cancellation can take place, a 409 ... is returned"."""
    await world.prepare("resource_group", "identity")
    world.azure.settings(durations={"aks_cluster_create": 10_000})
    begin_cluster(world)
    text = "Cancel operation is not allowed when the ProvisioningState is Succeeded"
    refusal = {"status": 409, "code": "OperationNotAllowed", "message": text}
    world.azure.fault(refusal, operation="ManagedClusters_AbortLatestOperation", times=1)

    told = world.when("conflict", lambda: world.azure.step(20_000))
    await end_cluster_operation.fn(world.spec, world.place)
    assert [text in one for one in told] == [True]
    assert len(world.writes()) == 1


async def test_the_operation_of_a_cluster_that_isnt_ours_is_left_to_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.prepare("resource_group", "identity")
    cluster = never_finished(world, monkeypatch)
    state = world.azure.control("GET", "state")
    for one in state["resources"]:
        if one["id"].casefold() == cluster.casefold():
            one["body"]["tags"] = {"owner": "user"}
    world.azure.control("PUT", "state", state)
    with pytest.raises(NotOurs):
        await end_cluster_operation.fn(world.spec, world.place)
    assert world.writes() == []


async def test_a_run_that_only_reads_ends_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.prepare("resource_group", "identity")
    never_finished(world, monkeypatch)
    async with run_session(world.spec, read_only=True):
        with pytest.raises(WouldWrite, match="would be ended"):
            await end_cluster_operation.fn(world.spec, world.place)
    assert world.writes() == []


async def test_a_run_that_waits_for_it_in_vain_aborts_nothing_and_says_how(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.prepare("resource_group", "identity")
    never_finished(world, monkeypatch)
    names = world.place.names
    command = f"az aks operation-abort --resource-group {names.resource_group} --name {names.cluster};"
    with pytest.raises(OperationNotDone, match=command):
        await world.run("cluster")
    assert world.writes() == []
