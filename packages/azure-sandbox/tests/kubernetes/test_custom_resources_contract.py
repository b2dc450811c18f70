"""CustomResourceDefinitions and what they define: the emulator and a real API server alike."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest

from .conftest import MERGE, STRATEGIC, Cluster

Json = dict[str, Any]

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_groups = count(1)

SPEC_SCHEMA: Json = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 9},
        "mode": {"type": "string", "enum": ["fast", "safe"], "default": "safe"},
        "name": {"type": "string", "pattern": "^[a-z]+$"},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "parts": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
            },
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "above": {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
        "below": {"type": "number", "maximum": 9, "exclusiveMaximum": True},
        "step": {"type": "integer", "multipleOf": 5},
        "text": {"type": "string", "minLength": 2, "maxLength": 3},
        "list": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 3},
        "map": {
            "type": "object",
            "additionalProperties": {"type": "integer", "maximum": 3},
            "minProperties": 2,
            "maxProperties": 2,
        },
        "all": {"type": "string", "allOf": [{"pattern": "^a"}, {"minLength": 2}]},
        "any": {"type": "string", "anyOf": [{"pattern": "^a"}, {"minLength": 5}]},
        "one": {
            "type": "object",
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        },
        "no": {"type": "string", "not": {"enum": ["x"]}},
        "port": {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": "^[0-9]+$",
        },
        "flag": {"type": "boolean", "enum": [True]},
        "null": {"type": "string", "nullable": True, "minLength": 2},
    },
}


# Without the integer or string: Kubernetes 1.20 applies a kind that has one as if nothing were known of its types.
PLAIN_SCHEMA: Json = {
    **SPEC_SCHEMA,
    "properties": {name: of for name, of in SPEC_SCHEMA["properties"].items() if name != "port"},
}


def definition(group: str, spec_schema: Json = SPEC_SCHEMA) -> Json:
    schema = {
        "type": "object",
        "required": ["spec"],
        "properties": {
            "spec": spec_schema,
            "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"]},
            "versions": [version],
        },
    }


class Things:
    """A kind of a test's own."""

    def __init__(self, cluster: Cluster, group: str, namespace: str) -> None:
        self.cluster = cluster
        self.group = group
        self.path = f"/apis/{group}/v1/namespaces/{namespace}/things"

    def thing(self, called: str = "t", /, **spec: Any) -> Json:
        return {"apiVersion": f"{self.group}/v1", "kind": "Thing", "metadata": {"name": called}, "spec": spec}

    async def make(self, called: str = "t", /, **spec: Any) -> Json:
        made: Json = await self.cluster.done("POST", self.path, self.thing(called, **spec))
        return made


@pytest.fixture
async def things(cluster: Cluster, namespace: str) -> AsyncIterator[Things]:
    async with served(cluster, namespace, SPEC_SCHEMA) as found:
        yield found


@pytest.fixture
async def plain_things(cluster: Cluster, namespace: str) -> AsyncIterator[Things]:
    async with served(cluster, namespace, PLAIN_SCHEMA) as found:
        yield found


@asynccontextmanager
async def served(cluster: Cluster, namespace: str, spec_schema: Json) -> AsyncIterator[Things]:
    group = f"group{next(_groups)}.example.com"
    await cluster.done("POST", DEFINITIONS, definition(group, spec_schema))
    path = f"{DEFINITIONS}/things.{group}"
    for _ in range(50):
        await cluster.settle()
        status = (await cluster.done("GET", path)).get("status", {})
        conditions = {item["type"]: item["status"] for item in status.get("conditions") or []}
        if (
            conditions.get("Established") == "True"
            and (await cluster.send("GET", f"/apis/{group}/v1")).status == 200
        ):
            break
    assert conditions["NamesAccepted"] == "True"
    yield Things(cluster, group, namespace)
    await cluster.done("DELETE", path)


