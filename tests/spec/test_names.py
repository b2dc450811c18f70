import dataclasses
import re
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import (
    Names,
    environment_key,
    is_ours,
    resource_tags,
    role_assignment_name,
    short_hash,
)
from aks_postgres.spec.problems import spec_from

# A busy machine is slow, not wrong.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SUBSCRIPTION = "6b1f0f60-4a4a-4c11-9d0e-0a1b2c3d4e5f"
GUIDE = spec_from({})

VALID_SPECS = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[a-z][a-z0-9]{1,5}", fullmatch=True),
        "region": st.from_regex(r"[a-z][a-z0-9]{2,29}", fullmatch=True),
        "suffix": st.none() | st.from_regex(r"[a-z0-9]{8}", fullmatch=True),
        "storage": st.fixed_dictionaries({"backups": st.sampled_from(["own_group", "in_environment_group"])}),
        "system_pool": st.fixed_dictionaries({"name": st.from_regex(r"s[a-z0-9]{0,11}", fullmatch=True)}),
        "postgres_pool": st.fixed_dictionaries({"name": st.from_regex(r"p[a-z0-9]{0,11}", fullmatch=True)}),
    }
).map(spec_from)
GENERATIONS = st.integers(1, 100_000)
SUBSCRIPTIONS = st.uuids().map(str)

# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules; Grafana's 23 and
# the Postgres cluster's 50 are those services' own.
ALLOWED = {
    "resource_group": r"[-\w.()]{0,89}[-\w()]",
    "backup_group": r"[-\w.()]{0,89}[-\w()]",
    "node_resource_group": r"[-\w.()]{0,79}[-\w()]",
    "identity": r"[A-Za-z0-9][-\w]{2,127}",
    "backup_identity": r"[A-Za-z0-9][-\w]{2,127}",
    "storage_account": r"[a-z0-9]{3,24}",
    "grafana": r"[A-Za-z][-A-Za-z0-9]{0,21}[A-Za-z0-9]",
    "monitor_workspace": r"[A-Za-z0-9][-A-Za-z0-9]{2,42}[A-Za-z0-9]",
    "log_workspace": r"[A-Za-z0-9][-A-Za-z0-9]{2,61}[A-Za-z0-9]",
    "cluster": r"[A-Za-z0-9][-\w]{0,61}[A-Za-z0-9]",
    "public_ip": r"[A-Za-z0-9][-\w.]{0,78}\w",
    "postgres_cluster": r"[a-z]([-a-z0-9]{0,48}[a-z0-9])?",
    "federated_credential": r"[A-Za-z0-9][-\w]{2,119}",
    "postgres_dns_prefix": r"a[0-9a-f]{10}",
    "suffix": r"[a-z0-9]{8}",
}


@UNHURRIED
@given(VALID_SPECS, SUBSCRIPTIONS, GENERATIONS)
def test_every_name_is_one_that_its_service_takes(
    spec: EnvironmentSpec, subscription: str, generation: int
) -> None:
    names = dataclasses.asdict(Names.of(spec, subscription, generation))
    assert set(names) == set(ALLOWED)
    for kind, name in names.items():
        assert re.fullmatch(ALLOWED[kind], name, re.ASCII), (kind, name)
    for pool in (spec.system_pool, spec.postgres_pool):
        assert re.fullmatch(r"[a-z][a-z0-9]{0,11}", pool.name)


@UNHURRIED
@given(VALID_SPECS, SUBSCRIPTIONS, GENERATIONS, st.from_regex(r"[a-z][a-z0-9]{2,60}", fullmatch=True))
def test_names_of_monitoring_are_cut_to_what_azure_takes(
    spec: EnvironmentSpec, subscription: str, generation: int, workspace_region: str
) -> None:
    names = Names.of(spec, subscription, generation)
    for name, longest in (
        (names.metrics_endpoint(workspace_region), 44),
        (names.metrics_rule(workspace_region), 64),
        (names.logs_rule(workspace_region), 64),
    ):
        assert len(name) <= longest
        assert re.fullmatch(r"[A-Za-z][-A-Za-z0-9]+[A-Za-z0-9]", name)
    assert len(names.rule_group("NodeRecordingRulesRuleGroup" * 20)) == 260


