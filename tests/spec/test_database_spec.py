"""What the spec of a database refuses, each by its field."""

from typing import Any

import pytest

from aks_postgres.spec.database import operator_problem
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.problems import SpecError, spec_from

PUBLIC = "public_load_balancer"
BAD: list[tuple[str, Any, str]] = [
    ("postgres_version", "13.1", "must match"),
    ("postgres_version", "18", "must match"),
    ("image", "ghcr.io/x/postgresql:17.5", "contradicts postgres_version 18.6"),
    ("image", "ghcr.io/x/postgresql:18.61", "contradicts postgres_version 18.6"),
    ("name", "Shop", "must match"),
    ("name", "a" * 51, "at most 50"),
    ("storage.size_gib", 0, "at least 1 is expected"),
    ("storage.iops", 4000, "is for storage_class premium_ssd_v2"),
    ("storage.throughput_mbps", 200, "is for storage_class premium_ssd_v2"),
    ("parameters", {"fsync": "off"}, "could lose acknowledged data"),
    ("pooler", {"parameters": {"pool_mode": "statement"}}, "none that CloudNativePG lets PgBouncer be given"),
    ("pooler", {"parameters": {"max_client_con": "5"}}, "did you mean max_client_conn?"),
    ("pooler", {"parameters": {"client_tls_sslmode": "disable"}}, "without TLS or without a password"),
    ("pooler", {"pool_mode": "statement"}, "session"),
    ("pooler", {"instances": 0}, "1"),
    ("parameters", {"full_page_writes": "off"}, "could lose acknowledged data"),
    ("parameters", {"archive_command": "true"}, "is set by the operator"),
    ("parameters", {"synchronous_standby_names": "*"}, "is set by the operator"),
    ("parameters", {"archive_timeout": "1min"}, "database.backup.archive_timeout_s"),
    ("parameters", {"Work_Mem": "1MB"}, "no parameter's name"),
    ("sync_replicas", 3, "at most 2"),
    ("sync_replicas", 2, "one lost replica stops every write"),
    ("databases", [], "at least 1"),
    ("databases", ["Shop"], "small letter"),
    ("databases", ["postgres"], "PostgreSQL's own"),
    ("databases", ["a", "a"], "each database once"),
    ("owner", "postgres", "belongs to PostgreSQL"),
    ("owner", "pg_shop", "belongs to PostgreSQL"),
    ("roles", [{"name": "postgres"}], "belongs to PostgreSQL"),
    ("roles", [{"name": "Shop"}], "must match"),
    ("roles", [{"name": "app"}], "is database.owner"),
    ("roles", [{"name": "a"}, {"name": "a"}], "each role once"),
    ("roles", [{"name": "a", "in_roles": ["postgres"]}], "can be a member of"),
    ("roles", [{"name": "a", "in_roles": ["pg_read_server_files"]}], "files and programs"),
    ("backup.engine", "in_tree", "'plugin' or 'none'"),
    ("backup.data_may_be_lost", True, "contradicts engine: plugin"),
    ("backup.schedule", "15 2 * * *", "six cron fields"),
    ("backup.retention_days", 0, "at least 1 is expected"),
    ("access.source_ranges", ["20.0.0.0/8"], "contradicts kind: none"),
    ("access.dns_label", "shop", "contradicts kind: none"),
    ("components.plugin_version", "0.13.0", "contradicts plugin_version 0.13.0"),
    ("not_highly_available", True, "contradicts instances: 3"),
]


def refusal(database: dict[str, Any], **other: Any) -> str:
    with pytest.raises(SpecError) as refused:
        spec_from({"database": database, **other})
    return str(refused.value)


@pytest.mark.parametrize(("field", "value", "words"), BAD)
def test_what_makes_no_database_is_refused_by_its_field(field: str, value: Any, words: str) -> None:
    group, dot, name = field.partition(".")
    text = refusal({group: {name: value}} if dot else {field: value})
    assert f"database.{group}" in text
    assert words in text


@pytest.mark.parametrize(
    ("database", "field", "words"),
    [
        ({"instances": 2}, "not_highly_available", "at least 3"),
        ({"backup": {"engine": "none"}}, "backup.data_may_be_lost", "a lost disk is lost data"),
        ({"access": {"kind": PUBLIC}}, "access.source_ranges", "whole internet"),
        (
            {"access": {"kind": PUBLIC, "source_ranges": ["0.0.0.0/0"]}},
            "access.source_ranges",
            "whole internet",
        ),
        ({"durability": "asynchronous"}, "failover_quorum", "contradicts durability"),
    ],
)
def test_impossible_combinations_are_refused(database: dict[str, Any], field: str, words: str) -> None:
    text = refusal(database)
    assert f"database.{field}" in text
    assert words in text


def test_an_instance_needs_a_node_of_its_own() -> None:
    assert "postgres_pool.max_count is 6" in refusal({"instances": 7})
    assert "names one zone" in refusal({}, postgres_pool={"zones": ["1"]})


def test_without_the_group_there_is_no_database() -> None:
    assert EnvironmentSpec().database is None


def test_the_default_is_production() -> None:
    database = EnvironmentSpec.model_validate({"database": {}}).database
    assert database is not None
    assert (database.instances, database.durability, database.failover_quorum) == (3, "required", True)
    assert database.image_name == "ghcr.io/cloudnative-pg/postgresql:18.6-standard-trixie"


def test_preferred_durability_lets_every_replica_be_waited_for() -> None:
    found = EnvironmentSpec.model_validate({"database": {"durability": "preferred", "sync_replicas": 2}})
    assert found.database is not None
    assert found.database.sync_replicas == 2


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.27.3", "is too old"),
        ("1.31.0", "is too new"),
        ("2.0.0", "is too new"),
        ("1.28.3", "Set operator.version to 1.28.4"),
        ("1.29.1", "Set operator.version to 1.29.2"),
    ],
)
def test_an_operator_that_doesnt_suit_the_database_is_refused(version: str, words: str) -> None:
    operator = {"version": version, "manifest_url": "./operator.yaml", "manifest_sha256": "0" * 64}
    text = refusal({}, operator=operator)
    assert "database" in text
    assert words in text
    # An environment without a database may have it.
    assert spec_from({"operator": operator}).operator.version == version


@pytest.mark.parametrize("version", ["1.28.4", "1.29.2", "1.30.0"])
def test_an_operator_that_hides_passwords_from_postgres_suits_the_database(version: str) -> None:
    assert operator_problem(version) is None
