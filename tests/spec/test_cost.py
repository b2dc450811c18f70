"""What an environment costs: a price that isn't known is said to be unknown, and never counts as nothing."""

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from aks_postgres.reports import cost as module
from aks_postgres.reports.cost import BACKUPS_GB, Cost, CostLine, cost_of, cost_text
from aks_postgres.spec.problems import spec_from

PRICES: dict[str, Any] = yaml.safe_load((Path(module.__file__).parent / "prices.yaml").read_text())


def line(cost: Cost, what: str) -> CostLine:
    (found,) = [one for one in cost.lines if one.what.startswith(what)]
    return found


def test_nodes_cost_their_hours_from_the_fewest_to_the_most() -> None:
    cost = cost_of(spec_from({"region": "germanywestcentral"}))
    nodes = line(cost, "3 to 6 nodes Standard_D4s_v5 (postgres)")
    assert (nodes.low_usd, nodes.high_usd) == (pytest.approx(0.23 * 24 * 3), pytest.approx(0.23 * 24 * 6))
    assert nodes.read == date(2026, 6, 18)
    disks = line(cost, "OS disks of the nodes (postgres)")
    assert disks.low_usd == pytest.approx(21.68 * 24 / 730 * 3)
    assert line(cost, "2 public IP").low_usd == line(cost, "2 public IP").high_usd == pytest.approx(0.24)
    assert line(cost, "logs").high_usd == pytest.approx(2.99 * 0.5 * 9)


def test_the_sums_are_those_of_the_lines_and_in_the_json() -> None:
    cost = cost_of(spec_from({"region": "eastus"}))
    said = cost.model_dump(mode="json")
    assert said["low_usd"] == round(sum(one["low_usd"] or 0 for one in said["lines"]), 2) > 0
    assert said["high_usd"] == round(sum(one["high_usd"] or 0 for one in said["lines"]), 2) > said["low_usd"]
    assert said["unknown"] == [one["what"] for one in said["lines"] if one["low_usd"] is None]


@pytest.mark.parametrize(
    ("given", "unknown"),
    [
        (
            {"region": "germanywestcentral", "postgres_pool": {"vm_size": "Standard_M64s"}},
            "3 to 6 nodes Standard_M64s",
        ),
        ({"region": "westindia"}, "2 to 3 nodes Standard_D4s_v5"),
        ({"region": "canadacentral"}, "Managed Grafana"),
        ({"region": "canadacentral", "cluster": {"tier": "Premium"}}, "AKS tier Premium"),
        ({"region": "westus", "storage": {"sku": "Standard_GZRS"}}, "backups"),
        (
            {"region": "eastus", "system_pool": {"vm_size": "Standard_D4s_v3"}},
            "OS disks of the nodes (systempool)",
        ),
    ],
)
def test_what_nobody_knows_is_unknown_and_in_the_text(given: dict[str, Any], unknown: str) -> None:
    cost = cost_of(spec_from(given))
    found = line(cost, unknown)
    assert (found.low_usd, found.high_usd) == (None, None)
    assert found.assumes
    assert found.what in cost.unknown
    said, _, missing = cost_text(cost).partition("; plus unknown: ")
    assert "at least " in said
    assert found.what in missing


def test_a_second_region_for_the_backups_has_its_cost_in_the_plan_where_its_price_was_read() -> None:
    cost = cost_of(spec_from({"region": "germanywestcentral", "storage": {"sku": "Standard_GZRS"}}))
    backups = line(cost, "backups")
    assert backups.low_usd == backups.high_usd == pytest.approx(0.046 * BACKUPS_GB * 24 / 730)
    assert "backups" not in cost_text(cost)


def test_no_price_is_zero_but_that_of_the_free_tier() -> None:
    for region in PRICES["nodes"]["usd_per_hour"]:
        for tier in ("Free", "Standard", "Premium"):
            cost = cost_of(spec_from({"region": region, "cluster": {"tier": tier}}))
            free = [one.what for one in cost.lines if one.low_usd == 0]
            assert free == (["AKS tier Free"] if tier == "Free" else [])