async def test_definition_makes_a_served_type(things: Things) -> None:
    listed = await things.cluster.done("GET", f"/apis/{things.group}/v1")
    found = {item["name"]: item for item in listed["resources"]}
    assert set(found) == {"things", "things/status"}
    thing = found["things"]
    assert (thing["kind"], thing["singularName"], thing["shortNames"], thing["namespaced"]) == (
        "Thing",
        "thing",
        ["th"],
        True,
    )
    assert set(thing["verbs"]) >= {"create", "delete", "get", "list", "patch", "update", "watch"}


async def test_objects_get_defaults_and_lose_unknown_fields(things: Things) -> None:
    made = await things.make(size=2, unknown=1, free={"anything": [1]})
    assert made["spec"] == {"size": 2, "mode": "safe", "free": {"anything": [1]}}
    assert made["metadata"]["generation"] == 1


_TYPE = 'Invalid value: "{0}": {1} in body must be of type {2}: "{0}"'
_ONE_OF = "must validate one and only one schema (oneOf). Found"
# A spec, and the causes of its refusal.
_INVALID: dict[str, tuple[Json, list[tuple[str, str]]]] = {
    "missing": ({}, [("spec.size", "Required value")]),
    "null": ({"size": None}, [("spec.size", "Required value")]),
    "type": (
        {"size": "x"},
        [("spec.size", 'Invalid value: "string": spec.size in body must be of type integer: "string"')],
    ),
    "too small": (
        {"size": 0},
        [("spec.size", "Invalid value: 0: spec.size in body should be greater than or equal to 1")],
    ),
    "too large": (
        {"size": 10},
        [("spec.size", "Invalid value: 10: spec.size in body should be less than or equal to 9")],
    ),
    "not in the list": (
        {"size": 1, "mode": "slow"},
        [("spec.mode", 'Unsupported value: "slow": supported values: "fast", "safe"')],
    ),
    "pattern": (
        {"size": 1, "name": "ABC"},
        [("spec.name", "Invalid value: \"ABC\": spec.name in body should match '^[a-z]+$'")],
    ),
    "twice in a set": ({"size": 1, "tags": ["a", "a"]}, [("spec.tags[1]", 'Duplicate value: "a"')]),
    "other types": (
        {"size": 1.5, "text": 5, "list": ["a", None], "port": [], "flag": 1},
        [
            ("spec.flag", _TYPE.format("integer", "spec.flag", "boolean")),
            ("spec.flag", 'Unsupported value: 1: supported values: "true"'),
            ("spec.list", _TYPE.format("null", "spec.list", "string")),
            ("spec.port", _TYPE.format("array", "spec.port", "integer,string")),
            ("<nil>", 'Invalid value: "": "spec.port" must validate at least one schema (anyOf)'),
            ("spec.port", _TYPE.format("array", "spec.port", "integer")),
            ("spec.size", _TYPE.format("number", "spec.size", "integer")),
            ("spec.text", _TYPE.format("integer", "spec.text", "string")),
        ],
    ),
    "bounds of numbers": (
        {"size": 1, "above": 1, "below": 9, "step": 7},
        [
            ("spec.above", "Invalid value: 1: spec.above in body should be greater than 1"),
            ("spec.below", "Invalid value: 9: spec.below in body should be less than 9"),
            ("spec.step", "Invalid value: 7: spec.step in body should be a multiple of 5"),
        ],
    ),
    "too short": (
        {"size": 1, "text": "a", "list": ["a"], "map": {"a": 1}, "null": "a"},
        [
            ("spec.list", "Invalid value: 1: spec.list in body should have at least 2 items"),
            ("spec.map", "Invalid value: 2: spec.map in body should have at least 2 properties"),
            ("spec.null", 'Invalid value: "a": spec.null in body should be at least 2 chars long'),
            ("spec.text", 'Invalid value: "a": spec.text in body should be at least 2 chars long'),
        ],
    ),
    "too long": (
        {"size": 1, "text": "abcd", "list": ["a", "b", "c", "d"], "map": {"a": 1, "b": 2, "c": 3}},
        [
            ("spec.list", "Invalid value: 4: spec.list in body should have at most 3 items"),
            ("spec.map", "Invalid value: 2: spec.map in body should have at most 2 properties"),
            ("spec.text", 'Invalid value: "abcd": spec.text in body should be at most 3 chars long'),
        ],
    ),
    "all of": (
        {"size": 1, "all": "b"},
        [
            ("spec.all", "Invalid value: \"b\": spec.all in body should match '^a'"),
            ("spec.all", 'Invalid value: "b": spec.all in body should be at least 2 chars long'),
            ("<nil>", 'Invalid value: "": "spec.all" must validate all the schemas (allOf). None validated'),
        ],
    ),
    "any of": (
        {"size": 1, "any": "b"},
        [
            ("<nil>", 'Invalid value: "": "spec.any" must validate at least one schema (anyOf)'),
            ("spec.any", "Invalid value: \"b\": spec.any in body should match '^a'"),
        ],
    ),
    "one of, none": (
        {"size": 1, "one": {}},
        [
            ("<nil>", f'Invalid value: "": "spec.one" {_ONE_OF} none valid'),
            ("spec.one.a", "Required value"),
        ],
    ),
    "one of, two": (
        {"size": 1, "one": {"a": "1", "b": "2"}},
        [("<nil>", f'Invalid value: "": "spec.one" {_ONE_OF} 2 valid alternatives')],
    ),
    "not": (
        {"size": 1, "no": "x"},
        [("<nil>", 'Invalid value: "": "spec.no" must not validate the schema (not)')],
    ),
    "in a map": (
        {"size": 1, "map": {"a": 1, "b": 9}},
        [("spec.map.b", "Invalid value: 9: spec.map.b in body should be less than or equal to 3")],
    ),
    "in a list": (
        {"size": 1, "parts": [{"name": "a"}, {}]},
        [("spec.parts.name", "Required value")],
    ),
}


