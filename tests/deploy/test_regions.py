"""The regions file: what it takes, and what it refuses in which words."""

from pathlib import Path

import pytest

from aks_postgres.deploy.regions import Region, read_regions
from aks_postgres.exit_codes import CommandFailed
from aks_postgres.spec.problems import SpecError

SCHEDULE = 'cron: "0 3 * * 0", timezone: America/Toronto'


def read(folder: Path, text: str) -> list[Region]:
    file = folder / "regions.yaml"
    file.write_text(text)
    return read_regions(file)


def test_an_entry_needs_no_more_than_the_environment_s_name_and_region(tmp_path: Path) -> None:
    (region,) = read(tmp_path, "- spec: {name: cnpg, region: Canada Central}")
    assert region.name == "canadacentral"
    assert not region.drift.active
    assert not region.rebuild.is_on


def test_a_rebuild_fires_only_with_the_word_typed(tmp_path: Path) -> None:
    def is_on(more: str) -> bool:
        spec = "{name: cnpg, region: westus3}"
        (region,) = read(tmp_path, f"- {{spec: {spec}, rebuild: {{{SCHEDULE}{more}}}}}")
        return region.rebuild.is_on

    assert is_on(", confirm: cnpg-westus3")
    assert is_on(", confirm: cnpg-westus3, active: true")
    assert not is_on("")
    assert not is_on(", active: false")
    assert not is_on(", confirm: cnpg-westus3, active: false")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- spec: {name: cnpg}", "entry 1, spec.region: nothing was given; it is needed here"),
        ("- spec: {region: westus3}", "entry 1 (westus3), spec.name: nothing was given; it is needed here"),
        (
            "- spec: {name: cnpg, region: westus3}\n- spec: {name: other, region: West US 3}",
            'entry 2 (West US 3), spec.region: "westus3" was given; each region once: its deployments are called by it',
        ),
        (
            "- spec: {name: cnpg, region: westus3, postgres_pool: {min_count: 5, max_count: 3}}",
            "entry 1 (westus3), spec.postgres_pool.max_count: 3 was given; must be at least min_count, which is 5",
        ),
        (
            "- spec: {name: cnpg, region: westus3, zone: x}",
            'entry 1 (westus3), spec.zone: "x" was given; there is no such field; allowed here: name, region,',
        ),
        (
            f"- {{spec: {{name: cnpg, region: westus3}}, drift: {{{SCHEDULE}, strategy: replace}}}}",
            'entry 1 (westus3), drift.strategy: "replace" was given; there is no such field; allowed here: cron, '
            "timezone, active",
        ),
        (
            "- {spec: {name: cnpg, region: westus3}, drift: {cron: daily at six, timezone: UTC}}",
            'drift.cron: "daily at six" was given; minute, hour, day, month and weekday are expected, such as '
            "0 3 * * 0",
        ),
        (
            '- {spec: {name: cnpg, region: westus3}, drift: {cron: "0 6 * * *", timezone: Toronto}}',
            'drift.timezone: "Toronto" was given; the IANA name of a time zone is expected, such as America/Toronto',
        ),
        (
            f"- {{spec: {{name: cnpg, region: westus3}}, rebuild: {{{SCHEDULE}, confirm: cnpg}}}}",
            'entry 1 (westus3), rebuild.confirm: "cnpg" was given; a scheduled rebuild needs the environment\'s name '
            "and region, cnpg-westus3",
        ),
        (
            "- {spec: {name: cnpg, region: westus3, database: {}}, "
            f"rebuild: {{{SCHEDULE}, confirm: cnpg-westus3}}}}",
            'rebuild.confirm: "cnpg-westus3" was given; leave it out: a rebuild carries no data of a database yet',
        ),
        (
            f"- {{spec: {{name: cnpg, region: westus3}}, rebuild: {{{SCHEDULE}, active: true}}}}",
            "rebuild.active: true was given; a rebuild runs on a schedule only with confirm: cnpg-westus3",
        ),
        (
            f"- {{spec: {{name: cnpg, region: westus3}}, rebuild: {{{SCHEDULE}, discard_data: cnpg-westus3}}}}",
            'rebuild.discard_data: "cnpg-westus3" was given; there is no such field; allowed here: cron, timezone, '
            "active, confirm, strategy",
        ),
        (
            f"- {{spec: {{name: cnpg, region: westus3}}, rebuild: {{{SCHEDULE}, strategy: both}}}}",
            "rebuild.strategy: \"both\" was given; 'blue_green' or 'replace' is expected",
        ),
        (
            '- spec: {name: cnpg, region: westus3, tags: {owner: "{{ prefect.blocks.secret.key }}"}}',
            "spec: {{ was given; Prefect fills in what stands in double braces; none here",
        ),
        (
            "- {spec: {name: cnpg, region: westus3}, tags: [a b]}",
            'tags.0: "a b" was given; it must match',
        ),
        ("- cnpg", 'entry 1, entry: "cnpg" was given; a mapping of these fields is expected: spec, tags,'),
        (
            "spec: {name: cnpg}",
            'regions: {"spec": {"name": "cnpg"}} was given; a list of entries is expected',
        ),
        ("", "a list of entries is expected"),
    ],
)
def test_a_bad_entry_is_refused_with_its_place_what_was_given_and_what_is_allowed(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    assert problem in str(caught.value)
    assert f"{tmp_path / 'regions.yaml'} has 1 problem; nothing was written" in str(caught.value)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    first = f"- {{spec: {{name: cnpg, region: westus3}}, rebuild: {{{SCHEDULE}, confirm: x}}}}"
    with pytest.raises(SpecError) as caught:
        read(tmp_path, f"{first}\n- {{spec: {{name: '?'}}}}")
    assert "has 2 problems; nothing was written:\n  - entry 1 (westus3), rebuild.confirm" in str(caught.value)
    assert "\n  - entry 2, spec.name" in str(caught.value)


def test_a_key_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="'region' is there twice"):
        read(tmp_path, "- spec: {name: cnpg, region: westus3, region: westus2}")
