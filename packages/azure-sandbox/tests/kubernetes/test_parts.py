"""Parts of the emulator that are plain functions."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from azure_sandbox.kubernetes import fields, patches, protobuf, selectors
from azure_sandbox.kubernetes.errors import ApiError

ITEM_SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "v": {"type": "string"}}}
LIST_SCHEMA = {
    "type": "array",
    "items": ITEM_SCHEMA,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {"parts": LIST_SCHEMA, "free": {"x-kubernetes-preserve-unknown-fields": True}},
        }
    },
}


def test_field_sets_survive_their_encoding() -> None:
    obj = {"spec": {"parts": [{"name": "a", "v": "1"}], "free": {"x": [1], "y": {}}}}
    paths = fields.applied(obj, SCHEMA)
    assert fields.decode(fields.encode(paths)) == paths
    assert sorted(fields.shown(path) for path in paths) == [
        ".spec.free.x",
        ".spec.free.y",
        '.spec.parts[name="a"]',
        '.spec.parts[name="a"].name',
        '.spec.parts[name="a"].v',
    ]


def test_fields_are_found_and_removed_by_their_path() -> None:
    obj = {"spec": {"parts": [{"name": "a", "v": "1"}, {"name": "b", "v": "2"}]}}
    fields.remove(obj, ("f:spec", "f:parts", 'k:{"name":"a"}', "f:v"))
    fields.remove(obj, ("f:spec", "f:parts", 'k:{"name":"b"}'))
    fields.remove(obj, ("f:spec", "f:absent", "f:more"))
    assert obj == {"spec": {"parts": [{"name": "a"}]}}


JSON_VALUES = strategies.recursive(
    strategies.integers(0, 3) | strategies.text("ab", max_size=2),
    lambda inner: strategies.dictionaries(strategies.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = strategies.dictionaries(strategies.sampled_from("xyz"), JSON_VALUES, max_size=3)
# A busy machine is no finding.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def difference(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    patch.update(
        {key: difference(old.get(key), value) for key, value in new.items() if old.get(key) != value}
    )
    return patch


@UNHURRIED
@given(OBJECTS, OBJECTS)
def test_merge_patch_turns_one_object_into_another(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert patches.merge_patch(old, difference(old, new)) == new


@UNHURRIED
@given(OBJECTS, OBJECTS)
def test_patches_leave_what_they_are_given_alone(old: dict[str, Any], patch: dict[str, Any]) -> None:
    before = repr((old, patch))
    patches.merge_patch(old, patch)
    patches.strategic_merge_patch(old, patch, SCHEMA)
    assert repr((old, patch)) == before


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "remove", "path": "/nope"}],
        [{"op": "replace", "path": "/a/nope", "value": 1}],
        [{"op": "test", "path": "/a/b", "value": 2}],
        [{"op": "add", "path": "/list/9", "value": 1}],
        [{"op": "invent", "path": "/a"}],
        [{"op": "test", "path": "/a/b", "value": True}],
        [{"op": "add", "path": "list"}],
        [{"op": "remove", "path": "/list/-1"}],
        [{"op": "move", "from": "/a", "path": "/a/b/c"}],
        ["remove"],
    ],
)
def test_json_patch_that_does_not_fit_is_invalid(operations: list[Any]) -> None:
    with pytest.raises(ApiError) as refused:
        patches.json_patch({"a": {"b": 1}, "list": [1]}, operations)
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")


def test_json_patch_moves_copies_and_inserts() -> None:
    patched = patches.json_patch(
        {"a": {"b": 1}, "list": [1, 3]},
        [
            {"op": "add", "path": "/list/1", "value": 2},
            {"op": "add", "path": "/list/-", "value": 4},
            {"op": "copy", "from": "/a", "path": "/c"},
            {"op": "move", "from": "/a/b", "path": "/d"},
        ],
    )
    assert patched == {"a": {}, "c": {"b": 1}, "d": 1, "list": [1, 2, 3, 4]}


@pytest.mark.parametrize("text", ["a=b=c", "a in x", "in (a)", "a>>b", "a b"])
def test_bad_selectors_are_refused(text: str) -> None:
    with pytest.raises(ApiError, match="unable to parse requirement"):
        selectors.label_selector(text)


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({}, {}, True),
        (None, {"a": "1"}, False),
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"b": ""}, True),
    ],
)
def test_label_selector_objects_select(selector: Any, labels: dict[str, str], selected: bool) -> None:
    assert selectors.matches_labels(selector, labels) is selected


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", 400),
        (b"not protobuf", 400),
        (b"k8s\x00\xff", 400),
        (b"k8s\x00" + b"\x0a\x0c\x0a\x02v1\x12\x06Gadget", 415),
    ],
)
def test_protobuf_that_cannot_be_read_is_refused(content: bytes, code: int) -> None:
    with pytest.raises(ApiError) as refused:
        protobuf.decode(content)
    assert refused.value.code == code


@UNHURRIED
@given(strategies.binary(max_size=40))
def test_broken_protobuf_never_breaks_the_server(content: bytes) -> None:
    envelope = b"k8s\x00" + b"\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12" + bytes([len(content)]) + content
    with suppress(ApiError):
        assert protobuf.decode(envelope)["kind"] == "ConfigMap"
