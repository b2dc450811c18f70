"""Azure compares IDs and names of groups without case: what is made of them is the same."""

from collections.abc import Iterator
from typing import Any

import pytest

from aks_postgres.preflight.findings import FINE
from aks_postgres.preflight.generations import find_generation
from aks_postgres.runs.session import subscription_of
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names, role_assignment_name

GUID = "6b1f0f60-4a4a-4c11-9d0e-0a1b2c3d4e5f"
WRITTEN = [GUID, GUID.upper(), GUID[:18].upper() + GUID[18:]]
written = pytest.mark.parametrize("given", WRITTEN)


def guid_fields(schema: dict[str, Any], node: Any, path: str = "") -> Iterator[str]:
    """Paths of every field of the spec that takes a GUID; [] is an item of a list."""
    if isinstance(node, list):
        for one in node:
            yield from guid_fields(schema, one, path)
    elif isinstance(node, dict):
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        if "{8}-([0-9a-fA-F]{4}-){3}" in str(node.get("pattern")):
            yield path
        for key in ("anyOf", "allOf"):
            yield from guid_fields(schema, node.get(key), path)
        yield from guid_fields(schema, node.get("items"), f"{path}[]")
        for name, field in node.get("properties", {}).items():
            yield from guid_fields(schema, field, f"{path}.{name}".lstrip("."))


SCHEMA = EnvironmentSpec.model_json_schema()
FIELDS = sorted(guid_fields(SCHEMA, SCHEMA))


def spec_with(path: str, value: str) -> EnvironmentSpec:
    given: Any = value
    for part in reversed(path.split(".")):
        given = {part.removesuffix("[]"): [given] if part.endswith("[]") else given}
    return EnvironmentSpec.model_validate(given)


def test_every_field_that_takes_a_guid_is_known() -> None:
    assert FIELDS == [
        "monitoring.grafana_admins[].object_id",
        "storage.blob_owners[].object_id",
        "subscription_id",
    ]


@written
@pytest.mark.parametrize("path", FIELDS)
def test_a_guid_makes_the_same_spec_however_it_is_written(path: str, given: str) -> None:
    assert spec_with(path, given) == spec_with(path, GUID)
    assert given == GUID or given not in spec_with(path, given).model_dump_json()


@written
def test_the_workers_subscription_is_the_same_however_it_is_written(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", given)
    assert subscription_of(EnvironmentSpec()) == GUID
    assert subscription_of(EnvironmentSpec(subscription_id=given)) == GUID


@written
def test_names_are_the_same_however_the_subscription_is_written(given: str) -> None:
    assert Names.of(EnvironmentSpec(), given, 3) == Names.of(EnvironmentSpec(), GUID, 3)


@written
def test_a_role_assignment_is_the_same_however_its_ids_are_written(given: str) -> None:
    scope = "/subscriptions/{}/resourceGroups/rg"
    expected = role_assignment_name(scope.format(GUID), GUID, GUID)
    assert role_assignment_name(scope.format(given), given, given) == expected


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
@pytest.mark.parametrize("live", [str.lower, str.upper])
def test_a_group_is_adopted_by_its_name_however_it_is_written(change: Any, live: Any) -> None:
    name = Names.of(EnvironmentSpec(), GUID, 1).resource_group
    group = {"name": live(name), "location": "Canada Central", "tags": {}}
    found, verdict = find_generation(EnvironmentSpec(adopt=[change(name)]), GUID, [group], [])
    assert verdict == FINE
    assert found.names.resource_group == name
    assert find_generation(EnvironmentSpec(), GUID, [group], [])[1] != FINE