def test_while_two_generations_run_all_but_backups_and_users_cost_twice() -> None:
    cost = cost_of(spec_from({"region": "westus"}))
    twice = cost.doubled()
    same = {"Grafana's users", "backups"}
    for one, two in zip(cost.lines, twice.lines, strict=True):
        factor = 1 if one.what in same else 2
        assert two.low_usd == (None if one.low_usd is None else factor * one.low_usd)
        assert two.high_usd == (None if one.high_usd is None else factor * one.high_usd)
    assert twice.unknown == cost.unknown
    text = cost_text(cost, doubled=True)
    assert f"while both generations run: at least {twice.low_usd:.2f} USD" in text
    assert "both generations" not in cost_text(cost)

    together = cost_of(spec_from({"region": "westus", "storage": {"backups": "in_environment_group"}}))
    assert line(together.doubled(), "backups").low_usd == 2 * (line(together, "backups").low_usd or 0)


def test_logs_kept_longer_cost_more_and_sizes_are_written_in_any_case() -> None:
    month = cost_of(spec_from({"region": "japaneast"}))
    year = cost_of(
        spec_from(
            {
                "region": "japaneast",
                "monitoring": {
                    "log_retention_days": 365,
                    "grafana_admins": [{"object_id": "0" * 8 + "-0000" * 3 + "-" + "0" * 12}] * 3,
                },
                "postgres_pool": {"vm_size": "standard_d4s_V5", "min_count": 6},
            }
        )
    )
    assert [one.what for one in month.lines if "kept" in one.what] == []
    assert line(year, "logs kept").low_usd == pytest.approx(0.15 * 24 / 730 * 0.5 * 8 * (365 - 31))
    assert line(year, "6 nodes standard_d4s_V5").low_usd == pytest.approx(0.248 * 24 * 6)
    assert line(year, "Grafana's users").low_usd == pytest.approx(3 * 6 * 24 / 730)


def test_a_text_without_a_range_or_unknowns_says_just_the_sum() -> None:
    known = Cost(lines=(CostLine(what="a", low_usd=1.5, high_usd=1.5, read=date(2026, 1, 2)),))
    assert cost_text(known) == (
        "Cost a day, roughly: 1.50 USD. Azure's list prices in US dollars, read 2026-01-02 to 2026-01-02."
    )


def test_a_region_s_own_price_comes_before_everybody_s() -> None:
    assert line(cost_of(spec_from({"region": "japaneast"})), "AKS tier").read == date(2026, 8, 24)
    assert line(cost_of(spec_from({"region": "uksouth"})), "AKS tier").read == date(2020, 5, 12)


def test_every_price_has_a_meter_a_date_and_a_source() -> None:
    for reading in [*PRICES["readings"], PRICES["nodes"]]:
        assert isinstance(reading["read"], date)
        assert reading["source"].startswith("https://")
        assert set(reading.get("usd", {})) <= set(PRICES["meters"])
        assert all(usd > 0 for usd in reading.get("usd", {}).values())
    sizes = len(PRICES["nodes"]["os_disks"])
    for region, row in PRICES["nodes"]["usd_per_hour"].items():
        assert len(row) == sizes, region
        assert all(usd > 0 for usd in row), region
    disks = set(PRICES["nodes"]["os_disks"].values()) - {"none", "unknown"}
    assert {f"os_disk_{disk}" for disk in disks} <= set(PRICES["meters"])


def test_the_prices_are_installed_with_the_package() -> None:
    project = tomllib.loads((Path(module.__file__).parents[3] / "pyproject.toml").read_text())
    assert "*.yaml" in project["tool"]["setuptools"]["package-data"]["aks_postgres.reports"]


def test_a_database_adds_its_volumes_whose_price_nobody_read() -> None:
    without = cost_of(spec_from({}))
    given = {"instances": 3, "storage": {"wal_size_gib": 20}}
    cost = cost_of(spec_from({"database": given}))
    more = [one.what for one in cost.lines[len(without.lines) :]]
    assert more == ["3 volumes of 64 GiB (premium_ssd)", "3 volumes for the WAL of 20 GiB (premium_ssd)"]
    assert set(more) <= set(cost.unknown)
    local = {"storage": {"storage_class": "local_nvme"}}
    assert len(cost_of(spec_from({"database": local})).lines) == len(without.lines)
