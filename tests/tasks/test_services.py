"""Regions, storage, Grafana, addresses: data in, data out."""

from typing import Any

import pytest

from aks_postgres.preflight.findings import Findings
from aks_postgres.preflight.region import (
    REGIONAL_TYPES,
    judge_addresses,
    judge_admins,
    judge_closed_account,
    judge_grafana,
    judge_installer,
    judge_region,
    judge_storage_name,
    judge_storage_sku,
)
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names, resource_tags

FINE = Findings()
SPEC = EnvironmentSpec()
NAMES = Names.of(SPEC, "11111111-2222-3333-4444-555555555555", 1)
LOCATIONS = [
    {"name": "canadacentral", "displayName": "Canada Central"},
    {"name": "canadaeast", "displayName": "Canada East"},
    {"name": "westus3", "displayName": "West US 3"},
]


def providers(without: str = "") -> list[dict[str, Any]]:
    return [
        {
            "namespace": kind.split("/")[0],
            "resourceTypes": [
                {
                    "resourceType": kind.split("/")[1],
                    "locations": ["West US 3"] if kind == without else ["Canada Central", "West US 3"],
                }
            ],
        }
        for kind in REGIONAL_TYPES
    ]


def test_region_with_every_service_is_fine() -> None:
    assert judge_region(SPEC, LOCATIONS, providers()) == FINE


def test_misspelt_region_is_refused_with_those_that_look_like_it() -> None:
    (found,) = judge_region(EnvironmentSpec(region="canadacentra"), LOCATIONS, providers()).problems
    assert found.startswith("region: canadacentra was given")
    assert "Did you mean canadacentral or canadaeast?" in found


@pytest.mark.parametrize("kind", REGIONAL_TYPES)
def test_region_without_a_service_is_refused_by_its_type(kind: str) -> None:
    (found,) = judge_region(SPEC, LOCATIONS, providers(without=kind)).problems
    assert found == f"region: canadacentral was given and has no {kind}. Choose another region."


def storage_sku(name: str, location: str = "CanadaCentral", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "storageAccounts",
        "kind": "StorageV2",
        "name": name,
        "locations": [location],
        **more,
    }


@pytest.mark.parametrize(
    "skus",
    [
        [storage_sku("Standard_LRS")],
        [storage_sku("Standard_LRS"), storage_sku("Standard_ZRS", "westus3")],
        [storage_sku("Standard_LRS"), storage_sku("Standard_ZRS", kind="BlockBlobStorage")],
        [storage_sku("Standard_LRS"), storage_sku("Standard_ZRS", restrictions=[{"type": "location"}])],
    ],
)
def test_redundancy_that_the_region_lacks_is_refused(skus: list[dict[str, Any]]) -> None:
    (found,) = judge_storage_sku(SPEC, skus).problems
    assert found.startswith("storage.sku: Standard_ZRS was given and canadacentral offers Standard_LRS.")


def test_redundancy_that_the_region_has_is_fine() -> None:
    assert judge_storage_sku(SPEC, [storage_sku("Standard_ZRS", restrictions=[])]) == FINE


TAKEN = {
    "nameAvailable": False,
    "reason": "AlreadyExists",
    "message": "The storage account is already taken.",
}


def test_storage_name_that_is_free_or_our_own_is_fine() -> None:
    assert judge_storage_name(SPEC, NAMES, {"nameAvailable": True}, None) == FINE
    assert judge_storage_name(SPEC, NAMES, TAKEN, {"tags": resource_tags(SPEC)}) == FINE
    adopting = EnvironmentSpec(adopt=[NAMES.backup_group])
    assert judge_storage_name(adopting, NAMES, TAKEN, {"tags": {}}) == FINE


def test_storage_name_that_somebody_else_has_is_refused_in_azures_words() -> None:
    (found,) = judge_storage_name(SPEC, NAMES, TAKEN, None).problems
    assert found.startswith(f"suffix: the storage account name {NAMES.storage_account} is taken")
    assert "The storage account is already taken. Set another suffix." in found


def test_storage_account_without_our_tags_is_refused() -> None:
    (found,) = judge_storage_name(SPEC, NAMES, TAKEN, {"tags": {"owner": "user"}}).problems
    assert found.startswith("adopt: ")
    assert f"adopt: {NAMES.backup_group}" in found


def test_zone_redundant_grafana_is_refused_only_where_a_new_one_cannot_be() -> None:
    brazil = EnvironmentSpec(region="brazilsouth")
    (found,) = judge_grafana(brazil, has_own=False).problems
    assert found.startswith("monitoring.grafana_zone_redundancy: true was given, and brazilsouth")
    assert "February 2026" in found
    assert "canadacentral" in found
    assert judge_grafana(brazil, has_own=True) == FINE
    assert judge_grafana(SPEC, has_own=False) == FINE
    without = EnvironmentSpec.model_validate(
        {"region": "brazilsouth", "monitoring": {"grafana_zone_redundancy": False}}
    )
    assert judge_grafana(without, has_own=False) == FINE


@pytest.mark.parametrize("access", ["enabled", "disabled"])
@pytest.mark.parametrize("database", [None, {}])
def test_backups_into_a_closed_account_are_said_to_need_private_endpoints(
    access: str, database: dict[str, Any] | None
) -> None:
    spec = EnvironmentSpec.model_validate(
        {"storage": {"public_network_access": access}, "database": database}
    )
    found = judge_closed_account(spec)
    assert found.problems == ()
    starts = [text.partition(":")[0] for text in found.warnings]
    told = access == "disabled" and database is not None
    assert starts == (["storage.public_network_access"] if told else [])


def address_usages(free: int, name: str = "StandardSkuPublicIpAddresses") -> list[dict[str, Any]]:
    return [
        {"name": {"value": "VirtualNetworks"}, "limit": 0, "currentValue": 0},
        {"name": {"value": "PublicIPAddresses"}, "limit": 1000, "currentValue": 0},
        {"name": {"value": name}, "limit": 20, "currentValue": 20 - free},
    ]


def test_two_free_public_addresses_are_needed_for_a_new_environment() -> None:
    assert judge_addresses(SPEC, address_usages(2), has_cluster=False) == FINE
    (found,) = judge_addresses(SPEC, address_usages(1), has_cluster=False).problems
    assert "the quota StandardSkuPublicIpAddresses leaves 1" in found
    assert judge_addresses(SPEC, address_usages(0), has_cluster=True) == FINE


def test_a_run_without_a_person_warns_that_nobody_administers_grafana() -> None:
    assert judge_admins(SPEC, "User") == FINE
    (found,) = judge_admins(SPEC, "ServicePrincipal").warnings
    assert found.startswith("monitoring.grafana_admins: ")
    admin = {"object_id": "11111111-2222-3333-4444-555555555555"}
    with_admin = EnvironmentSpec.model_validate({"monitoring": {"grafana_admins": [admin]}})
    assert judge_admins(with_admin, "ServicePrincipal") == FINE


def test_helm_is_asked_for_only_where_it_is_installed() -> None:
    helm = EnvironmentSpec.model_validate({"operator": {"installer": "helm"}})
    (found,) = judge_installer(helm, has_helm=False).problems
    assert found.startswith("operator.installer: helm was given and needs Helm's SDK")
    assert "pip install 'aks-postgres[helm]'" in found
    assert judge_installer(helm, has_helm=True) == FINE
    assert judge_installer(SPEC, has_helm=False) == FINE