@pytest.mark.parametrize("case", _INVALID)
async def test_invalid_objects_are_refused_with_each_cause(things: Things, case: str) -> None:
    spec, causes = _INVALID[case]
    answer = await things.cluster.send("POST", things.path, things.thing("bad", **spec))
    assert answer.error == (422, "Invalid")
    found = [(item["field"], item["message"]) for item in answer.body["details"]["causes"]]
    # The real one goes through a map's fields in no order.
    assert sorted(found) == sorted(causes)
    assert answer.body["message"].startswith(f'Thing.{things.group} "bad" is invalid: ')


async def test_what_keeps_to_every_rule_is_taken(things: Things) -> None:
    await things.make(
        size=1.0,
        above=2,
        below=8.5,
        step=10,
        text="ab",
        list=["a", "b"],
        map={"a": 1, "b": 3},
        all="ab",
        any="a",
        one={"b": "1"},
        no="y",
        port="80",
        flag=True,
        null=None,
    )


async def test_same_key_twice_in_a_list_is_refused(things: Things) -> None:
    body = things.thing(size=1, parts=[{"name": "a"}, {"name": "a"}])
    answer = await things.cluster.send("POST", things.path, body)
    assert answer.error == (422, "Invalid")
    assert answer.body["details"]["causes"][0]["field"] == "spec.parts[1]"


async def test_other_kind_is_refused(things: Things) -> None:
    answer = await things.cluster.send("POST", things.path, {**things.thing(size=1), "kind": "Other"})
    assert answer.error == (422, "Invalid")
    assert 'kind: Invalid value: "Other": must be Thing' in answer.body["message"]


async def test_replace_must_name_the_version(things: Things) -> None:
    made = await things.make(size=1)
    answer = await things.cluster.send("PUT", f"{things.path}/t", things.thing(size=2))
    assert answer.error == (422, "Invalid")
    assert answer.body["message"] == (
        f'things.{things.group} "t" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be '
        f"specified for "
        "an update"
    )
    made["spec"]["size"] = 2
    replaced = await things.cluster.done("PUT", f"{things.path}/t", made)
    assert replaced["metadata"]["generation"] == 2


