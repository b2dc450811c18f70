"""VM sizes and vCPU quota: data in, data out."""

from typing import Any

import pytest

from aks_postgres.preflight.vm_sizes import LivePool, judge_quota, judge_sizes, live_pools, surge, vm_sizes
from aks_postgres.spec.environment import EnvironmentSpec

ZONES = ("1", "2", "3")


def sku(
    name: str,
    vcpus: int,
    gib: float,
    family: str = "standardDSv5Family",
    zones: tuple[str, ...] = ZONES,
    **more: Any,
) -> dict[str, Any]:
    """As Compute lists it: https://learn.microsoft.com/rest/api/compute/resource-skus/list."""
    return {
        "resourceType": "virtualMachines",
        "name": name,
        "family": family,
        "locationInfo": [{"location": "CanadaCentral", "zones": list(zones)}],
        "capabilities": [
            {"name": "vCPUs", "value": str(vcpus)},
            {"name": "MemoryGB", "value": str(gib)},
        ],
        "restrictions": [],
        **more,
    }


def closed(*zones: str) -> list[dict[str, Any]]:
    where = {"type": "Zone", "restrictionInfo": {"zones": list(zones)}} if zones else {"type": "Location"}
    return [{**where, "reasonCode": "NotAvailableForSubscription"}]


SIZES = [
    sku("Standard_D2s_v5", 2, 8),
    sku("Standard_D4s_v5", 4, 16),
    sku("Standard_D8s_v5", 8, 32),
    sku("Standard_D4as_v5", 4, 16, "standardDASv5Family"),
    sku("Standard_D4s_v3", 4, 16, "standardDSv3Family", restrictions=closed("2")),
    sku("Standard_D4s_v6", 4, 16, "StandardDsv6Family", restrictions=closed()),
    sku("Standard_F4ls_v9", 4, 3.5, "standardFLSv9Family"),
    sku("Standard_B4ms", 4, 16, "standardBSFamily"),
    sku("Standard_E4s_v5", 4, 32, "standardESv5Family"),
    {"resourceType": "disks", "name": "Premium_LRS"},
]


def spec(
    system: str = "Standard_D4s_v5", postgres: str = "Standard_D4s_v5", **postgres_pool: Any
) -> EnvironmentSpec:
    return EnvironmentSpec.model_validate(
        {"system_pool": {"vm_size": system}, "postgres_pool": {"vm_size": postgres, **postgres_pool}}
    )


def problems(wanted: EnvironmentSpec) -> tuple[str, ...]:
    return judge_sizes(wanted, vm_sizes(SIZES, "canadacentral")).problems


@pytest.mark.parametrize(
    "wanted",
    [
        spec(),
        spec(postgres="standard_d2S_V5"),  # a name in any case; two vCPUs do for PostgreSQL
        spec(postgres="Standard_B4ms"),
        spec(postgres="Standard_D4s_v3", zones=["1", "3"]),
    ],
)
def test_size_that_can_be_had_in_its_zones_is_fine(wanted: EnvironmentSpec) -> None:
    assert problems(wanted) == ()


@pytest.mark.parametrize(
    ("wanted", "texts"),
    [
        (
            spec(postgres="Standard_D4s_v9"),
            ["postgres_pool.vm_size: Standard_D4s_v9 was given", "doesn't offer"],
        ),
        (spec(postgres="Standard_D4s_v6"), ["postgres_pool.vm_size: Standard_D4s_v6", "may not use"]),
        (spec(postgres="Standard_D4s_v3"), ["postgres_pool.zones: 1, 2, 3", "in zone 2", "(can: 1, 3)"]),
        (
            spec(system="Standard_D2s_v5"),
            ["system_pool.vm_size: Standard_D2s_v5", "2 vCPUs", "at least 4 vCPUs"],
        ),
        (spec(system="Standard_F4ls_v9"), ["system_pool.vm_size: Standard_F4ls_v9", "3.5 GiB", "4 GiB"]),
        (spec(system="Standard_B4ms"), ["system_pool.vm_size: Standard_B4ms", "no B series"]),
    ],
)
def test_size_that_cannot_be_had_is_named_with_others_that_can(
    wanted: EnvironmentSpec, texts: list[str]
) -> None:
    found = problems(wanted)
    assert len(found) == 1
    for text in [*texts, "Standard_D4as_v5, Standard_D4s_v5, Standard_D8s_v5"]:
        assert text in found[0]