def with_cluster(cluster: str) -> Names:
    return dataclasses.replace(Names.of(GUIDE, SUBSCRIPTION, 1), cluster=cluster)


def test_the_metrics_endpoint_loses_what_az_cuts_off() -> None:
    names = with_cluster("aks-primary-cnpg-abcd1234")
    assert names.metrics_endpoint("canadacentral") == "MSProm-canadacentral-aks-primary-cnpg-abcd12"
    assert names.metrics_endpoint("westus3") == "MSProm-westus3-aks-primary-cnpg-abcd1234"
    assert names.metrics_rule("canadacentral") == "MSProm-canadacentral-aks-primary-cnpg-abcd1234"


@pytest.mark.parametrize("shortfall", [0, 1])
def test_a_dash_at_the_cut_is_dropped_with_what_follows(shortfall: int) -> None:
    names = with_cluster("aks-primary-cnpg-abcd1234")
    region = "r" * (19 + shortfall)  # 7 for MSProm-, 1 for the dash, 17 up to the suffix: 44 with 19
    assert names.metrics_endpoint(region) == f"MSProm-{region}-aks-primary-cnpg"
    assert names.logs_rule("r" * (41 + shortfall)) == f"MSCI-{'r' * (41 + shortfall)}-aks-primary-cnpg"


def test_the_logs_rule_keeps_the_whole_cluster_name_in_real_regions() -> None:
    names = with_cluster("aks-primary-cnpg-abcd1234")
    assert names.logs_rule("canadacentral") == "MSCI-canadacentral-aks-primary-cnpg-abcd1234"


def test_names_are_the_guides_patterns() -> None:
    names = Names.of(GUIDE, SUBSCRIPTION, 1)
    suffix = names.suffix
    assert dataclasses.asdict(names) == {
        "resource_group": f"rg-cnpg-{suffix}",
        "backup_group": names.backup_group,
        "identity": f"mi-aks-cnpg-{suffix}",
        "backup_identity": f"mi-backup-cnpg-{suffix}",
        "storage_account": names.storage_account,
        "grafana": f"grafana-cnpg-{suffix}",
        "monitor_workspace": f"amw-cnpg-{suffix}",
        "log_workspace": f"ala-cnpg-{suffix}",
        "cluster": f"aks-primary-cnpg-{suffix}",
        "node_resource_group": f"rg-cnpg-primary-aksmanaged-{suffix}",
        "public_ip": f"aks-primary-cnpg-{suffix}-pip",
        "postgres_cluster": f"pg-primary-cnpg-{suffix}",
        "federated_credential": f"pg-primary-fedcred1-cnpg-{suffix}",
        "postgres_dns_prefix": names.postgres_dns_prefix,
        "suffix": suffix,
    }
    assert names.rule_group("NodeRecordingRulesRuleGroup") == (
        f"NodeRecordingRulesRuleGroup-aks-primary-cnpg-{suffix}"
    )


def test_names_stay_what_they_were_in_earlier_versions() -> None:
    """Another way to compute them would leave every live environment behind."""
    names = Names.of(GUIDE, SUBSCRIPTION, 1)
    assert names.suffix == "c9a0asar"
    assert names.storage_account == "hacnpgpsax9di8a37"
    assert names.backup_group == "rg-cnpg-backup-x9di8a37"
    assert names.postgres_dns_prefix == "a10c18eb0bc"
    assert Names.of(spec_from({"suffix": "abcd1234"}), SUBSCRIPTION, 2).suffix == "9ee1ichq"
    assert (
        role_assignment_name(f"/subscriptions/{SUBSCRIPTION}", "p", "r")
        == "18ba1a6e-a240-5750-890d-639b8aa3f61c"
    )


@UNHURRIED
@given(VALID_SPECS, SUBSCRIPTIONS, GENERATIONS)
def test_a_new_generation_renames_everything_except_backups_of_their_own(
    spec: EnvironmentSpec, subscription: str, generation: int
) -> None:
    before = dataclasses.asdict(Names.of(spec, subscription, generation))
    after = dataclasses.asdict(Names.of(spec, subscription, generation + 1))
    same = {kind for kind, name in before.items() if after[kind] == name}
    if spec.storage.backups == "own_group":
        assert same == {"backup_group", "storage_account"}
        assert before["backup_group"] != before["resource_group"]
    else:
        assert same == set()
        assert before["backup_group"] == before["resource_group"]