async def test_strategic_merge_is_for_built_in_types(things: Things) -> None:
    await things.make(size=1)
    answer = await things.cluster.send("PATCH", f"{things.path}/t", {"spec": {"size": 2}}, STRATEGIC)
    assert answer.error == (415, "UnsupportedMediaType")


async def test_status_is_apart(things: Things) -> None:
    await things.make(size=1)
    ignored = await things.cluster.done("PATCH", f"{things.path}/t", {"status": {"phase": "a"}}, MERGE)
    assert "status" not in ignored
    patch = {"status": {"phase": "b"}, "spec": {"size": 5}}
    written = await things.cluster.done("PATCH", f"{things.path}/t/status", patch, MERGE)
    assert (written["status"], written["spec"]["size"]) == ({"phase": "b"}, 1)
    assert written["metadata"]["generation"] == 1


async def test_lists_with_keys_and_sets_are_applied_item_by_item(plain_things: Things) -> None:
    path = f"{plain_things.path}/t"
    first = plain_things.thing(size=1, tags=["a"], parts=[{"name": "x", "value": "1"}])
    second = plain_things.thing(size=1, tags=["b"], parts=[{"name": "y", "value": "2"}])
    await plain_things.cluster.apply(path, first, "first")
    both = await plain_things.cluster.apply(path, second, "second")
    assert both.body["spec"]["tags"] == ["a", "b"]
    assert both.body["spec"]["parts"] == [{"name": "x", "value": "1"}, {"name": "y", "value": "2"}]
    taken = plain_things.thing(size=1, parts=[{"name": "x", "value": "2"}])
    answer = await plain_things.cluster.apply(path, taken, "second")
    assert [item["field"] for item in answer.body["details"]["causes"]] == ['.spec.parts[name="x"].value']
    left = await plain_things.cluster.apply(path, plain_things.thing(size=1), "first")
    assert left.body["spec"]["tags"] == ["b"]
    assert left.body["spec"]["parts"] == [{"name": "y", "value": "2"}]
    assert left.body["metadata"]["generation"] == 3


async def test_applied_value_of_a_wrong_type_is_no_conflict(plain_things: Things) -> None:
    await plain_things.cluster.apply(f"{plain_things.path}/t", plain_things.thing(size=1), "first")
    answer = await plain_things.cluster.apply(
        f"{plain_things.path}/t", plain_things.thing(size="x"), "second"
    )
    assert answer.status == 500
    assert ".spec.size: expected numeric (int or float)" in answer.body["message"]


async def test_deleted_definition_takes_its_objects_along(things: Things, cluster: Cluster) -> None:
    await things.make(size=1)
    path = f"{DEFINITIONS}/things.{things.group}"
    ending = await cluster.done("DELETE", path)
    assert ending["metadata"]["deletionTimestamp"]
    for _ in range(50):
        await cluster.settle()
        if (await cluster.send("GET", path)).status == 404:
            break
    assert (await cluster.send("GET", f"/apis/{things.group}/v1/things")).status == 404
    await cluster.done("POST", DEFINITIONS, definition(things.group))


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda crd: crd["metadata"].update(name="wrong.example.com"), "metadata.name"),
        (lambda crd: crd["spec"].update(scope="Everywhere"), "spec.scope"),
        (lambda crd: crd["spec"]["versions"][0].pop("schema"), "spec.versions[0].schema.openAPIV3Schema"),
        (lambda crd: crd["spec"]["versions"][0].update(storage=False), "spec.versions"),
    ],
)
async def test_bad_definitions_are_refused(cluster: Cluster, spoil: Any, field: str) -> None:
    body = definition("bad.example.com")
    spoil(body)
    answer = await cluster.send("POST", DEFINITIONS, body)
    assert answer.error == (422, "Invalid")
    assert field in [item["field"] for item in answer.body["details"]["causes"]]