def test_both_pools_are_judged() -> None:
    assert len(problems(spec(system="Standard_D4s_v9", postgres="Standard_D4s_v9"))) == 2


def test_a_size_of_another_region_only_is_not_offered() -> None:
    elsewhere = {
        **sku("Standard_D4s_v5", 4, 16),
        "locationInfo": [{"location": "westus3", "zones": list(ZONES)}],
    }
    assert vm_sizes([elsewhere], "canadacentral") == {}


# Default pools: 3 + 1 and 6 + 1 nodes of 4 vCPUs.
NEEDED = 44


def usages(
    limit: int, used: int, family: str = "standardDSv5Family", total: int = 1000
) -> list[dict[str, Any]]:
    return [
        {"name": {"value": "cores"}, "limit": total, "currentValue": used},
        {"name": {"value": family}, "limit": limit, "currentValue": used},
        {"name": {"value": "standardNVFamily"}, "limit": 0, "currentValue": 0},
    ]


def quota(wanted: EnvironmentSpec, found: list[dict[str, Any]], *live: LivePool) -> Any:
    return judge_quota(wanted, vm_sizes(SIZES, "canadacentral"), found, live)


@pytest.mark.parametrize(("max_count", "extra"), [(1, 1), (9, 1), (10, 1), (11, 2), (25, 3)])
def test_surge_is_a_tenth_and_at_least_one_node(max_count: int, extra: int) -> None:
    assert surge(max_count) == extra


def test_quota_that_is_just_enough_is_fine() -> None:
    assert quota(spec(), usages(NEEDED + 8, 8)).problems == ()


def test_quota_one_short_is_refused_with_the_sum() -> None:
    (found,) = quota(spec(), usages(NEEDED + 7, 8)).problems
    assert found.startswith("system_pool.max_count and postgres_pool.max_count: ")
    assert "up to 44 vCPUs of standardDSv5Family" in found
    assert "43 can be had (quota 51, used by others 8)" in found


def test_families_are_counted_apart_and_together() -> None:
    wanted = spec(postgres="Standard_E4s_v5")
    assert quota(wanted, usages(28, 0, "standardESv5Family", total=44)).problems == ()
    (found,) = quota(wanted, usages(27, 0, "standardESv5Family")).problems
    assert found.startswith("postgres_pool.max_count: up to 28 vCPUs of standardESv5Family")
    (found,) = quota(wanted, usages(28, 0, "standardESv5Family", total=43)).problems
    assert "up to 44 vCPUs in all" in found


def test_what_live_pools_use_already_is_not_counted_twice() -> None:
    live = [
        LivePool("systempool", "Standard_D4s_v5", 3, 3),
        LivePool("postgres", "standard_d4s_v5", 3, 3),  # could grow to 3 only: the run asks for more
    ]
    assert quota(spec(), usages(NEEDED, 24), *live).problems == ()
    assert len(quota(spec(), usages(NEEDED, 25), *live).problems) == 1


def test_shortage_is_a_warning_where_the_run_asks_for_nothing_new() -> None:
    live = [LivePool("systempool", "Standard_D4s_v5", 2, 3), LivePool("postgres", "Standard_D4s_v5", 3, 6)]
    found = quota(spec(), usages(NEEDED, 25), *live)
    assert found.problems == ()
    assert len(found.warnings) == 1


def test_live_pools_are_read_from_the_cluster() -> None:
    pools = [
        {"name": "systempool", "vmSize": "Standard_D4s_v5", "count": 2, "maxCount": 3},
        {"name": "byhand", "vmSize": "Standard_D2s_v5", "count": 5},
    ]
    assert live_pools({"properties": {"agentPoolProfiles": pools}}) == [
        LivePool("systempool", "Standard_D4s_v5", 2, 3),
        LivePool("byhand", "Standard_D2s_v5", 5, 5),
    ]
    assert live_pools(None) == []
