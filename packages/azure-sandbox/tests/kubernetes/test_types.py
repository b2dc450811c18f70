"""The table of built-in types against an independent witness, the models of Python's `kubernetes` client."""

from typing import Any

import pytest
from kubernetes import client

from azure_sandbox.kubernetes import schemas
from azure_sandbox.kubernetes.resources import Registry

NAMES = sorted(schemas.notation())
# Names that several groups use: the client tells them apart by a prefix.
PREFIXES = (
    "V1",
    "CoreV1",
    "ApiextensionsV1",
    "AdmissionregistrationV1",
    "DiscoveryV1",
    "RbacV1",
    "StorageV1",
    "",
)


def model(name: str) -> Any:
    for prefix in PREFIXES:
        found = getattr(client, prefix + name, None)
        if found is not None:
            return found
    raise LookupError(name)


@pytest.mark.parametrize("name", NAMES)
def test_type_has_the_fields_of_the_api(name: str) -> None:
    wanted = set(model(name).attribute_map.values())
    assert set(schemas.built_in(name)["properties"]) | {"apiVersion", "kind"} == wanted | {
        "apiVersion",
        "kind",
    }


@pytest.mark.parametrize("kind", sorted({item.kind for item in Registry().all()}))
def test_every_kind_served_is_described(kind: str) -> None:
    assert schemas.built_in(kind)["properties"]["metadata"] is not None


def test_merge_keys_are_fields_of_the_items() -> None:
    def visit(schema: dict[str, Any], path: str, seen: set[str]) -> None:
        keys = schemas.list_keys(schema)
        if keys:
            assert set(keys) <= set(schemas.items(schema)["properties"]), path
        if schema.get("x-type") in seen:
            return
        seen = seen | {schema.get("x-type", "")}
        for name, inner in (schema.get("properties") or {}).items():
            visit(inner, f"{path}.{name}", seen)
        for name in ("items", "additionalProperties"):
            if isinstance(schema.get(name), dict):
                visit(schema[name], f"{path}.{name}", seen)

    for kind in {item.kind for item in Registry().all()}:
        visit(schemas.built_in(kind), kind, set())


def test_pods_containers_are_merged_by_name() -> None:
    containers = schemas.built_in("PodSpec")["properties"]["containers"]
    assert schemas.list_keys(containers) == ["name"]
    ports = schemas.items(containers)["properties"]["ports"]
    assert schemas.list_keys(ports) == ["containerPort", "protocol"]
    assert schemas.key_of({"containerPort": 80}, ["containerPort", "protocol"], schemas.items(ports)) == (
        80,
        "TCP",
    )