@UNHURRIED
@given(VALID_SPECS, SUBSCRIPTIONS, GENERATIONS)
def test_the_same_environment_gets_the_same_names_however_its_subscription_is_written(
    spec: EnvironmentSpec, subscription: str, generation: int
) -> None:
    assert Names.of(spec, subscription, generation) == Names.of(spec, subscription.upper(), generation)


@pytest.mark.parametrize(
    "other",
    [
        Names.of(GUIDE, str(uuid.UUID(int=1)), 1),
        Names.of(spec_from({"region": "westus3"}), SUBSCRIPTION, 1),
        Names.of(spec_from({"name": "other"}), SUBSCRIPTION, 1),
        Names.of(spec_from({"suffix": "abcd1234"}), SUBSCRIPTION, 1),
    ],
    ids=["subscription", "region", "name", "suffix"],
)
def test_another_environment_shares_no_name(other: Names) -> None:
    names = set(dataclasses.asdict(Names.of(GUIDE, SUBSCRIPTION, 1)).values())
    assert names.isdisjoint(dataclasses.asdict(other).values())


def test_a_suffix_of_ones_own_is_used_in_place_of_subscription_and_region() -> None:
    spec, elsewhere = (
        spec_from({"suffix": "abcd1234"}),
        spec_from({"suffix": "abcd1234", "region": "westus3"}),
    )
    assert Names.of(spec, SUBSCRIPTION, 3) == Names.of(elsewhere, str(uuid.UUID(int=1)), 3)


@UNHURRIED
@given(st.lists(st.text(max_size=5), min_size=2, max_size=3), st.integers(1, 20))
def test_a_short_hash_depends_on_where_its_parts_end(parts: list[str], length: int) -> None:
    assert re.fullmatch(rf"[a-z0-9]{{{length}}}", short_hash(*parts, length=length))
    assert short_hash("ab", "c") != short_hash("a", "bc")
    assert short_hash(*parts) == short_hash(*parts)


def test_a_role_assignments_guid_depends_on_what_it_assigns_and_not_on_case() -> None:
    name = role_assignment_name("/subscriptions/S/resourceGroups/rg", "principal", "role")
    assert str(uuid.UUID(name)) == name
    assert name == role_assignment_name("/subscriptions/s/resourcegroups/RG", "PRINCIPAL", "Role")
    others = {
        role_assignment_name("/subscriptions/S/resourceGroups/rg2", "principal", "role"),
        role_assignment_name("/subscriptions/S/resourceGroups/rg", "principal2", "role"),
        role_assignment_name("/subscriptions/S/resourceGroups/rg", "principal", "role2"),
    }
    assert len(others | {name}) == 4


def test_tags_are_the_specs_and_those_that_say_it_is_ours() -> None:
    spec = spec_from({"name": "pg", "region": "westus3", "tags": {"owner": "me"}})
    assert resource_tags(spec) == {
        "owner": "me",
        "managed-by": "aks-postgres",
        "aks-postgres-environment": "pg-westus3",
        "aks-postgres-region": "westus3",
    }


@UNHURRIED
@given(VALID_SPECS)
def test_what_we_tag_is_ours_however_azure_writes_the_names(spec: EnvironmentSpec) -> None:
    tags = resource_tags(spec)
    assert is_ours(tags, spec)
    assert is_ours({key.upper(): value for key, value in tags.items()}, spec)
    assert not is_ours({key: value.upper() for key, value in tags.items()}, spec)
    assert all(len(key) <= 128 and len(value) <= 256 for key, value in tags.items())


@pytest.mark.parametrize(
    "tags",
    [
        None,
        {},
        {"owner": "user"},
        {"managed-by": "terraform", "aks-postgres-environment": environment_key(GUIDE)},
        {"managed-by": "aks-postgres"},
        {"managed-by": "aks-postgres", "aks-postgres-environment": "cnpg-westus3"},
    ],
)
def test_what_lacks_our_tags_or_has_another_environments_is_not_ours(tags: dict[str, Any] | None) -> None:
    assert not is_ours(tags, GUIDE)
