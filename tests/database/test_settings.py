"""Changes of the database's objects in the spec's words."""

from typing import Any

import pytest

from aks_postgres.reports.outputs import FieldChange
from aks_postgres.runs.database_settings import changed_settings
from aks_postgres.spec.environment import EnvironmentSpec

PUBLIC = {"kind": "public_load_balancer", "source_ranges": ["20.51.0.0/24"]}
PARAMETERS = "spec.postgresql.parameters"
SERVICE = "spec.managed.services.additional[0].serviceTemplate"


def told(
    *changes: tuple[str, Any, Any], kind: str = "Cluster", **database: Any
) -> dict[str, tuple[Any, Any]]:
    spec = EnvironmentSpec.model_validate({"database": database})
    fields = [FieldChange(field=f"{kind} shop: {path}", old=old, new=new) for path, old, new in changes]
    return {one.field: (one.old, one.new) for one in changed_settings(spec, fields)}


def test_what_is_computed_goes_with_the_field_that_it_is_computed_from() -> None:
    memory = ("spec.resources.requests.memory", "8Gi", "16Gi")
    buffers = (f"{PARAMETERS}.shared_buffers", "2048MB", "4096MB")
    assert told(memory, buffers, memory_gib=16) == {"database.memory_gib": (8, 16)}
    # Somebody else's hand: no field of the spec is another.
    assert told(buffers) == {"database.parameters.shared_buffers": ("2048MB", "4096MB")}


def test_a_parameter_that_the_spec_gives_is_told_beside_the_memory() -> None:
    memory = ("spec.resources.requests.memory", "8Gi", "16Gi")
    given = (f"{PARAMETERS}.shared_buffers", "2048MB", "1GB")
    found = told(memory, given, memory_gib=16, parameters={"shared_buffers": "1GB"})
    assert set(found) == {"database.memory_gib", "database.parameters.shared_buffers"}


@pytest.mark.parametrize(
    ("path", "old", "access", "expected"),
    [
        ("spec.managed", None, PUBLIC, ("none", "public_load_balancer")),
        ("spec.managed", "{'azure-load-balancer-internal': 'true'}", {}, ("internal_load_balancer", "none")),
        (f"{SERVICE}.metadata.annotations.azure-pip-name", "x", {}, ("public_load_balancer", "none")),
    ],
)
def test_who_reaches_the_database_is_told_by_its_kind(
    path: str, old: Any, access: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert told((path, old, None), access=access)["database.access.kind"] == expected


ROLE = {"name": "reader", "in_roles": ["pg_read_all_data"]}
ASKED = "{'roles': [{'name': 'reader', 'inRoles': ['pg_read_all_data']}]}"


@pytest.mark.parametrize(
    ("path", "old", "new", "before"),
    [
        ("spec.managed", None, ASKED, None),
        ("spec.managed.roles", None, "[{'name': 'reader', 'inRoles': ['pg_read_all_data']}]", None),
        ("spec.managed.roles[0].inRoles", "['pg_monitor']", "['pg_read_all_data']", "['pg_monitor']"),
    ],
)
def test_a_role_is_told_by_its_field_and_not_as_who_reaches_the_database(
    path: str, old: Any, new: str, before: Any
) -> None:
    found = told((path, old, new), roles=[ROLE])
    assert set(found) == {"database.roles"}
    was, now = found["database.roles"]
    assert (was, [role.model_dump() for role in now]) == (before, [ROLE])


def test_roles_and_who_reaches_the_database_are_both_told() -> None:
    both = f"{{'services': {{}}, {ASKED[1:]}"
    assert set(told(("spec.managed", None, both), roles=[ROLE], access=PUBLIC)) == {
        "database.roles",
        "database.access.kind",
        "database.access.source_ranges",
    }


def test_ranges_alone_are_told_alone() -> None:
    change = (f"{SERVICE}.spec.loadBalancerSourceRanges", ["20.60.0.0/24"], ["20.51.0.0/24"])
    assert told(change, access=PUBLIC) == {
        "database.access.source_ranges": (["20.60.0.0/24"], ["20.51.0.0/24"])
    }


def test_an_image_of_one_s_own_is_told_with_its_version_only_where_that_is_another() -> None:
    path, ours = "spec.images[0].image", "ghcr.io/cloudnative-pg/postgresql:18.5-standard-trixie"
    own = "ghcr.io/shop/postgresql:18.6-own"
    image, version = "database.image", "database.postgres_version"
    assert told((path, ours, own), kind="ImageCatalog", image=own) == {
        version: ("18.5", "18.6"),
        image: (None, own),
    }
    assert told((path, own, "x"), kind="ImageCatalog") == {image: (own, None)}


def test_what_no_field_decides_keeps_its_path() -> None:
    assert told(("spec.enablePDB", False, True)) == {"spec.enablePDB": (False, True)}
